use crate::FlowTracker;
use crate::testbed::{
    Bed, Sent, birth, config, host, ingress, not_mine, open, packet, statement, tracker, view,
    view_with,
};
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::message::{FlowKind, FlowState, Intent};
use jlb_protocol::view::Member;
use jlb_protocol::{DropReason, MemberState, NodeNumber, Time, View};

fn is_filled(bed: &Bed, number: u16) -> bool {
    bed.trackers[&tracker(number)].is_filled()
}

/// The hosts that are asked by WhoHas before anything else is done for a SYN.
fn asked_first(bed: &mut Bed, key: &jlb_protocol::FlowKey, isn: u32) -> Vec<NodeNumber> {
    bed.open(key, Intent::Syn, isn);
    let sent = bed.settle();
    let asked = sent.iter().filter(|sent| sent.kind == FlowKind::WhoHas);
    let asked: Vec<_> = asked.map(|sent| sent.to).collect();
    assert!(asked.is_empty() || asked.len() == sent.len());
    asked
}

/// A view without one member.
fn without(view: &View, node: NodeNumber) -> View {
    let members = view.members().iter().filter(|it| it.node != node);
    View::new(members.copied().collect())
}

fn with_incarnation(view: &View, node: NodeNumber, incarnation: u32) -> View {
    let members = view.members().iter().map(|member| Member {
        incarnation: if member.node == node {
            incarnation
        } else {
            member.incarnation
        },
        ..*member
    });
    View::new(members.collect())
}

#[test]
fn a_joining_tracker_is_filled_when_every_live_host_has_said_so() {
    let mut bed = Bed::new(3, 3);
    bed.join(tracker(1));
    bed.set_state(1, host(3), MemberState::Down);
    let mark = Some(bed.fingerprint(1));
    assert!(!is_filled(&bed, 1));
    bed.mark_from(1, host(1), 1, mark);
    assert!(!is_filled(&bed, 1));
    // A walk that is under way, and one that was for others, do not count.
    bed.mark_from(1, host(2), 1, None);
    assert!(!is_filled(&bed, 1));
    bed.mark_from(1, host(2), 2, Some(1));
    assert!(!is_filled(&bed, 1));
    // Nor does an answer to WhoHas, or what came before.
    bed.mark_from(1, host(2), 0, mark);
    bed.mark_from(1, host(2), 1, mark);
    assert!(!is_filled(&bed, 1));
    bed.mark_from(1, host(2), 3, mark);
    assert!(is_filled(&bed, 1));
    assert_eq!(
        (bed.stats(1).hosts_marked, bed.stats(1).hosts_unmarked),
        (2, 0)
    );
    // One that comes alive is waited for.
    bed.set_state(1, host(3), MemberState::Active);
    assert!(!is_filled(&bed, 1));
    bed.mark_from(1, host(3), 1, mark);
    assert!(is_filled(&bed, 1));
    // And a mark is taken back.
    bed.mark_from(1, host(3), 2, None);
    assert!(!is_filled(&bed, 1));
}

#[test]
fn a_mark_counts_for_the_ranking_that_it_names() {
    let mut bed = Bed::new(3, 1);
    bed.join(tracker(1));
    let all = bed.view_of(1).clone();
    bed.mark_from(1, host(1), 1, Some(bed.fingerprint(1)));
    assert!(is_filled(&bed, 1));
    bed.set_state(1, tracker(2), MemberState::Down);
    assert!(!is_filled(&bed, 1));
    // The host has not seen that: what it said holds again.
    bed.set_view(1, all.clone());
    assert!(is_filled(&bed, 1));
    // Another life of a tracker is another tracker.
    bed.set_view(1, with_incarnation(&all, tracker(2), 7));
    assert!(!is_filled(&bed, 1));
    bed.mark_from(1, host(1), 2, Some(bed.fingerprint(1)));
    assert!(is_filled(&bed, 1));
}

#[test]
fn a_mark_may_come_before_the_view() {
    let mut bed = Bed::new(3, 1);
    bed.join(tracker(1));
    let later = view_with(bed.view_of(1), tracker(2), MemberState::Down);
    let mark = later.ranked_fingerprint(Some(tracker(1)));
    bed.mark_from(1, host(1), 1, Some(mark));
    assert!(!is_filled(&bed, 1));
    bed.set_view(1, later);
    assert!(is_filled(&bed, 1));
}

