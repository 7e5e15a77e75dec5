use crate::record::Life;
use crate::testbed::{
    Bed, Sent, TTL, birth, host, ingress, offered, open, owned, packet, statement, tracker,
    view_with,
};
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::message::{FlowKind, FlowMessage, FlowState, Intent, Path, Reason};
use jlb_protocol::{DropReason, MemberState, NodeNumber};

fn other_than(taken: NodeNumber) -> NodeNumber {
    host(if taken == host(1) { 2 } else { 1 })
}

#[test]
fn an_accept_that_does_not_match_the_secondarys_record_stops_there_and_is_released() {
    for trackers in [1, 2] {
        let mut bed = Bed::new(trackers, 4);
        let key = bed.flow(0);
        bed.open(&key, Intent::Syn, 5);
        let offer = bed.settle_one();
        let binding = trackers;
        let stranger = other_than(offer.host());
        let mut strange = offer.clone();
        strange.path.host = Some(stranger);
        bed.accept(&strange, birth(9));
        let release = bed.settle_one();
        assert_eq!((release.kind, release.to), (FlowKind::Release, stranger));
        assert_eq!(release.from, tracker(binding));
        assert_eq!((release.key, release.birth), (key, Some(birth(9))));
        assert_eq!(release.offer, offer.offer);
        assert_eq!(bed.dropped(binding, DropReason::StaleAccept), 1);
        assert_eq!(bed.stats(binding).releases, 1);
        assert_eq!(bed.state(1, &key).unwrap().host(), Some(offer.host()));

        // The same once the right one has accepted.
        bed.accept(&offer, birth(1));
        assert_eq!(bed.settle_one().to, ingress());
        bed.accept(&strange, birth(9));
        assert_eq!(bed.settle_one().to, stranger);
    }
}

#[test]
fn an_accept_of_an_attempt_that_was_never_asked_for_is_stale_but_not_released() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 6);
    let offer = bed.settle_one();
    let mut earlier = offer.clone();
    earlier.offer.isn = 5;
    bed.accept(&earlier, birth(1));
    bed.settle_silent();
    assert_eq!(bed.dropped(2, DropReason::StaleAccept), 1);
    bed.accept(&offer, birth(2));
    assert_eq!(bed.settle_one().offer.isn, 6);
}

#[test]
fn a_host_that_is_asked_for_several_attempts_may_take_either() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let first = bed.settle_one();
    bed.open(&key, Intent::Syn, 6);
    let second = bed.settle_one();
    for (offer, life) in [(&second, birth(1)), (&first, birth(2))] {
        bed.accept(offer, life);
        assert_eq!(bed.settle_one().offer.isn, offer.offer.isn);
    }
    for number in [1, 2] {
        assert_eq!(bed.state(number, &key).unwrap().host(), Some(first.host()));
    }
}

#[test]
fn a_reject_of_the_latest_attempt_frees_the_flow_and_the_earlier_one_is_never_offered_again() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let first = bed.settle_one();
    bed.open(&key, Intent::Syn, 6);
    let second = bed.settle_one();
    assert_eq!(second.host(), first.host());
    bed.reject(&second, Reason::Load);
    let third = bed.settle_one();
    assert_eq!((third.kind, third.offer.isn), (FlowKind::Offer, 6));
    assert_ne!(third.host(), first.host());
    // The first host could still take the earlier one, so that nobody else is asked for it: while
    // the later one is under way, once it is refused, and at a secondary that is asked directly.
    bed.open(&key, Intent::Syn, 5);
    bed.settle_silent();
    let mut stray = first.clone();
    stray.path.host = Some(third.host());
    bed.hand_flow(tracker(2), tracker(1), &stray.message());
    bed.settle_silent();
    assert_eq!(bed.dropped(2, DropReason::Superseded), 1);
    bed.reject(&third, Reason::Load);
    let last = bed.settle_one();
    bed.reject(&last, Reason::Load);
    assert_eq!(bed.settle_one().kind, FlowKind::Refuse);
    bed.open(&key, Intent::Syn, 5);
    bed.settle_silent();
    assert_eq!(bed.dropped(1, DropReason::Superseded), 2);
    // A later one is not concerned, and time ends it.
    bed.open(&key, Intent::Syn, 7);
    assert_eq!(bed.settle_one().offer.isn, 7);
    bed.pass(Duration::from_millis(5_010));
    bed.open(&key, Intent::Syn, 5);
    assert_eq!(bed.settle_one().offer.isn, 5);
}

