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
mod tests;
