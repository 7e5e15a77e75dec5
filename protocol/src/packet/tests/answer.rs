use super::samples::*;
use crate::buffer::PacketBuf;
use crate::drop_reason::DropReason;
use crate::packet::{Packet, TcpFlags, Transport, parse, write_reset, write_unreachable};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const PORTS: (u16, u16) = (CLIENT_PORT, VIP_PORT);
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

type Answer = fn(&[u8], &mut PacketBuf) -> Result<(), DropReason>;

/// Checks an answer's IP header and transport checksum and gives its headers.
fn checked(bytes: &[u8]) -> Packet {
    let packet = parse(bytes).unwrap();
    assert_eq!(packet.total_len, bytes.len());
    assert_eq!(packet.hop_limit, 64);
    match packet.src {
        IpAddr::V4(_) => assert_eq!(checksum(&bytes[..20]), 0, "IPv4 header checksum"),
        IpAddr::V6(_) => assert_eq!(bytes[0] >> 4, 6),
    }
    let (protocol, transport) = match packet.src {
        IpAddr::V4(_) => (bytes[9], &bytes[20..]),
        IpAddr::V6(_) => (bytes[6], &bytes[40..]),
    };
    let sum = match protocol {
        ICMPV4 => checksum(transport),
        _ => pseudo_checksum(packet.src, packet.dst, protocol, transport),
    };
    assert_eq!(sum, 0, "transport checksum");
    packet
}

#[test]
fn a_reset_follows_rfc_9293() {
    for (client, vip) in pairs() {
        // (flags, payload of the segment) -> (flags, sequence number, acknowledgment number)
        let seq = 0xffff_fff0;
        let ack = 5_000;
        let cases: [(u8, &[u8], u8, u32, u32); 6] = [
            (SYN, &[], RST | ACK, 0, 0xffff_fff1),
            (SYN, &[0; 20], RST | ACK, 0, 5),
            (FIN, &[0; 3], RST | ACK, 0, 0xffff_fff4),
            (0, &[0; 100], RST | ACK, 0, 84),
            (ACK, &[0; 100], RST, ack, 0),
            (SYN | ACK, &[], RST, ack, 0),
        ];
        for (flags, payload, reset_flags, reset_seq, reset_ack) in cases {
            let original = ip(client, vip, TCP, &tcp(PORTS, seq, ack, flags, payload));
            let mut out = PacketBuf::new(0);
            write_reset(&original, &mut out).unwrap();
            let reset = checked(out.as_slice());
            assert_eq!((reset.src, reset.dst), (vip, client));
            assert_eq!(
                reset.transport,
                Transport::Tcp {
                    src_port: VIP_PORT,
                    dst_port: CLIENT_PORT,
                    seq: reset_seq,
                    ack: reset_ack,
                    flags: TcpFlags::from_bits(reset_flags),
                    header_len: 20,
                    payload_len: 0,
                },
                "flags {flags:#04x}"
            );
        }
    }
}

#[test]
fn bytes_past_the_packet_do_not_count_as_its_length() {
    let mut original = ipv4(CLIENT4, VIP4, TCP, &[], &tcp(PORTS, 100, 0, SYN, &[]));
    original.extend([0; 30]);
    let mut out = PacketBuf::default();
    write_reset(&original, &mut out).unwrap();
    let Transport::Tcp { ack, .. } = checked(out.as_slice()).transport else {
        panic!("no TCP segment");
    };
    assert_eq!(ack, 101);
}

#[test]
fn unreachable_quotes_the_packet() {
    for (client, vip) in pairs() {
        let original = ip(client, vip, UDP, &udp(PORTS, b"query"));
        let mut padded = original.clone();
        padded.extend([0xee; 30]);
        let mut out = PacketBuf::new(0);
        write_unreachable(&padded, &mut out).unwrap();
        let answer = checked(out.as_slice());
        assert_eq!((answer.src, answer.dst), (vip, client));
        let message = &out.as_slice()[if vip.is_ipv4() { 20 } else { 40 }..];
        let kind: [u8; 2] = if vip.is_ipv4() { [3, 3] } else { [1, 4] };
        assert_eq!(message[..2], kind);
        assert_eq!(message[4..8], [0; 4]);
        assert_eq!(message[8..], original);
        // The client finds its own socket by it.
        let Transport::IcmpError { quoted } = answer.transport else {
            panic!("no ICMP error");
        };
        assert_eq!((quoted.src, quoted.src_port), (client, CLIENT_PORT));
        assert_eq!((quoted.dst, quoted.dst_port), (vip, VIP_PORT));
    }
}

