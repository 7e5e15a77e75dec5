//! Flows that wait for an answer to their Open, and the packets held for them.

use crate::config::{Limits, Timers};
use crate::pace::Pace;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;
use jlb_flow_table::{FlowTable, Handle};
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::message::{Intent, Tried};
use jlb_protocol::planted::{self, Bug};
use jlb_protocol::{Birth, DropReason, FlowKey, NodeNumber, Time};

mod digest;

/// The grain of repeats.
const TICK: Duration = Duration::from_millis(1);

/// What an attempt asks. Two with the same question are the same attempt, at whichever ingress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Question {
    /// What the first packet asks for.
    pub(crate) intent: Intent,
    /// The attempt's id, see [`jlb_protocol::OfferNumber`].
    pub(crate) isn: u32,
}

/// How a packet relates to the attempt that its flow has under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Relation {
    /// It asks what is being asked already, and the ingress repeats that by itself (R5).
    Repeat,
    /// It waits for the same answer.
    Waits,
    /// It asks something newer.
    Supersedes,
}

impl Question {
    /// How a packet that asks `self` relates to an attempt that asks `asked`.
    ///
    /// A SYN with another number begins another connection. A datagram may begin a flow, and so
    /// must not wait for the answer about an ICMP error, which may only be "unknown".
    pub(crate) fn relation(self, asked: Self) -> Relation {
        match (self.intent, asked.intent) {
            (Intent::Syn, Intent::Syn) if self.isn == asked.isn => Relation::Repeat,
            (Intent::Syn, _) | (Intent::Datagram, Intent::Syn | Intent::MidFlow) => {
                Relation::Supersedes
            }
            (Intent::Datagram, Intent::Datagram) | (Intent::MidFlow, _) => Relation::Waits,
        }
    }
}

/// Who is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// Nobody, since this ingress sees no other node, or does not know yet whom there is, or has asked
    /// all hosts too often just now.
    Nobody,
    /// A tracker.
    Tracker {
        tracker: NodeNumber,
        /// Its rank: each lower one said that it does not act.
        rank: usize,
        /// The one that said so last; this tracker then leads without it.
        not_acting: Option<NodeNumber>,
    },
    /// All hosts of the pool, whether they have the flow; see [`OwnSearch::waiting`].
    AllHosts,
    /// The host of [`OwnSearch::offered`], whether it takes the flow.
    Host,
}

/// What an attempt's search without trackers knows (R13).
#[derive(Clone, Debug)]
pub(crate) struct OwnSearch {
    /// Offers that may still be made: the step of the last one made.
    pub(crate) steps: u8,
    /// Hosts that rejected it or were lost.
    pub(crate) tried: Tried,
    /// The host that this ingress has offered the flow to and that has not answered.
    pub(crate) offered: Option<NodeNumber>,
    /// Hosts that were asked whether they have the flow and have not answered, sorted.
    pub(crate) waiting: Vec<NodeNumber>,
    /// Hosts that have answered that they don't, sorted.
    pub(crate) without: Vec<NodeNumber>,
}

/// One question under way.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) question: Question,
    /// The flow's hash.
    pub(crate) flow: FlowHash,
    /// Offers that the search may make (R6).
    pub(crate) search_ttl: u8,
    /// Who is asked.
    pub(crate) asked: Asked,
    /// The search that this ingress runs or ran itself.
    pub(crate) own: Option<Box<OwnSearch>>,
    /// The host that just said that this life of the flow is not its own (R4).
    pub(crate) disowned: Option<(NodeNumber, Birth)>,
    /// When the attempt is given up.
    pub(crate) ends: Time,
    /// The wait before the next repeat.
    pub(crate) retry: Duration,
    /// How often the timer has repeated it.
    pub(crate) repeats: u32,
    /// All trackers have said that they do not act: the waits grow from then on.
    pub(crate) went_round: bool,
    /// Since the view has changed, whom to ask is to be found out anew.
    pub(crate) outdated: bool,
    /// A tracker has queued the flow: it is asked again only now and then, lest its answer is lost.
    pub(crate) queued: bool,
    /// Packets held, oldest first; the first is the one that travels with the Open.
    packets: Vec<Box<[u8]>>,
}

