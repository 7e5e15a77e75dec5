//! With which attempt a flow's life began, and about when.

use jlb_protocol::Time;
use jlb_protocol::digest::{Digest, Digester};

/// A life that began no more ticks ago is a fresh one: four seconds. Long beside what a State takes to
/// arrive, and short beside the time in which initial sequence numbers go half round, which is two
/// minutes.
const FRESH: u32 = 15;

/// Bits of the clock's nanoseconds that a tick leaves out: a tick is 0.27 s.
const TICK_BITS: u32 = 28;

/// An attempt and the time of its life's begin, in as little room as possible.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Began {
    isn: u32,
    /// In ticks, from 1 on; 0 if nothing is known. Those of 36 years fit.
    tick: u32,
}

impl Began {
    /// Nobody knows when, or with which attempt.
    pub(super) const UNKNOWN: Self = Self { isn: 0, tick: 0 };

    /// It begins now, with this attempt.
    pub(super) const fn now(now: Time, isn: u32) -> Self {
        let tick = tick_of(now);
        Self { isn, tick }
    }

    /// The attempt, if it is known.
    pub(super) const fn isn(self) -> Option<u32> {
        if self.tick == 0 { None } else { Some(self.isn) }
    }

    /// Whether it is known to have begun in the last few seconds.
    pub(super) const fn is_fresh(self, now: Time) -> bool {
        self.tick != 0 && tick_of(now).saturating_sub(self.tick) < FRESH
    }
}

const fn tick_of(now: Time) -> u32 {
    ((now.as_nanos() >> TICK_BITS) as u32).saturating_add(1)
}

impl Digest for Began {
    fn digest(&self, into: &mut Digester<'_>) {
        let is_fresh = self.is_fresh(into.now());
        into.value(&(self.isn(), is_fresh));
    }
}

#[cfg(test)]
mod tests;
