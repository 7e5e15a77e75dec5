//! Packets to test with, laid out here once more and independently of the code under test.

use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) const CLIENT4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
pub(super) const VIP4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 80);
pub(super) const CLIENT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7);
pub(super) const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x80);
pub(super) const CLIENT_PORT: u16 = 40_000;
pub(super) const VIP_PORT: u16 = 443;

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMPV4: u8 = 1;
pub(super) const ICMPV6: u8 = 58;

/// The sum of RFC 1071 over big-endian words, complemented.
pub(super) fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The same behind a pseudo-header.
pub(super) fn pseudo_checksum(src: IpAddr, dst: IpAddr, protocol: u8, bytes: &[u8]) -> u16 {
    let mut all = Vec::new();
    for address in [src, dst] {
        match address {
            IpAddr::V4(v4) => all.extend(v4.octets()),
            IpAddr::V6(v6) => all.extend(v6.octets()),
        }
    }
    all.extend((bytes.len() as u32).to_be_bytes());
    all.extend([0, 0, 0, protocol]);
    all.extend(bytes);
    checksum(&all)
}

pub(super) fn ipv4(
    src: Ipv4Addr,
    dst: Ipv4Addr,
    protocol: u8,
    options: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    assert!(options.len().is_multiple_of(4) && options.len() <= 40);
    let header_len = 20 + options.len();
    let mut packet = vec![0x40 | (header_len / 4) as u8, 0xb9];
    packet.extend(((header_len + payload.len()) as u16).to_be_bytes());
    packet.extend([0x12, 0x34, 0x40, 0x00, 57, protocol, 0, 0]);
    packet.extend(src.octets());
    packet.extend(dst.octets());
    packet.extend(options);
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(payload);
    packet
}

pub(super) fn ipv6(src: Ipv6Addr, dst: Ipv6Addr, next_header: u8, payload: &[u8]) -> Vec<u8> {
    // Traffic class 0xb9, flow label 0xabcde.
    let mut packet = vec![0x6b, 0x9a, 0xbc, 0xde];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next_header, 57]);
    packet.extend(src.octets());
    packet.extend(dst.octets());
    packet.extend(payload);
    packet
}

/// An IPv4 or IPv6 packet without options.
pub(super) fn ip(src: IpAddr, dst: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => ipv4(src, dst, protocol, &[], payload),
        (IpAddr::V6(src), IpAddr::V6(dst)) => ipv6(src, dst, protocol, payload),
        _ => panic!("addresses of two families"),
    }
}

/// Client and VIP of both families.
pub(super) fn pairs() -> [(IpAddr, IpAddr); 2] {
    [(CLIENT4.into(), VIP4.into()), (CLIENT6.into(), VIP6.into())]
}

/// A TCP segment with a partial checksum, as a device that offloads it hands it over.
pub(super) fn tcp(ports: (u16, u16), seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(ports.0.to_be_bytes());
    segment.extend(ports.1.to_be_bytes());
    segment.extend(seq.to_be_bytes());
    segment.extend(ack.to_be_bytes());
    // Header of 24 bytes, window 0xfaf0, urgent pointer 0, maximum segment size 1460.
    segment.extend([0x60, flags, 0xfa, 0xf0, 0x11, 0x22, 0, 0, 2, 4, 0x05, 0xb4]);
    segment.extend(payload);
    segment
}

pub(super) fn udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    datagram.extend(ports.0.to_be_bytes());
    datagram.extend(ports.1.to_be_bytes());
    datagram.extend((8 + payload.len() as u16).to_be_bytes());
    datagram.extend([0x33, 0x44]);
    datagram.extend(payload);
    datagram
}

/// A whole ICMP or ICMPv6 packet with the right checksum.
pub(super) fn icmp(src: IpAddr, dst: IpAddr, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let protocol = if dst.is_ipv4() { ICMPV4 } else { ICMPV6 };
    let mut message = vec![kind, code, 0, 0];
    message.extend(rest);
    let sum = if dst.is_ipv4() {
        checksum(&message)
    } else {
        pseudo_checksum(src, dst, ICMPV6, &message)
    };
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    ip(src, dst, protocol, &message)
}

/// An ICMP error from a router to `to` that quotes `quote`.
pub(super) fn icmp_error(to: IpAddr, kind: u8, quote: &[u8]) -> Vec<u8> {
    let router: IpAddr = match to {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 1).into(),
    };
    let mut rest = vec![0, 0, 0x05, 0xdc];
    rest.extend(quote);
    icmp(router, to, kind, 0, &rest)
}
