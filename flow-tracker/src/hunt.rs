//! Direct hunts (R6): the primary names further candidates in its Offer, and a host that rejects
//! passes the Offer straight to the next one.
//!
//! A hunt is the plain search, run ahead: each host has its place in the list, and with it the step that
//! it is asked with, by whomever. So a host that is asked twice is asked with one number, and answers
//! once and for ever (R5). Both trackers know the list before its first host is asked (R2), and nobody
//! outside is asked before each of it has rejected, or is down.

use crate::primary::{Done, Ended, Question};
use crate::record::{Offered, Record, State};
use crate::tracker::FlowTracker;
use jlb_protocol::message::{FlowMessage, Hunt, HuntHost, Intent, MAX_HUNT, Tried};
use jlb_protocol::planted::{self, Bug};
use jlb_protocol::{FlowKey, NodeNumber, OfferNumber, Time};

impl FlowTracker {
    /// The primary makes a list that begins with the host that it has chosen; none where the service's
    /// searches are plain, or nobody else would be asked.
    pub(crate) fn begin_hunt(
        &mut self,
        now: Time,
        q: &Question<'_>,
        host: NodeNumber,
        step: u8,
    ) -> Hunt {
        let service = q.key.service();
        if !self
            .pools
            .get(service)
            .is_some_and(|pool| pool.service.direct_hunt)
        {
            return Hunt::NONE;
        }
        // Who may have taken an earlier attempt has to answer this one by itself.
        if q.intent != Intent::Syn
            || !self.asks_one_attempt(&q.key, q.isn)
            || self.surge.is_over(now, &q.key, q.isn)
        {
            return Hunt::NONE;
        }
        let Some(pool) = self.pools.get_mut(service) else {
            return Hunt::NONE;
        };
        let mut hunt = Hunt::NONE;
        let mut tried = q.tried;
        let mut next = Some((host, step));
        while let Some((host, step)) = next.take() {
            let incarnation = self.nodes.incarnation(host);
            let listed = incarnation.is_some_and(|incarnation| {
                hunt.push(HuntHost {
                    host,
                    step,
                    incarnation,
                })
            });
            if !listed || !tried.push(host) || hunt.len() == MAX_HUNT {
                break;
            }
            if let Some(left) = step.checked_sub(1) {
                let is_active = |host| self.nodes.is_active_host(host);
                let further = pool.further(now, is_active, q.flow, &tried, left);
                next = further.map(|further| (further, left));
            }
        }
        let hunt = hunt.passing(true);
        if hunt.len() < 2
            || !self
                .searches
                .remember_hunt(now, q.key, q.isn, q.tried, hunt)
        {
            return Hunt::NONE;
        }
        self.out.stats.hunts += 1;
        hunt
    }

    /// Whether the record's host is asked for this attempt, and may not answer another one.
    fn asks_one_attempt(&self, key: &FlowKey, isn: u32) -> bool {
        let found = self.records.find(key);
        found.is_some_and(|(_, record)| {
            record.isn == isn
                && matches!(record.state, State::Offered(Offered { several, .. }) if !several)
        })
    }

    /// Of the attempt's list the host that is to answer next: it has not rejected, and is not down.
    pub(crate) fn next_of_hunt(&self, hunt: &Hunt, tried: &Tried) -> Option<HuntHost> {
        hunt.iter()
            .find(|next| !tried.contains(next.host) && self.nodes.is_live_host(next.host))
    }

    /// The hunt was lost, or its hosts could not pass the Offer on: they are asked one by one, with the
    /// numbers that they may have been asked with already.
    pub(crate) fn ask_hunted(&mut self, now: Time, q: &Question<'_>, next: HuntHost) -> Ended {
        if !self.searches.remember(now, q.key, q.isn, q.tried) {
            return self.turn_away(now, q, jlb_protocol::DropReason::SearchFull);
        }
        let HuntHost { host, step, .. } = next;
        let offer = OfferNumber { isn: q.isn, step };
        if let Err(full) = self.records.ask(now, q.key, host, offer, q.intent) {
            return self.turn_away(now, q, full);
        }
        if let Some(pool) = self.pools.get_mut(q.key.service()) {
            pool.passed(host);
        }
        self.out.stats.hunts_fallen_back += 1;
        self.send_offer(q, host, step);
        Ok(Done::Consumed)
    }

    /// What an Offer of this attempt to this host says of its hunt: each host learns which life of it may
    /// take the flow, and a secondary who may have it.
    pub(crate) fn known_hunt(&self, q: &Question<'_>, host: NodeNumber, step: u8) -> Hunt {
        match q.intent {
            Intent::Syn if !q.hunt.is_empty() => q.hunt,
            Intent::Syn => {
                let hunt = self.searches.hunt(&q.key, q.isn);
                hunt.naming(host, step).passing(false)
            }
            Intent::MidFlow | Intent::Datagram => Hunt::NONE,
        }
    }

