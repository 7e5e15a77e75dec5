use crate::record::{Life, Owned, State};
use crate::testbed::{Bed, Sent, birth, host, ingress, not_mine, statement, tracker, view, web};
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::message::{Control, FlowKind, FlowState, Intent, Reason, ServiceLoad};
use jlb_protocol::view::Member;
use jlb_protocol::{Birth, DropReason, FlowKey, Message, NodeNumber, ServiceNumber, View};
use jlb_protocol::{MemberState, Role};

fn acked(bed: &mut Bed) -> u64 {
    match bed.wire.pop_front() {
        Some(Sent::Ack { sequence, .. }) => sequence,
        other => panic!("{other:?}"),
    }
}

fn owner(bed: &Bed, key: &FlowKey) -> Option<(Life, NodeNumber, Birth)> {
    match bed.state(1, key)? {
        State::Owned(Owned {
            life, host, birth, ..
        }) => Some((life, host, birth)),
        State::Offered(_) | State::Rejected { .. } | State::Refused { .. } => None,
    }
}

#[test]
fn a_state_is_applied_once_and_acknowledged_each_time() {
    let mut bed = Bed::new(1, 2);
    let key = bed.flow(0);
    let accepted = statement(&key, birth(1), 5, FlowState::Accepted);
    let closed = statement(&key, birth(1), 5, FlowState::Closed);
    bed.state_from(tracker(1), host(1), 1, &[accepted]);
    assert_eq!(acked(&mut bed), 1);
    bed.state_from(tracker(1), host(1), 2, &[closed]);
    assert_eq!(acked(&mut bed), 2);
    assert_eq!(bed.stats(1).flows, 0);
    bed.state_from(tracker(1), host(1), 1, &[accepted]);
    bed.state_from(tracker(1), host(1), 2, &[closed]);
    assert_eq!((acked(&mut bed), acked(&mut bed)), (2, 2));
    assert_eq!(bed.stats(1).states_repeated, 2);
    assert_eq!(bed.stats(1).flows, 0);
    // Each host counts for itself.
    bed.state_from(tracker(1), host(2), 1, &[accepted]);
    assert_eq!(acked(&mut bed), 1);
    assert_eq!(bed.stats(1).flows, 1);
}

#[test]
fn a_tracker_that_restarted_joins_a_hosts_numbers_where_they_are() {
    let mut bed = Bed::new(1, 2);
    let key = bed.flow(0);
    let accepted = statement(&key, birth(1), 5, FlowState::Accepted);
    bed.state_from(tracker(1), host(1), 57, &[accepted]);
    assert_eq!(acked(&mut bed), 57);
    assert_eq!(bed.stats(1).flows, 1);
}

#[test]
fn a_late_state_of_a_new_life_is_not_applied() {
    let mut bed = Bed::new(1, 2);
    let key = bed.flow(0);
    // Believed down meanwhile, the host has given up this message, and the flow was closed since. The
    // first one that arrives names no birth.
    let accepted = statement(&key, birth(1), 5, FlowState::Accepted);
    let base = u64::from(birth(1).incarnation) << 32;
    let mark = Some(bed.fingerprint(1));
    bed.mark_from(1, host(1), base + 2, mark);
    assert_eq!(acked(&mut bed), base + 2);
    bed.state_from(tracker(1), host(1), base + 1, &[accepted]);
    assert_eq!(acked(&mut bed), base + 2);
    assert_eq!(bed.stats(1).flows, 0);
    assert_eq!(bed.stats(1).hosts_unmarked, 0);
}

#[test]
fn a_host_whose_numbers_fall_back_hears_the_last_one() {
    let mut bed = Bed::new(1, 2);
    let (key, other) = (bed.flow(0), bed.flow(1));
    let accepted = statement(&key, birth(1), 5, FlowState::Accepted);
    bed.state_from(tracker(1), host(1), 9, &[accepted]);
    assert_eq!(acked(&mut bed), 9);
    let after = Birth {
        incarnation: 2_000,
        counter: 1,
    };
    let fresh = statement(&other, after, 5, FlowState::Accepted);
    for (sequence, acknowledged) in [(1, 9), (10, 10), (10, 10)] {
        bed.state_from(tracker(1), host(1), sequence, &[fresh]);
        assert_eq!(acked(&mut bed), acknowledged);
    }
    assert_eq!(bed.stats(1).flows, 2);
}

