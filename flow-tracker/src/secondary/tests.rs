use crate::config::PolicyKind;
use crate::record::{Life, Owned, State, trace_of};
use crate::testbed::{
    Bed, FlowSent, TTL, birth, host, ingress, offered, open, other_ingress, owned, packet,
    statement, tracker, view, view_with,
};
use core::time::Duration;
use jlb_protocol::message::{FlowKind, FlowMessage, FlowState, Intent, Path, Reason};
use jlb_protocol::{DropReason, FlowKey, MemberState, OfferNumber};
use std::vec::Vec;

/// A flow that tracker 2 holds at the host that accepted it, and that tracker 1 has forgotten and
/// proposes to another. Gives the Offer that was accepted, and the proposal.
fn divided(bed: &mut Bed, key: &FlowKey) -> (FlowSent, FlowSent) {
    bed.open(key, Intent::Syn, 5);
    let accepted = bed.settle_one();
    bed.accept(&accepted, birth(1));
    bed.settle_one();
    bed.forget(tracker(1), 4);
    // Other flows move the new primary's policy on until it proposes another host.
    for nth in 100.. {
        let mut trial = bed.clone();
        trial.open(key, Intent::Syn, 5);
        let proposal = trial.take_one();
        if proposal.host() != accepted.host() {
            *bed = trial;
            return (accepted, proposal);
        }
        let other = bed.flow(nth);
        bed.open(&other, Intent::Syn, 5);
        bed.wire.clear();
    }
    unreachable!()
}

#[test]
fn the_secondary_turns_the_offer_to_the_host_that_it_holds() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    let (first, proposal) = divided(&mut bed, &key);

    // R2: first the primary hears of that host, and records it.
    bed.hand_flow(tracker(2), tracker(1), &proposal.message());
    let counter = bed.take_one();
    assert_eq!((counter.from, counter.to), (tracker(2), tracker(1)));
    assert_eq!(
        (counter.kind, counter.host()),
        (FlowKind::Offer, first.host())
    );
    assert_eq!(counter.packet, proposal.packet);
    assert_eq!(bed.stats(2).offers_rewritten, 1);
    bed.hand_flow(tracker(1), tracker(2), &counter.message());
    let again = bed.take_one();
    assert_eq!((again.to, again.host()), (tracker(2), first.host()));
    assert_eq!(bed.state(1, &key), Some(offered(first.host(), TTL - 1)));

    bed.hand_flow(tracker(2), tracker(1), &again.message());
    let offer = bed.settle_one();
    assert_eq!((offer.to, offer.host()), (first.host(), first.host()));
    assert_eq!(offer.offer, first.offer);
    bed.accept(&offer, birth(1));
    let accept = bed.settle_one();
    assert_eq!((accept.to, accept.host()), (ingress(), first.host()));
    assert_eq!(bed.stats(1).releases + bed.stats(2).releases, 0);
}

#[test]
fn a_host_that_the_secondary_held_stays_the_flows_when_the_secondary_is_lost_too() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    let (first, proposal) = divided(&mut bed, &key);
    bed.hand_flow(tracker(2), tracker(1), &proposal.message());
    assert_eq!(bed.settle_one().host(), first.host());
    bed.forget(tracker(2), 4);
    bed.open(&key, Intent::Syn, 5);
    assert_eq!(bed.settle_one().host(), first.host());
}

#[test]
fn a_host_that_the_primary_knows_to_have_rejected_is_asked_by_the_secondary_that_holds_it() {
    // The secondary has heard of an older life of the host again, after its reject.
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let first = bed.settle_one();
    bed.reject(&first, Reason::Load);
    bed.wire.clear();
    bed.forget(tracker(2), 4);
    let old = statement(&key, birth(1), 4, FlowState::Established);
    bed.state_from(tracker(2), first.host(), 0, &[old]);
    bed.hand_flow(tracker(1), tracker(2), &first.reject(Reason::Load));

    // The host itself says what has become of it; nobody goes round in circles.
    let offer = bed.settle_one();
    assert_eq!(offer.host(), first.host());
    bed.reject(&offer, Reason::Load);
    let next = bed.settle_one();
    assert_eq!(next.kind, FlowKind::Offer);
    assert_ne!(next.host(), first.host());
}

