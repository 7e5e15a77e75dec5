//! Takes as many flows as the server answers within an objective: a limit of connections that rises by
//! little and falls by a part (AIMD), as TCP's window does.

use super::{Admission, Cause, Policy, part};
use crate::signals::Signals;
use core::time::Duration;
use jlb_protocol::digest::{Digest, Digester};

/// What the limit falls by, of the connections that were too many.
const FALL: u32 = 8;

/// What the limit rises by, of itself.
const RISE: u32 = 16;

/// The limit rises only when more than all but this part of it is in use.
const SPARE: u32 = 4;

/// An objective, and the limit of connections that keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Latency {
    most: Duration,
    /// `u32::MAX` until the server has been too slow for the first time.
    limit: u32,
}

impl Latency {
    pub(crate) const fn new(most: Duration) -> Self {
        Self {
            most,
            limit: u32::MAX,
        }
    }
}

impl Admission for Latency {
    fn cause(&self) -> Cause {
        Cause::Latency
    }

    fn room(&self, signals: &Signals) -> u32 {
        match self.limit {
            u32::MAX => u32::MAX,
            limit => limit.saturating_sub(signals.connections),
        }
    }

    fn load(&self, signals: &Signals) -> u16 {
        match self.limit {
            u32::MAX => 0,
            limit => part(signals.connections.into(), limit.into()),
        }
    }

    fn server_read(&mut self, signals: &Signals) {
        let Some(latency) = signals.readings.server.latency else {
            return;
        };
        let connections = signals.connections;
        if latency > self.most {
            let lower = connections - connections.div_ceil(FALL).min(connections);
            self.limit = self.limit.min(lower.max(1));
        } else if self.limit != u32::MAX && connections >= self.limit - self.limit / SPARE {
            self.limit = self.limit.saturating_add((self.limit / RISE).max(1));
        }
    }

    fn learn(&mut self, from: &Policy) {
        if let Policy::Latency(from) = from {
            self.limit = from.limit;
        }
    }
}

impl Digest for Latency {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self { most: _, limit } = self;
        into.value(limit);
    }
}
