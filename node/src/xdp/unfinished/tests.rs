use super::*;

/// A segment of `protocol` with this much payload from one address to another, its checksum 0.
fn packet(from: &str, to: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let (from, to): (IpAddr, IpAddr) = (from.parse().unwrap(), to.parse().unwrap());
    let header = if protocol == TCP { 20 } else { 8 };
    let len = (header + payload.len()) as u16;
    let mut packet = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut ip = vec![0x45, 0];
            ip.extend((20 + len).to_be_bytes());
            ip.extend([0, 7, 0x40, 0, 64, protocol, 0, 0]);
            ip.extend(from.octets());
            ip.extend(to.octets());
            ip
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut ip = vec![0x60, 0, 0, 0];
            ip.extend(len.to_be_bytes());
            ip.extend([protocol, 64]);
            ip.extend(from.octets());
            ip.extend(to.octets());
            ip
        }
        _ => unreachable!("one family"),
    };
    packet.extend([0x9c, 0x40, 0, 80]);
    packet.extend(if protocol == TCP {
        vec![0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]
    } else {
        [&len.to_be_bytes()[..], &[0, 0]].concat()
    });
    packet.extend(payload);
    packet
}

fn set(packet: &mut [u8], sum: u16) {
    let transport = Transport::of(packet).unwrap();
    let at = transport.start + transport.field;
    packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// What is wrong with the checksum; 0 if nothing is.
fn error(packet: &[u8]) -> u16 {
    let it = Transport::of(packet).unwrap();
    checksum::with_pseudo_header(it.from, it.to, it.protocol, &packet[it.start..it.end])
}

const ENDS: [(&str, &str); 3] = [
    ("203.0.113.9", "198.51.100.1"),
    ("255.255.255.254", "255.255.255.253"),
    ("2001:db8::9", "2001:db8:100::1"),
];

#[test]
fn the_pseudo_headers_sum_is_made_a_checksum() {
    for (from, to) in ENDS {
        for protocol in [TCP, UDP] {
            for payload in [&b""[..], b"x", b"question", &[0xff; 1301]] {
                let mut packet = packet(from, to, protocol, payload);
                let pseudo = Transport::of(&packet).unwrap().pseudo;
                set(&mut packet, pseudo);
                assert_ne!(error(&packet), 0);
                assert!(finish(&mut packet), "{from} {protocol} {}", payload.len());
                assert_eq!(error(&packet), 0);
                let once = packet.clone();
                assert!(!finish(&mut packet));
                assert_eq!(packet, once);
            }
        }
    }
}

#[test]
fn bytes_behind_the_packet_do_not_count() {
    let mut packet = packet("203.0.113.9", "198.51.100.1", TCP, b"abc");
    let pseudo = Transport::of(&packet).unwrap().pseudo;
    set(&mut packet, pseudo);
    packet.extend([0xee; 5]);
    assert!(finish(&mut packet));
    assert_eq!(error(&packet), 0);
    assert!(packet.ends_with(&[0xee; 5]));
}

#[test]
fn what_is_not_unfinished_stays_as_it_is() {
    for (from, to) in ENDS {
        for protocol in [TCP, UDP] {
            let mut right = packet(from, to, protocol, b"payload");
            let sum = error(&right);
            set(&mut right, sum);
            let mut wrong = right.clone();
            set(&mut wrong, sum ^ 0x0101);
            let none = packet(from, to, protocol, b"payload");
            for packet in [right, wrong, none] {
                let mut after = packet.clone();
                assert!(!finish(&mut after));
                assert_eq!(after, packet);
            }
        }
    }
}

#[test]
fn fragments_other_protocols_and_stumps_are_left_alone() {
    let mut whole = packet("203.0.113.9", "198.51.100.1", TCP, b"abcd");
    let pseudo = Transport::of(&whole).unwrap().pseudo;
    set(&mut whole, pseudo);
    for len in 0..whole.len() {
        assert!(!finish(&mut whole.clone()[..len]));
    }
    for (at, value) in [(6, 0x20), (7, 1), (9, 1), (0, 0x55)] {
        let mut changed = whole.clone();
        changed[at] = value;
        assert!(!finish(&mut changed), "{at} {value}");
    }
    // The header leaves no room for the field.
    let mut short = whole.clone();
    short[2..4].copy_from_slice(&36_u16.to_be_bytes());
    assert!(!finish(&mut short));
}
