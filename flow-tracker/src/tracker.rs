//! The flow tracker: what it holds, and the contract with the shell that drives it.

use crate::config::Config;
use crate::filling::Filling;
use crate::nodes::Nodes;
use crate::output::Output;
use crate::pool::{HostLoad, Pools, Shadow};
use crate::primary::{Done, Ended};
use crate::record::State;
use crate::records::{Expiry, Records};
use crate::search::Searches;
use crate::statements::{Closing, Sequences};
use crate::stats::Stats;
use crate::surge::Surge;
use crate::who_has::WhoHas;
use core::time::Duration;
use jlb_protocol::message::{Control, FlowKind, FlowMessage};
use jlb_protocol::{
    DropReason, FlowKey, Ledger, Message, NodeNumber, PacketBuf, Role, Time, Transmit, View,
};

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
    pub(crate) surge: Surge,
    pub(crate) sequences: Sequences,
    pub(crate) filling: Filling,
    /// How long a record lives without its host's word.
    pub(crate) lease: Duration,
    pub(crate) out: Output,
}

impl FlowTracker {
    /// A tracker without records. Its own state is the one that its view gives it: one that joins
    /// chooses no hosts until its view has it active; one that is active from the start, as in a
    /// fixed list, asks hosts first until they have filled it. The seed is secret and decides where the
    /// policies' turns begin.
    #[must_use]
    pub fn new(config: Config, view: View, seed: u64, now: Time) -> Self {
        let Config {
            node,
            hash_key,
            services,
            limits,
            timers,
            dead_host,
        } = config;
        let nodes = Nodes::new(node, hash_key, view, dead_host, now);
        Self {
            pools: Pools::new(&services, seed),
            records: Records::new(&limits, &timers, nodes.ranked(), seed),
            searches: Searches::new(limits.max_searches, timers.offered, seed),
            who_has: WhoHas::new(limits.max_who_has, timers.who_has, seed),
            surge: Surge::new(limits.max_queued, limits.max_queued_bytes, seed),
            sequences: Sequences::default(),
            filling: Filling::new(&nodes, now),
            lease: timers.lease,
            nodes,
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
        let (flow, ranking) = self.nodes.know(&message.key);
        self.records.know(&message.key, flow, ranking);
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
                sequence,
                filled,
                listed,
                flows,
            } => {
                let closing = Closing {
                    filled: *filled,
                    listed: *listed,
                };
                self.state(now, from, *sequence, flows, closing)
            }
            Control::Load { services } => self.load(now, from, services),
            Control::Digest { sequence, buckets } => self.digests(now, from, *sequence, buckets),
            Control::Hello { .. }
            | Control::HelloAck { .. }
            | Control::Ack { .. }
            | Control::SendFull { .. }
            | Control::Members { .. } => Err(DropReason::WrongRole),
        }
    }

    /// Takes over a new view, with this node's own entry in it.
    pub fn handle_view(&mut self, now: Time, view: View) {
        let returned = self.nodes.activated(&view);
        let has_left = self.nodes.set_view(view, now);
        self.records.rank(now, self.nodes.ranked());
        self.filling.set_view(&self.nodes, now, self.lease);
        let nodes = &self.nodes;
        let is_host = |host| nodes.role(host) == Some(Role::HostAgent);
        self.sequences.retain(is_host);
        self.records.buckets.retain(is_host);
        // Views change often while many nodes come up: pools are looked through if that is of use.
        if has_left {
            self.pools.retain(nodes);
        }
        self.pools.returned(now, &returned);
        self.review_questions(now);
    }

    /// Takes over new services, quotas, the outbox's bound and time spans. Node number, hash secret and
    /// the sizes of tables stay as they were at the start.
    pub fn handle_config(&mut self, _now: Time, config: Config) {
        let Config {
            node: _,
            hash_key: _,
            services,
            limits,
            timers,
            dead_host,
        } = config;
        self.nodes.reconfigure(dead_host);
        self.pools.reconfigure(&services);
        self.records.reconfigure(&limits, &timers);
        self.searches.reconfigure(timers.offered);
        self.who_has.reconfigure(timers.who_has);
        self.lease = timers.lease;
        self.out.outbox.set_max(limits.max_outbox);
    }

    /// Ends what has lasted its time.
    pub fn handle_timeout(&mut self, now: Time) {
        for _ in 0..EXPIRIES_PER_CALL {
            if !self.expire_who_has(now) {
                break;
            }
        }
        self.take_turn(now);
        for _ in 0..EXPIRIES_PER_CALL {
            if !self.expire_waiting(now) {
                break;
            }
        }
        for _ in 0..EXPIRIES_PER_CALL {
            if !self.searches.expire(now) {
                break;
            }
        }
        for _ in 0..EXPIRIES_PER_CALL {
            match self.records.expire(now) {
                Some(Expiry::Over(_)) => self.out.stats.records_expired += 1,
                Some(Expiry::Confirmed) => {}
                None => break,
            }
        }
        self.out.stats.records_unlisted += self.records.walk_on(now);
        self.prompt_hosts(now);
    }

    /// When [`Self::handle_timeout`] is wanted next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let deadlines = [
            self.records.next_deadline(),
            self.searches.next_deadline(),
            self.who_has.next_deadline(),
            self.surge.next_deadline(),
            self.filling.next_deadline(),
        ];
        let earliest = deadlines.into_iter().fold(None, earlier)?;
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

    /// The books (R14).
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.out.stats.ledger
    }

    /// The host that has the flow, as far as this tracker knows.
    #[must_use]
    pub fn owner(&self, key: &FlowKey) -> Option<NodeNumber> {
        let (_, record) = self.records.find(key)?;
        match record.state {
            State::Owned(owned) => Some(owned.host),
            State::Offered(_) | State::Rejected { .. } | State::Refused { .. } => None,
        }
    }

    /// Counters and gauges of now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let bytes = self.records.allocated_bytes()
            + self.searches.allocated_bytes()
            + self.who_has.allocated_bytes()
            + self.surge.allocated_bytes();
        let (hosts_marked, hosts_unmarked) = self.filling.counts();
        Stats {
            hosts_marked,
            hosts_unmarked,
            flows: u64::from(self.records.len()),
            untrusted: u64::from(self.records.untrusted()),
            searches: u64::from(self.searches.len()),
            who_has: u64::from(self.who_has.len()),
            waiting: u64::from(self.surge.waiting()),
            table_bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
            ..self.out.stats.clone()
        }
    }

    /// What is known of each host of each service, in order of service number.
    pub fn host_loads(&self, now: Time) -> impl Iterator<Item = HostLoad> {
        self.pools.loads(now)
    }

    /// What the shadow policies would have done, in order of service number.
    pub fn shadows(&self) -> impl Iterator<Item = Shadow> {
        self.pools.shadows()
    }
}

/// The earlier of two deadlines, if there is any.
#[inline(always)]
fn earlier(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests;
