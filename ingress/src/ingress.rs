//! The state machine's contract with its driver.

use crate::answers::AnswerLimit;
use crate::cache::{Cache, Idle};
use crate::config::Config;
use crate::forward::Aim;
use crate::hosts::Hosts;
use crate::matching::Matching;
use crate::messages::End;
use crate::pace::Pace;
use crate::pending::Pending;
use crate::stats::Stats;
use crate::who_has::WhoHasRate;
use alloc::vec::Vec;
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::message::Control;
use jlb_protocol::rank::Ranking;
use jlb_protocol::view::Member;
use jlb_protocol::{
    DropReason, Ledger, MemberState, Message, NodeNumber, Outbox, PacketBuf, Role, Time, Transmit,
    View,
};

/// Attempts repeated or given up, or messages that this takes, in one call of
/// [`Ingress::handle_timeout`] or [`Ingress::handle_view`], so that the driver drains the outbox in
/// between.
pub(crate) const REPEATS_PER_CALL: usize = 256;

/// What is to be done with a packet after [`Ingress::process`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Not processed yet.
    Pending,
    /// The buffer holds a Data message: seal it and send it.
    Forward {
        /// The flow's host.
        to: NodeNumber,
        /// The flow's hash, from which the outer source port is derived.
        flow: FlowHash,
    },
    /// The buffer holds an answer for the client: give it to the machine's own IP stack.
    Inject,
    /// A copy is held until the flow has a host; the buffer is free.
    Held,
    /// The packet goes no further; the buffer is free.
    Dropped(DropReason),
}

/// A client packet on its way through [`Ingress::process`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet<B = PacketBuf> {
    /// The IP packet; after processing, what the verdict says.
    pub buf: B,
    /// What came of it.
    pub verdict: Verdict,
}

impl<B> Packet<B> {
    /// A packet that is to be processed.
    #[must_use]
    pub const fn new(buf: B) -> Self {
        Self {
            buf,
            verdict: Verdict::Pending,
        }
    }
}

/// An ingress.
///
/// Every call that takes `now` may leave something to send: drain [`Self::poll_transmit`] after
/// it, then ask [`Self::poll_timeout`] when to call [`Self::handle_timeout`]. `now` never goes
/// back. Nothing here fails or panics, whatever comes from the network: what is wrong is dropped
/// and counted by reason, and after every call `stats().ledger.imbalance()` is 0 (R14).
#[derive(Clone)]
pub struct Ingress {
    pub(crate) config: Config,
    pub(crate) view: View,
    pub(crate) matching: Matching,
    pub(crate) ranking: Ranking,
    pub(crate) hosts: Hosts,
    /// Whether the view has a host that is not down.
    pub(crate) sees_host: bool,
    /// Whether the view tells by now who is there, see [`Ingress::handle_settled`].
    pub(crate) settled: bool,
    pub(crate) who_has: WhoHasRate,
    pub(crate) cache: Cache,
    pub(crate) pending: Pending,
    pub(crate) pace: Pace,
    pub(crate) outbox: Outbox,
    pub(crate) answer_limit: AnswerLimit,
    pub(crate) stats: Stats,
    /// Of the packets that are processed: kept for its room alone.
    pub(crate) aims: Vec<Aim>,
}

impl Ingress {
    /// An ingress without flows. `seed` should be secret and differ from node to node: with it
    /// nobody can choose flows that collide in the tables.
    #[must_use]
    pub fn new(config: Config, view: View, seed: u64, now: Time) -> Self {
        let idle = Idle::new(config.timers.cache_idle);
        Self {
            matching: Matching::new(&config.services),
            ranking: Ranking::new(config.hash_key, &view),
            hosts: Hosts::new(config.dead_host, &view, now),
            sees_host: sees_host(&view),
            settled: true,
            who_has: WhoHasRate::default(),
            cache: Cache::new(config.limits.max_flows, idle, seed),
            pending: Pending::new(&config.limits, seed.rotate_left(32)),
            pace: Pace::new(&config.timers),
            outbox: Outbox::new(config.limits.max_outbox),
            answer_limit: AnswerLimit::new(now),
            stats: Stats::default(),
            aims: Vec::new(),
            view,
            config,
        }
    }

    /// Counts packets that went the way of one that was forwarded: the further segments of a large
    /// packet, whose headers say the same of their flow as the first's.
    pub fn count_forwarded(&mut self, packets: u64) {
        self.stats.packets += packets;
        self.stats.cache_hits += packets;
        self.stats.ledger.received += packets;
        self.stats.ledger.sent += packets;
    }

    /// Takes a message from another node, whose seal the link has verified.
    pub fn handle_message(&mut self, now: Time, from: NodeNumber, message: &Message<'_>) {
        self.stats.ledger.received += 1;
        let end = match message {
            Message::Flow(message) => self.handle_flow(now, from, message),
            Message::Control(Control::State {
                sequence, flows, ..
            }) => self.handle_state(now, from, *sequence, flows),
            // Hellos end in the link; nothing else is meant for an ingress.
            Message::Control(
                Control::Hello { .. }
                | Control::HelloAck { .. }
                | Control::Ack { .. }
                | Control::Digest { .. }
                | Control::SendFull { .. }
                | Control::Load { .. }
                | Control::Members { .. },
            ) => Err(DropReason::WrongRole),
        };
        let ledger = &mut self.stats.ledger;
        match end {
            Ok(End::Consumed) => ledger.consumed += 1,
            Ok(End::Held) => ledger.held += 1,
            Ok(End::Sent) => ledger.sent += 1,
            Err(reason) => ledger.drop_for(reason),
        }
    }

