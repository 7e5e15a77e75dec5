//! Offers: whether this host takes a flow (R4 to R7).

use crate::admission::FULL;
use crate::agent::{HostAgent, Verdict};
use crate::drain::Cut;
use crate::flows::NewFlow;
use crate::life::{Ending, State};
use jlb_protocol::message::{FlowKind, FlowMessage, Intent, Path, Reason, Tried};
use jlb_protocol::packet::{Packet, Transport};
use jlb_protocol::planted::{self, Bug};
use jlb_protocol::{Birth, DropReason, NodeNumber, OfferNumber, Protocol, Time};

/// An offer that was found to be in order.
struct Offer<'m> {
    message: &'m FlowMessage<'m>,
    /// Where the answer goes: to the tracker that binds (R1), or to the ingress that asks by itself
    /// (R13).
    up: NodeNumber,
    protocol: Protocol,
}

impl Offer<'_> {
    /// Whether no tracker handled it (R13).
    const fn is_alone(&self) -> bool {
        let path = &self.message.path;
        path.primary.is_none() && path.secondary.is_none()
    }
}

impl HostAgent {
    pub(crate) fn handle_offer(
        &mut self,
        now: Time,
        from: NodeNumber,
        message: &FlowMessage<'_>,
    ) -> Result<Verdict, DropReason> {
        if message.path.host != Some(self.node) {
            return Err(DropReason::WrongNode);
        }
        let up = match (message.path.secondary, message.path.primary) {
            (Some(secondary), _) => secondary,
            (None, Some(primary)) => primary,
            // R13: an Offer without any tracker on its path is an ingress's own search.
            (None, None) if message.path.ingress == Some(from) => from,
            (None, None) => return Err(DropReason::WrongNode),
        };
        let path = &message.path;
        let by_path = [path.primary, path.secondary, path.ingress].contains(&Some(from));
        if !by_path && !self.was_passed_by(from, message) {
            return Err(DropReason::WrongNode);
        }
        self.may_answer(&message.key)?;
        let (packet, protocol) = self.examine(message)?;
        if packet.intent() != Some(message.intent) || !names_attempt(message, &packet) {
            return Err(DropReason::FlowMismatch);
        }
        let offer = Offer {
            message,
            up,
            protocol,
        };
        Ok(match message.intent {
            Intent::Syn => self.offered_syn(now, &offer)?,
            Intent::MidFlow => self.offered_mid_flow(now, &offer, &packet)?,
            Intent::Datagram => self.offered_datagram(now, &offer, &packet),
        })
    }

    /// R7: "the host that has the flow decides by its kernel's state: still open (the stack
    /// answers), or closed or in TIME_WAIT (a new flow: accept or reject)".
    ///
    /// A SYN of the attempt that was accepted is the stack's in every state: it is a repeat, or
    /// came late. Whether its number was rejected before is not asked then: the filter of rejects
    /// may err, and to reject what this host owns could give the flow two hosts.
    fn offered_syn(&mut self, now: Time, offer: &Offer<'_>) -> Result<Verdict, DropReason> {
        let isn = offer.message.offer.isn;
        if let Some((handle, flow)) = self.flows.owned(&offer.message.key) {
            let birth = flow.birth;
            if flow.isn() == Some(isn) || flow.has_socket(now, self.timers.socketless) {
                self.flows.syn_delivered(now, handle, isn);
                self.flows.came_through(handle, offer.message.path.ingress);
                return Ok(self.accept_again(offer, birth));
            }
            // The next dump that loads the list would take the old life's TIME_WAIT for a flow.
            if !self.is_ready() {
                return Err(DropReason::NotReady);
            }
            if self.pass_on(offer) {
                return Ok(Verdict::Done);
            }
            self.end(now, handle, Ending::Renewed);
        } else if self.pass_on(offer) {
            return Ok(Verdict::Done);
        }
        Ok(self.consider(now, offer))
    }