impl Attempt {
    /// An attempt that begins now, without packets, and that asks nobody yet.
    pub(crate) fn new(
        question: Question,
        flow: FlowHash,
        search_ttl: u8,
        timers: &Timers,
        pace: Pace,
        now: Time,
    ) -> Self {
        Self {
            question,
            flow,
            search_ttl,
            asked: Asked::Nobody,
            own: None,
            disowned: None,
            ends: now + timers.open_timeout,
            retry: pace.first_wait(),
            repeats: 0,
            went_round: false,
            outdated: false,
            queued: false,
            packets: Vec::new(),
        }
    }

    /// The host that this ingress has offered the flow to and that has not answered.
    pub(crate) fn offered(&self) -> Option<NodeNumber> {
        self.own.as_ref().and_then(|own| own.offered)
    }

    /// Whether a tracker may refuse or queue the flow. While hosts are asked who has it, such words
    /// are of a search that is over; while one is asked to take it, it may have passed the Offer on
    /// to a tracker that it sees (R13), but never a mid-flow one.
    pub(crate) fn heeds_trackers(&self) -> bool {
        match (self.asked, self.question.intent) {
            (Asked::Tracker { .. }, _) | (Asked::Host, Intent::Syn | Intent::Datagram) => true,
            (Asked::Host, Intent::MidFlow) | (Asked::AllHosts | Asked::Nobody, _) => false,
        }
    }

    /// The packet that asks.
    pub(crate) fn first(&self) -> &[u8] {
        self.packets.first().map_or(&[], |packet| packet)
    }

    /// The packets, oldest first.
    pub(crate) fn packets(&self) -> impl Iterator<Item = &[u8]> {
        self.packets.iter().map(|packet| &**packet)
    }

    /// Number of packets held.
    pub(crate) fn held(&self) -> usize {
        self.packets.len()
    }

    fn bytes(&self) -> usize {
        self.packets.iter().map(|packet| packet.len()).sum()
    }
}

/// Flows and bytes of one class of attempts.
#[derive(Clone, Copy, Default, Debug)]
struct Share {
    flows: u32,
    bytes: usize,
}

/// All attempts under way.
///
/// Questions that may begin a flow and questions about existing flows each take at most three
/// quarters of the flows and bytes, so that a flood of one kind leaves room for the other.
#[derive(Clone)]
pub(crate) struct Pending {
    table: FlowTable<FlowKey, Attempt>,
    limits: Limits,
    beginning: Share,
    existing: Share,
}

impl Pending {
    pub(crate) fn new(limits: &Limits, seed: u64) -> Self {
        Self {
            table: FlowTable::new(limits.max_pending, TICK, seed),
            limits: limits.clone(),
            beginning: Share::default(),
            existing: Share::default(),
        }
    }

    /// Sets new bounds; the table keeps the size that it was made with.
    pub(crate) fn set_limits(&mut self, limits: &Limits) {
        self.limits = limits.clone();
    }

    pub(crate) fn len(&self) -> u32 {
        self.table.len()
    }

    /// Bytes of all packets held.
    pub(crate) fn bytes(&self) -> usize {
        self.beginning.bytes + self.existing.bytes
    }

    pub(crate) fn find(&self, key: &FlowKey) -> Option<Handle> {
        self.table.find(key)
    }

    pub(crate) fn get(&self, handle: Handle) -> Option<(&FlowKey, &Attempt)> {
        Some((self.table.key(handle)?, self.table.get(handle)?))
    }

    pub(crate) fn get_mut(&mut self, handle: Handle) -> Option<&mut Attempt> {
        self.table.get_mut(handle)
    }

    pub(crate) fn handles(&self) -> Vec<Handle> {
        self.table.handles().collect()
    }

