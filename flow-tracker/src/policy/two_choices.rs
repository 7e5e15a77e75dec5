//! The power of two choices (Mitzenmacher, 2001): of two hosts drawn by lot the one with fewer
//! connections. Nearly as even as looking at all, without all trackers running to the one host that
//! reported few.

use super::dice::{Dice, by_weight};
use super::least_connections::compare;
use super::{Candidate, Policy};
use jlb_protocol::NodeNumber;
use jlb_protocol::digest::{Digest, Digester};
use jlb_protocol::keyed_hash::FlowHash;

/// Two different hosts drawn by lot, each in proportion to its weight; the one with fewer connections
/// for its weight, or the first drawn of equal ones.
#[derive(Clone, Debug)]
pub struct TwoChoices {
    dice: Dice,
}

impl TwoChoices {
    /// A policy whose lots the seed decides.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
        }
    }
}

impl Policy for TwoChoices {
    fn choose(&self, _flow: FlowHash, candidates: &[Candidate]) -> Option<NodeNumber> {
        let at = by_weight(self.dice.look(0), candidates, None)?;
        let first = candidates.get(at)?;
        let second = by_weight(self.dice.look(1), candidates, Some(at));
        let second = second.and_then(|at| candidates.get(at));
        let better = second.filter(|second| compare(second, first).is_lt());
        Some(better.unwrap_or(first).host)
    }

    fn assigned(&mut self, _host: NodeNumber, _candidates: &[Candidate]) {
        self.dice.throw();
    }
}

impl Digest for TwoChoices {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self { dice } = self;
        dice.digest(into);
    }
}
