//! Which frames the host's XDP program takes the encapsulation off, and which it leaves to the agent.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod namespace;

use jlb_host_agent::Ends;
use jlb_node::kernel::stripping::{Expected, Flows, Stripping};
use jlb_packet_io::ebpf::Action;
use jlb_protocol::{Birth, NodeNumber, PacketBuf, ServiceNumber, wire};
use namespace::{Namespace, ip};
use std::net::{IpAddr, SocketAddr};

const OWN: [u8; 6] = [2, 0, 0, 0xff, 0xfe, 0x81];
const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PORT: u16 = 6081;
const BIRTH: Birth = Birth {
    incarnation: 0x8102_0304,
    counter: 0x0506_0708,
};
const PAYLOAD: &[u8] = b"GET / HTTP/1.1\r\n";

/// One way that messages may come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Way {
    outer6: bool,
    inner6: bool,
}

const WAYS: [Way; 4] = [
    way(false, false),
    way(false, true),
    way(true, false),
    way(true, true),
];

const fn way(outer6: bool, inner6: bool) -> Way {
    Way { outer6, inner6 }
}

impl Way {
    fn ends(self) -> Ends {
        let [client, vip] = if self.inner6 {
            ["2001:db8::9", "2001:db8:100::1"]
        } else {
            ["203.0.113.9", "198.51.100.1"]
        };
        Ends {
            client: SocketAddr::new(ip(client), 40_001),
            vip: SocketAddr::new(ip(vip), 443),
        }
    }

    fn expected(self) -> Expected {
        let [source, destination] = if self.outer6 {
            ["fd00::1", "fd00::101"]
        } else {
            ["10.0.0.1", "10.0.0.101"]
        };
        Expected {
            service: ServiceNumber::new(0x01_0203).unwrap(),
            birth: BIRTH,
            ingress: NodeNumber::new(0x0102).unwrap(),
            source: ip(source),
            destination: ip(destination),
        }
    }

    /// Where the outer packet's UDP header, its Geneve header, the inner packet and its TCP header are in a
    /// frame.
    fn places(self) -> [usize; 4] {
        let udp = 14 + if self.outer6 { 40 } else { 20 };
        let inner = udp + 8 + 52;
        [
            udp,
            udp + 8,
            inner,
            inner + if self.inner6 { 40 } else { 20 },
        ]
    }

    fn inner(self) -> Vec<u8> {
        let Ends { client, vip } = self.ends();
        let mut tcp = Vec::new();
        tcp.extend(client.port().to_be_bytes());
        tcp.extend(vip.port().to_be_bytes());
        tcp.extend([
            0, 0, 1, 1, 0, 0, 2, 2, 0x50, 0x18, 0x20, 0, 0xab, 0xcd, 0, 0,
        ]);
        tcp.extend(PAYLOAD);
        packet(client.ip(), vip.ip(), 6, &tcp)
    }

    /// A frame with the message.
    fn frame(self) -> Vec<u8> {
        let expected = self.expected();
        let mut buf = PacketBuf::new(2_000);
        assert!(buf.fill(&self.inner()));
        wire::encapsulate_data(&mut buf, expected.service, Some(expected.birth)).unwrap();
        let mut message = buf.as_slice().to_vec();
        message[16..18].copy_from_slice(&expected.ingress.get().to_be_bytes());
        let mut udp = vec![0xd0, 0x01];
        udp.extend(PORT.to_be_bytes());
        udp.extend((8 + message.len() as u16).to_be_bytes());
        udp.extend([0, 0]);
        udp.extend(message);
        framed(
            self.outer6,
            &packet(expected.source, expected.destination, 17, &udp),
        )
    }

    fn changed(self, change: impl FnOnce(&mut Vec<u8>, [usize; 4])) -> Vec<u8> {
        let mut frame = self.frame();
        change(&mut frame, self.places());
        frame
    }

    /// What the stack is to get.
    fn stripped(self) -> Vec<u8> {
        framed(self.inner6, &self.inner())
    }
}

fn framed(v6: bool, packet: &[u8]) -> Vec<u8> {
    let ethertype = if v6 { [0x86, 0xdd] } else { [0x08, 0x00] };
    [&OWN[..], &OTHER, &ethertype, packet].concat()
}

fn packet(from: IpAddr, to: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut header = vec![0x45, 0];
            header.extend((20 + payload.len() as u16).to_be_bytes());
            // With "don't fragment".
            header.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
            header.extend(from.octets());
            header.extend(to.octets());
            header
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut header = vec![0x60, 0, 0, 0];
            header.extend((payload.len() as u16).to_be_bytes());
            header.extend([protocol, 64]);
            header.extend(from.octets());
            header.extend(to.octets());
            header
        }
        other => panic!("{other:?}"),
    };
    packet.extend(payload);
    packet
}

