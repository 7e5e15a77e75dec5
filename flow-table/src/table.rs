//! The table: index, slab and wheel together.

use crate::index::Index;
use crate::slab::{Handle, Lines, Packed, Slab};
use crate::wheel::Wheel;
use ahash::RandomState;
use alloc::vec::Vec;
use core::fmt;
use core::hash::Hash;
use core::time::Duration;

/// The table holds as many records as it may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full {
    /// How many.
    pub max_entries: u32,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "all {} records are in use", self.max_entries)
    }
}

impl core::error::Error for Full {}

/// What a walk over a table comes to, see [`FlowTable::next_place`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// A record.
    Occupied(Handle),
    /// Nothing so far: the walk goes on after this place, which is vacant.
    Vacant(Handle),
    /// There is nothing more.
    End,
}

/// A bounded map from flow keys to records, each of which may have a deadline.
///
/// Keys should be at most 4-byte aligned and values should have a niche (an enum, a `NonZero`
/// number, a `bool`): otherwise a record grows by padding. `A` says how records lie: [`Packed`], or
/// [`crate::Lines`]. Nothing here panics on a stale
/// [`Handle`]: it finds nothing, or the flow that has taken the place.
///
/// Deadlines are nanoseconds of the clock whose readings [`Self::pop_expired`] gets. They may lie
/// up to 2^32 - 1 ticks after the last reading; one that lies further ahead is cut to that.
#[derive(Clone)]
pub struct FlowTable<K, V, A = Packed> {
    index: Index,
    slab: Slab<K, V, A>,
    wheel: Wheel,
    hasher: RandomState,
    /// Nanoseconds, at least 1.
    tick: u64,
}

impl<K: Copy + Eq + Hash, V> FlowTable<K, V> {
    /// An empty table for `max_entries` records (more than [`Self::MAX_ENTRIES`] count as that),
    /// whose deadlines are rounded up to whole ticks; `seed` should be secret, so that nobody can
    /// choose keys that collide.
    ///
    /// The index is allocated here, 6 bytes for each of `max_entries`; records when first needed.
    #[must_use]
    pub fn new(max_entries: u32, tick: Duration, seed: u64) -> Self {
        Self::make(max_entries, tick, seed)
    }
}

impl<K: Copy + Eq + Hash, V> FlowTable<K, V, Lines> {
    /// As [`FlowTable::new`], with each record in a cache line of its own.
    #[must_use]
    pub fn in_lines(max_entries: u32, tick: Duration, seed: u64) -> Self {
        Self::make(max_entries, tick, seed)
    }
}

impl<K: Copy + Eq + Hash, V, A> FlowTable<K, V, A> {
    /// The most records a table can hold.
    pub const MAX_ENTRIES: u32 = (1 << 24) - 2;

    fn make(max_entries: u32, tick: Duration, seed: u64) -> Self {
        let max_entries = max_entries.min(Self::MAX_ENTRIES);
        // Only the seed has to be secret; the other words just have to differ (first digits of pi).
        let hasher = RandomState::with_seeds(
            seed,
            0x243f_6a88_85a3_08d3,
            0x1319_8a2e_0370_7344,
            0xa409_3822_299f_31d0,
        );
        Self {
            index: Index::new(max_entries),
            slab: Slab::new(max_entries),
            wheel: Wheel::new(),
            hasher,
            tick: u64::try_from(tick.as_nanos()).unwrap_or(u64::MAX).max(1),
        }
    }

