//! What an ingress counts.

use alloc::vec::Vec;
use jlb_protocol::{Ledger, NodeNumber, ServiceNumber};

/// The flows of one service on one host, as this ingress knows them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostFlows {
    /// The service.
    pub service: ServiceNumber,
    /// The host.
    pub host: NodeNumber,
    /// Flows in the cache now.
    pub flows: u64,
    /// Flows put into the cache so far; a repeated Accept counts again.
    pub accepted: u64,
}

/// Counters (they only grow) and gauges of an ingress.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// The books (R14).
    pub ledger: Ledger,

    /// Client packets received.
    pub packets: u64,
    /// Client packets sent on at once to the host that the cache named.
    pub cache_hits: u64,
    /// Client packets of flows that the cache did not have; SYNs are counted apart.
    pub cache_misses: u64,
    /// SYNs received, repeats included.
    pub syns: u64,
    /// ICMP errors about a flow received.
    pub icmp_errors: u64,
    /// Pings of a VIP answered.
    pub echoes: u64,

    /// Attempts begun for a SYN.
    pub attempts_syn: u64,
    /// Attempts begun for a packet of a flow that should exist already.
    pub attempts_mid_flow: u64,
    /// Attempts begun for a datagram.
    pub attempts_datagram: u64,
    /// Opens sent again since no answer came (R5), or to another tracker.
    pub open_repeats: u64,
    /// Attempts that asked again at once since the view had changed.
    pub view_repeats: u64,
    /// Attempts given up without an answer.
    pub open_timeouts: u64,

    /// Attempts that this ingress searched for itself since it saw no tracker (R13).
    pub own_searches: u64,
    /// Offers that it sent to hosts itself, repeats included.
    pub own_offers: u64,
    /// Offers of its own that a host rejected.
    pub own_rejects: u64,
    /// Times that it asked all hosts of a pool who has a flow, repeats included.
    pub who_has_asked: u64,
    /// Flows whose host it found by asking all.
    pub who_has_found: u64,
    /// Times that it did not ask since it had asked too much just now.
    pub who_has_limited: u64,
    /// Packets of cached flows whose host is down: the trackers are asked.
    pub down_host_misses: u64,

    /// Attempts that ended with a host.
    pub accepts: u64,
    /// Attempts that ended with a refusal.
    pub refusals: u64,
    /// Attempts that a tracker queued.
    pub waits: u64,
    /// Answers of trackers that they do not act.
    pub not_acting: u64,
    /// Entries forgotten since their host disowned the flow (R4).
    pub disowned: u64,
    /// Entries forgotten since their host stated that the flow is over (R8).
    pub closed: u64,
    /// Packets that a host gave back and that were sent on by a newer entry.
    pub rerouted: u64,
    /// Accepted flows that the cache had no room for: each of their packets asks again.
    pub uncached: u64,
    /// Cache entries forgotten since they were idle.
    pub expired: u64,

    /// TCP resets sent to clients.
    pub resets: u64,
    /// ICMP errors sent to clients.
    pub unreachables: u64,
    /// ICMP errors not sent since too many were.
    pub unreachables_limited: u64,

    /// Gauge: flows in the cache.
    pub flows: u64,
    /// Gauge: flows in the cache whose client has not been heard of since the Accept.
    pub flows_unproven: u64,
    /// Gauge: bytes that the cache has allocated.
    pub flows_bytes: u64,
    /// Gauge: flows that wait for an answer.
    pub pending: u64,
    /// Gauge: bytes of the packets that wait.
    pub pending_bytes: u64,
    /// Gauge: packets and messages waiting to be sent.
    pub outbox: u64,
    /// Gauge: hosts that have been down for so long that they count as dead.
    pub dead_hosts: u64,
    /// Flows by service and host, in that order.
    pub hosts: Vec<HostFlows>,
}
