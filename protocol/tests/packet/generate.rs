//! Packets as values, strategies for them, and their bytes as pnet writes them.

use pnet_packet::icmp::{IcmpPacket, IcmpType, MutableIcmpPacket};
use pnet_packet::icmpv6::{Icmpv6Packet, Icmpv6Type, MutableIcmpv6Packet};
use pnet_packet::ip::IpNextHeaderProtocol;
use pnet_packet::ipv4::MutableIpv4Packet;
use pnet_packet::ipv6::MutableIpv6Packet;
use pnet_packet::tcp::MutableTcpPacket;
use pnet_packet::udp::MutableUdpPacket;
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV4: u8 = 1;
pub(crate) const ICMPV6: u8 = 58;

/// An IPv6 extension header.
#[derive(Clone, Debug)]
pub(crate) enum Extension {
    /// Hop-by-hop options; only ever generated as the first.
    HopByHop(Vec<u8>),
    /// Destination options.
    Destination(Vec<u8>),
    /// A routing header that is used up.
    Routing(Vec<u8>),
    /// A fragment header of a packet in one piece: identification and the reserved byte, which other
    /// headers have their length in.
    Atomic(u32, u8),
}

/// An IP header.
#[derive(Clone, Debug)]
pub(crate) enum Net {
    V4 {
        src: Ipv4Addr,
        dst: Ipv4Addr,
        dscp_ecn: u8,
        identification: u16,
        dont_fragment: bool,
        ttl: u8,
        options: Vec<u8>,
    },
    V6 {
        src: Ipv6Addr,
        dst: Ipv6Addr,
        traffic_class: u8,
        flow_label: u32,
        hop_limit: u8,
        extensions: Vec<Extension>,
    },
}

/// A TCP header and payload.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) src_port: u16,
    pub(crate) dst_port: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) options: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

/// A UDP header and payload.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) src_port: u16,
    pub(crate) dst_port: u16,
    pub(crate) payload: Vec<u8>,
}

impl Net {
    pub(crate) fn is_ipv4(&self) -> bool {
        matches!(self, Self::V4 { .. })
    }

    /// The packet with this header around `payload`, with the right IPv4 header checksum.
    pub(crate) fn around(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        match self {
            Self::V4 {
                src,
                dst,
                dscp_ecn,
                identification,
                dont_fragment,
                ttl,
                options,
            } => {
                let header_len = 20 + options.len();
                let mut bytes = vec![0; header_len];
                bytes[20..].copy_from_slice(options);
                bytes.extend(payload);
                let total_len = bytes.len() as u16;
                let mut ip = MutableIpv4Packet::new(&mut bytes).unwrap();
                ip.set_version(4);
                ip.set_header_length((header_len / 4) as u8);
                ip.set_dscp(dscp_ecn >> 2);
                ip.set_ecn(dscp_ecn & 3);
                ip.set_total_length(total_len);
                ip.set_identification(*identification);
                ip.set_flags(if *dont_fragment { 2 } else { 0 });
                ip.set_ttl(*ttl);
                ip.set_next_level_protocol(IpNextHeaderProtocol(protocol));
                ip.set_source(*src);
                ip.set_destination(*dst);
                let sum = pnet_packet::ipv4::checksum(&ip.to_immutable());
                ip.set_checksum(sum);
                bytes
            }
            Self::V6 {
                src,
                dst,
                traffic_class,
                flow_label,
                hop_limit,
                extensions,
            } => {
                let kinds: Vec<u8> = extensions.iter().map(Extension::kind).collect();
                let mut bytes = vec![0; 40];
                for (at, extension) in extensions.iter().enumerate() {
                    let next = kinds.get(at + 1).copied().unwrap_or(protocol);
                    bytes.extend(extension.to_bytes(next));
                }
                bytes.extend(payload);
                let payload_len = (bytes.len() - 40) as u16;
                let mut ip = MutableIpv6Packet::new(&mut bytes).unwrap();
                ip.set_version(6);
                ip.set_traffic_class(*traffic_class);
                ip.set_flow_label(*flow_label);
                ip.set_payload_length(payload_len);
                let first = kinds.first().copied().unwrap_or(protocol);
                ip.set_next_header(IpNextHeaderProtocol(first));
                ip.set_hop_limit(*hop_limit);
                ip.set_source(*src);
                ip.set_destination(*dst);
                bytes
            }
        }
    }

