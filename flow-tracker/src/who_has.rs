//! Flows that no record knows: hosts are asked whether they have the flow, and the packet is held
//! meanwhile.
//!
//! For a mid-flow packet every live host of the pool is asked (R4); a reset goes to the client only
//! after every one of them said no, and none is down that may come back with it. For a SYN or a
//! datagram those are asked that may not have told this tracker of all their flows (R10); when
//! they said no, the search for a host begins.

use crate::filling::Doubt;
use crate::primary::{Done, Ended, Question};
use crate::record::{Owned, State};
use crate::tracker::FlowTracker;
use alloc::vec::Vec;
use core::time::Duration;
use jlb_flow_table::FlowTable;
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::message::{FlowKind, FlowMessage, Hunt, Intent, Path, Reason, Tried};
use jlb_protocol::planted::{self, Bug};
use jlb_protocol::rate::Rate;
use jlb_protocol::{DropReason, FlowKey, NodeNumber, OfferNumber, PacketBuf, Time};

mod digest;

/// Hosts that a question may go to and count once.
const HOSTS_PER_PERMISSION: usize = 64;

/// Deadlines are rounded up to this.
const TICK: Duration = Duration::from_millis(1);

/// How many questions a host must leave unanswered before it is not waited for any more: a SYN
/// that nobody repeats, and that the network loses a message for, proves nothing of a host.
const TIMES_TO_BE_SILENT: u8 = 4;

/// A flow whose owner is asked for.
#[derive(Clone, Debug)]
struct Asked {
    /// The id that the hosts were asked with; the packet's may be a later one.
    round: u32,
    isn: u32,
    intent: Intent,
    steps: u8,
    ingress: NodeNumber,
    /// The secondary that Offers are to go through.
    partner: Option<NodeNumber>,
    tried: Tried,
    /// How many hosts were asked.
    hosts: u16,
    /// Hosts that have not answered.
    waiting: Vec<NodeNumber>,
    /// Whether a host that may have the flow was down then, and so was not asked: if it comes back
    /// meanwhile, it has not said no.
    unasked: bool,
    /// How many times the hosts that wait were asked.
    times: u8,
    packet: PacketBuf,
}

/// The flows whose owners are asked for.
#[derive(Clone, Debug)]
pub(crate) struct WhoHas {
    table: FlowTable<FlowKey, Asked>,
    life: Duration,
    rate: Rate,
}

impl WhoHas {
    pub(crate) fn new(max: u32, life: Duration, seed: u64) -> Self {
        Self {
            table: FlowTable::new(max, TICK, seed),
            life,
            rate: Rate::new(),
        }
    }

    pub(crate) const fn reconfigure(&mut self, life: Duration) {
        self.life = life;
    }

    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.table.next_deadline()
    }

    pub(crate) fn len(&self) -> u32 {
        self.table.len()
    }

    pub(crate) fn allocated_bytes(&self) -> usize {
        self.table.allocated_bytes()
    }

    /// Whether one more question may be asked now, and if so, counts it: as many in the time that
    /// one may last as there may be at a time. One packet makes a message to each host of a pool and
    /// is answered within a round trip, so the table's size alone would not bound their rate.
    /// A question to many hosts counts more than once: it is the messages that cost.
    fn may_ask(&mut self, now: Time, hosts: usize) -> bool {
        let count = u32::try_from(hosts.div_ceil(HOSTS_PER_PERMISSION)).unwrap_or(u32::MAX);
        self.rate
            .take_many(now, count.max(1), self.table.max_entries(), self.life)
    }

    fn take(&mut self, key: &FlowKey) -> Option<Asked> {
        let handle = self.table.find(key)?;
        self.table.remove(handle).map(|(_, asked)| asked)
    }
}

impl Asked {
    /// Lets a later packet of the flow take the place of the one that is held.
    fn take_over(&mut self, q: &Question<'_>) {
        self.isn = q.isn;
        self.intent = q.intent;
        self.steps = q.steps;
        self.ingress = q.ingress;
        self.partner = q.partner;
        self.tried = q.tried;
        self.packet.fill(q.packet);
    }

