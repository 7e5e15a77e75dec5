//! Deadlines: a hierarchy of wheels of 64 slots (Varghese and Lauck, "Hashed and hierarchical
//! timing wheels", 1987, scheme 7), whose lists run through the records.
//!
//! Time is cut into ticks and a tick's number into digits of 6 bits, one wheel for each digit. A
//! deadline hangs in the wheel of the highest digit in which it differs from the present, in the
//! slot of that digit. From this follows: all deadlines of a lower wheel come before those of a
//! higher one, and in each wheel they come in the order of its slots; so the first occupied slot of
//! the lowest occupied wheel holds the earliest. When its time comes, its list is dealt out to the
//! wheels below it, some records at a time. A deadline moves at most ten times, in practice two or
//! three times.

use crate::slab::{Links, NONE, Slab};

const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
/// Enough for every 64-bit tick, so that no uptime is too long.
const LEVELS: usize = 64_usize.div_ceil(DIGIT_BITS as usize);
/// Records dealt out in one call, so that a list of a million, all for one moment, keeps no packet
/// waiting: at a memory access each, some tenths of a millisecond.
pub(crate) const DEALT_PER_CALL: u32 = 1024;
/// Marks a `prev` that is not a record but the slot whose list the record heads.
const HEAD: u32 = 1 << 31;

/// The timer wheel of one table.
#[derive(Clone)]
pub(crate) struct Wheel {
    /// The present: no deadline is before it. Only [`Self::pop_expired`] moves it.
    elapsed: u64,
    /// The slot being dealt out: it begins at the present.
    dealing: Option<Slot>,
    /// Which wheels have an occupied slot.
    occupied_levels: u16,
    /// Which slots of each wheel are occupied.
    occupied: [u64; LEVELS],
    /// The first record of each slot's list, or [`NONE`].
    heads: [[u32; SLOTS]; LEVELS],
}

/// A slot of a wheel.
#[derive(Clone, Copy)]
struct Slot {
    level: usize,
    digit: usize,
}

impl Wheel {
    pub(crate) const fn new() -> Self {
        Self {
            elapsed: 0,
            dealing: None,
            occupied_levels: 0,
            occupied: [0; LEVELS],
            heads: [[NONE; SLOTS]; LEVELS],
        }
    }

    /// Sets or moves the deadline of a record; a tick that has passed counts as the present one.
    pub(crate) fn set<K: Copy, V, A>(&mut self, slab: &mut Slab<K, V, A>, id: u32, tick: u64) {
        let tick = tick.clamp(
            self.elapsed,
            self.elapsed.saturating_add(u64::from(u32::MAX)),
        );
        let Some(links) = slab.links(id) else {
            return;
        };
        if links.prev != NONE {
            if self.whole_tick(links.deadline) == tick {
                return;
            }
            self.unlink(slab, links);
        }
        self.link(slab, id, tick);
    }

    /// Takes the deadline from a record, if it has one.
    pub(crate) fn clear<K: Copy, V, A>(&mut self, slab: &mut Slab<K, V, A>, id: u32) {
        let Some(links) = slab.links(id).filter(|links| links.prev != NONE) else {
            return;
        };
        self.unlink(slab, links);
        if let Some(own) = slab.links_mut(id) {
            *own = Links::UNLINKED;
        }
    }

    /// Closes the gap that a record with these links leaves in its list.
    #[inline]
    fn unlink<K: Copy, V, A>(&mut self, slab: &mut Slab<K, V, A>, links: Links) {
        if links.prev & HEAD == 0 {
            if let Some(before) = slab.links_mut(links.prev) {
                before.next = links.next;
            }
        } else {
            self.set_head(Slot::from_prev(links.prev), links.next);
        }
        if links.next != NONE
            && let Some(after) = slab.links_mut(links.next)
        {
            after.prev = links.prev;
        }
    }

    /// The tick of a record's deadline.
    pub(crate) fn deadline<K: Copy, V, A>(&self, slab: &Slab<K, V, A>, id: u32) -> Option<u64> {
        let links = slab.links(id).filter(|links| links.prev != NONE)?;
        Some(self.whole_tick(links.deadline))
    }

    /// A tick that no deadline is before, `None` without deadlines. After [`Self::pop_expired`] found
    /// nothing for `now` it is later than `now`, unless there is more to deal out.
    pub(crate) fn next_tick(&self) -> Option<u64> {
        match self.dealing {
            Some(slot) if self.heads[slot.level][slot.digit] != NONE => Some(self.elapsed),
            _ => self.first_slot().map(|slot| self.start_of(slot)),
        }
    }

