//! The cluster of a run: nodes, services, limits and time spans.

use crate::plan::{Plan, Span};
use crate::rng::Rng;
use crate::segment::Ends;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;
use jlb_flow_tracker::config as tracker;
use jlb_host_agent::config as host;
use jlb_protocol::keyed_hash::HashKey;
use jlb_protocol::services::{Ports, ServiceMatch};
use jlb_protocol::view::FailureDomain;
use jlb_protocol::{FlowKey, NodeNumber, Protocol, Role, ServiceNumber};
use std::collections::{BTreeMap, BTreeSet};

mod admission;
mod configs;

/// A service of the run.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) number: ServiceNumber,
    pub(crate) matching: ServiceMatch,
    pub(crate) hosts: Vec<NodeNumber>,
    pub(crate) search_ttl: u8,
    /// The least and the most that it was in this run.
    pub(crate) least_ttl: u8,
    pub(crate) most_ttl: u8,
    weight: u16,
    policy: tracker::PolicyKind,
    pub(crate) overload: tracker::Overload,
    /// Offers of the search that the overload policy makes.
    pub(crate) overload_steps: u8,
    admission: host::Admission,
    /// Whether hosts pass Offers that they reject on to the next host.
    pub(crate) direct_hunt: bool,
}

/// A rack of trackers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Rack {
    A,
    B,
    C,
}

impl Rack {
    const fn label(self) -> &'static str {
        match self {
            Self::A => "rack-a",
            Self::B => "rack-b",
            Self::C => "rack-c",
        }
    }
}

/// The racks of those trackers that stand in one.
#[derive(Clone, Default, Debug)]
pub(crate) struct Racks(pub(crate) BTreeMap<NodeNumber, Rack>);

impl Racks {
    /// The rack that a tracker fails with, or that it fails alone.
    pub(crate) fn fails_with(&self, node: NodeNumber) -> (Option<Rack>, Option<NodeNumber>) {
        match self.0.get(&node) {
            Some(&rack) => (Some(rack), None),
            None => (None, Some(node)),
        }
    }
}

/// The cluster.
#[derive(Clone, Debug)]
pub(crate) struct Topology {
    pub(crate) hash_key: HashKey,
    /// All that there ever are, those that are started later as well.
    pub(crate) ingresses: Vec<NodeNumber>,
    pub(crate) trackers: Vec<NodeNumber>,
    /// The racks of those trackers that stand in one.
    pub(crate) racks: Racks,
    pub(crate) hosts: Vec<NodeNumber>,
    /// Those that are started later.
    pub(crate) late: Vec<NodeNumber>,
    pub(crate) services: Vec<Service>,
    /// Whether views are fixed, and all nodes active in them for ever.
    pub(crate) fixed_views: bool,
    /// How long hosts keep a closed flow.
    pub(crate) linger: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) host_heartbeat: Duration,
    /// The least time between a host's Load and the next.
    load_min: Duration,
    /// Whether trackers may run out of room, so that flows are turned away for that.
    pub(crate) narrow: bool,
    /// Whether flows may be turned away for want of room (R3).
    pub(crate) tight: bool,
    clients: u64,
    max_pending_bytes: u64,
    max_untrusted: u32,
    max_searches: u32,
    cache_idle: Duration,
    max_cached: u32,
    max_flows: u32,
    /// Whether nodes that are started later are in nobody's file but their own.
    strangers: bool,
    dead_host: Option<Duration>,
}

/// Life of an unanswered or refused record, and of a search's memory.
pub(crate) const OFFERED: Duration = Duration::from_secs(5);

/// Life of a UDP flow without packets.
pub(crate) const UDP_IDLE: Duration = Duration::from_secs(3);

/// Lease of a record, linger of a flow, life of a handshake: the longest that something is kept
/// after its flow has ended, all together.
pub(crate) const LONGEST_MEMORY: Duration = Duration::from_secs(70);

