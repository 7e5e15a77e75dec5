//! The secondary's part: an Offer goes to the host only after it is recorded here (R2), and what
//! is recorded here binds (R1).

use crate::primary::{Done, Ended};
use crate::record::{Life, Offered, Owned, Record, State};
use crate::tracker::FlowTracker;
use jlb_flow_table::Handle;
use jlb_protocol::message::{FlowKind, FlowMessage, Hunt, HuntHost, Intent, Path, Reason, Tried};
use jlb_protocol::planted::{self, Bug};
use jlb_protocol::{DropReason, NodeNumber, OfferNumber, Role, Time};

/// What the secondary's record makes of an Offer.
enum Bound {
    /// The host is asked, with this step.
    Ask { host: NodeNumber, step: u8 },
    /// The proposed host has rejected this attempt before.
    Rejected,
    /// The attempt's steps are spent.
    Exhausted,
    /// The client has begun another attempt since.
    Superseded,
}

impl FlowTracker {
    /// Offer: the primary's proposal.
    pub(crate) fn offer(
        &mut self,
        now: Time,
        from: NodeNumber,
        message: &FlowMessage<'_>,
    ) -> Ended {
        let ingress = self.nodes.named(message.path.ingress, Role::Ingress)?;
        let primary = self.nodes.named(message.path.primary, Role::FlowTracker)?;
        let proposed = self.nodes.named(message.path.host, Role::HostAgent)?;
        let me = self.nodes.me;
        if from != me && primary == me && message.path.secondary == Some(from) {
            return self.countered(now, message, ingress, proposed);
        }
        if from == me || from != primary || message.path.secondary != Some(me) {
            return Err(DropReason::WrongNode);
        }
        if self.pools.get(message.key.service()).is_none() {
            return Err(DropReason::UnknownService);
        }
        let flow = self.nodes.hash(&message.key);
        let ranks = self.nodes.ranks(flow);
        if ranks.primary == Some(me) {
            // R1: this view makes it primary, so the Offer is an Open through its own secondary.
            // Scores are the same in all views: from here on such a chain only descends, and so ends.
            let steps = message.offer.step.saturating_add(1);
            self.out.stats.offers_taken_as_opens += 1;
            let found = self.records.find(&message.key);
            let is_old = found.is_some_and(|(_, record)| {
                record.supersedes(message.intent, message.offer.isn, false)
            });
            let known = self.searches.hunt(&message.key, message.offer.isn);
            if !is_old && known.is_empty() {
                self.adopt_hunt(now, message);
            }
            let question = self.question(message, ingress, steps);
            return self.lead(now, question);
        }
        // R1: a record kept outside the top two is a hint, never binding. One of this very attempt
        // this tracker has made as the secondary of another primary.
        let found = self.records.find(&message.key);
        let binding = found.is_some_and(|(_, record)| {
            let is_of_it = record.is_of(message.intent, message.offer.isn);
            is_of_it || (self.nodes.binds(flow) && !record.is_hint())
        });
        let binding = binding && !planted::is(Bug::SecondaryDoesNotBind);
        if message.intent == Intent::Syn
            && !found.is_some_and(|(_, record)| record.is_of(Intent::Syn, message.offer.isn))
        {
            // A list is as old as its attempt's record.
            self.searches.forget_hunt(&message.key, message.offer.isn);
        }
        let bound = match message.intent {
            Intent::MidFlow => self.bind_mid_flow(now, message, proposed, found, binding),
            Intent::Syn | Intent::Datagram => {
                self.bind_attempt(now, message, proposed, found, binding)
            }
        };
        let (host, step) = match bound {
            Bound::Ask { host, step } => (host, step),
            Bound::Rejected => {
                self.reject_in_place(primary, message);
                return Ok(Done::Consumed);
            }
            Bound::Superseded => return Err(DropReason::Superseded),
            Bound::Exhausted => {
                self.turn_back(primary, message, Reason::Exhausted);
                return Ok(Done::Consumed);
            }
        };
        let known = self.searches.hunt(&message.key, message.offer.isn);
        let mut offer = FlowMessage {
            hunt: match message.intent {
                Intent::Syn => known.passing(false),
                Intent::MidFlow | Intent::Datagram => Hunt::NONE,
            },
            offer: OfferNumber {
                step,
                ..message.offer
            },
            path: Path {
                host: Some(host),
                ..message.path
            },
            ..*message
        };
        if host != proposed {
            self.out.stats.offers_rewritten += 1;
        }
        let to = match message.intent {
            // Whoever owns the flow was recorded when it accepted.
            Intent::MidFlow => host,
            // R2: no host has a flow that only one tracker has heard of, so the primary records
            // this host first, and offers to it. One that this host has rejected knows it already.
            Intent::Syn | Intent::Datagram if host != proposed && !message.tried.contains(host) => {
                primary
            }
            Intent::Syn | Intent::Datagram => {
                if let Err(full) =
                    self.records
                        .ask_by(now, message.key, found, host, offer.offer, message.intent)
                {
                    self.turn_back(primary, message, Reason::Quota);
                    return Err(full);
                }
                // A repeat was counted before.
                let counted = found.is_some_and(|(_, record)| {
                    record.is_of(message.intent, message.offer.isn)
                        && record.state.host() == Some(host)
                });
                if !counted && let Some(pool) = self.pools.get_mut(message.key.service()) {
                    pool.passed(host);
                }
                offer.hunt = if host == proposed && step == message.offer.step {
                    self.take_hunt(now, message)
                } else {
                    offer.hunt.naming(host, step)
                };
                host
            }
        };
        self.out.send(to, flow, &offer);
        Ok(Done::Consumed)
    }

