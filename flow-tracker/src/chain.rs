//! The way back: Accept, Reject and Refuse climb from the host through the secondary and the
//! primary to the ingress, and each tracker records what it passes.

use crate::primary::{Done, Ended};
use crate::record::{Claim, Event, Life, Next, Record, State};
use crate::tracker::FlowTracker;
use jlb_protocol::message::{FlowKind, FlowMessage, Intent, Path, Reason, Tried};
use jlb_protocol::{Birth, DropReason, FlowKey, NodeNumber, OfferNumber, Role, Time};

/// Where this tracker stands in the path of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Position {
    /// Between the host and the primary.
    Secondary { primary: NodeNumber },
    /// Behind a secondary, whose record binds (R1).
    BehindSecondary,
    /// The only tracker in the path: its own record binds (R1).
    Alone,
}

impl FlowTracker {
    /// This tracker's position, if the answer came from where it must come from.
    fn position(
        &self,
        from: NodeNumber,
        path: &Path,
        host: NodeNumber,
    ) -> Result<Position, DropReason> {
        let me = Some(self.nodes.me);
        let (position, expected) = if path.secondary == me {
            if path.primary == me {
                return Err(DropReason::WrongNode);
            }
            let primary = self.nodes.named(path.primary, Role::FlowTracker)?;
            (Position::Secondary { primary }, host)
        } else if path.primary == me {
            match path.secondary {
                Some(_) => {
                    let secondary = self.nodes.named(path.secondary, Role::FlowTracker)?;
                    (Position::BehindSecondary, secondary)
                }
                None => (Position::Alone, host),
            }
        } else {
            return Err(DropReason::WrongNode);
        };
        if from != expected {
            return Err(DropReason::WrongNode);
        }
        Ok(position)
    }

    /// Accept: the host has taken the flow, or has it already.
    pub(crate) fn accept(
        &mut self,
        now: Time,
        from: NodeNumber,
        message: &FlowMessage<'_>,
    ) -> Ended {
        let host = self.nodes.named(message.path.host, Role::HostAgent)?;
        let ingress = self.nodes.named(message.path.ingress, Role::Ingress)?;
        let birth = message.birth.ok_or(DropReason::BadField)?;
        if self.pools.get(message.key.service()).is_none() {
            return Err(DropReason::UnknownService);
        }
        let position = self.position(from, &message.path, host)?;
        self.record_accept(now, position, message, host, birth)?;
        let flow = self.nodes.hash(&message.key);
        let next_hop = match position {
            Position::Secondary { primary } => primary,
            Position::BehindSecondary | Position::Alone => ingress,
        };
        self.out.stats.accepts += 1;
        self.out.send(next_hop, flow, message);
        self.owner_found(&message.key);
        Ok(Done::Consumed)
    }

    /// R1: an Accept that does not match the record that binds stops here.
    fn record_accept(
        &mut self,
        now: Time,
        position: Position,
        message: &FlowMessage<'_>,
        host: NodeNumber,
        birth: Birth,
    ) -> Result<(), DropReason> {
        let found = self.records.find(&message.key);
        let binds = self.binds(position, &message.key);
        let step = message.offer.step;
        let state = match found {
            None => State::Owned {
                life: Life::Accepted,
                step,
                host,
                birth,
            },
            Some((handle, record)) => {
                let same = record.isn == message.offer.isn;
                let claim = match message.intent {
                    _ if same && !binds => Claim::Overriding,
                    Intent::MidFlow => Claim::Owner,
                    Intent::Syn | Intent::Datagram if same => Claim::ThisAttempt,
                    Intent::Syn | Intent::Datagram => Claim::OtherAttempt,
                };
                // A host that rejected meanwhile: its Accept was overtaken.
                if claim != Claim::Overriding
                    && record.state.host() != Some(host)
                    && self.searches.has_refused(&message.key, host)
                {
                    return Err(DropReason::StaleAccept);
                }
                let event = Event::Accept {
                    host,
                    step,
                    birth,
                    claim,
                };
                match record.state.next(event) {
                    Next::Become(state) => {
                        if record.state.host().is_some_and(|before| before != host) {
                            self.out.stats.accepts_overriding += 1;
                        }
                        state
                    }
                    Next::Confirm => {
                        self.records.renew(now, handle);
                        return Ok(());
                    }
                    Next::Conflict if binds => {
                        self.release(host, &message.key, message.offer, Some(birth));
                        return Err(DropReason::StaleAccept);
                    }
                    Next::Conflict | Next::Stale | Next::End => {
                        return Err(DropReason::StaleAccept);
                    }
                }
            }
        };
        let record = Record {
            isn: message.offer.isn,
            state,
        };
        let place = found.map(|(handle, _)| handle);
        match self.records.put(now, message.key, place, record) {
            Ok(()) => self.searches.end(now, &message.key),
            // R2: a new flow that only the host knows of is not passed on. One that the
            // secondary has recorded, or that was owned before, may be.
            Err(full) if binds && message.intent != Intent::MidFlow => return Err(full),
            Err(_) => {}
        }
        Ok(())
    }

