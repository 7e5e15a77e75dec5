//! The three roles as one.

use jlb_flow_tracker::FlowTracker;
use jlb_host_agent::HostAgent;
use jlb_ingress::Ingress;
use jlb_protocol::{Message, NodeNumber, PacketBuf, Time, Transmit, View};

/// A role's state machine.
pub(super) enum Machine {
    Ingress(Box<Ingress>),
    Tracker(Box<FlowTracker>),
    Host(Box<HostAgent>),
}

impl Machine {
    /// Takes a message; whether its packet goes to the machine's own stack.
    pub(super) fn handle_message(
        &mut self,
        now: Time,
        from: NodeNumber,
        message: &Message<'_>,
    ) -> bool {
        match self {
            Self::Ingress(ingress) => ingress.handle_message(now, from, message),
            Self::Tracker(tracker) => tracker.handle_message(now, from, message),
            Self::Host(agent) => {
                let verdict = agent.handle_message(now, from, message);
                return verdict == jlb_host_agent::Verdict::Deliver;
            }
        }
        false
    }

    pub(super) fn handle_view(&mut self, now: Time, view: &View) {
        match self {
            Self::Ingress(ingress) => ingress.handle_view(now, view.clone()),
            Self::Tracker(tracker) => tracker.handle_view(now, view.clone()),
            Self::Host(agent) => agent.handle_view(now, view.clone()),
        }
    }

    /// What a peer says of itself.
    pub(super) fn handle_peer(&mut self, now: Time, peer: NodeNumber, view: u64, wire: u8) {
        match self {
            Self::Ingress(_) => {}
            Self::Tracker(tracker) => tracker.handle_peer_view(now, peer, view),
            Self::Host(agent) => agent.handle_peer_wire(now, peer, wire),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        match self {
            Self::Ingress(ingress) => ingress.poll_timeout(),
            Self::Tracker(tracker) => tracker.poll_timeout(),
            Self::Host(agent) => agent.poll_timeout(),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Time) {
        match self {
            Self::Ingress(ingress) => ingress.handle_timeout(now),
            Self::Tracker(tracker) => tracker.handle_timeout(now),
            Self::Host(agent) => agent.handle_timeout(now),
        }
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Transmit> {
        match self {
            Self::Ingress(ingress) => ingress.poll_transmit(),
            Self::Tracker(tracker) => tracker.poll_transmit(),
            Self::Host(agent) => agent.poll_transmit(),
        }
    }

    pub(super) fn recycle(&mut self, buf: PacketBuf) {
        match self {
            Self::Ingress(ingress) => ingress.recycle(buf),
            Self::Tracker(tracker) => tracker.recycle(buf),
            Self::Host(agent) => agent.recycle(buf),
        }
    }
}
