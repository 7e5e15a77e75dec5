use super::*;
use crate::PacketBuf;
use crate::message::Control;
use alloc::vec;
use core::net::Ipv4Addr;

pub(super) const PORT: u16 = 6081;
pub(super) const SOURCE: u16 = 50_001;

pub(super) fn node(number: u16) -> NodeNumber {
    NodeNumber::new(number).unwrap()
}

pub(super) fn address(number: u16) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + u32::from(number)))
}

pub(super) fn key(id: u8) -> MessageKey {
    MessageKey {
        id,
        secret: [id; 16],
    }
}

pub(super) fn link_with(number: u16, incarnation: u32, keys: MessageKeys) -> Link {
    let peers = (1..=3)
        .filter(|&other| other != number)
        .map(|other| PeerAddress {
            node: node(other),
            local: address(number),
            remote: address(other),
        })
        .collect();
    let config = Config {
        node: node(number),
        role: Role::FlowTracker,
        state: MemberState::Active,
        incarnation,
        worker: 0,
        keys,
        peers,
        port: PORT,
        hello_interval: Duration::from_millis(500),
        view: 5,
        config: 6,
    };
    Link::new(config, u64::from(number), Time::ZERO)
}

pub(super) fn link(number: u16, incarnation: u32) -> Link {
    link_with(number, incarnation, MessageKeys::new(key(1), vec![]))
}

/// Carries the Hellos of both to each other until there are none.
pub(super) fn settle(now: Time, a: &mut Link, b: &mut Link) {
    a.handle_timeout(now);
    b.handle_timeout(now);
    for _ in 0..8 {
        carry_hellos(now, a, b);
        carry_hellos(now, b, a);
    }
}

pub(super) fn carry_hellos(now: Time, from: &mut Link, to: &mut Link) {
    while let Some((route, buf)) = from.poll_hello() {
        if route.remote.ip() == address(to.config.node.get()) {
            let _ = to.open(
                now,
                SocketAddr::new(route.local, PORT),
                route.remote.ip(),
                buf.as_slice(),
            );
        }
    }
    assert_eq!(from.ledger().imbalance(), 0);
    assert_eq!(to.ledger().imbalance(), 0);
}

/// The first Hello that waits for node `to`.
pub(super) fn hello_to(from: &mut Link, to: u16) -> PacketBuf {
    core::iter::from_fn(|| from.poll_hello())
        .find(|(route, _)| route.remote.ip() == address(to))
        .map(|(_, buf)| buf)
        .unwrap()
}

pub(super) fn message() -> PacketBuf {
    let mut buf = PacketBuf::default();
    wire::encode_control(&Control::Ack { sequence: 7 }, &mut buf).unwrap();
    buf
}

pub(super) fn sealed(from: &mut Link, to: &Link) -> PacketBuf {
    let mut buf = message();
    from.seal(to.config.node, SOURCE, &mut buf).unwrap();
    buf
}

pub(super) fn open(
    now: Time,
    to: &mut Link,
    from: u16,
    bytes: &[u8],
) -> Result<Opened, DropReason> {
    let local = address(to.config.node.get());
    let opened = to.open(now, SocketAddr::new(address(from), SOURCE), local, bytes);
    assert_eq!(to.ledger().imbalance(), 0);
    if let Err(reason) = opened {
        assert!(to.ledger().dropped(reason) > 0);
    }
    opened
}

#[test]
fn nothing_is_sealed_before_the_peer_answered() {
    let mut a = link(1, 100);
    let sealed = a.seal(node(2), SOURCE, &mut message());
    assert_eq!(sealed, Err(DropReason::NoSession));
    assert_eq!(a.ledger().dropped(DropReason::NoSession), 1);
    assert_eq!(a.ledger().imbalance(), 0);
}

#[test]
fn after_hellos_messages_pass_both_ways_and_only_once() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    settle(Time::ZERO, &mut a, &mut b);
    let started = Event::PeerStarted {
        node: node(2),
        incarnation: 200,
    };
    assert!(core::iter::from_fn(|| a.poll_event()).any(|event| event == started));
    let from_a = sealed(&mut a, &b);
    assert_eq!(
        open(Time::ZERO, &mut b, 1, from_a.as_slice()),
        Ok(Opened::Message(node(1)))
    );
    assert_eq!(
        open(Time::ZERO, &mut b, 1, from_a.as_slice()),
        Err(DropReason::Replayed)
    );
    let from_b = sealed(&mut b, &a);
    assert_eq!(
        open(Time::ZERO, &mut a, 2, from_b.as_slice()),
        Ok(Opened::Message(node(2)))
    );
}

