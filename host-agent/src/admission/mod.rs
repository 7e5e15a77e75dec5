//! Whether this host takes one more flow of a service.

mod always;
mod max_connections;

use crate::config::AdmissionKind;
use always::Always;
use max_connections::MaxConnections;

/// A load of 65,535: full.
pub(crate) const FULL: u16 = u16::MAX;

/// What an admission policy looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Signals {
    /// Flows of the service that are accepted or established.
    pub(crate) connections: u32,
}

/// A policy.
pub(crate) trait Admission {
    /// How many more flows the host would take now; `u32::MAX` for no limit.
    fn room(&self, signals: Signals) -> u32;

    /// How loaded the service is here, 0 (idle) to 65,535 (full).
    fn load(&self, signals: Signals) -> u16;

    /// Whether the host takes one more.
    fn admits(&self, signals: Signals) -> bool {
        self.room(signals) > 0
    }
}

/// The policy of a service: an enum, so that the agent can be cloned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Policy {
    Always(Always),
    MaxConnections(MaxConnections),
}

impl Policy {
    /// The policy that the configuration names.
    pub(crate) const fn new(kind: AdmissionKind) -> Self {
        match kind {
            AdmissionKind::Always => Self::Always(Always),
            AdmissionKind::MaxConnections(max) => Self::MaxConnections(MaxConnections { max }),
        }
    }

    fn inner(&self) -> &dyn Admission {
        match self {
            Self::Always(policy) => policy,
            Self::MaxConnections(policy) => policy,
        }
    }
}

impl Admission for Policy {
    fn room(&self, signals: Signals) -> u32 {
        self.inner().room(signals)
    }

    fn load(&self, signals: Signals) -> u16 {
        self.inner().load(signals)
    }
}

#[cfg(test)]
mod tests;