#[test]
fn a_flow_goes_through_its_life_as_its_host_states_it() {
    let mut bed = Bed::new(1, 2);
    let key = bed.flow(0);
    let stages = [
        (FlowState::Accepted, Life::Accepted, 1),
        (FlowState::Established, Life::Established, 0),
        (FlowState::Closing, Life::Closing, 0),
    ];
    for (state, life, untrusted) in stages {
        let it = statement(&key, birth(1), 5, state);
        bed.state_from(tracker(1), host(1), 0, &[it]);
        assert_eq!(owner(&bed, &key), Some((life, host(1), birth(1))));
        assert_eq!(bed.stats(1).untrusted, untrusted);
    }
    // A stage is never taken back.
    for state in [FlowState::Accepted, FlowState::Established] {
        let it = statement(&key, birth(1), 5, state);
        bed.state_from(tracker(1), host(1), 0, &[it]);
        assert_eq!(owner(&bed, &key), Some((Life::Closing, host(1), birth(1))));
    }
    let it = statement(&key, birth(1), 5, FlowState::Closed);
    bed.state_from(tracker(1), host(1), 0, &[it]);
    assert_eq!(bed.record(1, &key), None);
    assert_eq!(bed.stats(1).records_closed, 1);
    assert_eq!(bed.stats(1).statements, 6);
    // Nothing is answered to a State without a number.
    assert!(bed.wire.is_empty());
}

#[test]
fn an_older_life_says_nothing_of_a_newer_one() {
    let mut bed = Bed::new(1, 2);
    let key = bed.flow(0);
    let now = statement(&key, birth(2), 6, FlowState::Accepted);
    bed.state_from(tracker(1), host(1), 0, &[now]);
    for state in [
        FlowState::Accepted,
        FlowState::Established,
        FlowState::Closing,
        FlowState::Closed,
    ] {
        let old = statement(&key, birth(1), 5, state);
        bed.state_from(tracker(1), host(1), 0, &[old]);
        assert_eq!(owner(&bed, &key), Some((Life::Accepted, host(1), birth(2))));
    }
    assert_eq!(bed.stats(1).statements_stale, 4);
    // And a newer one ends the older, also by its close.
    let new = statement(&key, birth(3), 7, FlowState::Closed);
    bed.state_from(tracker(1), host(1), 0, &[new]);
    assert_eq!(bed.record(1, &key), None);
}

#[test]
fn a_newer_life_takes_the_place_of_an_older_one() {
    let mut bed = Bed::new(1, 2);
    let key = bed.flow(0);
    bed.establish(&key, 5, birth(1));
    let owned = owner(&bed, &key).unwrap().1;
    let it = statement(&key, birth(2), 900, FlowState::Accepted);
    bed.state_from(tracker(1), owned, 0, &[it]);
    assert_eq!(owner(&bed, &key), Some((Life::Accepted, owned, birth(2))));
    assert_eq!(bed.record(1, &key).unwrap().isn, 900);
    assert_eq!(bed.stats(1).untrusted, 1);
}

#[test]
fn another_host_than_the_records_is_ignored() {
    let mut bed = Bed::new(1, 2);
    let key = bed.flow(0);
    let it = statement(&key, birth(1), 5, FlowState::Established);
    bed.state_from(tracker(1), host(1), 0, &[it]);
    let states = [
        FlowState::Accepted,
        FlowState::Established,
        FlowState::Closing,
        FlowState::Closed,
    ];
    for state in states {
        let it = statement(&key, birth(9), 5, state);
        bed.state_from(tracker(1), host(2), 0, &[it]);
    }
    assert_eq!(
        owner(&bed, &key),
        Some((Life::Established, host(1), birth(1)))
    );
    assert_eq!(bed.stats(1).statements_stale, 4);
    assert_eq!(bed.stats(1).releases, 0);
}

