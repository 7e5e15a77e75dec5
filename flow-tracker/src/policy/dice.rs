//! Chance, and choices in proportion to weights.

use super::Candidate;
use jlb_protocol::digest::{Digest, Digester};

/// Numbers that look random: `SplitMix64` (Steele, Lea and Flood, 2014). Two looks at the same throw
/// see the same.
#[derive(Clone, Debug)]
pub(super) struct Dice {
    state: u64,
}

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The `nth` number of this throw, evenly from all of them.
    pub(super) const fn look(&self, nth: u64) -> u64 {
        // The golden ratio's odd fraction, as the paper has it; the second one, which is MurmurHash3's,
        // keeps the numbers of a throw apart from those of the next.
        let mut mixed = self.state ^ nth.wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Goes on to the next throw.
    pub(super) const fn throw(&mut self) {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    }
}

impl Digest for Dice {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self { state } = self;
        into.value(state);
    }
}

/// The candidate that `number`, drawn evenly from all of them, falls to: each in proportion to its
/// weight, the one at `except` left out.
pub(super) fn by_weight(
    number: u64,
    candidates: &[Candidate],
    except: Option<usize>,
) -> Option<usize> {
    let shares = || {
        let all = candidates.iter().enumerate();
        let others = all.filter(|(at, _)| Some(*at) != except);
        others.map(|(at, candidate)| (at, u64::from(candidate.share())))
    };
    let total: u64 = shares().map(|(_, weight)| weight).sum();
    let place = (u128::from(number) * u128::from(total)) >> 64;
    let mut before = 0_u128;
    for (at, weight) in shares() {
        before += u128::from(weight);
        if place < before {
            return Some(at);
        }
    }
    None
}
