//! Least connections: what the host reported, plus what was offered to it since, over its weight.

use super::{Candidate, Policy};
use core::cmp::Ordering;
use jlb_protocol::NodeNumber;
use jlb_protocol::digest::{Digest, Digester};
use jlb_protocol::keyed_hash::FlowHash;

/// The host with the fewest connections for its weight; equal ones in turn.
#[derive(Clone, Debug)]
pub struct LeastConnections {
    /// Where the look over the candidates begins, so that ties do not all fall to the first.
    turn: u64,
}

impl LeastConnections {
    /// A policy whose first tie falls to a host that the seed decides.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { turn: seed }
    }
}

/// Compares connections per weight without dividing: a / b < c / d as a * d < c * b.
fn compare(a: &Candidate, b: &Candidate) -> Ordering {
    let left = u64::from(a.assumed()) * u64::from(b.weight);
    let right = u64::from(b.assumed()) * u64::from(a.weight);
    left.cmp(&right)
}

impl Policy for LeastConnections {
    fn choose(&self, _flow: FlowHash, candidates: &[Candidate]) -> Option<NodeNumber> {
        let len = u64::try_from(candidates.len()).unwrap_or(u64::MAX);
        let first = usize::try_from(self.turn.checked_rem(len)?).unwrap_or(0);
        let (before, from) = candidates.split_at_checked(first)?;
        // Of equal ones min_by gives the first, so the turn decides.
        from.iter()
            .chain(before)
            .min_by(|a, b| compare(a, b))
            .map(|candidate| candidate.host)
    }

    fn assigned(&mut self, _host: NodeNumber, _candidates: &[Candidate]) {
        self.turn = self.turn.wrapping_add(1);
    }
}

impl Digest for LeastConnections {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self { turn } = self;
        into.value(turn);
    }
}
