use super::*;
use crate::packet::{Transport, parse};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use etherparse::{IpNumber, Ipv4Header, Ipv6Header, TcpHeader, TcpOptionElement, UdpHeader};
use proptest::prelude::*;

const V4: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)),
];
const V6: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2)),
];

/// An IP packet around a transport header.
fn wrap(ends: [IpAddr; 2], protocol: IpNumber, transport: &[u8], payload: &[u8]) -> Vec<u8> {
    let len = (transport.len() + payload.len()) as u16;
    let mut bytes = match ends {
        [IpAddr::V4(src), IpAddr::V4(dst)] => {
            let mut header =
                Ipv4Header::new(len, 64, protocol, src.octets(), dst.octets()).unwrap();
            header.dont_fragment = true;
            header.identification = 0xfffe;
            header.header_checksum = header.calc_header_checksum();
            header.to_bytes().to_vec()
        }
        [IpAddr::V6(src), IpAddr::V6(dst)] => Ipv6Header {
            payload_length: len,
            next_header: protocol,
            hop_limit: 64,
            source: src.octets(),
            destination: dst.octets(),
            ..Ipv6Header::default()
        }
        .to_bytes()
        .to_vec(),
        _ => panic!("ends of two families"),
    };
    bytes.extend_from_slice(transport);
    bytes.extend_from_slice(payload);
    bytes
}

fn tcp(ends: [IpAddr; 2], seq: u32, psh: bool, payload: &[u8]) -> Vec<u8> {
    let mut header = TcpHeader::new(40_000, 80, seq, 5_000);
    header.ack = true;
    header.acknowledgment_number = 77;
    header.psh = psh;
    header
        .set_options(&[
            TcpOptionElement::Noop,
            TcpOptionElement::Noop,
            TcpOptionElement::Timestamp(9, 8),
        ])
        .unwrap();
    let sum = match ends {
        [IpAddr::V4(src), IpAddr::V4(dst)] => {
            header.calc_checksum_ipv4_raw(src.octets(), dst.octets(), payload)
        }
        [IpAddr::V6(src), IpAddr::V6(dst)] => {
            header.calc_checksum_ipv6_raw(src.octets(), dst.octets(), payload)
        }
        _ => panic!("ends of two families"),
    };
    header.checksum = sum.unwrap();
    wrap(ends, IpNumber::TCP, &header.to_bytes(), payload)
}

fn udp(ends: [IpAddr; 2], payload: &[u8]) -> Vec<u8> {
    let header = match ends {
        [IpAddr::V4(src), IpAddr::V4(dst)] => {
            let ip = Ipv4Header::new(0, 64, IpNumber::UDP, src.octets(), dst.octets()).unwrap();
            UdpHeader::with_ipv4_checksum(40_000, 53, &ip, payload)
        }
        [IpAddr::V6(src), IpAddr::V6(dst)] => {
            let ip = Ipv6Header {
                source: src.octets(),
                destination: dst.octets(),
                ..Ipv6Header::default()
            };
            UdpHeader::with_ipv6_checksum(40_000, 53, &ip, payload)
        }
        _ => panic!("ends of two families"),
    };
    wrap(ends, IpNumber::UDP, &header.unwrap().to_bytes(), payload)
}

fn segments(kind: SegmentKind, size: u16) -> Segments {
    Segments {
        kind,
        size: NonZeroU16::new(size).unwrap(),
        header_len: 0,
    }
}

/// All segments of a large packet, whole.
fn cut(packet: &[u8], segments: Segments) -> Vec<Vec<u8>> {
    let split = Split::new(packet, segments).unwrap();
    (0..split.count())
        .map(|at| {
            let mut bytes = vec![0; split.header_len()];
            split.write_header(at, &mut bytes).unwrap();
            bytes.extend_from_slice(split.payload(at));
            bytes
        })
        .collect()
}

