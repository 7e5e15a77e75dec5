//! Who is in the lab and under which names and addresses. Nothing here touches the machine.
//!
//! ```text
//!   client ── 198.51.100.0/24 ── router ── bridge, 10.77.0.0/24 ──┬─ ingress-1, ingress-2 ...
//!             2001:db8:c::/64             fd77::/64               ├─ tracker-1 ...
//!                                                                 └─ host-1 ...
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// The most nodes of one kind: what the inside addresses leave room for.
pub const MAX_NODES_OF_A_KIND: u16 = 32;

/// The virtual addresses; no interface of the router or of an ingress has them.
pub const VIP_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// See [`VIP_V4`].
pub const VIP_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x203, 0x113, 0, 0, 0, 10);

/// The port where every node answers `/metrics` and `/healthz`.
pub const ADMIN_PORT: u16 = jlb_config::cluster::ADMIN_PORT;

/// How many source addresses the client has, of each family.
pub const CLIENT_ADDRESSES: u8 = 8;

/// The largest packet on every link of the lab, in bytes.
pub const MTU: u32 = 1500;

/// Prefix lengths of the client segment and of the inside, by family.
pub const PREFIX_V4: u8 = 24;
/// See [`PREFIX_V4`].
pub const PREFIX_V6: u8 = 64;

/// What a node of the lab is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Takes the client's packets from the router.
    Ingress,
    /// Holds the records of flows.
    Tracker,
    /// A web server with its agent.
    Host,
}

impl Role {
    /// The subcommand of `jlb` that runs it, also its `role` in the cluster file.
    pub fn subcommand(self) -> &'static str {
        match self {
            Role::Ingress => "ingress",
            Role::Tracker => "flow-tracker",
            Role::Host => "host-agent",
        }
    }

    /// First part of the node's name.
    pub fn short(self) -> &'static str {
        match self {
            Role::Ingress => "ingress",
            Role::Tracker => "tracker",
            Role::Host => "host",
        }
    }

    /// Nodes of a kind have consecutive numbers after this one, which are also the last byte of
    /// their addresses.
    fn base(self) -> u16 {
        match self {
            Role::Ingress => 10,
            Role::Tracker => 60,
            Role::Host => 110,
        }
    }
}

/// The addresses of one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The IPv4 address.
    pub v4: Ipv4Addr,
    /// The IPv6 address.
    pub v6: Ipv6Addr,
}

impl Addresses {
    fn inside(last: u16) -> Self {
        // At most 110 + MAX_NODES_OF_A_KIND, so the byte is not cut.
        let byte = u8::try_from(last).unwrap_or(u8::MAX);
        Self {
            v4: Ipv4Addr::new(10, 77, 0, byte),
            v6: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, last),
        }
    }

    fn outside(last: u8) -> Self {
        Self {
            v4: Ipv4Addr::new(198, 51, 100, last),
            v6: Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, u16::from(last)),
        }
    }

    /// Both, with the lengths of the lab's prefixes.
    pub fn with_prefixes(self) -> [(IpAddr, u8); 2] {
        [(self.v4.into(), PREFIX_V4), (self.v6.into(), PREFIX_V6)]
    }
}

/// One node.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub role: Role,
    /// Its name in the cluster file, as a port of the bridge and at the end of its namespace's.
    pub name: String,
    /// Its number in the cluster file.
    pub number: u16,
    /// Where it is on the inside network.
    pub addresses: Addresses,
}

/// How many nodes of each kind.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Ingress nodes.
    pub ingress: u16,
    /// Flow trackers.
    pub trackers: u16,
    /// Hosts.
    pub hosts: u16,
}

/// A lab, before it is built.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Tells this lab from others: lowercase letters and digits.
    pub id: String,
    /// Ingress nodes, then trackers, then hosts.
    pub nodes: Vec<Node>,
    /// Nodes for which there is a place, but which are not started with the others and which the
    /// others' cluster file does not have.
    pub spares: Vec<Node>,
    /// Whether nodes talk to each other over IPv6.
    pub ipv6_underlay: bool,
}

impl Plan {
    /// Lays a lab out. `counts` are at most [`MAX_NODES_OF_A_KIND`] each.
    pub fn new(id: String, counts: Counts, ipv6_underlay: bool) -> Self {
        let none = Counts {
            ingress: 0,
            trackers: 0,
            hosts: 0,
        };
        Self {
            id,
            nodes: lay_out(none, counts),
            spares: Vec::new(),
            ipv6_underlay,
        }
    }

    /// Makes room for so many more nodes of each kind, numbered after those that there are.
    #[must_use]
    pub fn with_spares(mut self, counts: Counts) -> Self {
        let of = |role| u16::try_from(self.of(role).count()).unwrap_or(MAX_NODES_OF_A_KIND);
        let there = Counts {
            ingress: of(Role::Ingress),
            trackers: of(Role::Tracker),
            hosts: of(Role::Host),
        };
        self.spares = lay_out(there, counts);
        self
    }

    /// All nodes, those that are not started with the others included.
    pub fn all(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().chain(&self.spares)
    }

    /// The nodes of one kind.
    pub fn of(&self, role: Role) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |node| node.role == role)
    }

    /// The node of that name, started with the others or not.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.all().find(|node| node.name == name)
    }

    /// What every namespace of lab `id` begins with.
    pub fn prefix_of(id: &str) -> String {
        format!("jlb-{id}-")
    }

    /// The namespace of a node, of `client` or of `router`.
    pub fn namespace(&self, name: &str) -> String {
        format!("{}{name}", Self::prefix_of(&self.id))
    }

    /// Where lab `id` has its configuration, logs and served files.
    pub fn directory_of(id: &str) -> PathBuf {
        std::env::temp_dir().join(format!("jlb-lab-{id}"))
    }

    /// See [`Plan::directory_of`].
    pub fn directory(&self) -> PathBuf {
        Self::directory_of(&self.id)
    }

    /// The router on the inside network: everybody's default route.
    pub fn router_inside() -> Addresses {
        Addresses::inside(1)
    }

    /// The router on the client segment.
    pub fn router_outside() -> Addresses {
        Addresses::outside(1)
    }

    /// The virtual addresses.
    pub fn vips() -> [IpAddr; 2] {
        [VIP_V4.into(), VIP_V6.into()]
    }

    /// The client's addresses.
    pub fn client() -> impl Iterator<Item = Addresses> {
        (0..CLIENT_ADDRESSES).map(|i| Addresses::outside(10 + i))
    }

    /// Where a node's process tells how it is.
    pub fn admin(node: &Node) -> std::net::SocketAddr {
        (node.addresses.v4, ADMIN_PORT).into()
    }
}

/// So many nodes of each kind as `counts` says, after those that are `there`.
fn lay_out(there: Counts, counts: Counts) -> Vec<Node> {
    let kinds = [
        (Role::Ingress, there.ingress, counts.ingress),
        (Role::Tracker, there.trackers, counts.trackers),
        (Role::Host, there.hosts, counts.hosts),
    ];
    kinds
        .into_iter()
        .flat_map(|(role, there, count)| {
            let last = there.saturating_add(count).min(MAX_NODES_OF_A_KIND);
            (there + 1..=last).map(move |i| (role, i))
        })
        .map(|(role, i)| Node {
            role,
            name: format!("{}-{i}", role.short()),
            number: role.base() + i,
            addresses: Addresses::inside(role.base() + i),
        })
        .collect()
}

#[cfg(test)]
mod tests;
