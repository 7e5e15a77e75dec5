//! Which service an address, protocol and port belong to.

use crate::number::{Protocol, ServiceNumber};
use alloc::vec::Vec;
use core::net::IpAddr;

/// The ports of a service.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Ports {
    /// Every port that no other service of the VIP and protocol names.
    Any,
    /// From the first to the last, both included; neither is 0.
    Range(u16, u16),
}

/// A service as its packets are matched: VIP, protocol and ports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServiceMatch {
    /// The service.
    pub service: ServiceNumber,
    /// The virtual address.
    pub vip: IpAddr,
    /// The protocol.
    pub protocol: Protocol,
    /// The ports.
    pub ports: Ports,
}

/// The services of one VIP and protocol.
#[derive(Clone, Debug)]
struct PortMap {
    vip: u128,
    protocol: Protocol,
    /// First port, last port, service; sorted, and ranges do not overlap.
    ranges: Vec<(u16, u16, ServiceNumber)>,
    any: Option<ServiceNumber>,
}

/// All services by address, protocol and port.
#[derive(Clone, Default, Debug)]
pub struct ServiceMap {
    /// Sorted by VIP and protocol.
    by_vip: Vec<PortMap>,
    /// The services of one port, where their hash leads to or behind; always half empty.
    single: Vec<Option<Single>>,
    vips: Vec<IpAddr>,
}

/// A service of one port.
#[derive(Clone, Copy, Debug)]
struct Single {
    vip: u128,
    protocol: Protocol,
    port: u16,
    service: ServiceNumber,
}

impl ServiceMap {
    /// The map of these services, no two of which have a port in common: the configuration refuses
    /// files in which ranges overlap or two services of a VIP and protocol have `Any`.
    #[must_use]
    pub fn new(services: &[ServiceMatch]) -> Self {
        let mut map = Self::default();
        map.single
            .resize((2 * services.len()).next_power_of_two(), None);
        for service in services {
            let (vip, protocol) = (mapped(service.vip), service.protocol);
            let at = map.ports(vip, protocol).unwrap_or_else(|at| {
                let new = PortMap {
                    vip,
                    protocol,
                    ranges: Vec::new(),
                    any: None,
                };
                map.by_vip.insert(at, new);
                at
            });
            let ports = &mut map.by_vip[at];
            match service.ports {
                Ports::Any => ports.any = Some(service.service),
                Ports::Range(first, last) => {
                    let at = ports.ranges.partition_point(|range| range.0 < first);
                    ports.ranges.insert(at, (first, last, service.service));
                    if first == last {
                        map.add_single(Single {
                            vip,
                            protocol,
                            port: first,
                            service: service.service,
                        });
                    }
                }
            }
            if let Err(at) = map.vips.binary_search(&service.vip) {
                map.vips.insert(at, service.vip);
            }
        }
        map
    }

    fn add_single(&mut self, single: Single) {
        let mask = self.single.len() - 1;
        let mut at = place(single.vip, single.protocol, single.port);
        while self.single[at & mask].is_some() {
            at = at.wrapping_add(1);
        }
        self.single[at & mask] = Some(single);
    }

    /// Where the services of a VIP and protocol are, or would be.
    fn ports(&self, vip: u128, protocol: Protocol) -> Result<usize, usize> {
        self.by_vip
            .binary_search_by_key(&(vip, protocol), |ports| (ports.vip, ports.protocol))
    }

    /// Whether the address is a VIP of any service.
    #[must_use]
    pub fn is_vip(&self, address: IpAddr) -> bool {
        self.vips.binary_search(&address).is_ok()
    }

    /// Every VIP once, sorted.
    #[must_use]
    pub fn vips(&self) -> &[IpAddr] {
        &self.vips
    }

    /// The service that has this address, protocol and port.
    #[must_use]
    pub fn find(&self, vip: IpAddr, protocol: Protocol, port: u16) -> Option<ServiceNumber> {
        self.find_mapped(mapped(vip), protocol, port)
    }

    /// The same, of the number of an IPv6 address, IPv4 ones mapped: as [`crate::packet::Plain`] has it.
    #[must_use]
    #[inline]
    pub fn find_mapped(&self, vip: u128, protocol: Protocol, port: u16) -> Option<ServiceNumber> {
        let mask = self.single.len().wrapping_sub(1);
        let mut at = place(vip, protocol, port);
        while let Some(Some(single)) = self.single.get(at & mask) {
            if single.vip == vip && single.port == port && single.protocol == protocol {
                return Some(single.service);
            }
            at = at.wrapping_add(1);
        }
        self.find_range(vip, protocol, port)
    }

    fn find_range(&self, vip: u128, protocol: Protocol, port: u16) -> Option<ServiceNumber> {
        let ports = &self.by_vip[self.ports(vip, protocol).ok()?];
        let behind = ports.ranges.partition_point(|range| range.0 <= port);
        let named = behind.checked_sub(1).map(|at| ports.ranges[at]);
        match named {
            Some((_, last, service)) if port <= last => Some(service),
            _ => ports.any,
        }
    }
}

/// Where the search for a service of one port begins, modulo the table's size. Who chooses the services is
/// trusted, so that a multiplication will do.
#[inline]
fn place(vip: u128, protocol: Protocol, port: u16) -> usize {
    let rest = u64::from(port) << 8 | u64::from(protocol.ip_number());
    let all = (vip as u64) ^ ((vip >> 64) as u64).rotate_left(24) ^ rest;
    (all.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize
}

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

#[cfg(test)]
mod tests;
