//! The primary's part: it answers the ingress's Open and leads the search for the flow's host.

use crate::record::{Life, Offered, Owned, Record, State};
use crate::tracker::FlowTracker;
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::message::{FlowKind, FlowMessage, Hunt, Intent, Path, Reason, Tried};
use jlb_protocol::planted::{self, Bug};
use jlb_protocol::{Birth, DropReason, FlowKey, NodeNumber, OfferNumber, Protocol, Role, Time};

/// What became of a message that was handed in and not dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Done {
    /// It did its work.
    Consumed,
    /// It is kept until an answer or a timer ends it.
    Held,
}

/// The end of a message that was handed in: every one has exactly one (R14).
pub(crate) type Ended = Result<Done, DropReason>;

/// What an ingress asks, wherever in the search it stands now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) key: FlowKey,
    pub(crate) flow: FlowHash,
    /// The attempt's id.
    pub(crate) isn: u32,
    /// Offers that may still be made.
    pub(crate) steps: u8,
    pub(crate) intent: Intent,
    pub(crate) ingress: NodeNumber,
    /// The secondary that Offers go through; `None` if the view has no other tracker.
    pub(crate) partner: Option<NodeNumber>,
    pub(crate) tried: Tried,
    /// The hosts among which the next Offer may be passed on.
    pub(crate) hunt: Hunt,
    /// The host that the ingress itself has asked with the next number, and that may yet answer.
    pub(crate) first: Option<NodeNumber>,
    /// A tracker that the ingress has asked before, and that does not act (R11).
    pub(crate) without: Option<NodeNumber>,
    pub(crate) packet: &'a [u8],
}