#[test]
fn established_beats_accepted_beats_offered_and_the_loser_is_released() {
    let mut bed = Bed::new(1, 3);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let offer = bed.settle_one();
    let mut others = [host(1), host(2), host(3)]
        .into_iter()
        .filter(|&other| other != offer.host());
    let (second, third) = (others.next().unwrap(), others.next().unwrap());

    let it = statement(&key, birth(1), 6, FlowState::Closing);
    bed.state_from(tracker(1), second, 0, &[it]);
    bed.settle_silent();
    let it = statement(&key, birth(1), 6, FlowState::Accepted);
    bed.state_from(tracker(1), second, 0, &[it]);
    let release = bed.settle_one();
    assert_eq!(
        (release.kind, release.to),
        (FlowKind::Release, offer.host())
    );
    assert_eq!((release.offer, release.birth), (offer.offer, None));
    assert_eq!(owner(&bed, &key), Some((Life::Accepted, second, birth(1))));

    for state in [FlowState::Accepted, FlowState::Closing] {
        let it = statement(&key, birth(1), 7, state);
        bed.state_from(tracker(1), third, 0, &[it]);
        bed.settle_silent();
    }
    let it = statement(&key, birth(1), 7, FlowState::Established);
    bed.state_from(tracker(1), third, 0, &[it]);
    let release = bed.settle_one();
    assert_eq!((release.to, release.birth), (second, Some(birth(1))));
    assert_eq!(
        owner(&bed, &key),
        Some((Life::Established, third, birth(1)))
    );
}

#[test]
fn a_closing_flow_gives_way_to_a_live_one() {
    let mut bed = Bed::new(1, 3);
    let key = bed.flow(0);
    let it = statement(&key, birth(1), 3, FlowState::Closing);
    bed.state_from(tracker(1), host(1), 0, &[it]);
    let it = statement(&key, birth(1), 4, FlowState::Accepted);
    bed.state_from(tracker(1), host(2), 0, &[it]);
    assert_eq!(owner(&bed, &key), Some((Life::Accepted, host(2), birth(1))));
    // It only lingers: nobody has to be released.
    bed.settle_silent();
    // Nor does it win over a host that found its flow after a restart.
    let mut bed = Bed::new(1, 3);
    let it = statement(&key, birth(1), 3, FlowState::Closing);
    bed.state_from(tracker(1), host(1), 0, &[it]);
    let it = statement(&key, birth(2), 0, FlowState::Established);
    bed.state_from(tracker(1), host(2), 0, &[it]);
    let owned = Some((Life::Established, host(2), birth(2)));
    assert_eq!(owner(&bed, &key), owned);
    bed.settle_silent();
}

#[test]
fn what_a_host_stated_before_it_rejected_counts_for_nothing() {
    let mut bed = Bed::new(1, 3);
    let key = bed.flow(0);
    let old = bed.establish(&key, 5, birth(1));
    bed.open(&key, Intent::Syn, 900);
    let first = bed.settle_one();
    assert_eq!(first.host(), old);
    bed.reject(&first, Reason::Load);
    let second = bed.settle_one();
    let late = statement(&key, birth(1), 5, FlowState::Established);
    bed.state_from(tracker(1), old, 0, &[late]);
    bed.settle_silent();
    assert_eq!(bed.state(1, &key).unwrap().host(), Some(second.host()));
    // Nor after the acceptance by another.
    bed.accept(&second, birth(1));
    bed.settle_one();
    bed.state_from(tracker(1), old, 0, &[late]);
    bed.settle_silent();
    let accepted = (Life::Accepted, second.host(), birth(1));
    assert_eq!(owner(&bed, &key), Some(accepted));
}

#[test]
fn a_statement_leaves_the_attempt_under_way_matchable() {
    let mut bed = Bed::new(1, 3);
    let key = bed.flow(0);
    let old = bed.establish(&key, 5, birth(1));
    bed.open(&key, Intent::Syn, 900);
    let offer = bed.settle_one();
    let refresh = statement(&key, birth(1), 5, FlowState::Closing);
    bed.state_from(tracker(1), old, 0, &[refresh]);
    bed.reject(&offer, Reason::Load);
    assert_eq!(bed.settle_one().kind, FlowKind::Offer);
}

#[test]
fn a_record_lives_as_long_as_its_host_states_it() {
    let mut bed = Bed::new(1, 3);
    let key = bed.flow(0);
    let it = statement(&key, birth(1), 5, FlowState::Established);
    bed.state_from(tracker(1), host(1), 0, &[it]);
    for _ in 0..3 {
        bed.pass(Duration::from_secs(50));
        bed.state_from(tracker(1), host(1), 0, &[it]);
    }
    // Nobody else's word renews it, nor does the search's.
    bed.pass(Duration::from_secs(50));
    bed.state_from(tracker(1), host(2), 0, &[it]);
    bed.open(&key, Intent::Syn, 900);
    bed.settle_one();
    bed.pass(Duration::from_millis(10_010));
    assert_eq!(bed.record(1, &key), None);
    assert_eq!(bed.stats(1).records_expired, 1);
}

