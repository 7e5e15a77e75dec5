//! Asking the trackers for a flow's host: the first Open, its repeats, and its end.

use crate::answers::Answer;
use crate::ingress::Ingress;
use crate::pending::{Attempt, Question, Relation};
use jlb_flow_table::Handle;
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::message::{FlowKind, FlowMessage, Intent, Path, Reason, Tried};
use jlb_protocol::{
    Birth, Destination, DropReason, FlowKey, NodeNumber, OfferNumber, PacketBuf, Time, Transmit,
    wire,
};

impl Ingress {
    /// Holds a copy of a packet and asks for its flow's host, or adds it to those that wait for
    /// the answer.
    ///
    /// `disowned` is the host that just said that this life of the flow is not its own; the
    /// trackers then do not answer from their record (R4).
    pub(crate) fn ask(
        &mut self,
        now: Time,
        key: FlowKey,
        question: Question,
        disowned: Option<(NodeNumber, Birth)>,
        packet: &[u8],
    ) -> Result<(), DropReason> {
        if let Some(handle) = self.pending.find(&key) {
            let asked = self
                .pending
                .get(handle)
                .map(|(_, attempt)| attempt.question);
            match question.relation(asked.unwrap_or(question)) {
                Relation::Repeat => return Err(DropReason::Repeat),
                Relation::Waits => return self.pending.hold(handle, packet),
                Relation::Supersedes => self.give_up(handle, DropReason::Superseded),
            }
        }
        let service = self
            .matching
            .service(key.service())
            .ok_or(DropReason::NoService)?;
        let flow = self.config.hash_key.flow_hash(&key);
        let tracker = self
            .ranking
            .ranks(flow)
            .primary
            .ok_or(DropReason::NoTracker)?;
        let timers = &self.config.timers;
        let mut attempt = Attempt::new(question, flow, service.search_ttl, tracker, timers, now);
        attempt.disowned = disowned;
        let handle = self.pending.admit(key, attempt, packet)?;
        match question.intent {
            Intent::Syn => self.stats.attempts_syn += 1,
            Intent::MidFlow => self.stats.attempts_mid_flow += 1,
            Intent::Datagram => self.stats.attempts_datagram += 1,
        }
        self.send_open(handle);
        self.pending.arm(handle, now);
        Ok(())
    }

    /// Repeats an attempt that is due, or gives it up (R5).
    pub(crate) fn repeat(&mut self, now: Time, handle: Handle) {
        let max = self.config.timers.open_retry_max;
        let Some(attempt) = self.pending.get_mut(handle) else {
            return;
        };
        if now >= attempt.ends {
            self.stats.open_timeouts += 1;
            self.give_up(handle, DropReason::OpenTimeout);
            return;
        }
        if !attempt.queued {
            attempt.retry = attempt.retry.saturating_mul(2).min(max);
            self.send_open_again(handle);
        }
        self.pending.arm(handle, now);
    }

    /// Asks the next rank, since the tracker that was asked does not act. When each has said so,
    /// the first is asked again, but only by the timer.
    pub(crate) fn ask_next_rank(&mut self, now: Time, handle: Handle) {
        let retry = self.config.timers.open_retry;
        let Some(attempt) = self.pending.get_mut(handle) else {
            return;
        };
        attempt.rank += 1;
        attempt.queued = false;
        match self.ranking.at_rank(attempt.flow, attempt.rank) {
            Some(tracker) => {
                attempt.tracker = Some(tracker);
                attempt.retry = retry;
                self.send_open_again(handle);
            }
            None => {
                attempt.rank = 0;
                attempt.tracker = self.ranking.ranks(attempt.flow).primary;
            }
        }
        self.pending.arm(handle, now);
    }

    /// Turns every attempt to the tracker that the ranking says now. One that asks a lower rank
    /// stays with it while that is active: the first had said that it does not act.
    pub(crate) fn retarget(&mut self, now: Time) {
        for handle in self.pending.handles() {
            let Some((key, attempt)) = self.pending.get(handle) else {
                continue;
            };
            let flow = self.config.hash_key.flow_hash(key);
            let primary = self.ranking.ranks(flow).primary;
            let asked = attempt.tracker;
            let lower = attempt.rank > 0
                && asked.is_some_and(|asked| self.ranking.trackers().contains(&asked));
            if lower || asked == primary {
                continue;
            }
            let retry = self.config.timers.open_retry;
            if let Some(attempt) = self.pending.get_mut(handle) {
                attempt.flow = flow;
                attempt.tracker = primary;
                attempt.rank = 0;
                attempt.retry = retry;
                attempt.queued = false;
            }
            self.send_open_again(handle);
            self.pending.arm(handle, now);
        }
    }

    fn send_open_again(&mut self, handle: Handle) {
        if self.send_open(handle) {
            self.stats.open_repeats += 1;
        }
    }

