//! The headers in front of a message: Ethernet, IP and UDP, as the kernel would write them.

use jlb_protocol::Buffer;
use jlb_protocol::link::Route;
use jlb_protocol::packet::checksum;
use std::net::IpAddr;

/// Bytes of an Ethernet header.
pub(crate) const ETHERNET_LEN: usize = 14;
const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;
const UDP_LEN: usize = 8;

/// IP number of UDP.
const UDP: u8 = 17;
/// Time to live, or hop limit: what the kernel writes unless told otherwise.
const HOP_LIMIT: u8 = 64;

/// Bytes of the IP packet that a message of `len` bytes becomes.
pub(crate) const fn packet_len(to: IpAddr, len: usize) -> usize {
    let ip = match to {
        IpAddr::V4(_) => IPV4_LEN,
        IpAddr::V6(_) => IPV6_LEN,
    };
    ip + UDP_LEN + len
}

/// Puts the headers in front of a sealed message; false, and nothing changed, if there is no room or
/// the addresses are of two families. `identification` should differ between packets of one
/// path, since it tells fragments apart (RFC 6864).
pub(crate) fn put(
    message: &mut impl Buffer,
    ethernet: &[u8; ETHERNET_LEN],
    route: &Route,
    source_port: u16,
    identification: u16,
) -> bool {
    let len = message.as_slice().len();
    let (from, to) = (route.local, route.remote.ip());
    let Ok(udp_len) = u16::try_from(UDP_LEN + len) else {
        return false;
    };
    let headers = ETHERNET_LEN + packet_len(to, 0);
    if message.prepend(headers).is_none() {
        return false;
    }
    let (ethernet_header, packet) = message.as_mut_slice().split_at_mut(ETHERNET_LEN);
    ethernet_header.copy_from_slice(ethernet);
    let (ip, udp) = packet.split_at_mut(headers - ETHERNET_LEN - UDP_LEN);
    udp[..2].copy_from_slice(&source_port.to_be_bytes());
    udp[2..4].copy_from_slice(&route.remote.port().to_be_bytes());
    udp[4..6].copy_from_slice(&udp_len.to_be_bytes());
    udp[6..8].fill(0);
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let total = udp_len.saturating_add(IPV4_LEN as u16);
            let [from, to] = [from.to_bits(), to.to_bits()];
            let mut words = [
                0x4500,
                total,
                identification,
                0,
                u16::from_be_bytes([HOP_LIMIT, UDP]),
                0,
                (from >> 16) as u16,
                from as u16,
                (to >> 16) as u16,
                to as u16,
            ];
            words[5] = checksum::of_words(words);
            for (place, word) in ip.chunks_exact_mut(2).zip(words) {
                place.copy_from_slice(&word.to_be_bytes());
            }
            // RFC 8926 section 3.3: over IPv4 a UDP checksum of zero will do. The tag covers what the
            // message means.
        }
        (IpAddr::V6(v6_from), IpAddr::V6(v6_to)) => {
            ip.fill(0);
            ip[0] = 0x60;
            ip[4..6].copy_from_slice(&udp_len.to_be_bytes());
            ip[6] = UDP;
            ip[7] = HOP_LIMIT;
            ip[8..24].copy_from_slice(&v6_from.octets());
            ip[24..40].copy_from_slice(&v6_to.octets());
            // Over IPv6 the receiver's kernel would drop it without one.
            let sum = match checksum::with_pseudo_header(from, to, UDP, udp) {
                0 => 0xffff,
                sum => sum,
            };
            udp[6..8].copy_from_slice(&sum.to_be_bytes());
        }
        _ => {
            message.strip(headers);
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests;
