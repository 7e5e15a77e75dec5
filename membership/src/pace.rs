//! How often peers are greeted, and how long they may be silent.

use crate::config::Config;
use core::time::Duration;
use jlb_protocol::Role;

/// Most Hellos that a node sends a second as heartbeats: a percent or two of a core. A tracker of many
/// hosts answers more than that, since each of these greets it without regard to the others.
const HELLOS_PER_SECOND: u64 = 4_000;

/// What of that is for pairs without a host, before what pairs with one need is looked at.
const FAST_SHARE: u64 = 1_600;

/// Intervals grow in steps of an eighth, so that not each node that joins changes all of them.
const STEPS: u64 = 8;

/// The pace of one kind of pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// How often the peer is greeted.
    pub interval: Duration,
    /// How long it may be silent before it is believed down.
    pub timeout: Duration,
}

impl Pace {
    /// When a silent peer is asked more often: after five eighths of the timeout.
    pub(crate) fn patience(self) -> Duration {
        self.timeout / 8 * 5
    }

    /// How often a silent peer is asked: 20 times within the timeout.
    pub(crate) fn probe_interval(self) -> Duration {
        self.timeout / 20
    }

    /// How long a peer that is heard may leave our Hellos unanswered: then the way to it is broken.
    pub(crate) fn deaf_timeout(self) -> Duration {
        self.timeout * 2
    }

    fn stretched(self, eighths: u64) -> Self {
        let stretch =
            |span: Duration| span * u32::try_from(eighths).unwrap_or(u32::MAX) / STEPS as u32;
        Self {
            interval: stretch(self.interval),
            timeout: stretch(self.timeout),
        }
    }
}

/// The paces of both kinds of pairs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Paces {
    own: Role,
    fast: Pace,
    host: Pace,
}

impl Paces {
    /// The paces for so many peers: the configured ones, stretched where their Hellos would be more
    /// than [`HELLOS_PER_SECOND`]; those of pairs with a host first.
    pub(crate) fn new(config: &Config, fast_peers: usize, host_peers: usize) -> Self {
        let fast = Pace {
            interval: config.heartbeat,
            timeout: config.failure_timeout,
        };
        let host = Pace {
            interval: config.host_heartbeat,
            timeout: config.host_timeout,
        };
        let fast = fast.stretched(eighths(rate(fast, fast_peers), FAST_SHARE));
        let left = HELLOS_PER_SECOND - rate(fast, fast_peers).min(FAST_SHARE);
        let host = host.stretched(eighths(rate(host, host_peers), left));
        Self {
            own: config.role,
            fast,
            host,
        }
    }

    /// The pace between this node and one of that role.
    pub(crate) fn with(&self, role: Role) -> Pace {
        if is_fast(self.own, role) {
            self.fast
        } else {
            self.host
        }
    }

    /// After this long without a look at the clock all others believe this node down.
    pub(crate) const fn pause(&self) -> Duration {
        match self.own {
            Role::Ingress | Role::FlowTracker => self.fast.timeout,
            Role::HostAgent => self.host.timeout,
        }
    }

    /// How often this node looks at the clock at least, and how late it may be without an excuse.
    pub(crate) const fn pulse(&self) -> Duration {
        match self.own {
            Role::Ingress | Role::FlowTracker => self.fast.interval,
            Role::HostAgent => self.host.interval,
        }
    }

    /// By when everybody who is there has been heard.
    pub(crate) fn acquaintance(&self) -> Duration {
        self.fast.timeout.max(self.host.timeout)
    }
}

/// Whether neither node of a pair is a host.
pub(crate) fn is_fast(a: Role, b: Role) -> bool {
    a != Role::HostAgent && b != Role::HostAgent
}

/// Hellos a second to so many peers. Intervals are shortened by up to an eighth, to spread them.
fn rate(pace: Pace, peers: usize) -> u64 {
    let nanos = (pace.interval.as_nanos() as u64).max(1);
    (peers as u64).saturating_mul(1_000_000_000 * 16 / 15) / nanos
}

/// By how many eighths the intervals are stretched so that the rate does not exceed the share.
const fn eighths(rate: u64, share: u64) -> u64 {
    if rate <= share {
        STEPS
    } else {
        rate.saturating_mul(STEPS).div_ceil(share)
    }
}

#[cfg(test)]
mod tests;
