//! Smooth weighted round robin: each turn every host gains its weight in credit, the richest host
//! is chosen and pays the sum of all weights. A host of weight 5 among two of weight 1 is chosen
//! as a a b a c a a, not five times in a row.

use super::{Candidate, Policy};
use alloc::collections::BTreeMap;
use jlb_protocol::NodeNumber;
use jlb_protocol::digest::{Digest, Digester};
use jlb_protocol::keyed_hash::FlowHash;

/// Each host in turn, by weight.
#[derive(Clone, Debug)]
pub struct RoundRobin {
    credit: BTreeMap<NodeNumber, i64>,
    seed: u64,
}

impl RoundRobin {
    /// A round that begins at a host that the seed decides.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            credit: BTreeMap::new(),
            seed,
        }
    }

    /// The credit of a host; one that is new begins with a part of its weight that differs by
    /// seed and host, so that hosts of equal weight are in another order on every tracker.
    fn credit(&self, candidate: &Candidate) -> i64 {
        self.credit
            .get(&candidate.host)
            .copied()
            .unwrap_or_else(|| {
                // Fibonacci hashing (Knuth, TAOCP vol. 3, 6.4): only has to spread.
                let mixed = (self.seed ^ u64::from(candidate.host.get()))
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15);
                i64::try_from((mixed >> 48) * u64::from(candidate.share())).unwrap_or(0)
            })
    }
}

/// What a host gains in a turn: its share, in fractions fine enough to tell equal hosts apart.
fn gain(candidate: &Candidate) -> i64 {
    i64::from(candidate.share()) << 16
}

impl Policy for RoundRobin {
    fn choose(&self, _flow: FlowHash, candidates: &[Candidate]) -> Option<NodeNumber> {
        let mut best: Option<(i64, NodeNumber)> = None;
        for candidate in candidates {
            let credit = self.credit(candidate) + gain(candidate);
            if best.is_none_or(|(highest, _)| credit > highest) {
                best = Some((credit, candidate.host));
            }
        }
        best.map(|(_, host)| host)
    }

    fn assigned(&mut self, host: NodeNumber, candidates: &[Candidate]) {
        let mut total = 0;
        for candidate in candidates {
            let credit = self.credit(candidate) + gain(candidate);
            self.credit.insert(candidate.host, credit);
            total += gain(candidate);
        }
        if let Some(credit) = self.credit.get_mut(&host) {
            *credit -= total;
        }
    }

    fn minds_load(&self) -> bool {
        false
    }
}

impl Digest for RoundRobin {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self { credit, seed: _ } = self;
        into.value(credit);
    }
}
