//! Any host, by weight.

use super::dice::{Dice, by_weight};
use super::{Candidate, Policy};
use jlb_protocol::NodeNumber;
use jlb_protocol::digest::{Digest, Digester};
use jlb_protocol::keyed_hash::FlowHash;

/// A host drawn by lot, each in proportion to its weight.
#[derive(Clone, Debug)]
pub struct Random {
    dice: Dice,
}

impl Random {
    /// A policy whose lots the seed decides.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
        }
    }
}

impl Policy for Random {
    fn choose(&self, _flow: FlowHash, candidates: &[Candidate]) -> Option<NodeNumber> {
        let at = by_weight(self.dice.look(0), candidates, None)?;
        candidates.get(at).map(|candidate| candidate.host)
    }

    fn assigned(&mut self, _host: NodeNumber, _candidates: &[Candidate]) {
        self.dice.throw();
    }

    fn minds_load(&self) -> bool {
        false
    }
}

impl Digest for Random {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self { dice } = self;
        dice.digest(into);
    }
}
