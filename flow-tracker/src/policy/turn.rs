//! The least of all candidates, equal ones in turn.

use super::Candidate;
use core::cmp::Ordering;
use jlb_protocol::NodeNumber;
use jlb_protocol::digest::{Digest, Digester};

/// Where the look over the candidates begins, so that ties do not all fall to the first.
#[derive(Clone, Debug)]
pub(super) struct Turn(u64);

impl Turn {
    /// The first tie falls to a host that the seed decides.
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The least candidate; of equal ones the one whose turn it is.
    pub(super) fn least(
        &self,
        candidates: &[Candidate],
        compare: impl Fn(&Candidate, &Candidate) -> Ordering,
    ) -> Option<NodeNumber> {
        let (before, from) = self.split(candidates)?;
        // Of equal ones min_by gives the first, so the turn decides.
        from.iter()
            .chain(before)
            .min_by(|a, b| compare(a, b))
            .map(|candidate| candidate.host)
    }

    /// The candidate with the least part, of those that `part` gives as dividend and divisor; of equal ones the one
    /// whose turn it is. Parts are compared without dividing: a / b < c / d as a * d < c * b.
    pub(super) fn least_part(
        &self,
        candidates: &[Candidate],
        part: impl Fn(&Candidate) -> (u32, u32),
    ) -> Option<NodeNumber> {
        let (before, from) = self.split(candidates)?;
        let (mut least, others) = from.split_first()?;
        let (mut dividend, mut divisor) = part(least);
        for candidates in [others, before] {
            for candidate in candidates {
                let own = part(candidate);
                let product = |a: u32, b: u32| u64::from(a) * u64::from(b);
                if product(own.0, divisor) < product(dividend, own.1) {
                    (dividend, divisor) = own;
                    least = candidate;
                }
            }
        }
        Some(least.host)
    }

    /// The candidates before the one whose turn it is, and those from it on; `None` if there are none.
    #[inline]
    fn split<'a>(&self, candidates: &'a [Candidate]) -> Option<(&'a [Candidate], &'a [Candidate])> {
        let len = u64::try_from(candidates.len()).unwrap_or(u64::MAX);
        let first = usize::try_from(self.0.checked_rem(len)?).unwrap_or(0);
        candidates.split_at_checked(first)
    }

    /// The next one's turn.
    pub(super) const fn pass(&mut self) {
        self.0 = self.0.wrapping_add(1);
    }
}

impl Digest for Turn {
    fn digest(&self, into: &mut Digester<'_>) {
        into.value(&self.0);
    }
}
