//! The agent: its parts, the order of calls, and which message goes to which part.

use crate::config::{Config, Timers};
use crate::drain::Draining;
use crate::flows::{Due, Flow, Flows, Outcome};
use crate::hunt::Hunts;
use crate::life::{Ending, Event, State};
use crate::look_ups::LookUps;
use crate::post::Post;
use crate::rejects::Rejects;
use crate::services::Services;
use crate::signals::Signal;
use crate::sockets::Dumps;
use crate::statements::{Statements, Told};
use crate::stats::{ServiceStats, Stats};
use alloc::vec::Vec;
use jlb_flow_table::Handle;
use jlb_protocol::message::{Control, FlowKind, FlowMessage, FlowStatement};
use jlb_protocol::packet::{self, Packet};
use jlb_protocol::{
    Birth, DropReason, FlowKey, Ledger, MemberState, Message, NodeNumber, PacketBuf, Protocol,
    ServiceNumber, Time, Transmit, View,
};

/// Deadlines handled in one call; those left over are due at once.
const MAX_DUE: usize = 4096;

/// What becomes of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The client's packet inside goes to the machine's own IP stack, as it is.
    Deliver,
    /// The message did its work.
    Done,
    /// The message is of no use.
    Dropped(DropReason),
}

/// A host agent.
///
/// Any call with `&mut self` may be made at any time; `now` never goes back. After each, drain
/// [`Self::poll_transmit`] (and give the buffers back with [`Self::recycle`]), then ask
/// [`Self::poll_timeout`] and [`Self::poll_dump`] when to call [`Self::handle_timeout`] and to
/// make the next dump of the kernel's sockets at the latest. A driver that can look up single connections says
/// so once, by [`Self::expect_look_ups`], and asks [`Self::poll_look_ups`] too.
///
/// Until the second [`Self::handle_sockets`] the agent answers nothing but what concerns flows that
/// the first has shown (R4). Destroy events should be listened for before the first dump begins, and handed in with [`Self::handle_socket_closed`]
/// after the packets that were received before them.
#[derive(Clone, Debug)]
pub struct HostAgent {
    pub(crate) node: NodeNumber,
    pub(crate) timers: Timers,
    pub(crate) services: Services,
    pub(crate) flows: Flows,
    pub(crate) rejects: Rejects,
    pub(crate) hunts: Hunts,
    pub(crate) statements: Statements,
    pub(crate) post: Post,
    pub(crate) dumps: Dumps,
    pub(crate) look_ups: LookUps,
    pub(crate) last_birth: Birth,
    /// When Load is due in any case.
    pub(crate) load_at: Time,
    /// Before this no change of connections hurries a Load.
    pub(crate) load_soonest: Time,
    /// Which new flows are not taken, and when those that are there are closed.
    pub(crate) draining: Draining,
}

impl HostAgent {
    /// An agent that owns nothing yet. `seed` should be secret: it keeps clients from choosing
    /// flows that collide in tables.
    #[must_use]
    pub fn new(config: Config, view: View, seed: u64, now: Time) -> Self {
        let limits = &config.limits;
        let timers = config.timers;
        Self {
            node: config.node,
            services: Services::new(&config.services),
            flows: Flows::new(limits.max_flows, timers.clone(), seed),
            rejects: Rejects::new(limits.max_rejects, timers.reject_rotation, seed, now),
            hunts: Hunts::new(config.incarnation),
            statements: Statements::new(
                config.hash_key,
                config.incarnation,
                &view,
                limits.max_statements,
                &timers,
                now,
            ),
            post: Post::new(limits.max_outbox, config.hash_key),
            dumps: Dumps::new(now),
            look_ups: LookUps::new(now),
            last_birth: Birth {
                incarnation: config.incarnation,
                counter: 0,
            },
            load_at: now,
            load_soonest: now,
            draining: Draining::new(now, is_draining(config.node, &view), &config.drain),
            timers,
        }
    }

    /// Takes a message that the link has verified and decoded.
    pub fn handle_message(
        &mut self,
        now: Time,
        from: NodeNumber,
        message: &Message<'_>,
    ) -> Verdict {
        self.post.ledger.received += 1;
        let verdict = match message {
            Message::Flow(message) => self.handle_flow_message(now, from, message),
            Message::Control(control) => self.handle_control(now, from, control),
        };
        let verdict = verdict.unwrap_or_else(Verdict::Dropped);
        match verdict {
            Verdict::Deliver => self.post.ledger.delivered += 1,
            Verdict::Done => self.post.ledger.consumed += 1,
            Verdict::Dropped(reason) => self.post.ledger.drop_for(reason),
        }
        verdict
    }

