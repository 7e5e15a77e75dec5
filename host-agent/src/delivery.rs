//! Packets of accepted flows, and what trackers ask and say about single flows.

use crate::agent::{HostAgent, Verdict};
use crate::drain::Cut;
use crate::flows::Flow;
use crate::life::{Ending, Event};
use jlb_flow_table::Handle;
use jlb_protocol::message::{Control, FlowMessage, FlowState, FlowStatement, List};
use jlb_protocol::packet::{Packet, TcpFlags, Transport};
use jlb_protocol::{Birth, DropReason, FlowKey, NodeNumber, Protocol, Time};

impl HostAgent {
    /// R4: "a host never delivers a mid-flow packet of a flow that it doesn't own". The birth in
    /// the message does not matter for a flow that the kernel has heard of: an ingress may know an older
    /// life of it on this host, and which life a packet belongs to is the stack's to tell.
    pub(crate) fn handle_data(
        &mut self,
        now: Time,
        from: NodeNumber,
        message: &FlowMessage<'_>,
    ) -> Result<Verdict, DropReason> {
        self.may_answer(&message.key)?;
        let (packet, _) = self.examine(message)?;
        if packet.is_syn() {
            return Err(DropReason::SynAsData);
        }
        let Some((handle, flow)) = self.owned_mid_flow(&message.key)? else {
            return Ok(self.reject_data(from, message, &packet));
        };
        // The entry is of the life before, and the stack may have refused the SYN of this one for that
        // life's sake, so that another host has the client's attempt by now. The trackers know.
        if message.birth < Some(flow.birth) && flow.is_unheard() {
            return Ok(self.reject_data(from, message, &packet));
        }
        match self.cut_off(now, handle, &message.key, &packet) {
            Cut::No => {}
            Cut::Reset => return Err(DropReason::Drained),
            Cut::Forgotten => return Ok(self.reject_data(from, message, &packet)),
        }
        self.delivered(now, handle, &packet, Some(from));
        self.let_go(handle, &message.key, &packet, message.birth, from);
        if let Transport::Udp { .. } = packet.transport {
            // R3 wants a client packet after the host's first answer. With direct return the
            // agent does not see answers; a second packet, which came as data because the ingress
            // heard of the acceptance, stands for it.
            self.advance(now, handle, Event::Handshake);
        }
        Ok(Verdict::Deliver)
    }

    /// The flow that a mid-flow packet belongs to, if it is this host's.
    ///
    /// # Errors
    /// [`DropReason::Vanishing`]: most likely it is over. By an outdated entry or record the packet may be of
    /// the client's next connection, which another host has; a stack without a socket would reset it.
    pub(crate) fn owned_mid_flow(
        &self,
        key: &FlowKey,
    ) -> Result<Option<(Handle, &Flow)>, DropReason> {
        let owned = self.flows.owned(key);
        if owned.is_some_and(|(_, flow)| flow.is_vanishing()) {
            return Err(DropReason::Vanishing);
        }
        Ok(owned)
    }

    /// A packet of an owned flow goes to the stack. An ICMP error is not a sign of life of the
    /// client: anybody can send one, and it may come through another ingress than the client's
    /// packets do.
    pub(crate) fn delivered(
        &mut self,
        now: Time,
        handle: Handle,
        packet: &Packet,
        ingress: Option<NodeNumber>,
    ) {
        match packet.transport {
            Transport::Tcp { flags, .. } => {
                self.flows.touch(now, handle);
                self.flows.came_through(handle, ingress);
                self.flows.follow(handle, packet);
                let other = flags.contains(TcpFlags::SYN) || flags.contains(TcpFlags::RST);
                if flags.contains(TcpFlags::ACK) && !other {
                    self.advance(now, handle, Event::Handshake);
                }
            }
            Transport::Udp { .. } => {
                self.flows.touch(now, handle);
                self.flows.came_through(handle, ingress);
            }
            Transport::IcmpError { .. }
            | Transport::EchoRequest
            | Transport::OtherIcmp
            | Transport::Other(_) => {}
        }
    }

    /// Answers at once and to the asking tracker alone, or to an ingress that runs its own search
    /// (R13), with a State that is not numbered. A "not
    /// mine" carries the question's id, so that an old answer is not taken for one of now: a
    /// reset goes to the client after every host said no (R4).
    pub(crate) fn handle_who_has(
        &mut self,
        now: Time,
        from: NodeNumber,
        message: &FlowMessage<'_>,
    ) -> Result<Verdict, DropReason> {
        self.is_addressee(message)?;
        self.may_answer(&message.key)?;
        if !self.services.has(message.key.service()) {
            return Err(DropReason::UnknownService);
        }
        let owned = self.flows.owned(&message.key);
        let statement = owned
            .and_then(|(handle, _)| self.flows.statement(now, handle))
            .unwrap_or(FlowStatement {
                key: message.key,
                birth: Birth {
                    incarnation: 0,
                    counter: 0,
                },
                isn: message.offer.isn,
                state: FlowState::NotMine,
                fresh: false,
            });
        self.post.counters.who_has += 1;
        let answer = Control::State {
            sequence: 0,
            filled: None,
            listed: None,
            flows: List::Values(&[statement]),
        };
        self.post.send_control(from, &answer);
        Ok(Verdict::Done)
    }

    /// Gives a flow up without a word to the client, if the Release means the life that this host has: by its
    /// birth, or, from a tracker that does not know that, by the attempt that was accepted.
    pub(crate) fn handle_release(
        &mut self,
        now: Time,
        message: &FlowMessage<'_>,
    ) -> Result<Verdict, DropReason> {
        self.is_addressee(message)?;
        let Some((handle, flow)) = self.flows.owned(&message.key) else {
            return Ok(Verdict::Done);
        };
        let meant = match message.birth {
            Some(birth) => flow.birth == birth,
            None => flow.isn() == Some(message.offer.isn),
        };
        if !meant {
            return Err(DropReason::StaleAnswer);
        }
        let protocol = flow.protocol;
        self.post.counters.released += 1;
        // The kernel of a TCP flow may have a socket already, which must not be taken for a flow
        // that was missed. UDP has none.
        self.advance(now, handle, Event::Release);
        if protocol == Protocol::Udp {
            self.end(now, handle, Ending::Disowned);
        }
        Ok(Verdict::Done)
    }

    /// Whether the message is for this host; one that names no host is.
    fn is_addressee(&self, message: &FlowMessage<'_>) -> Result<(), DropReason> {
        match message.path.host {
            Some(host) if host != self.node => Err(DropReason::WrongNode),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
