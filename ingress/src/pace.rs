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

/// The most repeats that are remembered.
const MAX_REPEATS: u32 = 256;

/// The wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pace {
    least: Duration,
    most: Duration,
    /// Above `least`.
    extra: Duration,
    /// Repeats of attempts that had their answer since: so many answers may come twice for that reason, and
    /// no others count. A client can make answers come twice as well.
    repeats: u32,
}

impl Pace {
    pub(crate) fn new(timers: &Timers) -> Self {
        let least = timers.open_retry;
        Self {
            least,
            most: least.max(timers.open_retry_max / 2),
            extra: Duration::ZERO,
            repeats: 0,
        }
    }

    /// Between other bounds from now on.
    pub(crate) fn set_timers(&mut self, timers: &Timers) {
        let Self { extra, repeats, .. } = *self;
        *self = Self::new(timers);
        self.extra = extra.min(self.most - self.least);
        self.repeats = repeats;
    }

    /// The wait before the first repeat.
    pub(crate) fn first_wait(&self) -> Duration {
        self.least + self.extra
    }

    /// An attempt that was repeated so often has its answer.
    pub(crate) fn answered(&mut self, repeats: u32) {
        if repeats > 0 {
            self.repeats = self.repeats.saturating_add(repeats).min(MAX_REPEATS);
        } else {
            // Repeats that were needed make no second answer.
            self.repeats = self.repeats.saturating_sub(1);
            self.extra -= self.extra / SHRINKAGE;
            // Halves of halves never end.
            if self.extra < self.least / SHRINKAGE {
                self.extra = Duration::ZERO;
            }
        }
    }

    /// An attempt that had its answer is answered once more.
    pub(crate) fn answered_again(&mut self) {
        if self.repeats > 0 {
            self.repeats -= 1;
            let more = self.first_wait() / GROWTH;
            self.extra = (self.extra + more).min(self.most - self.least);
        }
    }
}

impl Digest for Pace {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self {
            least,
            most,
            extra,
            repeats,
        } = self;
        // Where the wait can't grow they decide nothing.
        if most > least {
            into.value(&(extra, repeats));
        }
    }
}

#[cfg(test)]
mod tests;
