//! How long the loop holds still between two turns so that more comes at once, as network cards do it
//! (interrupt coalescing).
//!
//! A wake-up costs the same whether one message waits or ten, and where processors are short it takes the time from
//! somebody. So the thread holds still where it has to wait for a processor anyway, and for a time of that kind;
//! where processors are free it does not, and nothing waits.

use jlb_packet_io::process::{RunDelay, Waited};
use jlb_protocol::Time;
use std::time::Duration;

/// How often is looked how long the thread waits.
const INTERVAL: Duration = Duration::from_millis(10);

/// Waits that say something.
const LEAST_WAITS: u32 = 10;

/// Where there are fewer in this time, none is worth saving.
const SELDOM: Duration = Duration::from_millis(50);

/// So much waiting is as usual where others use a processor now and then.
const USUAL: Duration = Duration::from_micros(25);

/// The time to hold still for each microsecond of waiting that is more than usual.
const FACTOR: u32 = 12;

/// Packets and messages that must be expected meanwhile.
const LEAST_GAIN: u128 = 2;

/// What is shorter is not worth a sleep.
const SHORTEST: Duration = Duration::from_micros(50);

/// How long to hold still.
#[derive(Debug)]
pub(super) struct Coalescing {
    /// `None`: never.
    max: Option<Duration>,
    meter: Option<RunDelay>,
    last: Waited,
    /// Packets and messages taken in since then.
    taken: usize,
    looked: Time,
    mean: Duration,
    hold: Duration,
    /// How often the thread held still.
    pub(super) holds: u64,
}

impl Coalescing {
    /// Of the thread that `meter` is of.
    pub(super) fn new(max: Option<Duration>, meter: Option<RunDelay>, now: Time) -> Self {
        Self {
            max,
            meter,
            last: Waited::default(),
            taken: 0,
            looked: now,
            mean: Duration::ZERO,
            hold: Duration::ZERO,
            holds: 0,
        }
    }

    /// The longest from now on.
    pub(super) fn set_max(&mut self, max: Option<Duration>) {
        self.max = max;
        self.hold = self.hold.min(max.unwrap_or_default());
    }

    /// After a turn that took in so much, all that there was: how long to hold still, zero for not at all.
    pub(super) fn hold(&mut self, now: Time, taken: usize) -> Duration {
        self.taken += taken;
        if now.since(self.looked) >= INTERVAL {
            self.look(now);
        }
        self.hold
    }

    /// How long it holds still at present.
    pub(super) const fn present(&self) -> Duration {
        self.hold
    }

    fn look(&mut self, now: Time) {
        // A thread that can't be seen waiting does not wait.
        let waited = self.meter.as_ref().and_then(|meter| meter.read().ok());
        if let (Some(max), Some(waited)) = (self.max, waited) {
            self.learn(now, max, waited);
        } else {
            (self.looked, self.taken) = (now, 0);
            (self.mean, self.hold) = (Duration::ZERO, Duration::ZERO);
        }
    }

    fn learn(&mut self, now: Time, max: Duration, waited: Waited) {
        let times = waited.times.saturating_sub(self.last.times);
        let span = waited.span.saturating_sub(self.last.span);
        let times = u32::try_from(times).unwrap_or(u32::MAX);
        let elapsed = now.since(self.looked);
        if times < LEAST_WAITS && elapsed < SELDOM {
            return;
        }
        let taken = std::mem::take(&mut self.taken) as u128;
        (self.looked, self.last) = (now, waited);
        if times < LEAST_WAITS {
            (self.mean, self.hold) = (Duration::ZERO, Duration::ZERO);
            return;
        }
        self.mean = (3 * self.mean + span / times) / 4;
        let hold = self.mean.saturating_sub(USUAL).saturating_mul(FACTOR);
        let hold = hold.min(max);
        let expected = taken * hold.as_nanos() / elapsed.as_nanos().max(1);
        self.hold = if hold < SHORTEST || expected < LEAST_GAIN {
            Duration::ZERO
        } else {
            hold
        };
    }
}

#[cfg(test)]
mod tests;
