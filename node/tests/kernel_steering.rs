//! Which frames the ingress's XDP program takes, and which the kernel's stack gets.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod namespace;

use jlb_node::kernel::steering::{Steering, Vips};
use jlb_packet_io::ebpf::Action;
use jlb_packet_io::xsk::{self, Opened, Queue};
use jlb_protocol::packet::checksum;
use namespace::{Namespace, ip};
use std::net::IpAddr;

const OWN: [u8; 6] = [2, 0, 0, 0xff, 0xfe, 0x81];
const VIP4: &str = "198.51.100.1";
const VIP6: &str = "2001:db8:100::1";
const MAX_INNER: u16 = 1388;

/// A program with a socket to send packets to: the one of loopback, whose queue programs are tried
/// with.
struct Tried {
    steering: Steering,
    vips: Vips,
    _opened: Opened,
}

impl Tried {
    fn new() -> Self {
        let vips = Vips::new().unwrap();
        vips.set(&[ip(VIP4), ip(VIP6)]).unwrap();
        let steering = Steering::load(&vips, OWN, MAX_INNER).unwrap();
        let loopback = Queue {
            interface: 1,
            queue: 0,
        };
        let opened = xsk::open(&[loopback], &xsk::Options::default()).unwrap();
        opened.sockets[0].register(&steering.sockets).unwrap();
        Self {
            steering,
            vips,
            _opened: opened,
        }
    }

    /// Whether the program takes the frame; it changes none.
    fn takes(&self, frame: &[u8]) -> bool {
        let run = self.steering.program.try_on(frame, 1).unwrap();
        assert_eq!(run.packet, frame);
        match run.action {
            Action::Redirect => true,
            Action::Pass => false,
            other => panic!("{other:?}"),
        }
    }
}

/// A frame with `payload` bytes behind the IP header, of this protocol.
fn frame(to: &str, protocol: u8, payload: usize) -> Vec<u8> {
    let mut frame = [&OWN[..], &[2, 0, 0, 0, 0, 1]].concat();
    match ip(to) {
        IpAddr::V4(to) => {
            frame.extend([0x08, 0x00, 0x45, 0]);
            frame.extend((20 + payload as u16).to_be_bytes());
            frame.extend([0, 1, 0, 0, 64, protocol, 0, 0, 203, 0, 113, 9]);
            frame.extend(to.octets());
            fix_sum(&mut frame);
        }
        IpAddr::V6(to) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend((payload as u16).to_be_bytes());
            frame.extend([protocol, 64]);
            frame.extend(
                "2001:db8::9"
                    .parse::<std::net::Ipv6Addr>()
                    .unwrap()
                    .octets(),
            );
            frame.extend(to.octets());
        }
    }
    frame.resize(frame.len() + payload, 0xab);
    frame
}

