//! Datagrams in batches.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod namespace;

use jlb_packet_io::udp::{MAX_BATCH, Origin, SendError, UdpSocket};
use jlb_packet_io::wait::{Interest, Poller};
use jlb_protocol::PacketBuf;
use namespace::Namespace;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

fn socket(address: &str) -> UdpSocket {
    UdpSocket::bind(address.parse().unwrap()).unwrap()
}

/// Receives until `count` datagrams are there.
fn receive(socket: &UdpSocket, count: usize) -> Vec<(Vec<u8>, Origin)> {
    let mut poller = Poller::new().unwrap();
    poller.add(socket, 0, Interest::Readable).unwrap();
    let mut slots: Vec<PacketBuf> = (0..MAX_BATCH).map(|_| PacketBuf::default()).collect();
    let mut origins = vec![Origin::default(); MAX_BATCH];
    let mut received = Vec::new();
    while received.len() < count {
        let ready = poller.wait(Some(Duration::from_secs(5))).unwrap().count();
        assert_eq!(ready, 1, "{} of {count} datagrams came", received.len());
        let n = socket.recv_batch(&mut slots, &mut origins).unwrap();
        let batch = slots.iter().zip(&origins).take(n);
        received.extend(batch.map(|(slot, origin)| (slot.as_slice().to_vec(), *origin)));
    }
    received
}

fn check_batches(address: &str) {
    let (from, to) = (socket(address), socket(address));
    // More than fits one call, and of different sizes.
    let sent: Vec<Vec<u8>> = (0..MAX_BATCH * 2 + 7)
        .map(|i| vec![u8::try_from(i).unwrap(); i * 9])
        .collect();
    let report = from.send_batch(sent.iter().map(|d| (d.as_slice(), to.local_addr())));
    assert_eq!(report.count, sent.len());
    assert!(report.error.is_none());
    let received = receive(&to, sent.len());
    let origin = Origin {
        from: from.local_addr(),
        truncated: false,
    };
    let expected: Vec<_> = sent.into_iter().map(|bytes| (bytes, origin)).collect();
    assert_eq!(received, expected);
}

#[test]
fn batches_arrive_whole_and_in_order_over_ipv4() {
    check_batches("127.0.0.1:0");
}

#[test]
fn batches_arrive_whole_and_in_order_over_ipv6() {
    check_batches("[::1]:0");
}

#[test]
fn a_datagram_longer_than_its_slot_is_marked() {
    let (from, to) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
    let long = [7; 2049];
    let datagrams = [&long[..], &long[..2048]];
    let report = from.send_batch(datagrams.map(|d| (d, to.local_addr())));
    assert_eq!(report.count, 2);
    let received = receive(&to, 2);
    let seen: Vec<_> = received
        .iter()
        .map(|(bytes, origin)| (bytes.len(), origin.truncated))
        .collect();
    assert_eq!(seen, [(2048, true), (2048, false)]);
}

#[test]
fn an_empty_socket_would_block_and_no_slots_are_no_error() {
    let socket = socket("127.0.0.1:0");
    let mut slots = [PacketBuf::default()];
    let mut origins = [Origin::default()];
    let error = socket.recv_batch(&mut slots, &mut origins).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert_eq!(socket.recv_batch(&mut slots, &mut []).unwrap(), 0);
    let nothing = socket.send_batch(std::iter::empty());
    assert_eq!(nothing.count, 0);
    assert!(nothing.error.is_none());
}

#[test]
fn a_datagram_that_cannot_be_sent_stops_the_batch_where_it_stands() {
    let (from, to) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
    let too_big = vec![0; 70_000];
    let datagrams: [&[u8]; 4] = [b"one", b"two", &too_big, b"four"];
    let to_all = datagrams.map(|d| (d, to.local_addr()));
    let report = from.send_batch(to_all);
    assert_eq!(report.count, 2);
    assert!(matches!(report.error, Some(SendError::Refused(_))));
    let rest = from.send_batch(to_all.into_iter().skip(report.count + 1));
    assert_eq!(rest.count, 1);
    let received: Vec<Vec<u8>> = receive(&to, 3).into_iter().map(|(d, _)| d).collect();
    assert_eq!(
        received,
        [b"one".to_vec(), b"two".to_vec(), b"four".to_vec()]
    );
}

#[test]
fn no_route_is_not_taken_for_a_full_buffer() {
    Namespace::new("no-route").run(|| {
        let socket = socket("0.0.0.0:0");
        let to: SocketAddr = "192.0.2.1:6081".parse().unwrap();
        let report = socket.send_batch([(&b"lost"[..], to)]);
        assert_eq!(report.count, 0);
        match report.error {
            Some(SendError::Refused(error)) => {
                assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_port_has_one_owner() {
    let first = socket("127.0.0.1:0");
    let error = UdpSocket::bind(first.local_addr()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    let foreign = UdpSocket::bind("192.0.2.77:0".parse().unwrap()).unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::AddrNotAvailable);
}