struct Tried {
    flows: Flows,
    stripping: Stripping,
}

impl Tried {
    /// A program that was told of the flow of this way.
    fn with(way: Way) -> Self {
        let tried = Self::without();
        tried.flows.add(&way.ends(), &way.expected()).unwrap();
        tried
    }

    fn without() -> Self {
        let flows = Flows::new(100).unwrap();
        let stripping = Stripping::load(&flows, OWN, PORT).unwrap();
        Self { flows, stripping }
    }

    /// What the stack gets; the program drops nothing.
    fn passes(&self, frame: &[u8]) -> Vec<u8> {
        let run = self.stripping.program.try_on(frame, 1).unwrap();
        assert_eq!(run.action, Action::Pass);
        run.packet
    }

    fn leaves(&self, frame: &[u8], what: &str, way: Way) {
        assert_eq!(self.passes(frame), frame, "{what}, {way:?}");
    }
}

#[test]
fn a_segment_of_a_flow_reaches_the_stack_alone_and_is_counted() {
    Namespace::new("strip-good").run(|| {
        for way in WAYS {
            let tried = Tried::with(way);
            let [_, geneve, _, tcp] = way.places();
            assert_eq!(tried.passes(&way.frame()), way.stripped(), "{way:?}");
            let len = way.inner().len() as u64;
            assert_eq!(tried.flows.counts().unwrap(), (1, len));
            // The seal's other version, and flags that change nothing.
            let nh = way.changed(|it, _| it[geneve + 12] = 3);
            assert_eq!(tried.passes(&nh), way.stripped(), "{way:?}");
            for flags in [0x10, 0x30, 0xd0] {
                let frame = way.changed(|it, _| it[tcp + 13] = flags);
                let got = tried.passes(&frame);
                assert_eq!(got.len(), way.stripped().len(), "{flags:x} {way:?}");
            }
            assert_eq!(tried.flows.counts().unwrap(), (5, 5 * len));
        }
    });
}

#[test]
fn a_segment_that_ends_a_direction_reaches_the_stack_too() {
    Namespace::new("strip-fin").run(|| {
        for way in WAYS {
            let tried = Tried::with(way);
            let [.., tcp] = way.places();
            let frame = way.changed(|it, _| it[tcp + 13] = 0x11);
            assert_ne!(tried.passes(&frame), frame);
            assert_eq!(tried.flows.counts().unwrap().0, 1);
        }
    });
}