#[test]
fn every_covered_bit_counts() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    settle(Time::ZERO, &mut a, &mut b);
    let genuine = sealed(&mut a, &b);
    for at in 0..genuine.len() {
        for bit in 0..8 {
            let mut bytes = genuine.as_slice().to_vec();
            bytes[at] ^= 1 << bit;
            assert!(
                open(Time::ZERO, &mut b, 1, &bytes).is_err(),
                "byte {at} bit {bit}"
            );
        }
    }
    let b_address = address(2);
    let other_port = SocketAddr::new(address(1), SOURCE + 1);
    assert_eq!(
        b.open(Time::ZERO, other_port, b_address, genuine.as_slice()),
        Err(DropReason::BadTag)
    );
    assert_eq!(
        open(Time::ZERO, &mut b, 3, genuine.as_slice()),
        Err(DropReason::WrongAddress)
    );
    assert_eq!(
        open(Time::ZERO, &mut b, 1, genuine.as_slice()),
        Ok(Opened::Message(node(1)))
    );
}

#[test]
fn a_restarted_receiver_accepts_nothing_old() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    settle(Time::ZERO, &mut a, &mut b);
    let old = sealed(&mut a, &b);
    let mut b = link(2, 201);
    assert_eq!(
        open(Time::ZERO, &mut b, 1, old.as_slice()),
        Err(DropReason::StaleIncarnation)
    );
    // Even where the low bits of the incarnations agree, the tag differs.
    let mut b = link(2, 200 + 0x0001_0000);
    assert_eq!(
        open(Time::ZERO, &mut b, 1, old.as_slice()),
        Err(DropReason::BadTag)
    );
}

#[test]
fn a_restarted_receiver_is_learnt_from_its_hello() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    settle(Time::ZERO, &mut a, &mut b);
    while a.poll_event().is_some() {}
    let mut b = link(2, 201);
    settle(Time::from_millis(1), &mut a, &mut b);
    let later = Time::from_millis(20);
    settle(later, &mut a, &mut b);
    assert_eq!(
        a.poll_event(),
        Some(Event::PeerStarted {
            node: node(2),
            incarnation: 201
        })
    );
    let new = sealed(&mut a, &b);
    assert_eq!(
        open(later, &mut b, 1, new.as_slice()),
        Ok(Opened::Message(node(1)))
    );
}

#[test]
fn messages_of_the_senders_last_life_are_refused() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    settle(Time::ZERO, &mut a, &mut b);
    let old = sealed(&mut a, &b);
    let mut a = link(1, 101);
    settle(Time::from_millis(20), &mut a, &mut b);
    let new = sealed(&mut a, &b);
    assert_eq!(
        open(Time::ZERO, &mut b, 1, new.as_slice()),
        Ok(Opened::Message(node(1)))
    );
    assert_eq!(
        open(Time::ZERO, &mut b, 1, old.as_slice()),
        Err(DropReason::StaleIncarnation)
    );
}

#[test]
fn an_old_hello_teaches_nothing() {
    let mut old = link(1, 100);
    old.handle_timeout(Time::ZERO);
    let hello = hello_to(&mut old, 2);
    let mut b = link(2, 200);
    let from = SocketAddr::new(address(1), PORT);
    assert_eq!(
        b.open(Time::ZERO, from, address(2), hello.as_slice()),
        Ok(Opened::Handled)
    );
    assert_eq!(b.sessions().next(), Some((node(1), None)));
    let mut a = link(1, 101);
    settle(Time::ZERO, &mut a, &mut b);
    assert_eq!(
        b.open(Time::ZERO, from, address(2), hello.as_slice()),
        Err(DropReason::StaleIncarnation)
    );
    assert_eq!(b.sessions().next(), Some((node(1), Some(101))));
}

