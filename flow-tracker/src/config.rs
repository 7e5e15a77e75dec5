//! What a flow tracker is told at its start, already valid.

use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::keyed_hash::HashKey;
use jlb_protocol::{NodeNumber, Protocol, ServiceNumber};

pub use crate::policy::PolicyKind;

/// What happens when no host takes a flow (R6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overload {
    /// The client gets an error at once (spillover).
    Refuse,
    /// The last host that may be asked takes it: the least loaded one, asked with the step 0.
    MustAccept,
    /// The pool's overflow hosts are asked, and then it is refused.
    Pool,
    /// It waits until a host reports room, for this long at most, and then it is refused.
    Queue(Duration),
}

/// A host of a service's pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolHost {
    /// The host's node number.
    pub node: NodeNumber,
    /// Its share relative to the others, 1 to 65,535; 0 if it gets no new flows.
    pub weight: u16,
    /// Connections that the policy assumes the host to take; `None` if it has no limit.
    pub max_connections: Option<u32>,
    /// Whether it is asked only after the others ([`Overload::Pool`]).
    pub overflow: bool,
}

/// A service, as a tracker needs it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// The service's number.
    pub number: ServiceNumber,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its hosts, in the configuration's order.
    pub hosts: Vec<PoolHost>,
    /// Whether every host of the view that reports load for the service joins the pool, with weight
    /// 1 and no limit.
    pub any_host: bool,
    /// How much of the pool's weight may be left out because its health checks fail, 0 to 100 percent:
    /// with more than that unhealthy, health is ignored. Too small, and one failing server keeps
    /// getting flows; too large, and a check that is wrong everywhere takes all hosts out.
    pub max_unhealthy_percent: u8,
    /// A host whose flows last less than this part of what those of the other hosts do is taken for one that
    /// fails at once, by policies that look at connections or load: it does not count as idle. 0 to 100 percent; 0
    /// for never. Too small, and a server that answers with errors draws flows; too large, and a host that is
    /// faster than its weight says draws no more than that.
    pub min_life_percent: u8,
    /// How long a host that is new, back or well again takes to its whole weight, of which it has a tenth at first;
    /// `None` for at once.
    pub slow_start: Option<Duration>,
    /// How a host is chosen.
    pub policy: PolicyKind,
    /// A policy that is asked beside it on the same new flows, without effect.
    pub shadow: Option<PolicyKind>,
    /// Offers that a search may make, 1 to 16 (R6).
    pub search_ttl: u8,
    /// What happens when nobody takes a flow.
    pub overload: Overload,
    /// How many of the search's Offers are kept for that: for the overflow hosts, or for those that
    /// report room while the flow waits.
    pub overload_steps: u8,
    /// Whether a host that rejects passes the Offer straight to the next candidate (R6), in place of
    /// giving it back to the primary. Not used for UDP, whose attempts are not told apart.
    pub direct_hunt: bool,
}

/// Bounds (R14).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Records.
    pub max_flows: u32,
    /// Records that are offered or accepted, but not established (R3).
    pub max_untrusted: u32,
    /// Searches under way.
    pub max_searches: u32,
    /// Mid-flow packets held while their owner is asked for, and how many times all hosts of a pool
    /// may be asked within [`Timers::who_has`].
    pub max_who_has: u32,
    /// Flows that wait for a host to report room.
    pub max_queued: u32,
    /// Bytes of their packets.
    pub max_queued_bytes: usize,
    /// Messages waiting to be sent.
    pub max_outbox: usize,
}

/// Time spans.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timers {
    /// Life of a record that is only offered or refused; outlives every repeat (R3).
    pub offered: Duration,
    /// Life of an accepted record that its host does not refresh (R9).
    pub lease: Duration,
    /// How long hosts are waited for when their flows are asked for (R4).
    pub who_has: Duration,
}

/// A flow tracker's configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// This node.
    pub node: NodeNumber,
    /// The cluster's hash secret.
    pub hash_key: HashKey,
    /// All services.
    pub services: Vec<Service>,
    /// Bounds.
    pub limits: Limits,
    /// Time spans.
    pub timers: Timers,
    /// How long a host may be down before a mid-flow packet of a flow that it has is asked for among
    /// the live hosts, and then refused (R4); `None` for never: such packets go to the host that is
    /// down. Longer than the longest outage of the network that a flow should survive.
    pub dead_host: Option<Duration>,
}