#[test]
fn a_counter_offer_counts_only_from_the_secondary_and_for_the_attempt() {
    let mut bed = Bed::new(3, 4);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let offer = bed.settle_one();
    let other = host(if offer.host() == host(1) { 2 } else { 1 });
    let mut counter = offer.message();
    counter.path.host = Some(other);
    bed.hand_flow(tracker(1), tracker(3), &counter);
    counter.offer.isn = 6;
    bed.hand_flow(tracker(1), tracker(2), &counter);
    bed.settle_silent();
    assert_eq!(bed.dropped(1, DropReason::WrongNode), 1);
    assert_eq!(bed.dropped(1, DropReason::StaleAnswer), 1);
    assert_eq!(bed.state(1, &key), Some(offered(offer.host(), TTL - 1)));
}

#[test]
fn a_secondary_that_recorded_the_reject_takes_the_next_proposal() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let first = bed.settle_one();
    bed.hand_flow(tracker(2), first.host(), &first.reject(Reason::Load));
    assert_eq!(
        bed.state(2, &key),
        Some(State::Rejected {
            step: TTL - 1,
            several: false
        })
    );
    let second = bed.settle_one();
    assert_ne!(second.host(), first.host());
    assert_eq!(bed.stats(2).offers_rewritten, 0);
    let offered = offered(second.host(), TTL - 2);
    assert_eq!(bed.state(2, &key), Some(offered));
}

#[test]
fn a_reject_of_the_host_that_the_secondary_holds_frees_the_search() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    let (first, proposal) = divided(&mut bed, &key);
    bed.hand_flow(tracker(2), tracker(1), &proposal.message());
    let rewritten = bed.settle_one();
    assert_eq!(rewritten.host(), first.host());
    bed.reject(&rewritten, Reason::Load);
    let next = bed.settle_one();
    assert_ne!(next.host(), first.host());
    assert_eq!(
        next.offer,
        OfferNumber {
            isn: 5,
            step: TTL - 2
        }
    );
    assert!(next.tried.contains(first.host()));
}

#[test]
fn a_search_that_the_primary_has_forgotten_goes_on_where_the_secondary_knows_it() {
    let mut bed = Bed::new(2, 5);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let first = bed.settle_one();
    bed.reject(&first, Reason::Load);
    let second = bed.settle_one();
    let mut asked = [first.host(), second.host()].to_vec();

    // The host that holds the attempt gets the number that it was asked with, and no other.
    bed.forget(tracker(1), 5);
    bed.open(&key, Intent::Syn, 5);
    let again = bed.settle_one();
    assert_eq!((again.host(), again.offer), (second.host(), second.offer));

    // Its reject counts for the new primary, which goes on at that step and asks nobody twice.
    bed.reject(&again, Reason::Load);
    let third = bed.settle_one();
    assert_eq!(third.offer.step, 0);
    assert!(!asked.contains(&third.host()));
    asked.push(third.host());

    // Forgotten again, with every step spent.
    bed.reject(&third, Reason::Load);
    assert_eq!(bed.settle_one().reason, Reason::Exhausted);
    bed.forget(tracker(1), 5);
    bed.open(&key, Intent::Syn, 5);
    let refuse = bed.settle_one();
    assert_eq!(
        (refuse.kind, refuse.reason),
        (FlowKind::Refuse, Reason::Exhausted)
    );
    assert_eq!((refuse.from, refuse.to), (tracker(1), ingress()));
}

#[test]
fn a_new_secondary_learns_the_flow_from_the_next_offer() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    let owner = bed.establish(&key, 5, birth(1));
    bed.forget(tracker(2), 4);
    bed.open(&key, Intent::Syn, 900);
    assert_eq!(bed.settle_one().host(), owner);
    let offered = offered(owner, TTL - 1);
    assert_eq!(bed.state(2, &key), Some(offered));
}

