use super::super::tests::{
    PORT, SOURCE, address, carry_hellos, hello_to, key, link, link_with, message, node, open,
    settle,
};
use super::*;
use crate::link::{Event, MessageKeys, Opened, PeerAddress};
use crate::time::Time;
use alloc::vec;
use core::net::SocketAddr;

fn met() -> (Link, Link) {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    settle(Time::ZERO, &mut a, &mut b);
    (a, b)
}

fn sealer(worker: u8, of: &Link) -> Sealer {
    let mut sealer = Sealer::new(worker);
    sealer.take(&Arc::new(of.sessions_to_seal()));
    sealer
}

fn sealed(sealer: &mut Sealer) -> crate::PacketBuf {
    let mut buf = message();
    let route = sealer.seal(node(2), SOURCE, &mut buf).unwrap();
    assert_eq!(route.local, address(1));
    assert_eq!(route.remote, SocketAddr::new(address(2), PORT));
    buf
}

fn seal_of(buf: &crate::PacketBuf) -> Seal {
    Seal::read(buf.as_slice()).unwrap()
}

#[test]
fn messages_of_several_workers_are_opened_once_each() {
    let (mut a, mut b) = met();
    let mut workers = [sealer(1, &a), sealer(2, &a)];
    let mut sent = vec![super::super::tests::sealed(&mut a, &b)];
    for _ in 0..3 {
        sent.extend(workers.iter_mut().map(sealed));
    }
    for buf in &sent {
        let opened = open(Time::ZERO, &mut b, 1, buf.as_slice());
        assert_eq!(opened, Ok(Opened::Message(node(1))));
    }
    for buf in &sent {
        let again = open(Time::ZERO, &mut b, 1, buf.as_slice());
        assert_eq!(again, Err(DropReason::Replayed));
    }
}

#[test]
fn the_link_and_a_worker_seal_alike() {
    let (mut a, b) = met();
    let mut worker = sealer(0, &a);
    let of_link = super::super::tests::sealed(&mut a, &b);
    let number = seal_of(&of_link).counter;
    worker.sent[2] = number - 1;
    assert_eq!(sealed(&mut worker).as_slice(), of_link.as_slice());
}

#[test]
fn numbers_go_on_whatever_sessions_there_are() {
    let (mut a, mut b) = met();
    let mut worker = sealer(1, &a);
    let mut numbers = vec![];
    let mut lives = vec![];
    let mut incarnation = 200;
    for round in 0..5_u64 {
        for _ in 0..3 {
            let seal = seal_of(&sealed(&mut worker));
            numbers.push(seal.counter);
            lives.push((seal.incarnation, seal.receiver));
        }
        let now = Time::from_millis(1_000 * (round + 1));
        match round {
            // The receiver restarts, the sender has another key, goes away, or begins a new life.
            0 => {
                incarnation += 1;
                b = link(2, incarnation);
            }
            1 => a.set_keys(MessageKeys::new(key(1), vec![key(2)])),
            2 => {
                a.remove_peer(node(2));
                worker.take(&Arc::new(a.sessions_to_seal()));
                let mut buf = message();
                let none = worker.seal(node(2), SOURCE, &mut buf);
                assert_eq!(none, Err(DropReason::NoSession));
                assert_eq!(worker.route(node(2)), None);
                a.add_peer(
                    now,
                    PeerAddress {
                        node: node(2),
                        local: address(1),
                        remote: address(2),
                    },
                );
            }
            _ => a.renew(now, 0),
        }
        settle(now, &mut a, &mut b);
        settle(now, &mut b, &mut a);
        worker.take(&Arc::new(a.sessions_to_seal()));
        let last = sealed(&mut worker);
        numbers.push(seal_of(&last).counter);
        let opened = open(now, &mut b, 1, last.as_slice());
        assert_eq!(opened, Ok(Opened::Message(node(1))), "round {round}");
    }
    assert!(
        numbers.windows(2).all(|pair| pair[0] < pair[1]),
        "{numbers:?}"
    );
    lives.dedup();
    assert_eq!(lives, [(100, 200), (100, 201), (101, 201)]);
}

#[test]
fn a_change_of_the_sessions_is_told() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    let mut last = a.sessions_changed();
    let mut told =
        |a: &Link| core::mem::replace(&mut last, a.sessions_changed()) != a.sessions_changed();
    settle(Time::ZERO, &mut a, &mut b);
    assert!(told(&a), "a peer is met");
    let again = super::super::tests::sealed(&mut b, &a);
    open(Time::ZERO, &mut a, 2, again.as_slice()).unwrap();
    settle(Time::from_millis(600), &mut a, &mut b);
    assert!(!told(&a), "a heartbeat changes nothing");
    let mut b = link(2, 201);
    settle(Time::from_millis(1_200), &mut a, &mut b);
    assert!(told(&a), "a peer's next life");
    a.set_keys(MessageKeys::new(key(2), vec![key(1)]));
    assert!(told(&a), "another key");
    a.remove_peer(node(3));
    assert!(told(&a), "a peer is gone");
    a.renew(Time::from_millis(1_300), 0);
    assert!(told(&a), "a new life");
}

#[test]
fn a_peer_that_opens_the_first_seal_only_is_none_of_theirs() {
    let (mut a, _) = met();
    a.peers[0].said.as_mut().unwrap().wire = wire::VERSION;
    assert_eq!(sealer(1, &a).route(node(2)), None);
    let (a, _) = met();
    assert!(sealer(1, &a).route(node(2)).is_some());
    assert_eq!(sealer(1, &a).route(node(3)), None, "it was never met");
    let keys = MessageKeys::new(key(1), vec![]);
    assert_eq!(sealer(1, &link_with(1, 100, keys)).route(node(2)), None);
}

#[test]
fn where_another_worker_is_met_first_a_replayed_hello_says_nothing() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    let now = Time::ZERO;
    a.handle_timeout(now);
    let hello = hello_to(&mut a, 2);
    let said = |b: &mut Link| {
        let events = core::iter::from_fn(|| b.poll_event());
        let said = |event: &Event| matches!(event, Event::PeerSaid { .. });
        events.filter(said).count()
    };
    let replay = |b: &mut Link| {
        let from = SocketAddr::new(address(1), PORT);
        b.open(now, from, address(2), hello.as_slice())
    };
    assert_eq!(replay(&mut b), Ok(Opened::Handled));
    // Its answer makes the other end known, whose own answer is late.
    b.handle_timeout(now);
    carry_hellos(now, &mut b, &mut a);
    let first = sealed(&mut sealer(1, &a));
    let opened = open(now, &mut b, 1, first.as_slice());
    assert_eq!(opened, Ok(Opened::Message(node(1))));
    assert_eq!(said(&mut b), 0);
    assert_eq!(replay(&mut b), Ok(Opened::Handled));
    assert_eq!(said(&mut b), 0, "it may be of any time");
    carry_hellos(now, &mut a, &mut b);
    assert_eq!(said(&mut b), 1, "the answer is of this session");
}

#[test]
fn what_others_sealed_is_in_the_books() {
    let (mut a, _) = met();
    let before = a.ledger().clone();
    a.count_sealed(5, 2);
    assert_eq!(a.ledger().sent, before.sent + 5);
    assert_eq!(a.ledger().created, before.created + 7);
    assert_eq!(a.ledger().dropped(DropReason::SendFailed), 2);
    assert_eq!(a.ledger().imbalance(), 0);
}
