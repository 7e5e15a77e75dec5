//! The state machine's contract with its driver.

use crate::answers::AnswerLimit;
use crate::cache::{Cache, Hint, Idle};
use crate::config::Config;
use crate::hosts::Hosts;
use crate::matching::{Matching, Target};
use crate::messages::End;
use crate::pace::Pace;
use crate::pending::{Pending, Question};
use crate::stats::Stats;
use crate::who_has::WhoHasRate;
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::message::{Control, Intent};
use jlb_protocol::packet;
use jlb_protocol::planted::{self, Bug};
use jlb_protocol::rank::Ranking;
use jlb_protocol::view::Member;
use jlb_protocol::wire;
use jlb_protocol::{
    Buffer, DropReason, FlowKey, Ledger, MemberState, Message, NodeNumber, Outbox, PacketBuf, Role,
    Time, Transmit, View,
};

/// Attempts repeated or given up, or messages that this takes, in one call of
/// [`Ingress::handle_timeout`] or [`Ingress::handle_view`], so that the driver drains the outbox in
/// between.
pub(crate) const REPEATS_PER_CALL: usize = 256;

/// How far behind its SYN a client's sequence number may be before anybody but the host has heard of
/// it: what fits a window that was not scaled yet (RFC 7323 section 2.2), in bytes.
const FIRST_FLIGHT: u32 = 65_536;

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
            view,
            config,
        }
    }

    /// Processes client packets in place, each to one verdict; what their verdicts were does not
    /// matter. Packets of cached flows cost no allocation.
    pub fn process<B: Buffer>(&mut self, now: Time, batch: &mut [Packet<B>]) {
        for packet in batch {
            self.stats.packets += 1;
            self.stats.ledger.received += 1;
            packet.verdict = match self.process_one(now, &mut packet.buf) {
                Ok(verdict) => verdict,
                Err(reason) => Verdict::Dropped(reason),
            };
            let ledger = &mut self.stats.ledger;
            match packet.verdict {
                Verdict::Forward { .. } => ledger.sent += 1,
                Verdict::Inject => ledger.delivered += 1,
                Verdict::Pending | Verdict::Held => ledger.held += 1,
                Verdict::Dropped(reason) => ledger.drop_for(reason),
            }
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

    fn process_one(&mut self, now: Time, buf: &mut impl Buffer) -> Result<Verdict, DropReason> {
        let (key, question, hint, source) = match self.matching.classify(buf.as_slice())? {
            Target::Echo => {
                packet::answer_echo(buf)?;
                self.stats.echoes += 1;
                return Ok(Verdict::Inject);
            }
            Target::Flow {
                key,
                question,
                hint,
                source,
            } => (key, question, hint, source),
        };
        if buf.as_slice().len() > usize::from(self.config.max_inner) {
            return Err(DropReason::TooBig);
        }
        self.stats.icmp_errors += u64::from(hint == Hint::Nothing);
        if question.intent == Intent::Syn && !planted::is(Bug::SynAsData) {
            // R7: a SYN is never data. The entry of an earlier life stays until the Accept replaces
            // it: the SYN may be forged, and the old connection alive.
            self.stats.syns += 1;
        } else if let Some(entry) = self.cache.hit(&key, hint, now) {
            if entry.contested && self.waits_for_new_life(&key, question, buf.as_slice())? {
                return Ok(Verdict::Held);
            }
            if self.hosts.is_down(entry.host) {
                // R4: it may be alive, and the flow may have moved on since this entry was made: the
                // trackers know.
                self.stats.down_host_misses += 1;
                match self.ask(now, key, question, None, buf.as_slice()) {
                    Ok(()) => return Ok(Verdict::Held),
                    Err(reason) if self.hosts.is_dead(entry.host) => return Err(reason),
                    // Nobody to ask, or no room to wait: as if the host were there.
                    Err(_) => {}
                }
            }
            wire::encapsulate_data(buf, key.service(), Some(entry.birth))?;
            self.stats.cache_hits += 1;
            return Ok(Verdict::Forward {
                to: entry.host,
                flow: entry.flow(),
            });
        } else {
            self.stats.cache_misses += 1;
        }
        if self.matching.is_forged(source) {
            return Err(DropReason::BadIpHeader);
        }
        let is_syn = question.intent == Intent::Syn;
        self.ask(now, key, question, None, buf.as_slice())?;
        if is_syn {
            self.cache.contest(&key, true);
        }
        Ok(Verdict::Held)
    }

    /// Holds a packet that follows a SYN which is still asked for. With direct return the client hears from
    /// the new life's host before this ingress does: by the old entry its ACK would reach another
    /// host (S1). `Ok(false)` if it is of the life that the entry names.
    fn waits_for_new_life(
        &mut self,
        key: &FlowKey,
        question: Question,
        packet: &[u8],
    ) -> Result<bool, DropReason> {
        let attempt = self.pending.find(key).and_then(|handle| {
            let (_, attempt) = self.pending.get(handle)?;
            (attempt.question.intent == Intent::Syn).then_some((handle, attempt.question.isn))
        });
        let Some((handle, isn)) = attempt else {
            self.cache.contest(key, false);
            return Ok(false);
        };
        if !(1..=FIRST_FLIGHT).contains(&question.isn.wrapping_sub(isn)) {
            return Ok(false);
        }
        self.pending.hold(handle, packet)?;
        Ok(true)
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