#[test]
fn a_mid_flow_offer_is_passed_without_a_record_and_its_acceptance_is_recorded() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    let owner = bed.establish(&key, 5, birth(1));
    bed.forget(tracker(2), 4);
    bed.open(&key, Intent::MidFlow, 777);
    let offer = bed.settle_one();
    assert_eq!(offer.host(), owner);
    assert_eq!(bed.state(2, &key), None);
    bed.accept(&offer, birth(1));
    assert_eq!(bed.settle_one().to, ingress());
    assert_eq!(bed.state(2, &key).unwrap().host(), Some(owner));
}

#[test]
fn a_mid_flow_offer_goes_to_the_owner_that_the_secondary_knows() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    let owner = bed.establish(&key, 5, birth(1));
    // The primary believes another.
    let other = host(if owner == host(1) { 2 } else { 1 });
    bed.forget(tracker(1), 4);
    let it = statement(&key, birth(1), 5, FlowState::Established);
    bed.state_from(tracker(1), other, 0, &[it]);
    bed.open(&key, Intent::MidFlow, 777);
    let offer = bed.settle_one();
    assert_eq!(offer.host(), owner);
    bed.accept(&offer, birth(1));
    assert_eq!(bed.settle_one().host(), owner);
    // R1: an Accept passed by the secondary overrides the primary's record.
    assert_eq!(bed.state(1, &key).unwrap().host(), Some(owner));
    assert_eq!(bed.stats(1).accepts_overriding, 1);
}

#[test]
fn a_mid_flow_offer_goes_to_the_primarys_owner_once_the_secondarys_has_let_go() {
    let key = Bed::new(2, 4).flow(0);
    let it = statement(&key, birth(1), 5, FlowState::Established);
    let mut bed = Bed::new(2, 4);
    let owner = bed.establish(&key, 5, birth(1));
    let other = host(if owner == host(1) { 2 } else { 1 });
    bed.forget(tracker(1), 4);
    bed.state_from(tracker(1), other, 0, &[it]);
    bed.open(&key, Intent::MidFlow, 777);
    let offer = bed.settle_one();
    bed.reject(&offer, Reason::NotOwner);
    let next = bed.settle_one();
    assert_eq!((next.kind, next.host()), (FlowKind::Offer, other));
    assert_eq!(next.offer.step, offer.offer.step - 1);
}

#[test]
fn an_offer_to_the_tracker_that_is_primary_in_its_own_view_is_an_open_there() {
    // Tracker 1 is down in the view of tracker 2, and not in its own.
    let mut bed = Bed::new(3, 4);
    let key = bed.flow(0);
    let without = view_with(&view(3, 4), tracker(1), MemberState::Down);
    let now = bed.now;
    for number in [2, 3] {
        let it = bed.trackers.get_mut(&tracker(number)).unwrap();
        it.handle_view(now, without.clone());
    }
    bed.open(&key, Intent::Syn, 5);
    let offer = bed.settle_one();
    assert_eq!(bed.stats(2).offers_taken_as_opens, 1);
    let path = Path {
        ingress: Some(ingress()),
        primary: Some(tracker(2)),
        secondary: Some(tracker(3)),
        host: offer.path.host,
    };
    assert_eq!(offer.path, path);
    assert_eq!(
        offer.offer,
        OfferNumber {
            isn: 5,
            step: TTL - 1
        }
    );
    bed.accept(&offer, birth(1));
    let accept = bed.settle_one();
    assert_eq!((accept.from, accept.to), (tracker(2), ingress()));
    for number in [2, 3] {
        assert_eq!(bed.state(number, &key).unwrap().host(), Some(offer.host()));
    }
}