#[test]
fn another_life_of_a_host_and_one_that_was_away_have_to_mark_anew() {
    let mut bed = Bed::new(2, 1);
    bed.join(tracker(1));
    let mark = Some(bed.fingerprint(1));
    bed.mark_from(1, host(1), 1, mark);
    let next = with_incarnation(bed.view_of(1), host(1), 5);
    bed.set_view(1, next);
    assert!(!is_filled(&bed, 1));
    bed.mark_from(1, host(1), 2, mark);
    assert!(is_filled(&bed, 1));
    bed.set_state(1, host(1), MemberState::Down);
    // Nobody is alive who would have to.
    assert!(is_filled(&bed, 1));
    bed.set_state(1, host(1), MemberState::Draining);
    assert!(!is_filled(&bed, 1));
}

#[test]
fn a_hello_that_names_others_voids_the_mark() {
    let mut bed = Bed::new(3, 1);
    let now = bed.now;
    let own = bed.fingerprint(1);
    let said = |bed: &mut Bed, ranked| {
        let it = bed.trackers.get_mut(&tracker(1)).unwrap();
        it.handle_peer_view(now, host(1), ranked);
    };
    // While it joins, hosts do not rank it yet; then they do.
    bed.join(tracker(1));
    let ranked = bed.fingerprint(1);
    let mark = Some(ranked);
    let others = without(&bed.view, tracker(1)).ranked_fingerprint(None);
    bed.mark_from(1, host(1), 1, mark);
    said(&mut bed, others);
    said(&mut bed, others);
    assert!(is_filled(&bed, 1));
    said(&mut bed, ranked);
    assert!(is_filled(&bed, 1));
    // The host has lost this tracker, and tells it nothing more.
    said(&mut bed, others);
    assert!(!is_filled(&bed, 1));
    bed.mark_from(1, host(1), 2, mark);
    said(&mut bed, ranked);
    assert!(is_filled(&bed, 1));
    // It ranks another life of this tracker.
    said(&mut bed, own);
    assert!(!is_filled(&bed, 1));
    // What others say is of no use.
    bed.mark_from(1, host(1), 3, mark);
    let it = bed.trackers.get_mut(&tracker(1)).unwrap();
    it.handle_peer_view(now, ingress(), 99);
    it.handle_peer_view(now, tracker(2), 99);
    assert!(is_filled(&bed, 1));
}

#[test]
fn a_silent_host_is_asked_for_its_mark_and_then_not_waited_for() {
    let mut bed = Bed::new(2, 2);
    bed.join(tracker(1));
    let mark = Some(bed.fingerprint(1));
    let key = bed.flow(0);
    let it = statement(&key, birth(1), 5, FlowState::Established);
    bed.state_from(tracker(1), host(1), 41, &[it]);
    bed.mark_from(1, host(2), 1, mark);
    bed.wire.clear();
    bed.pass(Duration::from_millis(499));
    assert!(bed.wire.is_empty());
    bed.pass(Duration::from_millis(1));
    let asked = Sent::Ack {
        to: host(1),
        sequence: 41,
    };
    assert_eq!(bed.wire.make_contiguous(), [asked]);
    // As long as it says anything, it is at work.
    for sequence in 42..62 {
        bed.pass(Duration::from_millis(400));
        bed.mark_from(1, host(1), sequence, None);
    }
    bed.wire.clear();
    assert!(!is_filled(&bed, 1));
    let mut asked = 0;
    for _ in 0..50 {
        bed.pass(Duration::from_millis(100));
        asked += bed.wire.len();
        bed.wire.clear();
    }
    assert_eq!(asked, 3);
    assert!(is_filled(&bed, 1));
    assert_eq!(bed.stats(1).hosts_unmarked, 1);
    // Nor is it asked for ever.
    for _ in 0..200 {
        bed.pass(Duration::from_secs(1));
    }
    assert_eq!(bed.stats(1).fill_prompts, 7);
    bed.wire.clear();
    assert_eq!(bed.trackers[&tracker(1)].poll_timeout(), None);
    // A word, and it is waited for again.
    bed.mark_from(1, host(1), 62, None);
    assert!(!is_filled(&bed, 1));
    bed.mark_from(1, host(1), 63, mark);
    assert!(is_filled(&bed, 1));
}

#[test]
fn nothing_is_asked_of_a_fixed_list() {
    let mut bed = Bed::new(2, 2);
    assert!(is_filled(&bed, 1));
    let key = bed.flow(0);
    assert_eq!(asked_first(&mut bed, &key, 5), []);
}

