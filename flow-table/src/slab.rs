//! From a record number to a record: chunks that are allocated when first needed.

use alloc::vec::Vec;

/// No record.
pub(crate) const NONE: u32 = u32::MAX;

/// Records in a chunk: small enough that the last, half-used one is a small part of a big table.
const CHUNK: usize = 1024;

/// A record's place in its table.
///
/// Good until the record is removed, and for the table that gave it. A handle kept for longer may
/// stand for nothing or for another flow, never for memory outside the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Handle(pub(crate) u32);

/// The links of a record, which belong to the wheel while the record has a deadline.
#[derive(Clone, Copy)]
pub(crate) struct Links {
    /// The record before it, the slot whose list it heads, or [`NONE`] without a deadline.
    pub(crate) prev: u32,
    /// The record after it, or [`NONE`]; of a vacant record: the next vacant one.
    pub(crate) next: u32,
    /// The lower 32 bits of the deadline, in ticks.
    pub(crate) deadline: u32,
}

impl Links {
    pub(crate) const UNLINKED: Self = Self {
        prev: NONE,
        next: NONE,
        deadline: 0,
    };
}

/// How a table's records lie in memory: one behind the other.
#[derive(Clone, Copy, Debug)]
pub struct Packed;

/// How a table's records lie in memory: each at the beginning of a cache line of 64 bytes, so that to look one up
/// is one miss and not two. Worth it where key and value have little less than 52 bytes.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub struct Lines;

#[derive(Clone)]
struct Entry<K, V, A> {
    key: K,
    /// `None` when vacant.
    value: Option<V>,
    links: Links,
    /// [`Packed`] or [`Lines`].
    _alignment: [A; 0],
}

/// All records of a table.
#[derive(Clone)]
pub(crate) struct Slab<K, V, A> {
    chunks: Vec<Vec<Entry<K, V, A>>>,
    max_entries: u32,
    /// Records ever used: the numbers below it.
    used: u32,
    len: u32,
    /// The first vacant record below `used`, or [`NONE`].
    vacant: u32,
}

impl<K: Copy, V, A> Slab<K, V, A> {
    pub(crate) fn new(max_entries: u32) -> Self {
        Self {
            chunks: Vec::new(),
            max_entries,
            used: 0,
            len: 0,
            vacant: NONE,
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn max_entries(&self) -> u32 {
        self.max_entries
    }

    pub(crate) fn allocated_bytes(&self) -> usize {
        let records: usize = self.chunks.iter().map(Vec::capacity).sum();
        records * size_of::<Entry<K, V, A>>()
            + self.chunks.capacity() * size_of::<Vec<Entry<K, V, A>>>()
    }

    /// Takes a vacant record, or says that all are in use.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Result<u32, V> {
        let entry = |value| Entry {
            key,
            value: Some(value),
            links: Links::UNLINKED,
            _alignment: [],
        };
        let vacant = self.vacant;
        if let Some(place) = entry_mut(&mut self.chunks, vacant) {
            self.vacant = place.links.next;
            *place = entry(value);
            self.len += 1;
            return Ok(vacant);
        }
        if self.used >= self.max_entries {
            return Err(value);
        }
        let chunk = self.chunk_with_room();
        chunk.push(entry(value));
        let id = self.used;
        self.used += 1;
        self.len += 1;
        Ok(id)
    }

    /// The last chunk if it has room, else a new one; never more room than `max_entries` need.
    fn chunk_with_room(&mut self) -> &mut Vec<Entry<K, V, A>> {
        let at = self.used as usize / CHUNK;
        if at >= self.chunks.len() {
            self.chunks.push(Vec::new());
        }
        let wanted = CHUNK.min(self.max_entries as usize - at * CHUNK);
        let chunk = &mut self.chunks[at];
        if chunk.len() == chunk.capacity() {
            // A new chunk, or one whose spare room a clone did not copy.
            chunk.reserve_exact(wanted - chunk.len());
        }
        chunk
    }

    /// Gives the record back, unless it is vacant. The wheel has let go of it.
    pub(crate) fn remove(&mut self, id: u32) -> Option<(K, V)> {
        let vacant = self.vacant;
        let entry = entry_mut(&mut self.chunks, id)?;
        let value = entry.value.take()?;
        entry.links = Links {
            next: vacant,
            ..Links::UNLINKED
        };
        let key = entry.key;
        self.vacant = id;
        self.len -= 1;
        Some((key, value))
    }

    pub(crate) fn get(&self, id: u32) -> Option<(&K, &V)> {
        let entry = self.entry(id)?;
        Some((&entry.key, entry.value.as_ref()?))
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut V> {
        entry_mut(&mut self.chunks, id)?.value.as_mut()
    }

    /// The links of an occupied record.
    pub(crate) fn links(&self, id: u32) -> Option<Links> {
        let entry = self.entry(id)?;
        entry.value.as_ref().map(|_| entry.links)
    }

    /// The links of an occupied record.
    pub(crate) fn links_mut(&mut self, id: u32) -> Option<&mut Links> {
        let entry = entry_mut(&mut self.chunks, id)?;
        entry.value.as_ref()?;
        Some(&mut entry.links)
    }

    /// The occupied record with the lowest number from `from` on.
    pub(crate) fn next_occupied(&self, from: u32) -> Option<u32> {
        (from..self.used).find(|&id| self.get(id).is_some())
    }

    /// How many numbers were ever used: no record has a higher one.
    pub(crate) fn used(&self) -> u32 {
        self.used
    }

    /// All occupied records, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Handle, &K, &V)> {
        let entries = self.chunks.iter().flatten();
        (0..).zip(entries).filter_map(|(id, entry)| {
            let value = entry.value.as_ref()?;
            Some((Handle(id), &entry.key, value))
        })
    }

    fn entry(&self, id: u32) -> Option<&Entry<K, V, A>> {
        let id = id as usize;
        self.chunks.get(id / CHUNK)?.get(id % CHUNK)
    }
}

/// A free function, so that the slab's other fields stay borrowable.
fn entry_mut<K, V, A>(chunks: &mut [Vec<Entry<K, V, A>>], id: u32) -> Option<&mut Entry<K, V, A>> {
    let id = id as usize;
    chunks.get_mut(id / CHUNK)?.get_mut(id % CHUNK)
}

#[cfg(test)]
mod tests;
