//! The configuration of each node.

use super::{HEARTBEATS_MISSED, OFFERED, Service, Topology, UDP_IDLE};
use core::net::IpAddr;
use core::time::Duration;
use jlb_flow_tracker::config as tracker;
use jlb_host_agent::config as host;
use jlb_ingress::config as ingress;
use jlb_membership as membership;
use jlb_protocol::link::{self, MessageKey, MessageKeys, PeerAddress};
use jlb_protocol::{MemberState, NodeNumber, Role, wire};

const WHO_HAS: Duration = Duration::from_millis(1500);
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);

/// Statements of one message, at most.
const LONGEST_STATE: u64 = 30;

impl Topology {
    pub(crate) fn ingress_config(&self, node: NodeNumber) -> ingress::Config {
        let service = |service: &Service| ingress::Service {
            number: service.number,
            matching: service.matching,
            search_ttl: service.search_ttl,
            hosts: service.ingress_pool(),
            any_host: false,
        };
        ingress::Config {
            node,
            hash_key: self.hash_key,
            services: self.services.iter().map(service).collect(),
            max_inner: 1388,
            limits: ingress::Limits {
                max_flows: self.max_cached,
                max_pending: 100_000,
                max_pending_packets_per_flow: 8,
                max_pending_bytes: usize::try_from(self.max_pending_bytes).unwrap_or(usize::MAX),
                max_who_has: 100_000,
                max_outbox: 65_536,
            },
            timers: ingress::Timers {
                open_retry: Duration::from_millis(20),
                open_retry_max: Duration::from_millis(500),
                open_timeout: OPEN_TIMEOUT,
                cache_idle: self.cache_idle,
                who_has: WHO_HAS,
            },
            dead_host: self.dead_host,
        }
    }

    pub(crate) fn tracker_config(&self, node: NodeNumber) -> tracker::Config {
        let service = |service: &Service| tracker::Service {
            number: service.number,
            protocol: service.matching.protocol,
            hosts: service.tracker_pool(),
            policy: service.policy,
            shadow: None,
            search_ttl: service.search_ttl,
            overload: service.overload,
            overload_steps: service.overload_steps,
            direct_hunt: service.direct_hunt,
            any_host: false,
            max_unhealthy_percent: 50,
            min_life_percent: 15,
            slow_start: None,
        };
        tracker::Config {
            node,
            hash_key: self.hash_key,
            services: self.services.iter().map(service).collect(),
            limits: tracker::Limits {
                max_flows: self.max_flows,
                max_untrusted: self.max_untrusted,
                max_searches: self.max_searches,
                max_who_has: 100_000,
                max_queued: if self.narrow { 2 } else { 100_000 },
                max_queued_bytes: 1 << 24,
                max_outbox: 65_536,
            },
            timers: tracker::Timers {
                offered: OFFERED,
                lease: Duration::from_secs(8),
                who_has: WHO_HAS,
            },
            dead_host: self.dead_host,
        }
    }

    pub(crate) fn host_config(&self, node: NodeNumber, incarnation: u32) -> host::Config {
        let own = |service: &&Service| service.hosts.contains(&node);
        let service = |service: &Service| host::Service {
            number: service.number,
            matching: service.matching,
            admission: service.admission,
            must_accept: service.overload == tracker::Overload::MustAccept,
        };
        host::Config {
            node,
            incarnation,
            hash_key: self.hash_key,
            services: self.services.iter().filter(own).map(service).collect(),
            drain: host::Drain::default(),
            limits: host::Limits {
                max_flows: self.max_flows,
                max_rejects: 10_000,
                max_statements: self.max_flows,
                max_outbox: 65_536,
            },
            timers: host::Timers {
                handshake: Duration::from_secs(8),
                linger: self.linger,
                udp_idle: UDP_IDLE,
                refresh: Duration::from_millis(2500),
                state_delay: Duration::from_millis(10),
                state_retry: Duration::from_millis(200),
                load_interval: Duration::from_secs(1),
                load_interval_min: self.load_min,
                socketless: Duration::from_secs(1),
                reject_rotation: Duration::from_secs(10),
            },
        }
    }