    /// Adds an attempt with a copy of its first packet. The flow has none under way.
    pub(crate) fn admit(
        &mut self,
        key: FlowKey,
        attempt: Attempt,
        first: &[u8],
    ) -> Result<Handle, DropReason> {
        let intent = attempt.question.intent;
        let max = self.limits.max_pending.min(self.table.max_entries());
        if self.table.len() >= max || self.share(intent).flows >= max - max / 4 {
            return Err(DropReason::PendingFull);
        }
        self.check_bytes(intent, first.len())?;
        let handle = self
            .table
            .insert(key, attempt)
            .map_err(|_| DropReason::PendingFull)?;
        let share = self.share_mut(intent);
        share.flows += 1;
        share.bytes += first.len();
        if let Some(attempt) = self.table.get_mut(handle) {
            attempt.packets.push(first.into());
        }
        Ok(handle)
    }

    /// Adds a copy of a packet to those that wait for the attempt's answer.
    pub(crate) fn hold(&mut self, handle: Handle, packet: &[u8]) -> Result<(), DropReason> {
        let max = usize::from(self.limits.max_pending_packets_per_flow);
        let Some(attempt) = self.table.get(handle) else {
            return Err(DropReason::PendingFull);
        };
        if attempt.packets.len() >= max && !planted::is(Bug::UnboundedPending) {
            return Err(DropReason::FlowQueueFull);
        }
        let intent = attempt.question.intent;
        self.check_bytes(intent, packet.len())?;
        self.share_mut(intent).bytes += packet.len();
        if let Some(attempt) = self.table.get_mut(handle) {
            attempt.packets.push(packet.into());
        }
        Ok(())
    }

    /// Ends an attempt and hands it over with its packets.
    pub(crate) fn take(&mut self, handle: Handle) -> Option<(FlowKey, Attempt)> {
        let (key, attempt) = self.table.remove(handle)?;
        let bytes = attempt.bytes();
        let share = self.share_mut(attempt.question.intent);
        share.flows = share.flows.saturating_sub(1);
        share.bytes = share.bytes.saturating_sub(bytes);
        Some((key, attempt))
    }

    /// Arms the attempt's next repeat, or its end where that is nearer.
    pub(crate) fn arm(&mut self, handle: Handle, now: Time) {
        if let Some(attempt) = self.table.get(handle) {
            let due = (now + attempt.retry).min(attempt.ends);
            self.table.set_deadline(handle, due.as_nanos());
        }
    }

    /// Has the attempt ask anew at `at`, by what the view says then.
    pub(crate) fn outdate(&mut self, handle: Handle, at: Time) {
        if let Some(attempt) = self.table.get_mut(handle) {
            attempt.outdated = true;
            self.table.set_deadline(handle, at.as_nanos());
        }
    }

    /// When the attempt has asked last, or before: it follows from when the next repeat is due.
    pub(crate) fn asked_at(&self, handle: Handle) -> Time {
        let due = self.table.deadline(handle).unwrap_or(0);
        let retry = self.table.get(handle).map_or(0, |it| it.retry.as_nanos());
        Time::from_nanos(due.saturating_sub(u64::try_from(retry).unwrap_or(u64::MAX)))
    }

    /// An attempt that is due for a repeat or over.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<Handle> {
        self.table.pop_expired(now.as_nanos())
    }

    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.table.next_deadline()
    }

    fn check_bytes(&self, intent: Intent, more: usize) -> Result<(), DropReason> {
        let max = self.limits.max_pending_bytes;
        let share = self.share(intent).bytes.saturating_add(more);
        let is_full = self.bytes().saturating_add(more) > max || share > max - max / 4;
        if is_full && !planted::is(Bug::UnboundedPending) {
            return Err(DropReason::PendingBytesFull);
        }
        Ok(())
    }

    fn share(&self, intent: Intent) -> &Share {
        match intent {
            Intent::Syn | Intent::Datagram => &self.beginning,
            Intent::MidFlow => &self.existing,
        }
    }

    fn share_mut(&mut self, intent: Intent) -> &mut Share {
        match intent {
            Intent::Syn | Intent::Datagram => &mut self.beginning,
            Intent::MidFlow => &mut self.existing,
        }
    }
}

#[cfg(test)]
mod tests;
