//! The cluster as its file describes it, valid and typed.

use crate::health::HealthCheck;
use crate::keys::Keys;
use crate::limits::Limits;
use crate::overhead;
use crate::timers::Timers;
use jlb_flow_tracker::config::{Overload, PolicyKind};
use jlb_protocol::services::{Ports, ServiceMatch};
use jlb_protocol::view::{FailureDomain, Member, MemberState};
use jlb_protocol::{NodeNumber, Protocol, Role, ServiceNumber, View};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The port of a node's metrics and health where the file names none.
pub const ADMIN_PORT: u16 = 9600;

/// A node's addresses towards other nodes: at least one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Underlay {
    /// Its IPv4 address; preferred where both ends have one.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub v6: Option<Ipv6Addr>,
}

impl Underlay {
    /// The addresses, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let v4 = self.v4.map(IpAddr::V4);
        v4.into_iter().chain(self.v6.map(IpAddr::V6))
    }
}

/// How much a node logs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogLevel {
    /// What makes the node unable to serve.
    Error,
    /// What an operator should look at.
    Warn,
    /// Starts, stops and changes.
    Info,
    /// What helps to find a fault.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The level's name, as in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Who belongs to the cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Membership {
    /// The nodes of the file, each taken for alive.
    Static,
    /// Who answers: nodes of the file, and those that they or others tell of.
    Dynamic,
}

impl Membership {
    /// The word in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Dynamic => "dynamic",
        }
    }
}

/// How an ingress takes packets of clients.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum PacketIo {
    /// From its TUN device.
    #[default]
    Tun,
    /// From `AF_XDP` sockets; what these can't take comes from the TUN device.
    AfXdp {
        /// The interfaces, 1 to 8, each once.
        interfaces: Vec<String>,
        /// Whether interfaces are used whose driver has no XDP.
        generic: bool,
    },
}

impl std::fmt::Display for PacketIo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tun => f.write_str("tun"),
            Self::AfXdp {
                interfaces,
                generic,
            } => {
                let how = if *generic { ", generic too" } else { "" };
                write!(f, "af_xdp on {}{how}", interfaces.join(", "))
            }
        }
    }
}

/// Interfaces in front of which a host has the kernel decapsulate packets of established connections.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct XdpStrip {
    /// The interfaces, 1 to 8, each once.
    pub interfaces: Vec<String>,
    /// Whether interfaces are used whose driver has no XDP.
    pub generic: bool,
}

impl std::fmt::Display for XdpStrip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let how = if self.generic { ", generic too" } else { "" };
        write!(f, "on {}{how}", self.interfaces.join(", "))
    }
}

/// The most threads that an ingress moves packets with.
pub const MAX_WORKERS: u8 = 16;

/// One `[[node]]`. Number, name, role and underlay are cluster-wide, and fingerprinted where
/// membership is static; the rest concerns the node alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Its number.
    pub number: NodeNumber,
    /// Its name, unique: what `--name` takes.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Its addresses towards other nodes.
    pub underlay: Underlay,
    /// Where it serves metrics and health (per node).
    pub admin: SocketAddr,
    /// The name of its TUN device, at most 15 bytes (per node).
    pub tun: String,
    /// How it takes packets of clients (per node).
    pub packet_io: PacketIo,
    /// Where a host has the kernel decapsulate, if it does (per node).
    pub xdp_strip: Option<XdpStrip>,
    /// Threads that an ingress moves packets with, 1 to [`MAX_WORKERS`] (per node).
    pub workers: u8,
    /// What a tracker fails together with: a label such as of its machine or rack, cluster-wide.
    pub failure_domain: Option<String>,
    /// How much it logs (per node).
    pub log: LogLevel,
    /// Whether it gets nothing new, cluster-wide.
    pub drain: bool,
    /// How long its connections may go on once it drains, or a service of it; `None` for ever (per
    /// node).
    pub drain_timeout: Option<Duration>,
}

impl Node {
    /// What it fails together with.
    #[must_use]
    pub fn domain(&self) -> Option<FailureDomain> {
        self.failure_domain.as_deref().map(FailureDomain::of)
    }
}