    /// The packet with this header around an ICMP message of the header's family, with the right
    /// checksum; `rest` begins behind the message's checksum field.
    pub(crate) fn around_icmp(&self, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
        let mut message = vec![kind, code, 0, 0];
        message.extend(rest);
        match self {
            Self::V4 { .. } => {
                let sum = pnet_packet::icmp::checksum(&IcmpPacket::new(&message).unwrap());
                let mut icmp = MutableIcmpPacket::new(&mut message).unwrap();
                assert_eq!(icmp.get_icmp_type(), IcmpType(kind));
                icmp.set_checksum(sum);
                self.around(ICMPV4, &message)
            }
            Self::V6 { src, dst, .. } => {
                let read = Icmpv6Packet::new(&message).unwrap();
                let sum = pnet_packet::icmpv6::checksum(&read, src, dst);
                let mut icmp = MutableIcmpv6Packet::new(&mut message).unwrap();
                assert_eq!(icmp.get_icmpv6_type(), Icmpv6Type(kind));
                icmp.set_checksum(sum);
                self.around(ICMPV6, &message)
            }
        }
    }

    /// The same header the other way, as the answering side would send it, without its options.
    pub(crate) fn reversed(&self) -> Self {
        let mut net = self.clone();
        match &mut net {
            Self::V4 {
                src, dst, options, ..
            } => {
                std::mem::swap(src, dst);
                options.clear();
            }
            Self::V6 {
                src,
                dst,
                extensions,
                ..
            } => {
                std::mem::swap(src, dst);
                extensions.clear();
            }
        }
        net
    }
}

impl Extension {
    fn kind(&self) -> u8 {
        match self {
            Self::HopByHop(_) => 0,
            Self::Destination(_) => 60,
            Self::Routing(_) => 43,
            Self::Atomic(..) => 44,
        }
    }

    fn to_bytes(&self, next_header: u8) -> Vec<u8> {
        match self {
            // Six bytes, and eight more for each unit of the length field.
            Self::HopByHop(content) | Self::Destination(content) => {
                let mut bytes = vec![next_header, ((content.len() - 6) / 8) as u8];
                bytes.extend(content);
                bytes
            }
            Self::Routing(content) => {
                let mut bytes = vec![next_header, ((content.len() - 6) / 8) as u8];
                bytes.extend(content);
                bytes[3] = 0;
                bytes
            }
            Self::Atomic(identification, reserved) => {
                let mut bytes = vec![next_header, *reserved, 0, 0];
                bytes.extend(identification.to_be_bytes());
                bytes
            }
        }
    }
}

impl Segment {
    /// Header and payload, with an arbitrary checksum: the parser must not care.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let header_len = 20 + self.options.len();
        let mut bytes = vec![0; header_len];
        bytes[20..].copy_from_slice(&self.options);
        bytes.extend(&self.payload);
        let mut tcp = MutableTcpPacket::new(&mut bytes).unwrap();
        tcp.set_source(self.src_port);
        tcp.set_destination(self.dst_port);
        tcp.set_sequence(self.seq);
        tcp.set_acknowledgement(self.ack);
        tcp.set_data_offset((header_len / 4) as u8);
        tcp.set_flags(self.flags);
        tcp.set_window(0x1234);
        tcp.set_checksum(self.seq as u16);
        bytes
    }
}

impl Datagram {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; 8];
        bytes.extend(&self.payload);
        let len = bytes.len() as u16;
        let mut udp = MutableUdpPacket::new(&mut bytes).unwrap();
        udp.set_source(self.src_port);
        udp.set_destination(self.dst_port);
        udp.set_length(len);
        udp.set_checksum(self.src_port);
        bytes
    }
}

/// Whole words of options, `max` bytes at most.
fn options(max: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<[u8; 4]>(), 0..=max / 4).prop_map(|words| words.concat())
}

fn extension_content() -> impl Strategy<Value = Vec<u8>> {
    (any::<[u8; 6]>(), vec(any::<[u8; 8]>(), 0..4)).prop_map(|(first, more)| {
        let mut content = first.to_vec();
        content.extend(more.concat());
        content
    })
}

