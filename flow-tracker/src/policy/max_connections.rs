//! Max connections: hosts fill up evenly to their limits. The limit is the configured
//! `max_connections`, or else what the host's own admission has reported.

use super::turn::Turn;
use super::{Candidate, Policy};
use jlb_protocol::NodeNumber;
use jlb_protocol::digest::{Digest, Digester};
use jlb_protocol::keyed_hash::FlowHash;

/// The host with the smallest part of its limit in use; equal ones in turn. Limits take the place of
/// weights. A host without one counts as if it had the largest limit for its weight that another
/// has; where no host has any, the weights decide.
#[derive(Clone, Debug)]
pub struct MaxConnections {
    turn: Turn,
}

impl MaxConnections {
    /// A policy whose first tie falls to a host that the seed decides.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            turn: Turn::new(seed),
        }
    }
}

impl Policy for MaxConnections {
    fn choose(&self, _flow: FlowHash, candidates: &[Candidate]) -> Option<NodeNumber> {
        let by_weight = |candidate: &Candidate| {
            let limit = candidate.limit?;
            limit.checked_div(u32::from(candidate.weight))
        };
        let largest = candidates.iter().filter_map(by_weight).max();
        let largest = u64::from(largest.unwrap_or(1).max(1));
        let limit = |candidate: &Candidate| {
            let whole = match candidate.limit {
                Some(limit) => u64::from(limit),
                None => largest * u64::from(candidate.weight),
            };
            u128::from(whole) * u128::from(candidate.warmth)
        };
        self.turn.least(candidates, |a, b| {
            let left = u128::from(a.assumed()) * limit(b);
            let right = u128::from(b.assumed()) * limit(a);
            // A limit of 0 is full, whatever the other has.
            (limit(a) == 0, left).cmp(&(limit(b) == 0, right))
        })
    }

    fn assigned(&mut self, _host: NodeNumber, _candidates: &[Candidate]) {
        self.turn.pass();
    }
}

impl Digest for MaxConnections {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self { turn } = self;
        turn.digest(into);
    }
}
