//! From a hash to a record number: open addressing over one array of 4-byte slots.
//!
//! A slot is an 8-bit tag (from the hash) over a 24-bit record number plus one; 0 is an empty slot.
//! The tag spares 255 of 256 looks at records that are not the one searched. The array never
//! grows: it has half as many slots again as the table may hold records, so a probe is about two
//! slots long at half load and five slots at full load.

use alloc::vec;
use alloc::vec::Vec;

const EMPTY: u32 = 0;
const ID_BITS: u32 = 24;
const ID_MASK: u32 = (1 << ID_BITS) - 1;

/// The index of one table.
#[derive(Clone)]
pub(crate) struct Index {
    slots: Vec<u32>,
}

impl Index {
    /// An index for `max_entries` records, at least a third of it always empty.
    pub(crate) fn new(max_entries: u32) -> Self {
        let slots = max_entries as usize + max_entries as usize / 2 + 2;
        Self {
            slots: vec![EMPTY; slots],
        }
    }

    /// Bytes allocated.
    pub(crate) fn allocated_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u32>()
    }

    /// The first record that may have this hash, without a look at it; `None`: no record has.
    #[inline]
    pub(crate) fn first(&self, hash: u64) -> Option<u32> {
        let mut place = self.home(hash);
        loop {
            let slot = self.slots[place];
            if slot == EMPTY {
                return None;
            }
            if tag_of(slot) == tag(hash) {
                return Some(id_of(slot));
            }
            place = self.after(place);
        }
    }

    /// The record with this hash that `is_match` confirms.
    pub(crate) fn find(&self, hash: u64, mut is_match: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut place = self.home(hash);
        loop {
            let slot = self.slots[place];
            if slot == EMPTY {
                return None;
            }
            if tag_of(slot) == tag(hash) && is_match(id_of(slot)) {
                return Some(id_of(slot));
            }
            place = self.after(place);
        }
    }

    /// Adds the record `id`, which is not in the index; there is room for `max_entries` records.
    pub(crate) fn insert(&mut self, hash: u64, id: u32) {
        let mut place = self.home(hash);
        while self.slots[place] != EMPTY {
            place = self.after(place);
        }
        self.slots[place] = tag(hash) << ID_BITS | (id + 1);
    }

    /// Removes the record `id`; `hash_of` tells the hash of any record in the index.
    ///
    /// Records behind the hole move back into it (Knuth, TAOCP vol. 3, 6.4, algorithm R), so there
    /// are no tombstones and probes do not grow longer with age.
    pub(crate) fn remove(&mut self, hash: u64, id: u32, hash_of: impl Fn(u32) -> u64) {
        let mut hole = self.home(hash);
        loop {
            let slot = self.slots[hole];
            if slot == EMPTY {
                return;
            }
            if id_of(slot) == id {
                break;
            }
            hole = self.after(hole);
        }
        let mut place = self.after(hole);
        while self.slots[place] != EMPTY {
            let home = self.home(hash_of(id_of(self.slots[place])));
            if self.distance(home, place) >= self.distance(hole, place) {
                self.slots[hole] = self.slots[place];
                hole = place;
            }
            place = self.after(place);
        }
        self.slots[hole] = EMPTY;
    }

    /// Where the search for a hash begins: its upper 32 bits scaled to the number of slots
    /// (Lemire, "Fast random integer generation in an interval", 2019), so any number will do.
    fn home(&self, hash: u64) -> usize {
        (((hash >> 32) * self.slots.len() as u64) >> 32) as usize
    }

    fn after(&self, place: usize) -> usize {
        let next = place + 1;
        if next == self.slots.len() { 0 } else { next }
    }

    /// Steps of [`Self::after`] that lead from `from` to `to`.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from {
            to - from
        } else {
            to + self.slots.len() - from
        }
    }
}

fn tag(hash: u64) -> u32 {
    hash as u32 & 0xff
}

fn tag_of(slot: u32) -> u32 {
    slot >> ID_BITS
}

fn id_of(slot: u32) -> u32 {
    // An occupied slot is never 0 in its lower bits.
    (slot & ID_MASK).wrapping_sub(1)
}

#[cfg(test)]
mod tests;
