//! Slow start: a host that is new, back or well again has a part of its weight at first.

use crate::policy::Candidate;
use core::time::Duration;
use jlb_protocol::Time;
use jlb_protocol::digest::Digester;

/// The part of its weight that a host begins with, of [`Candidate::WARM`]: a tenth.
const COLD: u16 = Candidate::WARM / 10;

/// Where a host is in its slow start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Warmth {
    /// Its whole weight counts.
    Warm,
    /// It is new, and begins with its first report.
    Unheard,
    /// It has begun.
    Since(Time),
}

impl Warmth {
    /// The part of the host's weight that counts, of [`Candidate::WARM`], where a slow start takes so long.
    pub(super) fn part(self, now: Time, slow_start: Option<Duration>) -> u16 {
        let (Self::Since(since), Some(whole)) = (self, slow_start) else {
            return Candidate::WARM;
        };
        let (passed, whole) = (now.since(since).as_nanos(), whole.as_nanos());
        let gain = u128::from(Candidate::WARM - COLD) * passed.min(whole);
        let gain = gain
            .checked_div(whole)
            .and_then(|it| u16::try_from(it).ok());
        gain.map_or(Candidate::WARM, |gain| COLD + gain)
    }

    /// What decides the future of it.
    pub(super) fn digest(self, slow_start: Option<Duration>, into: &mut Digester<'_>) {
        let Some(whole) = slow_start else {
            return;
        };
        let left = match self {
            Self::Warm => Some(Duration::ZERO),
            Self::Unheard => None,
            Self::Since(since) => Some(whole.saturating_sub(into.now().since(since))),
        };
        into.value(&left);
    }
}

#[cfg(test)]
mod tests;
