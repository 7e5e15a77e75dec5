//! What membership is told at its start.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;
use jlb_protocol::message::MemberEntry;
use jlb_protocol::view::{FailureDomain, Member};
use jlb_protocol::{MemberState, NodeNumber, Role};

/// Settings, already valid.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node.
    pub node: NodeNumber,
    /// Its role.
    pub role: Role,
    /// This start's incarnation: larger than at every earlier start.
    pub incarnation: u32,
    /// How often ingress nodes and trackers greet each other; 100 ms. Smaller finds nothing sooner
    /// unless the timeout shrinks too; larger leaves fewer tries within the timeout.
    pub heartbeat: Duration,
    /// How long an ingress or a tracker is silent before another of them believes it down; 400 ms.
    /// Too small and lost messages or a busy machine count as death, too large and clients wait. Four
    /// heartbeats at least.
    pub failure_timeout: Duration,
    /// The heartbeat of pairs of which one is a host; 200 ms. There are many hosts.
    pub host_heartbeat: Duration,
    /// The timeout of pairs of which one is a host; 800 ms.
    pub host_timeout: Duration,
    /// The most nodes that are known at a time, this one included (R14).
    pub max_nodes: u32,
    /// The list of the file is all there is, and everybody in it active for ever.
    pub fixed: bool,
}

/// A node and where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// The node.
    pub node: NodeNumber,
    /// Its role.
    pub role: Role,
    /// Its IPv4 underlay address, if it has one.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 underlay address, if it has one.
    pub v6: Option<Ipv6Addr>,
    /// What a tracker fails together with: a file says it, no message does.
    pub domain: Option<FailureDomain>,
}

impl Known {
    /// A node of which one address is known.
    #[must_use]
    pub const fn at(node: NodeNumber, role: Role, address: IpAddr) -> Self {
        let (v4, v6) = match address {
            IpAddr::V4(v4) => (Some(v4), None),
            IpAddr::V6(v6) => (None, Some(v6)),
        };
        Self {
            node,
            role,
            v4,
            v6,
            domain: None,
        }
    }

    pub(crate) const fn of(entry: &MemberEntry) -> Self {
        Self {
            node: entry.member.node,
            role: entry.member.role,
            v4: entry.v4,
            v6: entry.v6,
            domain: None,
        }
    }

    pub(crate) const fn entry(&self, state: MemberState, incarnation: u32) -> MemberEntry {
        MemberEntry {
            member: Member {
                node: self.node,
                role: self.role,
                state,
                incarnation,
                domain: None,
            },
            v4: self.v4,
            v6: self.v6,
        }
    }

    /// Whether one of its addresses is one that a node may have.
    pub(crate) fn is_reachable(&self) -> bool {
        self.v4
            .is_some_and(|v4| !(v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast()))
            || self
                .v6
                .is_some_and(|v6| !(v6.is_unspecified() || v6.is_multicast()))
    }

    /// Whether a node that is met at these addresses, in this role, is the one of a file that says so.
    pub(crate) fn is_met_at(&self, file: &Self) -> bool {
        let (v4, v6) = (self.v4, self.v6);
        self.role == file.role
            && v4.is_none_or(|v4| file.v4 == Some(v4))
            && v6.is_none_or(|v6| file.v6 == Some(v6))
    }

    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => self.v4 == Some(v4),
            IpAddr::V6(v6) => self.v6 == Some(v6),
        }
    }
}

/// Whether nodes of these roles ever send each other anything, so that they need a session and
/// watch each other: a tracker speaks with everybody, others with other roles only.
#[must_use]
pub fn speak(a: Role, b: Role) -> bool {
    a == Role::FlowTracker || b == Role::FlowTracker || a != b
}

#[cfg(test)]
mod tests;
