//! What an ingress is told at its start, already valid.

use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::keyed_hash::HashKey;
use jlb_protocol::services::ServiceMatch;
use jlb_protocol::{NodeNumber, ServiceNumber};

/// A host that serves a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolHost {
    /// The host's node number.
    pub node: NodeNumber,
    /// Its share relative to the others, 1 to 65,535; 0 if it gets no new flows.
    pub weight: u16,
    /// Whether it is asked only after the others.
    pub overflow: bool,
}

/// A service, as an ingress needs it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// The service's number.
    pub number: ServiceNumber,
    /// Which packets are the service's.
    pub matching: ServiceMatch,
    /// Offers that a search may make, 1 to 16 (R6).
    pub search_ttl: u8,
    /// The hosts that serve it, each once: the ingress asks them itself while no tracker is there
    /// (R13).
    pub hosts: Vec<PoolHost>,
    /// Whether all other host agents of the view serve it too, with weight 1.
    pub any_host: bool,
}

/// Bounds (R14).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Flows in the cache. Flows whose client has not gone on since the Accept take at most half
    /// (R3). A flow that finds no room works, but each burst of its packets asks the trackers again.
    pub max_flows: u32,
    /// Flows that wait for an answer. Those that may be new (SYNs, datagrams) and those that should
    /// exist (other packets) take at most three quarters each, so that a flood of one kind leaves
    /// room for the other.
    pub max_pending: u32,
    /// Packets that wait for one flow's answer, the first included.
    pub max_pending_packets_per_flow: u16,
    /// Bytes of all waiting packets together, shared like [`Self::max_pending`].
    pub max_pending_bytes: usize,
    /// Flows for which all hosts of the pool may be asked in [`Timers::who_has`] while no tracker is
    /// there (R13), repeats included: half for flows that may be new, half for those that should
    /// exist. Each question is a message to every host of the pool and one back. Too small, and
    /// flows wait for their clients' repeats then; too large, and a flood loads every host.
    pub max_who_has: u32,
    /// Messages waiting to be sent. No fewer than a pool has hosts.
    pub max_outbox: usize,
}

/// Time spans.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timers {
    /// Until an unanswered Open is first repeated; doubles with each repeat (R5).
    pub open_retry: Duration,
    /// The longest wait between two repeats.
    pub open_retry_max: Duration,
    /// After this long without an answer the flow's packets are dropped.
    pub open_timeout: Duration,
    /// A cache entry without packets for this long is forgotten; the flow itself is not, and its
    /// next packet asks for its host again. At most 4 seconds where the client has not gone on since
    /// the Accept, or has sent a FIN or RST.
    pub cache_idle: Duration,
    /// The time that [`Limits::max_who_has`] is counted in.
    pub who_has: Duration,
}

/// An ingress's configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// This node.
    pub node: NodeNumber,
    /// The cluster's hash secret.
    pub hash_key: HashKey,
    /// All services.
    pub services: Vec<Service>,
    /// The largest inner packet, in bytes: the TUN device's MTU.
    pub max_inner: u16,
    /// Bounds.
    pub limits: Limits,
    /// Time spans.
    pub timers: Timers,
    /// Flows of a host that has been down for this long are asked for again, so that their clients
    /// are reset instead of hanging; `None` never. Too short, and connections that a broken network
    /// would have left alone are reset.
    pub dead_host: Option<Duration>,
}
