//! Whether this host takes one more flow of a service: one file per policy, all behind
//! `Admission`. A service has a [`Gate`] of those that its configuration asks for, and any of them
//! says no for all.

mod accept_queue;
mod adaptive;
mod latency;
mod max_connections;
mod share;

use crate::config;
use crate::signals::Signals;
use accept_queue::AcceptQueueLimit;
use adaptive::Adaptive;
use alloc::vec::Vec;
use jlb_protocol::digest::{Digest, Digester};
use latency::Latency;
use max_connections::MaxConnections;
use share::{Share, Shared};

/// A load of 65,535: full.
pub const FULL: u16 = u16::MAX;

/// What makes a host reject a new flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The limit of connections.
    MaxConnections,
    /// The limit of connections that follows the share of offers taken.
    Adaptive,
    /// The connections that the server has not accepted yet.
    AcceptQueue,
    /// The processors.
    Cpu,
    /// The memory.
    Memory,
    /// The server's own word.
    Load,
    /// The server's latency.
    Latency,
}

/// A policy.
pub(crate) trait Admission {
    /// What it rejects for.
    fn cause(&self) -> Cause;

    /// How many more flows the host would take now; `u32::MAX` for no limit.
    fn room(&self, signals: &Signals) -> u32;

    /// How loaded the service is here, 0 (idle) to 65,535 (full).
    fn load(&self, signals: &Signals) -> u16;

    /// A new flow was taken, or not.
    fn decided(&mut self, _taken: bool) {}

    /// The server was asked by its health check.
    fn server_read(&mut self, _signals: &Signals) {}

    /// Takes what the same policy, configured otherwise, has learnt.
    fn learn(&mut self, _from: &Policy) {}
}

/// One policy of a service: an enum, so that the agent can be cloned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Policy {
    MaxConnections(MaxConnections),
    Adaptive(Adaptive),
    AcceptQueue(AcceptQueueLimit),
    Share(Share),
    Latency(Latency),
}

impl Policy {
    fn inner(&self) -> &dyn Admission {
        match self {
            Self::MaxConnections(policy) => policy,
            Self::Adaptive(policy) => policy,
            Self::AcceptQueue(policy) => policy,
            Self::Share(policy) => policy,
            Self::Latency(policy) => policy,
        }
    }

    fn inner_mut(&mut self) -> &mut dyn Admission {
        match self {
            Self::MaxConnections(policy) => policy,
            Self::Adaptive(policy) => policy,
            Self::AcceptQueue(policy) => policy,
            Self::Share(policy) => policy,
            Self::Latency(policy) => policy,
        }
    }
}

/// The policies of one service, of which any says no for all; none says yes to all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gate {
    policies: Vec<Policy>,
}

impl Gate {
    /// The policies that the configuration asks for. Of several that reject, the first is the cause.
    #[must_use]
    pub fn new(config: &config::Admission) -> Self {
        let config::Admission {
            max_connections,
            adaptive,
            accept_queue,
            cpu,
            memory,
            load,
            latency,
        } = *config;
        let share = |of, most: Option<u16>| most.map(|most| Policy::Share(Share { of, most }));
        let policies = [
            max_connections.map(|max| Policy::MaxConnections(MaxConnections { max })),
            accept_queue.map(|most| Policy::AcceptQueue(AcceptQueueLimit { most })),
            share(Shared::Load, load),
            share(Shared::Cpu, cpu),
            share(Shared::Memory, memory),
            latency.map(|most| Policy::Latency(Latency::new(most))),
            adaptive.then(|| Policy::Adaptive(Adaptive::new())),
        ];
        Self {
            policies: policies.into_iter().flatten().collect(),
        }
    }

    /// Takes what the policies of a former configuration have learnt.
    pub(crate) fn learn(&mut self, before: &Self) {
        for policy in &mut self.policies {
            for former in &before.policies {
                policy.inner_mut().learn(former);
            }
        }
    }

    /// How many more flows the host would take now; `u32::MAX` for no limit.
    #[must_use]
    pub fn room(&self, signals: &Signals) -> u32 {
        let rooms = self.all().map(|policy| policy.room(signals));
        rooms.min().unwrap_or(u32::MAX)
    }

    /// Why the host would take none.
    pub(crate) fn refusal(&self, signals: &Signals) -> Option<Cause> {
        let full = self.all().find(|policy| policy.room(signals) == 0);
        full.map(Admission::cause)
    }

    /// The highest load by any policy, by the server's own word where it gives one, or else by the
    /// processors.
    #[must_use]
    pub fn load(&self, signals: &Signals) -> u16 {
        let own = signals.readings.server.load.or(signals.machine.cpu);
        let loads = self.all().map(|policy| policy.load(signals));
        loads.chain(own).max().unwrap_or(0)
    }

    /// A new flow was taken, or not.
    pub fn decided(&mut self, taken: bool) {
        for policy in &mut self.policies {
            policy.inner_mut().decided(taken);
        }
    }

    /// The server was asked by its health check.
    pub(crate) fn server_read(&mut self, signals: &Signals) {
        for policy in &mut self.policies {
            policy.inner_mut().server_read(signals);
        }
    }

    fn all(&self) -> impl Iterator<Item = &dyn Admission> {
        self.policies.iter().map(Policy::inner)
    }
}

impl Digest for Gate {
    fn digest(&self, into: &mut Digester<'_>) {
        for policy in &self.policies {
            match policy {
                Policy::Adaptive(it) => it.digest(into),
                Policy::Latency(it) => it.digest(into),
                // All that they know is their configuration.
                Policy::MaxConnections(_) | Policy::AcceptQueue(_) | Policy::Share(_) => {}
            }
        }
    }
}

/// How much `used` is of `most`, as a load.
fn part(used: u64, most: u64) -> u16 {
    let load = used.saturating_mul(u64::from(FULL)).checked_div(most);
    load.and_then(|load| u16::try_from(load).ok())
        .unwrap_or(FULL)
}

#[cfg(test)]
mod tests;
