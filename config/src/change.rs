//! What of another cluster file a node takes over while it runs.
//!
//! Most settings are live. Those that are not are what a node was built with: its own place in the
//! cluster, what all nodes must have in common at each moment, and the sizes of tables that are made
//! at the start. [`ClusterConfig::fixed_changes`] names them.

use crate::cluster::{ClusterConfig, Node, XdpStrip};
use crate::problem::quoted;
use jlb_protocol::{NodeNumber, Protocol, ServiceNumber};
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

/// The bounds of tables, which are made when a node starts; all other bounds are live.
pub const FIXED_LIMITS: [&str; 8] = [
    "max_flows",
    "max_pending",
    "max_searches",
    "max_who_has",
    "max_queued",
    "max_queued_bytes",
    "max_rejects",
    "max_statements",
];

/// A setting that is different in another file, and that a running node can't take over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FixedChange {
    /// The setting, as the file has it.
    pub setting: String,
    /// What the node runs with.
    pub from: String,
    /// What the other file says.
    pub to: String,
}

impl fmt::Display for FixedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, from, to } = self;
        write!(
            f,
            "{setting} cannot change from {from} to {to} in a node that runs"
        )
    }
}

/// The changes that were found.
#[derive(Default)]
struct Found(Vec<FixedChange>);

impl Found {
    fn compare<T: PartialEq + ToString>(&mut self, setting: impl Into<String>, from: T, to: T) {
        if from != to {
            self.0.push(FixedChange {
                setting: setting.into(),
                from: from.to_string(),
                to: to.to_string(),
            });
        }
    }

    fn own_node(&mut self, from: &Node, to: &Node) {
        let of = |what: &str| format!("`{what}` of this node");
        self.compare(of("number"), from.number, to.number);
        self.compare(of("role"), from.role.as_str(), to.role.as_str());
        self.compare(of("underlay"), underlay(from), underlay(to));
        self.compare(of("admin"), from.admin, to.admin);
        self.compare(of("tun"), from.tun.as_str(), to.tun.as_str());
        self.compare(of("packet_io"), &from.packet_io, &to.packet_io);
        self.compare(of("workers"), from.workers, to.workers);
        let (before, after) = (strip(from), strip(to));
        self.compare(of("xdp_strip"), before.as_str(), after.as_str());
    }
}

/// The protocol, as the file has it.
const fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

fn strip(node: &Node) -> String {
    let strip = node.xdp_strip.as_ref();
    strip.map_or_else(|| "false".to_owned(), XdpStrip::to_string)
}

fn underlay(node: &Node) -> String {
    let addresses: Vec<_> = node.underlay.addresses().map(|it| it.to_string()).collect();
    format!("[{}]", addresses.join(", "))
}

impl ClusterConfig {
    /// The settings that are different in `new` and that the node of this name, which runs with
    /// `self`, can't take over without a restart. With none it takes over the whole file.
    #[must_use]
    pub fn fixed_changes(&self, new: &Self, name: &str) -> Vec<FixedChange> {
        let mut found = Found::default();
        let of_cluster = |what: &str| format!("`{what}` of [cluster]");
        found.compare(of_cluster("name"), self.name.as_str(), new.name.as_str());
        found.compare(
            of_cluster("underlay_mtu"),
            self.underlay_mtu,
            new.underlay_mtu,
        );
        found.compare(of_cluster("port"), self.port, new.port);
        found.compare(
            of_cluster("membership"),
            self.membership.as_str(),
            new.membership.as_str(),
        );
        if self.keys.hash_bytes() != new.keys.hash_bytes() {
            // Secrets are never told.
            found.0.push(FixedChange {
                setting: "`hash` of the key file".into(),
                from: "one secret".into(),
                to: "another".into(),
            });
        }
        for ((limit, from), (_, to)) in self.limits.entries().into_iter().zip(new.limits.entries())
        {
            if FIXED_LIMITS.contains(&limit) {
                found.compare(format!("`{limit}` of [limits]"), from, to);
            }
        }
        match (self.node(name), new.node(name)) {
            (Some(from), Some(to)) => found.own_node(from, to),
            (from, to) => {
                let there = |node: Option<&Node>| node.map_or("not there", |_| "there");
                found.compare(format!("[[node]] {}", quoted(name)), there(from), there(to));
            }
        }
        // The MTU of the TUN device, and what clients were told of it.
        if self.underlay_mtu == new.underlay_mtu && self.max_inner() != new.max_inner() {
            found.compare(
                "the largest inner packet, by the `underlay` of all nodes,",
                self.max_inner(),
                new.max_inner(),
            );
        }
        for from in self.services() {
            let Some(to) = new.service(from.number) else {
                continue;
            };
            // Another service needs another number: hosts and clients may still speak of this one.
            let of = |what: &str| format!("`{what}` of service number {}", from.number);
            found.compare(of("vip"), from.vip, to.vip);
            found.compare(of("protocol"), word(from.protocol), word(to.protocol));
        }
        found.0
    }

    /// The services that a host which runs with `self` leaves by `new`: they are there without it. It
    /// takes no new connections of them, and those that it has go on. `left` are those that it had
    /// left before.
    #[must_use]
    pub fn services_left(
        &self,
        new: &Self,
        host: NodeNumber,
        left: &BTreeSet<ServiceNumber>,
    ) -> BTreeSet<ServiceNumber> {
        let had = self
            .services()
            .iter()
            .filter(|service| service.host(host).is_some() || left.contains(&service.number));
        let without = |number: &ServiceNumber| {
            new.service(*number)
                .is_some_and(|service| service.host(host).is_none())
        };
        had.map(|service| service.number).filter(without).collect()
    }

    /// Every VIP that a host serves or has connections of, once, sorted: those of its services and of
    /// the ones that it has left.
    #[must_use]
    pub fn vips_with(&self, host: NodeNumber, left: &BTreeSet<ServiceNumber>) -> Vec<IpAddr> {
        let its = self
            .services()
            .iter()
            .filter(|service| service.host(host).is_some() || left.contains(&service.number));
        let vips: BTreeSet<IpAddr> = its.map(|service| service.vip).collect();
        vips.into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
