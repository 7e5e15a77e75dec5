//! The way back: Accept, Reject and Refuse climb from the host through the secondary and the
//! primary to the ingress, and each tracker records what it passes.

use crate::primary::{Done, Ended, Question};
use crate::record::{Accept, Claim, Event, Life, Next, Owned, Record, State, Waits};
use crate::tracker::FlowTracker;
use jlb_flow_table::Handle;
use jlb_protocol::message::{FlowKind, FlowMessage, Hunt, Intent, Path, Reason, Tried};
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

/// What a host's reject leaves of the record.
enum Disowned {
    /// No host: the search goes on without those that said no.
    Free(Tried),
    /// The owner, which is another host.
    OtherOwner(NodeNumber),
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
        self.owner_found(now, &message.key);
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
        let binds = self.binds(position, message, found.map(|(_, record)| record));
        let step = message.offer.step;
        let isn = message.offer.isn;
        // A hint of another host stands in nobody's way; but an answer to a mid-flow packet, which may be
        // late, takes nothing from the host that is asked for a SYN.
        let holds = |record: &Record| {
            let own = record.state.host() == Some(host);
            let is_asked = matches!(record.state, State::Offered(_));
            let stays = is_asked && message.intent == Intent::MidFlow;
            !record.is_hint() || own || stays || record.is_of(message.intent, isn)
        };
        let held = found.filter(|(_, record)| holds(record));
        let record = match held {
            None => Record::new(
                isn,
                State::Owned(Owned {
                    life: Life::Accepted,
                    host,
                    birth,
                    step,
                    waits: Waits::Nothing,
                    left: 0,
                    hint: false,
                }),
            ),
            Some((handle, record)) => {
                let answers = record.isn == isn;
                let was_passed = self.was_passed_to(message, &record, host);
                self.out.stats.hunts_taken += u64::from(was_passed && binds);
                if was_passed && let Some(pool) = self.pools.get_mut(message.key.service()) {
                    pool.passed(host);
                }
                let claim = match message.intent {
                    _ if (answers && !binds) || was_passed => Claim::Overriding,
                    Intent::MidFlow => Claim::Owner,
                    Intent::Syn | Intent::Datagram => Claim::Offered,
                };
                // A host that rejected meanwhile: its Accept was overtaken, or it has taken an
                // earlier attempt, which its client has left.
                if claim != Claim::Overriding
                    && record.state.host() != Some(host)
                    && self.searches.has_refused(&message.key, host)
                {
                    if binds && claim == Claim::Offered && !answers {
                        self.release(host, &message.key, message.offer, Some(birth));
                    }
                    return Err(DropReason::StaleAccept);
                }
                let event = Event::Accept(Accept {
                    host,
                    step,
                    birth,
                    claim,
                    answers,
                });
                match record.state.next(event) {
                    Next::Become(state) => {
                        if record.state.host().is_some_and(|before| before != host) {
                            self.out.stats.accepts_overriding += 1;
                        }
                        record.with(state, isn)
                    }
                    Next::Stay => {
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
        // A mid-flow packet's number is no attempt's.
        let began = match message.intent {
            Intent::Syn => isn,
            Intent::MidFlow | Intent::Datagram => 0,
        };
        let known = found.filter(|(_, before)| before.is_life(host, birth));
        let began = known.map_or(began, |(_, before)| before.former);
        let record = record.begun_by(began, held.map(|(_, before)| before));
        let place = found.map(|(handle, _)| handle);
        match self.records.put(now, message.key, place, record) {
            Ok(()) => {
                self.note_passed(now, &message.key, isn, host);
                self.searches.end(now, &message.key);
            }
            // R2: a new flow that only the host knows of is not passed on. One that the
            // secondary has recorded, or that was owned before, may be.
            Err(full) if binds && message.intent != Intent::MidFlow => return Err(full),
            Err(_) => {}
        }
        Ok(())
    }

    /// Whether this tracker's record binds the answer: the secondary's does, the primary's where
    /// there is no secondary, and none outside the top two but one of this very attempt (R1).
    fn binds(&self, position: Position, message: &FlowMessage<'_>, found: Option<Record>) -> bool {
        let (intent, isn) = (message.intent, message.offer.isn);
        match position {
            Position::Secondary { .. } => {
                let is_of_it = found.is_some_and(|record| record.is_of(intent, isn));
                self.nodes.binds(self.nodes.hash(&message.key)) || is_of_it
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
            let is_asked = record.is_asked(message.offer) && record.state.host() == Some(host);
            let matches = is_asked || self.was_passed_to(message, &record, host);
            match message.intent {
                Intent::MidFlow if matches => {
                    self.disown_mid_flow(message, host, handle, record);
                }
                Intent::MidFlow => {}
                // R5: a Reject counts only if host and offer number match.
                Intent::Syn | Intent::Datagram if !matches => {
                    return Err(DropReason::StaleReject);
                }
                Intent::Syn | Intent::Datagram => {
                    self.disown_attempt(now, message, host, handle, record)?;
                }
            }
        }
        self.out.stats.rejects += 1;
        let flow = self.nodes.hash(&message.key);
        self.out.send(primary, flow, message);
        Ok(Done::Consumed)
    }

    /// R5: trackers record rejects. Here of a SYN or datagram, whose host and number match.
    fn disown_attempt(
        &mut self,
        now: Time,
        message: &FlowMessage<'_>,
        host: NodeNumber,
        handle: Handle,
        record: Record,
    ) -> Result<Disowned, DropReason> {
        let OfferNumber { isn, step } = message.offer;
        let event = Event::Reject { host, step };
        match (record.state.next(event), record.state) {
            (Next::Become(state @ State::Rejected { .. }), _) => {
                let tried = self.add_tried(now, message, host);
                let next = record.turned(isn, state);
                self.records.put_or_remove(now, message.key, handle, next);
                Ok(Disowned::Free(tried))
            }
            (Next::Stay, State::Owned(Owned { host: own, .. })) => {
                self.add_tried(now, message, host);
                Ok(Disowned::OtherOwner(own))
            }
            (Next::Become(_) | Next::Stay | Next::End | Next::Stale | Next::Conflict, _) => {
                Err(DropReason::StaleReject)
            }
        }
    }

    /// Adds the host to those that said no in this attempt, and gives them all.
    fn add_tried(&mut self, now: Time, message: &FlowMessage<'_>, host: NodeNumber) -> Tried {
        let isn = message.offer.isn;
        let mut tried = self.searches.tried(&message.key, isn);
        for earlier in message.tried.iter().chain([host]) {
            tried.push(earlier);
        }
        // Without room the primary's next step finds out; a secondary's copy is a spare.
        let _remembered = self.searches.remember(now, message.key, isn, tried);
        tried
    }

    /// The record's owner has said of a mid-flow packet that the flow is not its own.
    fn disown_mid_flow(
        &mut self,
        message: &FlowMessage<'_>,
        host: NodeNumber,
        handle: Handle,
        record: Record,
    ) {
        let step = message.offer.step;
        // Else the number is that of an attempt, not of a mid-flow packet.
        if record.state.next(Event::Reject { host, step }) == Next::End {
            self.records.remove(handle);
        }
    }

    /// The primary goes on.
    fn go_on(
        &mut self,
        now: Time,
        message: &FlowMessage<'_>,
        host: NodeNumber,
        ingress: NodeNumber,
        alone: bool,
    ) -> Ended {
        if !self.nodes.acts() {
            return Err(DropReason::NotFilled);
        }
        let mut q = self.question(message, ingress, message.offer.step);
        if message.intent == Intent::MidFlow {
            return self.go_on_mid_flow(now, message, host, q);
        }
        let (handle, record) = self
            .records
            .find(&message.key)
            .ok_or(DropReason::StaleReject)?;
        // R5: a Reject counts only if host and offer number match. The secondary has checked that;
        // its host may be another than the one proposed here (R1), and its step a lower one.
        let counts = if alone {
            let is_asked = record.is_asked(message.offer) && record.state.host() == Some(host);
            is_asked || self.was_passed_to(message, &record, host)
        } else {
            record.is_asked_by(message.offer)
        };
        if !counts {
            return Err(DropReason::StaleReject);
        }
        let disowned = self.disown_attempt(now, message, host, handle, record)?;
        self.check_hunt(message, host);
        self.out.stats.rejects += 1;
        match disowned {
            Disowned::Free(tried) => {
                q.tried = tried;
                self.ask_next(now, q)
            }
            // R7: the owner is asked before any other.
            Disowned::OtherOwner(own) => {
                let Some(step) = q.steps.checked_sub(1) else {
                    return self.nobody(now, &q, Reason::Exhausted);
                };
                self.ask_again(now, &q, own, step);
                Ok(Done::Consumed)
            }
        }
    }

    /// A host does not have the flow of a mid-flow packet: where else may it be? (R4)
    fn go_on_mid_flow(
        &mut self,
        now: Time,
        message: &FlowMessage<'_>,
        host: NodeNumber,
        q: Question<'_>,
    ) -> Ended {
        let Some((handle, record)) = self.records.find(&message.key) else {
            return self.ask_all(now, q);
        };
        match record.state {
            State::Rejected { .. } | State::Refused { .. } => self.ask_all(now, q),
            // No reset while an attempt to open the flow is under way.
            State::Offered(_) => Err(DropReason::UnknownFlow),
            State::Owned(_) if !record.is_asked_by(message.offer) => {
                if let Next::Become(state) = record.state.next(Event::Unowned { host }) {
                    let next = record.with(state, record.isn);
                    self.records.put_or_remove(now, message.key, handle, next);
                }
                Err(DropReason::StaleReject)
            }
            State::Owned(Owned { host: own, .. }) if own == host => {
                self.out.stats.rejects += 1;
                self.disown_mid_flow(message, host, handle, record);
                if self.records.find(&message.key).is_some() {
                    return Err(DropReason::UnknownFlow);
                }
                self.ask_all(now, q)
            }
            // The secondary's record named another host; that one has let go now.
            State::Owned(Owned { host: own, .. }) => {
                self.out.stats.rejects += 1;
                let step = q.steps.checked_sub(1).ok_or(DropReason::UnknownFlow)?;
                self.ask_again(now, &q, own, step);
                Ok(Done::Consumed)
            }
        }
    }

    /// Refuse: the secondary has no room for the flow (R3), or knows that the search is over. The
    /// ingress is told.
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
            // One untrusted record becomes another: there is room.
            let record = Record { state, ..record };
            self.records.put(now, message.key, Some(handle), record)?;
            self.searches.end(now, &message.key);
        }
        let flow = self.nodes.hash(&message.key);
        self.count_refusal(reason);
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
            hunt: Hunt::NONE,
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