    fn question(&self, key: FlowKey, flow: FlowHash) -> Question<'_> {
        Question {
            key,
            flow,
            isn: self.isn,
            steps: self.steps,
            intent: self.intent,
            ingress: self.ingress,
            partner: self.partner,
            tried: self.tried,
            hunt: Hunt::NONE,
            first: None,
            without: None,
            packet: self.packet.as_slice(),
        }
    }
}

impl FlowTracker {
    /// A mid-flow packet of a flow that nobody in the index knows: does a host?
    pub(crate) fn ask_all(&mut self, now: Time, q: Question<'_>) -> Ended {
        if !self.nodes.acts() {
            // Which hosts are alive, a tracker that joins may not know yet.
            return Err(DropReason::NotFilled);
        }
        if q.steps == 0 {
            return Err(DropReason::UnknownFlow);
        }
        if self.who_has.table.find(&q.key).is_some() {
            return self.ask_again_all(now, q);
        }
        let pool = self
            .pools
            .get(q.key.service())
            .ok_or(DropReason::UnknownService)?;
        let waiting: Vec<_> = pool.live_hosts(&self.nodes).collect();
        if !waiting.is_empty() {
            return self.ask_hosts(now, q, waiting);
        }
        // Nobody has said no. A tracker that hears no host may be cut off itself.
        Err(DropReason::NoHost)
    }

    /// A SYN or datagram of a flow that this tracker might not have been told of: hosts are asked
    /// before it is a new flow (R10).
    pub(crate) fn ask_doubtful(&mut self, now: Time, q: Question<'_>, doubt: Doubt) -> Ended {
        let pool = self
            .pools
            .get(q.key.service())
            .ok_or(DropReason::UnknownService)?;
        let live = pool.live_hosts(&self.nodes);
        let waiting: Vec<_> = live
            .filter(|&host| self.filling.may_have(host, doubt))
            .collect();
        if waiting.is_empty() {
            self.end_question(&q.key);
            return self.lead_known(now, q);
        }
        if self.who_has.table.find(&q.key).is_some() {
            return self.ask_again_all(now, q);
        }
        self.out.stats.who_has_first += 1;
        self.ask_hosts(now, q, waiting)
    }

    /// The flow's owner is being asked for already.
    fn ask_again_all(&mut self, now: Time, q: Question<'_>) -> Ended {
        let found = self.who_has.table.find(&q.key);
        let asked = found.and_then(|handle| self.who_has.table.get(handle));
        // What a SYN opens is more than what a packet of a former life continues.
        let gives_way = asked.is_some_and(|it| it.intent != Intent::MidFlow);
        if gives_way && q.intent == Intent::MidFlow {
            return Err(DropReason::UnknownFlow);
        }
        let hosts = asked.map_or(0, |asked| asked.waiting.len());
        if !self.who_has.may_ask(now, hosts) {
            return Err(DropReason::WhoHasFull);
        }
        let asked = found.and_then(|handle| self.who_has.table.get_mut(handle));
        let Some(asked) = asked else {
            return Err(DropReason::UnknownFlow);
        };
        // R5: the ingress's repeat is the moment to ask again who has not answered yet.
        asked.times = asked.times.saturating_add(1);
        let (round, waiting) = (asked.round, asked.waiting.clone());
        let same = (asked.isn, asked.intent, asked.ingress);
        let repeat = same == (q.isn, q.intent, q.ingress);
        if !repeat {
            asked.take_over(&q);
        }
        self.send_who_has(&q, round, &waiting);
        if repeat {
            return Err(DropReason::Repeat);
        }
        // The packet that was held gives way to this one.
        let ledger = &mut self.out.stats.ledger;
        ledger.held = ledger.held.saturating_sub(1);
        ledger.drop_for(DropReason::Superseded);
        Ok(Done::Held)
    }

