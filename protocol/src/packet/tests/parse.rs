use super::samples::*;
use crate::drop_reason::DropReason;
use crate::flow::FlowKey;
use crate::message::Intent;
use crate::number::{Protocol, ServiceNumber};
use crate::packet::{MAX_EXTENSION_HEADERS, Packet, Quoted, TcpFlags, Transport, parse};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const TO_VIP: (u16, u16) = (CLIENT_PORT, VIP_PORT);
const TO_CLIENT: (u16, u16) = (VIP_PORT, CLIENT_PORT);
const SYN: u8 = 0x02;

fn service() -> ServiceNumber {
    ServiceNumber::new(5).unwrap()
}

#[test]
fn reads_every_field_of_a_syn() {
    // 127.0.0.1:45678 to 127.0.0.1:80 with the options of a Linux client and a partial checksum.
    let bytes = [
        0x45, 0x00, 0x00, 0x3c, 0x1c, 0x46, 0x40, 0x00, 0x40, 0x06, 0x20, 0x74, 0x7f, 0x00, 0x00,
        0x01, 0x7f, 0x00, 0x00, 0x01, 0xb2, 0x6e, 0x00, 0x50, 0xde, 0xad, 0xbe, 0xef, 0x00, 0x00,
        0x00, 0x00, 0xa0, 0x02, 0xff, 0xd7, 0xfe, 0x30, 0x00, 0x00, 0x02, 0x04, 0xff, 0xd7, 0x04,
        0x02, 0x08, 0x0a, 0x00, 0x01, 0x02, 0x03, 0x00, 0x00, 0x00, 0x00, 0x01, 0x03, 0x03, 0x07,
    ];
    let local: IpAddr = Ipv4Addr::LOCALHOST.into();
    let packet = parse(&bytes).unwrap();
    assert_eq!(
        packet,
        Packet {
            src: local,
            dst: local,
            transport: Transport::Tcp {
                src_port: 45_678,
                dst_port: 80,
                seq: 0xdead_beef,
                ack: 0,
                flags: TcpFlags::SYN,
                header_len: 40,
                payload_len: 0,
            },
            total_len: 60,
            dscp_ecn: 0,
            hop_limit: 64,
        }
    );
    assert!(packet.is_syn());
    assert_eq!(packet.intent(), Some(Intent::Syn));
}

#[test]
fn reads_tcp_in_both_families() {
    for (client, vip) in pairs() {
        let bytes = ip(client, vip, TCP, &tcp(TO_VIP, 1000, 2000, 0x18, b"hello"));
        let packet = parse(&bytes).unwrap();
        assert_eq!(
            packet,
            Packet {
                src: client,
                dst: vip,
                transport: Transport::Tcp {
                    src_port: CLIENT_PORT,
                    dst_port: VIP_PORT,
                    seq: 1000,
                    ack: 2000,
                    flags: TcpFlags::PSH | TcpFlags::ACK,
                    header_len: 24,
                    payload_len: 5,
                },
                total_len: bytes.len(),
                dscp_ecn: 0xb9,
                hop_limit: 57,
            }
        );
        assert_eq!(packet.intent(), Some(Intent::MidFlow));
        assert_eq!(packet.vip_endpoint(), Some((vip, Protocol::Tcp, VIP_PORT)));
        let key = FlowKey::new(client, CLIENT_PORT, service(), VIP_PORT);
        assert_eq!(packet.flow_key(service()), Some(key));
    }
}

#[test]
fn reads_udp_in_both_families() {
    for (client, vip) in pairs() {
        let packet = parse(&ip(client, vip, UDP, &udp(TO_VIP, b"query"))).unwrap();
        assert_eq!(
            packet.transport,
            Transport::Udp {
                src_port: CLIENT_PORT,
                dst_port: VIP_PORT
            }
        );
        assert_eq!(packet.intent(), Some(Intent::Datagram));
        assert!(!packet.is_syn());
        assert_eq!(packet.vip_endpoint(), Some((vip, Protocol::Udp, VIP_PORT)));
        let key = FlowKey::new(client, CLIENT_PORT, service(), VIP_PORT);
        assert_eq!(packet.flow_key(service()), Some(key));
    }
}