    /// A record whose deadline is at or before the tick `now`; it has none afterwards.
    pub(crate) fn pop_expired<K: Copy, V, A>(
        &mut self,
        slab: &mut Slab<K, V, A>,
        now: u64,
    ) -> Option<u32> {
        let mut allowance = DEALT_PER_CALL;
        loop {
            if let Some(slot) = self.dealing {
                if !self.deal_out(slab, slot, &mut allowance) {
                    return None;
                }
                self.dealing = None;
            }
            let due = self
                .first_slot()
                .map(|slot| (slot, self.start_of(slot)))
                .filter(|&(_, start)| start <= now);
            let Some((slot, start)) = due else {
                self.elapsed = self.elapsed.max(now);
                return None;
            };
            self.elapsed = start;
            if slot.level == 0 {
                let id = self.heads[0][slot.digit];
                self.clear(slab, id);
                return Some(id);
            }
            self.dealing = Some(slot);
        }
    }

    /// Moves records of the slot that has become the present to the wheels below; whether all are
    /// moved.
    fn deal_out<K: Copy, V, A>(
        &mut self,
        slab: &mut Slab<K, V, A>,
        slot: Slot,
        allowance: &mut u32,
    ) -> bool {
        loop {
            let id = self.heads[slot.level][slot.digit];
            if id == NONE {
                return true;
            }
            let Some(left) = allowance.checked_sub(1) else {
                return false;
            };
            *allowance = left;
            let Some(tick) = self.deadline(slab, id) else {
                // Never so: what hangs in a slot is a record with a deadline.
                self.set_head(slot, NONE);
                return true;
            };
            self.clear(slab, id);
            self.set(slab, id, tick);
        }
    }

    /// Puts a record that is in no list at the head of the list of its tick's slot.
    #[inline]
    fn link<K: Copy, V, A>(&mut self, slab: &mut Slab<K, V, A>, id: u32, tick: u64) {
        let slot = self.slot_of(tick);
        let next = self.heads[slot.level][slot.digit];
        if let Some(own) = slab.links_mut(id) {
            *own = Links {
                prev: slot.as_prev(),
                next,
                deadline: tick as u32,
            };
        }
        if next != NONE
            && let Some(after) = slab.links_mut(next)
        {
            after.prev = id;
        }
        self.set_head(slot, id);
    }

    fn set_head(&mut self, slot: Slot, id: u32) {
        self.heads[slot.level][slot.digit] = id;
        let occupied = &mut self.occupied[slot.level];
        if id == NONE {
            *occupied &= !(1 << slot.digit);
        } else {
            *occupied |= 1 << slot.digit;
        }
        let level = 1 << slot.level;
        if *occupied == 0 {
            self.occupied_levels &= !level;
        } else {
            self.occupied_levels |= level;
        }
    }

    fn first_slot(&self) -> Option<Slot> {
        let level = self.occupied_levels.trailing_zeros() as usize;
        let occupied = self.occupied.get(level)?;
        Some(Slot {
            level,
            digit: occupied.trailing_zeros() as usize,
        })
    }

    /// The slot for a tick that is not in the past.
    fn slot_of(&self, tick: u64) -> Slot {
        let highest_difference = ((self.elapsed ^ tick) | 1).ilog2();
        let level = highest_difference / DIGIT_BITS;
        Slot {
            level: level as usize,
            digit: (tick >> (level * DIGIT_BITS)) as usize % SLOTS,
        }
    }

    /// The first tick of an occupied slot: its higher digits are those of the present.
    fn start_of(&self, slot: Slot) -> u64 {
        let shift = slot.level as u32 * DIGIT_BITS;
        let higher = (self.elapsed >> shift) & !(SLOTS as u64 - 1);
        (higher | slot.digit as u64) << shift
    }

    /// The tick, not in the past and less than 2^32 ticks ahead, with these lower 32 bits.
    fn whole_tick(&self, low: u32) -> u64 {
        self.elapsed + u64::from(low.wrapping_sub(self.elapsed as u32))
    }
}

impl Slot {
    fn as_prev(self) -> u32 {
        HEAD | (self.level * SLOTS + self.digit) as u32
    }

    fn from_prev(prev: u32) -> Self {
        let number = (prev & !HEAD) as usize;
        Self {
            level: number / SLOTS,
            digit: number % SLOTS,
        }
    }
}

#[cfg(test)]
mod tests;