#[test]
fn statements_without_room_are_turned_away() {
    let mut bed = Bed::with(1, 3, |config| {
        config.limits.max_flows = 3;
        config.limits.max_untrusted = 1;
    });
    let keys: [_; 5] = core::array::from_fn(|nth| bed.flow(nth));
    let it = |nth: usize, state| statement(&keys[nth], birth(1), 5, state);
    let all = [
        it(0, FlowState::Accepted),
        it(1, FlowState::Accepted),
        it(2, FlowState::Established),
        it(3, FlowState::Established),
        it(4, FlowState::Established),
    ];
    bed.state_from(tracker(1), host(1), 0, &all);
    let stats = bed.stats(1);
    assert_eq!((stats.flows, stats.untrusted), (3, 1));
    assert_eq!((stats.statements, stats.statements_turned_away), (3, 2));
}

#[test]
fn statements_of_unknown_services_and_flows_change_nothing() {
    let mut bed = Bed::new(1, 3);
    let key = bed.flow(0);
    let unknown = FlowKey::new(key.client(), 1, ServiceNumber::new(77).unwrap(), 80);
    let all = [
        statement(&unknown, birth(1), 5, FlowState::Established),
        statement(&key, birth(1), 5, FlowState::Closed),
        not_mine(&key),
    ];
    bed.state_from(tracker(1), host(1), 0, &all);
    assert_eq!(bed.stats(1).flows, 0);
    assert_eq!(bed.stats(1).statements_stale, 3);
}

#[test]
fn only_hosts_make_statements() {
    let mut bed = Bed::new(2, 3);
    let key = bed.flow(0);
    let it = statement(&key, birth(1), 5, FlowState::Established);
    for from in [ingress(), tracker(2)] {
        bed.state_from(tracker(1), from, 1, &[it]);
        bed.load_from(tracker(1), from, load(web(), 0, 0));
    }
    let stranger = NodeNumber::new(999).unwrap();
    bed.state_from(tracker(1), stranger, 1, &[it]);
    bed.load_from(tracker(1), stranger, load(web(), 0, 0));
    assert_eq!(bed.dropped(1, DropReason::WrongRole), 4);
    assert_eq!(bed.dropped(1, DropReason::WrongNode), 2);
    assert_eq!(bed.stats(1).flows, 0);
    assert!(bed.wire.is_empty());
}

fn load(service: ServiceNumber, connections: u32, room: u32) -> ServiceLoad {
    ServiceLoad {
        service,
        connections,
        room,
        load: 7,
        healthy: true,
    }
}

#[test]
fn reported_load_decides_who_is_asked() {
    let mut bed = Bed::new(1, 3);
    bed.load_from(tracker(1), host(1), load(web(), 10, 0));
    bed.load_from(tracker(1), host(2), load(web(), 10, 2));
    bed.load_from(tracker(1), host(3), load(web(), 10, 0));
    for nth in 0..2 {
        let key = bed.flow(nth);
        bed.open(&key, Intent::Syn, 5);
        assert_eq!(bed.settle_one().host(), host(2));
    }
    // What was offered since the report counts against the room.
    bed.load_from(tracker(1), host(1), load(web(), 10, 1));
    let key = bed.flow(2);
    bed.open(&key, Intent::Syn, 5);
    assert_eq!(bed.settle_one().host(), host(1));

    let it = bed.trackers[&tracker(1)]
        .host_loads(bed.now)
        .next()
        .unwrap();
    assert_eq!(
        (it.host, it.connections, it.load, it.chosen),
        (host(1), 10, 7, 1)
    );
}

#[test]
fn load_of_an_unknown_service_is_counted() {
    let mut bed = Bed::new(1, 3);
    let unknown = ServiceNumber::new(77).unwrap();
    bed.load_from(tracker(1), host(1), load(unknown, 0, 0));
    assert_eq!(bed.stats(1).loads_unknown, 1);
    assert_eq!(bed.stats(1).ledger.consumed, 1);
}