#[test]
fn the_loss_of_a_tracker_asks_nobody_for_flows_of_its_secondary() {
    let mut bed = Bed::new(3, 3);
    let key = bed.flow(0);
    bed.set_state(2, tracker(1), MemberState::Down);
    assert!(!is_filled(&bed, 2));
    bed.open_as(tracker(2), ingress(), &key, Intent::Syn, 5);
    assert_eq!(bed.settle_one().kind, FlowKind::Offer);
}

#[test]
fn where_both_ranks_are_lost_hosts_are_asked_first_until_they_have_marked() {
    let mut bed = Bed::new(4, 3);
    let keys = [0, 1, 2].map(|nth| bed.flow(nth));
    // Whoever is third for the flow.
    let third = |bed: &Bed, key| {
        let view = view_with(&bed.view, tracker(1), MemberState::Down);
        let view = view_with(&view, tracker(2), MemberState::Down);
        let ranking = jlb_protocol::rank::Ranking::new(crate::testbed::HASH_KEY, &view);
        let flow = crate::testbed::HASH_KEY.flow_hash(key);
        ranking.ranks(flow).primary.unwrap().get() - 10
    };
    let number = third(&bed, &keys[0]);
    bed.set_state(number, tracker(1), MemberState::Down);
    bed.set_state(number, tracker(2), MemberState::Down);
    bed.open_as(tracker(number), ingress(), &keys[0], Intent::Syn, 5);
    let asked = bed.settle();
    let hosts: Vec<_> = asked.iter().map(|sent| (sent.kind, sent.to)).collect();
    assert_eq!(hosts, [1, 2, 3].map(|it| (FlowKind::WhoHas, host(it))));
    assert_eq!(bed.stats(number).who_has_first, 1);
    assert_eq!(bed.stats(number).ledger.held, 1);

    // A repeat waits for the answers, and asks again who has not given any.
    bed.state_from(tracker(number), host(1), 0, &[not_mine(&keys[0])]);
    bed.open_as(tracker(number), ingress(), &keys[0], Intent::Syn, 5);
    assert_eq!(bed.settle().len(), 2);
    assert_eq!(bed.dropped(number, DropReason::Repeat), 1);
    // A mid-flow packet does not take its place.
    bed.open_as(tracker(number), ingress(), &keys[0], Intent::MidFlow, 77);
    bed.settle_silent();
    // All said no: it is a new flow.
    bed.state_from(tracker(number), host(2), 0, &[not_mine(&keys[0])]);
    bed.state_from(tracker(number), host(3), 0, &[not_mine(&keys[0])]);
    let offer = bed.settle_one();
    assert_eq!((offer.kind, offer.intent), (FlowKind::Offer, Intent::Syn));
    assert_eq!(
        (offer.offer.isn, offer.offer.step),
        (5, crate::testbed::TTL - 1)
    );
    assert_eq!(bed.stats(number).ledger.held, 0);

    // One that has marked is not asked; when all have, nobody is.
    let mark = Some(bed.fingerprint(number));
    bed.mark_from(number, host(2), 1, mark);
    if third(&bed, &keys[1]) == number {
        bed.open_as(tracker(number), ingress(), &keys[1], Intent::Syn, 5);
        let asked: Vec<_> = bed.settle().iter().map(|sent| sent.to).collect();
        assert_eq!(asked, [host(1), host(3)]);
    }
    bed.mark_from(number, host(1), 1, mark);
    bed.mark_from(number, host(3), 1, mark);
    bed.wire.clear();
    bed.open_as(tracker(number), ingress(), &keys[2], Intent::Syn, 5);
    assert!(bed.settle().iter().all(|sent| sent.kind == FlowKind::Offer));
}

#[test]
fn the_owner_of_a_flow_that_both_ranks_took_with_them_gets_its_syn() {
    let mut bed = Bed::new(1, 3);
    // A fixed list has it active all the same.
    bed.restart(tracker(1), 3);
    let key = bed.flow(0);
    assert_eq!(asked_first(&mut bed, &key, 5), [host(1), host(2), host(3)]);
    bed.state_from(tracker(1), host(1), 0, &[not_mine(&key)]);
    let it = statement(&key, birth(1), 5, FlowState::Accepted);
    bed.state_from(tracker(1), host(3), 0, &[it]);
    let offer = bed.settle_one();
    assert_eq!((offer.to, offer.intent), (host(3), Intent::Syn));
    assert_eq!(offer.offer.isn, 5);
    // Its answer reaches the ingress.
    bed.accept(&offer, birth(1));
    assert_eq!(bed.settle_one().kind, FlowKind::Accept);
}

