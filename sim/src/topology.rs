//! The cluster of a run: nodes, services, limits and time spans, and the configuration of each
//! role made from them.

use crate::plan::Plan;
use crate::rng::Rng;
use crate::segment::Ends;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;
use jlb_flow_tracker::config as tracker;
use jlb_host_agent::config as host;
use jlb_ingress::config as ingress;
use jlb_protocol::keyed_hash::HashKey;
use jlb_protocol::services::{Ports, ServiceMatch};
use jlb_protocol::view::Member;
use jlb_protocol::{FlowKey, MemberState, NodeNumber, Protocol, Role, ServiceNumber, View};

/// A service of the run.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) number: ServiceNumber,
    pub(crate) matching: ServiceMatch,
    pub(crate) hosts: Vec<NodeNumber>,
    pub(crate) search_ttl: u8,
    policy: tracker::PolicyKind,
    admission: host::AdmissionKind,
}

/// The cluster.
#[derive(Clone, Debug)]
pub(crate) struct Topology {
    pub(crate) hash_key: HashKey,
    pub(crate) ingresses: Vec<NodeNumber>,
    pub(crate) trackers: Vec<NodeNumber>,
    pub(crate) hosts: Vec<NodeNumber>,
    pub(crate) view: View,
    pub(crate) services: Vec<Service>,
    /// Whether trackers may run out of room, so that flows are turned away for that.
    pub(crate) narrow: bool,
    max_untrusted: u32,
    max_searches: u32,
    cache_idle: Duration,
    max_cached: u32,
}

/// Life of an unanswered or refused record, and of a search's memory.
pub(crate) const OFFERED: Duration = Duration::from_secs(5);

/// Life of a UDP flow without packets.
pub(crate) const UDP_IDLE: Duration = Duration::from_secs(3);

/// Lease of a record, linger of a flow, life of a handshake: the longest that something is kept
/// after its flow has ended, all together.
pub(crate) const LONGEST_MEMORY: Duration = Duration::from_secs(70);

const LINGER: Duration = Duration::from_secs(4);
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);

impl Topology {
    pub(crate) fn new(plan: &Plan, mut rng: Rng) -> Self {
        let mut numbers = |first: u16, span: crate::plan::Span| {
            let count = u16::try_from(rng.within(span.low, span.high)).unwrap_or(1);
            let numbers = (0..count.min(9)).filter_map(|i| NodeNumber::new(first + i));
            numbers.collect::<Vec<_>>()
        };
        let ingresses = numbers(1, plan.ingresses);
        let trackers = numbers(11, plan.trackers);
        let hosts = numbers(21, plan.hosts);
        let member = |role| {
            move |&node| Member {
                node,
                role,
                state: MemberState::Active,
                incarnation: 0,
            }
        };
        let members = ingresses.iter().map(member(Role::Ingress));
        let members = members.chain(trackers.iter().map(member(Role::FlowTracker)));
        let members = members.chain(hosts.iter().map(member(Role::HostAgent)));
        let view = View::new(members.collect());
        let services = services(plan, &hosts, &mut rng);
        let narrow = rng.chance(plan.narrow);
        let mut key = [0; 16];
        key[..8].copy_from_slice(&rng.next().to_be_bytes());
        Self {
            hash_key: HashKey::new(key),
            narrow,
            max_untrusted: if narrow { 3 } else { 1000 },
            max_searches: if narrow { 2 } else { 1000 },
            cache_idle: Duration::from_secs(rng.within(1, 20)),
            max_cached: if rng.chance(200) { 4 } else { 1000 },
            ingresses,
            trackers,
            hosts,
            view,
            services,
        }
    }

    pub(crate) fn service(&self, number: ServiceNumber) -> Option<&Service> {
        self.services
            .iter()
            .find(|service| service.number == number)
    }

