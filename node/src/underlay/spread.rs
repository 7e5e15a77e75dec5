//! Over how many source ports flows are spread.

use super::SENDERS;
use jlb_protocol::Time;
use std::time::Duration;

/// How often is looked how much is sent. A flow that moves to another port may be out of order for a moment, if
/// that port has another way.
const INTERVAL: Duration = Duration::from_secs(1);

/// Where so many messages are sent in an interval, flows are spread; one receive queue takes several times as many.
const MANY: u64 = 100_000;

/// Where so few are sent, they are not any more.
const FEW: u64 = 50_000;

#[derive(Debug)]
pub(super) struct Spread {
    ports: usize,
    sent: u64,
    since: Time,
}

impl Default for Spread {
    fn default() -> Self {
        Self::NONE
    }
}

impl Spread {
    /// Nothing was sent yet.
    pub(super) const NONE: Self = Self {
        ports: 1,
        sent: 0,
        since: Time::ZERO,
    };

    /// So many messages are sent.
    #[inline]
    pub(super) const fn count(&mut self, messages: usize) {
        self.sent += messages as u64;
    }

    /// How many ports flows are spread over.
    #[inline]
    pub(super) const fn ports(&self) -> usize {
        self.ports
    }

    #[inline]
    pub(super) fn adapt(&mut self, now: Time) {
        let span = now.since(self.since);
        if span >= INTERVAL {
            self.decide(span);
            self.since = now;
        }
    }

    fn decide(&mut self, span: Duration) {
        let sent = u128::from(std::mem::take(&mut self.sent));
        let in_an_interval = sent * INTERVAL.as_nanos() / span.as_nanos().max(1);
        if in_an_interval >= u128::from(MANY) {
            self.ports = SENDERS;
        } else if in_an_interval < u128::from(FEW) {
            self.ports = 1;
        }
    }
}

#[cfg(test)]
mod tests;