#[test]
fn an_owner_is_not_asked_for_a_syn_without_a_step_left() {
    let mut bed = Bed::new(1, 3);
    bed.restart(tracker(1), 3);
    let key = bed.flow(0);
    let bytes = packet(&key, Intent::Syn, 5);
    let mut spent = open(tracker(1), ingress(), &key, Intent::Syn, 5, &bytes);
    spent.offer.step = 0;
    bed.hand_flow(tracker(1), ingress(), &spent);
    assert_eq!(bed.settle().len(), 3);
    let it = statement(&key, birth(1), 5, FlowState::Accepted);
    bed.state_from(tracker(1), host(3), 0, &[it]);
    bed.settle_silent();
    assert_eq!(bed.dropped(1, DropReason::UnknownFlow), 1);
    assert_eq!(bed.stats(1).ledger.held, 0);
}

#[test]
fn a_host_that_accepts_after_it_said_no_is_found_in_the_record() {
    let mut bed = Bed::new(1, 2);
    bed.join(tracker(1));
    bed.set_state(1, tracker(1), MemberState::Active);
    let key = bed.flow(0);
    asked_first(&mut bed, &key, 5);
    bed.state_from(tracker(1), host(1), 0, &[not_mine(&key)]);
    // Another tracker has led the attempt to it meanwhile.
    let it = statement(&key, birth(1), 5, FlowState::Accepted);
    bed.state_from(tracker(1), host(1), 1, &[it]);
    assert_eq!(bed.settle_one().to, host(1));
    bed.state_from(tracker(1), host(2), 0, &[not_mine(&key)]);
    bed.settle_silent();
}

#[test]
fn a_host_that_goes_by_another_ranking_for_long_keeps_no_tracker_from_joining() {
    let mut bed = Bed::new(3, 2);
    bed.join(tracker(1));
    let mark = Some(bed.fingerprint(1));
    bed.mark_from(1, host(1), 1, mark);
    // It can't reach tracker 3, and says so each time that it is asked.
    let seen = view_with(bed.view_of(1), tracker(3), MemberState::Down);
    let other = Some(seen.ranked_fingerprint(Some(tracker(1))));
    // Before that it is at work for long.
    for sequence in 1..=20 {
        bed.mark_from(1, host(2), sequence, None);
        bed.pass(Duration::from_millis(400));
    }
    for sequence in 21..=32 {
        assert!(!is_filled(&bed, 1), "{sequence}");
        bed.mark_from(1, host(2), sequence, other);
        bed.pass(Duration::from_millis(400));
    }
    bed.pass(Duration::from_millis(200));
    assert!(is_filled(&bed, 1));
    for sequence in 33..=40 {
        bed.mark_from(1, host(2), sequence, other);
        bed.pass(Duration::from_millis(400));
        assert!(is_filled(&bed, 1), "{sequence}");
    }
    bed.wire.clear();
    // Its flows are asked for, as long as that lasts.
    bed.set_state(1, tracker(1), MemberState::Active);
    assert_eq!(bed.stats(1).hosts_unmarked, 1);
    let key = bed.flow(0);
    assert_eq!(asked_first(&mut bed, &key, 5), [host(2)]);
    // When it sees what this tracker sees, it is waited for again until it has told all.
    bed.mark_from(1, host(2), 41, None);
    assert!(!is_filled(&bed, 1));
    bed.mark_from(1, host(2), 42, mark);
    assert!(is_filled(&bed, 1));
}

#[test]
fn a_host_that_goes_down_is_not_waited_for() {
    let mut bed = Bed::new(1, 2);
    bed.join(tracker(1));
    bed.set_state(1, tracker(1), MemberState::Active);
    let key = bed.flow(0);
    asked_first(&mut bed, &key, 5);
    bed.state_from(tracker(1), host(1), 0, &[not_mine(&key)]);
    bed.set_state(1, host(2), MemberState::Down);
    let offer = bed.settle_one();
    assert_eq!((offer.kind, offer.to), (FlowKind::Offer, host(1)));
}

