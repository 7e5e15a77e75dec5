//! How a service's host is chosen: one file per policy, all behind [`Policy`].

mod digest;
mod least_connections;
mod round_robin;

pub use least_connections::LeastConnections;
pub use round_robin::RoundRobin;

use crate::config::PolicyKind;
use jlb_protocol::NodeNumber;
use jlb_protocol::keyed_hash::FlowHash;

/// A host that may be asked to take a flow: alive, with room, and not asked in this search.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The host.
    pub host: NodeNumber,
    /// Its share relative to the others, 1 to 65,535.
    pub weight: u16,
    /// Connections that it reported last.
    pub connections: u32,
    /// Flows that this tracker offered it since that report.
    pub sent: u32,
}

impl Candidate {
    /// The connections that the host is assumed to have.
    #[must_use]
    pub const fn assumed(&self) -> u32 {
        self.connections.saturating_add(self.sent)
    }
}

/// Chooses hosts for the new flows of one service.
pub trait Policy {
    /// The host to ask next; `None` only without candidates. They come in the configuration's
    /// order.
    fn choose(&self, flow: FlowHash, candidates: &[Candidate]) -> Option<NodeNumber>;

    /// The flow was offered to `host`, which [`Self::choose`] took from these candidates.
    fn assigned(&mut self, host: NodeNumber, candidates: &[Candidate]);
}

/// The policy of one service.
#[derive(Clone, Debug)]
pub enum Chooser {
    /// Each host in turn, by weight.
    RoundRobin(RoundRobin),
    /// The host with the fewest connections for its weight.
    LeastConnections(LeastConnections),
}

impl Chooser {
    /// A policy of this kind. The seed decides where its turns begin, so that several trackers do
    /// not all begin with the same host.
    #[must_use]
    pub fn new(kind: PolicyKind, seed: u64) -> Self {
        match kind {
            PolicyKind::RoundRobin => Self::RoundRobin(RoundRobin::new(seed)),
            PolicyKind::LeastConnections => Self::LeastConnections(LeastConnections::new(seed)),
        }
    }

    /// Which kind it is.
    #[must_use]
    pub const fn kind(&self) -> PolicyKind {
        match self {
            Self::RoundRobin(_) => PolicyKind::RoundRobin,
            Self::LeastConnections(_) => PolicyKind::LeastConnections,
        }
    }
}

impl Policy for Chooser {
    fn choose(&self, flow: FlowHash, candidates: &[Candidate]) -> Option<NodeNumber> {
        match self {
            Self::RoundRobin(policy) => policy.choose(flow, candidates),
            Self::LeastConnections(policy) => policy.choose(flow, candidates),
        }
    }

    fn assigned(&mut self, host: NodeNumber, candidates: &[Candidate]) {
        match self {
            Self::RoundRobin(policy) => policy.assigned(host, candidates),
            Self::LeastConnections(policy) => policy.assigned(host, candidates),
        }
    }
}

#[cfg(test)]
mod tests;
