//! Datagrams in batches.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod namespace;

use jlb_packet_io::Slot;
use jlb_packet_io::udp::{MAX_BATCH, MAX_RUN, Origin, Run, SendError, Sent, UdpSocket};
use jlb_packet_io::wait::{Interest, Poller};
use jlb_protocol::PacketBuf;
use namespace::Namespace;
use std::io::{ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::time::Duration;

fn socket(address: &str) -> UdpSocket {
    UdpSocket::bind(address.parse().unwrap()).unwrap()
}

/// Sends each datagram by itself.
fn send(socket: &UdpSocket, to: SocketAddr, datagrams: &[&[u8]]) -> Sent {
    let buffers: Vec<_> = datagrams.iter().map(|d| IoSlice::new(d)).collect();
    let run = Run {
        to,
        buffers: 1,
        segment: 0,
    };
    socket.send_runs(&buffers, &vec![run; buffers.len()])
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
    let all: Vec<&[u8]> = sent.iter().map(Vec::as_slice).collect();
    let report = send(&from, to.local_addr(), &all);
    assert_eq!(report.count, sent.len());
    assert!(report.error.is_none());
    let received = receive(&to, sent.len());
    let origin = Origin {
        from: from.local_addr(),
        ..Origin::default()
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
    let report = send(&from, to.local_addr(), &[&long, &long[..2048]]);
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
    let nothing = socket.send_runs(&[], &[]);
    assert_eq!(nothing.count, 0);
    assert!(nothing.error.is_none());
}

#[test]
fn a_datagram_that_cannot_be_sent_stops_the_batch_where_it_stands() {
    let (from, to) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
    let too_big = vec![0; 70_000];
    let datagrams: [&[u8]; 4] = [b"one", b"two", &too_big, b"four"];
    let report = send(&from, to.local_addr(), &datagrams);
    assert_eq!(report.count, 2);
    assert!(matches!(report.error, Some(SendError::Refused(_))));
    let rest = send(&from, to.local_addr(), &datagrams[report.count + 1..]);
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
        let report = send(&socket, to, &[b"lost"]);
        assert_eq!(report.count, 0);
        match report.error {
            Some(SendError::Refused(error)) => {
                assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
            }
            other => panic!("{other:?}"),
        }
    });
}

/// One run between ordinary datagrams, its bytes in buffers that end anywhere.
fn check_runs(address: &str) {
    let (from, to) = (socket(address), socket(address));
    let bytes: Vec<u8> = (0..MAX_RUN * 900 - 100)
        .map(|at| (at % 251) as u8)
        .collect();
    let (head, tail) = bytes.split_at(1_234);
    let buffers = [&b"before"[..], head, tail, b"after"].map(IoSlice::new);
    let run = |buffers, segment| Run {
        to: to.local_addr(),
        buffers,
        segment,
    };
    let report = from.send_runs(&buffers, &[run(1, 0), run(2, 900), run(1, 0)]);
    assert_eq!(report.count, 3, "{:?}", report.error);
    // However the kernel gives them, the datagrams are the same.
    let mut slots = vec![Large(vec![0; 65_535], 0); 4];
    let mut origins = vec![Origin::default(); 4];
    let mut received: Vec<Vec<u8>> = Vec::new();
    let mut poller = Poller::new().unwrap();
    poller.add(&to, 0, Interest::Readable).unwrap();
    while received.len() < MAX_RUN + 2 {
        assert_eq!(
            poller.wait(Some(Duration::from_secs(5))).unwrap().count(),
            1
        );
        let n = to.recv_batch(&mut slots, &mut origins).unwrap();
        for (slot, origin) in slots.iter().zip(&origins).take(n) {
            assert_eq!(origin.from, from.local_addr());
            let datagrams = origin.datagrams(&slot.0[..slot.1]);
            received.extend(datagrams.map(<[u8]>::to_vec));
        }
    }
    let expected: Vec<&[u8]> = std::iter::once(&b"before"[..])
        .chain(bytes.chunks(900))
        .chain([&b"after"[..]])
        .collect();
    assert_eq!(received, expected);
}

/// A slot with room for all datagrams of a run.
#[derive(Clone)]
struct Large(Vec<u8>, usize);

impl Slot for Large {
    fn space(&mut self) -> &mut [u8] {
        &mut self.0
    }

    fn set_len(&mut self, len: usize) {
        self.1 = len;
    }
}

#[test]
fn runs_arrive_as_their_datagrams_over_ipv4() {
    check_runs("127.0.0.1:0");
}

#[test]
fn runs_arrive_as_their_datagrams_over_ipv6() {
    check_runs("[::1]:0");
}

#[test]
fn a_run_that_the_path_is_too_narrow_for_is_told_from_what_cannot_be_sent() {
    Namespace::new("narrow").run(|| {
        let status = std::process::Command::new("ip")
            .args("link set lo up mtu 1300".split(' '))
            .status()
            .unwrap();
        assert!(status.success());
        let (from, to) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
        let bytes = vec![3; 4_200];
        let buffers = [IoSlice::new(&bytes)];
        let run = |to, segment| Run {
            to,
            buffers: 1,
            segment,
        };
        let report = from.send_runs(&buffers, &[run(to.local_addr(), 1_400)]);
        assert!(
            matches!(report.error, Some(SendError::Uncut(_))),
            "{report:?}"
        );
        let report = from.send_runs(&buffers, &[run(to.local_addr(), 1_200)]);
        assert_eq!(report.count, 1, "{report:?}");
        let one_by_one: Vec<&[u8]> = bytes.chunks(1_400).collect();
        let report = send(&from, to.local_addr(), &one_by_one);
        assert_eq!(report.count, 3, "fragments go: {report:?}");
    });
}

#[test]
fn an_empty_datagram_is_one() {
    let none = Origin::default();
    assert_eq!(none.datagrams(&[]).collect::<Vec<_>>(), [&[] as &[u8]]);
    let two = Origin {
        segment: 2,
        ..Origin::default()
    };
    assert_eq!(
        two.datagrams(&[1, 2, 3]).collect::<Vec<_>>(),
        [&[1, 2][..], &[3]]
    );
}

#[test]
fn a_port_has_one_owner() {
    let first = socket("127.0.0.1:0");
    let error = UdpSocket::bind(first.local_addr()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    let foreign = UdpSocket::bind("192.0.2.77:0".parse().unwrap()).unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::AddrNotAvailable);
}