    /// The secondary gives an Offer back with the host that its record binds (R1): the primary
    /// takes that over.
    fn countered(
        &mut self,
        now: Time,
        message: &FlowMessage<'_>,
        ingress: NodeNumber,
        host: NodeNumber,
    ) -> Ended {
        self.nodes
            .named(message.path.secondary, Role::FlowTracker)?;
        self.records
            .find(&message.key)
            .filter(|(_, record)| record.is_asked_by(message.offer))
            .ok_or(DropReason::StaleAnswer)?;
        let OfferNumber { isn, step } = message.offer;
        self.adopt_hunt(now, message);
        let mut q = self.question(message, ingress, step);
        q.tried = self.searches.tried(&message.key, isn);
        if q.tried.contains(host) {
            // It has rejected since: that ends the secondary's hold, or time does.
            return Err(DropReason::StaleAnswer);
        }
        let (key, offer) = (message.key, message.offer);
        if let Err(full) = self.records.ask(now, key, host, offer, message.intent) {
            return self.turn_away(now, &q, full);
        }
        self.send_offer(&q, host, step);
        Ok(Done::Consumed)
    }

    /// Whom the Offer of a SYN or datagram is for, and with which number.
    ///
    /// A host is never asked with two numbers in one attempt: it could reject by the one, which
    /// frees the flow for another host, and then accept by the other (S1). So an attempt that is
    /// asked for again, perhaps by a primary that has forgotten it, goes on where it stands here;
    /// the primary takes over a step lower than its own.
    fn bind_attempt(
        &self,
        now: Time,
        message: &FlowMessage<'_>,
        proposed: NodeNumber,
        found: Option<(Handle, Record)>,
        binding: bool,
    ) -> Bound {
        let OfferNumber { isn, step } = message.offer;
        let proposal = Bound::Ask {
            host: proposed,
            step,
        };
        let Some((_, record)) = found.filter(|_| binding) else {
            return proposal;
        };
        if let Some(HuntHost { host, step, .. }) = self.due_in_hunt(message, &record) {
            return Bound::Ask { host, step };
        }
        let same = record.isn == isn;
        let goes_on = !message.tried.is_empty();
        let host_is_live = record
            .state
            .host()
            .is_some_and(|host| self.nodes.is_live_host(host));
        match record.state {
            // Its client has answered that host: no other may have this attempt.
            State::Owned(Owned {
                host,
                step,
                life: Life::Established | Life::Closing,
                ..
            }) if (same || record.has_taken(isn))
                && message.intent == Intent::Syn
                && !self.nodes.is_dead_host(now, host) =>
            {
                Bound::Ask { host, step }
            }
            State::Offered(_) | State::Owned(_) if !host_is_live => proposal,
            _ if record.supersedes(message.intent, isn, goes_on) => Bound::Superseded,
            State::Offered(Offered { host, step, .. }) if same => Bound::Ask { host, step },
            State::Owned(Owned { host, step, .. }) if same && message.intent == Intent::Syn => {
                Bound::Ask { host, step }
            }
            State::Offered(Offered { host, .. }) | State::Owned(Owned { host, .. }) => {
                Bound::Ask { host, step }
            }
            State::Rejected { step: last, .. } if same => {
                // Where there was no room to remember who said no, an Offer of the same number is
                // a repeat of the rejected one.
                let tried = self.searches.tried(&message.key, isn);
                // R6: a search that begins anew after a wait asks a host again that it knows to have
                // rejected, with a lower step.
                let is_anew = message.tried.contains(proposed) && step < last;
                let tried = if is_anew { Tried::NONE } else { tried };
                let is_repeat = !is_anew && tried.is_empty() && step == last;
                if tried.contains(proposed) || is_repeat {
                    return Bound::Rejected;
                }
                match last.checked_sub(1) {
                    Some(next) => Bound::Ask {
                        host: proposed,
                        step: step.min(next),
                    },
                    None => Bound::Exhausted,
                }
            }
            State::Rejected { .. } | State::Refused { .. } => proposal,
        }
    }

