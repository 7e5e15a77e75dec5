//! The router's say over which ingress node gets which packets of the VIPs.

use std::net::{IpAddr, Ipv4Addr};

use super::BRIDGE;
use super::netlink::Netlink;
use super::next_hop::{NextHopMessage, Resilience};
use crate::error::{LabError, Result};
use crate::plan::{Node, Plan, Role, VIP_V4, VIP_V6};

/// Next hops are numbered: base of the family plus the node's number.
const HOPS_V4: u32 = 4_000;
const HOPS_V6: u32 = 6_000;
/// Groups of further virtual addresses are numbered after this.
const MORE_GROUPS: u32 = 100;

const RESILIENCE: Resilience = Resilience {
    buckets: 512,
    idle_seconds: 1,
    unbalanced_seconds: 0,
};

/// What becomes of flows when the members change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Those of a member that goes move, and no others; a member that comes gets idle ones only.
    Resilient,
    /// The space of hashes is cut anew: flows move between members that stay, too.
    Plain,
}

impl Group {
    /// The number of the group in the kernel, by family: a group can't change its kind.
    fn number(self, ipv4: bool) -> u32 {
        match (self, ipv4) {
            (Group::Resilient, true) => 4,
            (Group::Resilient, false) => 6,
            (Group::Plain, true) => 14,
            (Group::Plain, false) => 16,
        }
    }
}

/// A connection to the router's kernel.
pub struct Router {
    kernel: Netlink,
    group: Group,
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router")
            .field("group", &self.group)
            .finish()
    }
}

impl Router {
    /// Makes a next hop of each ingress node, spare ones included, and routes the VIPs to those
    /// that are none, as a resilient group.
    pub(super) fn new(mut kernel: Netlink, plan: &Plan, bridge: u32) -> Result<Self> {
        for node in plan.all().filter(|node| node.role == Role::Ingress) {
            let number = u32::from(node.number);
            let v4 = NextHopMessage::gateway(HOPS_V4 + number, node.addresses.v4.into(), bridge);
            let v6 = NextHopMessage::gateway(HOPS_V6 + number, node.addresses.v6.into(), bridge);
            kernel.set_next_hop(v4).map_err(needs_next_hops)?;
            kernel.set_next_hop(v6).map_err(needs_next_hops)?;
        }
        let mut router = Self {
            kernel,
            group: Group::Resilient,
        };
        let members: Vec<&Node> = plan.of(Role::Ingress).collect();
        router.spread(Group::Resilient, &members)?;
        Ok(router)
    }

    /// Routes the VIPs to these ingress nodes. Without any, what was stays: a router that hears of
    /// no next hop has nowhere better to send packets to.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn spread(&mut self, group: Group, members: &[&Node]) -> Result<()> {
        if members.is_empty() {
            return Ok(());
        }
        for (vip, hops) in [(IpAddr::from(VIP_V4), HOPS_V4), (VIP_V6.into(), HOPS_V6)] {
            let members: Vec<u32> = members
                .iter()
                .map(|node| hops + u32::from(node.number))
                .collect();
            let number = group.number(vip.is_ipv4());
            let message = match group {
                Group::Resilient => NextHopMessage::resilient_group(number, &members, RESILIENCE),
                Group::Plain => NextHopMessage::plain_group(number, &members),
            };
            self.kernel.set_next_hop(message).map_err(needs_next_hops)?;
            self.kernel.set_host_route(vip, number)?;
        }
        self.group = group;
        Ok(())
    }

    /// Routes one more virtual address of IPv4, the `number`th, over nodes of any kind, as a resilient group.
    ///
    /// # Errors
    /// What the kernel refused.
    pub(crate) fn serve(&mut self, vip: Ipv4Addr, number: u32, nodes: &[&Node]) -> Result<()> {
        let bridge = self.kernel.index(BRIDGE)?;
        let mut members = Vec::new();
        for node in nodes {
            let hop = HOPS_V4 + u32::from(node.number);
            let gateway = node.addresses.v4.into();
            // One that is there already is the same.
            self.kernel
                .set_next_hop(NextHopMessage::gateway(hop, gateway, bridge))
                .map_err(needs_next_hops)?;
            members.push(hop);
        }
        let group = MORE_GROUPS + number;
        let message = NextHopMessage::resilient_group(group, &members, RESILIENCE);
        self.kernel.set_next_hop(message).map_err(needs_next_hops)?;
        self.kernel.set_host_route(vip.into(), group)
    }

    /// Writes down for good where these addresses of the client are.
    ///
    /// # Errors
    /// What the kernel refused.
    pub(crate) fn know_client(&mut self, addresses: &[Ipv4Addr]) -> Result<()> {
        let hardware = super::hardware(super::CLIENT_NUMBER);
        addresses.iter().try_for_each(|&address| {
            self.kernel
                .add_neighbour(super::CLIENT, address.into(), hardware)
        })
    }

    /// Pulls a node's cable out, or puts it back.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn connect(&mut self, node: &Node, connected: bool) -> Result<()> {
        // Ports of the bridge have the names of their nodes.
        self.kernel.set_up(&node.name, connected)
    }

    /// What kind of group routes the VIPs now.
    pub fn group(&self) -> Group {
        self.group
    }
}

fn needs_next_hops(error: LabError) -> LabError {
    error.mend("the router of the lab needs Linux 5.13 or newer (resilient next-hop groups)")
}
