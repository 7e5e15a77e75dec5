//! What an ingress needs of its kernel: the packets for the VIPs, through a TUN device.
//!
//! The VIPs are on no interface; they are routed to the device. It is persistent, and behind each
//! VIP's route stands a blackhole of higher metric: while no ingress process runs, clients lose
//! packets and repeat them, and are never told that the VIP is unreachable. The device's MTU is
//! the largest inner packet, so the kernel itself answers a larger one with "too big".

use crate::kernel::netlink::{LinkSettings, MAIN_TABLE, Netlink, PROTOCOL, Prefix, Route, Target};
use crate::kernel::{Error, Result, sysctl};
use jlb_packet_io::Tun;
use jlb_packet_io::tun::Options;
use rtnetlink::packet_route::route::RouteAttribute;
use std::io;
use std::net::IpAddr;

/// The device's name, unless chosen otherwise.
pub const DEVICE: &str = "jlb-in";

/// Metric of the route to the device.
const METRIC: u32 = 100;

/// Metric of the blackhole behind it: after any that a person would choose.
const BLACKHOLE_METRIC: u32 = 1_000_000;

/// Packets: more than one sender of Linux has under way with its usual buffer (4 MiB of segments).
/// A burst of one upload that overflows the queue may lose its end, which only a timeout repairs.
const QUEUE: u32 = 4096;

/// What to set up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IngressSetup {
    /// Name of the TUN device.
    pub device: String,
    /// Largest inner packet in bytes.
    pub mtu: u32,
    /// Packets that wait for the process before the kernel drops them.
    pub txqueuelen: u32,
    /// The virtual addresses.
    pub vips: Vec<IpAddr>,
}

impl IngressSetup {
    /// The usual set-up for these VIPs.
    #[must_use]
    pub fn new(vips: Vec<IpAddr>, mtu: u32) -> Self {
        Self {
            device: DEVICE.to_owned(),
            mtu,
            txqueuelen: QUEUE,
            vips,
        }
    }

    /// Makes it so, whatever was there before, and opens the device. VIPs of an earlier set-up that
    /// are not wanted any more lose their routes.
    ///
    /// # Errors
    /// Names what could not be done.
    pub fn apply(&self) -> Result<Tun> {
        let tun = self.open(false)?;
        self.extend()?;
        self.shrink()?;
        Ok(tun)
    }