/// Flows of a host that is down for longer are reset: longer than any fault of the plans lasts.
const DEAD_HOST: Duration = Duration::from_secs(15);

/// Missed heartbeats after which a peer is down.
pub(crate) const HEARTBEATS_MISSED: u32 = 4;

const FIRST_INGRESS: u16 = 1;
const FIRST_TRACKER: u16 = 101;
const FIRST_HOST: u16 = 201;

impl Topology {
    pub(crate) fn new(plan: &Plan, mut rng: Rng) -> Self {
        let mut late: Vec<NodeNumber> = Vec::new();
        let mut numbers = |first: u16, span: Span, joins: Span| {
            let at_first = rng.within(span.low, span.high);
            let joining = rng.within(joins.low, joins.high);
            let count = u16::try_from(at_first + joining).unwrap_or(1);
            let numbers = (0..count).filter_map(|i| NodeNumber::new(first + i));
            let numbers = numbers.collect::<Vec<_>>();
            let there = usize::try_from(at_first).unwrap_or(1);
            late.extend(numbers.iter().skip(there));
            numbers
        };
        let ingresses = numbers(FIRST_INGRESS, plan.ingresses, Span::just(0));
        let trackers = numbers(FIRST_TRACKER, plan.trackers, plan.tracker_joins);
        let hosts = numbers(FIRST_HOST, plan.hosts, plan.host_joins);
        let services = services(plan, &hosts, &mut rng);
        // Their own stream: what they draw moves nothing else.
        let mut measures = Rng::new(!rng.clone().next());
        let Span { low, high } = plan.load_min_ms;
        let load_min = Duration::from_millis(measures.within(low, high));
        let narrow = rng.chance(plan.narrow);
        let mut racking = Rng::new(rng.clone().next().rotate_left(32));
        let mut key = [0; 16];
        key[..8].copy_from_slice(&rng.next().to_be_bytes());
        let clients = plan.tcp_clients.high + plan.udp_clients.high;
        let fixed_views = rng.chance(plan.fixed_views);
        let mut beat = |span: Span| Duration::from_millis(rng.within(span.low, span.high));
        let mut topology = Self {
            hash_key: HashKey::new(key),
            heartbeat: beat(plan.heartbeat_ms),
            host_heartbeat: beat(plan.host_heartbeat_ms),
            load_min,
            narrow,
            tight: narrow || plan.spare_flows < 1_000,
            clients,
            max_pending_bytes: plan.pending_bytes,
            max_untrusted: if narrow { 3 } else { 100_000 },
            max_searches: if narrow { 2 } else { 100_000 },
            cache_idle: Duration::from_secs(rng.within(1, 20)),
            max_cached: if rng.chance(200) { 4 } else { 100_000 },
            max_flows: u32::try_from(plan.spare_flows + clients).unwrap_or(u32::MAX),
            strangers: !fixed_views && rng.chance(500),
            fixed_views,
            dead_host: rng.chance(700).then_some(DEAD_HOST),
            linger: Duration::from_millis(rng.within(plan.linger_ms.low, plan.linger_ms.high)),
            ingresses,
            trackers,
            racks: Racks::default(),
            hosts,
            late,
            services,
        };
        if racking.chance(plan.racks) {
            topology.racks = topology.stand_in_racks(&mut racking);
        }
        topology
    }

    /// Puts trackers in two or three racks; in none if all that are there from the begin would stand in one.
    fn stand_in_racks(&self, rng: &mut Rng) -> Racks {
        let all = [Rack::A, Rack::B, Rack::C];
        let count = 2 + rng.place(2);
        let is_late = |node: &NodeNumber| self.late.contains(node);
        // What is in no file has no failure domain for others.
        let known = self
            .trackers
            .iter()
            .filter(|&node| !(self.strangers && is_late(node)));
        let racks: BTreeMap<_, _> = known.map(|&node| (node, all[rng.place(count)])).collect();
        let at_first = racks.iter().filter(|&(node, _)| !is_late(node));
        let at_first: BTreeSet<_> = at_first.map(|(_, rack)| *rack).collect();
        if at_first.len() > 1 {
            Racks(racks)
        } else {
            Racks::default()
        }
    }

