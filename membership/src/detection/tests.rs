use crate::testbed::{config, known, millis, number};
use crate::{Command, Config, Membership};
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::link::Event;
use jlb_protocol::{MemberState, Time};

const START: Time = Time::from_millis(10_000);

fn answers(of: u16) -> Event {
    Event::PeerSaid {
        node: number(of),
        incarnation: 7,
        role: crate::testbed::role(of),
        state: MemberState::Active,
        view: 0,
        wire: 2,
        answer: true,
    }
}

/// A tracker whose peers, of these numbers, have just answered.
fn among(peers: &[u16]) -> Membership {
    let config = Config {
        max_nodes: 2_000,
        ..config(1)
    };
    let file = peers.iter().copied().map(known).collect();
    let mut membership = Membership::new(config, file, START);
    membership.handle_timeout(START);
    for &peer in peers {
        membership.handle_event(START, &answers(peer));
    }
    while membership.poll_command().is_some() {}
    membership
}

fn up(membership: &Membership, node: u16) -> bool {
    let member = membership.view().member(number(node)).unwrap();
    member.state == MemberState::Active
}

fn probes(membership: &mut Membership) -> Vec<u16> {
    core::iter::from_fn(|| membership.poll_command())
        .filter_map(|command| match command {
            Command::Probe(node) => Some(node.get()),
            _ => None,
        })
        .collect()
}

/// Wakes exactly when it wants to be woken, until then.
fn run(membership: &mut Membership, until: Time) -> Vec<(u64, u16)> {
    let mut asked = Vec::new();
    while let Some(at) = membership.poll_timeout().filter(|&at| at <= until) {
        membership.handle_timeout(at);
        let span = at.since(START).as_millis() as u64;
        asked.extend(probes(membership).into_iter().map(|node| (span, node)));
    }
    membership.handle_timeout(until);
    asked
}

#[test]
fn a_silent_peer_is_asked_each_20_ms_and_is_down_after_the_timeout() {
    let mut membership = among(&[2]);
    let asked = run(&mut membership, START + millis(399));
    let times: Vec<_> = asked.iter().map(|probe| probe.0).collect();
    assert_eq!(times, [250, 270, 290, 310, 330, 350, 370, 390]);
    assert!(up(&membership, 2));
    run(&mut membership, START + millis(400));
    assert!(!up(&membership, 2));
    assert_eq!(membership.stats().silent, 1);
    assert_eq!(membership.stats().longest_silence, millis(400));
    // Nobody is asked for long; the heartbeat goes on.
    assert_eq!(run(&mut membership, START + millis(2_000)), []);
}

#[test]
fn whoever_is_heard_is_not_asked() {
    let mut membership = among(&[2, 3]);
    for span in (0..700).step_by(50) {
        run(&mut membership, START + millis(span));
        membership.handle_heard(START + millis(span), number(2));
    }
    assert!(up(&membership, 2));
    assert!(!up(&membership, 3));
    // One that is heard and never answers is asked from 650 ms on, and of no use at 800.
    let asked = run(&mut membership, START + millis(799));
    assert!(asked.iter().any(|&(_, node)| node == 2));
    assert!(up(&membership, 2));
    membership.handle_heard(START + millis(799), number(2));
    run(&mut membership, START + millis(800));
    assert!(!up(&membership, 2));
    assert_eq!(membership.stats().deaf, 1);
}

#[test]
fn the_clock_is_looked_at_each_heartbeat() {
    let mut membership = among(&[]);
    for span in 1..50 {
        let next = membership.poll_timeout().unwrap();
        assert!(next.since(START) <= millis(100 * span));
        membership.handle_timeout(next);
    }
}

#[test]
fn lateness_of_less_than_a_heartbeat_excuses_nothing_and_more_excuses_all() {
    for (late, alive) in [(100, false), (101, true)] {
        let mut membership = among(&[2]);
        run(&mut membership, START + millis(330));
        let planned = membership.poll_timeout().unwrap();
        membership.handle_timeout(planned + millis(late));
        assert_eq!(up(&membership, 2), alive, "{late}");
        assert_eq!(membership.stats().excused, u64::from(alive));
    }
}

#[test]
fn an_excuse_only_postpones() {
    let mut membership = among(&[2]);
    run(&mut membership, START + millis(330));
    let planned = membership.poll_timeout().unwrap();
    membership.handle_timeout(planned + millis(300));
    assert!(up(&membership, 2));
    run(&mut membership, planned + millis(300 + 100));
    assert!(!up(&membership, 2));
}

#[test]
fn a_gap_longer_than_the_timeout_is_a_pause() {
    for (gap, pauses) in [(400, 0), (401, 1)] {
        let mut membership = among(&[2]);
        membership.handle_timeout(START + millis(50));
        membership.handle_timeout(START + millis(50 + gap));
        assert_eq!(membership.stats().pauses, pauses);
        assert_eq!(up(&membership, 2), pauses == 0);
        let paused = membership.poll_command() == Some(Command::Paused);
        assert_eq!(paused, pauses == 1);
    }
}

#[test]
fn while_the_new_life_has_not_begun_time_goes_on() {
    let mut membership = among(&[2]);
    membership.handle_timeout(START + Duration::from_secs(9));
    for _ in 0..20 {
        let next = membership.poll_timeout().unwrap();
        membership.handle_timeout(next);
    }
    assert_eq!(membership.stats().pauses, 1);
    assert_eq!(membership.stats().silent, 0);
}

#[test]
fn of_many_that_are_silent_a_bounded_number_is_asked_in_turn() {
    let peers: Vec<_> = (2..100).chain(100..151).collect();
    let mut membership = among(&peers);
    let asked = run(&mut membership, START + millis(399));
    // 500 a second, for 150 ms, and what may come in one burst.
    assert!(
        (75..=75 + 32 + 32).contains(&asked.len()),
        "{}",
        asked.len()
    );
    let mut nodes: Vec<_> = asked.iter().map(|probe| probe.1).collect();
    nodes.sort_unstable();
    nodes.dedup();
    assert_eq!(nodes.len(), asked.len().min(peers.len()), "somebody twice");
    run(&mut membership, START + millis(400));
    assert_eq!(membership.stats().up, 0);
}

#[test]
fn one_that_is_down_and_heard_again_is_asked_at_once_but_not_for_each_message() {
    let mut membership = among(&[2]);
    run(&mut membership, START + millis(600));
    let hello = |membership: &mut Membership, span| {
        let mut event = answers(2);
        if let Event::PeerSaid { answer, .. } = &mut event {
            *answer = false;
        }
        membership.handle_event(START + millis(span), &event);
        probes(membership)
    };
    assert_eq!(hello(&mut membership, 600), [2]);
    assert_eq!(hello(&mut membership, 601), []);
    assert_eq!(hello(&mut membership, 620), [2]);
    assert!(!up(&membership, 2));
    membership.handle_event(START + millis(621), &answers(2));
    assert!(up(&membership, 2));
}
