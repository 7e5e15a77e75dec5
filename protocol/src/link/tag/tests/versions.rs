//! Which seal a node makes, and which it opens.

use crate::DropReason;
use crate::link::tests::{SOURCE, carry_hellos, link, message, node, open, sealed, settle};
use crate::link::{Link, Opened};
use crate::time::Time;
use crate::wire::{NH_VERSION, Seal, VERSION, WIRE_VERSION};

/// The version of a message's seal.
fn version(bytes: &[u8]) -> u8 {
    Seal::read(bytes).unwrap().version
}

/// The latest seal that both links know.
const LATEST: u8 = if WIRE_VERSION >= NH_VERSION {
    NH_VERSION
} else {
    VERSION
};

fn met() -> (Link, Link) {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    settle(Time::ZERO, &mut a, &mut b);
    (a, b)
}

/// Has `a` believe that its peer 2 said that it speaks `wire`.
fn has_said(a: &mut Link, wire: u8) {
    let at = a.peer(node(2)).unwrap();
    a.peers[at].said.as_mut().unwrap().wire = wire;
}

#[test]
fn hellos_and_answers_have_the_first_seal_and_messages_the_latest_that_both_know() {
    let (mut a, mut b) = (link(1, 100), link(2, 200));
    a.handle_timeout(Time::ZERO);
    b.handle_timeout(Time::ZERO);
    for _ in 0..4 {
        for (from, to) in [(1, 2), (2, 1)] {
            let (from, to) = if from < to {
                (&mut a, &mut b)
            } else {
                (&mut b, &mut a)
            };
            let mut copy = from.clone();
            while let Some((_, hello)) = copy.poll_hello() {
                assert_eq!(version(hello.as_slice()), VERSION);
            }
            carry_hellos(Time::ZERO, from, to);
        }
    }
    let bytes = sealed(&mut a, &b);
    assert_eq!(version(bytes.as_slice()), LATEST);
    assert_eq!(
        open(Time::ZERO, &mut b, 1, bytes.as_slice()),
        Ok(Opened::Message(node(1)))
    );
}

#[test]
fn a_peer_of_an_older_build_gets_the_first_seal_and_its_own_is_opened() {
    let (mut a, mut b) = met();
    for wire in 0..NH_VERSION {
        has_said(&mut a, wire);
        let bytes = sealed(&mut a, &b);
        assert_eq!(version(bytes.as_slice()), VERSION);
        assert_eq!(
            open(Time::ZERO, &mut b, 1, bytes.as_slice()),
            Ok(Opened::Message(node(1)))
        );
    }
    // A later build opens what this one seals.
    has_said(&mut a, u8::MAX);
    assert_eq!(version(sealed(&mut a, &b).as_slice()), LATEST);
}

#[test]
fn what_a_former_life_said_counts_no_more() {
    let (mut a, mut b) = met();
    assert_eq!(version(sealed(&mut a, &b).as_slice()), LATEST);
    // An older build in its place: what it seals first is a message, before it says anything.
    let mut older = link(2, 201);
    older.handle_timeout(Time::ZERO);
    carry_hellos(Time::from_millis(20), &mut older, &mut a);
    carry_hellos(Time::from_millis(20), &mut a, &mut older);
    let mut first = message();
    older.seal(node(1), SOURCE, &mut first).unwrap();
    open(Time::from_millis(20), &mut a, 2, first.as_slice()).unwrap();
    assert_eq!(version(sealed(&mut a, &older).as_slice()), VERSION);
    // What the life before said, replayed, teaches nothing.
    b.announce(Time::from_millis(30));
    b.handle_timeout(Time::from_millis(30));
    carry_hellos(Time::from_millis(30), &mut b, &mut a);
    assert_eq!(version(sealed(&mut a, &older).as_slice()), VERSION);
}

#[test]
fn both_seals_share_one_count_so_that_nothing_is_taken_twice() {
    let (mut a, mut b) = met();
    let latest = sealed(&mut a, &b);
    has_said(&mut a, 1);
    let first = sealed(&mut a, &b);
    for bytes in [&first, &latest] {
        assert!(open(Time::ZERO, &mut b, 1, bytes.as_slice()).is_ok());
    }
    for bytes in [&first, &latest] {
        let again = open(Time::ZERO, &mut b, 1, bytes.as_slice());
        assert_eq!(again, Err(DropReason::Replayed));
    }
}

#[test]
fn another_version_written_over_a_seal_breaks_it() {
    let (mut a, mut b) = met();
    let at = 12;
    let mut bytes = sealed(&mut a, &b).as_slice().to_vec();
    assert_eq!(bytes[at], LATEST);
    for other in (0..=u8::MAX).filter(|&other| other != LATEST) {
        bytes[at] = other;
        let reason = if other == VERSION {
            DropReason::BadTag
        } else {
            DropReason::BadVersion
        };
        assert_eq!(open(Time::ZERO, &mut b, 1, &bytes), Err(reason));
    }
}

#[test]
fn every_covered_bit_counts_in_the_first_seal_too() {
    let (mut a, mut b) = met();
    has_said(&mut a, 1);
    let genuine = sealed(&mut a, &b);
    for at in 0..8 * genuine.len() {
        let mut bytes = genuine.as_slice().to_vec();
        bytes[at / 8] ^= 1 << (at % 8);
        assert!(open(Time::ZERO, &mut b, 1, &bytes).is_err(), "bit {at}");
    }
    assert!(open(Time::ZERO, &mut b, 1, genuine.as_slice()).is_ok());
}

#[test]
fn a_message_is_neither_cut_nor_lengthened() {
    let (mut a, mut b) = met();
    let genuine = sealed(&mut a, &b);
    let bytes = genuine.as_slice();
    for len in 0..bytes.len() {
        assert!(open(Time::ZERO, &mut b, 1, &bytes[..len]).is_err());
    }
    for zeros in 1..40 {
        let mut longer = bytes.to_vec();
        longer.resize(bytes.len() + zeros, 0);
        assert_eq!(
            open(Time::ZERO, &mut b, 1, &longer),
            Err(DropReason::BadTag)
        );
    }
    assert!(open(Time::ZERO, &mut b, 1, bytes).is_ok());
}