impl FlowTracker {
    /// The question of an Open, Offer or Reject whose search this tracker leads.
    pub(crate) fn question<'a>(
        &self,
        message: &FlowMessage<'a>,
        ingress: NodeNumber,
        steps: u8,
    ) -> Question<'a> {
        let flow = self.nodes.hash(&message.key);
        Question {
            key: message.key,
            flow,
            isn: message.offer.isn,
            steps,
            intent: message.intent,
            ingress,
            partner: self.nodes.partner(self.nodes.ranks(flow)),
            tried: message.tried,
            hunt: Hunt::NONE,
            first: None,
            without: None,
            packet: message.packet,
        }
    }

    /// Open: find this flow's host.
    pub(crate) fn open(&mut self, now: Time, from: NodeNumber, message: &FlowMessage<'_>) -> Ended {
        let ingress = self.nodes.named(message.path.ingress, Role::Ingress)?;
        let passed_on = match self.nodes.role(from) {
            Some(Role::Ingress) if from == ingress => false,
            // R13: a host passes on what an ingress that sees no tracker has offered to it.
            Some(Role::FlowTracker | Role::HostAgent) => true,
            Some(Role::Ingress) | None => return Err(DropReason::WrongNode),
        };
        let me = Some(self.nodes.me);
        if message.path.primary != me {
            return Err(DropReason::WrongNode);
        }
        if !self.nodes.acts() && !planted::is(Bug::ActsWhileJoining) {
            return self.not_acting(ingress, message);
        }
        let flow = self.nodes.hash(&message.key);
        // R11: the ingress has asked another tracker before, which does not act.
        let ranks = self.nodes.ranks_without(flow, message.path.secondary);
        // The last tracker leads even while it drains: there is nobody to take over.
        let primary = ranks.primary.unwrap_or(self.nodes.me);
        // One that hears no host at all is more likely cut off than right. Where the ingress has
        // asked another already, or there is no other, that is the answer.
        let another = self.nodes.has_other_trackers() && message.path.secondary.is_none();
        if Some(primary) == me && another && self.nodes.hears_no_host() {
            return self.not_acting(ingress, message);
        }
        // The one that would lead does not rank itself so high, since it does not see who is left out: it has domains
        // between itself and that one's.
        let asked_by_lead = ranks.secondary == me && Some(from) == ranks.primary;
        let is_asked = passed_on && message.path.secondary.is_some() && asked_by_lead;
        if Some(primary) == me || is_asked {
            let mut question = self.question(message, ingress, message.offer.step);
            question.partner = self.nodes.partner(ranks);
            question.without = message.path.secondary;
            // With a birth that host has just said that the flow is not its own.
            question.first = message.path.host.filter(|_| message.birth.is_none());
            return self.lead(now, question);
        }
        // R11: an Open at the wrong tracker is passed on once to the right one.
        if passed_on {
            return Err(DropReason::PassedOn);
        }
        let path = Path {
            primary: Some(primary),
            ..message.path
        };
        self.out.stats.opens_passed_on += 1;
        self.out
            .send(primary, flow, &FlowMessage { path, ..*message });
        Ok(Done::Consumed)
    }

    /// Answers a question as the flow's primary.
    pub(crate) fn lead(&mut self, now: Time, mut q: Question<'_>) -> Ended {
        let pool = self
            .pools
            .get(q.key.service())
            .ok_or(DropReason::UnknownService)?;
        match (q.intent, pool.service.protocol) {
            (Intent::Syn, Protocol::Udp) | (Intent::Datagram, Protocol::Tcp) => {
                return Err(DropReason::FlowMismatch);
            }
            (Intent::Syn, Protocol::Tcp)
            | (Intent::Datagram, Protocol::Udp)
            | (Intent::MidFlow, Protocol::Tcp | Protocol::Udp) => {}
        }
        q.steps = q.steps.min(pool.service.search_ttl);
        match q.intent {
            Intent::MidFlow => self.lead_mid_flow(now, q),
            Intent::Syn | Intent::Datagram => self.lead_attempt(now, q),
        }
    }

    /// A SYN or a datagram: to the flow's host if it has one (R7), to a chosen one otherwise.
    pub(crate) fn lead_attempt(&mut self, now: Time, q: Question<'_>) -> Ended {
        // A hint may name a host that has let the flow go: what is not known is asked for (R10).
        let found = self.records.find(&q.key);
        let knows = |record: &Record| !record.is_hint() || record.is_of(q.intent, q.isn);
        match found.filter(|(_, record)| knows(record)) {
            Some((_, record)) => self.lead_by(now, q, Some(record)),
            None => self.begin_unknown(now, q, found.map(|(_, record)| record)),
        }
    }

    /// A SYN or datagram of a flow of which no host knows more than the record does, if there is one:
    /// a host that it names, if only by a hint, is asked before any other.
    pub(crate) fn lead_known(&mut self, now: Time, q: Question<'_>) -> Ended {
        let found = self.records.find(&q.key);
        self.lead_by(now, q, found.map(|(_, record)| record))
    }

    /// The same by the flow's record.
    fn lead_by(&mut self, now: Time, mut q: Question<'_>, found: Option<Record>) -> Ended {
        let Some(record) = found else {
            return self.begin(now, q);
        };
        let same = record.isn == q.isn;
        let host = record.state.host();
        let host_is_gone = host.is_some_and(|host| !self.nodes.is_live_host(host));
        if record.supersedes(q.intent, q.isn, false) && !host_is_gone {
            return Err(DropReason::Superseded);
        }
        match record.state {
            State::Offered(Offered { host, step, .. }) if host_is_gone => {
                if !same {
                    return self.begin(now, q);
                }
                self.add_known_tried(&mut q);
                q.tried.push(host);
                q.steps = step;
                self.ask_next(now, q)
            }
            State::Offered(Offered { host, step, .. }) if same => {
                Ok(self.repeat(now, q, host, step))
            }
            // It may have taken the earlier attempt: the next one is its own to answer.
            State::Offered(Offered { host, .. }) => self.ask_owner(now, q, host),
            State::Rejected { step, .. } if same => {
                self.add_known_tried(&mut q);
                q.steps = step;
                self.ask_next(now, q)
            }
            State::Refused {
                reason: Reason::Queued,
                ..
            } if same => self.still_waits(now, q),
            State::Refused { reason, .. } if same => {
                self.out.stats.opens_repeated += 1;
                self.send_refuse(&q, reason);
                Ok(Done::Consumed)
            }
            State::Rejected { .. } | State::Refused { .. } => self.begin(now, q),
            // A straggling repeat: the client's part of the handshake was seen.
            State::Owned(Owned {
                host,
                step,
                life: Life::Established | Life::Closing,
                ..
            }) if (same || record.has_taken(q.isn))
                && q.intent == Intent::Syn
                && !self.nodes.is_dead_host(now, host) =>
            {
                Ok(self.repeat(now, q, host, step))
            }
            State::Owned(Owned { host, .. }) if host_is_gone => {
                q.tried.push(host);
                self.begin(now, q)
            }
            State::Owned(Owned { host, step, .. }) if same && q.intent == Intent::Syn => {
                Ok(self.repeat(now, q, host, step))
            }
            State::Owned(Owned { host, birth, .. }) if planted::is(Bug::SynNotOfferedToOwner) => {
                self.answer_from_record(&q, host, birth);
                Ok(Done::Consumed)
            }
            // R7: the host decides by its kernel's state. A datagram's attempts are not told
            // apart, but the search that found the host is over: this is a new one.
            State::Owned(Owned { host, .. }) => self.ask_owner(now, q, host),
        }
    }

    /// A mid-flow packet: never a choice, only the owner accepts it (R4).
    fn lead_mid_flow(&mut self, now: Time, q: Question<'_>) -> Ended {
        let Some((_, record)) = self.records.find(&q.key) else {
            return self.ask_all(now, q);
        };
        match record.state {
            State::Rejected { .. } | State::Refused { .. } => self.ask_all(now, q),
            // The attempt under way keeps its number; its host is asked beside it.
            State::Offered(Offered { host, .. }) => {
                let step = q.steps.checked_sub(1).ok_or(DropReason::UnknownFlow)?;
                self.send_offer(&q, host, step);
                Ok(Done::Consumed)
            }
            // R4: its host was down for so long that only a live one can have the flow.
            State::Owned(Owned { host, .. }) if self.nodes.is_dead_host(now, host) => {
                self.ask_all(now, q)
            }
            State::Owned(Owned { host, step, .. }) if record.isn == q.isn => {
                Ok(self.repeat(now, q, host, step))
            }
            State::Owned(Owned { host, .. }) => {
                let step = q.steps.checked_sub(1).ok_or(DropReason::UnknownFlow)?;
                self.ask_again(now, &q, host, step);
                Ok(Done::Consumed)
            }
        }
    }

    /// The same Offer again: the host answers one offer number once and for ever (R5).
    fn repeat(&mut self, now: Time, mut q: Question<'_>, host: NodeNumber, step: u8) -> Done {
        self.add_known_tried(&mut q);
        self.out.stats.opens_repeated += 1;
        self.ask_again(now, &q, host, step);
        Done::Consumed
    }

    /// Adds the hosts that are known to have said no in this attempt.
    pub(crate) fn add_known_tried(&self, q: &mut Question<'_>) {
        for host in self.searches.tried(&q.key, q.isn).iter() {
            q.tried.push(host);
        }
    }

    /// A SYN or datagram of a flow of which there is no record but a hint: a new flow, or one that only a host knows of.
    fn begin_unknown(&mut self, now: Time, q: Question<'_>, hint: Option<Record>) -> Ended {
        if let Some(host) = q.first.filter(|&host| self.nodes.is_live_host(host))
            && !q.tried.contains(host)
        {
            // R13: it may have the ingress's own Offer, and is asked by that number. With another one
            // it could reject the one and accept the other.
            return self.begin_with(now, q, host);
        }
        match self.filling.doubt(&self.nodes, q.flow) {
            Some(doubt) => self.ask_doubtful(now, q, doubt),
            None => {
                self.end_question(&q.key);
                self.lead_by(now, q, hint)
            }
        }
    }

    /// A new search that begins with this host.
    fn begin_with(&mut self, now: Time, q: Question<'_>, host: NodeNumber) -> Ended {
        let Some(step) = q.steps.checked_sub(1) else {
            return self.nobody(now, &q, Reason::Exhausted);
        };
        self.out.stats.searches_begun += 1;
        if !q.tried.is_empty() && !self.searches.remember(now, q.key, q.isn, q.tried) {
            return self.turn_away(now, &q, DropReason::SearchFull);
        }
        let offer = OfferNumber { isn: q.isn, step };
        if let Err(full) = self.records.ask(now, q.key, host, offer, q.intent) {
            return self.turn_away(now, &q, full);
        }
        self.send_offer(&q, host, step);
        Ok(Done::Consumed)
    }

    /// A new search.
    pub(crate) fn begin(&mut self, now: Time, q: Question<'_>) -> Ended {
        self.out.stats.searches_begun += 1;
        self.ask_next(now, q)
    }

    /// Offers a new attempt to the host that the record names, before any other.
    fn ask_owner(&mut self, now: Time, q: Question<'_>, host: NodeNumber) -> Ended {
        let Some(step) = q.steps.checked_sub(1) else {
            return self.nobody(now, &q, Reason::Exhausted);
        };
        self.out.stats.searches_begun += 1;
        self.ask_again(now, &q, host, step);
        Ok(Done::Consumed)
    }

    /// Offers the flow to the host that its record names already.
    pub(crate) fn ask_again(&mut self, now: Time, q: &Question<'_>, host: NodeNumber, step: u8) {
        let offer = OfferNumber { isn: q.isn, step };
        // There is always room in the place of the flow's own record.
        let _noted = self.records.ask(now, q.key, host, offer, q.intent);
        self.send_offer(q, host, step);
    }

    /// One step of the search: chooses a host that was not asked yet, records it, and sends the
    /// Offer. Without steps or hosts left, the overload policy decides (R6).
    pub(crate) fn ask_next(&mut self, now: Time, mut q: Question<'_>) -> Ended {
        if let Some(next) = self.still_hunted(&mut q) {
            return self.ask_hunted(now, &q, next);
        }
        let cost = u8::from(!planted::is(Bug::AsksRejectedHostAgain));
        let Some(step) = q.steps.checked_sub(cost) else {
            return self.nobody(now, &q, Reason::Exhausted);
        };
        let service = q.key.service();
        let pool = self
            .pools
            .get_mut(service)
            .ok_or(DropReason::UnknownService)?;
        let is_active = |host| self.nodes.is_active_host(host);
        let next = if !pool.queues() {
            pool.next(now, is_active, q.flow, &q.tried, step)
        } else if self.surge.is_over(now, &q.key, q.isn) || self.records.is_owned(&q.key) {
            // Its host is gone, and the record can't say that it waits; or it has waited enough.
            let host = pool.next_at_once(now, is_active, q.flow, &q.tried);
            host.map(|host| (host, step))
        } else if self.surge.has_line(service) {
            // First come, first served.
            None
        } else {
            pool.next(now, is_active, q.flow, &q.tried, step)
        };
        let Some((host, step)) = next else {
            let reason = if pool.has_active_host(&self.nodes) {
                Reason::Exhausted
            } else {
                Reason::NoHost
            };
            return self.nobody(now, &q, reason);
        };
        // R6: a host that rejected is not asked again, so the search must be remembered first.
        if !q.tried.is_empty() && !self.searches.remember(now, q.key, q.isn, q.tried) {
            return self.turn_away(now, &q, DropReason::SearchFull);
        }
        let offer = OfferNumber { isn: q.isn, step };
        if let Err(full) = self.records.ask(now, q.key, host, offer, q.intent) {
            return self.turn_away(now, &q, full);
        }
        if let Some(pool) = self.pools.get_mut(q.key.service()) {
            pool.assigned(host);
            self.out.stats.overflow_offers += u64::from(pool.is_overflow(host));
            self.out.stats.last_offers += u64::from(step == 0 && pool.must_accept());
        }
        q.hunt = self.begin_hunt(now, &q, host, step);
        self.send_offer(&q, host, step);
        Ok(Done::Consumed)
    }

    /// R2: an Offer reaches a host only through the secondary, when the view has one.
    pub(crate) fn send_offer(&mut self, q: &Question<'_>, host: NodeNumber, step: u8) {
        let offer = FlowMessage {
            kind: FlowKind::Offer,
            key: q.key,
            offer: OfferNumber { isn: q.isn, step },
            intent: q.intent,
            path: Path {
                ingress: Some(q.ingress),
                primary: Some(self.nodes.me),
                secondary: q.partner,
                host: Some(host),
            },
            birth: None,
            tried: q.tried,
            hunt: self.known_hunt(q, host, step),
            reason: Reason::None,
            load: 0,
            packet: q.packet,
        };
        self.out.stats.offers += 1;
        let partner = q
            .partner
            .filter(|_| !planted::is(Bug::OfferPastTheSecondary));
        self.out.send(partner.unwrap_or(host), q.flow, &offer);
    }

    /// An Accept that no host has given, for [`Bug::SynNotOfferedToOwner`] alone.
    fn answer_from_record(&mut self, q: &Question<'_>, host: NodeNumber, birth: Birth) {
        let accept = FlowMessage {
            kind: FlowKind::Accept,
            key: q.key,
            offer: OfferNumber {
                isn: q.isn,
                step: q.steps,
            },
            intent: q.intent,
            path: Path {
                ingress: Some(q.ingress),
                primary: Some(self.nodes.me),
                secondary: q.partner,
                host: Some(host),
            },
            birth: Some(birth),
            tried: Tried::NONE,
            hunt: Hunt::NONE,
            reason: Reason::None,
            load: 0,
            packet: &[],
        };
        self.out.send(q.ingress, q.flow, &accept);
    }
}

#[cfg(test)]
mod tests;
