use super::*;
use crate::flows::NewFlow;
use crate::life::State;
use crate::testbed::{birth, client, config, ingress};
use jlb_protocol::packet::parse;
use jlb_protocol::{Protocol, Time};

const NOW: Time = Time::from_millis(1_000);

fn flows() -> (Flows, Handle) {
    let mut flows = Flows::new(4, config().timers, 1);
    let new = NewFlow {
        key: client(1).key(),
        birth: birth(1),
        isn: Some(1_000),
        protocol: Protocol::Tcp,
        state: State::Accepted,
        since: NOW,
        ingress: Some(ingress()),
    };
    let handle = flows.insert(NOW, new).unwrap();
    (flows, handle)
}

/// A segment at this number with so many bytes, that acknowledges `ack`.
fn segment(seq: u32, ack: u32, flags: TcpFlags, bytes: usize) -> Packet {
    let mut packet = parse(&client(1).tcp(seq, flags)).unwrap();
    if let Transport::Tcp {
        ack: acknowledged,
        payload_len,
        ..
    } = &mut packet.transport
    {
        *acknowledged = ack;
        *payload_len = bytes;
    }
    packet
}

#[test]
fn the_trail_is_behind_the_last_byte_and_the_fin() {
    let (mut flows, handle) = flows();
    assert_eq!(flows.trail(handle), None);
    flows.follow(handle, &segment(1_001, 7, TcpFlags::ACK, 100));
    assert_eq!(flows.trail(handle), Some(Point { seq: 1_101, ack: 7 }));
    flows.follow(handle, &segment(1_101, 9, TcpFlags::ACK | TcpFlags::FIN, 0));
    assert_eq!(flows.trail(handle), Some(Point { seq: 1_102, ack: 9 }));
}

#[test]
fn a_repeat_takes_nothing_back_and_numbers_go_round() {
    let (mut flows, handle) = flows();
    flows.follow(handle, &segment(u32::MAX - 9, u32::MAX, TcpFlags::ACK, 20));
    let expected = Point {
        seq: 10,
        ack: u32::MAX,
    };
    assert_eq!(flows.trail(handle), Some(expected));
    flows.follow(handle, &segment(u32::MAX - 9, 3, TcpFlags::ACK, 5));
    assert_eq!(flows.trail(handle), Some(Point { seq: 10, ack: 3 }));
}

#[test]
fn syns_and_resets_leave_no_trail_and_a_new_life_begins_without_one() {
    let (mut flows, handle) = flows();
    for flags in [TcpFlags::SYN, TcpFlags::RST | TcpFlags::ACK, TcpFlags::FIN] {
        let packet = segment(5, 5, flags, 0);
        flows.follow(handle, &packet);
        assert_eq!(Point::before(&packet), None);
    }
    assert_eq!(flows.trail(handle), None);
    flows.follow(handle, &segment(1_001, 7, TcpFlags::ACK, 0));
    assert!(flows.cut(handle));
    assert!(!flows.cut(handle), "once a life");
    flows.set_birth(handle, birth(2));
    assert_eq!(flows.trail(handle), None);
    assert!(flows.cut(handle));
    // A SYN of another attempt, too.
    flows.follow(handle, &segment(1_001, 7, TcpFlags::ACK, 0));
    flows.syn_delivered(NOW, handle, 2_000);
    assert_eq!(flows.trail(handle), None);
}

#[test]
fn in_doubt_there_is_no_trail_and_after_it_the_next_segment_begins_one() {
    let (mut flows, handle) = flows();
    flows.apply(NOW, handle, crate::life::Event::Handshake);
    flows.follow(handle, &segment(1_001, 7, TcpFlags::ACK, 0));
    flows.syn_delivered(NOW, handle, 2_000);
    let doubt = |flows: &Flows| flows.get(handle).unwrap().doubt();
    let expected = |answered| {
        Some(Doubt {
            isn: 2_000,
            answered,
        })
    };
    assert_eq!(doubt(&flows), expected(false));
    assert_eq!((flows.in_doubt(), flows.trail(handle)), (1, None));
    flows.follow(handle, &segment(1_001, 7, TcpFlags::ACK, 0));
    assert_eq!(
        (doubt(&flows), flows.trail(handle)),
        (expected(false), None)
    );
    flows.apply(NOW, handle, crate::life::Event::Handshake);
    assert_eq!(doubt(&flows), expected(true));
    flows.apply(NOW, handle, crate::life::Event::SeenOpen);
    assert_eq!((flows.in_doubt(), doubt(&flows)), (0, None));
    assert_eq!(flows.trail(handle), None);
    flows.follow(handle, &segment(1_001, 7, TcpFlags::ACK, 0));
    assert!(flows.trail(handle).is_some());
}
