//! The digests of what one tracker is owed, bucket by bucket (R9).

use alloc::vec;
use alloc::vec::Vec;
use jlb_protocol::Birth;
use jlb_protocol::bucket::BUCKETS;
use jlb_protocol::message::BucketDigest;

const WORDS: usize = BUCKETS as usize / u64::BITS as usize;

/// Some of the buckets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Buckets([u64; WORDS]);

impl Buckets {
    /// No bucket.
    pub(super) const NONE: Self = Self([0; WORDS]);

    /// Adds a bucket, 0 to 255.
    pub(super) fn insert(&mut self, bucket: u16) {
        if let Some(word) = self.0.get_mut(usize::from(bucket / 64)) {
            *word |= 1 << (bucket % 64);
        }
    }

    /// Takes a bucket out.
    pub(super) fn remove(&mut self, bucket: u16) {
        if let Some(word) = self.0.get_mut(usize::from(bucket / 64)) {
            *word &= !(1 << (bucket % 64));
        }
    }

    /// Whether the bucket is among them.
    pub(super) fn contains(&self, bucket: u16) -> bool {
        let word = self.0.get(usize::from(bucket / 64)).copied();
        word.unwrap_or(0) >> (bucket % 64) & 1 == 1
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::NONE
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        (0..BUCKETS).filter(|&bucket| self.contains(bucket))
    }
}

/// How many flows, and the XOR of their digests.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Sum {
    count: u32,
    hash: u64,
}

/// One sum a bucket.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Sums(Vec<Sum>);

impl Sums {
    pub(super) fn new() -> Self {
        Self(vec![Sum::default(); usize::from(BUCKETS)])
    }

    /// Counts nothing any more.
    pub(super) fn clear(&mut self) {
        self.0.fill(Sum::default());
    }

    /// Counts a flow with this digest.
    pub(super) fn add(&mut self, bucket: u16, digest: u64) {
        if let Some(sum) = self.0.get_mut(usize::from(bucket)) {
            sum.count = sum.count.saturating_add(1);
            sum.hash ^= digest;
        }
    }

    /// Counts a flow no more that was counted.
    pub(super) fn remove(&mut self, bucket: u16, digest: u64) {
        if let Some(sum) = self.0.get_mut(usize::from(bucket)) {
            sum.count = sum.count.saturating_sub(1);
            sum.hash ^= digest;
        }
    }

    /// A bucket's digest, where births up to `high_water` were given.
    pub(super) fn digest(&self, bucket: u16, high_water: Birth) -> BucketDigest {
        let sum = self.0.get(usize::from(bucket)).copied();
        let Sum { count, hash } = sum.unwrap_or_default();
        BucketDigest {
            bucket,
            count,
            hash,
            high_water,
        }
    }
}
