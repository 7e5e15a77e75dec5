use super::*;
use crate::testbed::{known, millis, number};
use alloc::vec;

fn drained(pending: &mut Pending) -> Vec<Command> {
    core::iter::from_fn(|| pending.next()).collect()
}

#[test]
fn each_thing_waits_once_and_they_come_in_the_order_they_are_to_be_done() {
    let mut pending = Pending::default();
    for _ in 0..3 {
        pending.letter(number(1), vec![]);
        pending.probe(number(1));
        pending.announce = true;
        pending.view = true;
        pending.add(known(3));
        pending.interval(number(3), millis(100));
        pending.paused = true;
    }
    pending.remove(number(2));
    assert_eq!(
        drained(&mut pending),
        [
            Command::Paused,
            Command::RemovePeer(number(2)),
            Command::AddPeer(known(3)),
            Command::SetInterval {
                node: number(3),
                interval: millis(100)
            },
            Command::View,
            Command::Announce,
            Command::Probe(number(1)),
            Command::SendMembers {
                to: number(1),
                entries: vec![]
            },
        ]
    );
}

#[test]
fn nothing_more_is_done_for_a_peer_that_goes() {
    let mut pending = Pending::default();
    pending.add(known(3));
    pending.interval(number(3), millis(100));
    pending.probe(number(3));
    pending.letter(number(3), vec![]);
    pending.remove(number(3));
    assert_eq!(drained(&mut pending), [Command::RemovePeer(number(3))]);
}

#[test]
fn one_that_goes_and_comes_back_is_removed_before_it_is_added() {
    let mut pending = Pending::default();
    pending.remove(number(3));
    pending.add(known(3));
    assert_eq!(
        drained(&mut pending),
        [Command::RemovePeer(number(3)), Command::AddPeer(known(3))]
    );
}

#[test]
fn letters_are_bounded() {
    let mut pending = Pending::default();
    for node in 1..200 {
        pending.letter(number(node), vec![]);
    }
    assert_eq!(drained(&mut pending).len(), MAX_LETTERS);
}