    pub(crate) fn membership_config(
        &self,
        node: NodeNumber,
        incarnation: u32,
    ) -> membership::Config {
        membership::Config {
            node,
            role: Self::role(node),
            incarnation,
            heartbeat: self.heartbeat,
            failure_timeout: self.heartbeat * HEARTBEATS_MISSED,
            host_heartbeat: self.host_heartbeat,
            host_timeout: self.host_heartbeat * HEARTBEATS_MISSED,
            max_nodes: 4096,
            fixed: self.fixed_views,
        }
    }

    /// A pause that takes this long is noticed by every node, whatever its clock's rate.
    pub(crate) fn noticed_pause(&self) -> Duration {
        self.heartbeat.max(self.host_heartbeat) * HEARTBEATS_MISSED * 2
    }

    /// The most that a node may hold of what its role calls by this name, if that has a limit.
    pub(crate) fn limit(&self, node: NodeNumber, name: &str) -> Option<u64> {
        match (Self::role(node), name) {
            (Role::Ingress, "flows") => Some(u64::from(self.max_cached)),
            (Role::Ingress, "pending bytes") => Some(self.max_pending_bytes),
            (Role::FlowTracker, "records") => Some(u64::from(self.max_flows)),
            // For each that is told, with a message under way.
            (Role::HostAgent, "statements") => {
                let told = self.trackers.len() + self.ingresses.len();
                Some((u64::from(self.max_flows) + LONGEST_STATE) * told as u64)
            }
            // The quota is for flows that are new: a known one's next life needs no room of it.
            (Role::FlowTracker, "untrusted") => Some(u64::from(self.max_untrusted) + self.clients),
            (Role::FlowTracker, "searches") => Some(u64::from(self.max_searches)),
            (Role::Ingress | Role::FlowTracker | Role::HostAgent, _) => None,
        }
    }

    /// The nodes in the file of `node`. Those that are started later may be in their own alone.
    pub(crate) fn known_to(&self, node: NodeNumber) -> Vec<membership::Known> {
        let is_late = self.late.contains(&node);
        let known = self
            .nodes()
            .filter(|peer| is_late || !self.strangers || !self.late.contains(peer));
        let known = known.map(|peer| {
            let address = IpAddr::V4(Self::address(peer));
            membership::Known {
                domain: self.domain(peer),
                ..membership::Known::at(peer, Self::role(peer), address)
            }
        });
        known.collect()
    }

    pub(crate) fn link_config(&self, node: NodeNumber, incarnation: u32) -> link::Config {
        let key = MessageKey {
            id: 1,
            secret: [7; 16],
        };
        link::Config {
            node,
            role: Self::role(node),
            state: if self.fixed_views || Self::role(node) != Role::FlowTracker {
                MemberState::Active
            } else {
                MemberState::Joining
            },
            incarnation,
            worker: 0,
            keys: MessageKeys::new(key, Vec::new()),
            peers: self.peers(node).collect(),
            port: wire::UDP_PORT,
            hello_interval: self.heartbeat,
            view: 0,
            config: 1,
        }
    }

    fn peers(&self, node: NodeNumber) -> impl Iterator<Item = PeerAddress> + '_ {
        let known = self.known_to(node).into_iter().map(|known| known.node);
        let others = known.filter(move |&peer| peer != node);
        let spoken = others.filter(move |&peer| Self::speak(node, peer) || self.hunt(node, peer));
        spoken.map(move |peer| Self::peer(node, peer))
    }

    /// Where `peer` is for `node`.
    pub(crate) fn peer(node: NodeNumber, peer: NodeNumber) -> PeerAddress {
        PeerAddress {
            node: peer,
            local: IpAddr::V4(Self::address(node)),
            remote: IpAddr::V4(Self::address(peer)),
        }
    }
}

impl Service {
    fn ingress_pool(&self) -> Vec<ingress::PoolHost> {
        let host = |host: tracker::PoolHost| ingress::PoolHost {
            node: host.node,
            weight: host.weight,
            overflow: host.overflow,
        };
        self.tracker_pool().into_iter().map(host).collect()
    }

    fn tracker_pool(&self) -> Vec<tracker::PoolHost> {
        let pool = self.hosts.iter().enumerate();
        let host = |(at, &node): (usize, &NodeNumber)| tracker::PoolHost {
            node,
            // Every other host has the weight that a change of configuration gives.
            weight: if at % 2 == 0 { 1 } else { self.weight },
            max_connections: None,
            // The last two.
            overflow: self.overload == tracker::Overload::Pool
                && at > 0
                && at + 2 >= self.hosts.len(),
        };
        pool.map(host).collect()
    }
}
