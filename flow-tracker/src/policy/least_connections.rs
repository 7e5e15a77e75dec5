//! Least connections: what the host reported, plus what was offered to it since, over its weight.

use super::turn::Turn;
use super::{Candidate, Policy};
use core::cmp::Ordering;
use jlb_protocol::NodeNumber;
use jlb_protocol::digest::{Digest, Digester};
use jlb_protocol::keyed_hash::FlowHash;

/// The host with the fewest connections for its weight; equal ones in turn.
#[derive(Clone, Debug)]
pub struct LeastConnections {
    turn: Turn,
}

impl LeastConnections {
    /// A policy whose first tie falls to a host that the seed decides.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            turn: Turn::new(seed),
        }
    }
}

/// Compares connections per share without dividing: a / b < c / d as a * d < c * b.
pub(super) fn compare(a: &Candidate, b: &Candidate) -> Ordering {
    let left = u64::from(a.assumed()) * u64::from(b.share());
    let right = u64::from(b.assumed()) * u64::from(a.share());
    left.cmp(&right)
}

impl Policy for LeastConnections {
    fn choose(&self, _flow: FlowHash, candidates: &[Candidate]) -> Option<NodeNumber> {
        self.turn
            .least_part(candidates, |it| (it.assumed(), it.share()))
    }

    fn assigned(&mut self, _host: NodeNumber, _candidates: &[Candidate]) {
        self.turn.pass();
    }
}

impl Digest for LeastConnections {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self { turn } = self;
        turn.digest(into);
    }
}