#[test]
fn only_a_syn_alone_opens() {
    for bits in 0..=u8::MAX {
        let bytes = ipv4(CLIENT4, VIP4, TCP, &[], &tcp(TO_VIP, 1, 2, bits, &[]));
        let packet = parse(&bytes).unwrap();
        let opens = bits & 0x17 == SYN;
        assert_eq!(packet.is_syn(), opens, "flags {bits:#04x}");
        let intent = if opens { Intent::Syn } else { Intent::MidFlow };
        assert_eq!(packet.intent(), Some(intent), "flags {bits:#04x}");
    }
}

#[test]
fn steps_over_ipv4_options() {
    let options = [0x94, 0x04, 0x00, 0x00, 0x01, 0x01, 0x01, 0x00];
    let bytes = ipv4(CLIENT4, VIP4, UDP, &options, &udp(TO_VIP, b"x"));
    let packet = parse(&bytes).unwrap();
    assert_eq!(
        packet.vip_endpoint(),
        Some((VIP4.into(), Protocol::Udp, VIP_PORT))
    );
    assert_eq!(packet.total_len, 20 + 8 + 8 + 1);
}

/// Extension headers in front of a SYN; each is (kind, its bytes from the second on).
fn extended(headers: &[(u8, &[u8])]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (at, (_, bytes)) in headers.iter().enumerate() {
        payload.push(headers.get(at + 1).map_or(TCP, |next| next.0));
        payload.extend(*bytes);
    }
    payload.extend(tcp(TO_VIP, 7, 0, SYN, &[]));
    ipv6(
        CLIENT6,
        VIP6,
        headers.first().map_or(TCP, |first| first.0),
        &payload,
    )
}

