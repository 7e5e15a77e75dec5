//! Packets go out of the kernel through a TUN device and come in again.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod namespace;

use jlb_node::kernel::netlink::Netlink;
use jlb_packet_io::Tun;
use jlb_packet_io::tun::{Batch, LargeBuf, Options};
use jlb_packet_io::wait::{Interest, Poller};
use jlb_protocol::PacketBuf;
use namespace::{Namespace, PATIENCE, UP, ip};
use std::net::{SocketAddr, UdpSocket};

/// The answer to one UDP datagram, as a machine behind the device would give it: with the ends swapped.
fn take_one(tun: &Tun, addresses: std::ops::Range<usize>, ports: usize) -> PacketBuf {
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
    packet
}

fn answer_one(tun: &Tun, addresses: std::ops::Range<usize>, ports: usize) {
    let packet = take_one(tun, addresses, ports);
    let written = tun.write(packet.as_slice()).unwrap();
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

/// Hands over five answers and something that is no packet, in one batch each time.
fn check_batch(label: &str, offload: bool, mut batch: Batch) {
    Namespace::new(label).run(move || {
        let options = Options {
            offload,
            ..Options::default()
        };
        let tun = Tun::open_with("tun", options).unwrap();
        let netlink = Netlink::open().unwrap();
        netlink.set_link("tun", UP).unwrap();
        netlink.put_address("tun", ip("10.9.0.1"), 24).unwrap();
        let socket = UdpSocket::bind("10.9.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        for round in 0..3_u8 {
            let mut lengths = Vec::new();
            for number in 0..5_u8 {
                let words = vec![round * 10 + number; 10 + usize::from(number)];
                socket.send_to(&words, "10.9.0.2:7").unwrap();
                let mut packet = take_one(&tun, 12..20, 20);
                // Left unfinished on a device that offloads; none is as good as a right one.
                packet.as_mut_slice()[26..28].fill(0);
                if number == 3 {
                    assert!(batch.push(&tun, &[0xff; 40]));
                    lengths.push(None);
                }
                assert!(batch.push(&tun, packet.as_slice()));
                lengths.push(Some(packet.len()));
            }
            assert_eq!(batch.len(), 6);
            let written: Vec<Option<usize>> = batch.flush(&tun).map(Result::ok).collect();
            assert_eq!(written, lengths);
            assert!(batch.is_empty());
            for number in 0..5_u8 {
                let mut answer = [0; 64];
                let len = socket.recv(&mut answer).unwrap();
                let expected = vec![round * 10 + number; 10 + usize::from(number)];
                assert_eq!(answer[..len], expected, "in order");
            }
        }
        // Bounded, also in bytes.
        let fits = (0..100)
            .take_while(|_| batch.push(&tun, &[0xff; 40]))
            .count();
        assert_eq!(fits, 64);
        assert_eq!(batch.flush(&tun).filter(Result::is_err).count(), 64);
        let fits = (0..100)
            .take_while(|_| batch.push(&tun, &[0xff; 60_000]))
            .count();
        assert_eq!(fits, 2);
        batch.clear();
        assert_eq!(batch.flush(&tun).count(), 0);
    });
}

#[test]
fn a_batch_goes_in_one_call_in_order_and_each_packet_has_its_own_result() {
    check_batch("tun-ring", false, Batch::together().unwrap());
    check_batch("tun-ring-off", true, Batch::together().unwrap());
}

#[test]
fn without_io_uring_a_batch_goes_packet_by_packet() {
    check_batch("tun-apart", false, Batch::one_by_one());
    check_batch("tun-apart-off", true, Batch::one_by_one());
}
