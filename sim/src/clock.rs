//! A node's clock: its own zero and its own rate.

use core::time::Duration;
use jlb_protocol::Time;

/// A clock that shows `ahead` more than the world's time, which it counts at `rate` thousandths.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    ahead: u64,
    rate: u64,
}

impl Clock {
    pub(crate) fn new(ahead: Duration, rate: u64) -> Self {
        Self {
            ahead: u64::try_from(ahead.as_nanos()).unwrap_or(u64::MAX),
            rate: rate.max(1),
        }
    }

    /// What it shows at this time of the world.
    pub(crate) const fn shows(self, world: Time) -> Time {
        Time::from_nanos(self.ahead + world.as_nanos() / 1000 * self.rate)
    }

    /// The first moment at which it shows that, or the beginning of all time.
    pub(crate) const fn when(self, shown: Time) -> Time {
        let counted = shown.as_nanos().saturating_sub(self.ahead);
        Time::from_nanos(counted.div_ceil(self.rate) * 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_at_least_what_was_waited_for() {
        for rate in [950, 1000, 1037, 1050] {
            let clock = Clock::new(Duration::from_secs(77), rate);
            for nanos in [0, 1, 999_999, 1_000_000, 123_456_789_012] {
                let shown = Time::from_nanos(77_000_000_000 + nanos);
                let when = clock.when(shown);
                assert!(clock.shows(when) >= shown, "{rate} {nanos}");
                let before = Time::from_nanos(when.as_nanos().saturating_sub(2000));
                assert!(
                    clock.shows(before) < shown || before == Time::ZERO,
                    "{rate} {nanos}"
                );
            }
        }
    }
}