    /// The host of a mid-flow packet: the record's if it is known to have the flow, or else the
    /// proposed one. Nothing has to be recorded, for only the owner accepts (R4).
    fn bind_mid_flow(
        &mut self,
        now: Time,
        message: &FlowMessage<'_>,
        proposed: NodeNumber,
        found: Option<(Handle, Record)>,
        binding: bool,
    ) -> Bound {
        let step = message.offer.step;
        // A tracker that the proposed host has not told all yet (R10) may know a former owner alone.
        let untold = self.nodes.is_live_host(proposed) && !self.filling.has_marked(proposed);
        let knows = binding && !untold;
        let owner = found
            .filter(|_| knows)
            .and_then(|(_, record)| match record.state {
                State::Owned(Owned { host, .. }) => {
                    (!self.nodes.is_dead_host(now, host)).then_some(host)
                }
                State::Offered(_) | State::Rejected { .. } | State::Refused { .. } => None,
            });
        if let Some(host) = owner {
            // There is always room in the place of the flow's own record.
            let (key, offer) = (message.key, message.offer);
            let _noted = self.records.ask(now, key, host, offer, message.intent);
        }
        Bound::Ask {
            host: owner.unwrap_or(proposed),
            step,
        }
    }

    /// The proposed host has said no to this attempt already, and is not asked again (R6): this
    /// tracker says so in its place.
    fn reject_in_place(&mut self, primary: NodeNumber, message: &FlowMessage<'_>) {
        let flow = self.nodes.hash(&message.key);
        let reject = FlowMessage {
            kind: FlowKind::Reject,
            reason: Reason::Load,
            tried: self.searches.tried(&message.key, message.offer.isn),
            ..*message
        };
        self.out.stats.offers_rejected_in_place += 1;
        self.out.send(primary, flow, &reject);
    }

    /// The flow is turned away; the primary tells the ingress.
    fn turn_back(&mut self, primary: NodeNumber, message: &FlowMessage<'_>, reason: Reason) {
        let flow = self.nodes.hash(&message.key);
        let refuse = FlowMessage {
            kind: FlowKind::Refuse,
            reason,
            tried: Tried::NONE,
            packet: &[],
            ..*message
        };
        self.count_refusal(reason);
        self.out.send(primary, flow, &refuse);
    }
}

#[cfg(test)]
mod tests;