#[test]
fn all_else_is_left_to_the_agent_as_it_came() {
    type Change = fn(&mut Vec<u8>, [usize; 4]);
    let changes: [(&str, Change); 27] = [
        ("another's hardware address", |it, _| it[5] ^= 1),
        ("another's hardware address", |it, _| it[0] ^= 4),
        ("broadcast", |it, _| it[..6].fill(0xff)),
        ("a VLAN tag", |it, _| it[12..14].copy_from_slice(&[0x81, 0])),
        ("another port", |it, [udp, ..]| it[udp + 3] ^= 1),
        ("a longer datagram", |it, [udp, ..]| it[udp + 5] += 1),
        ("a shorter datagram", |it, [udp, ..]| it[udp + 5] -= 1),
        ("version 1 of Geneve", |it, [_, g, ..]| it[g] |= 0x40),
        ("more options", |it, [_, g, ..]| it[g] += 1),
        ("fewer options", |it, [_, g, ..]| it[g] -= 1),
        ("no packet", |it, [_, g, ..]| it[g + 1] |= 0x80),
        ("no critical options", |it, [_, g, ..]| it[g + 1] = 0),
        ("a control message", |it, [_, g, ..]| {
            it[g + 2..g + 4].copy_from_slice(&[0x88, 0xb5]);
        }),
        ("another service", |it, [_, g, ..]| it[g + 6] ^= 1),
        ("another option than a seal", |it, [_, g, ..]| {
            it[g + 10] = 0x82
        }),
        ("an unknown seal", |it, [_, g, ..]| it[g + 12] = 2),
        ("an Offer", |it, [_, g, ..]| it[g + 13] = 2),
        ("another sender", |it, [_, g, ..]| it[g + 17] ^= 1),
        ("another option than a birth", |it, [_, g, ..]| {
            it[g + 42] = 0x83
        }),
        ("a longer birth", |it, [_, g, ..]| it[g + 43] = 3),
        ("another life of the host", |it, [_, g, ..]| it[g + 44] ^= 1),
        ("another birth", |it, [_, g, ..]| it[g + 51] ^= 1),
        ("another client's port", |it, [.., tcp]| it[tcp + 1] ^= 1),
        ("another port of the VIP", |it, [.., tcp]| it[tcp + 2] ^= 1),
        ("an early end", |it, _| it.truncate(it.len() - 1)),
        ("a later end inside", |it, [.., inner, _]| {
            let at = if it[inner] == 0x45 { 3 } else { 5 };
            it[inner + at] += 1;
        }),
        ("an earlier end inside", |it, [.., inner, _]| {
            let at = if it[inner] == 0x45 { 3 } else { 5 };
            it[inner + at] -= 1;
        }),
    ];
    Namespace::new("strip-else").run(move || {
        for way in WAYS {
            let tried = Tried::with(way);
            for (what, change) in changes {
                tried.leaves(&way.changed(change), what, way);
            }
            let [_, _, inner, tcp] = way.places();
            // Without ACK, or with SYN or RST.
            for flags in [0x00, 0x08, 0x02, 0x12, 0x01, 0x13, 0x14, 0x04, 0x15] {
                let frame = way.changed(|it, _| it[tcp + 13] = flags);
                tried.leaves(&frame, "flags", way);
            }
            // In the outer packet, and in the inner one.
            for (at, v6, tcp_or_udp) in [(14, way.outer6, 17), (inner, way.inner6, 6)] {
                let changes: &[(usize, u8)] = if v6 {
                    // Version, protocols, a fragment, the last byte of each address.
                    &[
                        (0, 0x50),
                        (6, 58),
                        (6, 44),
                        (6, 0),
                        (23, 0x77),
                        (39, 0x77),
                        (8, 0x11),
                    ]
                } else {
                    // Options, version, later and first fragment, the last byte of each address.
                    &[
                        (0, 0x46),
                        (0, 0x55),
                        (7, 1),
                        (6, 0x20),
                        (9, 1),
                        (15, 0x77),
                        (19, 0x77),
                    ]
                };
                for &(offset, byte) in changes {
                    let frame = way.changed(|it, _| it[at + offset] = byte);
                    tried.leaves(&frame, &format!("{offset} of {tcp_or_udp}"), way);
                }
            }
            let whole = way.frame();
            for len in 14..whole.len() {
                tried.leaves(&whole[..len], "the beginning", way);
            }
            let longer = [&whole[..], &[0]].concat();
            // Padding behind it is the stack's to take off.
            let passed = tried.passes(&longer);
            assert_eq!(passed, [&way.stripped()[..], &[0]].concat());
            assert_eq!(tried.flows.counts().unwrap().0, 1);
        }
    });
}

#[test]
fn flows_come_and_go_while_the_program_runs() {
    Namespace::new("strip-live").run(|| {
        for way in WAYS {
            let mut tried = Tried::without();
            let (frame, stripped) = (way.frame(), way.stripped());
            tried.leaves(&frame, "not told of", way);
            tried.flows.add(&way.ends(), &way.expected()).unwrap();
            assert_eq!(tried.passes(&frame), stripped);
            assert!(tried.flows.remove(&way.ends()).unwrap());
            assert!(!tried.flows.remove(&way.ends()).unwrap());
            tried.leaves(&frame, "removed", way);
            tried.flows.add(&way.ends(), &way.expected()).unwrap();
            tried.flows.clear().unwrap();
            tried.leaves(&frame, "cleared", way);
            tried.flows.add(&way.ends(), &way.expected()).unwrap();
            assert_eq!(tried.passes(&frame), stripped, "again");
            // An address of the other family that ends alike is another.
            let other = Expected {
                source: match way.expected().source {
                    IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
                    IpAddr::V6(_) => ip("10.0.0.1"),
                },
                ..way.expected()
            };
            tried.flows.add(&way.ends(), &other).unwrap();
            tried.leaves(&frame, "of the other family", way);
        }
    });
}

#[test]
fn what_was_cleared_is_swept_and_what_is_new_stays() {
    Namespace::new("strip-sweep").run(|| {
        let mut flows = Flows::new(1_000).unwrap();
        let way = WAYS[0];
        let ends = |port: u16| Ends {
            client: SocketAddr::new(way.ends().client.ip(), port),
            vip: way.ends().vip,
        };
        for port in 1..=1_000 {
            flows.add(&ends(port), &way.expected()).unwrap();
        }
        let full = flows.add(&ends(1_001), &way.expected()).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::ArgumentListTooLong);
        flows.clear().unwrap();
        for port in 1..=300 {
            flows.add(&ends(port), &way.expected()).unwrap();
        }
        // Each looks at some of them once.
        for _ in 0..10 {
            flows.sweep().unwrap();
        }
        assert!(flows.is_swept());
        assert_eq!(flows.len(2_000).unwrap(), 300);
        for port in 1..=300 {
            assert!(flows.remove(&ends(port)).unwrap(), "{port}");
        }
    });
}