#[test]
fn a_host_that_never_answers_holds_up_one_question() {
    let mut bed = Bed::new(1, 2);
    bed.join(tracker(1));
    bed.set_state(1, tracker(1), MemberState::Active);
    let (first, second, third) = (bed.flow(0), bed.flow(1), bed.flow(2));
    let both = [host(1), host(2)];
    // One message may be lost, and a made-up SYN is never repeated.
    for (repeats, lost) in [(0, 1), (3, 2)] {
        assert_eq!(asked_first(&mut bed, &first, 5), both);
        bed.state_from(tracker(1), host(1), 0, &[not_mine(&first)]);
        for _ in 0..repeats {
            assert_eq!(asked_first(&mut bed, &first, 5), [host(2)]);
        }
        bed.pass(Duration::from_millis(501));
        bed.wire.clear();
        assert_eq!(bed.dropped(1, DropReason::UnknownFlow), lost);
    }
    // The repeat asks only the one that answers.
    assert_eq!(asked_first(&mut bed, &first, 5), [host(1)]);
    bed.state_from(tracker(1), host(1), 0, &[not_mine(&first)]);
    assert_eq!(bed.settle_one().kind, FlowKind::Offer);
    assert_eq!(asked_first(&mut bed, &second, 5), [host(1)]);
    // Any word of the other, and it is asked again.
    bed.mark_from(1, host(2), 1, None);
    bed.wire.clear();
    assert_eq!(asked_first(&mut bed, &third, 5), [host(1), host(2)]);
}

#[test]
fn a_host_that_comes_alive_is_asked_and_one_that_restarts_is_not() {
    let mut bed = Bed::new(1, 3);
    let keys = [0, 1, 2, 3].map(|nth| bed.flow(nth));
    bed.set_state(1, host(2), MemberState::Down);
    bed.set_state(1, host(2), MemberState::Active);
    assert_eq!(asked_first(&mut bed, &keys[0], 5), [host(2)]);
    bed.mark_from(1, host(2), 1, Some(bed.fingerprint(1)));
    bed.wire.clear();
    assert_eq!(asked_first(&mut bed, &keys[1], 5), []);
    // What a host's former life has told is recorded.
    let next = with_incarnation(bed.view_of(1), host(3), 5);
    bed.set_view(1, next);
    assert_eq!(asked_first(&mut bed, &keys[2], 5), []);
    // But not for longer than a lease.
    bed.set_state(1, host(3), MemberState::Down);
    bed.pass(Duration::from_secs(61));
    let next = with_incarnation(bed.view_of(1), host(3), 6);
    bed.set_view(1, next);
    bed.set_state(1, host(3), MemberState::Active);
    bed.wire.clear();
    assert_eq!(asked_first(&mut bed, &keys[3], 5), [host(3)]);
}

#[test]
fn marks_that_come_meanwhile_end_the_wait() {
    let mut bed = Bed::new(1, 2);
    bed.join(tracker(1));
    bed.set_state(1, tracker(1), MemberState::Active);
    let key = bed.flow(0);
    asked_first(&mut bed, &key, 5);
    let mark = Some(bed.fingerprint(1));
    bed.mark_from(1, host(1), 1, mark);
    bed.mark_from(1, host(2), 1, mark);
    bed.wire.clear();
    bed.open(&key, Intent::Syn, 5);
    assert_eq!(bed.settle_one().kind, FlowKind::Offer);
    assert_eq!(bed.dropped(1, DropReason::Superseded), 1);
    assert_eq!(bed.stats(1).who_has, 0);
}

#[test]
fn a_view_that_changes_too_often_is_not_built_on() {
    let mut bed = Bed::new(2, 1);
    let key = bed.flow(0);
    for incarnation in 1..=8 {
        let next = with_incarnation(bed.view_of(1), tracker(2), incarnation);
        bed.set_view(1, next);
        let kept = incarnation < 8;
        let mut copy = bed.clone();
        assert_eq!(
            asked_first(&mut copy, &key, 5).is_empty(),
            kept,
            "{incarnation}"
        );
    }
}

#[test]
fn a_joining_tracker_passes_offers_and_binds_nobody() {
    let mut bed = Bed::new(2, 3);
    let key = bed.flow(0);
    bed.join(tracker(2));
    let it = statement(&key, birth(1), 3, FlowState::Accepted);
    bed.state_from(tracker(2), host(3), 1, &[it]);
    bed.wire.clear();
    bed.open(&key, Intent::Syn, 5);
    let offer = bed.settle_one();
    assert_eq!((offer.kind, offer.from), (FlowKind::Offer, tracker(2)));
    assert_eq!(bed.state(1, &key).unwrap().host(), Some(offer.to));
    assert_eq!(bed.state(2, &key).unwrap().host(), Some(offer.to));
}

#[test]
fn a_tracker_without_an_entry_in_its_view_does_not_act() {
    let mut config = config(tracker(9), 2);
    config.limits.max_flows = 10;
    let it = FlowTracker::new(config, view(2, 2), 1, Time::ZERO);
    assert!(!it.nodes.acts());
    assert!(!it.is_filled());
}
