//! What a host needs of its kernel: the VIPs as its own addresses, and smaller segments.
//!
//! The VIPs are on a TUN device of their own, the one that the agent delivers packets through.
//! There they are easy to see and go away together, and a device that speaks no ARP never asks or
//! answers for them; on `lo` they would mix with what an operator has put there.
//!
//! The host answers clients directly, so a SYN-ACK leaves by the ordinary interface and would
//! offer that interface's segment size, although the client's packets come through a tunnel that
//! is narrower. A rule `from VIP` therefore leads to a table that repeats the main table's routes
//! with a smaller `advmss`. See [`HostSetup::repair`].

mod reply_routes;

use crate::kernel::ingress_setup::{TUN_UP, UP, quiet_device};
use crate::kernel::netlink::{LinkSettings, Netlink, Prefix, Rule};
use crate::kernel::{Error, Result, sysctl};
use jlb_packet_io::Tun;
use jlb_packet_io::tun::Options;
use std::net::IpAddr;

/// The device's name, unless chosen otherwise.
pub const DEVICE: &str = "jlb-host";

/// Routing table of the answers, unless chosen otherwise.
pub const TABLE: u32 = 7681;

/// Priority of the rules, unless chosen otherwise: before the main table's 32766.
pub const RULE_PRIORITY: u32 = 7681;

/// What to set up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostSetup {
    /// Name of the TUN device.
    pub device: String,
    /// Largest inner packet in bytes.
    pub max_inner: u32,
    /// The virtual addresses.
    pub vips: Vec<IpAddr>,
    /// The routing table of the answers; all of it is ours.
    pub table: u32,
    /// Priority of the rules that lead there.
    pub rule_priority: u32,
}

impl HostSetup {
    /// The usual set-up for these VIPs.
    #[must_use]
    pub fn new(vips: Vec<IpAddr>, max_inner: u32) -> Self {
        Self {
            device: DEVICE.to_owned(),
            max_inner,
            vips,
            table: TABLE,
            rule_priority: RULE_PRIORITY,
        }
    }

    /// Makes it so, whatever was there before, and opens the device. VIPs of an earlier set-up that
    /// are not wanted any more are removed.
    ///
    /// # Errors
    /// Names what could not be done.
    pub fn apply(&self) -> Result<Tun> {
        let device = &self.device;
        let options = Options {
            persistent: true,
            multi_queue: false,
            offload: true,
        };
        let tun = Tun::open_with(device, options)
            .map_err(|e| Error::new(format!("open the TUN device {device}"), e))?;
        self.extend()?;
        self.shrink()?;
        Ok(tun)
    }

    /// Adds what these VIPs need to a device that is there; those that had it lose nothing.
    ///
    /// # Errors
    /// Names what could not be done.
    pub fn extend(&self) -> Result<()> {
        let device = &self.device;
        let netlink = Netlink::open()?;
        quiet_device(device, self.vips.iter().any(IpAddr::is_ipv6))?;
        // Another interface must neither answer ARP for a VIP nor ask in its name: the router
        // would send packets of the VIP to this host alone.
        sysctl::raise("ipv4/conf/all/arp_ignore", 1)?;
        sysctl::raise("ipv4/conf/all/arp_announce", 2)?;
        netlink.set_link("lo", UP)?;
        netlink.set_link(device, self.link_settings())?;
        // Routes and rules before addresses: no SYN-ACK leaves with the larger size.
        if let Err(error) = reply_routes::refresh(&netlink, self) {
            // Clients still learn the size from "too big".
            tracing::warn!(%error, "some answers will offer too large segments");
        }
        self.put_rules_and_addresses(&netlink)
    }

    /// Removes all other VIPs; connections to them break.
    ///
    /// # Errors
    /// Names what could not be done.
    pub fn shrink(&self) -> Result<()> {
        let device = &self.device;
        let netlink = Netlink::open()?;
        for (address, length) in netlink.addresses(device)? {
            if !self.vips.contains(&address) {
                netlink.delete_address(device, address, length)?;
            }
        }
        let wanted = self.wanted_rules();
        for rule in netlink.rules()? {
            if rule.table == self.table && !wanted.contains(&rule) {
                netlink.delete_rule(&rule)?;
            }
        }
        Ok(())
    }

    /// Repeats the main table's routes again, as they may have changed, and puts the device up and
    /// the rules and addresses back where something else has removed them; says whether it had to
    /// do the latter. Call it every few seconds: when nothing has changed, it only reads.
    ///
    /// # Errors
    /// Names the first thing that could not be done. One route that can't be repeated does not keep
    /// it from the others.
    pub fn repair(&self) -> Result<bool> {
        let netlink = Netlink::open()?;
        let rules = netlink.rules()?;
        let addresses = netlink.addresses(&self.device)?;
        let whole = netlink.is_up(&self.device)?
            && self.wanted_rules().iter().all(|rule| rules.contains(rule))
            && self
                .vips
                .iter()
                .all(|&vip| addresses.contains(&(vip, Prefix::host(vip).length)));
        if !whole {
            netlink.set_link(&self.device, self.link_settings())?;
            self.put_rules_and_addresses(&netlink)?;
        }
        reply_routes::refresh(&netlink, self)?;
        Ok(!whole)
    }

    /// Removes all that [`HostSetup::apply`] made but the ARP settings, which others may rely on
    /// too: connections to the VIPs break. The device goes even while a process holds it.
    ///
    /// # Errors
    /// Names what could not be done.
    pub fn teardown(&self) -> Result<()> {
        let netlink = Netlink::open()?;
        netlink.delete_link(&self.device)?;
        for rule in netlink.rules()? {
            if rule.table == self.table {
                netlink.delete_rule(&rule)?;
            }
        }
        reply_routes::remove_all(&netlink, self)
    }

    fn link_settings(&self) -> LinkSettings {
        LinkSettings {
            mtu: Some(self.max_inner),
            ..TUN_UP
        }
    }

    fn put_rules_and_addresses(&self, netlink: &Netlink) -> Result<()> {
        for rule in self.wanted_rules() {
            netlink.put_rule(&rule)?;
        }
        for &vip in &self.vips {
            netlink.put_address(&self.device, vip, Prefix::host(vip).length)?;
        }
        Ok(())
    }

    fn wanted_rules(&self) -> Vec<Rule> {
        let rule = |&vip: &IpAddr| Rule {
            from: Prefix::host(vip),
            table: self.table,
            priority: self.rule_priority,
        };
        self.vips.iter().map(rule).collect()
    }
}
