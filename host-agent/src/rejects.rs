//! Which offers this host rejected: it answers one offer number once and for ever (R5).

use ahash::RandomState;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::{FlowKey, OfferNumber, Time};

mod digest;

/// Bits for each offer that a half is made for. With [`HASHES`] probes a full half takes one offer
/// in 24,000 for a rejected one (Bloom, 1970), two full halves one in 12,000: one more reject, no
/// harm else. Both halves take 6 bytes an offer.
const BITS_PER_OFFER: usize = 24;
const HASHES: usize = 8;
const WORD: u64 = u64::BITS as u64;

/// A Bloom filter in two halves. The newer one is filled for one rotation and asked for one more:
/// an offer is remembered for one to two rotations.
///
/// A half that gets more offers than it was made for is not emptied early: it rejects more offers
/// that it never saw, where forgetting could accept one that was rejected, after the search has
/// moved on to another host.
#[derive(Clone, Debug)]
pub(crate) struct Rejects {
    hasher: RandomState,
    newer: Vec<u64>,
    older: Vec<u64>,
    /// Offers in the newer half.
    filled: u32,
    max: u32,
    rotation: Duration,
    rotated: Time,
    overfilled: u64,
}

impl Rejects {
    /// An empty filter whose halves are made for `max` offers each and rotate after `rotation`.
    pub(crate) fn new(max: u32, rotation: Duration, seed: u64, now: Time) -> Self {
        let bits = (max.max(1) as usize).saturating_mul(BITS_PER_OFFER);
        let words = bits.div_ceil(WORD as usize);
        // Only the seed has to be secret; the other words just have to differ (digits of e).
        let hasher = RandomState::with_seeds(
            seed,
            0x2b7e_1516_28ae_d2a6,
            0xabf7_1588_09cf_4f3c,
            0x762e_7160_f38b_4da5,
        );
        Self {
            hasher,
            newer: vec![0; words],
            older: vec![0; words],
            filled: 0,
            max,
            rotation,
            rotated: now,
            overfilled: 0,
        }
    }

    /// Remembers that the offer was rejected.
    pub(crate) fn insert(&mut self, now: Time, key: &FlowKey, offer: OfferNumber) {
        self.rotate(now);
        if self.filled >= self.max {
            self.overfilled += 1;
        }
        self.filled = self.filled.saturating_add(1);
        for (word, bit) in self.places(key, offer) {
            if let Some(word) = self.newer.get_mut(word) {
                *word |= bit;
            }
        }
    }

    /// Whether the offer was rejected in the last one to two rotations.
    pub(crate) fn contains(&mut self, now: Time, key: &FlowKey, offer: OfferNumber) -> bool {
        self.rotate(now);
        let places = self.places(key, offer);
        // Most offers fail at the first place.
        let all_set = |half: &[u64]| {
            let mut places = places.clone();
            places.all(|(word, bit)| half.get(word).is_some_and(|word| word & bit != 0))
        };
        all_set(&self.newer) || all_set(&self.older)
    }

    /// Offers that a half got beyond what it was made for, in all.
    pub(crate) const fn overfilled(&self) -> u64 {
        self.overfilled
    }

    /// Takes another rotation from now on.
    pub(crate) const fn set_rotation(&mut self, rotation: Duration) {
        self.rotation = rotation;
    }

    fn rotate(&mut self, now: Time) {
        let age = now.since(self.rotated);
        if age < self.rotation {
            return;
        }
        core::mem::swap(&mut self.newer, &mut self.older);
        self.newer.fill(0);
        if age >= self.rotation.saturating_mul(2) {
            self.older.fill(0);
        }
        self.filled = 0;
        self.rotated = now;
    }

    /// The words and bits of an offer: double hashing (Kirsch and Mitzenmacher, 2006).
    fn places(
        &self,
        key: &FlowKey,
        offer: OfferNumber,
    ) -> impl Iterator<Item = (usize, u64)> + Clone + use<> {
        let hash = self.hasher.hash_one((key, offer));
        let bits = self.newer.len() as u64 * WORD;
        let (first, second) = (hash & 0xffff_ffff, (hash >> 32) | 1);
        (0..HASHES as u64).map(move |nth| {
            let place = (first + nth * second) % bits;
            ((place / WORD) as usize, 1 << (place % WORD))
        })
    }
}

#[cfg(test)]
mod tests;