#[test]
fn control_messages_that_no_tracker_takes_are_dropped() {
    let mut bed = Bed::new(1, 3);
    let wrong = [
        Control::Ack { sequence: 1 },
        Control::SendFull { bucket: 1 },
        Control::Hello {
            view: 0,
            config: 0,
            nonce: 0,
            state: MemberState::Active,
            role: Role::FlowTracker,
            wire: 1,
        },
        Control::HelloAck {
            view: 0,
            config: 0,
            nonce: 0,
            state: MemberState::Active,
            role: Role::FlowTracker,
            wire: 1,
        },
    ];
    for control in wrong {
        bed.hand(tracker(1), host(1), &Message::Control(control));
    }
    assert_eq!(bed.dropped(1, DropReason::WrongRole), 4);
}

#[test]
fn a_host_that_is_no_member_any_more_is_forgotten() {
    let mut bed = Bed::new(1, 3);
    let key = bed.flow(0);
    let it = statement(&key, birth(1), 5, FlowState::Established);
    bed.state_from(tracker(1), host(3), 9, &[it]);
    let full = view(1, 3);
    let fewer: alloc::vec::Vec<Member> = full
        .members()
        .iter()
        .filter(|member| member.node != host(3))
        .copied()
        .collect();
    let now = bed.now;
    let tracked = bed.trackers.get_mut(&tracker(1)).unwrap();
    tracked.handle_view(now, View::new(fewer));
    tracked.handle_view(now, full);
    bed.wire.clear();
    bed.state_from(tracker(1), host(3), 2, &[it]);
    assert_eq!(acked(&mut bed), 2);
    assert_eq!(bed.stats(1).states_repeated, 0);
}

/// The tracker's record says that host 1 has the flow by the attempt `recorded`; host 2 claims it by
/// the attempt `claimed`. Who has it then, and who is released?
fn two_claims(
    (recorded, life): (u32, FlowState),
    (claimed, claim): (u32, FlowState),
) -> (NodeNumber, Option<NodeNumber>) {
    let mut bed = Bed::new(1, 2);
    let key = bed.flow(0);
    let it = statement(&key, birth(1), recorded, life);
    bed.state_from(tracker(1), host(1), 0, &[it]);
    let it = statement(&key, birth(2), claimed, claim);
    bed.state_from(tracker(1), host(2), 0, &[it]);
    let released = bed.settle().pop().map(|sent| {
        assert_eq!(sent.kind, FlowKind::Release);
        let lost = if sent.to == host(1) { 1 } else { 2 };
        assert_eq!(sent.birth, Some(birth(lost)));
        sent.to
    });
    (bed.state(1, &key).unwrap().host().unwrap(), released)
}

#[test]
fn of_two_claims_the_one_that_is_known_to_be_left_loses() {
    use FlowState::{Accepted, Established};
    let (first, second) = (host(1), host(2));
    let cases = [
        // Of two that are established the numbers of the attempts prove nothing: one is live.
        ((5, Established), (6, Established), (first, None)),
        ((6, Established), (5, Established), (first, None)),
        // A host that found the flow after a restart does not know its attempt.
        ((5, Established), (0, Established), (first, Some(second))),
        ((0, Established), (5, Established), (first, None)),
        ((0, Established), (0, Established), (first, None)),
        // An accepted one of a later attempt waits for the client, or ends by its timer.
        ((5, Established), (6, Accepted), (first, None)),
        ((6, Accepted), (5, Established), (first, None)),
        ((5, Accepted), (u32::MAX, Established), (first, None)),
        ((6, Accepted), (0, Established), (first, None)),
        ((5, Accepted), (6, Established), (second, Some(first))),
        (
            (u32::MAX, Accepted),
            (5, Established),
            (second, Some(first)),
        ),
    ];
    for (recorded, claimed, expected) in cases {
        assert_eq!(
            two_claims(recorded, claimed),
            expected,
            "{recorded:?} {claimed:?}"
        );
    }
}

