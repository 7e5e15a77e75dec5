//! Builds the network of the lab: namespaces, links, addresses, routes.
//!
//! The router's kernel does what a hardware router does in front of a real cluster: it spreads
//! each VIP over the ingress nodes by a layer-4 hash, with a resilient group, so that a change
//! of the members moves as few flows as it can.

mod netlink;
mod next_hop;
mod router;

use std::fs;
use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use crate::error::{Doing, LabError, Result};
use crate::netns::Namespace;
use crate::plan::{Addresses, MTU, Node, PREFIX_V4, Plan, Role};
pub(crate) use netlink::Hardware;
use netlink::{Netlink, Peer};
pub use router::{Group, Router};

/// The namespace in which the clients are.
pub const CLIENT: &str = "client";
/// The namespace of the router.
pub const ROUTER: &str = "router";

/// The one interface of every node and of the client.
const INTERFACE: &str = "eth0";
/// The router's bridge to the nodes.
const BRIDGE: &str = "inside";

/// Numbers for [`hardware`], beside those of the nodes.
const ROUTER_INSIDE: u16 = 1;
const CLIENT_NUMBER: u16 = 2;

/// Settings that every namespace gets: addresses are usable at once, nobody listens to
/// advertisements, and queues do not make the kernel send cookies instead of listening.
const EVERYWHERE: &[(&str, &str)] = &[
    ("net/ipv6/conf/all/disable_ipv6", "0"),
    ("net/ipv6/conf/default/disable_ipv6", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_ra", "0"),
    ("net/ipv6/conf/default/router_solicitations", "0"),
    ("net/core/somaxconn", "65535"),
    ("net/ipv4/tcp_max_syn_backlog", "65535"),
];

const ON_THE_ROUTER: &[(&str, &str)] = &[
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/ipv4/fib_multipath_hash_policy", "1"),
    ("net/ipv6/fib_multipath_hash_policy", "1"),
    // Before an interface exists, `default` is what it will have.
    ("net/ipv4/conf/all/send_redirects", "0"),
    ("net/ipv4/conf/default/send_redirects", "0"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    // A lab is not a place for saving on errors: each too-big packet gets its answer.
    ("net/ipv4/icmp_ratelimit", "0"),
    ("net/ipv6/icmp/ratelimit", "0"),
];

const ON_THE_CLIENT: &[(&str, &str)] = &[
    ("net/ipv4/tcp_tw_reuse", "1"),
    ("net/ipv4/ip_local_port_range", "1024 65535"),
];

/// Builds everything that `plan` names, spare nodes included; the router spreads the VIPs over the
/// ingress nodes that are none. What a failure leaves behind has the lab's prefix.
///
/// # Errors
/// Which step failed, and what the kernel lacks where that is known.
pub fn build(plan: &Plan) -> Result<Router> {
    let router = make_namespace(plan, ROUTER)?;
    let client = make_namespace(plan, CLIENT)?;
    router.run(|| {
        settings(ON_THE_ROUTER)?;
        bridge_only();
        Ok(())
    })?;
    client.run(|| {
        settings(ON_THE_CLIENT)?;
        keep_the_path();
        Ok(())
    })?;

    let mut kernel = router.run(|| {
        let mut kernel = Netlink::open()?;
        kernel.up("lo")?;
        kernel.add_bridge(BRIDGE, MTU, hardware(ROUTER_INSIDE))?;
        for (address, prefix) in Plan::router_inside().with_prefixes() {
            kernel.add_address(BRIDGE, address, prefix)?;
        }
        Ok(kernel)
    })?;
    let bridge = kernel.index(BRIDGE)?;

    attach(&mut kernel, CLIENT, None, &client, CLIENT_NUMBER)?;
    for (address, prefix) in Plan::router_outside().with_prefixes() {
        kernel.add_address(CLIENT, address, prefix)?;
    }
    equip(&client, Plan::client(), Plan::router_outside())?;

    for node in plan.all() {
        let namespace = make_namespace(plan, &node.name)?;
        attach(
            &mut kernel,
            &node.name,
            Some(bridge),
            &namespace,
            node.number,
        )?;
        equip(
            &namespace,
            [node.addresses].into_iter(),
            Plan::router_inside(),
        )?;
        introduce(&namespace, plan, node)?;
        for (address, _) in node.addresses.with_prefixes() {
            kernel.add_neighbour(BRIDGE, address, hardware(node.number))?;
        }
    }
    Router::new(kernel, plan, bridge)
}

fn make_namespace(plan: &Plan, name: &str) -> Result<Namespace> {
    let namespace = Namespace::create(&plan.namespace(name))?;
    namespace.run(|| settings(EVERYWHERE))?;
    Ok(namespace)
}

/// Lays a cable from the router to `namespace`.
fn attach(
    kernel: &mut Netlink,
    name: &str,
    bridge: Option<u32>,
    namespace: &Namespace,
    number: u16,
) -> Result<()> {
    let path = namespace.path();
    let file = File::open(&path).doing(format_args!("open {}", path.display()))?;
    let peer = Peer {
        name: INTERFACE,
        hardware: hardware(number),
        namespace: file.as_raw_fd(),
    };
    kernel.add_veth(name, MTU, bridge, &peer)
}

/// Tells a node the hardware addresses of those that it talks to. The kernel has one table of
/// neighbours for all namespaces together, by default for 1,024 that were asked for: a large lab
/// would fill it. Those that are written down do not count.
fn introduce(namespace: &Namespace, plan: &Plan, node: &Node) -> Result<()> {
    namespace.run(|| {
        let mut kernel = Netlink::open()?;
        for (address, _) in Plan::router_inside().with_prefixes() {
            kernel.add_neighbour(INTERFACE, address, hardware(ROUTER_INSIDE))?;
        }
        for peer in plan.all().filter(|peer| speak(node.role, peer.role)) {
            let address: IpAddr = if plan.ipv6_underlay {
                peer.addresses.v6.into()
            } else {
                peer.addresses.v4.into()
            };
            if peer.number != node.number {
                kernel.add_neighbour(INTERFACE, address, hardware(peer.number))?;
            }
        }
        Ok(())
    })
}

/// Whether nodes of these roles talk to each other.
fn speak(one: Role, other: Role) -> bool {
    one != other || one == Role::Tracker
}

/// The hardware address of the interface of a node, or of another one by a number that no node
/// has: locally administered.
pub(crate) fn hardware(number: u16) -> Hardware {
    let [high, low] = number.to_be_bytes();
    [0x02, 0x6a, 0x6c, 0x62, high, low]
}

/// Gives a namespace a virtual address of its own, on its loopback.
///
/// # Errors
/// What the kernel refused.
pub(crate) fn add_virtual_address(namespace: &Namespace, address: IpAddr) -> Result<()> {
    let prefix = if address.is_ipv4() { 32 } else { 128 };
    namespace.run(|| Netlink::open()?.add_address("lo", address, prefix))
}

/// Gives the client more addresses.
///
/// # Errors
/// What the kernel refused.
pub(crate) fn add_client_addresses(
    namespace: &Namespace,
    addresses: impl Iterator<Item = IpAddr> + Send,
) -> Result<()> {
    namespace.run(|| {
        let mut kernel = Netlink::open()?;
        for address in addresses {
            kernel.add_address(INTERFACE, address, PREFIX_V4)?;
        }
        Ok(())
    })
}

/// Has a namespace send what is for a prefix through another gateway than the rest.
///
/// # Errors
/// What the kernel refused.
pub(crate) fn add_route(
    namespace: &Namespace,
    to: IpAddr,
    prefix: u8,
    gateway: IpAddr,
) -> Result<()> {
    namespace.run(|| Netlink::open()?.add_route(to, prefix, gateway))
}

/// Writes sysctls of a namespace.
///
/// # Errors
/// Which of them cannot be written.
pub(crate) fn set(namespace: &Namespace, wanted: &[(&str, &str)]) -> Result<()> {
    namespace.run(|| settings(wanted))
}

/// Addresses and the default route of a namespace with one interface.
fn equip(
    namespace: &Namespace,
    addresses: impl Iterator<Item = Addresses> + Send,
    gateway: Addresses,
) -> Result<()> {
    namespace.run(|| {
        let mut kernel = Netlink::open()?;
        kernel.up("lo")?;
        kernel.up(INTERFACE)?;
        for (address, prefix) in addresses.flat_map(Addresses::with_prefixes) {
            kernel.add_address(INTERFACE, address, prefix)?;
        }
        kernel.add_default_route(gateway.v4.into())?;
        kernel.add_default_route(gateway.v6.into())
    })
}

/// Keeps a retransmitted packet on its ingress. Through veth the router's ECMP sees the hash of the
/// client's socket, which the kernel otherwise changes with each timeout; on a wire it would not.
fn keep_the_path() {
    // Not there before Linux 5.18; flows then move now and then, which they survive.
    let _ = fs::write("/proc/sys/net/core/txrehash", "0");
}

/// Has the bridge pass frames as a switch does, without asking the packet filter of IP about them.
fn bridge_only() {
    for family in ["iptables", "ip6tables", "arptables"] {
        // Not there unless br_netfilter is loaded, and then there is nothing to turn off.
        let _ = fs::write(format!("/proc/sys/net/bridge/bridge-nf-call-{family}"), "0");
    }
}

/// Writes sysctls of the namespace that the calling thread is in.
///
/// # Errors
/// Which of them cannot be written.
pub(crate) fn settings(wanted: &[(&str, &str)]) -> Result<()> {
    for (name, value) in wanted {
        let path = format!("/proc/sys/{name}");
        fs::write(&path, value).map_err(|error| {
            let lab = LabError::new(format!("cannot set {path} to {value}: {error}"));
            match error.kind() {
                std::io::ErrorKind::NotFound if name.starts_with("net/ipv6") => {
                    lab.mend("the lab needs a kernel with IPv6 (no ipv6.disable=1)")
                }
                std::io::ErrorKind::ReadOnlyFilesystem => {
                    lab.mend("/proc/sys must be writable (in a container: run it privileged)")
                }
                _ => lab,
            }
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
