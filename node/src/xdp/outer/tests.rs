use super::*;
use jlb_protocol::PacketBuf;
use std::net::SocketAddr;

const ETHERNET: [u8; ETHERNET_LEN] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];

fn route(local: &str, remote: &str) -> Route {
    Route {
        local: local.parse().unwrap(),
        remote: SocketAddr::new(remote.parse().unwrap(), 6081),
    }
}

#[test]
fn an_ipv4_message_has_a_right_header_and_no_udp_checksum() {
    let mut message = PacketBuf::from_packet(b"a message");
    let route = route("10.0.0.1", "10.0.0.2");
    assert!(put(&mut message, &ETHERNET, &route, 50_000, 0x1234));
    let bytes = message.as_slice();
    assert_eq!(bytes[..14], ETHERNET);
    assert_eq!(checksum::plain(&bytes[14..34]), 0);
    let header = [
        0x45, 0, 0, 37, 0x12, 0x34, 0, 0, 64, 17, bytes[24], bytes[25], 10, 0, 0, 1, 10, 0, 0, 2,
    ];
    assert_eq!(bytes[14..34], header);
    assert_eq!(bytes[34..42], [0xc3, 0x50, 0x17, 0xc1, 0, 17, 0, 0]);
    assert_eq!(&bytes[42..], b"a message");
    assert_eq!(bytes.len() - 14, packet_len(route.remote.ip(), 9));
}

#[test]
fn an_ipv4_header_has_a_right_checksum_whatever_the_identification() {
    for route in [
        route("10.0.0.1", "10.0.0.2"),
        route("255.255.255.254", "255.255.0.0"),
    ] {
        for id in 0..=u16::MAX {
            let mut message = PacketBuf::from_packet(b"a message");
            assert!(put(&mut message, &ETHERNET, &route, 50_000, id));
            assert_eq!(checksum::plain(&message.as_slice()[14..34]), 0, "{id}");
        }
    }
}

#[test]
fn an_ipv6_message_has_a_right_udp_checksum() {
    let route = route("fd00::1", "fd00::2");
    // One of these has a sum of 0, which is written otherwise.
    for number in 0..=u16::MAX {
        let mut message = PacketBuf::from_packet(&number.to_be_bytes());
        assert!(put(&mut message, &ETHERNET, &route, 50_000, 0));
        let bytes = message.as_slice();
        assert_ne!(bytes[60..62], [0, 0], "{number}");
        let sum = checksum::with_pseudo_header(route.local, route.remote.ip(), 17, &bytes[54..]);
        assert_eq!(sum, 0, "{number}");
        assert_eq!(bytes[14..22], [0x60, 0, 0, 0, 0, 10, 17, 64]);
        assert_eq!(bytes.len() - 14, packet_len(route.remote.ip(), 2));
    }
}

#[test]
fn what_has_no_room_or_two_families_stays_as_it_is() {
    let mut message = PacketBuf::from_packet(b"a message");
    message.prepend(160).unwrap().fill(7);
    let before = message.clone();
    let room = route("10.0.0.1", "10.0.0.2");
    assert!(!put(&mut message, &ETHERNET, &room, 50_000, 0));
    assert_eq!(message, before);
    let mut message = PacketBuf::from_packet(b"a message");
    let before = message.clone();
    let families = route("10.0.0.1", "fd00::2");
    assert!(!put(&mut message, &ETHERNET, &families, 50_000, 0));
    assert_eq!(message.as_slice(), before.as_slice());
}