    /// Every node, sorted by number.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeNumber> + '_ {
        let roles = [&self.ingresses, &self.trackers, &self.hosts];
        roles.into_iter().flatten().copied()
    }

    /// What a tracker fails together with.
    pub(crate) fn domain(&self, node: NodeNumber) -> Option<FailureDomain> {
        let rack = self.racks.0.get(&node)?;
        Some(FailureDomain::of(rack.label()))
    }

    /// How many trackers and racks can fail by themselves.
    pub(crate) fn trackers_apart(&self) -> usize {
        let apart = self
            .trackers
            .iter()
            .map(|&node| self.racks.fails_with(node));
        apart.collect::<BTreeSet<_>>().len()
    }

    pub(crate) const fn role(node: NodeNumber) -> Role {
        match node.get() {
            ..FIRST_TRACKER => Role::Ingress,
            FIRST_TRACKER..FIRST_HOST => Role::FlowTracker,
            FIRST_HOST.. => Role::HostAgent,
        }
    }

    /// Nodes have this long to find each other before clients and faults begin.
    pub(crate) fn warm_up(&self) -> Duration {
        (self.host_heartbeat * HEARTBEATS_MISSED * 3).max(Duration::from_secs(3))
    }

    /// The underlay address of a node.
    pub(crate) fn address(node: NodeNumber) -> Ipv4Addr {
        let [high, low] = node.get().to_be_bytes();
        Ipv4Addr::new(172, 16, high, low)
    }

    /// The node with this underlay address.
    pub(crate) fn node_at(address: IpAddr) -> Option<NodeNumber> {
        let IpAddr::V4(address) = address else {
            return None;
        };
        let [_, _, high, low] = address.octets();
        NodeNumber::new(u16::from_be_bytes([high, low]))
    }

    /// Whether these are hosts that pass Offers on to each other.
    fn hunt(&self, a: NodeNumber, b: NodeNumber) -> bool {
        let are_hosts = [a, b].map(|node| Self::role(node) == Role::HostAgent);
        are_hosts == [true; 2] && self.services.iter().any(|service| service.direct_hunt)
    }

    /// Whether nodes of these roles ever send each other anything else.
    pub(crate) fn speak(a: NodeNumber, b: NodeNumber) -> bool {
        let (a, b) = (Self::role(a), Self::role(b));
        a == Role::FlowTracker || b == Role::FlowTracker || a != b
    }

    pub(crate) fn service(&self, number: ServiceNumber) -> Option<&Service> {
        self.services
            .iter()
            .find(|service| service.number == number)
    }

    /// The ends and the key of the flow of client `index`.
    pub(crate) fn flow(index: u32, service: &Service) -> (FlowKey, Ends) {
        let (vip, vip_port) = (service.matching.vip, first_port(service.matching.ports));
        let client = match vip {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(CLIENTS_V4 + index)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(CLIENTS_V6 + u128::from(index))),
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

    /// The number of the client that has this address, if any has.
    pub(crate) fn client_at(address: IpAddr) -> Option<usize> {
        let index = match address {
            IpAddr::V4(v4) => u32::from(v4).checked_sub(CLIENTS_V4)?,
            IpAddr::V6(v6) => u32::try_from(u128::from(v6).checked_sub(CLIENTS_V6)?).ok()?,
        };
        usize::try_from(index).ok().filter(|_| index < MAX_CLIENTS)
    }

    /// Whether any host goes by what its sampler reads.
    pub(crate) fn is_measured(&self) -> bool {
        let services = &self.services;
        services
            .iter()
            .any(|service| admission::is_measured(&service.admission))
    }

    /// Draws what a change of configuration may change.
    pub(crate) fn reconfigure(&mut self, rng: &mut Rng) {
        for service in &mut self.services {
            service.weight = u16::try_from(rng.within(1, 4)).unwrap_or(1);
            if let Some(limit) = &mut service.admission.max_connections {
                *limit = u32::try_from(rng.within(1, 4)).unwrap_or(1);
            }
            if rng.chance(500) {
                let most = service.hosts.len().clamp(1, 16) as u64;
                let ttl = u8::try_from(rng.within(1, most)).unwrap_or(1);
                service.search_ttl = ttl + service.overload_steps;
                service.least_ttl = service.least_ttl.min(service.search_ttl);
                service.most_ttl = service.most_ttl.max(service.search_ttl);
            }
        }
        self.cache_idle = Duration::from_secs(rng.within(1, 20));
    }
}