    /// Acts on another view. If this host's own entry in it is draining, new flows are rejected;
    /// those that it owns go on.
    pub fn handle_view(&mut self, now: Time, view: View) {
        self.hunts.set_view(self.node, &view);
        if self.statements.set_view(now, &view) {
            self.load_at = now;
        }
        self.drain_by_view(now, is_draining(self.node, &view));
    }

    /// A peer said which wire version it speaks at most. Digests go to trackers that know them,
    /// from 2 on; the others are told of every flow again and again (R9). To a host of which this was said
    /// Offers may be passed on (R6).
    pub fn handle_peer_wire(&mut self, now: Time, node: NodeNumber, wire: u8) {
        self.hunts.heard(node);
        self.statements.set_wire(now, node, wire);
    }

    /// Takes another configuration: services, their admission, the outbox's bound, and time spans. The
    /// trackers are told at once how much room that leaves.
    /// Number, incarnation, hash key and the sizes of tables stay as they were at the start. Flows of
    /// services that are gone end.
    pub fn handle_config(&mut self, now: Time, config: Config) {
        let before: Vec<ServiceNumber> = self.services.numbers().collect();
        // Before any service is another, or gone.
        self.flows.strip_anew();
        self.services.replace(&config.services);
        self.drain_by_file(now, &config.drain);
        self.post.set_max_outbox(config.limits.max_outbox);
        self.flows.set_timers(config.timers.clone());
        self.rejects.set_rotation(config.timers.reject_rotation);
        self.statements.set_timers(&config.timers);
        self.timers = config.timers;
        self.load_at = now;
        if self
            .services
            .numbers()
            .any(|service| !before.contains(&service))
        {
            self.want_dump(now);
        }
        let services = &self.services;
        // The table is large: it is walked for services that are gone only.
        if before.iter().all(|&service| services.has(service)) {
            return;
        }
        let orphans = self
            .flows
            .of_other_services(|service| services.has(service));
        for handle in orphans {
            self.end(now, handle, Ending::NoService);
        }
    }

    /// Takes the result of a service's health check. A change is told to the trackers at once: a
    /// service whose server does not answer gets new flows only if no other host takes them.
    /// Every service is taken for healthy at first.
    pub fn set_health(&mut self, now: Time, service: ServiceNumber, healthy: bool) {
        if self.services.set_health(service, healthy) {
            self.load_at = now;
            self.send_load(now);
        }
    }

    /// Takes what was measured. Nothing is known at first, and what is not known rejects nothing.
    pub fn handle_signal(&mut self, signal: Signal) {
        match signal {
            Signal::Machine(machine) => self.services.machine_read(machine),
            Signal::AcceptQueue(service, queue) => self.services.queue_read(service, queue),
            Signal::Server(service, server) => {
                let connections = self.flows.connections(service);
                self.services.server_read(service, server, connections);
            }
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        for _ in 0..MAX_DUE {
            let Some((handle, due)) = self.flows.pop_due(now) else {
                break;
            };
            match due {
                Due::Expired => self.advance(now, handle, Event::Expired),
                Due::Refresh => self.refresh_flow(now, handle),
                Due::Look => self.look_up(now, handle),
                Due::Later => {}
            }
        }
        self.cut_on(now);
        self.send_load(now);
        // R10: a host that does not know all its flows yet can't say that it told of them.
        if self.is_ready() {
            let (flows, post) = (&self.flows, &mut self.post);
            self.statements.walk(now, flows, self.last_birth, post);
        }
        self.statements
            .handle_timeout(now, self.last_birth, &mut self.post);
    }

    /// When [`Self::handle_timeout`] is to be called next; `None` if nothing is waited for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let deadlines = [
            self.flows.next_deadline(),
            self.next_cut(),
            self.statements.next_deadline(),
            self.is_ready().then_some(self.load_due()),
            self.statements.next_walk().filter(|_| self.is_ready()),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The next message to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.post.poll()
    }