fn extensions() -> impl Strategy<Value = Vec<Extension>> {
    let first = proptest::option::of(extension_content().prop_map(Extension::HopByHop));
    let more = prop_oneof![
        extension_content().prop_map(Extension::Destination),
        extension_content().prop_map(Extension::Routing),
        (any::<u32>(), any::<u8>()).prop_map(|(id, reserved)| Extension::Atomic(id, reserved)),
    ];
    (first, vec(more, 0..=5)).prop_map(|(first, more)| first.into_iter().chain(more).collect())
}

fn net_v4() -> impl Strategy<Value = Net> {
    (
        any::<Ipv4Addr>(),
        any::<Ipv4Addr>(),
        any::<u8>(),
        any::<u16>(),
        any::<bool>(),
        any::<u8>(),
        options(40),
    )
        .prop_map(
            |(src, dst, dscp_ecn, identification, dont_fragment, ttl, options)| Net::V4 {
                src,
                dst,
                dscp_ecn,
                identification,
                dont_fragment,
                ttl,
                options,
            },
        )
}

fn net_v6() -> impl Strategy<Value = Net> {
    // Mapped addresses are refused; proptest makes many.
    let address = || {
        any::<Ipv6Addr>().prop_map(|address| {
            address
                .to_ipv4_mapped()
                .map_or(address, |v4| v4.to_ipv6_compatible())
        })
    };
    (
        address(),
        address(),
        any::<u8>(),
        0..1_u32 << 20,
        any::<u8>(),
        extensions(),
    )
        .prop_map(
            |(src, dst, traffic_class, flow_label, hop_limit, extensions)| Net::V6 {
                src,
                dst,
                traffic_class,
                flow_label,
                hop_limit,
                extensions,
            },
        )
}

/// Any IP header of either family.
pub(crate) fn net() -> impl Strategy<Value = Net> {
    prop_oneof![net_v4(), net_v6()]
}

/// An IP header between two addresses that answers may go to and come from.
pub(crate) fn answerable_net() -> impl Strategy<Value = Net> {
    net().prop_map(|mut net| {
        match &mut net {
            Net::V4 { src, dst, .. } => {
                for address in [src, dst] {
                    let [_, b, c, d] = address.octets();
                    *address = Ipv4Addr::new(10 + b % 100, b, c, d);
                }
            }
            Net::V6 { src, dst, .. } => {
                for address in [src, dst] {
                    let low = u128::from(*address) >> 16;
                    *address = Ipv6Addr::from(low | 0x2001_u128 << 112);
                }
            }
        }
        net
    })
}

/// Any TCP segment.
pub(crate) fn segment() -> impl Strategy<Value = Segment> {
    (
        any::<u16>(),
        any::<u16>(),
        any::<u32>(),
        any::<u32>(),
        any::<u8>(),
        options(40),
        vec(any::<u8>(), 0..1500),
    )
        .prop_map(
            |(src_port, dst_port, seq, ack, flags, options, payload)| Segment {
                src_port,
                dst_port,
                seq,
                ack,
                flags,
                options,
                payload,
            },
        )
}

/// Any UDP datagram.
pub(crate) fn datagram() -> impl Strategy<Value = Datagram> {
    (any::<u16>(), any::<u16>(), vec(any::<u8>(), 0..1500)).prop_map(
        |(src_port, dst_port, payload)| Datagram {
            src_port,
            dst_port,
            payload,
        },
    )
}

/// An identifier, a sequence number and data of an echo request.
pub(crate) fn echo() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 4..1500)
}

/// The bytes of any packet of the kinds above, ICMP errors about them included.
pub(crate) fn packet() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (net(), segment()).prop_map(|(net, segment)| net.around(TCP, &segment.to_bytes())),
        (net(), datagram()).prop_map(|(net, datagram)| net.around(UDP, &datagram.to_bytes())),
        (net(), echo()).prop_map(|(net, echo)| {
            net.around_icmp(if net.is_ipv4() { 8 } else { 128 }, 0, &echo)
        }),
        (net(), segment(), any::<u8>()).prop_map(|(net, segment, kind)| {
            let quote = net.reversed().around(TCP, &segment.to_bytes());
            let kind = if net.is_ipv4() {
                [3, 11, 12][usize::from(kind) % 3]
            } else {
                1 + kind % 4
            };
            net.around_icmp(kind, 0, &[&[0; 4], &quote[..]].concat())
        }),
    ]
}