    /// R4: "a mid-flow Offer is never a choice: only the owner accepts it".
    fn offered_mid_flow(
        &mut self,
        now: Time,
        offer: &Offer<'_>,
        packet: &Packet,
    ) -> Result<Verdict, DropReason> {
        let Some((handle, flow)) = self.owned_mid_flow(&offer.message.key)? else {
            if planted::is(Bug::MidFlowIsAChoice) {
                return Ok(self.consider(now, offer));
            }
            self.post.counters.not_owner += 1;
            return Ok(self.reject(offer, Reason::NotOwner, 0));
        };
        let birth = flow.birth;
        match self.cut_off(now, handle, &offer.message.key, packet) {
            Cut::No => self.delivered(now, handle, packet, offer.message.path.ingress),
            // The flow is this host's, and the ingress need not ask again.
            Cut::Reset => {
                self.accept_again(offer, birth);
                return Err(DropReason::Drained);
            }
            Cut::Forgotten => {
                self.post.counters.not_owner += 1;
                return Ok(self.reject(offer, Reason::NotOwner, 0));
            }
        }
        Ok(self.accept_again(offer, birth))
    }

    fn offered_datagram(&mut self, now: Time, offer: &Offer<'_>, packet: &Packet) -> Verdict {
        if let Some((handle, _)) = self.flows.owned(&offer.message.key) {
            // A flow whose time is over begins anew, elsewhere.
            self.cut_off(now, handle, &offer.message.key, packet);
        }
        let owned = self.flows.owned(&offer.message.key);
        let Some((handle, birth)) = owned.map(|(handle, flow)| (handle, flow.birth)) else {
            if self.pass_on(offer) {
                return Verdict::Done;
            }
            return self.consider(now, offer);
        };
        // The Open may be a repeat, with the packet that the flow began with: it proves nothing.
        if let Transport::Udp { .. } = packet.transport {
            self.flows.touch(now, handle);
            self.flows.came_through(handle, offer.message.path.ingress);
        }
        self.accept_again(offer, birth)
    }

    /// R13: "a host that itself sees a tracker does not accept such an Offer but passes it on once
    /// as an Open to its primary". False if there is a tracker on the path, or none to be seen.
    fn pass_on(&mut self, offer: &Offer<'_>) -> bool {
        let message = offer.message;
        if !offer.is_alone() || planted::is(Bug::HostTakesTrackerlessOffer) {
            return false;
        }
        let ranks = self.statements.ranks(self.post.flow_hash(&message.key));
        let Some(primary) = ranks.primary else {
            return false;
        };
        // The tracker asks this host first, by the number of this Offer: one that comes late or twice
        // then finds nobody else with the flow.
        let OfferNumber { isn, step } = message.offer;
        let open = FlowMessage {
            kind: FlowKind::Open,
            offer: OfferNumber {
                isn,
                step: step.saturating_add(1),
            },
            path: Path {
                ingress: message.path.ingress,
                primary: Some(primary),
                secondary: None,
                host: Some(self.node),
            },
            ..*message
        };
        self.post.counters.passed_on += 1;
        self.post.send_flow(primary, &open);
        true
    }

