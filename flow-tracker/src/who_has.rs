//! Mid-flow packets of flows that no record knows: every live host of the pool is asked whether
//! it has the flow, and the packet is held meanwhile (R4). A reset goes to the client only after
//! every one of them said no.

use crate::primary::{Done, Ended, Question};
use crate::record::{Owned, State};
use crate::tracker::FlowTracker;
use alloc::vec::Vec;
use core::time::Duration;
use jlb_flow_table::FlowTable;
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::message::{FlowKind, FlowMessage, Intent, Path, Reason, Tried};
use jlb_protocol::{DropReason, FlowKey, NodeNumber, OfferNumber, PacketBuf, Time};

/// Deadlines are rounded up to this.
const TICK: Duration = Duration::from_millis(1);

/// A flow whose owner is asked for.
#[derive(Clone, Debug)]
struct Asked {
    /// The id that the hosts were asked with; the packet's may be a later one.
    round: u32,
    isn: u32,
    steps: u8,
    ingress: NodeNumber,
    tried: Tried,
    /// Hosts that have not answered.
    waiting: Vec<NodeNumber>,
    packet: PacketBuf,
}

/// The flows whose owners are asked for.
#[derive(Clone, Debug)]
pub(crate) struct WhoHas {
    table: FlowTable<FlowKey, Asked>,
    life: Duration,
    /// Until when the questions asked so far use up the rate.
    spent: Time,
}

impl WhoHas {
    pub(crate) fn new(max: u32, life: Duration, seed: u64) -> Self {
        Self {
            table: FlowTable::new(max, TICK, seed),
            life,
            spent: Time::ZERO,
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
    fn may_ask(&mut self, now: Time) -> bool {
        // A bucket kept as the moment at which it is full again (GCRA, ITU-T I.371).
        let each = self.life / self.table.max_entries().max(1);
        let spent = self.spent.max(now) + each;
        let may = spent.since(now) <= self.life;
        if may {
            self.spent = spent;
        }
        may
    }

    fn take(&mut self, key: &FlowKey) -> Option<Asked> {
        let handle = self.table.find(key)?;
        self.table.remove(handle).map(|(_, asked)| asked)
    }
}

impl FlowTracker {
    /// Nobody in the index knows the flow: does a host?
    pub(crate) fn ask_all(&mut self, now: Time, q: Question<'_>) -> Ended {
        if q.steps == 0 {
            return Err(DropReason::UnknownFlow);
        }
        if let Some(handle) = self.who_has.table.find(&q.key) {
            if !self.who_has.may_ask(now) {
                return Err(DropReason::WhoHasFull);
            }
            let Some(asked) = self.who_has.table.get_mut(handle) else {
                return Err(DropReason::UnknownFlow);
            };
            // R5: the ingress's repeat is the moment to ask again who has not answered yet.
            let (round, waiting) = (asked.round, asked.waiting.clone());
            let repeat = asked.isn == q.isn && asked.ingress == q.ingress;
            if !repeat {
                asked.isn = q.isn;
                asked.steps = q.steps;
                asked.ingress = q.ingress;
                asked.tried = q.tried;
                asked.packet.fill(q.packet);
            }
            self.send_who_has(&q, round, &waiting);
            if repeat {
                return Err(DropReason::Repeat);
            }
            // The packet that was held gives way to this one.
            let ledger = &mut self.out.stats.ledger;
            ledger.held = ledger.held.saturating_sub(1);
            ledger.drop_for(DropReason::Superseded);
            return Ok(Done::Held);
        }
        let pool = self
            .pools
            .get(q.key.service())
            .ok_or(DropReason::UnknownService)?;
        let waiting: Vec<_> = pool.live_hosts(&self.nodes).collect();
        if waiting.is_empty() {
            return Err(DropReason::NoHost);
        }
        if self.who_has.len() >= self.who_has.table.max_entries() || !self.who_has.may_ask(now) {
            return Err(DropReason::WhoHasFull);
        }
        let mut packet = self.out.outbox.buffer();
        packet.fill(q.packet);
        let asked = Asked {
            round: q.isn,
            isn: q.isn,
            steps: q.steps,
            ingress: q.ingress,
            tried: q.tried,
            waiting: waiting.clone(),
            packet,
        };
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
                reason: Reason::None,
                load: 0,
                packet: &[],
            };
            self.out.send(host, q.flow, &who_has);
        }
    }

    /// The record has an owner now: a packet that waited for it is offered down to it.
    pub(crate) fn owner_found(&mut self, now: Time, key: &FlowKey) {
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
        let Some(asked) = self.who_has.take(key) else {
            return;
        };
        self.out.stats.who_has_found += 1;
        let q = self.asked_question(*key, &asked);
        let ended = match q.steps.checked_sub(1) {
            Some(step) => {
                self.ask_again(now, &q, host, step);
                Ok(())
            }
            None => Err(DropReason::UnknownFlow),
        };
        self.let_go(asked.packet, ended);
    }

    /// A host says that it does not have the flow.
    pub(crate) fn not_mine(&mut self, key: &FlowKey, isn: u32, host: NodeNumber) {
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
        let all_said_no = found
            .and_then(|handle| self.who_has.table.get(handle))
            .is_some_and(|asked| asked.waiting.is_empty());
        if !all_said_no {
            return;
        }
        if let Some(asked) = self.who_has.take(key) {
            let q = self.asked_question(*key, &asked);
            self.count_refusal(Reason::Unknown);
            self.send_refuse(&q, Reason::Unknown);
            self.let_go(asked.packet, Ok(()));
        }
    }

    fn asked_question<'a>(&self, key: FlowKey, asked: &'a Asked) -> Question<'a> {
        let flow: FlowHash = self.nodes.hash(&key);
        Question {
            key,
            flow,
            isn: asked.isn,
            steps: asked.steps,
            intent: Intent::MidFlow,
            ingress: asked.ingress,
            partner: self.nodes.partner(self.nodes.ranks(flow)),
            tried: asked.tried,
            packet: asked.packet.as_slice(),
        }
    }

    /// Ends the message whose packet was held.
    fn let_go(&mut self, packet: PacketBuf, ended: Result<(), DropReason>) {
        let ledger = &mut self.out.stats.ledger;
        ledger.held = ledger.held.saturating_sub(1);
        match ended {
            Ok(()) => ledger.consumed += 1,
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
        // R4: not every live host said no, so the client gets no reset.
        self.out.stats.who_has_unanswered += 1;
        self.let_go(asked.packet, Err(DropReason::UnknownFlow));
        true
    }
}

#[cfg(test)]
mod tests;
