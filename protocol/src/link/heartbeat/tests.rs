use super::super::tests::{
    PORT, SOURCE, address, carry_hellos, hello_to, key, link, node, sealed, settle,
};
use super::*;
use crate::link::MessageKeys;
use crate::link::PeerAddress;
use crate::number::Role;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;

fn events(link: &mut Link) -> Vec<Event> {
    core::iter::from_fn(|| link.poll_event()).collect()
}

/// What `link` was told of what node 2 says: its state and whether it was an answer.
fn said(link: &mut Link) -> Vec<(MemberState, bool)> {
    events(link)
        .into_iter()
        .filter_map(|event| match event {
            Event::PeerSaid {
                node: from,
                state,
                answer,
                ..
            } if from == node(2) => Some((state, answer)),
            _ => None,
        })
        .collect()
}

fn open_from(now: Time, link: &mut Link, from: u16, bytes: &[u8]) -> Result<Opened, DropReason> {
    let local = address(link.config.node.get());
    let opened = link.open(now, SocketAddr::new(address(from), PORT), local, bytes);
    assert_eq!(link.ledger().imbalance(), 0);
    opened
}

#[test]
fn a_peers_hellos_and_answers_tell_what_it_says() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    b.set_state(MemberState::Joining);
    b.set_view(77);
    settle(Time::ZERO, &mut a, &mut b);
    let expected = Event::PeerSaid {
        node: node(2),
        incarnation: 200,
        role: Role::FlowTracker,
        state: MemberState::Joining,
        view: 77,
        wire: wire::WIRE_VERSION,
        answer: true,
    };
    assert!(events(&mut a).contains(&expected));
    b.announce(Time::from_millis(20));
    b.handle_timeout(Time::from_millis(20));
    carry_hellos(Time::from_millis(20), &mut b, &mut a);
    assert_eq!(said(&mut a), [(MemberState::Joining, false)]);
}

#[test]
fn the_first_answer_tells_that_a_life_began_even_with_one_peer() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    a.remove_peer(node(3));
    settle(Time::ZERO, &mut a, &mut b);
    let events = events(&mut a);
    assert!(matches!(events[0], Event::PeerStarted { .. }), "{events:?}");
}

#[test]
fn an_announcement_is_greeted_about_at_once_but_not_more_often_than_each_10_ms() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    settle(Time::ZERO, &mut a, &mut b);
    let now = Time::from_millis(3);
    a.announce(now);
    let now = Time::from_millis(10);
    assert_eq!(a.poll_timeout(), Some(now));
    a.handle_timeout(now);
    assert_eq!(core::iter::from_fn(|| a.poll_hello()).count(), 2);
    let now = Time::from_millis(30);
    a.announce(now);
    assert_eq!(a.poll_timeout(), Some(now));
    a.handle_timeout(now);
    let hellos = core::iter::from_fn(|| a.poll_hello()).count();
    assert_eq!(hellos, 2);
    a.probe(now, node(2));
    assert_eq!(a.poll_timeout(), Some(Time::from_millis(40)));
    a.probe(now, node(9));
}

#[test]
fn an_answer_on_its_way_does_not_put_an_announcement_off() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    settle(Time::ZERO, &mut a, &mut b);
    a.remove_peer(node(3));
    let at = Time::from_millis;
    a.announce(at(20));
    a.handle_timeout(at(20));
    carry_hellos(at(21), &mut a, &mut b);
    a.announce(at(22));
    carry_hellos(at(23), &mut b, &mut a);
    assert_eq!(a.poll_timeout(), Some(at(30)));
    a.handle_timeout(at(30));
    settle(at(31), &mut a, &mut b);
    assert!(a.poll_timeout() > Some(at(300)), "no haste any more");
}

#[test]
fn an_interval_of_a_peers_own_counts_from_the_last_hello() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    settle(Time::ZERO, &mut a, &mut b);
    a.remove_peer(node(3));
    assert!(a.poll_timeout() > Some(Time::from_millis(400)));
    a.set_interval(node(2), Duration::from_millis(100));
    a.set_interval(node(9), Duration::from_millis(1));
    assert!(a.poll_timeout() <= Some(Time::from_millis(100)));
    let mut sent = 0;
    while a.poll_timeout() < Some(Time::from_millis(1_000)) {
        let now = a.poll_timeout().unwrap();
        settle(now, &mut a, &mut b);
        sent += 1;
    }
    assert!((9..=12).contains(&sent), "{sent}");
}

