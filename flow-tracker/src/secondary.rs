//! The secondary's part: an Offer goes to the host only after it is recorded here (R2), and what
//! is recorded here binds (R1).

use crate::primary::{Done, Ended};
use crate::record::{Event, Next, Record, State};
use crate::tracker::FlowTracker;
use jlb_flow_table::Handle;
use jlb_protocol::message::{FlowKind, FlowMessage, Intent, Path, Reason, Tried};
use jlb_protocol::{DropReason, NodeNumber, Role, Time};

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
        if from != primary || from == me || message.path.secondary != Some(me) {
            return Err(DropReason::WrongNode);
        }
        if self.pools.get(message.key.service()).is_none() {
            return Err(DropReason::UnknownService);
        }
        let flow = self.nodes.hash(&message.key);
        let ranks = self.nodes.ranks(flow);
        if ranks.primary == Some(me) {
            // R1: this view makes it primary, so the Offer is an Open through its own secondary.
            // Scores are the same in all views: such a chain only descends, and so ends.
            let steps = message.offer.step.saturating_add(1);
            self.out.stats.offers_taken_as_opens += 1;
            let question = self.question(message, ingress, steps);
            return self.lead(now, question);
        }
        // R1: a record kept outside the top two is a hint, never binding.
        let binding = ranks.secondary == Some(me);
        let found = self.records.find(&message.key);
        let host = match message.intent {
            Intent::MidFlow => self.bind_mid_flow(message, proposed, found, binding),
            Intent::Syn | Intent::Datagram => {
                match self.bind_attempt(now, message, proposed, found, binding) {
                    Ok(host) => host,
                    Err(full) => {
                        self.turn_back(primary, message);
                        return Err(full);
                    }
                }
            }
        };
        if host != proposed {
            self.out.stats.offers_rewritten += 1;
        }
        let path = Path {
            host: Some(host),
            ..message.path
        };
        self.out.send(host, flow, &FlowMessage { path, ..*message });
        Ok(Done::Consumed)
    }

    /// The host of a SYN or datagram: the record's, or else the proposed one, recorded first.
    fn bind_attempt(
        &mut self,
        now: Time,
        message: &FlowMessage<'_>,
        proposed: NodeNumber,
        found: Option<(Handle, Record)>,
        binding: bool,
    ) -> Result<NodeNumber, DropReason> {
        let step = message.offer.step;
        let isn = message.offer.isn;
        let Some((handle, record)) = found else {
            let state = State::Offered {
                host: proposed,
                step,
            };
            let record = Record { isn, state };
            self.records.put(now, message.key, None, record)?;
            return Ok(proposed);
        };
        let host = record
            .state
            .host()
            .filter(|&bound| binding && self.nodes.is_live_host(bound))
            .unwrap_or(proposed);
        let Next::Become(state) = record.state.next(Event::Ask { host, step }) else {
            return Ok(host);
        };
        let next = Record { isn, state };
        match (record.state, state) {
            // Only its own word renews the lease of the host that has the flow.
            (State::Owned { .. }, State::Owned { .. }) => self.records.note(handle, next),
            // A repeat does not prolong the life of an unanswered Offer.
            (State::Offered { .. }, State::Offered { .. }) if next == record => {}
            (
                State::Offered { .. }
                | State::Rejected { .. }
                | State::Refused { .. }
                | State::Owned { .. },
                State::Offered { .. }
                | State::Rejected { .. }
                | State::Refused { .. }
                | State::Owned { .. },
            ) => self.records.put(now, message.key, Some(handle), next)?,
        }
        Ok(host)
    }

    /// The host of a mid-flow packet: the record's if it is known to have the flow, or else the
    /// proposed one. Nothing has to be recorded, for only the owner accepts (R4).
    fn bind_mid_flow(
        &mut self,
        message: &FlowMessage<'_>,
        proposed: NodeNumber,
        found: Option<(Handle, Record)>,
        binding: bool,
    ) -> NodeNumber {
        let Some((handle, record)) = found.filter(|_| binding) else {
            return proposed;
        };
        match record.state {
            State::Offered { .. } | State::Rejected { .. } | State::Refused { .. } => proposed,
            State::Owned { host, .. } => {
                let offer = message.offer;
                self.note_asked(handle, record, offer.isn, host, offer.step);
                host
            }
        }
    }

    /// There is no room for another untrusted record: the new flow is turned away (R3). The
    /// primary tells the ingress.
    fn turn_back(&mut self, primary: NodeNumber, message: &FlowMessage<'_>) {
        let flow = self.nodes.hash(&message.key);
        let refuse = FlowMessage {
            kind: FlowKind::Refuse,
            reason: Reason::Quota,
            tried: Tried::NONE,
            packet: &[],
            ..*message
        };
        self.out.stats.refused_quota += 1;
        self.out.send(primary, flow, &refuse);
    }
}

#[cfg(test)]
mod tests;