#[test]
fn of_two_established_lives_a_fresh_one_of_a_later_attempt_counts() {
    let established = FlowState::Established;
    for (recorded, claimed, fresh, wins) in [
        (5, 6, true, true),
        (u32::MAX, 6, true, true),
        (5, 6, false, false),
        (6, 5, true, false),
        (0, 6, true, false),
        (6, 0, true, false),
    ] {
        let mut bed = Bed::new(2, 2);
        let key = bed.flow(0);
        let it = statement(&key, birth(3), recorded, established);
        bed.state_from(tracker(1), host(1), 0, &[it]);
        let claim = jlb_protocol::message::FlowStatement {
            fresh,
            ..statement(&key, birth(4), claimed, established)
        };
        bed.state_from(tracker(1), host(2), 0, &[claim]);
        let owner = bed.state(1, &key).unwrap().host();
        assert_eq!(
            owner,
            Some(host(1 + u16::from(wins))),
            "{recorded} {claimed}"
        );
        if !wins {
            bed.settle();
            continue;
        }
        let release = bed.settle_one();
        assert_eq!((release.kind, release.to), (FlowKind::Release, host(1)));
        assert_eq!(release.birth, Some(birth(3)));
        // It says so again, and hears it again.
        bed.state_from(tracker(1), host(1), 0, &[it]);
        assert_eq!(bed.settle_one().kind, FlowKind::Release);
        assert_eq!(bed.state(1, &key).unwrap().host(), Some(host(2)));
    }
}

#[test]
fn a_host_that_was_away_hears_that_its_life_was_left_each_time_it_claims_it() {
    // Whatever the order of the numbers.
    for second in [900, 4_000_000_000] {
        let mut bed = Bed::new(2, 2);
        let key = bed.flow(0);
        let away = bed.establish(&key, 5, birth(1));
        for number in [1, 2] {
            bed.set_state(number, away, MemberState::Down);
        }
        bed.open(&key, Intent::Syn, second);
        let offer = bed.settle_one();
        assert_ne!(offer.host(), away);
        bed.accept(&offer, birth(7));
        bed.settle_one();
        for number in [1, 2] {
            bed.set_state(number, away, MemberState::Active);
        }
        bed.pass(Duration::from_secs(6));
        let claim = statement(&key, birth(1), 5, FlowState::Established);
        // Before it is established the new life is left alone, and nobody is released.
        for number in [1, 2] {
            bed.state_from(tracker(number), away, 0, &[claim]);
        }
        bed.settle_silent();
        let it = statement(&key, birth(7), second, FlowState::Established);
        for number in [1, 2] {
            bed.state_from(tracker(number), offer.host(), 0, &[it]);
            for _ in 0..2 {
                bed.state_from(tracker(number), away, 0, &[claim]);
                let release = bed.settle_one();
                assert_eq!((release.kind, release.to), (FlowKind::Release, away));
                assert_eq!(release.birth, Some(birth(1)));
            }
            assert_eq!(bed.state(number, &key).unwrap().host(), Some(offer.host()));
        }
    }
}

#[test]
fn mid_flow_packets_do_not_change_the_attempt_that_a_life_began_with() {
    let mut bed = Bed::new(2, 2);
    let key = bed.flow(0);
    bed.establish(&key, 1_000, birth(1));
    for seq in [5_000, 1 << 31, 3_000_000_000] {
        bed.open(&key, Intent::MidFlow, seq);
        let offer = bed.settle_one();
        bed.accept(&offer, birth(1));
        bed.settle_one();
        assert_eq!(bed.record(1, &key).unwrap().former, 1_000);
        assert_eq!(bed.record(2, &key).unwrap().former, 1_000);
    }
}

#[test]
fn a_tracker_that_does_not_rank_for_a_flow_releases_nobody() {
    let mut bed = Bed::new(3, 2);
    let key = bed.flow(0);
    for (number, isn) in [(1, 5), (2, 0), (1, 5)] {
        let it = statement(&key, birth(number), isn, FlowState::Established);
        let from = host(u16::try_from(number).unwrap());
        bed.state_from(tracker(3), from, 0, &[it]);
    }
    bed.settle_silent();
}

/// Tracker 3, which had to be told of the flow for a while by `from` and has not been told since, is
/// to be told again.
fn after_a_time_outside(isn: u32, life: FlowState) -> (Bed, jlb_protocol::FlowKey) {
    let mut bed = Bed::new(3, 3);
    let key = bed.flow(0);
    bed.set_state(3, tracker(1), MemberState::Down);
    let it = statement(&key, birth(1), isn, life);
    bed.state_from(tracker(3), host(1), 0, &[it]);
    for state in [MemberState::Active, MemberState::Down] {
        bed.pass(Duration::from_millis(50));
        bed.set_state(3, tracker(1), state);
    }
    bed.pass(Duration::from_millis(50));
    bed.settle();
    (bed, key)
}