    /// The ends and the key of the flow of client `index`.
    pub(crate) fn flow(&self, index: usize, service: &Service) -> (FlowKey, Ends) {
        let low = u16::try_from(index % 0xffff).unwrap_or(0);
        let [high, low] = (low + 1).to_be_bytes();
        let (vip, vip_port) = (service.matching.vip, first_port(service.matching.ports));
        let client = match vip {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(198, 51, high, low)),
            IpAddr::V6(_) => {
                let last = u16::from_be_bytes([high, low]);
                IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, last))
            }
        };
        let client_port = 40_000;
        let key = FlowKey::new(client, client_port, service.number, vip_port);
        let ends = Ends {
            client,
            client_port,
            vip,
            vip_port,
        };
        (key, ends)
    }

    pub(crate) fn ingress_config(&self, node: NodeNumber) -> ingress::Config {
        let service = |service: &Service| ingress::Service {
            number: service.number,
            matching: service.matching,
            search_ttl: service.search_ttl,
        };
        ingress::Config {
            node,
            hash_key: self.hash_key,
            services: self.services.iter().map(service).collect(),
            max_inner: 1388,
            limits: ingress::Limits {
                max_flows: self.max_cached,
                max_pending: 1000,
                max_pending_packets_per_flow: 8,
                max_pending_bytes: 1 << 20,
                max_outbox: 4096,
            },
            timers: ingress::Timers {
                open_retry: Duration::from_millis(20),
                open_retry_max: Duration::from_millis(500),
                open_timeout: OPEN_TIMEOUT,
                cache_idle: self.cache_idle,
            },
        }
    }

    pub(crate) fn tracker_config(&self, node: NodeNumber) -> tracker::Config {
        let service = |service: &Service| tracker::Service {
            number: service.number,
            protocol: service.matching.protocol,
            hosts: service.hosts.iter().map(pool_host).collect(),
            policy: service.policy,
            search_ttl: service.search_ttl,
            overload: tracker::Overload::Refuse,
        };
        tracker::Config {
            node,
            hash_key: self.hash_key,
            services: self.services.iter().map(service).collect(),
            limits: tracker::Limits {
                max_flows: 10_000,
                max_untrusted: self.max_untrusted,
                max_searches: self.max_searches,
                max_who_has: 1000,
                max_outbox: 4096,
            },
            timers: tracker::Timers {
                offered: OFFERED,
                lease: Duration::from_secs(8),
                who_has: Duration::from_millis(1500),
            },
        }
    }

    pub(crate) fn host_config(&self, node: NodeNumber, incarnation: u32) -> host::Config {
        let own = |service: &&Service| service.hosts.contains(&node);
        let service = |service: &Service| host::Service {
            number: service.number,
            matching: service.matching,
            admission: service.admission,
        };
        host::Config {
            node,
            incarnation,
            hash_key: self.hash_key,
            services: self.services.iter().filter(own).map(service).collect(),
            limits: host::Limits {
                max_flows: 1000,
                max_rejects: 1000,
                max_statements: 1000,
                max_outbox: 4096,
            },
            timers: host::Timers {
                handshake: Duration::from_secs(8),
                linger: LINGER,
                udp_idle: UDP_IDLE,
                refresh: Duration::from_millis(2500),
                state_delay: Duration::from_millis(10),
                state_retry: Duration::from_millis(200),
                load_interval: Duration::from_secs(1),
                socketless: Duration::from_secs(1),
                reject_rotation: Duration::from_secs(10),
            },
        }
    }
}

const fn first_port(ports: Ports) -> u16 {
    match ports {
        Ports::Any => 80,
        Ports::Range(first, _) => first,
    }
}

fn pool_host(&node: &NodeNumber) -> tracker::PoolHost {
    tracker::PoolHost {
        node,
        weight: 1,
        max_connections: None,
    }
}

/// TCP and UDP on an IPv4 VIP, TCP on an IPv6 VIP.
fn services(plan: &Plan, hosts: &[NodeNumber], rng: &mut Rng) -> Vec<Service> {
    let vip4 = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 80));
    let vip6 = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x80));
    let limited = rng.chance(plan.limited);
    let kinds = [
        (1, vip4, Protocol::Tcp, 80),
        (2, vip4, Protocol::Udp, 53),
        (3, vip6, Protocol::Tcp, 443),
    ];
    let services = kinds
        .into_iter()
        .filter_map(|(number, vip, protocol, port)| {
            let number = ServiceNumber::new(number)?;
            let limit = u32::try_from(rng.within(1, 4)).unwrap_or(1);
            let enough = u8::try_from(hosts.len().clamp(1, 16)).unwrap_or(16);
            let ttl = if rng.chance(700) {
                enough
            } else {
                u8::try_from(rng.within(1, u64::from(enough))).unwrap_or(1)
            };
            Some(Service {
                number,
                matching: ServiceMatch {
                    service: number,
                    vip,
                    protocol,
                    ports: Ports::Range(port, port),
                },
                hosts: hosts.to_vec(),
                search_ttl: ttl,
                policy: if rng.chance(500) {
                    tracker::PolicyKind::RoundRobin
                } else {
                    tracker::PolicyKind::LeastConnections
                },
                admission: if limited {
                    host::AdmissionKind::MaxConnections(limit)
                } else {
                    host::AdmissionKind::Always
                },
            })
        });
    services.collect()
}