#[test]
fn two_keys_are_valid_during_a_rotation() {
    let mut a = link_with(1, 100, MessageKeys::new(key(2), vec![key(1)]));
    let mut b = link_with(2, 200, MessageKeys::new(key(1), vec![key(2)]));
    settle(Time::ZERO, &mut a, &mut b);
    let from_a = sealed(&mut a, &b);
    assert_eq!(
        open(Time::ZERO, &mut b, 1, from_a.as_slice()),
        Ok(Opened::Message(node(1)))
    );
    let mut stranger = link_with(3, 300, MessageKeys::new(key(9), vec![key(1)]));
    settle(Time::ZERO, &mut stranger, &mut b);
    assert!(b.ledger().dropped(DropReason::UnknownKey) > 0);
}

#[test]
fn unanswered_hellos_are_repeated_ever_more_slowly() {
    let mut a = link(1, 100);
    let mut now = Time::ZERO;
    let mut waits = vec![];
    for _ in 0..7 {
        a.handle_timeout(now);
        while a.poll_hello().is_some() {}
        let next = a.poll_timeout().unwrap();
        waits.push(next.since(now).as_millis());
        now = next;
    }
    assert_eq!(waits, [50, 100, 200, 400, 500, 500, 500]);
}

#[test]
fn another_configuration_is_reported_once() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    b.config.config = 99;
    settle(Time::ZERO, &mut a, &mut b);
    let events: Vec<_> = core::iter::from_fn(|| a.poll_event()).collect();
    let expected = Event::PeerConfig {
        node: node(2),
        fingerprint: 99,
        same: false,
    };
    assert_eq!(events.iter().filter(|&&event| event == expected).count(), 1);
}

#[test]
fn random_bytes_and_truncations_are_counted_not_panicked_on() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    settle(Time::ZERO, &mut a, &mut b);
    let genuine = sealed(&mut a, &b);
    for len in 0..genuine.len() {
        assert!(open(Time::ZERO, &mut b, 1, &genuine.as_slice()[..len]).is_err());
    }
    let mut state = 1_u64;
    for _ in 0..20_000 {
        let mut bytes = genuine.as_slice().to_vec();
        for byte in &mut bytes {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(99);
            if state >> 62 == 0 {
                *byte = (state >> 40) as u8;
            }
        }
        assert!(open(Time::ZERO, &mut b, 1, &bytes).is_err());
    }
}

#[test]
fn a_busy_sender_never_outruns_a_receivers_window() {
    // One message to node 2 stays on the way while thousands go to node 3.
    let (mut a, mut b, mut c) = (link(1, 100), link(2, 200), link(3, 300));
    settle(Time::ZERO, &mut a, &mut b);
    settle(Time::from_millis(50), &mut a, &mut c);
    let slow = sealed(&mut a, &b);
    for _ in 0..4 * window::SPAN {
        let _ = sealed(&mut a, &c);
    }
    let late = sealed(&mut a, &b);
    for bytes in [late, slow] {
        assert_eq!(
            open(Time::ZERO, &mut b, 1, bytes.as_slice()),
            Ok(Opened::Message(node(1)))
        );
    }
}

#[test]
fn a_replayed_hello_says_nothing_of_the_senders_configuration() {
    let mut old = link(1, 100);
    old.config.config = 99;
    old.handle_timeout(Time::ZERO);
    let hello = hello_to(&mut old, 2);
    let mut b = link(2, 200);
    let from = SocketAddr::new(address(1), PORT);
    for _ in 0..3 {
        let opened = b.open(Time::ZERO, from, address(2), hello.as_slice());
        assert_eq!(opened, Ok(Opened::Handled));
    }
    assert_eq!(b.poll_event(), None);
}

#[test]
fn replayed_hellos_keep_nobody_else_from_an_answer() {
    let (mut old, mut c, mut b) = (link(1, 100), link(3, 300), link(2, 200));
    for link in [&mut old, &mut c] {
        link.handle_timeout(Time::ZERO);
    }
    let replayed = hello_to(&mut old, 2);
    let genuine = hello_to(&mut c, 2);
    for _ in 0..1_000 {
        let from = SocketAddr::new(address(1), PORT);
        let _ = b.open(Time::ZERO, from, address(2), replayed.as_slice());
    }
    let from = SocketAddr::new(address(3), PORT);
    let _ = b.open(Time::ZERO, from, address(2), genuine.as_slice());
    let to: Vec<_> = core::iter::from_fn(|| b.poll_hello())
        .map(|(route, _)| route.remote.ip())
        .collect();
    assert_eq!(to, [address(1), address(3)]);
    assert_eq!(b.ledger().imbalance(), 0);
}

