//! R10: what trackers are told when the view changes, and what the mark says.

use super::*;
use crate::testbed::trackers;
use jlb_protocol::message::{Control, FlowKind, Path};
use jlb_protocol::view::{FailureDomain, Member};
use jlb_protocol::{MemberState, Message, View};
use std::collections::BTreeSet;

const ACTIVE: MemberState = MemberState::Active;
const JOINING: MemberState = MemberState::Joining;
const DRAINING: MemberState = MemberState::Draining;
const DOWN: MemberState = MemberState::Down;

/// The trackers 10, 11 and 12 in their first life, and others or the same otherwise.
fn with(others: &[(u16, MemberState, u32)]) -> View {
    let mut all = vec![(10, ACTIVE, 1), (11, ACTIVE, 1), (12, ACTIVE, 1)];
    all.retain(|one| others.iter().all(|other| other.0 != one.0));
    all.extend(others);
    trackers(&all)
}

/// A bed with these flows, of which all trackers were told.
fn filled(flows: u16) -> Bed {
    let mut config = config();
    config.limits.max_flows = 1_000;
    config.limits.max_statements = 1_000;
    config.limits.max_outbox = 2_000;
    let mut bed = Bed::new(config);
    bed.see(with(&[]));
    accept_quietly(&mut bed, 1..=flows);
    bed.converse(100);
    bed.settle();
    bed
}

/// The ports of the clients 1 to `flows` for whose flows a tracker ranks in a view.
fn ranked(view: &View, tracker: u16, flows: u16) -> BTreeSet<u16> {
    let of_tracker = |&port: &u16| {
        let ranks = client(port).ranks(view);
        [ranks.primary, ranks.secondary].contains(&Some(node(tracker)))
    };
    (1..=flows).filter(of_tracker).collect()
}

/// The client ports of the flows that a tracker is told of, and the marks of the messages to it.
fn told(sent: &[Sent], tracker: u16) -> (BTreeSet<u16>, Vec<Option<u64>>) {
    let (mut keys, mut marks) = (BTreeSet::new(), Vec::new());
    for sent in sent {
        if let Sent::State {
            to, filled, flows, ..
        } = sent
            && *to == node(tracker)
        {
            keys.extend(flows.iter().map(|line| line.key.client_port()));
            marks.push(*filled);
        }
    }
    (keys, marks)
}

/// Whether only the last of these marks is one, and is this.
fn ends_with(marks: &[Option<u64>], fingerprint: u64) -> bool {
    let (last, before) = marks.split_last().expect("a message");
    *last == Some(fingerprint) && before.iter().all(Option::is_none)
}

#[test]
fn r10_a_joining_tracker_is_told_what_it_will_rank_for_and_then_that_it_is_filled() {
    let mut bed = filled(300);
    bed.see(with(&[(13, JOINING, 5)]));
    let active = with(&[(13, ACTIVE, 5)]);
    let sent = bed.converse(1_000);
    let (keys, marks) = told(&sent, 13);
    assert_eq!(keys, ranked(&active, 13, 300));
    assert!(
        marks.len() > 3 && ends_with(&marks, bed.fingerprint(13)),
        "{marks:?}"
    );
    for tracker in [10, 11, 12] {
        assert!(
            told(&sent, tracker).1.is_empty(),
            "nothing changes for {tracker}"
        );
    }
    // Ranked, it ranks by what it was told: nothing is said to it again.
    bed.see(active.clone());
    let sent = bed.converse(1_000);
    assert!(told(&sent, 13).1.is_empty());
    for tracker in [10, 11, 12] {
        let (keys, marks) = told(&sent, tracker);
        assert!(keys.is_empty(), "it has lost ranks, and won none");
        assert_eq!(marks, [Some(bed.fingerprint(tracker))]);
    }
}

