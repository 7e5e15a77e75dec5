//! Random and damaged bytes: no panic, no answer that goes astray, and no other reading than
//! etherparse's.

use crate::agreement::seen;
use crate::generate;
use crate::oracle::{Upper, etherparse_sees, pnet_sees};
use jlb_protocol::packet::{
    Packet, TcpFlags, Transport, answer_echo, parse, read_plain, source, write_reset,
    write_unreachable,
};
use jlb_protocol::{DropReason, PacketBuf, ServiceNumber};
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::IpAddr;

/// Bytes that look like IP to a varying degree.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let noise = vec(any::<u8>(), 0..300);
    let versioned =
        (any::<bool>(), 0_u8..16, vec(any::<u8>(), 0..300)).prop_map(|(v4, low, mut bytes)| {
            if let Some(first) = bytes.first_mut() {
                *first = if v4 { 0x40 } else { 0x60 } | low;
            }
            bytes
        });
    prop_oneof![noise, versioned, damaged(), damaged()]
}

/// Real packets with a few bytes of their first hundred changed, then cut.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let change = (0_usize..100, prop_oneof![any::<u8>(), 0..4_u8, Just(0xff)]);
    (
        generate::packet(),
        vec(change, 0..4),
        prop_oneof![Just(usize::MAX), 0_usize..150],
    )
        .prop_map(|(mut bytes, changes, cut)| {
            for (at, value) in changes {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            bytes.truncate(cut);
            bytes
        })
}

/// The whole surface, once.
fn touch(bytes: &[u8]) -> Result<Packet, DropReason> {
    let mut out = PacketBuf::new(0);
    for answer in [write_reset, write_unreachable] {
        if answer(bytes, &mut out).is_ok() {
            assert!(out.len() <= 1280);
            let (answer, original) = (parse(out.as_slice()).unwrap(), parse(bytes).unwrap());
            assert_eq!((answer.src, answer.dst), (original.dst, original.src));
            pnet_sees(out.as_slice(), true);
        }
    }
    let mut echo = PacketBuf::from_packet(bytes);
    if answer_echo(&mut echo).is_ok() {
        pnet_sees(echo.as_slice(), true);
    } else {
        assert_eq!(echo.as_slice(), bytes);
    }
    plain_is_parsed(bytes);
    let packet = parse(bytes)?;
    assert!(packet.total_len <= bytes.len());
    let service = ServiceNumber::new(1).unwrap();
    let has_flow = packet.flow_key(service).is_some();
    assert_eq!(packet.vip_endpoint().is_some(), has_flow);
    assert_eq!(packet.intent().is_some(), has_flow);
    Ok(packet)
}

/// The short way reads what the long one reads, and is taken by all packets that are plain.
fn plain_is_parsed(bytes: &[u8]) {
    let (plain, parsed) = (read_plain(bytes), parse(bytes));
    let Some(plain) = plain else {
        let Ok(packet) = parsed else {
            return;
        };
        let is_flow = matches!(
            packet.transport,
            Transport::Tcp { .. } | Transport::Udp { .. }
        );
        // IPv4 options, or IPv6 extension headers.
        let next_header = if bytes[0] >> 4 == 4 {
            bytes[9]
        } else {
            bytes[6]
        };
        let is_plain = bytes[0] == 0x45 || bytes[0] >> 4 == 6 && [6, 17].contains(&next_header);
        assert!(!(is_flow && is_plain), "{packet:?}");
        return;
    };
    let packet = parsed.unwrap();
    assert_eq!(plain.packet(bytes), Some(packet));
    let service = ServiceNumber::new(1).unwrap();
    let (flags, seq) = match packet.transport {
        Transport::Tcp { flags, seq, .. } => (flags, seq),
        _ => (TcpFlags::default(), 0),
    };
    assert_eq!(Some(plain.flow_key(service)), packet.flow_key(service));
    assert_eq!(Some(plain.intent()), packet.intent());
    assert_eq!((plain.flags, plain.seq), (flags, seq));
    assert_eq!(plain.total_len, packet.total_len);
    let (vip, protocol, port) = packet.vip_endpoint().unwrap();
    let vip = match vip {
        IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => u128::from(v6),
    };
    assert_eq!(
        (plain.vip, plain.protocol, plain.vip_port),
        (vip, protocol, port)
    );
    assert_eq!(source(bytes), Some(packet.src));
}

/// Why we may refuse, or read otherwise, a packet in which etherparse sees TCP or UDP.
fn may_differ(bytes: &[u8], ours: Result<Packet, DropReason>) -> bool {
    match ours {
        // AH is walked through by etherparse and opaque to us.
        Ok(packet) => packet.transport == Transport::Other(51),
        // Source routes, mapped addresses and long chains of extension headers.
        Err(DropReason::BadIpHeader) => bytes[0] >> 4 == 6,
        // A payload length of 0, for jumbograms.
        Err(DropReason::Truncated) => bytes[0] >> 4 == 6 && bytes[4..6] == [0, 0],
        // A UDP length of 0, for jumbograms.
        Err(DropReason::BadTransportHeader) => true,
        Err(_) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_panics(bytes in hostile()) {
        let _ = touch(&bytes);
    }

    #[test]
    fn damaged_packets_read_as_etherparse_reads_them(bytes in damaged()) {
        let ours = touch(&bytes);
        let theirs = etherparse_sees(&bytes);
        if let Ok(packet) = ours
            && matches!(packet.transport, Transport::Tcp { .. } | Transport::Udp { .. })
        {
            prop_assert_eq!(theirs, Some(seen(&packet, None)));
        }
        match theirs.map(|seen| seen.upper) {
            Some(Upper::Tcp { .. } | Upper::Udp { .. }) => {
                let same = ours.is_ok_and(|packet| theirs == Some(seen(&packet, None)));
                prop_assert!(same || may_differ(&bytes, ours), "{ours:?} but {theirs:?}");
            }
            // A chain that we refuse for another reason may have a fragment header further on.
            Some(Upper::Fragment) => {
                prop_assert!(ours == Err(DropReason::Fragment) || may_differ(&bytes, ours));
            }
            Some(Upper::Icmp { .. } | Upper::Other) | None => {}
        }
    }
}

proptest! {
    /// Every prefix of a whole packet is truncated, and says so.
    #[test]
    fn prefixes_are_truncated(bytes in generate::packet()) {
        for len in 0..bytes.len() {
            prop_assert_eq!(parse(&bytes[..len]), Err(DropReason::Truncated));
        }
    }
}
