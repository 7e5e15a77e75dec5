//! A bound on how often something is done.

use crate::digest::{Digest, Digester};
use crate::time::Time;
use core::time::Duration;

/// A bucket of permissions that fills with time, kept as the moment at which it is full again (the
/// generic cell rate algorithm, ITU-T I.371).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rate {
    full_at: Time,
}

impl Rate {
    /// A full bucket.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            full_at: Time::ZERO,
        }
    }

    /// Takes one permission if there is one: `burst` at most are given at a time, and as many in
    /// each `span`. None is ever given where `burst` is 0.
    pub fn take(&mut self, now: Time, burst: u32, span: Duration) -> bool {
        self.take_many(now, 1, burst, span)
    }

    /// Takes `count` permissions at once, if there are so many; of a full bucket also more than it
    /// holds, so that what costs more than that is done now and then.
    pub fn take_many(&mut self, now: Time, count: u32, burst: u32, span: Duration) -> bool {
        let Some(each) = span.checked_div(burst) else {
            return false;
        };
        let is_full = self.full_at <= now;
        let full_at = self.full_at.max(now) + each.saturating_mul(count);
        let may = is_full || full_at.since(now) <= span;
        if may {
            self.full_at = full_at;
        }
        may
    }
}

impl Digest for Rate {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self { full_at } = self;
        into.time((*full_at).max(into.now()));
    }
}

#[cfg(test)]
mod tests;