#[test]
fn r10_losing_a_tracker_tells_the_next_rank_only() {
    let mut bed = filled(300);
    let before = bed.view.clone();
    bed.see(with(&[(12, DOWN, 1)]));
    let sent = bed.converse(1_000);
    for tracker in [10, 11] {
        let (keys, marks) = told(&sent, tracker);
        let had = ranked(&before, tracker, 300);
        let has = ranked(&bed.view, tracker, 300);
        assert_eq!(keys, &has - &had);
        assert!(keys.len() > 50);
        assert!(ends_with(&marks, bed.fingerprint(tracker)), "{marks:?}");
    }
    assert!(told(&sent, 12).1.is_empty());
    assert_eq!(bed.stats().trackers_unfilled, 0);
}

/// The first and the last of the three in one rack: the other has a part in every flow.
fn in_racks() -> View {
    let view = with(&[]);
    let members = view.members().iter().map(|member| Member {
        domain: match member.node.get() {
            10 | 12 => Some(FailureDomain::of("a")),
            11 => Some(FailureDomain::of("b")),
            _ => None,
        },
        ..*member
    });
    View::new(members.collect())
}

/// What was told while trackers failed alone is not what is owed when they fail together, and the other way round: nobody is
/// marked as filled before it has been told what is newly its own.
#[test]
fn r10_other_failure_domains_have_trackers_told_what_is_newly_owed_to_them() {
    let mut bed = filled(300);
    let without = bed.view.clone();
    for view in [in_racks(), without] {
        let before = bed.view.clone();
        bed.see(view.clone());
        let sent = bed.converse(1_000);
        let mut new = 0;
        for tracker in [10, 11, 12] {
            let (keys, marks) = told(&sent, tracker);
            let (had, has) = (ranked(&before, tracker, 300), ranked(&view, tracker, 300));
            assert!(keys.is_superset(&(&has - &had)), "{tracker}");
            assert!(keys.is_subset(&has), "{tracker}");
            assert!(ends_with(&marks, bed.fingerprint(tracker)), "{marks:?}");
            new += has.difference(&had).count();
        }
        assert!(new > 50, "{new}");
    }
}

#[test]
fn a_tracker_that_returns_is_filled_anew_in_the_same_life_and_in_a_new_one() {
    for life in [1, 2] {
        let mut bed = filled(100);
        bed.see(with(&[(12, DOWN, 1)]));
        bed.converse(1_000);
        bed.see(with(&[(12, JOINING, life)]));
        let (keys, marks) = told(&bed.converse(1_000), 12);
        assert_eq!(keys, ranked(&with(&[]), 12, 100));
        assert!(ends_with(&marks, bed.fingerprint(12)));
    }
    // A restart that was never noticed as a failure.
    let mut bed = filled(100);
    bed.see(with(&[(12, JOINING, 2)]));
    let (keys, marks) = told(&bed.converse(1_000), 12);
    assert_eq!(keys, ranked(&with(&[]), 12, 100));
    assert!(ends_with(&marks, bed.fingerprint(12)));
}

#[test]
fn a_draining_tracker_is_told_on_and_the_others_take_its_ranks() {
    let mut bed = filled(100);
    bed.see(with(&[(12, DRAINING, 1)]));
    let sent = bed.converse(1_000);
    assert!(told(&sent, 12).1.is_empty(), "it knows all of it already");
    assert!(!told(&sent, 10).0.is_empty());
    bed.accept(client(200), 500);
    let owed = ranked(&with(&[]), 12, 200).contains(&200);
    assert_eq!(told(&bed.converse(100), 12).0.len(), usize::from(owed));
}

#[test]
fn joining_trackers_are_told_of_changes_and_closes_too() {
    let mut bed = filled(60);
    bed.see(with(&[(13, JOINING, 5)]));
    bed.converse(1_000);
    let owed = ranked(&with(&[(13, ACTIVE, 5)]), 13, 60);
    for port in 1..=60 {
        bed.data(client(port), &client(port).ack());
    }
    assert_eq!(told(&bed.converse(100), 13).0, owed);
    bed.wait(2_000);
    bed.dump_twice(&[]);
    let sent = bed.converse(100);
    let closed = sent.iter().filter_map(|sent| match sent {
        Sent::State { to, flows, .. } if *to == node(13) => Some(flows),
        _ => None,
    });
    let closed: Vec<_> = closed.flatten().collect();
    assert_eq!(closed.len(), owed.len());
    assert!(closed.iter().all(|line| line.state == FlowState::Closed));
}