#[test]
fn a_hint_releases_nobody_and_yields_to_every_statement() {
    use FlowState::{Accepted, Closing, Established};
    for (life, isn, claim) in [
        (Closing, 0, Established),
        (Established, 0, Established),
        (Established, 6, Accepted),
        (Established, 6, Closing),
    ] {
        let (mut bed, key) = after_a_time_outside(5, life);
        let it = statement(&key, birth(2), isn, claim);
        bed.state_from(tracker(3), host(2), 0, &[it]);
        assert_eq!(bed.state(3, &key).unwrap().host(), Some(host(2)));
        assert!(!bed.record(3, &key).unwrap().is_hint());
        bed.settle_silent();
    }
}

#[test]
fn the_host_of_a_hint_that_has_its_flow_after_all_is_not_released() {
    use FlowState::Established;
    let (mut bed, key) = after_a_time_outside(5, Established);
    // An older life that nobody has told this tracker of.
    let old = statement(&key, birth(2), 6, Established);
    bed.state_from(tracker(3), host(2), 0, &[old]);
    let live = statement(&key, birth(1), 5, Established);
    bed.state_from(tracker(3), host(1), 0, &[live]);
    bed.settle_silent();
}

#[test]
fn its_own_host_makes_a_hint_good_again() {
    let (mut bed, key) = after_a_time_outside(5, FlowState::Established);
    assert!(bed.record(3, &key).unwrap().is_hint());
    let it = statement(&key, birth(1), 5, FlowState::Established);
    bed.state_from(tracker(3), host(1), 0, &[it]);
    assert!(!bed.record(3, &key).unwrap().is_hint());
}

#[test]
fn a_ranking_that_lasted_for_no_walk_makes_hints_too() {
    let mut bed = Bed::new(3, 3);
    let key = bed.flow(0);
    bed.set_state(3, tracker(1), MemberState::Down);
    bed.pass(Duration::from_millis(50));
    for nth in [0, 1] {
        let it = statement(&bed.flow(nth), birth(1), 5, FlowState::Established);
        bed.state_from(tracker(3), host(1), 0, &[it]);
    }
    bed.pass(Duration::from_millis(50));
    bed.set_state(3, tracker(1), MemberState::Active);
    bed.set_state(3, tracker(1), MemberState::Down);
    // One is told anew before the walk comes by.
    bed.now = bed.now + Duration::from_millis(20);
    let it = statement(&key, birth(1), 5, FlowState::Established);
    bed.state_from(tracker(3), host(1), 0, &[it]);
    bed.pass(Duration::from_millis(50));
    assert!(!bed.record(3, &key).unwrap().is_hint());
    assert!(bed.record(3, &bed.flow(1)).unwrap().is_hint());
}

#[test]
fn a_life_from_before_the_attempt_that_is_under_way_does_not_take_its_record() {
    for (isn, life, wins) in [
        (4, FlowState::Established, false),
        (0, FlowState::Established, false),
        (4, FlowState::Accepted, false),
        (5, FlowState::Accepted, true),
        (6, FlowState::Established, true),
    ] {
        let mut bed = Bed::new(2, 2);
        let key = bed.flow(0);
        bed.open(&key, Intent::Syn, 5);
        let offer = bed.settle_one();
        let other = if offer.host() == host(1) {
            host(2)
        } else {
            host(1)
        };
        // It was away, and states the life that its client has left; the offered host may have
        // accepted and told its client meanwhile.
        for number in [1, 2] {
            let it = statement(&key, birth(1), isn, life);
            bed.state_from(tracker(number), other, 0, &[it]);
        }
        let released: Vec<_> = bed.settle().iter().map(|it| (it.kind, it.to)).collect();
        if wins {
            let twice = [(FlowKind::Release, offer.host()); 2];
            assert_eq!(released, twice, "{isn} {life:?}");
            continue;
        }
        assert_eq!(released, [], "{isn} {life:?}");
        bed.accept(&offer, birth(2));
        assert_eq!(bed.settle_one().kind, FlowKind::Accept);
        assert_eq!(bed.state(1, &key).unwrap().host(), Some(offer.host()));
    }
}