    /// The same, with one more queue of the device for each of so many others; the kernel keeps each connection on
    /// one queue.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn apply_with(&self, others: usize) -> Result<(Tun, Vec<Tun>)> {
        if others == 0 {
            return Ok((self.apply()?, Vec::new()));
        }
        let first = self.open(true)?;
        let others = (0..others).map(|_| self.open(true));
        let others = others.collect::<Result<_>>()?;
        self.extend()?;
        self.shrink()?;
        Ok((first, others))
    }

    fn open(&self, multi_queue: bool) -> Result<Tun> {
        let device = &self.device;
        let options = Options {
            persistent: true,
            multi_queue,
            offload: true,
        };
        let opened = match Tun::open_with(device, options) {
            // Left over from a start with one queue, or with several: a device is of one kind for ever.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                let other = Options {
                    persistent: false,
                    multi_queue: !multi_queue,
                    ..options
                };
                Tun::open_with(device, other)
                    .map(drop)
                    .and_then(|()| Tun::open_with(device, options))
            }
            opened => opened,
        };
        opened.map_err(|e| Error::new(format!("open the TUN device {device}"), e))
    }

    /// Adds what these VIPs need to a device that is there; those that had it lose nothing.
    ///
    /// # Errors
    /// Names what could not be done.
    pub fn extend(&self) -> Result<()> {
        let device = &self.device;
        let netlink = Netlink::open()?;
        let has_ipv6 = self.vips.iter().any(IpAddr::is_ipv6);
        quiet_device(device, has_ipv6)?;
        netlink.set_link("lo", UP)?;
        netlink.set_link(device, self.link_settings())?;
        // After the device left multicast: a router joins the groups of routers on each device.
        sysctl::write("ipv4/ip_forward", "1")?;
        if has_ipv6 {
            sysctl::write("ipv6/conf/all/forwarding", "1")?;
        }
        self.put_routes(&netlink)
    }

    /// Removes the routes of all other VIPs.
    ///
    /// # Errors
    /// Names what could not be done.
    pub fn shrink(&self) -> Result<()> {
        let netlink = Netlink::open()?;
        remove_routes(&netlink, |vip| !self.vips.contains(&vip))
    }

    /// Puts the device up and the routes back where something else has changed that, and says
    /// whether it had to: call it every few seconds. (The kernel itself forgets the routes of a
    /// device that is set down; so may a network service that tidies up what it does not know.)
    ///
    /// # Errors
    /// Names what could not be done, also when another route is in the way.
    pub fn repair(&self) -> Result<bool> {
        let netlink = Netlink::open()?;
        let up = netlink.is_up(&self.device)?;
        if up && self.astray(&netlink)?.is_none() {
            return Ok(false);
        }
        netlink.set_link(&self.device, self.link_settings())?;
        self.put_routes(&netlink)?;
        match self.astray(&netlink)? {
            None => Ok(true),
            Some(vip) => {
                let reason = io::Error::other("another route or rule is in the way");
                Err(Error::new(
                    format!("route {vip} to {}", self.device),
                    reason,
                ))
            }
        }
    }

    /// The first VIP whose packets do not go to the device.
    fn astray(&self, netlink: &Netlink) -> Result<Option<IpAddr>> {
        let device = netlink.link_index(&self.device)?;
        let by_device = |vip| {
            netlink.route_of(vip).is_some_and(|route| {
                let mut attributes = route.attributes.iter();
                attributes.any(|a| matches!(a, RouteAttribute::Oif(index) if *index == device))
            })
        };
        Ok(self.vips.iter().copied().find(|&vip| !by_device(vip)))
    }

    fn put_routes(&self, netlink: &Netlink) -> Result<()> {
        for &vip in &self.vips {
            // The blackhole first: there is no moment without a route.
            netlink.put_route(&blackhole(vip))?;
            netlink.put_route(&self.to_device(vip))?;
        }
        Ok(())
    }

    /// Removes all that [`IngressSetup::apply`] made but the forwarding of packets, which others may
    /// need too. The device goes when no process holds it any more.
    ///
    /// # Errors
    /// Names what could not be done.
    pub fn teardown(&self) -> Result<()> {
        let netlink = Netlink::open()?;
        remove_routes(&netlink, |_| true)?;
        netlink.delete_link(&self.device)
    }

    fn link_settings(&self) -> LinkSettings {
        LinkSettings {
            mtu: Some(self.mtu),
            txqueuelen: Some(self.txqueuelen),
            ..TUN_UP
        }
    }

    fn to_device(&self, vip: IpAddr) -> Route {
        Route {
            metric: METRIC,
            protocol: PROTOCOL,
            ..Route::new(Prefix::host(vip), Target::Device(self.device.clone()))
        }
    }
}

/// Up, and nothing else changed.
pub(super) const UP: LinkSettings = LinkSettings {
    up: Some(true),
    mtu: None,
    txqueuelen: None,
    multicast: None,
};

/// How a TUN device is up: without multicast the kernel says next to nothing on it by itself.
pub(super) const TUN_UP: LinkSettings = LinkSettings {
    multicast: Some(false),
    ..UP
};

/// Settings of a TUN device that packets of strangers come out of.
pub(super) fn quiet_device(device: &str, has_ipv6: bool) -> Result<()> {
    // The kernel takes the larger of `all` and the device's: 2 is the loose check whatever `all`
    // says, where 0 would become a strict one that drops each packet.
    sysctl::write(&format!("ipv4/conf/{device}/rp_filter"), "2")?;
    sysctl::write(&format!("ipv4/conf/{device}/send_redirects"), "0")?;
    if has_ipv6 {
        // No link-local address: without it no router solicitations.
        sysctl::write(&format!("ipv6/conf/{device}/addr_gen_mode"), "1")?;
        sysctl::write(&format!("ipv6/conf/{device}/accept_ra"), "0")?;
    }
    Ok(())
}

fn blackhole(vip: IpAddr) -> Route {
    Route {
        metric: BLACKHOLE_METRIC,
        protocol: PROTOCOL,
        ..Route::new(Prefix::host(vip), Target::Blackhole)
    }
}

/// Removes the routes of the main table that an ingress has made for such VIPs.
fn remove_routes(netlink: &Netlink, unwanted: impl Fn(IpAddr) -> bool) -> Result<()> {
    for message in netlink.routes(MAIN_TABLE)? {
        let vip = message.attributes.iter().find_map(|a| match a {
            RouteAttribute::Destination(address) => to_ip(address),
            _ => None,
        });
        let ours = message.header.protocol == PROTOCOL;
        if ours && vip.is_some_and(&unwanted) {
            netlink.delete_route_message(message)?;
        }
    }
    Ok(())
}

fn to_ip(address: &rtnetlink::packet_route::route::RouteAddress) -> Option<IpAddr> {
    use rtnetlink::packet_route::route::RouteAddress;
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}