fn fix_sum(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let sum = checksum::plain(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

/// What [`frame`] gives, changed. The IPv4 header's sum is right again afterwards.
fn changed(to: &str, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = frame(to, 6, 40);
    change(&mut frame);
    if frame[12..14] == [8, 0] {
        fix_sum(&mut frame);
    }
    frame
}

#[test]
fn packets_for_a_vip_are_taken_whatever_they_are() {
    Namespace::new("steer-vip").run(|| {
        let tried = Tried::new();
        for vip in [VIP4, VIP6] {
            // TCP, UDP, and by family ICMP, ICMPv6, one without a meaning.
            let others: &[u8] = if vip == VIP4 { &[1, 200] } else { &[58] };
            for &protocol in [6, 17].iter().chain(others) {
                assert!(tried.takes(&frame(vip, protocol, 40)), "{vip} {protocol}");
            }
            // Short ones come with padding.
            let mut padded = frame(vip, 6, 20);
            padded.resize(80, 0);
            assert!(tried.takes(&padded), "{vip}");
        }
        // That it may not be cut into fragments makes no fragment of it.
        assert!(tried.takes(&changed(VIP4, |it| it[20] = 0x40)));
    });
}

#[test]
fn all_else_is_the_stacks() {
    Namespace::new("steer-else").run(|| {
        let tried = Tried::new();
        for other in ["198.51.100.2", "198.51.101.1", "2001:db8:100::2"] {
            assert!(!tried.takes(&frame(other, 6, 40)), "{other}");
        }
        let icmpv6 = |kind| {
            let mut frame = frame(VIP6, 58, 40);
            frame[54] = kind;
            frame
        };
        assert!(tried.takes(&icmpv6(132)) && tried.takes(&icmpv6(138)));
        let frames: [(&str, Vec<u8>); 20] = [
            ("a first fragment", changed(VIP4, |it| it[20] = 0x20)),
            ("a later fragment", changed(VIP4, |it| it[21] = 100)),
            ("a fragment header", frame(VIP6, 44, 40)),
            ("hop-by-hop options", frame(VIP6, 0, 40)),
            ("a router's solicitation", icmpv6(133)),
            ("a redirect", icmpv6(137)),
            ("another's hardware address", changed(VIP4, |it| it[5] ^= 1)),
            ("another's hardware address", changed(VIP4, |it| it[0] = 6)),
            ("another's hardware address", changed(VIP6, |it| it[3] ^= 1)),
            ("broadcast", changed(VIP4, |it| it[..6].fill(0xff))),
            ("a VLAN tag", changed(VIP4, |it| it[12] = 0x81)),
            ("options", changed(VIP4, |it| it[14] = 0x46)),
            (
                "a header that is too short",
                changed(VIP4, |it| it[14] = 0x44),
            ),
            ("version 5 in IPv6", changed(VIP6, |it| it[14] = 0x50)),
            ("the end of its life", changed(VIP4, |it| it[22] = 1)),
            ("the end of its life", changed(VIP6, |it| it[21] = 1)),
            ("an early end", changed(VIP4, |it| it.truncate(73))),
            ("an early end", changed(VIP6, |it| it.truncate(93))),
            (
                "a length below its header's",
                changed(VIP4, |it| it[17] = 19),
            ),
            (
                "a mapped address",
                changed(VIP6, |it| it[38..54].copy_from_slice(&mapped())),
            ),
        ];
        for (what, frame) in frames {
            assert!(!tried.takes(&frame), "{what}");
        }
        let mut wrong_sum = frame(VIP4, 6, 40);
        wrong_sum[24] ^= 0x10;
        assert!(!tried.takes(&wrong_sum));
        for vip in [VIP4, VIP6] {
            let whole = frame(vip, 6, 40);
            for len in 14..whole.len() {
                assert!(!tried.takes(&whole[..len]), "{vip} cut to {len}");
            }
        }
    });
}

fn mapped() -> [u8; 16] {
    let IpAddr::V4(vip) = ip(VIP4) else {
        unreachable!("an IPv4 address");
    };
    vip.to_ipv6_mapped().octets()
}

#[test]
fn what_does_not_fit_the_encapsulation_is_the_stacks_to_answer() {
    Namespace::new("steer-size").run(|| {
        let tried = Tried::new();
        let largest = usize::from(MAX_INNER);
        for (vip, header) in [(VIP4, 20), (VIP6, 40)] {
            assert!(tried.takes(&frame(vip, 6, largest - header)), "{vip}");
            assert!(!tried.takes(&frame(vip, 6, largest - header + 1)), "{vip}");
        }
    });
}

#[test]
fn vips_come_and_go_while_the_program_runs() {
    Namespace::new("steer-live").run(|| {
        let tried = Tried::new();
        tried.vips.set(&[ip("192.0.2.7"), ip(VIP6)]).unwrap();
        assert!(!tried.takes(&frame(VIP4, 6, 40)));
        assert!(tried.takes(&frame("192.0.2.7", 6, 40)));
        assert!(tried.takes(&frame(VIP6, 6, 40)));
        tried.vips.set(&[]).unwrap();
        assert!(!tried.takes(&frame(VIP6, 6, 40)));
    });
}

#[test]
fn without_a_socket_the_stack_gets_it() {
    Namespace::new("steer-none").run(|| {
        let vips = Vips::new().unwrap();
        vips.set(&[ip(VIP4)]).unwrap();
        let steering = Steering::load(&vips, OWN, MAX_INNER).unwrap();
        let run = steering.program.try_on(&frame(VIP4, 6, 40), 1).unwrap();
        assert_eq!(run.action, Action::Pass);
    });
}
