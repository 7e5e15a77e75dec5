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
mod tests {
    use super::*;
    use core::time::Duration;

    const TICK: Duration = Duration::from_nanos(1 << TICK_BITS);
    const YEAR: Duration = Duration::from_secs(365 * 86_400);

    #[test]
    fn a_time_comes_back_rounded_up_whatever_the_clock_shows() {
        for years in [0, 1, 4, 8, 9, 10, 50, 500] {
            let near = Time::from_nanos(0) + YEAR * years;
            for after in [0, 1, 999, 1 << TICK_BITS, 60_000_000_000] {
                let time = near + Duration::from_nanos(after);
                for near in [near, time, time + YEAR, time + 4 * YEAR] {
                    let back = Coarse::not_before(time).time(near).unwrap();
                    assert!(back >= time && back.since(time) < 2 * TICK, "{time:?}");
                }
            }
        }
        assert_eq!(Coarse::NEVER.time(Time::from_nanos(7)), None);
    }
}