#[test]
fn a_late_open_of_an_earlier_attempt_does_not_take_the_place_of_the_one_under_way() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 6);
    let offer = bed.settle_one();
    bed.open(&key, Intent::Syn, 5);
    bed.settle_silent();
    assert_eq!(bed.dropped(1, DropReason::Superseded), 1);
    bed.reject(&offer, Reason::Load);
    assert_ne!(bed.settle_one().host(), offer.host());
}

#[test]
fn an_earlier_accept_is_released_each_time_that_it_comes() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let first = bed.settle_one();
    bed.open(&key, Intent::Syn, 6);
    let second = bed.settle_one();
    bed.reject(&second, Reason::Load);
    let third = bed.settle_one();
    bed.accept(&third, birth(9));
    bed.settle_one();
    // A doubled Offer may reach the host after the Release, and is accepted once more.
    for life in [birth(1), birth(2)] {
        bed.accept(&first, life);
        let release = bed.settle_one();
        assert_eq!(
            (release.kind, release.to),
            (FlowKind::Release, first.host())
        );
        assert_eq!(release.birth, Some(life));
    }
    // Its statements come too late as well.
    for number in [1, 2] {
        let stated = statement(&key, birth(2), 5, FlowState::Accepted);
        bed.state_from(tracker(number), first.host(), 0, &[stated]);
        assert_eq!(bed.state(number, &key).unwrap().host(), Some(third.host()));
    }
}

#[test]
fn a_late_refuse_does_not_refuse_what_the_host_has_stated_to_have() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let offer = bed.settle_one();
    // The secondary had no room for the first copy of this Offer; its answer comes late, and the
    // Accept of the second copy was lost.
    let stated = statement(&key, birth(1), 5, FlowState::Accepted);
    for number in [1, 2] {
        bed.state_from(tracker(number), offer.host(), 0, &[stated]);
    }
    bed.settle_silent();
    let mut refuse = offer.clone();
    refuse.kind = FlowKind::Refuse;
    refuse.reason = Reason::Quota;
    refuse.packet.clear();
    bed.hand_flow(tracker(1), tracker(2), &refuse.message());
    bed.settle_silent();
    assert_eq!(bed.dropped(1, DropReason::StaleAnswer), 1);
    // The ingress's repeat brings it the Accept.
    bed.open(&key, Intent::Syn, 5);
    let again = bed.settle_one();
    assert_eq!((again.kind, again.offer), (FlowKind::Offer, offer.offer));
    assert_eq!(again.host(), offer.host());
}

#[test]
fn an_accept_of_an_older_life_is_stale() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let first = bed.settle_one();
    bed.accept(&first, birth(1));
    bed.settle_one();
    bed.open(&key, Intent::Syn, 6);
    let second = bed.settle_one();
    bed.accept(&second, birth(2));
    bed.settle_one();
    bed.accept(&first, birth(1));
    bed.settle_silent();
    assert_eq!(bed.dropped(2, DropReason::StaleAccept), 1);
}

#[test]
fn an_accept_that_is_repeated_is_passed_again() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let offer = bed.settle_one();
    for _ in 0..3 {
        bed.accept(&offer, birth(1));
        assert_eq!(bed.settle_one().to, ingress());
    }
    assert_eq!(bed.stats(2).accepts, 3);
    assert_eq!(bed.stats(2).flows, 1);
}

#[test]
fn an_accept_of_a_host_that_has_rejected_since_is_stale() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let offer = bed.settle_one();
    bed.hand_flow(tracker(2), offer.host(), &offer.reject(Reason::Load));
    bed.accept(&offer, birth(1));
    assert_eq!(bed.dropped(2, DropReason::StaleAccept), 1);
    let next = bed.settle_one();
    assert_eq!(next.kind, FlowKind::Offer);
    bed.accept(&offer, birth(1));
    bed.settle_silent();
    bed.accept(&next, birth(1));
    assert_eq!(bed.settle_one().host(), next.host());
}

#[test]
fn an_accept_that_finds_no_record_becomes_one() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let offer = bed.settle_one();
    bed.forget(tracker(1), 4);
    bed.forget(tracker(2), 4);
    bed.accept(&offer, birth(1));
    assert_eq!(bed.settle_one().to, ingress());
    for number in [1, 2] {
        assert_eq!(bed.state(number, &key).unwrap().host(), Some(offer.host()));
    }
}

#[test]
fn a_new_flow_that_the_binding_record_has_no_room_for_is_not_passed_on() {
    let mut bed = Bed::with(2, 4, |config| config.limits.max_untrusted = 1);
    let (key, other) = (bed.flow(0), bed.flow(1));
    bed.open(&key, Intent::Syn, 5);
    let offer = bed.settle_one();
    bed.pass(Duration::from_millis(5_010));
    bed.open(&other, Intent::Syn, 5);
    bed.settle_one();
    bed.accept(&offer, birth(1));
    bed.settle_silent();
    assert_eq!(bed.dropped(2, DropReason::OfferedQuota), 1);
}