/// Whether all checksums of a packet are right, judged by another implementation.
fn is_sound(packet: &[u8]) -> bool {
    let headers = etherparse::PacketHeaders::from_ip_slice(packet).unwrap();
    let net = headers.net.unwrap();
    let ipv4_sound = match &net {
        etherparse::NetHeaders::Ipv4(header, _) => {
            header.calc_header_checksum() == header.header_checksum
                && usize::from(header.total_len) == packet.len()
        }
        _ => true,
    };
    let payload = headers.payload.slice();
    let (found, right) = match headers.transport.unwrap() {
        etherparse::TransportHeader::Tcp(header) => (
            header.checksum,
            match &net {
                etherparse::NetHeaders::Ipv4(ip, _) => header.calc_checksum_ipv4(ip, payload),
                etherparse::NetHeaders::Ipv6(ip, _) => header.calc_checksum_ipv6(ip, payload),
                etherparse::NetHeaders::Arp(_) => panic!("no IP"),
            }
            .unwrap(),
        ),
        etherparse::TransportHeader::Udp(header) => (
            header.checksum,
            match &net {
                etherparse::NetHeaders::Ipv4(ip, _) => header.calc_checksum_ipv4(ip, payload),
                etherparse::NetHeaders::Ipv6(ip, _) => header.calc_checksum_ipv6(ip, payload),
                etherparse::NetHeaders::Arp(_) => panic!("no IP"),
            }
            .unwrap(),
        ),
        other => panic!("{other:?}"),
    };
    ipv4_sound && found == right
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

#[test]
fn a_large_tcp_packet_is_cut_as_its_sender_would_have_cut_it() {
    for (ends, kind) in [(V4, SegmentKind::Tcp4), (V6, SegmentKind::Tcp6)] {
        let data = payload(3_500);
        let large = tcp(ends, u32::MAX - 1_000, true, &data);
        let small = cut(&large, segments(kind, 1_000));
        assert_eq!(small.len(), 4);
        for (at, packet) in small.iter().enumerate() {
            assert!(is_sound(packet), "segment {at}");
            let Transport::Tcp {
                seq,
                flags,
                payload_len,
                ..
            } = parse(packet).unwrap().transport
            else {
                panic!("no TCP");
            };
            assert_eq!(seq, (u32::MAX - 1_000).wrapping_add(at as u32 * 1_000));
            assert_eq!(flags.contains(TcpFlags::PSH), at == 3, "segment {at}");
            assert_eq!(payload_len, if at == 3 { 500 } else { 1_000 });
            let from = at * 1_000;
            assert_eq!(
                packet[packet.len() - payload_len..],
                data[from..from + payload_len]
            );
        }
        if kind == SegmentKind::Tcp4 {
            let ids: Vec<u16> = small
                .iter()
                .map(|p| u16::from_be_bytes([p[4], p[5]]))
                .collect();
            assert_eq!(ids, [0xfffe, 0xffff, 0, 1]);
        }
    }
}

#[test]
fn a_large_udp_packet_is_cut_into_datagrams() {
    for ends in [V4, V6] {
        let large = udp(ends, &payload(1_050));
        let small = cut(&large, segments(SegmentKind::Udp, 500));
        let lengths: Vec<usize> = small
            .iter()
            .map(|packet| {
                assert!(is_sound(packet));
                packet.len() - (large.len() - 1_050)
            })
            .collect();
        assert_eq!(lengths, [500, 500, 50]);
    }
}

#[test]
fn a_window_reduction_is_told_once_and_an_end_last() {
    let mut large = tcp(V4, 1, true, &payload(2_000));
    large[33] |= (TcpFlags::CWR | TcpFlags::FIN).bits();
    let tcp4 = segments(SegmentKind::Tcp4, 1_000);
    assert!(Split::new(&large, tcp4).unwrap().ends_flow());
    let open = tcp(V4, 1, true, &payload(2_000));
    assert!(!Split::new(&open, tcp4).unwrap().ends_flow());
    let small = cut(&large, tcp4);
    let flags: Vec<TcpFlags> = small.iter().map(|p| TcpFlags::from_bits(p[33])).collect();
    assert_eq!(
        flags,
        [
            TcpFlags::ACK | TcpFlags::CWR,
            TcpFlags::ACK | TcpFlags::PSH | TcpFlags::FIN
        ]
    );
}

#[test]
fn headers_that_do_not_fit_their_kind_are_refused() {
    let tcp4 = segments(SegmentKind::Tcp4, 1_000);
    let udp4 = segments(SegmentKind::Udp, 1_000);
    let packet = tcp(V4, 1, false, &payload(1_500));
    let check =
        |packet: &[u8], segments| Split::new(packet, segments).map(|s| s.count()).unwrap_err();
    assert_eq!(check(&packet, udp4), DropReason::BadTransportHeader);
    assert_eq!(check(&packet[..700], tcp4), DropReason::Truncated);
    assert_eq!(check(&[], tcp4), DropReason::Truncated);
    let mut short = packet.clone();
    short[32] = 0x40;
    assert_eq!(check(&short, tcp4), DropReason::BadTransportHeader);
    let mut long = tcp(V4, 1, false, &payload(10));
    long[32] = 0xf0;
    assert_eq!(check(&long, tcp4), DropReason::BadTransportHeader);
}

#[test]
fn a_partial_checksum_is_completed_in_place() {
    for ends in [V4, V6] {
        for (right, offset, at) in [
            (tcp(ends, 5, true, &payload(99)), 16, 0),
            (udp(ends, &payload(100)), 6, 0),
        ] {
            let start = if ends == V4 { 20 } else { 40 } + at;
            let mut partial = right.clone();
            let protocol = if offset == 16 { 6 } else { 17 };
            let sum = checksum::partial(ends[0], ends[1], protocol, right.len() - start);
            partial[start + offset..start + offset + 2].copy_from_slice(&sum.to_be_bytes());
            let place = PartialChecksum {
                start: start as u16,
                offset: offset as u16,
            };
            complete_checksum(&mut partial, place).unwrap();
            assert_eq!(partial, right);
        }
    }
    let mut packet = tcp(V4, 5, true, &[]);
    let before = packet.clone();
    for (start, offset) in [(65_535, 65_535), (20, 31), (52, 0), (50, 1)] {
        let place = PartialChecksum { start, offset };
        assert!(
            complete_checksum(&mut packet, place).is_err(),
            "{start} {offset}"
        );
        assert_eq!(packet, before);
    }
}

/// All packets through a [`Joined`], as they come out, each with how many went in.
fn join(packets: &[Vec<u8>]) -> Vec<(Vec<u8>, Offload, u64)> {
    let mut out = Vec::new();
    let mut joined = Joined::new();
    let flush = |joined: &mut Joined, out: &mut Vec<_>| {
        let count = joined.count();
        if let Some((bytes, offload)) = joined.take() {
            out.push((bytes.to_vec(), offload, count));
        }
        joined.clear();
    };
    for packet in packets {
        if !joined.push(packet) {
            flush(&mut joined, &mut out);
            if !joined.push(packet) {
                out.push((packet.clone(), Offload::NONE, 1));
            }
        }
    }
    flush(&mut joined, &mut out);
    out
}

#[test]
fn segments_that_follow_each_other_become_one() {
    for (ends, kind) in [(V4, SegmentKind::Tcp4), (V6, SegmentKind::Tcp6)] {
        let large = tcp(ends, 1, true, &payload(40_500));
        let small = cut(&large, segments(kind, 1_000));
        let joined = join(&small);
        let [(bytes, offload, 41)] = joined.as_slice() else {
            panic!("{} packets came out", joined.len());
        };
        assert_eq!(offload.segments.unwrap().size.get(), 1_000);
        let mut whole = bytes.clone();
        complete_checksum(&mut whole, offload.checksum.unwrap()).unwrap();
        assert_eq!(whole, large);
    }
}

/// What keeps a second segment from being joined, and whether it may begin a packet of its own.
#[test]
fn what_says_something_else_is_not_joined() {
    let first = tcp(V4, 1, false, &payload(1_000));
    let next = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = tcp(V4, 1_001, false, &payload(1_000));
        change(&mut packet);
        packet[10..12].fill(0);
        let sum = checksum::plain(&packet[..20]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        let header = ip::read(&packet).unwrap();
        packet[36..38].fill(0);
        let sum = checksum::with_pseudo_header(header.src, header.dst, 6, &packet[20..]);
        packet[36..38].copy_from_slice(&sum.to_be_bytes());
        packet
    };
    type Change = &'static dyn Fn(&mut Vec<u8>);
    let count = |packet| join(&[first.clone(), packet]).len();
    assert_eq!(count(next(&|_| {})), 1);
    let changes: [(&str, Change); 12] = [
        ("class of service", &|p| p[1] = 3),
        ("time to live", &|p| p[8] = 63),
        ("source", &|p| p[15] = 9),
        ("destination", &|p| p[19] = 9),
        ("source port", &|p| p[21] = 9),
        ("sequence number", &|p| p[27] ^= 1),
        ("acknowledgment", &|p| p[31] = 9),
        ("a reset", &|p| p[33] |= 4),
        ("an end", &|p| p[33] |= 1),
        ("window", &|p| p[35] = 1),
        ("urgent pointer", &|p| p[39] = 1),
        ("timestamp", &|p| p[51] = 99),
    ];
    for (what, change) in changes {
        assert_eq!(count(next(change)), 2, "{what}");
    }
    let mut wrong = next(&|_| {});
    wrong[1_040] ^= 1;
    assert_eq!(count(wrong.clone()), 2, "a wrong checksum");
    assert_eq!(
        join(&[wrong.clone()])[0].0,
        wrong,
        "it is handed on as it is"
    );
    let fragmentable = next(&|p| p[6] = 0);
    assert_eq!(count(fragmentable), 2);
}

#[test]
fn a_shorter_or_pushed_segment_is_the_last() {
    let packets = [
        tcp(V4, 1, false, &payload(1_000)),
        tcp(V4, 1_001, true, &payload(1_000)),
        tcp(V4, 2_001, false, &payload(1_000)),
        tcp(V4, 3_001, false, &payload(600)),
        tcp(V4, 3_601, false, &payload(1_000)),
    ];
    let counts: Vec<u64> = join(&packets).iter().map(|(_, _, count)| *count).collect();
    assert_eq!(counts, [2, 2, 1]);
}

#[test]
fn nothing_grows_past_the_largest_packet() {
    let packets: Vec<_> = (0..100)
        .map(|at| tcp(V4, at * 1_400, false, &payload(1_400)))
        .collect();
    let joined = join(&packets);
    assert!(joined.iter().all(|(bytes, _, _)| bytes.len() <= MAX_LARGE));
    assert_eq!(joined.iter().map(|(_, _, count)| count).sum::<u64>(), 100);
    assert_eq!(joined.len(), 3);
}

proptest! {
    #[test]
    fn joining_and_cutting_loses_nothing(
        sizes in prop::collection::vec((1_usize..2_000, any::<bool>(), 0_u8..8), 1..60),
    ) {
        let mut seq = 1_u32;
        let packets: Vec<_> = sizes
            .iter()
            .map(|&(len, psh, odd)| {
                if odd == 0 {
                    seq = seq.wrapping_add(1);
                }
                let packet = tcp(V4, seq, psh, &payload(len));
                seq = seq.wrapping_add(len as u32);
                packet
            })
            .collect();
        let mut out = Vec::new();
        for (bytes, offload, count) in join(&packets) {
            match offload.segments {
                Some(segments) => {
                    let cut = cut(&bytes, segments);
                    prop_assert_eq!(cut.len() as u64, count);
                    out.extend(cut);
                }
                None => out.push(bytes),
            }
        }
        // Identifications count up from the first's.
        let plain = |packet: &Vec<u8>| {
            let mut packet = packet.clone();
            packet[4..6].fill(0);
            packet[10..12].fill(0);
            packet
        };
        prop_assert_eq!(
            out.iter().map(plain).collect::<Vec<_>>(),
            packets.iter().map(plain).collect::<Vec<_>>()
        );
        prop_assert!(out.iter().all(|packet| is_sound(packet)));
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_cut_without_a_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        version in 0_u8..2,
        size in 1_u16..100,
        start in any::<u16>(),
        offset in any::<u16>(),
    ) {
        if let Some(first) = bytes.first_mut() {
            *first = if version == 0 { 0x45 } else { 0x60 };
        }
        for kind in [SegmentKind::Tcp4, SegmentKind::Tcp6, SegmentKind::Udp] {
            if let Ok(split) = Split::new(&bytes, segments(kind, size)) {
                let mut header = vec![0; split.header_len()];
                for at in 0..split.count() + 1 {
                    split.write_header(at, &mut header).unwrap();
                    let _ = split.payload(at);
                }
            }
        }
        let _ = join(&[bytes.clone(), bytes.clone()]);
        let _ = complete_checksum(&mut bytes, PartialChecksum { start, offset });
    }
}
