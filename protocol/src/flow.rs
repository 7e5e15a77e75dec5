//! The flow key, the offer number and the birth.

use crate::number::ServiceNumber;
use core::cmp::Ordering;
use core::hash::{Hash, Hasher};
use core::net::{IpAddr, Ipv6Addr};

/// One connection: client address and port, service, and the port of the VIP.
///
/// The service stands for the VIP and the protocol. An IPv4 client is kept as an IPv4-mapped IPv6
/// address (RFC 4291 section 2.5.5.2), so that one table serves both families: 24 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlowKey {
    client: [u8; 16],
    service: u32,
    client_port: u16,
    vip_port: u16,
}

impl FlowKey {
    /// Bytes of the form on the wire.
    pub const WIRE_LEN: usize = 24;

    /// The key of the flow from `client` and `client_port` to `vip_port` of `service`.
    #[must_use]
    pub fn new(client: IpAddr, client_port: u16, service: ServiceNumber, vip_port: u16) -> Self {
        let client = match client {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        let client = u128::from(client);
        Self::of_mapped(client, client_port, service, vip_port)
    }

    /// The same, of the number of an IPv6 address.
    #[inline]
    pub(crate) const fn of_mapped(
        client: u128,
        client_port: u16,
        service: ServiceNumber,
        vip_port: u16,
    ) -> Self {
        Self {
            client: client.to_be_bytes(),
            service: service.get(),
            client_port,
            vip_port,
        }
    }

    /// The client's address, in its own family.
    #[must_use]
    pub fn client(&self) -> IpAddr {
        Ipv6Addr::from(self.client).to_canonical()
    }

    /// The client's port.
    #[must_use]
    pub const fn client_port(&self) -> u16 {
        self.client_port
    }

    /// The port of the VIP that the client connects to.
    #[must_use]
    pub const fn vip_port(&self) -> u16 {
        self.vip_port
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> ServiceNumber {
        // A key is only ever made from a ServiceNumber, so the fallback is never taken.
        ServiceNumber::new(self.service).unwrap_or(FIRST_SERVICE)
    }

    /// The form on the wire and under the keyed hash, big-endian: client (16), service (4), client
    /// port (2), VIP port (2).
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::WIRE_LEN] {
        let mut bytes = [0; Self::WIRE_LEN];
        bytes[..16].copy_from_slice(&self.client);
        bytes[16..20].copy_from_slice(&self.service.to_be_bytes());
        bytes[20..22].copy_from_slice(&self.client_port.to_be_bytes());
        bytes[22..].copy_from_slice(&self.vip_port.to_be_bytes());
        bytes
    }

    /// The same bytes as the words that SipHash reads of them.
    #[inline]
    pub(crate) fn words(&self) -> [u64; 3] {
        let client = u128::from_le_bytes(self.client);
        let ports = u32::from(self.client_port) << 16 | u32::from(self.vip_port);
        let rest = u64::from(self.service) << 32 | u64::from(ports);
        [client as u64, (client >> 64) as u64, rest.swap_bytes()]
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` if the service number is not one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::WIRE_LEN]) -> Option<Self> {
        let mut client = [0; 16];
        client.copy_from_slice(&bytes[..16]);
        let service = u32::from_be_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]);
        ServiceNumber::new(service)?;
        Some(Self {
            client,
            service,
            client_port: u16::from_be_bytes([bytes[20], bytes[21]]),
            vip_port: u16::from_be_bytes([bytes[22], bytes[23]]),
        })
    }
}

impl Ord for FlowKey {
    /// By client, service, client port and VIP port: two words instead of bytes one by one.
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        let ports = |key: &Self| u64::from(key.client_port) << 16 | u64::from(key.vip_port);
        let words = |key: &Self| {
            let client = u128::from_be_bytes(key.client);
            (client, u64::from(key.service) << 32 | ports(key))
        };
        words(self).cmp(&words(other))
    }
}

impl PartialOrd for FlowKey {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for FlowKey {
    /// Three words instead of four fields: tables hash keys for each packet.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let client = u128::from_ne_bytes(self.client);
        state.write_u64(client as u64);
        state.write_u64((client >> 64) as u64);
        let ports = u32::from(self.client_port) << 16 | u32::from(self.vip_port);
        state.write_u64(u64::from(self.service) << 32 | u64::from(ports));
    }
}

const FIRST_SERVICE: ServiceNumber = match ServiceNumber::new(1) {
    Some(service) => service,
    None => unreachable!(),
};

/// Which attempt to open a flow: the attempt's id and what is left of the search.
///
/// The id is the SYN's initial sequence number (equal on retransmission and known to every
/// ingress), 0 for UDP, and the sequence number of the packet that asks for a mid-flow TCP open.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OfferNumber {
    /// The attempt's id.
    pub isn: u32,
    /// Offers that may still be made; not the IP TTL.
    pub step: u8,
}

/// Which life of a flow: the host's incarnation and its counter, ordered in that order (R9).
///
/// A counter that overflows carries into the incarnation: 2^32 flows take a host longer than the
/// second after which a restart would use that incarnation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Birth {
    /// The host's incarnation.
    pub incarnation: u32,
    /// The host's count of flows in that incarnation.
    pub counter: u32,
}

impl Birth {
    /// The birth after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        match self.counter.checked_add(1) {
            Some(counter) => Self {
                incarnation: self.incarnation,
                counter,
            },
            None => Self {
                incarnation: self.incarnation.wrapping_add(1),
                counter: 0,
            },
        }
    }
}