    fn ask_hosts(&mut self, now: Time, q: Question<'_>, waiting: Vec<NodeNumber>) -> Ended {
        let is_full = self.who_has.len() >= self.who_has.table.max_entries();
        if is_full || !self.who_has.may_ask(now, waiting.len()) {
            return Err(DropReason::WhoHasFull);
        }
        let mut asked = Asked {
            round: q.isn,
            isn: q.isn,
            intent: q.intent,
            steps: q.steps,
            ingress: q.ingress,
            partner: q.partner,
            tried: q.tried,
            hosts: u16::try_from(waiting.len()).unwrap_or(u16::MAX),
            waiting: waiting.clone(),
            unasked: self.may_be_elsewhere(now, &q.key),
            times: 1,
            packet: self.out.outbox.buffer(),
        };
        asked.take_over(&q);
        let Ok(handle) = self.who_has.table.insert(q.key, asked) else {
            return Err(DropReason::WhoHasFull);
        };
        let deadline = now + self.who_has.life;
        self.who_has.table.set_deadline(handle, deadline.as_nanos());
        self.out.stats.who_has_asked += 1;
        self.send_who_has(&q, q.isn, &waiting);
        Ok(Done::Held)
    }

    fn send_who_has(&mut self, q: &Question<'_>, round: u32, hosts: &[NodeNumber]) {
        for &host in hosts {
            let who_has = FlowMessage {
                kind: FlowKind::WhoHas,
                key: q.key,
                offer: OfferNumber {
                    isn: round,
                    step: q.steps,
                },
                intent: Intent::MidFlow,
                path: Path {
                    ingress: Some(q.ingress),
                    primary: Some(self.nodes.me),
                    secondary: None,
                    host: Some(host),
                },
                birth: None,
                tried: Tried::NONE,
                hunt: Hunt::NONE,
                reason: Reason::None,
                load: 0,
                packet: &[],
            };
            self.out.send(host, q.flow, &who_has);
        }
    }

    /// The record has an owner now: a packet that waited for it is offered down to it.
    pub(crate) fn owner_found(&mut self, now: Time, key: &FlowKey) {
        self.surge.forget(key);
        if self.who_has.len() == 0 {
            return;
        }
        let Some((_, record)) = self.records.find(key) else {
            return;
        };
        let host = match record.state {
            State::Owned(Owned { host, .. }) => host,
            State::Offered(_) | State::Rejected { .. } | State::Refused { .. } => return,
        };
        if self.nodes.is_dead_host(now, host) {
            return;
        }
        let Some(asked) = self.who_has.take(key) else {
            return;
        };
        self.out.stats.who_has_found += 1;
        let q = asked.question(*key, self.nodes.hash(key));
        let ended = match q.steps.checked_sub(1) {
            Some(step) => {
                self.ask_again(now, &q, host, step);
                Ok(Done::Consumed)
            }
            None => Err(DropReason::UnknownFlow),
        };
        self.let_go(asked.packet, ended);
    }

    /// A host says that it does not have the flow.
    pub(crate) fn not_mine(&mut self, now: Time, key: &FlowKey, isn: u32, host: NodeNumber) {
        let found = self.who_has.table.find(key);
        let asked = found.and_then(|handle| self.who_has.table.get_mut(handle));
        let waits = asked.is_some_and(|asked| {
            let before = asked.waiting.len();
            // An answer to an earlier question says nothing of now; hosts that do not echo the
            // question's id say 0.
            if isn == 0 || isn == asked.round {
                asked.waiting.retain(|&waiting| waiting != host);
            }
            asked.waiting.len() < before
        });
        if !waits {
            self.out.stats.statements_stale += 1;
            return;
        }
        self.out.stats.statements += 1;
        if planted::is(Bug::ResetBeforeAllSaidNo)
            && let Some(asked) = found.and_then(|handle| self.who_has.table.get_mut(handle))
        {
            asked.waiting.clear();
        }
        self.answer_if_nobody_waits(now, key);
    }

    /// A new view: who is down, or not a member any more, is not waited for. Where nobody is left,
    /// the question is answered.
    pub(crate) fn review_questions(&mut self, now: Time) {
        let mut place = self.who_has.table.after(None);
        while let Some(handle) = place {
            place = self.who_has.table.after(Some(handle));
            let nodes = &self.nodes;
            if let Some(asked) = self.who_has.table.get_mut(handle) {
                let before = asked.waiting.len();
                asked.waiting.retain(|&host| nodes.is_live_host(host));
                asked.unasked |= asked.waiting.len() < before;
            }
            if let Some(&key) = self.who_has.table.key(handle) {
                self.answer_if_nobody_waits(now, &key);
            }
        }
    }