#[test]
fn r10_the_walk_waits_for_room_and_loses_nothing() {
    let mut bed = filled(0);
    let mut config = config();
    config.limits.max_flows = 1_000;
    config.limits.max_statements = 10;
    let mut small = Bed::unready(config);
    let sockets: Vec<_> = (1..=400)
        .map(|port| client(port).socket(port.into(), SocketState::Open))
        .collect();
    small.load(&sockets);
    small.see(with(&[]));
    bed.see(with(&[]));
    let sent = small.converse(1_000);
    for tracker in [10, 11, 12] {
        let (keys, marks) = told(&sent, tracker);
        assert_eq!(keys, ranked(&small.view, tracker, 400));
        assert!(ends_with(&marks, small.fingerprint(tracker)));
    }
    assert_eq!(small.stats().counters.statements_lost, 0);
}

#[test]
fn one_tracker_that_does_not_answer_keeps_no_other_from_being_filled() {
    let mut config = config();
    config.limits.max_flows = 1_000;
    config.limits.max_statements = 10;
    let mut bed = Bed::unready(config);
    let sockets: Vec<_> = (1..=300)
        .map(|port| client(port).socket(port.into(), SocketState::Open))
        .collect();
    bed.load(&sockets);
    bed.see(with(&[]));
    let mut marks = [0; 3];
    for _ in 0..1_000 {
        let mut sent = bed.run(1);
        while let Some(one) = sent.pop() {
            if let Sent::State {
                to,
                sequence,
                filled,
                ..
            } = one
                && to != node(11)
            {
                marks[usize::from(to.get() - 10)] += u32::from(filled.is_some());
                bed.ack(to, sequence);
                sent.extend(bed.drain());
            }
        }
    }
    assert_eq!(marks, [1, 0, 1]);
    assert_eq!(bed.stats().trackers_unfilled, 1);
}

#[test]
fn r10_a_statement_that_was_lost_takes_the_mark_back_until_all_is_told() {
    let mut small = config();
    small.limits.max_statements = 2;
    let mut bed = Bed::new(small);
    assert_eq!(bed.stats().trackers_unfilled, 0);
    accept_quietly(&mut bed, 1..=20);
    let lost = bed.stats().counters.statements_lost;
    assert!(lost > 0);
    assert_eq!(bed.stats().trackers_unfilled, 3);
    let sent = bed.converse(1_000);
    for tracker in [10, 11, 12] {
        let (keys, marks) = told(&sent, tracker);
        assert_eq!(keys, ranked(&bed.view, tracker, 20));
        assert!(ends_with(&marks, bed.fingerprint(tracker)), "{marks:?}");
    }
}

#[test]
fn every_later_state_carries_the_mark_while_it_holds() {
    let mut bed = filled(10);
    bed.data(client(1), &client(1).ack());
    let ranks = client(1).ranks(&bed.view);
    let primary = ranks.primary.unwrap().get();
    let (_, marks) = told(&bed.converse(100), primary);
    assert_eq!(marks, [Some(bed.fingerprint(primary))]);
}

#[test]
fn a_repeat_does_not_carry_a_mark_that_holds_no_more() {
    let mut bed = filled(0);
    bed.see(with(&[(12, DOWN, 1)]));
    let first = bed.run(10);
    let (_, marks) = told(&first, 10);
    assert_eq!(marks, [Some(bed.fingerprint(10))]);
    bed.see(with(&[]));
    let (_, marks) = told(&bed.run(200), 10);
    assert_eq!(marks, [None], "the same message, repeated");
    let (_, marks) = told(&bed.converse(300), 10);
    assert!(ends_with(&marks, bed.fingerprint(10)), "{marks:?}");
}

