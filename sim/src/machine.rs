//! The production state machine of a node, whichever its role.

use jlb_flow_tracker::FlowTracker;
use jlb_host_agent::HostAgent;
use jlb_ingress::Ingress;
use jlb_protocol::{Ledger, Message, NodeNumber, PacketBuf, Time, Transmit, View};

/// The state machine of a role.
#[derive(Clone)]
pub(crate) enum Machine {
    Ingress(Box<Ingress>),
    Tracker(Box<FlowTracker>),
    Host(Box<HostAgent>),
}

/// What a table holds, by its name.
pub(crate) type Holdings = Vec<(&'static str, u64)>;

impl Machine {
    /// Takes a message; true if its packet is to be delivered to the stack.
    pub(crate) fn handle_message(
        &mut self,
        clock: Time,
        from: NodeNumber,
        message: &Message<'_>,
    ) -> bool {
        match self {
            Self::Ingress(ingress) => ingress.handle_message(clock, from, message),
            Self::Tracker(tracker) => tracker.handle_message(clock, from, message),
            Self::Host(agent) => {
                let verdict = agent.handle_message(clock, from, message);
                return verdict == jlb_host_agent::Verdict::Deliver;
            }
        }
        false
    }

    pub(crate) fn handle_view(&mut self, clock: Time, view: View) {
        match self {
            Self::Ingress(ingress) => ingress.handle_view(clock, view),
            Self::Tracker(tracker) => tracker.handle_view(clock, view),
            Self::Host(agent) => agent.handle_view(clock, view),
        }
    }

    /// What a peer says of itself in its Hellos.
    pub(crate) fn handle_peer(&mut self, clock: Time, node: NodeNumber, ranked: u64, wire: u8) {
        match self {
            Self::Ingress(_) => {}
            Self::Tracker(tracker) => tracker.handle_peer_view(clock, node, ranked),
            Self::Host(agent) => agent.handle_peer_wire(clock, node, wire),
        }
    }

    /// Whether the view tells who is there.
    pub(crate) fn handle_settled(&mut self, clock: Time, settled: bool) {
        match self {
            Self::Ingress(ingress) => ingress.handle_settled(clock, settled),
            Self::Tracker(_) | Self::Host(_) => {}
        }
    }

    /// Whether a tracker that joins knows all that it is to know (R10).
    pub(crate) fn is_filled(&self) -> bool {
        match self {
            Self::Tracker(tracker) => tracker.is_filled(),
            Self::Ingress(_) | Self::Host(_) => true,
        }
    }

    pub(crate) fn handle_timeout(&mut self, clock: Time) {
        match self {
            Self::Ingress(ingress) => ingress.handle_timeout(clock),
            Self::Tracker(tracker) => tracker.handle_timeout(clock),
            Self::Host(agent) => agent.handle_timeout(clock),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        match self {
            Self::Ingress(ingress) => ingress.poll_timeout(),
            Self::Tracker(tracker) => tracker.poll_timeout(),
            Self::Host(agent) => agent.poll_timeout(),
        }
    }

    /// When a host agent wants a dump.
    pub(crate) fn poll_dump(&self) -> Option<Time> {
        match self {
            Self::Host(agent) => agent.poll_dump(),
            Self::Ingress(_) | Self::Tracker(_) => None,
        }
    }

    /// When a host agent wants to ask for single connections.
    pub(crate) fn poll_look_ups(&self) -> Option<Time> {
        match self {
            Self::Host(agent) => agent.poll_look_ups(),
            Self::Ingress(_) | Self::Tracker(_) => None,
        }
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        match self {
            Self::Ingress(ingress) => ingress.poll_transmit(),
            Self::Tracker(tracker) => tracker.poll_transmit(),
            Self::Host(agent) => agent.poll_transmit(),
        }
    }

    pub(crate) fn recycle(&mut self, buf: PacketBuf) {
        match self {
            Self::Ingress(ingress) => ingress.recycle(buf),
            Self::Tracker(tracker) => tracker.recycle(buf),
            Self::Host(agent) => agent.recycle(buf),
        }
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        match self {
            Self::Ingress(ingress) => ingress.ledger(),
            Self::Tracker(tracker) => tracker.ledger(),
            Self::Host(agent) => agent.ledger(),
        }
    }

    /// What its tables hold (S5).
    pub(crate) fn holdings(&self) -> Holdings {
        match self {
            Self::Ingress(ingress) => {
                let stats = ingress.stats();
                vec![
                    ("flows", stats.flows),
                    ("pending", stats.pending),
                    ("pending bytes", stats.pending_bytes),
                    ("outbox", stats.outbox),
                    ("held", stats.ledger.held),
                ]
            }
            Self::Tracker(tracker) => {
                let stats = tracker.stats();
                vec![
                    ("records", stats.flows),
                    ("untrusted", stats.untrusted),
                    ("searches", stats.searches),
                    ("who has", stats.who_has),
                    ("held", stats.ledger.held),
                ]
            }
            Self::Host(agent) => {
                let stats = agent.stats();
                vec![
                    ("accepted", u64::from(stats.flows_accepted)),
                    ("established", u64::from(stats.flows_established)),
                    ("closing", u64::from(stats.flows_closing)),
                    ("released", u64::from(stats.flows_released)),
                    ("statements", stats.statements_pending as u64),
                    ("held", stats.ledger.held),
                ]
            }
        }
    }
}