    /// Whether this tracker's record binds the answer: the secondary's does, the primary's where
    /// there is no secondary, and none outside the top two (R1).
    fn binds(&self, position: Position, key: &FlowKey) -> bool {
        match position {
            Position::Secondary { .. } => {
                let ranks = self.nodes.ranks(self.nodes.hash(key));
                let me = Some(self.nodes.me);
                ranks.primary == me || ranks.secondary == me
            }
            Position::BehindSecondary => false,
            Position::Alone => true,
        }
    }

    /// Reject: the host does not take the flow, or does not have it.
    pub(crate) fn reject(
        &mut self,
        now: Time,
        from: NodeNumber,
        message: &FlowMessage<'_>,
    ) -> Ended {
        let host = self.nodes.named(message.path.host, Role::HostAgent)?;
        let ingress = self.nodes.named(message.path.ingress, Role::Ingress)?;
        if self.pools.get(message.key.service()).is_none() {
            return Err(DropReason::UnknownService);
        }
        match self.position(from, &message.path, host)? {
            Position::Secondary { primary } => self.pass_reject(now, message, host, primary),
            Position::BehindSecondary => self.go_on(now, message, host, ingress, false),
            Position::Alone => self.go_on(now, message, host, ingress, true),
        }
    }

    /// The secondary records the reject and passes it to the primary, which leads the search.
    fn pass_reject(
        &mut self,
        now: Time,
        message: &FlowMessage<'_>,
        host: NodeNumber,
        primary: NodeNumber,
    ) -> Ended {
        if let Some((handle, record)) = self.records.find(&message.key) {
            let matches = record.is_asked(message.offer) && record.state.host() == Some(host);
            match message.intent {
                Intent::MidFlow if matches => {
                    // A mid-flow number is only ever noted beside an owner, which now is none.
                    if record.state.next(self.disown(message, host)) != Next::Confirm {
                        self.records.remove(handle);
                    }
                }
                Intent::MidFlow => {}
                Intent::Syn | Intent::Datagram if matches => {
                    self.record_reject(now, message, host);
                }
                // R5: a Reject counts only if host and offer number match.
                Intent::Syn | Intent::Datagram => return Err(DropReason::StaleReject),
            }
        }
        self.out.stats.rejects += 1;
        let flow = self.nodes.hash(&message.key);
        self.out.send(primary, flow, message);
        Ok(Done::Consumed)
    }

    fn disown(&self, message: &FlowMessage<'_>, host: NodeNumber) -> Event {
        Event::Reject {
            host,
            step: message.offer.step,
        }
    }

    /// R5: trackers record rejects. Gives the hosts that said no so far.
    fn record_reject(&mut self, now: Time, message: &FlowMessage<'_>, host: NodeNumber) -> Tried {
        let key = message.key;
        let isn = message.offer.isn;
        let mut tried = self.searches.tried(&key, isn);
        for earlier in message.tried.iter().chain([host]) {
            tried.push(earlier);
        }
        // Without room the primary's next step finds out; a secondary's copy is a spare.
        let _remembered = self.searches.remember(now, key, isn, tried);
        let Some((handle, record)) = self.records.find(&key) else {
            return tried;
        };
        match record.state.next(self.disown(message, host)) {
            Next::Become(state) => {
                let next = Record { isn, state };
                if self.records.put(now, key, Some(handle), next).is_err() {
                    // No room to remember an untrusted record; the host has disowned the flow.
                    self.records.remove(handle);
                }
            }
            Next::Confirm | Next::Stale | Next::End | Next::Conflict => {}
        }
        tried
    }