#[test]
fn of_two_lives_hellos_the_later_is_answered() {
    let (mut old, mut new, mut b) = (link(1, 100), link(1, 101), link(2, 200));
    for link in [&mut old, &mut new] {
        link.handle_timeout(Time::ZERO);
    }
    let (replayed, genuine) = (hello_to(&mut old, 2), hello_to(&mut new, 2));
    for bytes in [&genuine, &replayed] {
        let from = SocketAddr::new(address(1), PORT);
        let _ = b.open(Time::ZERO, from, address(2), bytes.as_slice());
    }
    carry_hellos(Time::ZERO, &mut b, &mut new);
    assert_eq!(new.sessions().next(), Some((node(2), Some(200))));
}

#[test]
fn forged_stale_messages_provoke_no_hello_once_there_is_a_session() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    let mut before = link(2, 199);
    settle(Time::ZERO, &mut a, &mut before);
    let stale = sealed(&mut a, &before);
    // Until then one is the way to learn soon that the peer is there.
    while b.poll_hello().is_some() {}
    b.handle_timeout(Time::ZERO);
    let now = Time::from_millis(11);
    assert!(open(now, &mut b, 1, stale.as_slice()).is_err());
    assert_eq!(b.poll_timeout(), Some(now));
    settle(Time::from_millis(20), &mut a, &mut b);
    settle(Time::from_millis(40), &mut a, &mut b);
    assert_eq!(b.sessions().next(), Some((node(1), Some(100))));
    let due = b.poll_timeout();
    for _ in 0..100 {
        let now = Time::from_millis(41);
        assert_eq!(
            open(now, &mut b, 1, stale.as_slice()),
            Err(DropReason::StaleIncarnation)
        );
    }
    assert_eq!(b.poll_timeout(), due);
}

#[test]
fn messages_may_cross_a_restart_of_either_side() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    settle(Time::ZERO, &mut a, &mut b);
    let from_old_a = sealed(&mut a, &b);
    let from_old_b = sealed(&mut b, &a);
    let (mut a2, mut b2) = (link(1, 101), link(2, 201));
    for (to, from, bytes) in [(&mut b2, 1, &from_old_a), (&mut a2, 2, &from_old_b)] {
        assert_eq!(
            open(Time::ZERO, to, from, bytes.as_slice()),
            Err(DropReason::StaleIncarnation)
        );
    }
    settle(Time::from_millis(60), &mut a2, &mut b2);
    assert_eq!(a2.sessions().next(), Some((node(2), Some(201))));
    assert_eq!(b2.sessions().next(), Some((node(1), Some(101))));
    // A life's window begins anew: its first counters are below those of the life before.
    let first = sealed(&mut a2, &b2);
    assert!(open(Time::ZERO, &mut b2, 1, first.as_slice()).is_ok());
}

#[test]
fn heartbeats_of_many_peers_do_not_stay_in_step() {
    let peers: Vec<_> = (2..=1_001)
        .map(|number| PeerAddress {
            node: node(number),
            local: address(1),
            remote: IpAddr::V4(Ipv4Addr::from(0x0a01_0000 + u32::from(number))),
        })
        .collect();
    let config = Config {
        peers,
        ..link(1, 100).config
    };
    let mut a = Link::new(config, 7, Time::ZERO);
    for peer in &mut a.peers {
        let seal = Seal {
            version: wire::VERSION,
            kind: ControlKind::Ack as u8,
            key_id: 1,
            worker: 0,
            sender: peer.node,
            receiver: 100,
            incarnation: 1,
            counter: 1,
            tag: 0,
        };
        peer.take(&seal).unwrap();
    }
    let mut now = Time::ZERO;
    let mut sent = 0;
    while now < Time::from_millis(10_000) {
        a.handle_timeout(now);
        let burst = core::iter::from_fn(|| a.poll_hello()).count();
        sent += burst;
        assert!(now == Time::ZERO || burst <= 20, "{burst} at {now:?}");
        assert_eq!(a.due.len(), 1_000);
        now = a.poll_timeout().unwrap();
    }
    assert!((20_000..24_000).contains(&sent), "{sent}");
    assert_eq!(a.ledger().imbalance(), 0);
}

#[test]
fn a_datagram_cut_on_receipt_is_counted() {
    let mut a = link(1, 100);
    a.truncated();
    assert_eq!(a.ledger().dropped(DropReason::Truncated), 1);
    assert_eq!(a.ledger().imbalance(), 0);
}