/// A host of a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServiceHost {
    /// The host agent.
    pub node: NodeNumber,
    /// Its share relative to the other hosts, 1 to 65,535; 0 drains it of this service.
    pub weight: u16,
    /// Connections of the service that it takes at once; `None` for no limit.
    pub max_connections: Option<u32>,
    /// Whether it is asked only when the others do not take a connection (`overflow`).
    pub overflow: bool,
}

/// What a host looks at before it takes a connection, besides its limit: any of these that is set says
/// no for all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Admission {
    /// Fewer connections than this that the server has not accepted yet.
    pub accept_queue: Option<u32>,
    /// A lower load than this by the server's own word, 1 to 100.
    pub load_percent: Option<u8>,
    /// A smaller share of the processors' time than this, 1 to 100.
    pub cpu_percent: Option<u8>,
    /// A smaller share of the memory in use than this, 1 to 100.
    pub memory_percent: Option<u8>,
    /// As many connections as the server answers its health check within this.
    pub latency: Option<Duration>,
    /// A limit of connections that moves so that about half of the offers are taken.
    pub adaptive: bool,
}

/// One `[[service]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// Its number.
    pub number: ServiceNumber,
    /// Its name, unique.
    pub name: String,
    /// The virtual address.
    pub vip: IpAddr,
    /// The protocol.
    pub protocol: Protocol,
    /// The ports; no other service of the VIP and protocol has one of them.
    pub ports: Ports,
    /// Its hosts in the file's order, none twice; those of the file where it has any host.
    pub hosts: Vec<ServiceHost>,
    /// Whether every host agent of the cluster is one of its hosts.
    pub any_host: bool,
    /// Connections that a host without a limit of its own takes at once; `None` for no limit.
    pub max_connections: Option<u32>,
    /// How a host is chosen.
    pub policy: PolicyKind,
    /// A policy that is asked beside it, without effect.
    pub shadow_policy: Option<PolicyKind>,
    /// Offers that a search may make before the overload policy decides, 1 to 16 (R6).
    pub search_ttl: u8,
    /// Whether a host that rejects passes the Offer straight to the next candidate (R6).
    pub direct_hunt: bool,
    /// What happens when no host takes a flow (R6).
    pub overload: Overload,
    /// What its hosts look at before they take a connection.
    pub admission: Admission,
    /// How its hosts check that their server answers; `None` if they don't.
    pub health: Option<HealthCheck>,
    /// If more of its hosts' weight than this is unhealthy, health is ignored; 0 to 100.
    pub max_unhealthy_percent: u8,
    /// A host whose connections last less than this part of what the other hosts' do is not taken for idle; 0 to 100,
    /// 0 for never.
    pub min_life_percent: u8,
    /// How long a host that is new, back or well again takes to its whole weight; `None` for at once.
    pub slow_start: Option<Duration>,
}

/// [`Service::min_life_percent`] where the file says nothing.
pub(crate) const DEFAULT_MIN_LIFE_PERCENT: u8 = 15;

/// Overflow hosts that one search asks at most.
const OVERFLOW_OFFERS: u8 = 2;

/// How often one connection that waits is offered to a host with room at most: another tracker may have
/// been faster.
const QUEUE_OFFERS: u8 = 8;

impl Service {
    /// Offers that the overload policy may make, beyond those of the search (R6).
    #[must_use]
    pub const fn overload_steps(&self) -> u8 {
        overload_steps(self.overload)
    }

    /// All Offers that may be made for one connection.
    #[must_use]
    pub const fn all_steps(&self) -> u8 {
        self.search_ttl.saturating_add(self.overload_steps())
    }

    /// The service as its packets are matched.
    #[must_use]
    pub fn matching(&self) -> ServiceMatch {
        ServiceMatch {
            service: self.number,
            vip: self.vip,
            protocol: self.protocol,
            ports: self.ports,
        }
    }

    /// The host with this node number.
    #[must_use]
    pub fn host(&self, node: NodeNumber) -> Option<&ServiceHost> {
        self.hosts.iter().find(|host| host.node == node)
    }
}