#[test]
fn a_reject_counts_only_if_host_and_offer_number_match() {
    for trackers in [1, 2] {
        let mut bed = Bed::new(trackers, 4);
        let key = bed.flow(0);
        bed.open(&key, Intent::Syn, 5);
        let offer = bed.settle_one();
        let mut wrong = [offer.clone(), offer.clone(), offer.clone()];
        wrong[0].path.host = Some(other_than(offer.host()));
        wrong[1].offer.isn = 6;
        wrong[2].offer.step = 0;
        for reject in &wrong {
            bed.reject(reject, Reason::Load);
            bed.settle_silent();
        }
        assert_eq!(bed.dropped(trackers, DropReason::StaleReject), 3);
        bed.reject(&offer, Reason::Load);
        let next = bed.settle_one();
        assert_eq!(next.offer.step, TTL - 2);
        // Once and for ever.
        bed.reject(&offer, Reason::Load);
        bed.settle_silent();
        assert_eq!(bed.dropped(trackers, DropReason::StaleReject), 4);
        assert_eq!(bed.stats(1).rejects, 1);
    }
}

#[test]
fn a_reject_that_was_lost_above_the_secondary_is_said_again_in_the_hosts_place() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let offer = bed.settle_one();
    bed.reject(&offer, Reason::Load);
    bed.wire.clear();
    bed.open(&key, Intent::Syn, 5);
    let next = bed.settle_one();
    assert_ne!(next.host(), offer.host());
    assert_eq!(next.offer.step, TTL - 2);
    assert_eq!(next.tried.iter().collect::<Vec<_>>(), [offer.host()]);
    assert_eq!(bed.stats(2).offers_rejected_in_place, 1);
}

#[test]
fn a_secondary_that_becomes_primary_goes_on_with_the_search() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let first = bed.settle_one();
    bed.reject(&first, Reason::Load);
    bed.wire.clear();
    // The primary is gone.
    let view = view_with(&bed.view, tracker(1), MemberState::Down);
    let now = bed.now;
    let second = bed.trackers.get_mut(&tracker(2)).unwrap();
    second.handle_view(now, view);
    bed.open_as(tracker(2), ingress(), &key, Intent::Syn, 5);
    let next = bed.settle_one();
    assert_ne!(next.host(), first.host());
    assert_eq!(next.offer.step, TTL - 2);
    assert_eq!(next.path.secondary, None);
}

#[test]
fn answers_that_are_out_of_place_are_dropped() {
    let mut bed = Bed::new(3, 4);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let offer = bed.settle_one();
    let accept = offer.accept(birth(1));
    let reject = offer.reject(Reason::Load);
    let chosen = offer.host();
    let stranger = other_than(chosen);
    for good in [accept, reject] {
        let with = |path| FlowMessage { path, ..good };
        let cases = [
            // At the secondary: not from the host itself.
            (tracker(2), stranger, good, DropReason::WrongNode),
            (tracker(2), tracker(1), good, DropReason::WrongNode),
            // At the primary: past the secondary.
            (tracker(1), chosen, good, DropReason::WrongNode),
            (tracker(1), tracker(3), good, DropReason::WrongNode),
            // At a tracker that is not in the path.
            (tracker(3), chosen, good, DropReason::WrongNode),
            (
                tracker(2),
                chosen,
                with(Path {
                    primary: Some(tracker(2)),
                    ..good.path
                }),
                DropReason::WrongNode,
            ),
            (
                tracker(2),
                chosen,
                with(Path {
                    primary: Some(host(3)),
                    ..good.path
                }),
                DropReason::WrongRole,
            ),
            (
                tracker(2),
                tracker(1),
                with(Path {
                    host: Some(tracker(1)),
                    ..good.path
                }),
                DropReason::WrongRole,
            ),
            (
                tracker(2),
                chosen,
                with(Path {
                    ingress: Some(stranger),
                    ..good.path
                }),
                DropReason::WrongRole,
            ),
        ];
        for (to, from, message, reason) in cases {
            let number = to.get() - 10;
            let before = bed.dropped(number, reason);
            bed.hand_flow(to, from, &message);
            bed.settle_silent();
            assert_eq!(
                bed.dropped(number, reason),
                before + 1,
                "{from} {message:?}"
            );
        }
    }
    let offered = offered(chosen, TTL - 1);
    assert_eq!(bed.state(1, &key), Some(offered));
    assert_eq!(bed.state(2, &key), Some(offered));
}