    fn answer_if_nobody_waits(&mut self, now: Time, key: &FlowKey) {
        let found = self.who_has.table.find(key);
        let nobody = found
            .and_then(|handle| self.who_has.table.get(handle))
            .is_some_and(|asked| asked.waiting.is_empty());
        if !nobody {
            return;
        }
        let Some(asked) = self.who_has.take(key) else {
            return;
        };
        let q = asked.question(*key, self.nodes.hash(key));
        let ended = match q.intent {
            Intent::MidFlow
                if asked.unasked || self.may_be_elsewhere(now, key) || self.is_offered(key) =>
            {
                self.out.stats.who_has_unanswered += 1;
                Err(DropReason::UnknownFlow)
            }
            Intent::MidFlow => {
                self.refuse_unknown(&q, asked.hosts);
                Ok(Done::Consumed)
            }
            // Another tracker may have led an attempt through this one meanwhile.
            Intent::Syn | Intent::Datagram => self.lead_known(now, q),
        };
        self.let_go(asked.packet, ended);
    }

    /// R4: a host that is down has not said no. While it may come back with the flow, nobody is
    /// reset.
    fn may_be_elsewhere(&self, now: Time, key: &FlowKey) -> bool {
        let pool = self.pools.get(key.service());
        pool.is_some_and(|pool| {
            let mut members = pool.members(&self.nodes);
            members.any(|host| self.nodes.may_come_back(now, host))
        })
    }

    /// No reset while an attempt to open the flow is under way.
    fn is_offered(&self, key: &FlowKey) -> bool {
        let found = self.records.find(key);
        found.is_some_and(|(_, record)| matches!(record.state, State::Offered(_)))
    }

    fn refuse_unknown(&mut self, q: &Question<'_>, said_no: u16) {
        self.count_refusal(Reason::Unknown);
        self.send_refuse_of(q, Reason::Unknown, said_no);
    }

    /// A SYN's question is of no use any more: its search begins.
    pub(crate) fn end_question(&mut self, key: &FlowKey) {
        if self.who_has.len() == 0 {
            return;
        }
        let found = self.who_has.table.find(key);
        let asked = found.and_then(|handle| self.who_has.table.get(handle));
        if asked.is_some_and(|asked| asked.intent != Intent::MidFlow)
            && let Some(asked) = self.who_has.take(key)
        {
            self.let_go(asked.packet, Err(DropReason::Superseded));
        }
    }

    /// Ends the message whose packet was held, unless it is held in another way from now on.
    pub(crate) fn let_go(&mut self, packet: PacketBuf, ended: Ended) {
        let ledger = &mut self.out.stats.ledger;
        ledger.held = ledger.held.saturating_sub(1);
        match ended {
            Ok(Done::Consumed) => ledger.consumed += 1,
            Ok(Done::Held) => ledger.held += 1,
            Err(reason) => ledger.drop_for(reason),
        }
        self.out.outbox.recycle(packet);
    }

    /// Drops a packet whose owner was not found in time; false if there is none.
    pub(crate) fn expire_who_has(&mut self, now: Time) -> bool {
        let table = &mut self.who_has.table;
        let Some(handle) = table.pop_expired(now.as_nanos()) else {
            return false;
        };
        let Some((_, asked)) = table.remove(handle) else {
            return false;
        };
        match asked.intent {
            // R4: not every live host said no, so the client gets no reset.
            Intent::MidFlow => {}
            Intent::Syn | Intent::Datagram if asked.times < TIMES_TO_BE_SILENT => {}
            // S3: a host that says nothing, to this and its repeats, holds up no new flow again
            // before it has said something.
            Intent::Syn | Intent::Datagram => {
                for &host in &asked.waiting {
                    self.filling.silent(host);
                }
            }
        }
        self.out.stats.who_has_unanswered += 1;
        self.let_go(asked.packet, Err(DropReason::UnknownFlow));
        true
    }
}

#[cfg(test)]
mod tests;