#[test]
fn a_record_outside_the_top_two_is_a_hint() {
    let mut bed = Bed::new(3, 4);
    // Tracker 1 believes tracker 2 down and works through 3, which believes it alive.
    let without = view_with(&view(3, 4), tracker(2), MemberState::Down);
    let now = bed.now;
    bed.trackers
        .get_mut(&tracker(1))
        .unwrap()
        .handle_view(now, without);
    let (key, offer) = (0..)
        .find_map(|nth| {
            let key = bed.flow(nth);
            let stale = statement(&key, birth(1), 4, FlowState::Established);
            bed.state_from(tracker(3), host(1), 0, &[stale]);
            bed.open(&key, Intent::Syn, 5);
            let offer = bed.settle_one();
            (offer.host() != host(1)).then_some((key, offer))
        })
        .unwrap();
    assert_eq!(offer.path.secondary, Some(tracker(3)));
    assert_eq!(bed.stats(3).offers_rewritten, 0);
    bed.accept(&offer, birth(7));
    assert_eq!(bed.settle_one().to, ingress());
    let State::Owned(accepted) = owned(Life::Accepted, offer.host(), birth(7), TTL - 1) else {
        panic!();
    };
    // It remembers what the client has left for it.
    let accepted = State::Owned(Owned {
        left: trace_of(4),
        hint: true,
        ..accepted
    });
    assert_eq!(bed.state(3, &key), Some(accepted));
}

#[test]
fn an_offer_that_was_noted_before_a_time_outside_the_top_two_binds_no_later_attempt() {
    let mut bed = Bed::new(3, 4);
    let key = bed.flow(0);
    let see = |bed: &mut Bed, state| {
        for number in [2, 3] {
            bed.set_state(number, tracker(1), state);
        }
        bed.pass(Duration::from_millis(50));
        bed.settle();
    };
    see(&mut bed, MemberState::Down);
    bed.open(&key, Intent::Syn, 5);
    let unanswered = bed.settle_one();
    assert_eq!(unanswered.path.secondary, Some(tracker(3)));
    // Another host takes the attempt through tracker 1, and tells tracker 2 alone.
    see(&mut bed, MemberState::Active);
    let owner = (1..).map(host).find(|it| *it != unanswered.host()).unwrap();
    for (isn, counter) in [(5, 1), (9, 2)] {
        let it = statement(&key, birth(counter), isn, FlowState::Established);
        bed.state_from(tracker(2), owner, 0, &[it]);
    }
    see(&mut bed, MemberState::Down);
    assert!(bed.record(3, &key).unwrap().is_hint());
    bed.open(&key, Intent::Syn, 9);
    let offer = bed.settle_one();
    assert_eq!((offer.from, offer.host()), (tracker(3), owner));
    assert!(!bed.record(3, &key).unwrap().is_hint());
}

#[test]
fn a_secondary_without_room_has_the_new_flow_refused() {
    let mut bed = Bed::with(2, 4, |config| {
        if config.node == tracker(2) {
            config.limits.max_untrusted = 1;
        }
    });
    let first = bed.flow(0);
    bed.open(&first, Intent::Syn, 5);
    bed.settle_one();
    let second = bed.flow(1);
    bed.open(&second, Intent::Syn, 5);
    let refuse = bed.settle_one();
    assert_eq!((refuse.kind, refuse.to), (FlowKind::Refuse, ingress()));
    assert_eq!((refuse.from, refuse.reason), (tracker(1), Reason::Quota));
    assert_eq!(bed.dropped(2, DropReason::OfferedQuota), 1);
    let reason = Reason::Quota;
    assert_eq!(
        bed.state(1, &second),
        Some(State::Refused {
            reason,
            several: false
        })
    );
    assert_eq!(bed.state(2, &second), None);
    assert_eq!(bed.stats(1).refused_quota, 1);

    // Its repeat is answered.
    bed.open(&second, Intent::Syn, 5);
    assert_eq!(bed.settle_one().kind, FlowKind::Refuse);
    assert_eq!(bed.stats(2).refused_quota, 1);
}

