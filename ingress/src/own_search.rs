//! R13: without any tracker in its view, an ingress searches for a flow's host itself.
//!
//! First all hosts of the pool are asked who has the flow, for a new one too: the trackers that are
//! gone may have given it away, and only the owner may answer its SYN (R7). An owner is offered the
//! packet. If every host said no, a mid-flow packet is refused (R4), and a SYN or datagram is offered
//! to one host after the other, in an order that is the same at every ingress (R6).

use crate::ingress::Ingress;
use crate::pending::{Asked, Attempt, OwnSearch};
use crate::pool;
use alloc::boxed::Box;
use alloc::vec::Vec;
use jlb_flow_table::Handle;
use jlb_protocol::message::{FlowKind, FlowMessage, Hunt, Intent, Path, Reason, Tried};
use jlb_protocol::planted::{self, Bug};
use jlb_protocol::{DropReason, NodeNumber, OfferNumber, Time, wire};

impl OwnSearch {
    fn new(attempt: &Attempt) -> Box<Self> {
        Box::new(Self {
            steps: attempt.search_ttl,
            tried: Tried::NONE,
            offered: None,
            waiting: Vec::new(),
            without: Vec::new(),
        })
    }
}

impl Ingress {
    /// Begins the search of an attempt that has just been admitted.
    pub(crate) fn begin_own_search(&mut self, now: Time, handle: Handle) -> Result<(), DropReason> {
        let waiting = self.hosts_to_ask(handle);
        let nobody = waiting.is_empty();
        if !nobody && !self.may_ask_all(now, handle, waiting.len()) {
            return Err(DropReason::WhoHasFull);
        }
        let Some(attempt) = self.pending.get_mut(handle) else {
            return Err(DropReason::PendingFull);
        };
        let mut own = OwnSearch::new(attempt);
        own.waiting = waiting;
        attempt.own = Some(own);
        attempt.asked = Asked::AllHosts;
        self.stats.own_searches += 1;
        if nobody {
            // The packet that asks is not in the books as held yet: its refusal comes next.
            self.pending.outdate(handle, now);
        } else {
            self.send_who_has(handle);
            self.pending.arm(handle, now);
        }
        Ok(())
    }

    /// Goes on with an attempt's search, or begins it, since there is no tracker now. Returns how
    /// many messages that took.
    pub(crate) fn go_on_alone(&mut self, now: Time, handle: Handle) -> usize {
        let Some(attempt) = self.pending.get_mut(handle) else {
            return 0;
        };
        if attempt.own.is_none() {
            attempt.own = Some(OwnSearch::new(attempt));
            self.stats.own_searches += 1;
        }
        let intent = attempt.question.intent;
        if let Some(host) = attempt.offered() {
            // It may have taken the flow: nobody else is asked while it may live.
            let may_live = self.may_have_flows(host, intent);
            let Some(attempt) = self.pending.get_mut(handle) else {
                return 0;
            };
            if may_live {
                attempt.asked = Asked::Host;
                self.send_own_offer(handle);
                self.pending.arm(handle, now);
                return 1;
            }
            if let Some(own) = &mut attempt.own {
                own.offered = None;
                own.tried.push(host);
            }
        }
        let waiting = self.hosts_to_ask(handle);
        if waiting.is_empty() {
            self.nobody_has_it(now, handle);
            return 1;
        }
        let may = self.may_ask_all(now, handle, waiting.len());
        if let Some(attempt) = self.pending.get_mut(handle) {
            // Without permission nothing is kept either: its next repeat tries again.
            attempt.asked = if may { Asked::AllHosts } else { Asked::Nobody };
            if let Some(own) = &mut attempt.own {
                own.waiting = if may { waiting } else { Vec::new() };
                own.without.clear();
            }
        }
        self.pending.arm(handle, now);
        if may { self.send_who_has(handle) } else { 1 }
    }

    pub(crate) fn own_search(&mut self, handle: Handle) -> Option<&mut OwnSearch> {
        self.pending.get_mut(handle)?.own.as_deref_mut()
    }

    /// Sends the attempt's Offer to the host that it asks.
    pub(crate) fn send_own_offer(&mut self, handle: Handle) {
        let offered = self
            .pending
            .get(handle)
            .and_then(|(_, attempt)| attempt.offered());
        if let Some(host) = offered {
            self.stats.own_offers += 1;
            self.send_alone(handle, FlowKind::Offer, host);
        }
    }

