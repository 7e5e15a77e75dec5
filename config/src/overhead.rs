//! Which path two nodes take to each other, and what encapsulation leaves of its MTU.

use crate::cluster::{Node, Underlay};
use jlb_protocol::Role;
use jlb_protocol::buffer::MAX_PACKET;
use jlb_protocol::wire::data_overhead;

/// The IP version of the path between two nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Path {
    /// Both have an IPv4 address.
    V4,
    /// Both have an IPv6 address, but not both an IPv4 address.
    V6,
}

/// The path between two nodes; `None` if they share no address family.
pub(crate) fn path(a: &Node, b: &Node) -> Option<Path> {
    let both = |has: fn(&Underlay) -> bool| has(&a.underlay) && has(&b.underlay);
    if both(|underlay| underlay.v4.is_some()) {
        Some(Path::V4)
    } else if both(|underlay| underlay.v6.is_some()) {
        Some(Path::V6)
    } else {
        None
    }
}

/// Whether nodes of these roles send messages to each other. Ingress nodes have nothing to say
/// to each other, and neither have hosts.
fn talk(a: Role, b: Role) -> bool {
    match (a, b) {
        (Role::Ingress, Role::Ingress) | (Role::HostAgent, Role::HostAgent) => false,
        (Role::Ingress | Role::HostAgent | Role::FlowTracker, _) => true,
    }
}

/// Pairs of nodes that talk, one for each combination of roles and address families: nine groups
/// of nodes stand for any number of them.
pub(crate) fn pairs(nodes: &[Node]) -> impl Iterator<Item = (&Node, &Node)> {
    let mut first_of_kind: Vec<&Node> = Vec::new();
    let mut second_of_kind: Vec<&Node> = Vec::new();
    for node in nodes {
        let same = |other: &&Node| kind(other) == kind(node);
        if !first_of_kind.iter().any(same) {
            first_of_kind.push(node);
        } else if !second_of_kind.iter().any(same) {
            // A second one of a kind, for the pairs within a kind.
            second_of_kind.push(node);
        }
    }
    let mut pairs = Vec::new();
    for (at, &a) in first_of_kind.iter().enumerate() {
        let others = first_of_kind.iter().skip(at + 1);
        let alike = second_of_kind.iter().filter(|other| kind(other) == kind(a));
        for &b in others.chain(alike) {
            if talk(a.role, b.role) {
                pairs.push((a, b));
            }
        }
    }
    pairs.into_iter()
}

fn kind(node: &Node) -> (Role, bool, bool) {
    let Underlay { v4, v6 } = node.underlay;
    (node.role, v4.is_some(), v6.is_some())
}

/// The largest inner packet in bytes: the MTU less all headers, and what a packet buffer holds.
pub(crate) fn max_inner(underlay_mtu: u16, ipv6_underlay: bool) -> u16 {
    let left = usize::from(underlay_mtu).saturating_sub(data_overhead(ipv6_underlay));
    u16::try_from(left.min(MAX_PACKET)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;
