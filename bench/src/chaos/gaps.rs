//! How long a connection stood still when it should have moved.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::time::Instant;

use super::clients::Phase;
use crate::error::{Doing, Result};

/// The longest gap that is told apart, in microseconds: ten minutes.
const LONGEST: u64 = 600_000_000;
/// Significant figures of a gap.
const FIGURES: u8 = 3;

/// What one connection moved, and its longest wait for something that was due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gaps {
    /// Checked bytes before, during and after the fault.
    moved: [u64; 3],
    /// The longest wait that ended before the fault.
    before: Duration,
    /// The longest wait that ended later, and when that was.
    since: Option<(Duration, Instant)>,
}

impl Gaps {
    /// Bytes came, `waited` after they were due, at `now` in `phase`.
    pub(crate) fn moved(&mut self, phase: Phase, now: Instant, waited: Duration, bytes: u64) {
        let at = match phase {
            Phase::Before => 0,
            Phase::During => 1,
            Phase::After | Phase::End => 2,
        };
        self.moved[at] += bytes;
        self.waited(phase, now, waited);
    }

    /// A wait ended without any bytes: the connection broke, or nobody waits any more.
    pub(crate) fn waited(&mut self, phase: Phase, now: Instant, waited: Duration) {
        if phase == Phase::Before {
            self.before = self.before.max(waited);
        } else if self.since.is_none_or(|(longest, _)| waited > longest) {
            self.since = Some((waited, now));
        }
    }

    /// Whether it moved bytes before, during and after the fault.
    pub(crate) fn moved_in(&self) -> [bool; 3] {
        self.moved.map(|bytes| bytes > 0)
    }

    /// Bytes in all.
    pub(crate) fn bytes(&self) -> u64 {
        self.moved.iter().sum()
    }

    /// The longest wait that ended before the fault.
    pub(crate) fn before(&self) -> Duration {
        self.before
    }

    /// The longest wait that ended after the fault began.
    pub(crate) fn longest(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |(longest, _)| longest)
    }

    /// When the longest wait began and ended, if it was at least so long.
    pub(crate) fn stall(&self, least: Duration) -> Option<(Instant, Instant)> {
        let (longest, end) = self.since?;
        (longest >= least).then(|| (end.checked_sub(longest).unwrap_or(end), end))
    }
}

/// Times of many connections, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// Half of them are at most this.
    pub(crate) p50: f64,
    /// 99 % of them are at most this.
    pub(crate) p99: f64,
    /// All of them are at most this.
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of these times; zeros if there are none.
    pub(crate) fn of(times: impl IntoIterator<Item = Duration>) -> Result<Self> {
        let mut histogram =
            Histogram::<u64>::new_with_bounds(1, LONGEST, FIGURES).doing("make a histogram")?;
        for time in times {
            histogram.saturating_record(u64::try_from(time.as_micros()).unwrap_or(LONGEST));
        }
        let millis = |micros: u64| (micros as f64 / 100.0).round() / 10.0;
        Ok(Self {
            p50: millis(histogram.value_at_quantile(0.5)),
            p99: millis(histogram.value_at_quantile(0.99)),
            max: millis(histogram.max()),
        })
    }
}

#[cfg(test)]
mod tests;
