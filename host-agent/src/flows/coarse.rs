//! Times in as little room as possible.

use jlb_protocol::Time;

/// Bits of the clock's nanoseconds that a tick leaves out: a tick is 67 ms.
const TICK_BITS: u32 = 26;

/// A time in ticks, rounded up, or never. It is told from others four years around.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Coarse(u32);

impl Coarse {
    pub(super) const NEVER: Self = Self(0);

    /// Not before this.
    pub(super) fn not_before(time: Time) -> Self {
        let ticks = time.as_nanos().div_ceil(1 << TICK_BITS);
        // One in nine years is a tick late: 0 is never.
        Self((ticks as u32).max(1))
    }

    /// When that is, `near` being no more than four years before or after it.
    pub(super) fn time(self, near: Time) -> Option<Time> {
        let base = near.as_nanos() >> TICK_BITS;
        let ahead = self.0.wrapping_sub(base as u32).cast_signed();
        let ticks = base.saturating_add_signed(ahead.into());
        (self != Self::NEVER).then(|| Time::from_nanos(ticks << TICK_BITS))
    }
}

#[cfg(test)]
mod tests;
