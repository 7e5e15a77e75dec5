//! What a host agent is told at its start, already valid.

use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::keyed_hash::HashKey;
use jlb_protocol::services::ServiceMatch;
use jlb_protocol::{NodeNumber, ServiceNumber};

/// Whether this host takes one more flow of a service: any of these that is set says no for all, and
/// without any each flow is taken. A share is of 65,535, where that is all of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Admission {
    /// Fewer flows of the service than this.
    pub max_connections: Option<u32>,
    /// A limit of flows that moves so that about half of the offers are taken.
    pub adaptive: bool,
    /// Fewer connections than this that the server has not accepted yet.
    pub accept_queue: Option<u32>,
    /// A smaller share of the processors' time than this.
    pub cpu: Option<u16>,
    /// A smaller share of the memory than this.
    pub memory: Option<u16>,
    /// A lower load than this by the server's own word.
    pub load: Option<u16>,
    /// As many flows as the server answers its health check within this.
    pub latency: Option<Duration>,
}

impl Admission {
    /// Fewer flows of the service than this.
    #[must_use]
    pub fn max_connections(max: u32) -> Self {
        Self {
            max_connections: Some(max),
            ..Self::default()
        }
    }
}

/// A service, as its host needs it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// The service's number.
    pub number: ServiceNumber,
    /// Which packets are the service's.
    pub matching: ServiceMatch,
    /// Whether one more flow is taken.
    pub admission: Admission,
    /// Whether a flow whose search ends here, asked for with the step 0, is taken whatever the
    /// admission says (R6).
    pub must_accept: bool,
}

/// What of a host gets no new flows, besides what its operator says while it runs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Drain {
    /// Whether all of it; who holds the agent acts on that, with [`crate::HostAgent::handle_drain`].
    pub all: bool,
    /// These services.
    pub services: Vec<ServiceNumber>,
    /// How long flows may go on once they drain; `None` until they close.
    pub timeout: Option<Duration>,
}

/// Bounds (R14).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Flows owned.
    pub max_flows: u32,
    /// Offer numbers that the filter of rejects holds in each of its two halves (R5).
    pub max_rejects: u32,
    /// Statements waiting for one tracker.
    pub max_statements: u32,
    /// Messages waiting to be sent.
    pub max_outbox: usize,
}

/// Time spans.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timers {
    /// Life of an accepted flow whose client does not finish the handshake.
    pub handshake: Duration,
    /// How long a flow whose socket is given up is still delivered at most (R8).
    pub linger: Duration,
    /// Life of a UDP flow without packets.
    pub udp_idle: Duration,
    /// How often its trackers are told that a flow lives on, by its bucket's digest or by a statement
    /// to those that do not know digests: a third of their lease at most (R9).
    pub refresh: Duration,
    /// How long statements are gathered before they are sent.
    pub state_delay: Duration,
    /// Until an unacknowledged State is repeated (R5).
    pub state_retry: Duration,
    /// How often Load is sent, at least.
    pub load_interval: Duration,
    /// How soon after a Load the next is sent if the number of connections has changed.
    pub load_interval_min: Duration,
    /// An owner without a kernel socket for this long treats a repeated SYN as new (R7).
    pub socketless: Duration,
    /// How long one half of the filter of rejects is filled before they rotate (R5).
    pub reject_rotation: Duration,
}

/// A host agent's configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// This node.
    pub node: NodeNumber,
    /// This start's incarnation: the births that the host gives carry it.
    pub incarnation: u32,
    /// The cluster's hash secret.
    pub hash_key: HashKey,
    /// The services that have this host in their pool.
    pub services: Vec<Service>,
    /// What of this host drains.
    pub drain: Drain,
    /// Bounds.
    pub limits: Limits,
    /// Time spans.
    pub timers: Timers,
}
