//! The underlay's sockets on a real path.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod namespace;

use jlb_packet_io::UdpSocket;
use jlb_packet_io::udp::{Origin, Run};
use jlb_packet_io::wait::{Interest, Poller};
use jlb_protocol::PacketBuf;
use namespace::{Namespace, PATIENCE, cable, ip};
use std::io::IoSlice;
use std::net::SocketAddr;

#[test]
fn a_datagram_larger_than_the_path_arrives_in_pieces() {
    let (left, right) = (Namespace::new("pieces-a"), Namespace::new("pieces-b"));
    cable(
        (&left, &[("10.6.0.1", 24), ("fd00:6::1", 64)]),
        (&right, &[("10.6.0.2", 24), ("fd00:6::2", 64)]),
    );
    for (from, to) in [("10.6.0.1", "10.6.0.2"), ("fd00:6::1", "fd00:6::2")] {
        let bind = |address: &str| UdpSocket::bind(SocketAddr::new(ip(address), 6081)).unwrap();
        let sender = left.run(|| bind(from));
        let receiver = right.run(|| bind(to));
        let large = [5; 1600];
        let run = Run {
            to: receiver.local_addr(),
            buffers: 1,
            segment: 0,
        };
        let sent = sender.send_runs(&[IoSlice::new(&large)], &[run]);
        assert!(sent.error.is_none(), "{:?}", sent.error);
        let mut poller = Poller::new().unwrap();
        poller.add(&receiver, 0, Interest::Readable).unwrap();
        assert_eq!(poller.wait(Some(PATIENCE)).unwrap().count(), 1);
        let mut slots = [PacketBuf::default()];
        let mut origins = [Origin::default()];
        assert_eq!(receiver.recv_batch(&mut slots, &mut origins).unwrap(), 1);
        assert_eq!(slots[0].as_slice(), large);
        assert_eq!(origins[0].from, sender.local_addr());
    }
}