const PADDING: &[u8] = &[0, 1, 4, 0, 0, 0, 0];
const LONG_PADDING: &[u8] = &[1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const ROUTED: &[u8] = &[0, 4, 0, 0, 0, 0, 0];
const ATOMIC: &[u8] = &[0, 0, 0, 0, 0, 0, 1];

#[test]
fn steps_over_ipv6_extension_headers() {
    let bytes = extended(&[
        (0, PADDING),
        (60, LONG_PADDING),
        (43, ROUTED),
        (44, ATOMIC),
        (60, PADDING),
    ]);
    let packet = parse(&bytes).unwrap();
    assert!(packet.is_syn());
    assert_eq!(
        packet.vip_endpoint(),
        Some((VIP6.into(), Protocol::Tcp, VIP_PORT))
    );
    assert_eq!(packet.total_len, bytes.len());
}

#[test]
fn number_of_extension_headers_is_bounded() {
    let most = [(60, PADDING); MAX_EXTENSION_HEADERS];
    assert!(parse(&extended(&most)).unwrap().is_syn());
    let too_many = [(60, PADDING); MAX_EXTENSION_HEADERS + 1];
    assert_eq!(parse(&extended(&too_many)), Err(DropReason::BadIpHeader));
}

#[test]
fn extension_headers_that_can_not_be() {
    // Hop-by-hop options anywhere but first.
    let late = extended(&[(60, PADDING), (0, PADDING)]);
    assert_eq!(parse(&late), Err(DropReason::BadIpHeader));
    // The VIP is a stop on the way of a source route, not its end.
    let on_the_way = extended(&[(43, &[0, 4, 1, 0, 0, 0, 0])]);
    assert_eq!(parse(&on_the_way), Err(DropReason::BadIpHeader));
    // A header that says it goes on past the packet's end.
    let endless = extended(&[(60, &[0xff, 1, 4, 0, 0, 0, 0])]);
    assert_eq!(parse(&endless), Err(DropReason::Truncated));
}

#[test]
fn ipsec_and_unknown_protocols_are_other() {
    for protocol in [50, 51, 59, 132, 135, 253] {
        for (client, vip) in pairs() {
            let packet = parse(&ip(client, vip, protocol, &[0; 40])).unwrap();
            assert_eq!(packet.transport, Transport::Other(protocol));
            assert_eq!(packet.intent(), None);
            assert_eq!(packet.vip_endpoint(), None);
            assert_eq!(packet.flow_key(service()), None);
        }
    }
}

#[test]
fn icmp_of_the_other_family_is_other() {
    let v4 = ipv4(CLIENT4, VIP4, ICMPV6, &[], &[128, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(parse(&v4).unwrap().transport, Transport::Other(ICMPV6));
    let v6 = ipv6(CLIENT6, VIP6, ICMPV4, &[8, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(parse(&v6).unwrap().transport, Transport::Other(ICMPV4));
}

#[test]
fn fragments_are_turned_away() {
    for flags_offset in [0x2000_u16, 0x0001, 0x1fff, 0x2005] {
        let mut bytes = ipv4(CLIENT4, VIP4, TCP, &[], &tcp(TO_VIP, 1, 0, SYN, &[]));
        bytes[6..8].copy_from_slice(&flags_offset.to_be_bytes());
        assert_eq!(
            parse(&bytes),
            Err(DropReason::Fragment),
            "{flags_offset:#06x}"
        );
    }
    for [high, low] in [[0, 1], [0, 8], [0xff, 0xf8], [0, 9]] {
        let bytes = extended(&[(44, &[0, high, low, 0, 0, 0, 1])]);
        assert_eq!(parse(&bytes), Err(DropReason::Fragment));
    }
    // Don't fragment, the reserved bits: no fragment.
    let mut bytes = ipv4(CLIENT4, VIP4, TCP, &[], &tcp(TO_VIP, 1, 0, SYN, &[]));
    bytes[6] = 0xc0;
    assert!(parse(&bytes).is_ok());
    assert!(parse(&extended(&[(44, &[0, 0, 0x06, 0, 0, 0, 1])])).is_ok());
}

#[test]
fn a_first_fragment_too_short_for_ports_is_a_fragment() {
    let mut bytes = ipv4(CLIENT4, VIP4, TCP, &[], &[]);
    bytes[6] = 0x20;
    assert_eq!(parse(&bytes), Err(DropReason::Fragment));
}

#[test]
fn what_is_cut_off_is_truncated() {
    for (client, vip) in pairs() {
        for bytes in [
            ip(client, vip, TCP, &tcp(TO_VIP, 1, 0, SYN, b"data")),
            ip(client, vip, UDP, &udp(TO_VIP, b"data")),
            icmp(
                client,
                vip,
                if vip.is_ipv4() { 8 } else { 128 },
                0,
                &[0, 1, 0, 1],
            ),
        ] {
            for len in 0..bytes.len() {
                assert_eq!(parse(&bytes[..len]), Err(DropReason::Truncated), "at {len}");
            }
        }
    }
}

#[test]
fn bytes_past_the_packet_are_not_its_own() {
    for (client, vip) in pairs() {
        let bytes = ip(client, vip, TCP, &tcp(TO_VIP, 1, 0, SYN, b"data"));
        let mut padded = bytes.clone();
        padded.extend([0xee; 50]);
        assert_eq!(parse(&padded), parse(&bytes));
        assert_eq!(parse(&padded).unwrap().total_len, bytes.len());
    }
    // A transport header that lies partly past the packet's end is not read there.
    let mut short = ipv4(CLIENT4, VIP4, TCP, &[], &tcp(TO_VIP, 1, 0, SYN, &[]));
    short[2..4].copy_from_slice(&30_u16.to_be_bytes());
    assert_eq!(parse(&short), Err(DropReason::Truncated));
}

#[test]
fn neither_version_4_nor_6_is_no_ip() {
    for version in (0..16_u8).filter(|version| ![4, 6].contains(version)) {
        assert_eq!(parse(&[version << 4; 60]), Err(DropReason::NotIp));
    }
}

#[test]
fn lengths_that_can_not_be() {
    let segment = tcp(TO_VIP, 1, 0, SYN, &[]);
    let good = ipv4(CLIENT4, VIP4, TCP, &[], &segment);

    let mut short_header = good.clone();
    short_header[0] = 0x44;
    assert_eq!(parse(&short_header), Err(DropReason::BadIpHeader));

    let mut shorter_than_header = good.clone();
    shorter_than_header[2..4].copy_from_slice(&19_u16.to_be_bytes());
    assert_eq!(parse(&shorter_than_header), Err(DropReason::BadIpHeader));

    let mut low_offset = good.clone();
    low_offset[20 + 12] = 0x40;
    assert_eq!(parse(&low_offset), Err(DropReason::BadTransportHeader));

    let mut high_offset = good;
    high_offset[20 + 12] = 0x70;
    assert_eq!(parse(&high_offset), Err(DropReason::Truncated));

    for udp_length in [0_u16, 7, 10, 0xffff] {
        let mut datagram = udp(TO_VIP, b"x");
        datagram[4..6].copy_from_slice(&udp_length.to_be_bytes());
        let bytes = ipv4(CLIENT4, VIP4, UDP, &[], &datagram);
        assert_eq!(
            parse(&bytes),
            Err(DropReason::BadTransportHeader),
            "{udp_length}"
        );
    }
}

#[test]
fn a_mapped_address_can_not_pass_for_ipv4() {
    let segment = tcp(TO_VIP, 1, 0, SYN, &[]);
    let mapped = CLIENT4.to_ipv6_mapped();
    for (src, dst) in [(mapped, VIP6), (CLIENT6, mapped)] {
        let bytes = ipv6(src, dst, TCP, &segment);
        assert_eq!(parse(&bytes), Err(DropReason::BadIpHeader));
    }
}

#[test]
fn echo_requests() {
    let echo = [0x12, 0x34, 0, 1, b'p'];
    let v4 = parse(&icmp(CLIENT4.into(), VIP4.into(), 8, 0, &echo)).unwrap();
    assert_eq!(v4.transport, Transport::EchoRequest);
    let v6 = parse(&icmp(CLIENT6.into(), VIP6.into(), 128, 0, &echo)).unwrap();
    assert_eq!(v6.transport, Transport::EchoRequest);
    for packet in [v4, v6] {
        assert_eq!(packet.intent(), None);
        assert_eq!(packet.vip_endpoint(), None);
        assert_eq!(packet.flow_key(service()), None);
    }
}

#[test]
fn other_icmp() {
    // Echo replies, source quench, redirects, router and neighbour solicitations, echo requests
    // with a code, reserved types.
    for (kind, code) in [(0, 0), (4, 0), (5, 1), (8, 1), (10, 0), (13, 0), (255, 0)] {
        let bytes = icmp(CLIENT4.into(), VIP4.into(), kind, code, &[0; 40]);
        assert_eq!(
            parse(&bytes).unwrap().transport,
            Transport::OtherIcmp,
            "{kind}/{code}"
        );
    }
    for (kind, code) in [
        (0, 0),
        (100, 0),
        (128, 1),
        (129, 0),
        (133, 0),
        (135, 0),
        (137, 0),
    ] {
        let bytes = icmp(CLIENT6.into(), VIP6.into(), kind, code, &[0; 60]);
        assert_eq!(
            parse(&bytes).unwrap().transport,
            Transport::OtherIcmp,
            "{kind}/{code}"
        );
    }
}

/// The types of errors in the family of `to`.
fn error_types(to: IpAddr) -> &'static [u8] {
    if to.is_ipv4() {
        &[3, 11, 12]
    } else {
        &[1, 2, 3, 4]
    }
}

#[test]
fn errors_name_the_flow_that_they_quote() {
    for (client, vip) in pairs() {
        let segment = tcp(TO_CLIENT, 77, 88, 0x10, &[0; 100]);
        let datagram = udp(TO_CLIENT, &[0; 100]);
        for (protocol, number, payload, seq) in [
            (Protocol::Tcp, TCP, segment, 77),
            (Protocol::Udp, UDP, datagram, 0),
        ] {
            let sent = ip(vip, client, number, &payload);
            let ip_len = sent.len() - payload.len();
            for kind in error_types(vip) {
                // RFC 792: at least the IP header and 64 bits; the quoted length stays whole.
                for quoted_len in [ip_len + 8, ip_len + 20, sent.len()] {
                    let packet = parse(&icmp_error(vip, *kind, &sent[..quoted_len])).unwrap();
                    let quoted = Quoted {
                        src: vip,
                        dst: client,
                        protocol,
                        src_port: VIP_PORT,
                        dst_port: CLIENT_PORT,
                        seq,
                    };
                    assert_eq!(packet.transport, Transport::IcmpError { quoted });
                    assert_eq!(packet.intent(), Some(Intent::MidFlow));
                    assert_eq!(packet.vip_endpoint(), Some((vip, protocol, VIP_PORT)));
                    let key = FlowKey::new(client, CLIENT_PORT, service(), VIP_PORT);
                    assert_eq!(packet.flow_key(service()), Some(key));
                }
            }
        }
    }
}

#[test]
fn quotes_with_options_and_extension_headers() {
    let quote = ipv4(VIP4, CLIENT4, UDP, &[1, 1, 1, 0], &udp(TO_CLIENT, b"x"));
    let packet = parse(&icmp_error(VIP4.into(), 3, &quote)).unwrap();
    assert_eq!(
        packet.vip_endpoint(),
        Some((VIP4.into(), Protocol::Udp, VIP_PORT))
    );

    let mut payload = vec![UDP];
    payload.extend(PADDING);
    payload.extend(udp(TO_CLIENT, b"x"));
    let quote = ipv6(VIP6, CLIENT6, 60, &payload);
    let packet = parse(&icmp_error(VIP6.into(), 2, &quote)).unwrap();
    assert_eq!(
        packet.vip_endpoint(),
        Some((VIP6.into(), Protocol::Udp, VIP_PORT))
    );
}

#[test]
fn a_quoted_first_fragment_has_ports_and_a_later_one_has_none() {
    let mut quote = ipv4(VIP4, CLIENT4, UDP, &[], &udp(TO_CLIENT, &[0; 32]));
    quote[6..8].copy_from_slice(&0x2000_u16.to_be_bytes());
    let first = parse(&icmp_error(VIP4.into(), 11, &quote)).unwrap();
    assert!(first.vip_endpoint().is_some());
    quote[6..8].copy_from_slice(&0x2001_u16.to_be_bytes());
    let later = parse(&icmp_error(VIP4.into(), 11, &quote)).unwrap();
    assert_eq!(later.transport, Transport::OtherIcmp);

    for (offset_low, is_first) in [(1, true), (9, false)] {
        let mut payload = vec![UDP, 0, 0, offset_low, 0, 0, 0, 1];
        payload.extend(udp(TO_CLIENT, &[0; 32]));
        let quote = ipv6(VIP6, CLIENT6, 44, &payload);
        let packet = parse(&icmp_error(VIP6.into(), 3, &quote)).unwrap();
        assert_eq!(packet.vip_endpoint().is_some(), is_first);
    }
}

#[test]
fn errors_that_quote_no_whole_flow_are_other_icmp() {
    for (client, vip) in pairs() {
        let kind = error_types(vip)[0];
        let sent = ip(vip, client, UDP, &udp(TO_CLIENT, b"x"));
        let ip_len = sent.len() - 9;
        // Less than 8 bytes of the transport header, or not even the IP header.
        for quoted_len in 0..ip_len + 8 {
            let packet = parse(&icmp_error(vip, kind, &sent[..quoted_len])).unwrap();
            assert_eq!(packet.transport, Transport::OtherIcmp, "{quoted_len} bytes");
        }
        // Another protocol: the answer to a ping.
        let echo_reply = icmp(vip, client, if vip.is_ipv4() { 0 } else { 129 }, 0, &[0; 4]);
        let packet = parse(&icmp_error(vip, kind, &echo_reply)).unwrap();
        assert_eq!(packet.transport, Transport::OtherIcmp);
        // Sent by somebody else than the one who gets the error.
        let forged = ip(client, vip, UDP, &udp(TO_VIP, b"x"));
        let packet = parse(&icmp_error(vip, kind, &forged)).unwrap();
        assert_eq!(packet.transport, Transport::OtherIcmp);
    }
    // A quote of the other family.
    let v6 = ipv6(VIP6, CLIENT6, UDP, &udp(TO_CLIENT, b"x"));
    let packet = parse(&icmp_error(VIP4.into(), 3, &v6)).unwrap();
    assert_eq!(packet.transport, Transport::OtherIcmp);
}

#[test]
fn unspecified_addresses_do_not_confuse_the_parser() {
    // A router solicitation from the unspecified address, as a TUN device sees them.
    let bytes = icmp(
        Ipv6Addr::UNSPECIFIED.into(),
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2).into(),
        133,
        0,
        &[0; 4],
    );
    assert_eq!(parse(&bytes).unwrap().transport, Transport::OtherIcmp);
}