    /// The primary goes on with the search.
    fn go_on(
        &mut self,
        now: Time,
        message: &FlowMessage<'_>,
        host: NodeNumber,
        ingress: NodeNumber,
        alone: bool,
    ) -> Ended {
        let mut q = self.question(message, ingress, message.offer.step);
        let found = self.records.find(&message.key);
        if message.intent == Intent::MidFlow {
            let Some((handle, record)) = found else {
                return self.ask_all(now, q);
            };
            return match record.state {
                State::Rejected { .. } | State::Refused { .. } => self.ask_all(now, q),
                // No reset while an attempt to open the flow is under way.
                State::Offered { .. } => Err(DropReason::UnknownFlow),
                State::Owned { .. } if !record.is_asked(message.offer) => {
                    Err(DropReason::StaleReject)
                }
                State::Owned { host: own, .. } if own == host => {
                    self.out.stats.rejects += 1;
                    self.records.remove(handle);
                    self.ask_all(now, q)
                }
                // The secondary's record named another host; that one has let go now.
                State::Owned { host: own, .. } => {
                    self.out.stats.rejects += 1;
                    let step = q.steps.checked_sub(1).ok_or(DropReason::UnknownFlow)?;
                    self.note_asked(handle, record, q.isn, own, step);
                    self.send_offer(&q, own, step);
                    Ok(Done::Consumed)
                }
            };
        }
        let (_, record) = found.ok_or(DropReason::StaleReject)?;
        // R5: a Reject counts only if host and offer number match. The secondary has checked the
        // host, which may be another than the one proposed here (R1).
        if !record.is_asked(message.offer) || (alone && record.state.host() != Some(host)) {
            return Err(DropReason::StaleReject);
        }
        self.out.stats.rejects += 1;
        q.tried = self.record_reject(now, message, host);
        match (record.state, self.records.find(&message.key)) {
            // The secondary's record named another host; this one's owner is asked first (R7).
            (State::Owned { host: own, .. }, Some((handle, record))) if own != host => {
                let Some(step) = q.steps.checked_sub(1) else {
                    return self.nobody(now, &q, Reason::Exhausted);
                };
                self.note_asked(handle, record, q.isn, own, step);
                self.send_offer(&q, own, step);
                Ok(Done::Consumed)
            }
            _ => self.ask_next(now, q),
        }
    }

    /// Refuse: the secondary has no room for the flow (R3). The ingress is told.
    pub(crate) fn pass_refuse(
        &mut self,
        now: Time,
        from: NodeNumber,
        message: &FlowMessage<'_>,
    ) -> Ended {
        let ingress = self.nodes.named(message.path.ingress, Role::Ingress)?;
        let secondary = self
            .nodes
            .named(message.path.secondary, Role::FlowTracker)?;
        if from != secondary || message.path.primary != Some(self.nodes.me) {
            return Err(DropReason::WrongNode);
        }
        let (handle, record) = self
            .records
            .find(&message.key)
            .filter(|(_, record)| record.is_asked(message.offer))
            .ok_or(DropReason::StaleAnswer)?;
        let reason = message.reason;
        if let Next::Become(state) = record.state.next(Event::Refuse { reason }) {
            let isn = record.isn;
            // One untrusted record becomes another: there is room.
            let record = Record { isn, state };
            self.records.put(now, message.key, Some(handle), record)?;
            self.searches.end(now, &message.key);
        }
        let flow = self.nodes.hash(&message.key);
        self.out.stats.refused_quota += 1;
        self.out.send(ingress, flow, message);
        Ok(Done::Consumed)
    }

    /// Tells a host that another one has the flow: it disowns silently.
    pub(crate) fn release(
        &mut self,
        host: NodeNumber,
        key: &FlowKey,
        offer: OfferNumber,
        birth: Option<Birth>,
    ) {
        let release = FlowMessage {
            kind: FlowKind::Release,
            key: *key,
            offer,
            intent: Intent::Syn,
            path: Path {
                host: Some(host),
                ..Path::default()
            },
            birth,
            tried: Tried::NONE,
            reason: Reason::None,
            load: 0,
            packet: &[],
        };
        self.out.stats.releases += 1;
        self.out.send(host, self.nodes.hash(key), &release);
    }
}

#[cfg(test)]
mod tests;