    /// The secondary has recorded the host that an Offer proposes: it takes the list over, and gives what the
    /// host is told of it. One of which it knows nothing is not passed on (R2).
    pub(crate) fn take_hunt(&mut self, now: Time, message: &FlowMessage<'_>) -> Hunt {
        let (key, isn) = (message.key, message.offer.isn);
        let known = self.searches.hunt(&key, isn);
        let tried = self.searches.tried(&key, isn);
        let OfferNumber { step, .. } = message.offer;
        let Some(host) = message.path.host else {
            return Hunt::NONE;
        };
        let is_other = !known.is_same(&message.hunt);
        if is_other && self.next_of_hunt(&known, &tried).is_some() {
            return known.naming(host, step).passing(false);
        }
        if message.hunt.is_empty() {
            return Hunt::NONE;
        }
        let tried = if known.is_empty() {
            joined(tried, message.tried.iter())
        } else {
            tried
        };
        let remembers = self
            .searches
            .remember_hunt(now, key, isn, tried, message.hunt);
        let passes = message.hunt.passes() && remembers && self.asks_one_attempt(&key, isn);
        message.hunt.passing(passes)
    }

    /// The host that the secondary's list of this attempt has next, where no answer is waited for: the
    /// primary may have forgotten the list, or never had it.
    pub(crate) fn due_in_hunt(
        &self,
        message: &FlowMessage<'_>,
        record: &Record,
    ) -> Option<HuntHost> {
        let isn = message.offer.isn;
        if record.isn != isn || message.intent != Intent::Syn {
            return None;
        }
        // A search that has come below a step has spent it.
        let spent = match record.state {
            State::Rejected { step, .. } => step,
            State::Offered(Offered { host, .. }) if !self.nodes.is_live_host(host) => u8::MAX,
            State::Offered(_) | State::Refused { .. } | State::Owned(_) => return None,
        };
        let hunt = self.searches.hunt(&message.key, isn);
        let next = self.next_of_hunt(&hunt, &self.searches.tried(&message.key, isn));
        next.filter(|next| next.step < spent)
    }

    /// Takes over the list of the tracker whose record binds, in place of an own one that was never used.
    pub(crate) fn adopt_hunt(&mut self, now: Time, message: &FlowMessage<'_>) {
        let (key, isn) = (message.key, message.offer.isn);
        let known = self.searches.hunt(&key, isn);
        if !known.is_same(&message.hunt) {
            let (tried, hunt) = (self.searches.tried(&key, isn), message.hunt);
            // Without room for it that tracker says it again with each Offer.
            let _remembered = self.searches.remember_hunt(now, key, isn, tried, hunt);
        }
    }

    /// Whether the host answers in the place of the one that the record has been asking: the Offer was
    /// passed on to it.
    pub(crate) fn was_passed_to(
        &self,
        message: &FlowMessage<'_>,
        record: &Record,
        host: NodeNumber,
    ) -> bool {
        let OfferNumber { isn, step } = message.offer;
        let State::Offered(Offered { host: asked, .. }) = record.state else {
            return false;
        };
        if message.intent != Intent::Syn || record.isn != isn || asked == host {
            return false;
        }
        let hunt = self.searches.hunt(&message.key, isn);
        hunt.find(asked).is_some()
            && !hunt.naming(host, step).is_empty()
            && !self.searches.tried(&message.key, isn).contains(host)
    }

    /// A host of the list has answered: those before it have rejected, or are down.
    pub(crate) fn note_passed(&mut self, now: Time, key: &FlowKey, isn: u32, host: NodeNumber) {
        let hunt = self.searches.hunt(key, isn);
        if hunt.find(host).is_none() {
            return;
        }
        let before = hunt.iter().take_while(|listed| listed.host != host);
        let tried = joined(
            self.searches.tried(key, isn),
            before.map(|listed| listed.host),
        );
        // There is an entry, so there is room.
        let _remembered = self.searches.remember(now, *key, isn, tried);
    }

    /// A list whose host was asked with another step than it says is none: the secondary has not used it.
    pub(crate) fn check_hunt(&mut self, message: &FlowMessage<'_>, host: NodeNumber) {
        let OfferNumber { isn, step } = message.offer;
        let hunt = self.searches.hunt(&message.key, isn);
        if hunt.find(host).is_some_and(|listed| listed.step != step) {
            self.searches.forget_hunt(&message.key, isn);
        }
    }

    /// Of the hosts that may have been asked in the hunt the next, before any other host is.
    pub(crate) fn still_hunted(&self, q: &mut Question<'_>) -> Option<HuntHost> {
        if q.intent != Intent::Syn {
            return None;
        }
        let hunt = self.searches.hunt(&q.key, q.isn);
        let last = hunt.last()?;
        self.add_known_tried(q);
        let next = self.next_of_hunt(&hunt, &q.tried);
        if next.is_none() || planted::is(Bug::LeavesHuntUnasked) {
            // Their steps are spent.
            q.steps = q.steps.min(last.step);
            return None;
        }
        next
    }
}

fn joined(mut tried: Tried, hosts: impl Iterator<Item = NodeNumber>) -> Tried {
    for host in hosts {
        tried.push(host);
    }
    tried
}

#[cfg(test)]
mod tests;