    /// Decides on a flow that this host does not own.
    fn consider(&mut self, now: Time, offer: &Offer<'_>) -> Verdict {
        let FlowMessage {
            key, offer: number, ..
        } = *offer.message;
        let service = key.service();
        let connections = self.flows.connections(service);
        // A flow that was released gives its place to its new life.
        let released = self.flows.find(&key);
        let places = self.flows.room() + u32::from(released.is_some());
        let load = self.services.load(service, connections, places);
        let hint = load.map_or(FULL, |load| load.load);
        let forgets = planted::is(Bug::ForgetsRejects);
        if !forgets && self.rejects.contains(now, &key, number) {
            self.post.counters.rejected_again += 1;
            return self.reject(offer, Reason::Load, hint);
        }
        if self.is_after_a_restart(offer.message) && !planted::is(Bug::AnswersForItsFormerLife) {
            self.post.counters.rejected_restarted += 1;
            self.rejects.insert(now, &key, number);
            return self.reject(offer, Reason::Load, hint);
        }
        if self.draining.is_of(service) {
            self.post.counters.rejected_draining += 1;
            self.rejects.insert(now, &key, number);
            return self.reject(offer, Reason::Draining, FULL);
        }
        let must = places > 0 && self.services.must_accept(service, number.step);
        let is_full = load.is_none_or(|load| load.room == 0);
        if is_full && !must {
            match self.services.refusal(service, connections) {
                Some(cause) if places > 0 => self.post.counters.rejected(cause),
                Some(_) | None => self.post.counters.rejected_full += 1,
            }
            self.services.decided(service, false, false);
            self.rejects.insert(now, &key, number);
            return self.reject(offer, Reason::Load, hint);
        }
        if let Some(handle) = released {
            self.end(now, handle, Ending::Disowned);
        }
        let birth = self.next_birth();
        let new = NewFlow {
            key,
            birth,
            isn: Some(number.isn),
            protocol: offer.protocol,
            state: State::Accepted,
            since: now,
            ingress: offer.message.path.ingress,
        };
        match self.flows.insert(now, new) {
            Ok(handle) => {
                self.post.counters.accepted += 1;
                self.post.counters.accepted_alone += u64::from(offer.is_alone());
                self.post.counters.accepted_full += u64::from(is_full);
                self.own(now, handle);
                self.services.decided(service, !is_full, true);
                self.accept(offer, birth);
                let hash = self.post.flow_hash(&key);
                let path = &offer.message.path;
                self.statements.hurry(now, hash, path, &mut self.post);
                if planted::is(Bug::PassesOnWhatItTook) {
                    self.pass_to_next(offer.message);
                }
                Verdict::Deliver
            }
            Err(_) => {
                self.post.counters.rejected_full += 1;
                self.rejects.insert(now, &key, number);
                self.reject(offer, Reason::Load, hint)
            }
        }
    }

    fn accept_again(&mut self, offer: &Offer<'_>, birth: Birth) -> Verdict {
        self.post.counters.accepted_again += 1;
        self.accept(offer, birth);
        Verdict::Deliver
    }

    /// Answers up the path. If the answer is lost, the ingress repeats its Open (R5).
    fn accept(&mut self, offer: &Offer<'_>, birth: Birth) {
        let answer = FlowMessage {
            kind: FlowKind::Accept,
            birth: Some(birth),
            tried: Tried::NONE,
            reason: Reason::None,
            load: 0,
            packet: &[],
            ..*offer.message
        };
        self.post.send_flow(offer.up, &answer);
    }

    /// Passes the Offer on in a direct hunt, or gives the packet back up the path. The list of hosts tried
    /// goes back as it came: the tracker that acts on the reject adds this host to it.
    fn reject(&mut self, offer: &Offer<'_>, reason: Reason, load: u16) -> Verdict {
        if self.pass_to_next(offer.message) {
            return Verdict::Done;
        }
        let answer = FlowMessage {
            kind: FlowKind::Reject,
            birth: None,
            reason,
            load,
            ..*offer.message
        };
        self.post.send_flow(offer.up, &answer);
        Verdict::Done
    }

    /// Tells an ingress that the flow of its Data is not this host's (R4).
    pub(crate) fn reject_data(
        &mut self,
        ingress: NodeNumber,
        message: &FlowMessage<'_>,
        packet: &Packet,
    ) -> Verdict {
        self.post.counters.not_owner += 1;
        let answer = FlowMessage {
            kind: FlowKind::Reject,
            intent: packet.intent().unwrap_or(Intent::MidFlow),
            path: Path {
                ingress: Some(ingress),
                primary: None,
                secondary: None,
                host: Some(self.node),
            },
            reason: Reason::NotOwner,
            load: 0,
            ..*message
        };
        self.post.send_flow(ingress, &answer);
        Verdict::Done
    }
}

/// Whether the offer number is the packet's: its ISN for a SYN, 0 for UDP.
fn names_attempt(message: &FlowMessage<'_>, packet: &Packet) -> bool {
    match (message.intent, packet.transport) {
        (Intent::Syn, Transport::Tcp { seq, .. }) => seq == message.offer.isn,
        (Intent::Datagram, _) => message.offer.isn == 0,
        (Intent::Syn | Intent::MidFlow, _) => true,
    }
}

#[cfg(test)]
mod tests;