    /// Takes back the buffer of a message that was sent.
    pub fn recycle(&mut self, buf: PacketBuf) {
        self.post.recycle(buf);
    }

    /// Which life of the flow this host has, if any.
    #[must_use]
    pub fn birth(&self, key: &FlowKey) -> Option<Birth> {
        self.flows.owned(key).map(|(_, flow)| flow.birth)
    }

    /// Whether the flows were loaded from the kernel: before that the agent says of no flow that it
    /// is not its own (R4).
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.dumps.have_loaded()
    }

    /// R4: what is not known of flows that are not loaded yet.
    pub(crate) fn may_answer(&self, key: &FlowKey) -> Result<(), DropReason> {
        if self.is_ready() || self.flows.owned(key).is_some() {
            Ok(())
        } else {
            Err(DropReason::NotReady)
        }
    }

    /// The books (R14).
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.post.ledger
    }

    /// Books and gauges.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut counters = self.post.counters;
        counters.rejects_overfilled = self.rejects.overfilled();
        let services = self.loads().map(|load| {
            let readings = self.services.readings(load.service);
            ServiceStats {
                service: load.service,
                connections: load.connections,
                room: load.room,
                load: load.load,
                healthy: load.healthy,
                queue: readings.queue,
                server: readings.server,
                draining: self.draining.is_of(load.service),
            }
        });
        Stats {
            ledger: self.post.ledger.clone(),
            counters,
            ready: self.is_ready(),
            machine: self.services.machine(),
            flows_accepted: self.flows.in_state(State::Accepted),
            flows_established: self.flows.in_state(State::Established),
            flows_closing: self.flows.in_state(State::Closing),
            flows_released: self.flows.in_state(State::Released),
            flow_table_bytes: self.flows.allocated_bytes(),
            statements_pending: self.statements.pending(),
            trackers_unfilled: self.statements.unfilled(),
            draining: self.draining.is_total(),
            services: services.collect(),
        }
    }

    fn handle_flow_message(
        &mut self,
        now: Time,
        from: NodeNumber,
        message: &FlowMessage<'_>,
    ) -> Result<Verdict, DropReason> {
        match message.kind {
            FlowKind::Offer => self.handle_offer(now, from, message),
            FlowKind::Data => self.handle_data(now, from, message),
            FlowKind::WhoHas => self.handle_who_has(now, from, message),
            FlowKind::Release => self.handle_release(now, message),
            FlowKind::Open
            | FlowKind::Accept
            | FlowKind::Reject
            | FlowKind::Refuse
            | FlowKind::Wait
            | FlowKind::NotActing => Err(DropReason::WrongRole),
        }
    }

    fn handle_control(
        &mut self,
        now: Time,
        from: NodeNumber,
        control: &Control<'_>,
    ) -> Result<Verdict, DropReason> {
        match control {
            Control::Ack { sequence } => {
                let post = &mut self.post;
                if !self.statements.acknowledge(now, from, *sequence, post) {
                    post.counters.acks_stale += 1;
                }
                Ok(Verdict::Done)
            }
            Control::SendFull { bucket } => {
                let post = &mut self.post;
                self.statements.list(now, from, *bucket, post)?;
                Ok(Verdict::Done)
            }
            Control::Hello { .. }
            | Control::HelloAck { .. }
            | Control::State { .. }
            | Control::Digest { .. }
            | Control::Load { .. }
            | Control::Members { .. } => Err(DropReason::WrongRole),
        }
    }

    /// Reads the client's packet of a message and makes sure that it belongs to the flow and
    /// service that the message names.
    #[inline(always)]
    pub(crate) fn examine(
        &self,
        message: &FlowMessage<'_>,
    ) -> Result<(Packet, Protocol), DropReason> {
        let service = message.key.service();
        if !self.services.has(service) {
            return Err(DropReason::UnknownService);
        }
        // Of plain packets addresses are read as keys have them.
        let plain = packet::read_plain(message.packet);
        let plain = plain.and_then(|plain| Some((plain, plain.packet(message.packet)?)));
        let (packet, found, key, protocol) = match plain {
            Some((plain, packet)) => (
                packet,
                self.services.find_plain(&plain),
                Some(plain.flow_key(service)),
                plain.protocol,
            ),
            None => {
                let packet = packet::parse(message.packet)?;
                let endpoint = packet.vip_endpoint().ok_or(DropReason::FlowMismatch)?;
                let (vip, protocol, port) = endpoint;
                let found = self.services.find(vip, protocol, port);
                (packet, found, packet.flow_key(service), protocol)
            }
        };
        if found != Some(service) || key != Some(message.key) {
            return Err(DropReason::FlowMismatch);
        }
        Ok((packet, protocol))
    }

    /// The birth of one more flow. The first counts 1: all zeros stand for no birth.
    pub(crate) const fn next_birth(&mut self) -> Birth {
        self.last_birth = self.last_birth.next();
        self.last_birth
    }

    /// Lets an event happen to a flow, and tells its trackers, and its ingress of its end, what
    /// came of it.
    pub(crate) fn advance(&mut self, now: Time, handle: Handle, event: Event) {
        match self.flows.apply(now, handle, event) {
            Outcome::Same => {}
            Outcome::Changed(State::Released) => self.disown(now, handle),
            Outcome::Changed(State::Accepted | State::Established | State::Closing) => {
                self.state_flow(now, handle);
            }
            Outcome::Renewed => {
                if let Some(former) = self.last_word(handle) {
                    self.statements.gave_up(&former);
                }
                let birth = self.next_birth();
                self.flows.set_birth(handle, birth);
                self.post.counters.renewed += 1;
                self.own(now, handle);
            }
            Outcome::Ended(key, flow, ending) => self.bury(now, handle, key, &flow, ending),
        }
    }

    /// Ends a flow, and tells its trackers and its ingress.
    pub(crate) fn end(&mut self, now: Time, handle: Handle, ending: Ending) {
        if let Some((key, flow)) = self.flows.remove(handle) {
            self.bury(now, handle, key, &flow, ending);
        }
    }

    /// A life of a flow has become this host's: tells its trackers.
    pub(crate) fn own(&mut self, now: Time, handle: Handle) {
        if let Some(told) = self.told(now, handle) {
            self.statements.gained(&told);
            self.statements.state(now, &told, &mut self.post);
        }
    }

    /// Tells the trackers of a flow.
    fn state_flow(&mut self, now: Time, handle: Handle) {
        if let Some(told) = self.told(now, handle) {
            self.statements.state(now, &told, &mut self.post);
        }
    }

    /// Tells those trackers that a flow lives on that can't know it by digests (R9).
    fn refresh_flow(&mut self, now: Time, handle: Handle) {
        if let Some(told) = self.told(now, handle) {
            self.statements.refresh(now, &told, &mut self.post);
        }
    }

    /// A flow is another host's. A tracker that was told of it and does not know that yet must not keep
    /// the record.
    fn disown(&mut self, now: Time, handle: Handle) {
        if let Some(told) = self.last_word(handle) {
            self.statements.gave_up(&told);
            self.statements.withdraw(&told);
            self.statements.state(now, &told, &mut self.post);
        }
    }

    fn bury(&mut self, now: Time, handle: Handle, key: FlowKey, flow: &Flow, ending: Ending) {
        self.post.counters.ended(ending);
        if flow.state.is_owned() {
            let statement = flow.closed_statement(key);
            let told = self.telling(handle, statement);
            self.statements.gave_up(&told);
            self.statements.state(now, &told, &mut self.post);
            if let Some(ingress) = flow.ingress {
                self.statements
                    .tell_ingress(now, ingress, &told, &mut self.post);
            }
        }
    }

    /// What is told of a flow of this host.
    fn told(&self, now: Time, handle: Handle) -> Option<Told> {
        let statement = self.flows.statement(now, handle)?;
        Some(self.telling(handle, statement))
    }

    /// What is told of a flow whose present birth is over.
    fn last_word(&self, handle: Handle) -> Option<Told> {
        let statement = self.flows.last_word(handle)?;
        Some(self.telling(handle, statement))
    }

    fn telling(&self, handle: Handle, statement: FlowStatement) -> Told {
        Told {
            handle,
            hash: self.post.flow_hash(&statement.key),
            statement,
        }
    }
}

fn is_draining(node: NodeNumber, view: &View) -> bool {
    let own = view.member(node);
    own.is_some_and(|member| member.state == MemberState::Draining)
}

#[cfg(test)]
mod tests;