#[test]
fn a_view_that_changes_during_a_walk_starts_it_again_and_leaves_nothing_out() {
    let mut bed = filled(300);
    bed.see(with(&[(12, DOWN, 1)]));
    bed.run(1);
    // Accepted while 12 is away: told to 10 and 11 alone, and to no one else before the next view.
    for port in 301..=400 {
        bed.accept(client(port), 500);
    }
    bed.see(with(&[(12, JOINING, 2), (11, DOWN, 1)]));
    bed.run(1);
    bed.see(with(&[(12, ACTIVE, 2)]));
    let mut keys = [const { BTreeSet::new() }; 3];
    let sent = bed.converse(2_000);
    for tracker in [10, 11, 12] {
        let (told, marks) = told(&sent, tracker);
        assert_eq!(*marks.last().unwrap(), Some(bed.fingerprint(tracker)));
        keys[usize::from(tracker - 10)] = told;
    }
    let [_, eleven, twelve] = keys;
    assert_eq!(eleven, ranked(&bed.view, 11, 400), "it returned");
    assert!(twelve.is_superset(&ranked(&bed.view, 12, 400)), "it is new");
}

#[test]
fn a_host_that_is_not_ready_marks_nothing() {
    let mut bed = Bed::unready(config());
    bed.see(with(&[]));
    bed.dump(&[client(1).socket(1, SocketState::Open)]);
    assert!(bed.converse(10_000).is_empty());
    assert_eq!(bed.stats().trackers_unfilled, 3);
    bed.dump(&[client(1).socket(1, SocketState::Open)]);
    let sent = bed.converse(10);
    for tracker in [10, 11, 12] {
        let (keys, marks) = told(&sent, tracker);
        assert_eq!(keys, ranked(&bed.view, tracker, 1));
        assert!(ends_with(&marks, bed.fingerprint(tracker)));
    }
}

#[test]
fn a_tracker_that_lacks_the_mark_asks_for_it_by_its_last_acknowledgement() {
    let mut bed = filled(10);
    let last = bed.settled(node(10));
    bed.wait(1_000);
    let question = Message::Control(Control::Ack { sequence: last });
    assert_eq!(bed.handle(node(10), &question), Verdict::Done);
    let (keys, marks) = told(&bed.converse(10), 10);
    assert_eq!((keys.len(), marks), (0, vec![Some(bed.fingerprint(10))]));
    // A doubled acknowledgement asks too: not more often than a State is repeated.
    for _ in 0..5 {
        let question = Message::Control(Control::Ack { sequence: last + 1 });
        bed.handle(node(10), &question);
        assert!(bed.converse(10).is_empty());
    }
    assert_eq!(bed.stats().counters.marks_repeated, 1);
}

#[test]
fn a_tracker_that_lost_its_memory_is_told_everything_under_higher_numbers() {
    let mut bed = filled(50);
    let before = bed.settled(node(10));
    let lost = Message::Control(Control::Ack { sequence: 0 });
    assert_eq!(bed.handle(node(10), &lost), Verdict::Done);
    let sent = bed.converse(100);
    let (keys, marks) = told(&sent, 10);
    assert_eq!(keys, ranked(&bed.view, 10, 50));
    assert!(ends_with(&marks, bed.fingerprint(10)));
    let rising = |sent: &Sent| match sent {
        Sent::State { sequence, .. } => *sequence >= 1,
        Sent::Flow { .. } | Sent::Digest { .. } | Sent::Load { .. } => false,
    };
    assert!(before > 1 && sent.iter().all(rising));
    assert_eq!(bed.stats().counters.forgotten, 1);
    let stale = bed.stats().counters.acks_stale;
    let mut empty = Bed::new(config());
    empty.see(with(&[(13, JOINING, 1)]));
    empty.run(10);
    empty.handle(node(13), &lost);
    assert_eq!(empty.stats().counters.forgotten, 0, "it heard nothing yet");
    assert_eq!(bed.stats().counters.acks_stale, stale);
}

