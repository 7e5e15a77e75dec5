//! Client packets, one of each form that the parser tells apart.

use super::super::ingress::{VIP4, VIP6};
use super::{CLIENT_PORT, CLIENT4, CLIENT6, ISN};
use jlb_protocol::packet::checksum;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const RST: u8 = 0x04;

/// An IP packet with the next header or protocol `protocol`.
fn ip(src: IpAddr, dst: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            packet.extend([0x45, 0]);
            packet.extend((20 + payload.len() as u16).to_be_bytes());
            packet.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
            packet.extend(src.octets());
            packet.extend(dst.octets());
            let sum = checksum::plain(&packet);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            packet.extend([0x60, 0, 0, 0]);
            packet.extend((payload.len() as u16).to_be_bytes());
            packet.extend([protocol, 64]);
            packet.extend(src.octets());
            packet.extend(dst.octets());
        }
        _ => unreachable!("both of one family"),
    }
    packet.extend(payload);
    packet
}

/// A TCP segment with wrong checksum, which nobody looks at on the way.
fn tcp(ports: (u16, u16), seq: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(ports.0.to_be_bytes());
    segment.extend(ports.1.to_be_bytes());
    segment.extend(seq.to_be_bytes());
    segment.extend([0, 0, 0, 9, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(payload);
    segment
}

fn udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    datagram.extend(ports.0.to_be_bytes());
    datagram.extend(ports.1.to_be_bytes());
    datagram.extend((8 + payload.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

fn icmp(src: IpAddr, dst: IpAddr, kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0, 0, 0, 5, 0];
    message.extend(body);
    let (protocol, sum) = match src {
        IpAddr::V4(_) => (1, checksum::plain(&message)),
        IpAddr::V6(_) => (58, checksum::with_pseudo_header(src, dst, 58, &message)),
    };
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    ip(src, dst, protocol, &message)
}

pub(super) fn syn4(port: u16) -> Vec<u8> {
    ip(CLIENT4, VIP4, 6, &tcp((port, 80), ISN, SYN, &[]))
}

pub(super) fn syn6(port: u16) -> Vec<u8> {
    ip(CLIENT6, VIP6, 6, &tcp((port, 80), ISN, SYN, &[]))
}

pub(super) fn request4(port: u16) -> Vec<u8> {
    ip(
        CLIENT4,
        VIP4,
        6,
        &tcp((port, 80), ISN + 1, ACK, b"GET / HTTP/1.1\r\n\r\n"),
    )
}

pub(super) fn query4(port: u16) -> Vec<u8> {
    ip(CLIENT4, VIP4, 17, &udp((port, 53), b"question"))
}

/// One packet of each form that the parser tells apart.
pub(super) fn packets() -> Vec<(&'static str, Vec<u8>)> {
    let reply4 = ip(VIP4, CLIENT4, 6, &tcp((80, CLIENT_PORT), 7, ACK, b"reply"));
    let reply6 = ip(VIP6, CLIENT6, 6, &tcp((80, CLIENT_PORT), 7, ACK, b"reply"));
    let udp_reply4 = ip(VIP4, CLIENT4, 17, &udp((53, CLIENT_PORT), b"answer"));
    let router4 = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
    let router6 = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1));
    let segment = tcp((CLIENT_PORT, 80), ISN, SYN, &[]);

    let mut with_options4 = syn4(CLIENT_PORT);
    with_options4.splice(20..20, [7, 3, 4, 0]);
    with_options4[0] = 0x46;
    with_options4[3] += 4;

    let mut mss = tcp((CLIENT_PORT, 80), ISN, SYN, &[2, 4, 5, 0xb4]);
    mss[12] = 0x60;

    let mut fragment4 = syn4(CLIENT_PORT);
    fragment4[6] = 0x20;

    let behind = |headers: &[u8]| [headers, &segment].concat();
    let hop_by_hop = behind(&[6, 0, 1, 4, 0, 0, 0, 0]);
    let routing = behind(&[6, 0, 4, 0, 0, 0, 0, 0]);
    let fragment = behind(&[6, 0, 0, 1, 0, 0, 0, 9]);
    let atomic = behind(&[6, 0, 0, 0, 0, 0, 0, 9]);
    let chain = behind(&[60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0]);

    vec![
        ("tcp4-syn", syn4(CLIENT_PORT)),
        ("tcp4-syn-mss", ip(CLIENT4, VIP4, 6, &mss)),
        ("tcp4-data", request4(CLIENT_PORT)),
        (
            "tcp4-reset",
            ip(CLIENT4, VIP4, 6, &tcp((CLIENT_PORT, 80), ISN, RST, &[])),
        ),
        ("tcp4-ip-options", with_options4),
        ("tcp4-fragment", fragment4),
        ("tcp6-syn", syn6(CLIENT_PORT)),
        ("tcp6-hop-by-hop", ip(CLIENT6, VIP6, 0, &hop_by_hop)),
        ("tcp6-routing", ip(CLIENT6, VIP6, 43, &routing)),
        ("tcp6-fragment", ip(CLIENT6, VIP6, 44, &fragment)),
        ("tcp6-atomic-fragment", ip(CLIENT6, VIP6, 44, &atomic)),
        ("tcp6-two-headers", ip(CLIENT6, VIP6, 0, &chain)),
        ("udp4", query4(CLIENT_PORT)),
        (
            "udp6",
            ip(CLIENT6, VIP6, 17, &udp((CLIENT_PORT, 53), b"question")),
        ),
        ("icmp4-too-big", icmp(router4, VIP4, 3, 4, &reply4)),
        (
            "icmp4-eight-bytes",
            icmp(router4, VIP4, 3, 4, &reply4[..28]),
        ),
        ("icmp4-udp", icmp(CLIENT4, VIP4, 3, 3, &udp_reply4)),
        ("icmp4-expired", icmp(router4, VIP4, 11, 0, &reply4)),
        ("icmp4-echo", icmp(CLIENT4, VIP4, 8, 0, b"are you there?")),
        ("icmp4-redirect", icmp(router4, VIP4, 5, 1, &reply4)),
        ("icmp6-too-big", icmp(router6, VIP6, 2, 0, &reply6)),
        (
            "icmp6-unreachable",
            icmp(router6, VIP6, 1, 0, &reply6[..48]),
        ),
        ("icmp6-echo", icmp(CLIENT6, VIP6, 128, 0, b"are you there?")),
        ("esp4", ip(CLIENT4, VIP4, 50, &[0; 16])),
    ]
}
