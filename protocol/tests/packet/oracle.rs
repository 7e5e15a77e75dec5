//! What etherparse and pnet see in a packet.

use crate::generate::{ICMPV4, ICMPV6, TCP, UDP};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use pnet_packet::Packet as _;
use pnet_packet::icmp::IcmpPacket;
use pnet_packet::icmpv6::Icmpv6Packet;
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;
use pnet_packet::tcp::TcpPacket;
use pnet_packet::udp::UdpPacket;
use std::net::IpAddr;

/// The fields that all three parsers name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) dscp_ecn: u8,
    pub(crate) hop_limit: u8,
    pub(crate) upper: Upper,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Upper {
    Tcp {
        ports: (u16, u16),
        seq: u32,
        ack: u32,
        flags: u8,
        header_len: usize,
        payload_len: usize,
    },
    Udp {
        ports: (u16, u16),
    },
    Icmp {
        kind: u8,
        code: u8,
    },
    Fragment,
    Other,
}

/// What etherparse sees; `None` if it refuses the packet.
pub(crate) fn etherparse_sees(bytes: &[u8]) -> Option<Seen> {
    let packet = SlicedPacket::from_ip(bytes).ok()?;
    let (src, dst, dscp_ecn, hop_limit, is_fragment): (IpAddr, IpAddr, _, _, _) = match packet.net?
    {
        NetSlice::Ipv4(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
            ip.header().dcp().value() << 2 | ip.header().ecn().value(),
            ip.header().ttl(),
            ip.is_payload_fragmented(),
        ),
        NetSlice::Ipv6(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
            ip.header().traffic_class(),
            ip.header().hop_limit(),
            ip.is_payload_fragmented(),
        ),
        NetSlice::Arp(_) => return None,
    };
    let upper = match packet.transport {
        _ if is_fragment => Upper::Fragment,
        Some(TransportSlice::Tcp(tcp)) => Upper::Tcp {
            ports: (tcp.source_port(), tcp.destination_port()),
            seq: tcp.sequence_number(),
            ack: tcp.acknowledgment_number(),
            flags: tcp.header_slice()[13],
            header_len: tcp.header_len(),
            payload_len: tcp.payload().len(),
        },
        Some(TransportSlice::Udp(udp)) => Upper::Udp {
            ports: (udp.source_port(), udp.destination_port()),
        },
        Some(TransportSlice::Icmpv4(icmp)) if src.is_ipv4() => Upper::Icmp {
            kind: icmp.type_u8(),
            code: icmp.code_u8(),
        },
        Some(TransportSlice::Icmpv6(icmp)) if src.is_ipv6() => Upper::Icmp {
            kind: icmp.type_u8(),
            code: icmp.code_u8(),
        },
        _ => Upper::Other,
    };
    Some(Seen {
        src,
        dst,
        dscp_ecn,
        hop_limit,
        upper,
    })
}

/// What pnet sees in a well-formed packet without IPv6 extension headers. Panics where a checksum
/// of `checked` packets is wrong.
pub(crate) fn pnet_sees(bytes: &[u8], checked: bool) -> Seen {
    let (src, dst, dscp_ecn, hop_limit, protocol, payload): (IpAddr, IpAddr, _, _, _, Vec<u8>) =
        if bytes[0] >> 4 == 4 {
            let ip = Ipv4Packet::new(bytes).unwrap();
            if checked {
                assert_eq!(ip.get_checksum(), pnet_packet::ipv4::checksum(&ip));
            }
            (
                ip.get_source().into(),
                ip.get_destination().into(),
                ip.get_dscp() << 2 | ip.get_ecn(),
                ip.get_ttl(),
                ip.get_next_level_protocol().0,
                ip.payload().to_vec(),
            )
        } else {
            let ip = Ipv6Packet::new(bytes).unwrap();
            (
                ip.get_source().into(),
                ip.get_destination().into(),
                ip.get_traffic_class(),
                ip.get_hop_limit(),
                ip.get_next_header().0,
                ip.payload().to_vec(),
            )
        };
    let upper = match protocol {
        TCP => {
            let tcp = TcpPacket::new(&payload).unwrap();
            if checked {
                let sum = match (src, dst) {
                    (IpAddr::V4(src), IpAddr::V4(dst)) => {
                        pnet_packet::tcp::ipv4_checksum(&tcp, &src, &dst)
                    }
                    (IpAddr::V6(src), IpAddr::V6(dst)) => {
                        pnet_packet::tcp::ipv6_checksum(&tcp, &src, &dst)
                    }
                    _ => unreachable!("addresses of two families"),
                };
                assert_eq!(tcp.get_checksum(), sum);
            }
            Upper::Tcp {
                ports: (tcp.get_source(), tcp.get_destination()),
                seq: tcp.get_sequence(),
                ack: tcp.get_acknowledgement(),
                flags: tcp.get_flags(),
                header_len: usize::from(tcp.get_data_offset()) * 4,
                payload_len: tcp.payload().len(),
            }
        }
        UDP => {
            let udp = UdpPacket::new(&payload).unwrap();
            Upper::Udp {
                ports: (udp.get_source(), udp.get_destination()),
            }
        }
        ICMPV4 => {
            let icmp = IcmpPacket::new(&payload).unwrap();
            if checked {
                assert_eq!(icmp.get_checksum(), pnet_packet::icmp::checksum(&icmp));
            }
            Upper::Icmp {
                kind: icmp.get_icmp_type().0,
                code: icmp.get_icmp_code().0,
            }
        }
        ICMPV6 => {
            let icmp = Icmpv6Packet::new(&payload).unwrap();
            if let (true, IpAddr::V6(src), IpAddr::V6(dst)) = (checked, src, dst) {
                let sum = pnet_packet::icmpv6::checksum(&icmp, &src, &dst);
                assert_eq!(icmp.get_checksum(), sum);
            }
            Upper::Icmp {
                kind: icmp.get_icmpv6_type().0,
                code: icmp.get_icmpv6_code().0,
            }
        }
        _ => Upper::Other,
    };
    Seen {
        src,
        dst,
        dscp_ecn,
        hop_limit,
        upper,
    }
}
