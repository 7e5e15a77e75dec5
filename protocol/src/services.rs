//! Which service an address, protocol and port belong to.

use crate::number::{Protocol, ServiceNumber};
use alloc::collections::BTreeMap;
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

#[derive(Clone, Default, Debug)]
struct PortMap {
    /// First port -> (last port, service); ranges do not overlap.
    ranges: BTreeMap<u16, (u16, ServiceNumber)>,
    any: Option<ServiceNumber>,
}

/// All services by address, protocol and port.
#[derive(Clone, Default, Debug)]
pub struct ServiceMap {
    by_vip: BTreeMap<(IpAddr, Protocol), PortMap>,
    vips: Vec<IpAddr>,
}

impl ServiceMap {
    /// The map of these services, no two of which have a port in common: the configuration refuses
    /// files in which ranges overlap or two services of a VIP and protocol have `Any`.
    #[must_use]
    pub fn new(services: &[ServiceMatch]) -> Self {
        let mut map = Self::default();
        for service in services {
            let ports = map
                .by_vip
                .entry((service.vip, service.protocol))
                .or_default();
            match service.ports {
                Ports::Any => ports.any = Some(service.service),
                Ports::Range(first, last) => {
                    ports.ranges.insert(first, (last, service.service));
                }
            }
            if let Err(at) = map.vips.binary_search(&service.vip) {
                map.vips.insert(at, service.vip);
            }
        }
        map
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
        let ports = self.by_vip.get(&(vip, protocol))?;
        let named = ports.ranges.range(..=port).next_back();
        match named {
            Some((_, &(last, service))) if port <= last => Some(service),
            _ => ports.any,
        }
    }
}

#[cfg(test)]
mod tests;