    /// Sends a message to a host that has no tracker on its path: the answer comes straight back.
    pub(crate) fn send_alone(&mut self, handle: Handle, kind: FlowKind, host: NodeNumber) {
        let Some((key, attempt)) = self.pending.get(handle) else {
            return;
        };
        let Some(own) = &attempt.own else {
            return;
        };
        let fields = kind.fields();
        let message = FlowMessage {
            kind,
            key: *key,
            offer: OfferNumber {
                isn: attempt.question.isn,
                step: own.steps,
            },
            intent: attempt.question.intent,
            path: Path {
                ingress: Some(self.config.node),
                primary: None,
                secondary: None,
                host: Some(host),
            },
            birth: None,
            tried: own.tried,
            hunt: Hunt::NONE,
            reason: Reason::None,
            load: 0,
            packet: if fields.packet { attempt.first() } else { &[] },
        };
        let flow = attempt.flow;
        let mut buf = self.outbox.buffer();
        let encoded = wire::encode_flow(&message, &mut buf);
        self.send_new(encoded, host, flow, buf);
    }

    /// Every host that was asked said that the flow is not its own.
    pub(crate) fn nobody_has_it(&mut self, now: Time, handle: Handle) {
        let Some((_, attempt)) = self.pending.get(handle) else {
            return;
        };
        let own = attempt.own.as_ref();
        let asked = own.is_some_and(|own| !own.without.is_empty());
        match attempt.question.intent {
            // R4: at least one must have said so.
            Intent::MidFlow if !asked && !planted::is(Bug::ResetsWithoutAsking) => {
                self.give_up(handle, DropReason::UnknownFlow);
            }
            // R4: a mid-flow packet is never a choice.
            Intent::MidFlow => self.refuse_alone(now, handle),
            Intent::Syn | Intent::Datagram => self.offer_next(now, handle),
        }
    }

    /// Offers the flow to the host that is next in its order; refuses it if none is left (R6).
    fn offer_next(&mut self, now: Time, handle: Handle) {
        let Some((key, attempt)) = self.pending.get(handle) else {
            return;
        };
        let tried = attempt.own.as_ref().map_or(Tried::NONE, |own| own.tried);
        let chosen = self.matching.service(key.service()).and_then(|service| {
            let key = &self.config.hash_key;
            pool::choose(service, &self.view, key, attempt.flow, &tried)
        });
        match chosen {
            Some(host) => self.offer_to(now, handle, host),
            None => self.refuse_alone(now, handle),
        }
    }

    /// Spends a step of the search on one host.
    pub(crate) fn offer_to(&mut self, now: Time, handle: Handle, host: NodeNumber) {
        let retry = self.config.timers.open_retry;
        let Some(attempt) = self.pending.get_mut(handle) else {
            return;
        };
        let Some(own) = &mut attempt.own else {
            return;
        };
        let Some(step) = own.steps.checked_sub(1) else {
            match attempt.question.intent {
                // Its owner is known, so it is not reset (R4).
                Intent::MidFlow => self.give_up(handle, DropReason::UnknownFlow),
                Intent::Syn | Intent::Datagram => self.refuse_alone(now, handle),
            }
            return;
        };
        own.steps = step;
        own.offered = Some(host);
        attempt.asked = Asked::Host;
        attempt.retry = retry;
        attempt.queued = false;
        self.send_own_offer(handle);
        self.pending.arm(handle, now);
    }

    fn refuse_alone(&mut self, now: Time, handle: Handle) {
        self.stats.refusals += 1;
        self.refuse(now, handle);
    }

    /// The attempt whose own Offer a Reject answers. It says no birth: with one, a host gives back
    /// data.
    pub(crate) fn own_offer(&self, from: NodeNumber, message: &FlowMessage<'_>) -> Option<Handle> {
        let handle = self.answered(message).ok()?;
        let (_, attempt) = self.pending.get(handle)?;
        let own = attempt.own.as_ref()?;
        let is_answer =
            message.birth.is_none() && own.offered == Some(from) && own.steps == message.offer.step;
        is_answer.then_some(handle)
    }

    /// A host does not take a flow that this ingress offered to it.
    pub(crate) fn handle_own_reject(&mut self, now: Time, from: NodeNumber, handle: Handle) {
        let Some(attempt) = self.pending.get_mut(handle) else {
            return;
        };
        let (intent, asked) = (attempt.question.intent, attempt.asked);
        let Some(own) = &mut attempt.own else {
            return;
        };
        self.stats.own_rejects += 1;
        own.offered = None;
        let steps = own.steps;
        match intent {
            Intent::Syn | Intent::Datagram => {
                own.tried.push(from);
            }
            // It has just lost the flow, and another host may have it now.
            Intent::MidFlow => {}
        }
        match (asked, intent) {
            (Asked::Host, Intent::Syn | Intent::Datagram) => self.offer_next(now, handle),
            (Asked::Host, Intent::MidFlow) if steps == 0 => {
                self.give_up(handle, DropReason::UnknownFlow);
            }
            (Asked::Host, Intent::MidFlow) => {
                self.go_on_alone(now, handle);
            }
            // A tracker goes on with the search, or all hosts are asked anew.
            (Asked::Tracker { .. } | Asked::AllHosts | Asked::Nobody, _) => {}
        }
    }
}

#[cfg(test)]
mod tests;