#[test]
fn unreachable_is_limited_in_length() {
    for (client, vip) in pairs() {
        let limit = if vip.is_ipv4() { 576 } else { 1280 };
        let headers = if vip.is_ipv4() { 20 + 8 } else { 40 + 8 };
        for original_len in [limit - headers - 1, limit - headers, limit, 9000] {
            let ip_udp = if vip.is_ipv4() { 28 } else { 48 };
            let payload = alloc::vec![0x5a; original_len - ip_udp];
            let original = ip(client, vip, UDP, &udp(PORTS, &payload));
            assert_eq!(original.len(), original_len);
            let mut out = PacketBuf::default();
            write_unreachable(&original, &mut out).unwrap();
            checked(out.as_slice());
            assert_eq!(out.len(), (headers + original_len).min(limit));
        }
    }
}

/// Neither kind of answer is given, and the buffer stays as it was.
fn assert_unanswered(original: &[u8], why_no_reset: DropReason, why_no_icmp: DropReason) {
    let answers: [(Answer, DropReason); 2] = [
        (write_reset, why_no_reset),
        (write_unreachable, why_no_icmp),
    ];
    for (answer, reason) in answers {
        let mut out = PacketBuf::from_packet(b"before");
        assert_eq!(answer(original, &mut out), Err(reason));
        assert_eq!(out.as_slice(), b"before");
    }
}

#[test]
fn a_reset_is_never_answered() {
    for (client, vip) in pairs() {
        for flags in [RST, RST | ACK, RST | SYN] {
            let reset = ip(client, vip, TCP, &tcp(PORTS, 1, 2, flags, &[]));
            assert_unanswered(&reset, DropReason::Refused, DropReason::Refused);
        }
    }
}

#[test]
fn icmp_is_never_answered_by_an_error_or_reset() {
    let ignored = DropReason::IcmpIgnored;
    for (client, vip) in pairs() {
        let (error, echo) = if vip.is_ipv4() { (3, 8) } else { (1, 128) };
        let sent = ip(
            vip,
            client,
            TCP,
            &tcp((VIP_PORT, CLIENT_PORT), 1, 2, ACK, &[]),
        );
        assert_unanswered(&icmp_error(vip, error, &sent), ignored, ignored);
        assert_unanswered(&icmp_error(vip, error, &sent[..10]), ignored, ignored);
        assert_unanswered(&icmp(client, vip, echo, 0, &[0; 4]), ignored, ignored);
        // A redirect is an error too, if none that names a flow.
        assert_unanswered(&icmp(client, vip, 5, 0, &sent), ignored, ignored);
    }
}

#[test]
fn who_is_no_single_host_gets_no_answer() {
    let bad = DropReason::BadIpHeader;
    let segment = tcp(PORTS, 1, 0, SYN, &[]);
    for src in [
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::new(0, 1, 2, 3),
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::new(224, 0, 0, 1),
        Ipv4Addr::new(239, 255, 255, 255),
        Ipv4Addr::BROADCAST,
    ] {
        assert_unanswered(&ipv4(src, VIP4, TCP, &[], &segment), bad, bad);
        assert_unanswered(&ipv4(CLIENT4, src, TCP, &[], &segment), bad, bad);
    }
    for src in [
        Ipv6Addr::UNSPECIFIED,
        Ipv6Addr::LOCALHOST,
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
        Ipv6Addr::new(0xff1e, 0, 0, 0, 0, 0, 0, 1),
    ] {
        assert_unanswered(&ipv6(src, VIP6, TCP, &segment), bad, bad);
        assert_unanswered(&ipv6(CLIENT6, src, TCP, &segment), bad, bad);
    }
}

#[test]
fn what_has_no_answer() {
    for (client, vip) in pairs() {
        let datagram = ip(client, vip, UDP, &udp(PORTS, &[]));
        let mut out = PacketBuf::default();
        assert_eq!(
            write_reset(&datagram, &mut out),
            Err(DropReason::BadTransportHeader)
        );
        let sctp = ip(client, vip, 132, &[0; 12]);
        assert_unanswered(&sctp, DropReason::BadTransportHeader, DropReason::NoService);
    }
    let mut fragment = ipv4(CLIENT4, VIP4, TCP, &[], &tcp(PORTS, 1, 0, SYN, &[]));
    fragment[6] = 0x20;
    assert_unanswered(&fragment, DropReason::Fragment, DropReason::Fragment);
    assert_unanswered(&[], DropReason::Truncated, DropReason::Truncated);
}