#[test]
fn r10_ranks_that_were_not_on_the_path_are_told_at_once() {
    let mut bed = filled(0);
    let packet = client(1).syn(500);
    let mut offer = bed.offer_message(client(1), &packet);
    let (primary, secondary) = (offer.path.primary, offer.path.secondary);
    let other = [10, 11, 12].map(|number| Some(node(number)));
    let other = other
        .into_iter()
        .find(|one| *one != primary && *one != secondary);
    offer.path = Path {
        primary,
        secondary: other.unwrap(),
        ..offer.path
    };
    bed.handle(other.unwrap().unwrap(), &Message::Flow(offer));
    let sent = bed.drain();
    assert!(
        matches!(sent[0], Sent::Flow { kind: FlowKind::Accept, to, .. } if Some(to) == offer.path.secondary)
    );
    assert!(matches!(&sent[1], Sent::State { to, flows, .. }
        if Some(*to) == secondary && flows[0].key == client(1).key()));
    assert_eq!(sent.len(), 2, "the primary's is gathered");
    assert_eq!(bed.stats().counters.states_hurried, 1);
}

#[test]
fn an_urgent_statement_waits_for_no_more_than_the_message_on_its_way() {
    let mut bed = filled(0);
    bed.see(with(&[(11, DOWN, 1), (12, DOWN, 1)]));
    bed.converse(10);
    bed.settle();
    bed.accept(client(1), 500);
    assert_eq!(sequences(&bed.run(10)), [(1, 1)]);
    let packet = client(2).syn(500);
    let mut offer = bed.offer_message(client(2), &packet);
    offer.path.primary = Some(node(11));
    bed.handle(node(11), &Message::Flow(offer));
    assert_eq!(bed.drain().len(), 1, "one State is on its way");
    bed.ack(node(10), 1);
    assert_eq!(sequences(&bed.drain()), [(2, 1)]);
}

#[test]
fn r14_a_walk_visits_a_bounded_number_of_flows_in_a_call() {
    const FLOWS: u16 = 4_000;
    let mut config = config();
    config.limits.max_flows = FLOWS.into();
    config.limits.max_statements = 2 * u32::from(FLOWS);
    let mut bed = Bed::unready(config);
    let sockets: Vec<_> = (1..=FLOWS)
        .map(|port| client(port).socket(port.into(), SocketState::Open))
        .collect();
    bed.load(&sockets);
    let mut calls = 0;
    while bed.agent.statements.next_walk().is_some() {
        let before = bed.stats().counters.walked;
        bed.agent.handle_timeout(bed.now);
        bed.drain();
        let walked = bed.stats().counters.walked - before;
        assert!(walked <= 2 * walk::MAX_VISITS as u64, "{walked}");
        calls += 1;
    }
    assert_eq!(calls, 4);
    assert_eq!(bed.stats().counters.walked, 2 * u64::from(FLOWS));
}

#[test]
fn a_walk_passes_the_vacant_places_of_a_table_that_once_was_full() {
    const FLOWS: u16 = 10_000;
    let mut config = config();
    config.limits.max_flows = FLOWS.into();
    config.limits.max_statements = 2 * u32::from(FLOWS);
    let mut bed = Bed::unready(config);
    bed.see(with(&[]));
    let sockets: Vec<_> = (1..=FLOWS)
        .map(|port| client(port).socket(port.into(), SocketState::Open))
        .collect();
    bed.load(&sockets);
    bed.dump_twice(&sockets[sockets.len() - 1..]);
    bed.converse(100);
    bed.settle();
    assert_eq!(bed.stats().flows_established, 1);
    // One that begins anew is told all, wherever it ranks: what its last two rank for.
    let view = with(&[(11, DOWN, 1), (12, DOWN, 1), (10, ACTIVE, 2)]);
    bed.see(view);
    bed.agent.handle_timeout(bed.now);
    let (ports, marks) = told(&bed.drain(), 10);
    assert_eq!(ports, BTreeSet::from([FLOWS]));
    assert!(!marks.is_empty());
}