    /// Acts on another view from now on: attempts whose primary has changed ask the new one, and
    /// flows of hosts that are no members any more are forgotten. Those of hosts that are believed
    /// down stay: they may be alive (R4).
    ///
    /// Where a tracker or host was lost, or a tracker has become active, every attempt asks again at
    /// once: its question or the answer may have been lost with that node.
    pub fn handle_view(&mut self, now: Time, view: View) {
        self.ranking = Ranking::new(self.config.hash_key, &view);
        let is_host = |view: &View, node| {
            view.member(node)
                .is_some_and(|member| member.role == Role::HostAgent)
        };
        let before = self.view.members().iter();
        let has_lost_one = before
            .filter(|member| member.role == Role::HostAgent)
            .any(|member| !is_host(&view, member.node));
        if has_lost_one {
            self.cache.retain_hosts(|host| is_host(&view, host));
        }
        self.hosts.set_view(&view, now);
        self.sees_host = sees_host(&view);
        let ask_all = has_lost(&self.view, &view) || has_new_tracker(&self.view, &view);
        self.view = view;
        self.retarget(now, ask_all);
    }

    /// Says whether the view tells who is there, as it does in the beginning: not for a while after a
    /// start or a pause of this node, when a node that is down in it has perhaps not been heard of
    /// yet. Until it does the ingress does not conclude that there is no tracker (R13), and what would
    /// be asked waits.
    pub fn handle_settled(&mut self, now: Time, settled: bool) {
        if self.settled != settled {
            self.settled = settled;
            self.retarget(now, false);
        }
    }

    /// Acts on another configuration from now on. Flows of services that are gone, or whose VIP or
    /// protocol has changed, are forgotten, the others stay. The tables keep the sizes that they were
    /// made with.
    pub fn handle_config(&mut self, now: Time, config: Config) {
        let matching = Matching::new(&config.services);
        let old = core::mem::replace(&mut self.matching, matching);
        self.cache.set_idle(Idle::new(config.timers.cache_idle));
        self.pending.set_limits(&config.limits);
        self.pace.set_timers(&config.timers);
        self.hosts.set_after(config.dead_host, now);
        self.outbox.set_max(config.limits.max_outbox);
        self.ranking = Ranking::new(config.hash_key, &self.view);
        self.config = config;
        let new = &self.matching;
        // Tables are large: they are walked for services that are gone only.
        if old.numbers().any(|service| !old.same_service(new, service)) {
            self.cache
                .retain_services(|service| old.same_service(new, service));
            for handle in self.pending.handles() {
                let service = self.pending.get(handle).map(|(key, _)| key.service());
                if service.is_some_and(|service| !old.same_service(&self.matching, service)) {
                    self.give_up(handle, DropReason::NoService);
                }
            }
        }
        self.retarget(now, false);
    }

    /// Repeats what is unanswered and forgets what is over. Does a bounded part of it:
    /// [`Self::poll_timeout`] is not after `now` if something is left.
    pub fn handle_timeout(&mut self, now: Time) {
        let mut sent = 0;
        while sent < REPEATS_PER_CALL {
            let Some(handle) = self.pending.pop_due(now) else {
                break;
            };
            // An attempt that was over already counts too, so that the loop ends.
            sent += self.repeat(now, handle).max(1);
        }
        if self.hosts.next_deadline().is_some_and(|due| due <= now) {
            self.hosts.settle(now);
        }
        self.stats.expired += self.cache.expire(now);
    }

    /// When [`Self::handle_timeout`] is to be called; `None` if nothing is waited for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let deadlines = [self.pending.next_deadline(), self.cache.next_deadline()];
        let deadline = deadlines.into_iter().flatten().min().map(Time::from_nanos);
        [deadline, self.hosts.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next packet or message to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.outbox.poll()
    }

    /// Takes back a buffer that [`Self::poll_transmit`] gave.
    pub fn recycle(&mut self, buf: PacketBuf) {
        self.outbox.recycle(buf);
    }

    /// The books alone, without what [`Self::stats`] has to gather.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.stats.ledger
    }

    /// Counters and gauges as of now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats.clone();
        stats.flows = u64::from(self.cache.len());
        stats.flows_unproven = u64::from(self.cache.unproven());
        stats.flows_bytes = self.cache.allocated_bytes() as u64;
        stats.pending = u64::from(self.pending.len());
        stats.pending_bytes = self.pending.bytes() as u64;
        stats.outbox = self.outbox.len() as u64;
        stats.dead_hosts = self.hosts.dead() as u64;
        stats.hosts = self.cache.spread();
        stats
    }
}

/// Whether the view has a host that is not believed down.
fn sees_host(view: &View) -> bool {
    view.members()
        .iter()
        .any(|member| member.role == Role::HostAgent && member.state != MemberState::Down)
}

/// Whether a tracker or host of `old` is gone in `new`: down, no member, or in another life.
fn has_lost(old: &View, new: &View) -> bool {
    let lives = |member: &&Member| match member.role {
        Role::FlowTracker | Role::HostAgent => member.state != MemberState::Down,
        Role::Ingress => false,
    };
    old.members().iter().filter(lives).any(|member| {
        let now = new.member(member.node).filter(lives);
        now.is_none_or(|now| now.incarnation != member.incarnation)
    })
}

/// Whether a tracker has become active.
fn has_new_tracker(old: &View, new: &View) -> bool {
    let mut active = new.active(Role::FlowTracker);
    active.any(|tracker| {
        let before = old.member(tracker);
        before.is_none_or(|before| before.state != MemberState::Active)
    })
}

#[cfg(test)]
mod tests;
