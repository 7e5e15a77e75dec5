//! What a run may contain: bounds that the seed draws from.

use crate::planted::Planted;
use core::time::Duration;

/// The least and the most of something, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The least.
    pub low: u64,
    /// The most.
    pub high: u64,
}

impl Span {
    /// From `low` to `high`.
    #[must_use]
    pub const fn new(low: u64, high: u64) -> Self {
        Self { low, high }
    }

    /// Always the same.
    #[must_use]
    pub const fn just(value: u64) -> Self {
        Self::new(value, value)
    }
}

/// What a run may contain. Chances are in thousandths; where a span of chances is given, a run
/// draws one and keeps to it, so that calm and rough runs both occur.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Ingress nodes, 1 to 8.
    pub ingresses: Span,
    /// Flow trackers, 1 to 8.
    pub trackers: Span,
    /// Hosts, 1 to 9.
    pub hosts: Span,
    /// Clients with a TCP flow, of one or more lives.
    pub tcp_clients: Span,
    /// Clients with a UDP flow.
    pub udp_clients: Span,
    /// Clients begin within this time.
    pub begin_within: Duration,
    /// Chance that a packet or message is lost.
    pub loss: Span,
    /// Chance that one arrives twice.
    pub duplication: Span,
    /// Chance that one takes much longer than the others, and is overtaken.
    pub straggling: Span,
    /// The longest that a straggler takes.
    pub straggle: Duration,
    /// How often flows are spread over the ingress nodes anew.
    pub reshuffles: Span,
    /// How often a host agent is killed and started again.
    pub agent_restarts: Span,
    /// How often an ingress is killed and started again.
    pub ingress_restarts: Span,
    /// Chance that a run's hosts have an admission limit.
    pub limited: u64,
    /// Chance that a destroy event is lost.
    pub lost_events: Span,
    /// Chance that a dump misses a live socket; none is missed twice in a row.
    pub missed_sockets: Span,
    /// Chance that a run's trackers have little room.
    pub narrow: u64,
    /// A fault put in on purpose, that a checker has to find.
    pub planted: Option<Planted>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            ingresses: Span::new(1, 3),
            trackers: Span::new(1, 3),
            hosts: Span::new(1, 6),
            tcp_clients: Span::new(4, 24),
            udp_clients: Span::new(0, 6),
            begin_within: Duration::from_secs(12),
            loss: Span::new(0, 80),
            duplication: Span::new(0, 50),
            straggling: Span::new(0, 60),
            straggle: Duration::from_millis(150),
            reshuffles: Span::new(0, 3),
            agent_restarts: Span::new(0, 2),
            ingress_restarts: Span::new(0, 1),
            limited: 600,
            lost_events: Span::new(0, 200),
            missed_sockets: Span::new(0, 30),
            narrow: 150,
            planted: None,
        }
    }
}

impl Plan {
    /// A network without faults and nodes that stay up.
    #[must_use]
    pub fn calm() -> Self {
        Self {
            loss: Span::just(0),
            duplication: Span::just(0),
            straggling: Span::just(0),
            reshuffles: Span::just(0),
            agent_restarts: Span::just(0),
            ingress_restarts: Span::just(0),
            lost_events: Span::just(0),
            missed_sockets: Span::just(0),
            narrow: 0,
            ..Self::default()
        }
    }

    /// The same, with a fault put in.
    #[must_use]
    pub fn planted(self, fault: Planted) -> Self {
        Self {
            planted: Some(fault),
            ..self
        }
    }
}
