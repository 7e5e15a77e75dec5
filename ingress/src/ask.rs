//! Asking the trackers for a flow's host: the first Open, its repeats, and its end.

use crate::answers::Answer;
use crate::ingress::{Ingress, REPEATS_PER_CALL};
use crate::pending::{Asked, Attempt, Question, Relation};
use jlb_flow_table::Handle;
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::message::{FlowKind, FlowMessage, Hunt, Intent, Path, Reason, Tried};
use jlb_protocol::planted::{self, Bug};
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
        if self.settled && self.is_alone() {
            return Err(DropReason::NoTracker);
        }
        let flow = self.config.hash_key.flow_hash(&key);
        let timers = &self.config.timers;
        let mut attempt = Attempt::new(question, flow, service.search_ttl, timers, self.pace, now);
        attempt.disowned = disowned;
        let handle = self.pending.admit(key, attempt, packet)?;
        if self.searches_alone() {
            self.begin_own_search(now, handle)
                .inspect_err(|_| drop(self.pending.take(handle)))?;
        } else {
            self.ask_primary(handle);
            self.send_open(handle);
            self.pending.arm(handle, now);
        }
        match question.intent {
            Intent::Syn => self.stats.attempts_syn += 1,
            Intent::MidFlow => self.stats.attempts_mid_flow += 1,
            Intent::Datagram => self.stats.attempts_datagram += 1,
        }
        Ok(())
    }

    /// Whether no other node is to be seen that could be asked: then it is this one that is cut off,
    /// and its word that nobody has a flow would be worth nothing.
    pub(crate) fn is_alone(&self) -> bool {
        self.ranking.trackers().is_empty() && !self.sees_host
    }

    /// R13: whether there is no tracker, as far as can be known.
    fn searches_alone(&self) -> bool {
        self.settled && self.ranking.trackers().is_empty()
    }

    /// Repeats an attempt that is due, or gives it up (R5). Returns how many messages that took.
    pub(crate) fn repeat(&mut self, now: Time, handle: Handle) -> usize {
        let max = self.config.timers.open_retry_max;
        let Some(attempt) = self.pending.get_mut(handle) else {
            return 0;
        };
        if now >= attempt.ends {
            self.stats.open_timeouts += 1;
            self.give_up(handle, DropReason::OpenTimeout);
            return 1;
        }
        if attempt.outdated {
            return self.ask_anew(now, handle);
        }
        let mut sent = 1;
        attempt.retry = attempt.retry.saturating_mul(2).min(max);
        attempt.repeats = attempt.repeats.saturating_add(1);
        if !planted::is(Bug::NeverRepeats) {
            sent = self.ask_again(now, handle);
        }
        self.pending.arm(handle, now);
        sent
    }

    /// Sends once more what the attempt asks. Returns how many messages that took.
    fn ask_again(&mut self, now: Time, handle: Handle) -> usize {
        let Some((_, attempt)) = self.pending.get(handle) else {
            return 0;
        };
        match attempt.asked {
            Asked::Nobody if self.searches_alone() && !self.is_alone() => {
                self.go_on_alone(now, handle)
            }
            Asked::Nobody => 1,
            Asked::Tracker { .. } => {
                self.send_open(handle);
                self.stats.open_repeats += 1;
                1
            }
            Asked::AllHosts => self.ask_who_has_again(now, handle),
            Asked::Host => {
                self.send_own_offer(handle);
                1
            }
        }
    }

    /// Asks the next rank, since the tracker that was asked does not act. When each has said so,
    /// the first is asked again, but only by the timer.
    pub(crate) fn ask_next_rank(&mut self, now: Time, handle: Handle) {
        let retry = self.pace.first_wait();
        let Some(attempt) = self.pending.get_mut(handle) else {
            return;
        };
        let Asked::Tracker { tracker, rank, .. } = attempt.asked else {
            return;
        };
        attempt.queued = false;
        if let Some(next) = self.ranking.at_rank(attempt.flow, rank + 1) {
            attempt.asked = Asked::Tracker {
                tracker: next,
                rank: rank + 1,
                not_acting: Some(tracker),
            };
            if !attempt.went_round {
                attempt.retry = retry;
            }
            self.send_open(handle);
            self.stats.open_repeats += 1;
        } else {
            attempt.went_round = true;
            self.ask_primary(handle);
        }
        self.pending.arm(handle, now);
    }

    /// Turns the attempt to the first tracker of the ranking.
    fn ask_primary(&mut self, handle: Handle) {
        let Some(attempt) = self.pending.get_mut(handle) else {
            return;
        };
        attempt.asked = match self.ranking.ranks(attempt.flow).primary {
            Some(tracker) => Asked::Tracker {
                tracker,
                rank: 0,
                not_acting: None,
            },
            None => Asked::Nobody,
        };
    }

    /// Turns every attempt to whom the ranking says now. One that asks a lower rank stays with it
    /// while that is active: the first had said that it does not act.
    ///
    /// With `all`, also those ask again that stay where they are: a node that is lost has perhaps
    /// taken their question with it. They do at once, but not within `open_retry` of having asked, so
    /// that a view that changes many times in a row asks no question more often than that. What is
    /// more than a call may send is left to [`Ingress::handle_timeout`].
    pub(crate) fn retarget(&mut self, now: Time, all: bool) {
        let retry = self.config.timers.open_retry;
        let searches_alone = self.searches_alone();
        let goes_on = searches_alone && !self.is_alone();
        let mut sent = 0;
        for handle in self.pending.handles() {
            let Some((key, attempt)) = self.pending.get(handle) else {
                continue;
            };
            let flow = self.config.hash_key.flow_hash(key);
            let stays = match attempt.asked {
                Asked::Tracker { tracker, rank, .. } if rank > 0 => {
                    self.ranking.trackers().contains(&tracker)
                }
                Asked::Tracker { tracker, .. } => self.ranking.ranks(flow).primary == Some(tracker),
                Asked::Host => {
                    let intent = attempt.question.intent;
                    let may_have = |host| self.may_have_flows(host, intent);
                    searches_alone && attempt.offered().is_some_and(may_have)
                }
                Asked::AllHosts if goes_on && sent < REPEATS_PER_CALL => {
                    sent += self.review_waiting(now, handle);
                    continue;
                }
                Asked::AllHosts | Asked::Nobody => false,
            };
            if stays && (!all || attempt.outdated) {
                continue;
            }
            let at = if stays && !attempt.queued {
                now.max(self.pending.asked_at(handle) + retry)
            } else {
                now
            };
            if let Some(attempt) = self.pending.get_mut(handle) {
                attempt.flow = flow;
            }
            if at <= now && sent < REPEATS_PER_CALL {
                sent += self.ask_anew(now, handle);
            } else {
                self.pending.outdate(handle, at);
            }
        }
    }

    /// Finds out whom to ask as if the attempt had just begun, but for what it knows of its search,
    /// and asks. Returns how many messages that took.
    fn ask_anew(&mut self, now: Time, handle: Handle) -> usize {
        let retry = self.pace.first_wait();
        let Some(attempt) = self.pending.get_mut(handle) else {
            return 0;
        };
        attempt.outdated = false;
        attempt.queued = false;
        attempt.retry = retry;
        self.stats.view_repeats += 1;
        let is_lower = match attempt.asked {
            Asked::Tracker { tracker, rank, .. } => {
                rank > 0 && self.ranking.trackers().contains(&tracker)
            }
            Asked::Nobody | Asked::AllHosts | Asked::Host => false,
        };
        let is_blind = !self.settled && self.ranking.trackers().is_empty();
        if is_blind || self.is_alone() {
            if let Some(attempt) = self.pending.get_mut(handle) {
                attempt.asked = Asked::Nobody;
            }
            self.pending.arm(handle, now);
            return 1;
        }
        if self.ranking.trackers().is_empty() {
            return self.go_on_alone(now, handle);
        }
        if !is_lower {
            self.ask_primary(handle);
        }
        self.pending.arm(handle, now);
        self.ask_again(now, handle)
    }

    /// Sends the attempt's Open to the tracker that it asks.
    fn send_open(&mut self, handle: Handle) {
        let Some((key, attempt)) = self.pending.get(handle) else {
            return;
        };
        let Asked::Tracker {
            tracker,
            not_acting,
            ..
        } = attempt.asked
        else {
            return;
        };
        // What this ingress's own search found out goes along: how many Offers are left, who
        // rejected, and who may have taken the flow without the answer having come (R13). That host
        // is to be offered it first, under the number that it knows.
        let own = attempt.own.as_deref();
        let own = own.filter(|_| attempt.question.intent != Intent::MidFlow);
        let offered = own.and_then(|own| own.offered);
        let disowned = attempt.disowned.filter(|_| offered.is_none());
        let step = own.map_or(attempt.search_ttl, |own| {
            own.steps.saturating_add(u8::from(offered.is_some()))
        });
        let message = FlowMessage {
            kind: FlowKind::Open,
            key: *key,
            offer: OfferNumber {
                isn: attempt.question.isn,
                step,
            },
            intent: attempt.question.intent,
            path: Path {
                ingress: Some(self.config.node),
                primary: Some(tracker),
                secondary: not_acting,
                host: offered.or(disowned.map(|(host, _)| host)),
            },
            birth: disowned.map(|(_, birth)| birth),
            tried: own.map_or(Tried::NONE, |own| own.tried),
            hunt: Hunt::NONE,
            reason: Reason::None,
            load: 0,
            packet: attempt.first(),
        };
        let flow = attempt.flow;
        let mut buf = self.outbox.buffer();
        let encoded = wire::encode_flow(&message, &mut buf);
        self.send_new(encoded, tracker, flow, buf);
    }

    /// Sends a message made here, or counts why not.
    pub(crate) fn send_new(
        &mut self,
        built: Result<(), DropReason>,
        to: NodeNumber,
        flow: FlowHash,
        buf: PacketBuf,
    ) {
        self.stats.ledger.created += 1;
        match self.finish(built, Destination::Node(to), flow, buf) {
            Ok(()) => self.stats.ledger.sent += 1,
            Err(reason) => self.stats.ledger.drop_for(reason),
        }
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
            if planted::is(Bug::RefusesInSilence) {
                break;
            }
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
                if planted::is(Bug::CountsTwice) {
                    self.stats.ledger.drop_for(reason);
                }
            }
        }
    }
}
