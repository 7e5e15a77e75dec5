use super::*;
use crate::pace::Paces;
use crate::testbed::{config, known, millis};
use jlb_protocol::Role;

const NOW: Time = Time::from_millis(10_000);

fn said(incarnation: u32, state: MemberState, answer: bool) -> Said {
    Said {
        incarnation,
        state,
        answer,
    }
}

fn active(incarnation: u32) -> Said {
    said(incarnation, MemberState::Active, true)
}

fn up() -> Peer {
    let mut peer = Peer::of_file(known(2), NOW);
    assert_eq!(peer.said(NOW, active(5)), Change::Came { first: false });
    peer
}

fn pace() -> Pace {
    Paces::new(&config(1), 1, 1).with(Role::Ingress)
}

#[test]
fn a_peer_of_the_file_is_down_until_it_answers() {
    let mut peer = Peer::of_file(known(2), NOW);
    assert_eq!(peer.member().unwrap().state, MemberState::Down);
    let hello = said(5, MemberState::Active, false);
    assert_eq!(peer.said(NOW, hello), Change::None);
    assert_eq!(peer.started(NOW, 5), Change::State);
    assert!(!peer.is_up());
    assert_eq!(peer.said(NOW, active(5)), Change::Came { first: false });
    assert_eq!(peer.member().unwrap().state, MemberState::Active);
    assert_eq!(peer.member().unwrap().incarnation, 5);
}

#[test]
fn a_node_outside_the_file_is_no_member_until_it_answers() {
    let mut peer = Peer::asked(known(2), Origin::Stranger, NOW);
    assert_eq!(peer.member(), None);
    assert_eq!(peer.started(NOW, 5), Change::None);
    let leaving = said(5, MemberState::Down, true);
    assert_eq!(peer.said(NOW, leaving), Change::None);
    assert_eq!(peer.member(), None);
    assert_eq!(peer.said(NOW, active(5)), Change::Came { first: true });
    assert_eq!(peer.introductions, INTRODUCTIONS);
    let mut peer = Peer::asked(known(2), Origin::Hearsay, NOW);
    assert_eq!(peer.said(NOW, active(5)), Change::Came { first: true });
    assert_eq!(peer.introductions, 0);
}

#[test]
fn what_it_says_of_its_state_is_believed_at_once() {
    let mut peer = up();
    let draining = said(5, MemberState::Draining, false);
    assert_eq!(peer.said(NOW, draining), Change::State);
    assert_eq!(peer.said(NOW, draining), Change::None);
    assert_eq!(peer.member().unwrap().state, MemberState::Draining);
    let leaving = said(5, MemberState::Down, false);
    assert_eq!(peer.said(NOW, leaving), Change::Left);
    assert_eq!(peer.said(NOW, leaving), Change::None);
    assert_eq!(peer.member().unwrap().state, MemberState::Down);
    assert_eq!(peer.said(NOW, active(5)), Change::Came { first: false });
}

#[test]
fn the_next_life_ends_the_last_at_once_and_earlier_ones_count_no_more() {
    let mut peer = up();
    assert_eq!(peer.started(NOW, 5), Change::None);
    assert_eq!(peer.started(NOW, 4), Change::None);
    assert!(peer.is_up());
    assert_eq!(peer.started(NOW, 6), Change::Restarted { up: false });
    assert!(!peer.is_up());
    assert_eq!(peer.said(NOW, active(5)), Change::None);
    assert!(!peer.is_up());
    assert_eq!(peer.said(NOW, active(6)), Change::Came { first: false });

    let mut peer = up();
    assert_eq!(peer.said(NOW, active(6)), Change::Restarted { up: true });
    assert!(peer.is_up());
    let hello = said(7, MemberState::Active, false);
    assert_eq!(peer.said(NOW, hello), Change::Restarted { up: false });
    assert!(!peer.is_up());
}

#[test]
fn silence_is_fine_then_suspect_then_death() {
    let peer = up();
    let after = |span| peer.silence(NOW + millis(span), pace());
    let at = |span| NOW + millis(span);
    assert_eq!(after(0), Some(Silence::Fine { until: at(250) }));
    assert_eq!(after(249), Some(Silence::Fine { until: at(250) }));
    assert_eq!(after(250), Some(Silence::Suspect { until: at(400) }));
    assert_eq!(after(399), Some(Silence::Suspect { until: at(400) }));
    assert_eq!(after(400), Some(Silence::Silent));
    assert_eq!(peer.silent_for(at(400)), millis(400));
    assert_eq!(Peer::of_file(known(2), NOW).silence(NOW, pace()), None);
}

#[test]
fn one_that_is_heard_but_does_not_answer_is_of_no_use() {
    let mut peer = up();
    let at = |span| NOW + millis(span);
    let hello = said(5, MemberState::Active, false);
    for span in (100..=700).step_by(100) {
        assert_eq!(peer.said(at(span), hello), Change::None);
        peer.heard(at(span));
    }
    let look = |span| peer.silence(at(span), pace());
    assert_eq!(look(700), Some(Silence::Suspect { until: at(800) }));
    assert_eq!(look(800), Some(Silence::Deaf));
}

#[test]
fn silence_while_we_did_not_listen_is_excused() {
    let mut peer = up();
    let late = NOW + millis(390);
    peer.excuse(late, millis(200));
    assert_eq!(
        peer.silence(late, pace()),
        Some(Silence::Fine {
            until: NOW + millis(450)
        })
    );
    // But it was not heard in the future.
    peer.excuse(late, millis(10_000));
    assert_eq!(peer.silent_for(late), Duration::ZERO);
}