    /// Sends the attempt's Open to the tracker that it asks; false if it has none.
    fn send_open(&mut self, handle: Handle) -> bool {
        let Some((key, attempt)) = self.pending.get(handle) else {
            return false;
        };
        let Some(tracker) = attempt.tracker else {
            return false;
        };
        let message = FlowMessage {
            kind: FlowKind::Open,
            key: *key,
            offer: OfferNumber {
                isn: attempt.question.isn,
                step: attempt.search_ttl,
            },
            intent: attempt.question.intent,
            path: Path {
                ingress: Some(self.config.node),
                primary: Some(tracker),
                secondary: None,
                host: attempt.disowned.map(|(host, _)| host),
            },
            birth: attempt.disowned.map(|(_, birth)| birth),
            tried: Tried::NONE,
            reason: Reason::None,
            load: 0,
            packet: attempt.first(),
        };
        let flow = attempt.flow;
        let mut buf = self.outbox.buffer();
        let encoded = wire::encode_flow(&message, &mut buf);
        self.stats.ledger.created += 1;
        match self.finish(encoded, Destination::Node(tracker), flow, buf) {
            Ok(()) => self.stats.ledger.sent += 1,
            Err(reason) => self.stats.ledger.drop_for(reason),
        }
        true
    }

    /// Queues a copy of a client packet as Data for its flow's host.
    pub(crate) fn send_data(
        &mut self,
        key: &FlowKey,
        flow: FlowHash,
        host: NodeNumber,
        birth: Birth,
        packet: &[u8],
    ) -> Result<(), DropReason> {
        let mut buf = self.outbox.buffer();
        let encoded = if buf.fill(packet) {
            wire::encapsulate_data(&mut buf, key.service(), Some(birth))
        } else {
            Err(DropReason::TooBig)
        };
        self.finish(encoded, Destination::Node(host), flow, buf)
    }

    /// Queues a built packet, or keeps its buffer.
    pub(crate) fn finish(
        &mut self,
        built: Result<(), DropReason>,
        to: Destination,
        flow: FlowHash,
        buf: PacketBuf,
    ) -> Result<(), DropReason> {
        if let Err(reason) = built {
            self.outbox.recycle(buf);
            return Err(reason);
        }
        self.outbox.push(Transmit { to, flow, buf }).map_err(|buf| {
            self.outbox.recycle(buf);
            DropReason::OutboxFull
        })
    }

    /// Ends an attempt with a host: what waited goes there, in order. The first packet is not
    /// sent: the host delivered the copy that came with the Offer.
    pub(crate) fn release(&mut self, handle: Handle, host: NodeNumber, birth: Birth) {
        let Some((key, attempt)) = self.pending.take(handle) else {
            return;
        };
        for (at, packet) in attempt.packets().enumerate() {
            self.stats.ledger.held -= 1;
            if at == 0 {
                self.stats.ledger.consumed += 1;
                continue;
            }
            match self.send_data(&key, attempt.flow, host, birth, packet) {
                Ok(()) => self.stats.ledger.sent += 1,
                Err(reason) => self.stats.ledger.drop_for(reason),
            }
        }
    }

    /// Ends an attempt with a refusal, which the client is told (R6: never silence).
    pub(crate) fn refuse(&mut self, now: Time, handle: Handle) {
        let Some((_, attempt)) = self.pending.get(handle) else {
            return;
        };
        let flow = attempt.flow;
        let mut buf = self.outbox.buffer();
        // R6: never silence. The packet that asked may be an ICMP error or a reset, which has no
        // answer, and the client's own packets have waited behind it.
        let mut answer = Answer::Unanswerable;
        for packet in attempt.packets() {
            answer = self.answer_limit.refuse(packet, &mut buf, now);
            if answer != Answer::Unanswerable {
                break;
            }
        }
        match answer {
            Answer::Reset | Answer::Unreachable => {
                self.stats.ledger.created += 1;
                match self.finish(Ok(()), Destination::Stack, flow, buf) {
                    Ok(()) => {
                        self.stats.ledger.delivered += 1;
                        if answer == Answer::Reset {
                            self.stats.resets += 1;
                        } else {
                            self.stats.unreachables += 1;
                        }
                    }
                    Err(reason) => self.stats.ledger.drop_for(reason),
                }
            }
            Answer::Unanswerable => self.outbox.recycle(buf),
            Answer::Limited => {
                self.outbox.recycle(buf);
                self.stats.unreachables_limited += 1;
            }
        }
        self.give_up(handle, DropReason::Refused);
    }

    /// Ends an attempt and drops what was held for it.
    pub(crate) fn give_up(&mut self, handle: Handle, reason: DropReason) {
        if let Some((_, attempt)) = self.pending.take(handle) {
            for _ in 0..attempt.held() {
                self.stats.ledger.held -= 1;
                self.stats.ledger.drop_for(reason);
            }
        }
    }
}