#[test]
fn a_repeated_offer_does_not_prolong_an_unanswered_one() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let first = bed.settle_one();
    for _ in 0..4 {
        bed.pass(Duration::from_millis(1_200));
        bed.open(&key, Intent::Syn, 5);
        assert_eq!(bed.settle_one().offer, first.offer);
    }
    // A host that never answers does not hold the flow for ever.
    bed.pass(Duration::from_millis(210));
    assert_eq!(bed.state(1, &key), None);
    assert_eq!(bed.state(2, &key), None);
}

#[test]
fn an_offer_that_is_out_of_place_is_dropped() {
    let mut bed = Bed::new(3, 4);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let sent = bed.take_one();
    let good = sent.message();
    let with = |path| FlowMessage { path, ..good };
    let cases = [
        // Not from the primary of its path.
        (tracker(3), good, DropReason::WrongNode),
        (ingress(), good, DropReason::WrongNode),
        (host(1), good, DropReason::WrongNode),
        // Another secondary is meant.
        (
            tracker(1),
            with(Path {
                secondary: Some(tracker(3)),
                ..good.path
            }),
            DropReason::WrongNode,
        ),
        // Nodes of other roles in the path.
        (
            host(1),
            with(Path {
                primary: Some(host(1)),
                ..good.path
            }),
            DropReason::WrongRole,
        ),
        (
            tracker(1),
            with(Path {
                host: Some(tracker(3)),
                ..good.path
            }),
            DropReason::WrongRole,
        ),
        (
            tracker(1),
            with(Path {
                ingress: None,
                ..good.path
            }),
            DropReason::WrongNode,
        ),
        (
            tracker(1),
            with(Path {
                host: None,
                ..good.path
            }),
            DropReason::WrongNode,
        ),
        // From itself.
        (
            tracker(2),
            with(Path {
                primary: Some(tracker(2)),
                ..good.path
            }),
            DropReason::WrongNode,
        ),
    ];
    for (from, message, reason) in cases {
        let before = bed.dropped(2, reason);
        bed.hand_flow(tracker(2), from, &message);
        bed.settle_silent();
        assert_eq!(bed.dropped(2, reason), before + 1, "{from} {message:?}");
    }
    assert_eq!(bed.stats(2).flows, 0);
}

#[test]
fn without_room_for_searches_a_repeat_of_the_rejected_offer_is_rejected_in_place() {
    let mut bed = Bed::with(2, 4, |config| {
        if config.node == tracker(2) {
            config.limits.max_searches = 0;
        }
    });
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let offer = bed.settle_one();
    // The Reject is recorded, but lost on its way to the primary.
    bed.hand_flow(tracker(2), offer.host(), &offer.reject(Reason::Load));
    bed.take_one();
    bed.open(&key, Intent::Syn, 5);
    let next = bed.settle_one();
    assert_eq!(bed.stats(2).offers_rejected_in_place, 1);
    assert_eq!((next.kind, next.offer.step), (FlowKind::Offer, TTL - 2));
    assert_ne!(next.host(), offer.host());
}

#[test]
fn a_straggler_of_the_attempt_before_does_not_come_between_two_steps() {
    let mut bed = Bed::new(2, 3);
    let key = bed.flow(0);
    // The attempt before: refused by all.
    bed.open(&key, Intent::Syn, 5);
    let straggler = bed.take_one();
    bed.hand_flow(straggler.to, straggler.from, &straggler.message());
    for _ in 0..3 {
        let offer = bed.settle_one();
        if offer.kind == FlowKind::Offer {
            bed.reject(&offer, Reason::Load);
        }
    }
    assert_eq!(bed.settle_one().kind, FlowKind::Refuse);
    // The next one is at its second step, which has not reached the secondary yet.
    bed.open(&key, Intent::Syn, 900);
    let first = bed.settle_one();
    bed.hand_flow(tracker(2), first.host(), &first.reject(Reason::Load));
    let reject = bed.take_one();
    bed.hand_flow(straggler.to, straggler.from, &straggler.message());
    assert_eq!(bed.dropped(2, DropReason::Superseded), 1);
    bed.settle_silent();
    bed.hand_flow(reject.to, reject.from, &reject.message());
    let second = bed.settle_one();
    assert_ne!(second.host(), first.host());
    assert_eq!((second.offer.isn, second.offer.step), (900, 1));

    // Nor is the primary asked for it again.
    bed.open(&key, Intent::Syn, 5);
    bed.settle_silent();
    assert_eq!(bed.dropped(1, DropReason::Superseded), 1);
}