    /// Records in the table.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.slab.len()
    }

    /// Whether there are no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most records the table will hold.
    #[must_use]
    pub fn max_entries(&self) -> u32 {
        self.slab.max_entries()
    }

    /// Bytes that the table has allocated, and its own; without what values own.
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        size_of::<Self>() + self.index.allocated_bytes() + self.slab.allocated_bytes()
    }

    /// The hash of a key, to be computed once for several [`Self::find_hashed`].
    #[must_use]
    #[inline]
    pub fn hash_of(&self, key: &K) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The record of a key.
    #[must_use]
    #[inline]
    pub fn find(&self, key: &K) -> Option<Handle> {
        self.find_hashed(self.hash_of(key), key)
    }

    /// The record of a key whose [`Self::hash_of`] is known.
    #[must_use]
    #[inline]
    pub fn find_hashed(&self, hash: u64, key: &K) -> Option<Handle> {
        self.index
            .find(hash, |id| self.slab.get(id).is_some_and(|(k, _)| k == key))
            .map(Handle)
    }

    /// Where the record with this hash most likely is, `None` if there surely is none: to be asked for many
    /// hashes, one after the other, before [`Self::find_at`] is. The processor then fetches what they need from
    /// memory at the same time.
    #[must_use]
    #[inline]
    pub fn guess(&self, hash: u64) -> Option<Handle> {
        self.index.first(hash).map(Handle)
    }

    /// The record of a key whose hash and [`Self::guess`] are known, as [`Self::find`] gives it. Nothing was
    /// added or removed since the guess.
    #[must_use]
    #[inline]
    pub fn find_at(&self, guess: Option<Handle>, hash: u64, key: &K) -> Option<Handle> {
        let guess = guess?;
        if self.key(guess) == Some(key) {
            Some(guess)
        } else {
            self.find_hashed(hash, key)
        }
    }

    /// Adds a record, without deadline, for a key that has none yet.
    ///
    /// # Errors
    ///
    /// [`Full`] if there are `max_entries` records already; nothing has changed.
    pub fn insert(&mut self, key: K, value: V) -> Result<Handle, Full> {
        let hash = self.hash_of(&key);
        debug_assert!(
            self.find_hashed(hash, &key).is_none(),
            "key is in the table"
        );
        let Ok(id) = self.slab.insert(key, value) else {
            return Err(Full {
                max_entries: self.max_entries(),
            });
        };
        self.index.insert(hash, id);
        Ok(Handle(id))
    }

    /// The key of a record.
    #[must_use]
    #[inline]
    pub fn key(&self, handle: Handle) -> Option<&K> {
        self.slab.get(handle.0).map(|(key, _)| key)
    }

    /// The value of a record.
    #[must_use]
    #[inline]
    pub fn get(&self, handle: Handle) -> Option<&V> {
        self.slab.get(handle.0).map(|(_, value)| value)
    }

    /// The value of a record, to be changed.
    #[must_use]
    #[inline]
    pub fn get_mut(&mut self, handle: Handle) -> Option<&mut V> {
        self.slab.get_mut(handle.0)
    }

    /// Removes a record and its deadline.
    pub fn remove(&mut self, handle: Handle) -> Option<(K, V)> {
        let hash = self.hash_of(self.key(handle)?);
        self.wheel.clear(&mut self.slab, handle.0);
        let Self {
            index,
            slab,
            hasher,
            ..
        } = self;
        index.remove(hash, handle.0, |id| {
            slab.get(id).map_or(0, |(key, _)| hasher.hash_one(key))
        });
        slab.remove(handle.0)
    }

    /// Sets or moves a record's deadline, in nanoseconds.
    pub fn set_deadline(&mut self, handle: Handle, nanos: u64) {
        let tick = nanos.div_ceil(self.tick);
        self.wheel.set(&mut self.slab, handle.0, tick);
    }

    /// Takes a record's deadline away.
    pub fn clear_deadline(&mut self, handle: Handle) {
        self.wheel.clear(&mut self.slab, handle.0);
    }

    /// A record's deadline in nanoseconds, rounded up to a tick.
    #[must_use]
    pub fn deadline(&self, handle: Handle) -> Option<u64> {
        let tick = self.wheel.deadline(&self.slab, handle.0)?;
        Some(tick.saturating_mul(self.tick))
    }

    /// When [`Self::pop_expired`] is worth calling next, in nanoseconds; `None` without deadlines.
    ///
    /// No deadline is before it. The earliest may be after it, for deadlines far ahead are known
    /// only roughly; then the call finds nothing, and this gives a later moment. Not later than the
    /// last call's time only if that call left work undone.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let tick = self.wheel.next_tick()?;
        Some(tick.saturating_mul(self.tick))
    }

    /// A record whose deadline has come by `now_nanos`; to be called until `None`.
    ///
    /// The record stays, without a deadline. Deadlines are never early, and come in the order of
    /// their ticks. They are less than a tick late, unless very many are for about the same moment:
    /// a call sorts 1,024 records at most, and then gives `None` although [`Self::next_deadline`] is
    /// not after `now_nanos`. Look after packets then, and call again.
    pub fn pop_expired(&mut self, now_nanos: u64) -> Option<Handle> {
        let now = now_nanos / self.tick;
        self.wheel.pop_expired(&mut self.slab, now).map(Handle)
    }

    /// All records, in the order of their places: the same calls give the same order.
    pub fn iter(&self) -> impl Iterator<Item = (Handle, &K, &V)> {
        self.slab.iter()
    }

    /// All records, in the order of their keys, whatever was done before. Sorts them all: for
    /// comparing tables.
    #[must_use]
    pub fn sorted(&self) -> Vec<(Handle, &K, &V)>
    where
        K: Ord,
    {
        let mut records: Vec<_> = self.iter().collect();
        records.sort_unstable_by_key(|&(_, key, _)| key);
        records
    }

    /// The handles of [`Self::iter`].
    pub fn handles(&self) -> impl Iterator<Item = Handle> {
        self.iter().map(|(handle, _, _)| handle)
    }

    /// The record in the place after `handle`'s, or the first one: for walks over the table in
    /// portions, between which it changes. The handle may be stale.
    #[must_use]
    pub fn after(&self, handle: Option<Handle>) -> Option<Handle> {
        let from = handle.map_or(0, |handle| handle.0.saturating_add(1));
        self.slab.next_occupied(from).map(Handle)
    }

    /// As [`Self::after`], but looks at `most` places at most (at least one): in a table that once was
    /// full, very many of them may be vacant.
    #[must_use]
    pub fn next_place(&self, handle: Option<Handle>, most: u32) -> Place {
        let from = handle.map_or(0, |handle| handle.0.saturating_add(1));
        let end = self.slab.used().min(from.saturating_add(most.max(1)));
        match (from..end).find(|&id| self.slab.get(id).is_some()) {
            Some(id) => Place::Occupied(Handle(id)),
            None if end < self.slab.used() => Place::Vacant(Handle(end - 1)),
            None => Place::End,
        }
    }
}

impl<K, V, A> fmt::Debug for FlowTable<K, V, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowTable").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
