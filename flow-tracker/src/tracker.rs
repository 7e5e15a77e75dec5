//! The flow tracker: what it holds, and the contract with the shell that drives it.

use crate::config::Config;
use crate::nodes::Nodes;
use crate::output::Output;
use crate::pool::{HostLoad, Pools};
use crate::primary::{Done, Ended};
use crate::records::Records;
use crate::search::Searches;
use crate::statements::Sequences;
use crate::stats::Stats;
use crate::who_has::WhoHas;
use jlb_protocol::message::{Control, FlowKind, FlowMessage};
use jlb_protocol::{DropReason, Message, NodeNumber, PacketBuf, Role, Time, Transmit, View};

/// The most entries of one table that one [`FlowTracker::handle_timeout`] ends; the rest are due
/// at once again.
const EXPIRIES_PER_CALL: usize = 4096;

/// The flow tracker state machine.
///
/// After every call of a `handle_` method, [`Self::poll_transmit`] is to be called until `None`,
/// and [`Self::handle_timeout`] when the moment of [`Self::poll_timeout`] has come. `now` never
/// goes back. Nothing that a message holds makes it fail: what is of no use is dropped and
/// counted by its reason.
#[derive(Clone, Debug)]
pub struct FlowTracker {
    pub(crate) nodes: Nodes,
    pub(crate) pools: Pools,
    pub(crate) records: Records,
    pub(crate) searches: Searches,
    pub(crate) who_has: WhoHas,
    pub(crate) sequences: Sequences,
    pub(crate) out: Output,
}

impl FlowTracker {
    /// A tracker without records. The seed is secret and decides where the policies' turns begin.
    #[must_use]
    pub fn new(config: Config, view: View, seed: u64, _now: Time) -> Self {
        let Config {
            node,
            hash_key,
            services,
            limits,
            timers,
        } = config;
        Self {
            nodes: Nodes::new(node, hash_key, view),
            pools: Pools::new(&services, seed),
            records: Records::new(&limits, &timers, seed),
            searches: Searches::new(limits.max_searches, timers.offered, seed),
            who_has: WhoHas::new(limits.max_who_has, timers.who_has, seed),
            sequences: Sequences::default(),
            out: Output::new(limits.max_outbox),
        }
    }

    /// Takes a message that `from` has sent, which the link has verified.
    pub fn handle_message(&mut self, now: Time, from: NodeNumber, message: &Message<'_>) {
        self.out.stats.ledger.received += 1;
        let ended = match message {
            Message::Flow(message) => self.handle_flow(now, from, message),
            Message::Control(control) => self.handle_control(now, from, control),
        };
        let ledger = &mut self.out.stats.ledger;
        match ended {
            Ok(Done::Consumed) => ledger.consumed += 1,
            Ok(Done::Held) => ledger.held += 1,
            Err(reason) => ledger.drop_for(reason),
        }
    }

    fn handle_flow(&mut self, now: Time, from: NodeNumber, message: &FlowMessage<'_>) -> Ended {
        match message.kind {
            FlowKind::Open => self.open(now, from, message),
            FlowKind::Offer => self.offer(now, from, message),
            FlowKind::Accept => self.accept(now, from, message),
            FlowKind::Reject => self.reject(now, from, message),
            FlowKind::Refuse => self.pass_refuse(now, from, message),
            FlowKind::Wait
            | FlowKind::NotActing
            | FlowKind::Data
            | FlowKind::WhoHas
            | FlowKind::Release => Err(DropReason::WrongRole),
        }
    }

    fn handle_control(&mut self, now: Time, from: NodeNumber, control: &Control<'_>) -> Ended {
        match control {
            Control::State {
                sequence, flows, ..
            } => self.state(now, from, *sequence, flows),
            Control::Load { services } => self.load(from, services),
            // R9's digests and the full lists that they ask for.
            Control::Digest { .. } => Err(DropReason::NotImplemented),
            Control::Hello { .. }
            | Control::HelloAck { .. }
            | Control::Ack { .. }
            | Control::SendFull { .. }
            | Control::Members { .. } => Err(DropReason::WrongRole),
        }
    }

    /// Takes over a new view.
    pub fn handle_view(&mut self, _now: Time, view: View) {
        self.nodes.set_view(view);
        let nodes = &self.nodes;
        self.sequences
            .retain(|host| nodes.role(host) == Some(Role::HostAgent));
    }

    /// Takes over new services, quotas and time spans. Node number, hash secret and the sizes of
    /// tables and queues stay as they were at the start.
    pub fn handle_config(&mut self, _now: Time, config: Config) {
        let Config {
            node: _,
            hash_key: _,
            services,
            limits,
            timers,
        } = config;
        self.pools.reconfigure(&services);
        self.records.reconfigure(&limits, &timers);
        self.searches.reconfigure(timers.offered);
        self.who_has.reconfigure(timers.who_has);
    }

    /// Ends what has lasted its time.
    pub fn handle_timeout(&mut self, now: Time) {
        for _ in 0..EXPIRIES_PER_CALL {
            if !self.expire_who_has(now) {
                break;
            }
        }
        for _ in 0..EXPIRIES_PER_CALL {
            if !self.searches.expire(now) {
                break;
            }
        }
        for _ in 0..EXPIRIES_PER_CALL {
            if self.records.expire(now).is_none() {
                break;
            }
            self.out.stats.records_expired += 1;
        }
    }

    /// When [`Self::handle_timeout`] is wanted next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let deadlines = [
            self.records.next_deadline(),
            self.searches.next_deadline(),
            self.who_has.next_deadline(),
        ];
        let earliest = deadlines.into_iter().flatten().min()?;
        Some(Time::from_nanos(earliest))
    }

    /// The next message to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.outbox.poll()
    }

    /// Takes back the buffer of a message that was sent.
    pub fn recycle(&mut self, buf: PacketBuf) {
        self.out.outbox.recycle(buf);
    }

    /// Counters and gauges of now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let bytes = self.records.allocated_bytes()
            + self.searches.allocated_bytes()
            + self.who_has.allocated_bytes();
        Stats {
            flows: u64::from(self.records.len()),
            untrusted: u64::from(self.records.untrusted()),
            searches: u64::from(self.searches.len()),
            who_has: u64::from(self.who_has.len()),
            table_bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
            ..self.out.stats.clone()
        }
    }

    /// What is known of each host of each service, in order of service number.
    pub fn host_loads(&self) -> impl Iterator<Item = HostLoad> {
        self.pools.loads()
    }
}

#[cfg(test)]
mod tests;