#[test]
fn what_two_primaries_offer_through_one_that_ranks_itself_outside_goes_to_one_host() {
    let mut bed = Bed::new(3, 4);
    let key = bed.flow(0);
    // Trackers 1 and 2 do not see each other; 3 sees both, and each works through it.
    bed.set_state(1, tracker(2), MemberState::Down);
    bed.set_state(2, tracker(1), MemberState::Down);
    for number in [1, 2] {
        bed.assume_filled(number);
    }
    bed.open(&key, Intent::Syn, 5);
    let first = bed.settle_one();
    assert_eq!((first.from, first.kind), (tracker(3), FlowKind::Offer));
    // The policies of both begin anywhere: any proposal of the second must come to the same.
    for _ in 0..4 {
        let packet = packet(&key, Intent::Syn, 5);
        let open = open(tracker(2), other_ingress(), &key, Intent::Syn, 5, &packet);
        bed.hand_flow(tracker(2), other_ingress(), &open);
        for offer in bed.settle() {
            assert_eq!((offer.from, offer.host()), (tracker(3), first.host()));
        }
    }
    // Whoever accepts besides is released.
    let other = bed.hosts().into_iter().find(|&it| it != first.host());
    let mut stray = first.clone();
    stray.path.host = other;
    bed.accept(&stray, birth(3));
    let release = bed.settle_one();
    assert_eq!(Some(release.to), other);
    assert_eq!(release.kind, FlowKind::Release);
}

#[test]
fn a_repeat_of_the_attempt_that_a_host_has_established_goes_to_no_other() {
    for forgets in [None, Some(1)] {
        let mut bed = Bed::new(2, 4);
        let key = bed.flow(0);
        let owner = bed.establish(&key, 5, birth(1));
        // A mid-flow packet is asked for by a number of its own.
        bed.open(&key, Intent::MidFlow, 900);
        let offer = bed.settle_one();
        bed.accept(&offer, birth(1));
        bed.settle();
        for number in [1, 2] {
            bed.set_state(number, owner, MemberState::Down);
        }
        if forgets.is_some() {
            bed.forget(tracker(1), 4);
            bed.set_state(1, owner, MemberState::Down);
        }
        bed.open(&key, Intent::Syn, 5);
        for sent in bed.settle() {
            assert_eq!((sent.kind, sent.to), (FlowKind::Offer, owner));
        }
        // It may be an attempt after it: the host is gone.
        bed.open(&key, Intent::Syn, 7);
        assert_ne!(bed.settle_one().host(), owner);
    }
}

#[test]
fn what_the_secondary_passes_on_counts_as_sent_once() {
    let mut bed = Bed::with(2, 2, |config| {
        for service in &mut config.services {
            service.policy = PolicyKind::LeastConnections;
        }
    });
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let first = bed.settle_one().host();
    for _ in 0..3 {
        // The client's repeats.
        bed.open(&key, Intent::Syn, 5);
        assert_eq!(bed.settle_one().host(), first);
    }
    // Now the secondary chooses: it has sent that host one flow already.
    bed.set_state(2, tracker(1), MemberState::Down);
    let chosen: Vec<_> = (1..=3)
        .map(|nth| {
            let key = bed.flow(nth);
            bed.open_as(tracker(2), ingress(), &key, Intent::Syn, 5);
            bed.settle_one().host()
        })
        .collect();
    let again = chosen.iter().filter(|&&host| host == first).count();
    assert_eq!((chosen[0] == first, again), (false, 1), "{chosen:?}");
}
