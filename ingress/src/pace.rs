//! How long an ingress waits for an answer before it first asks again (R5).
//!
//! Where a cluster is slower than `open_retry`, because it has more to do than it can, asking again
//! only adds to that: each repeat is answered too, later still. An answer to an attempt that is over,
//! of the very life that was accepted, shows that a repeat was not needed (as in RFC 3522, the Eifel
//! detection of TCP): the wait grows. Answers to attempts that were not repeated shrink it again.
//! Loss shows neither, so that lost messages are made good as soon as ever.

use crate::config::Timers;
use core::time::Duration;
use jlb_protocol::digest::{Digest, Digester};

/// By which part of itself the wait grows with each repeat that was not needed.
const GROWTH: u32 = 8;

/// By which part of what it is too long it shrinks with each answer that needed no repeat: the two
/// balance where one answer of nine was given twice.
const SHRINKAGE: u32 = 64;

/// The wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pace {
    least: Duration,
    most: Duration,
    /// Above `least`.
    extra: Duration,
}

impl Pace {
    pub(crate) fn new(timers: &Timers) -> Self {
        let least = timers.open_retry;
        Self {
            least,
            most: least.max(timers.open_retry_max / 2),
            extra: Duration::ZERO,
        }
    }

    /// Between other bounds from now on.
    pub(crate) fn set_timers(&mut self, timers: &Timers) {
        let extra = self.extra;
        *self = Self::new(timers);
        self.extra = extra.min(self.most - self.least);
    }

    /// The wait before the first repeat.
    pub(crate) fn first_wait(&self) -> Duration {
        self.least + self.extra
    }

    /// An attempt has its answer.
    pub(crate) fn answered(&mut self, was_repeated: bool) {
        if !was_repeated {
            self.extra -= self.extra / SHRINKAGE;
            // Halves of halves never end.
            if self.extra < self.least / SHRINKAGE {
                self.extra = Duration::ZERO;
            }
        }
    }

    /// An attempt that had its answer is answered once more.
    pub(crate) fn answered_again(&mut self) {
        let more = self.first_wait() / GROWTH;
        self.extra = (self.extra + more).min(self.most - self.least);
    }
}

impl Digest for Pace {
    fn digest(&self, into: &mut Digester<'_>) {
        // The bounds are the configuration's.
        let Self {
            least: _,
            most: _,
            extra,
        } = self;
        into.value(extra);
    }
}

#[cfg(test)]
mod tests;
