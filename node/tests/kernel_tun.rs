//! Packets go out of the kernel through a TUN device and come in again.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod namespace;

use jlb_node::kernel::netlink::Netlink;
use jlb_packet_io::Tun;
use jlb_packet_io::tun::LargeBuf;
use jlb_packet_io::wait::{Interest, Poller};
use jlb_protocol::PacketBuf;
use namespace::{Namespace, PATIENCE, UP, ip};
use std::net::{SocketAddr, UdpSocket};

/// Answers one UDP datagram like a machine behind the device would: with the ends swapped.
fn answer_one(tun: &Tun, addresses: std::ops::Range<usize>, ports: usize) {
    let mut poller = Poller::new().unwrap();
    poller.add(tun, 0, Interest::Readable).unwrap();
    let mut packet = PacketBuf::default();
    let half = addresses.len() / 2;
    loop {
        assert_eq!(poller.wait(Some(PATIENCE)).unwrap().count(), 1);
        tun.receive(&mut packet, &mut LargeBuf::default()).unwrap();
        // The kernel speaks for itself too, with packets that have no ports or other ones.
        if packet.as_slice().get(ports + 2..ports + 4) == Some(&7_u16.to_be_bytes()) {
            break;
        }
    }
    // Neither checksum notices a swap.
    let bytes = packet.as_mut_slice();
    bytes[addresses].rotate_left(half);
    bytes[ports..ports + 4].rotate_left(2);
    let written = tun.write(bytes).unwrap();
    assert_eq!(written, packet.len());
}

fn check_echo(label: &str, own: (&str, u8), other: &str, header: (std::ops::Range<usize>, usize)) {
    Namespace::new(label).run(|| {
        let tun = Tun::open("tun", false).unwrap();
        let netlink = Netlink::open().unwrap();
        netlink.set_link("tun", UP).unwrap();
        netlink.put_address("tun", ip(own.0), own.1).unwrap();
        let socket = UdpSocket::bind(SocketAddr::new(ip(own.0), 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let echo = SocketAddr::new(ip(other), 7);
        socket.send_to(b"through the device", echo).unwrap();
        answer_one(&tun, header.0, header.1);
        let mut answer = [0; 64];
        let (len, from) = socket.recv_from(&mut answer).unwrap();
        assert_eq!((&answer[..len], from), (&b"through the device"[..], echo));
    });
}

#[test]
fn an_ipv4_packet_goes_out_and_comes_in() {
    check_echo("tun4", ("10.9.0.1", 24), "10.9.0.2", (12..20, 20));
}

#[test]
fn an_ipv6_packet_goes_out_and_comes_in() {
    check_echo("tun6", ("fd00:9::1", 64), "fd00:9::2", (8..40, 40));
}

#[test]
fn what_is_no_ip_packet_is_refused() {
    Namespace::new("tun-bad").run(|| {
        let tun = Tun::open("tun", false).unwrap();
        Netlink::open().unwrap().set_link("tun", UP).unwrap();
        for bytes in [&[][..], &[0; 40], &[0xff; 40]] {
            assert!(tun.write(bytes).is_err(), "{bytes:?}");
        }
    });
}