#[test]
fn an_overtaken_hello_does_not_take_back_what_was_said_since() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    settle(Time::ZERO, &mut a, &mut b);
    let at = Time::from_millis;
    b.set_state(MemberState::Joining);
    b.announce(at(20));
    b.handle_timeout(at(20));
    let old = hello_to(&mut b, 1);
    while b.poll_hello().is_some() {}
    b.set_state(MemberState::Active);
    b.announce(at(40));
    b.handle_timeout(at(40));
    let new = hello_to(&mut b, 1);
    let _ = events(&mut a);
    assert!(open_from(at(41), &mut a, 2, new.as_slice()).is_ok());
    assert!(open_from(at(42), &mut a, 2, old.as_slice()).is_ok());
    let active = (MemberState::Active, false);
    assert_eq!(said(&mut a), [active, active]);
    assert_eq!(
        open_from(at(43), &mut a, 2, old.as_slice()),
        Err(DropReason::Replayed)
    );
    assert_eq!(said(&mut a), []);
}

#[test]
fn a_hello_from_before_our_restart_tells_nothing_after_it() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    settle(Time::ZERO, &mut a, &mut b);
    let at = Time::from_millis;
    b.set_state(MemberState::Joining);
    b.announce(at(20));
    b.handle_timeout(at(20));
    let old = hello_to(&mut b, 1);
    while b.poll_hello().is_some() {}
    b.set_state(MemberState::Active);
    let mut a = link(1, 101);
    settle(at(40), &mut a, &mut b);
    settle(at(100), &mut a, &mut b);
    assert!(said(&mut a).contains(&(MemberState::Active, true)));
    let _ = open_from(at(101), &mut a, 2, old.as_slice());
    assert!(
        said(&mut a)
            .iter()
            .all(|&(state, _)| state == MemberState::Active)
    );
}

#[test]
fn nor_does_it_when_the_session_began_with_another_message_than_an_answer() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    settle(Time::ZERO, &mut a, &mut b);
    let at = Time::from_millis;
    b.set_state(MemberState::Joining);
    b.announce(at(20));
    b.handle_timeout(at(20));
    let old = hello_to(&mut b, 1);
    while b.poll_hello().is_some() {}
    b.set_state(MemberState::Active);
    let mut a = link(1, 101);
    a.handle_timeout(at(40));
    carry_hellos(at(40), &mut a, &mut b);
    b.handle_timeout(at(41));
    // Of the two that wait the Hello comes first; the answer is lost.
    let hello = hello_to(&mut b, 1);
    while b.poll_hello().is_some() {}
    assert!(open_from(at(42), &mut a, 2, hello.as_slice()).is_ok());
    carry_hellos(at(42), &mut a, &mut b);
    let message = sealed(&mut b, &a);
    let from = SocketAddr::new(address(2), SOURCE);
    let opened = a.open(at(43), from, address(1), message.as_slice());
    assert_eq!(opened, Ok(Opened::Message(node(2))));
    assert_eq!(said(&mut a), []);
    assert!(open_from(at(44), &mut a, 2, old.as_slice()).is_ok());
    assert_eq!(said(&mut a), []);
}

#[test]
fn only_the_answers_to_the_last_hellos_are_answers() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    settle(Time::ZERO, &mut a, &mut b);
    let mut kept = vec![];
    for round in 1..=17 {
        let now = Time::from_millis(20 * round);
        a.announce(now);
        a.handle_timeout(now);
        carry_hellos(now, &mut a, &mut b);
        kept.push(hello_to(&mut b, 1));
    }
    let _ = events(&mut a);
    let now = Time::from_millis(400);
    for (index, answer) in kept.iter().enumerate() {
        assert!(open_from(now, &mut a, 2, answer.as_slice()).is_ok());
        // The first was overtaken by 16 Hellos. It was sealed for this life all the same.
        assert_eq!(
            said(&mut a),
            [(MemberState::Active, index > 0)],
            "answer {index}"
        );
    }
}

fn stranger(number: u16, to: u16) -> Link {
    let config = crate::link::Config {
        peers: vec![PeerAddress {
            node: node(to),
            local: address(number),
            remote: address(to),
        }],
        ..link(number, 100 + u32::from(number)).config
    };
    Link::new(config, u64::from(number), Time::ZERO)
}

fn strangers_hello(number: u16) -> PacketBuf {
    let mut link = stranger(number, 1);
    link.handle_timeout(Time::ZERO);
    hello_to(&mut link, 1)
}

#[test]
fn a_strangers_hello_is_reported_and_not_answered() {
    let mut a = link(1, 100);
    let hello = strangers_hello(7);
    for _ in 0..3 {
        let opened = open_from(Time::ZERO, &mut a, 7, hello.as_slice());
        assert_eq!(opened, Ok(Opened::Handled));
    }
    assert_eq!(
        events(&mut a),
        [Event::Stranger {
            node: node(7),
            role: Role::FlowTracker,
            address: address(7),
            local: address(1),
            incarnation: 107,
        }]
    );
    assert!(a.poll_hello().is_none());
}