/// Offers that an overload policy may make, beyond those of the search (R6).
pub(crate) const fn overload_steps(overload: Overload) -> u8 {
    match overload {
        Overload::Refuse | Overload::MustAccept => 0,
        Overload::Pool => OVERFLOW_OFFERS,
        Overload::Queue(_) => QUEUE_OFFERS,
    }
}

/// Where a node is reached, as its peers need it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerAddress {
    /// The node.
    pub node: NodeNumber,
    /// What it does.
    pub role: Role,
    /// Its IPv4 address; preferred where both ends have one.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub v6: Option<Ipv6Addr>,
}

/// A whole cluster, valid: what every node starts from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterConfig {
    /// The cluster's name.
    pub name: String,
    /// Where the keys come from: the file's `key_file`, relative to the file's own directory.
    pub key_file: PathBuf,
    /// The secrets that all nodes share.
    pub keys: Keys,
    /// The MTU between nodes, in bytes.
    pub underlay_mtu: u16,
    /// The UDP port of all nodes.
    pub port: u16,
    /// Bounds of every node.
    pub limits: Limits,
    /// Time spans of every node.
    pub timers: Timers,
    /// Who belongs to the cluster.
    pub membership: Membership,
    pub(crate) nodes: Vec<Node>,
    pub(crate) services: Vec<Service>,
}

impl ClusterConfig {
    /// All nodes, sorted by number.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node of this name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The node of this number.
    #[must_use]
    pub fn node_numbered(&self, number: NodeNumber) -> Option<&Node> {
        let at = self
            .nodes
            .binary_search_by_key(&number, |node| node.number)
            .ok()?;
        self.nodes.get(at)
    }

    /// All services, sorted by number.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The service of this number.
    #[must_use]
    pub fn service(&self, number: ServiceNumber) -> Option<&Service> {
        let services = &self.services;
        let at = services.binary_search_by_key(&number, |service| service.number);
        services.get(at.ok()?)
    }

    /// All services as their packets are matched, sorted by number.
    #[must_use]
    pub fn service_matches(&self) -> Vec<ServiceMatch> {
        self.services.iter().map(Service::matching).collect()
    }

    /// Every VIP once, sorted.
    #[must_use]
    pub fn vips(&self) -> Vec<IpAddr> {
        sorted(self.services.iter().map(|service| service.vip).collect())
    }

    /// Every VIP of a service that has this host, once, sorted.
    #[must_use]
    pub fn vips_of(&self, host: NodeNumber) -> Vec<IpAddr> {
        let its = self.services.iter().filter(|it| it.host(host).is_some());
        sorted(its.map(|service| service.vip).collect())
    }

    /// The view of a static cluster: every node of the file, active.
    #[must_use]
    pub fn view(&self) -> View {
        let members = self.nodes.iter().map(|node| Member {
            node: node.number,
            role: node.role,
            state: MemberState::Active,
            incarnation: 0,
            domain: node.domain(),
        });
        View::new(members.collect())
    }

    /// Where every node is reached, sorted by number.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerAddress> {
        let peers = self.nodes.iter().map(|node| PeerAddress {
            node: node.number,
            role: node.role,
            v4: node.underlay.v4,
            v6: node.underlay.v6,
        });
        peers.collect()
    }

    /// Whether some pair of nodes that talk has only IPv6 in common.
    #[must_use]
    pub fn ipv6_underlay(&self) -> bool {
        overhead::pairs(&self.nodes).any(|(a, b)| overhead::path(a, b) == Some(overhead::Path::V6))
    }

    /// The largest inner packet in bytes that every path carries: the MTU of TUN devices.
    #[must_use]
    pub fn max_inner(&self) -> u16 {
        overhead::max_inner(self.underlay_mtu, self.ipv6_underlay())
    }

    /// The largest TCP segment in bytes that fits [`Self::max_inner`]: less 20 bytes of TCP
    /// header and 20 (IPv4) or 40 (IPv6) of IP header.
    #[must_use]
    pub fn mss(&self, ipv6: bool) -> u16 {
        self.max_inner().saturating_sub(if ipv6 { 60 } else { 40 })
    }
}

fn sorted(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

#[cfg(test)]
mod tests;