/// The address of the first client: 10.0.0.0.
const CLIENTS_V4: u32 = 0x0a00_0000;

/// The address of the first client: 2001:db8:1::.
const CLIENTS_V6: u128 = 0x2001_0db8_0001_0000_0000_0000_0000_0000;

const MAX_CLIENTS: u32 = 1 << 24;

const fn first_port(ports: Ports) -> u16 {
    match ports {
        Ports::Any => 80,
        Ports::Range(first, _) => first,
    }
}

/// How long flows wait for a host's report of room: longer than from one to the next.
const QUEUED: Duration = Duration::from_secs(2);

/// What happens to a flow that nobody takes, and how many Offers of its search that may make.
fn overload(limited: bool, hosts: usize, rng: &mut Rng) -> (tracker::Overload, u8) {
    match rng.within(0, 9) {
        // Hosts without a limit are never full.
        _ if !limited => (tracker::Overload::Refuse, 0),
        0..=3 => (tracker::Overload::Refuse, 0),
        4 | 5 => (tracker::Overload::MustAccept, 0),
        6 if hosts > 1 => (tracker::Overload::Pool, 2),
        _ => (tracker::Overload::Queue(QUEUED), 4),
    }
}

/// TCP and UDP on an IPv4 VIP, TCP on an IPv6 VIP.
fn services(plan: &Plan, hosts: &[NodeNumber], rng: &mut Rng) -> Vec<Service> {
    let vip4 = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 80));
    let vip6 = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x80));
    let limited = rng.chance(plan.limited);
    // Their own stream: what they draw moves nothing else.
    let mut measures = Rng::new(!rng.clone().next());
    // A stream of its own: what is drawn for the rest stays what it was.
    let mut hunting = Rng::new(!rng.clone().next());
    let share = (plan.tcp_clients.high / hosts.len().max(1) as u64 / 20).max(1);
    let kinds = [
        (1, vip4, Protocol::Tcp, 80),
        (2, vip4, Protocol::Udp, 53),
        (3, vip6, Protocol::Tcp, 443),
    ];
    let services = kinds
        .into_iter()
        .filter_map(|(number, vip, protocol, port)| {
            let number = ServiceNumber::new(number)?;
            let limit = u32::try_from(rng.within(1, 4) * share).unwrap_or(1);
            let enough = u8::try_from(hosts.len().clamp(1, 16)).unwrap_or(16);
            let ttl = if rng.chance(700) {
                enough
            } else {
                u8::try_from(rng.within(1, u64::from(enough))).unwrap_or(1)
            };
            let policies = tracker::PolicyKind::ALL;
            let nth = usize::try_from(rng.within(0, policies.len() as u64 - 1)).unwrap_or(0);
            let policy = policies.get(nth).map(|&(_, policy)| policy)?;
            let (overload, overload_steps) = overload(limited, hosts.len(), rng);
            let ttl = ttl.min(16 - overload_steps) + overload_steps;
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
                least_ttl: ttl,
                most_ttl: ttl,
                weight: 1,
                policy,
                overload,
                overload_steps,
                admission: if limited {
                    admission::admission(plan, limit, &mut measures)
                } else {
                    host::Admission::default()
                },
                direct_hunt: hunting.chance(plan.hunts) && protocol == Protocol::Tcp,
            })
        });
    services.collect()
}