#[test]
fn a_stranger_without_the_key_or_with_our_number_is_not_reported() {
    let mut a = link(1, 100);
    let hello = strangers_hello(7);
    for at in 0..hello.len() {
        let mut bytes = hello.as_slice().to_vec();
        bytes[at] ^= 1;
        assert!(open_from(Time::ZERO, &mut a, 7, &bytes).is_err(), "{at}");
    }
    // From another address than it was sealed at.
    let opened = open_from(Time::ZERO, &mut a, 8, hello.as_slice());
    assert_eq!(opened, Err(DropReason::BadTag));
    let mut double = stranger(7, 1);
    double.config.node = node(1);
    double.handle_timeout(Time::ZERO);
    let hello = hello_to(&mut double, 1);
    let opened = open_from(Time::ZERO, &mut a, 7, hello.as_slice());
    assert_eq!(opened, Err(DropReason::UnknownSender));
    let mut other = stranger(7, 1);
    other.config.keys = MessageKeys::new(key(9), vec![]);
    other.handle_timeout(Time::ZERO);
    let hello = hello_to(&mut other, 1);
    let opened = open_from(Time::ZERO, &mut a, 7, hello.as_slice());
    assert_eq!(opened, Err(DropReason::UnknownKey));
    assert_eq!(events(&mut a), []);
}

#[test]
fn a_known_number_at_another_address_is_a_stranger() {
    let mut a = link(1, 100);
    let mut moved = stranger(9, 1);
    moved.config.node = node(2);
    moved.handle_timeout(Time::ZERO);
    let hello = hello_to(&mut moved, 1);
    let opened = open_from(Time::ZERO, &mut a, 9, hello.as_slice());
    assert_eq!(opened, Ok(Opened::Handled));
    assert!(matches!(
        events(&mut a)[..],
        [Event::Stranger { node: moved, .. }] if moved == node(2)
    ));
}

#[test]
fn strangers_that_nobody_asks_about_are_bounded() {
    let mut a = link(1, 100);
    for number in 10..60 {
        let hello = strangers_hello(number);
        let _ = open_from(Time::ZERO, &mut a, number, hello.as_slice());
    }
    assert_eq!(events(&mut a).len(), MAX_STRANGERS);
    assert_eq!(a.ledger().dropped(DropReason::UnknownSender), 34);
}

#[test]
fn a_strangers_other_messages_are_from_an_unknown_sender() {
    let mut c = stranger(7, 1);
    let mut a = link(1, 100);
    a.add_peer(
        Time::ZERO,
        PeerAddress {
            node: node(7),
            local: address(1),
            remote: address(7),
        },
    );
    settle(Time::ZERO, &mut a, &mut c);
    let mut buf = PacketBuf::default();
    wire::encode_control(&Control::Ack { sequence: 1 }, &mut buf).unwrap();
    assert!(c.seal(node(1), SOURCE, &mut buf).is_ok());
    a.remove_peer(node(7));
    let from = SocketAddr::new(address(7), SOURCE);
    let opened = a.open(Time::ZERO, from, address(1), buf.as_slice());
    assert_eq!(opened, Err(DropReason::UnknownSender));
}

#[test]
fn another_configuration_is_said_and_compared_anew() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    settle(Time::ZERO, &mut a, &mut b);
    events(&mut a);
    let configs = |link: &mut Link| {
        let told = events(link).into_iter();
        let of_config = |event| match event {
            Event::PeerConfig {
                fingerprint, same, ..
            } => Some((fingerprint, same)),
            _ => None,
        };
        told.filter_map(of_config).collect::<Vec<_>>()
    };
    let before = b.config_fingerprint();
    // This node is first: its peer differs until it has followed.
    a.set_config(77);
    assert_eq!(a.config_fingerprint(), 77);
    assert_eq!(configs(&mut a), [(before, false)]);
    a.set_config(78);
    assert_eq!(configs(&mut a), [], "it differs as before");
    b.set_config(78);
    let now = Time::from_millis(20);
    b.announce(now);
    b.handle_timeout(now);
    settle(now, &mut b, &mut a);
    assert_eq!(configs(&mut a), [(78, true)]);
    a.set_config(before);
    a.set_config(78);
    assert_eq!(configs(&mut a), [(78, false), (78, true)]);
}

#[test]
fn keys_change_while_sessions_go_on() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    settle(Time::ZERO, &mut a, &mut b);
    let refused = |a: &mut Link, b: &mut Link| {
        let message = sealed(a, b);
        super::super::tests::open(Time::ZERO, b, 1, message.as_slice()).err()
    };
    // Known to all first, then sealed with, then the old one goes.
    for link in [&mut a, &mut b] {
        link.set_keys(MessageKeys::new(key(1), vec![key(9)]));
    }
    assert_eq!(refused(&mut a, &mut b), None);
    a.set_keys(MessageKeys::new(key(9), vec![key(1)]));
    assert_eq!(refused(&mut a, &mut b), None);
    b.set_keys(MessageKeys::new(key(1), Vec::new()));
    assert_eq!(refused(&mut a, &mut b), Some(DropReason::UnknownKey));
}