#[test]
fn a_refuse_counts_only_from_the_secondary_and_for_the_attempt() {
    let mut bed = Bed::new(3, 4);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let offer = bed.settle_one();
    let refuse = FlowMessage {
        kind: FlowKind::Refuse,
        reason: Reason::Quota,
        packet: &[],
        ..offer.message()
    };
    let mut late = refuse;
    late.offer.isn = 4;
    bed.hand_flow(tracker(1), tracker(3), &refuse);
    bed.hand_flow(tracker(1), tracker(2), &late);
    bed.settle_silent();
    assert_eq!(bed.dropped(1, DropReason::WrongNode), 1);
    assert_eq!(bed.dropped(1, DropReason::StaleAnswer), 1);
    bed.hand_flow(tracker(1), tracker(2), &refuse);
    assert_eq!(bed.settle_one().to, ingress());
}

#[test]
fn an_accept_beats_the_refusal_of_its_attempt() {
    let mut bed = Bed::new(2, 1);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let offer = bed.settle_one();
    let refuse = FlowMessage {
        kind: FlowKind::Refuse,
        reason: Reason::Quota,
        packet: &[],
        ..offer.message()
    };
    bed.hand_flow(tracker(1), tracker(2), &refuse);
    bed.settle_one();
    bed.accept(&offer, birth(1));
    assert_eq!(bed.settle_one().to, ingress());
    assert_eq!(bed.state(1, &key).unwrap().host(), Some(offer.host()));
}

#[test]
fn what_the_outbox_has_no_room_for_is_counted() {
    let mut bed = Bed::with(1, 4, |config| config.limits.max_outbox = 1);
    let key = bed.flow(0);
    let syn = packet(&key, Intent::Syn, 5);
    let message = open(tracker(1), ingress(), &key, Intent::Syn, 5, &syn);
    let now = bed.now;
    let it = bed.trackers.get_mut(&tracker(1)).unwrap();
    for _ in 0..3 {
        let message = jlb_protocol::Message::Flow(message);
        it.handle_message(now, ingress(), &message);
    }
    let ledger = it.stats().ledger;
    assert_eq!((ledger.created, ledger.sent), (3, 1));
    assert_eq!(ledger.dropped(DropReason::OutboxFull), 2);
    assert_eq!(ledger.imbalance(), 0);
}

#[test]
fn a_mid_flow_accept_leaves_an_attempt_that_is_offered_to_another_alone() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 900);
    let offer = bed.settle_one();
    let owner = other_than(offer.host());
    let mut mid_flow = offer.clone();
    mid_flow.path.host = Some(owner);
    mid_flow.intent = Intent::MidFlow;
    mid_flow.offer.isn = 777;
    // Late, of a life that is over; or both trackers have forgotten an established flow. The
    // ingress hears of it.
    bed.accept(&mid_flow, birth(1));
    assert_eq!(bed.settle_one().to, ingress());
    for number in [1, 2] {
        assert_eq!(bed.state(number, &key).unwrap().host(), Some(offer.host()));
    }
    // The owner's own word counts, unless its life began before the attempt.
    for number in [1, 2] {
        let it = statement(&key, birth(1), 901, FlowState::Established);
        bed.state_from(tracker(number), owner, 1, &[it]);
        bed.wire.clear();
        assert_eq!(bed.state(number, &key).unwrap().host(), Some(owner));
    }
    // R1: the other one's acceptance comes too late.
    bed.accept(&offer, birth(3));
    let release = bed.settle_one();
    assert_eq!(
        (release.kind, release.to),
        (FlowKind::Release, offer.host())
    );
}

#[test]
fn a_mid_flow_accept_against_an_owner_is_never_released() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    let owner = bed.establish(&key, 5, birth(1));
    bed.open(&key, Intent::MidFlow, 777);
    let mut offer = bed.settle_one();
    offer.path.host = Some(other_than(owner));
    bed.accept(&offer, birth(1));
    bed.settle_silent();
    assert_eq!(bed.dropped(2, DropReason::StaleAccept), 1);
}

#[test]
fn the_hosts_own_word_may_arrive_before_its_accept() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let offer = bed.settle_one();
    for number in [1, 2] {
        let it = statement(&key, birth(1), 5, FlowState::Established);
        bed.state_from(tracker(number), offer.host(), 1, &[it]);
        assert!(matches!(
            bed.wire.pop_front(),
            Some(Sent::Ack { sequence: 1, .. })
        ));
    }
    bed.accept(&offer, birth(1));
    assert_eq!(bed.settle_one().to, ingress());
    let established = owned(Life::Established, offer.host(), birth(1), TTL - 1);
    assert_eq!(bed.state(1, &key), Some(established));
    assert_eq!(bed.state(2, &key), Some(established));
}
