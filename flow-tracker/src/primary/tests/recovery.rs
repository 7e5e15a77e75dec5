//! What a primary does when nodes are lost, join or leave.

use super::set_state;
use crate::testbed::{
    Bed, DEAD_HOST, birth, host, ingress, not_mine, open, packet, statement, tracker,
};
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::message::{FlowKind, FlowMessage, FlowState, Intent, Path, Reason, Tried};
use jlb_protocol::{DropReason, MemberState, OfferNumber};

#[test]
fn the_last_tracker_leads_even_while_it_drains() {
    let mut bed = Bed::new(1, 2);
    let key = bed.flow(0);
    set_state(&mut bed, tracker(1), MemberState::Draining);
    bed.open(&key, Intent::Syn, 5);
    // Hosts tell it nothing any more, so that it has to ask.
    let asked = bed.settle();
    let hosts: Vec<_> = asked.iter().map(|sent| (sent.kind, sent.to)).collect();
    assert_eq!(hosts, [host(1), host(2)].map(|it| (FlowKind::WhoHas, it)));
    for number in [1, 2] {
        bed.state_from(tracker(1), host(number), 0, &[not_mine(&key)]);
    }
    let offer = bed.settle_one();
    assert_eq!((offer.kind, offer.path.secondary), (FlowKind::Offer, None));
    bed.accept(&offer, birth(1));
    assert_eq!(bed.settle_one().kind, FlowKind::Accept);
}

#[test]
fn one_that_drains_passes_on_to_those_that_stay() {
    let mut bed = Bed::new(3, 4);
    let key = bed.flow(0);
    for number in 1..=3 {
        bed.set_state(number, tracker(1), MemberState::Draining);
    }
    bed.open(&key, Intent::Syn, 5);
    let offer = bed.settle_one();
    assert_eq!(offer.path.primary, Some(tracker(2)));
    assert_eq!(offer.path.secondary, Some(tracker(3)));
    assert_eq!(bed.stats(1).opens_passed_on, 1);
}

#[test]
fn a_tracker_that_joins_says_so_to_the_ingress() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    bed.join(tracker(1));
    for intent in [Intent::Syn, Intent::MidFlow] {
        bed.open(&key, intent, 5);
        let answer = bed.settle_one();
        assert_eq!((answer.kind, answer.to), (FlowKind::NotActing, ingress()));
        assert_eq!(answer.reason, Reason::NotFilled);
        assert_eq!((answer.offer.isn, answer.intent), (5, intent));
        assert_eq!(answer.path.primary, Some(tracker(1)));
    }
    assert_eq!(bed.stats(1).not_acting, 2);
    assert_eq!(bed.stats(1).flows, 0);
    // One that was passed on is answered to the ingress as well.
    let packet = packet(&key, Intent::Syn, 5);
    let open = open(tracker(1), ingress(), &key, Intent::Syn, 5, &packet);
    bed.hand_flow(tracker(1), tracker(2), &open);
    assert_eq!(bed.settle_one().kind, FlowKind::NotActing);
}

#[test]
fn a_tracker_leads_without_the_one_that_does_not_act() {
    let mut bed = Bed::new(3, 4);
    let key = bed.flow(0);
    let packet = packet(&key, Intent::Syn, 5);
    let to_second = open(tracker(2), ingress(), &key, Intent::Syn, 5, &packet);
    let path = Path {
        secondary: Some(tracker(1)),
        ..to_second.path
    };
    bed.hand_flow(tracker(2), ingress(), &FlowMessage { path, ..to_second });
    let offer = bed.settle_one();
    assert_eq!(offer.path.primary, Some(tracker(2)));
    assert_eq!(offer.path.secondary, Some(tracker(3)));
    assert_eq!(bed.stats(2).opens_passed_on, 0);

    // A third one passes it on to the second, and never to the first.
    let other = bed.flow(1);
    let packet = crate::testbed::packet(&other, Intent::Syn, 5);
    let to_third = open(tracker(3), ingress(), &other, Intent::Syn, 5, &packet);
    let path = Path {
        secondary: Some(tracker(1)),
        ..to_third.path
    };
    bed.hand_flow(tracker(3), ingress(), &FlowMessage { path, ..to_third });
    let passed = bed.take_one();
    assert_eq!((passed.kind, passed.to), (FlowKind::Open, tracker(2)));
    assert_eq!(passed.path.secondary, Some(tracker(1)));
}

#[test]
fn a_host_passes_on_what_it_was_offered_without_trackers() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    let packet = packet(&key, Intent::Syn, 5);
    let good = open(tracker(1), ingress(), &key, Intent::Syn, 5, &packet);
    bed.hand_flow(tracker(1), host(1), &good);
    assert_eq!(bed.settle_one().kind, FlowKind::Offer);
    // Only once.
    let wrong = open(tracker(2), ingress(), &key, Intent::Syn, 5, &packet);
    bed.hand_flow(tracker(2), host(1), &wrong);
    assert_eq!(bed.dropped(2, DropReason::PassedOn), 1);
}

#[test]
fn the_host_that_the_ingress_has_asked_itself_is_asked_first_by_its_number() {
    for (birth, first) in [(None, true), (Some(birth(9)), false)] {
        let bed = Bed::new(2, 4);
        let key = bed.flow(0);
        let packet = packet(&key, Intent::Syn, 5);
        let good = open(tracker(1), ingress(), &key, Intent::Syn, 5, &packet);
        let mut tried = Tried::NONE;
        tried.push(host(2));
        let mut seen = Vec::new();
        for number in [3, 4] {
            let message = FlowMessage {
                offer: OfferNumber { isn: 5, step: 2 },
                path: Path {
                    host: Some(host(number)),
                    ..good.path
                },
                birth,
                tried,
                ..good
            };
            let mut copy = bed.clone();
            copy.hand_flow(tracker(1), ingress(), &message);
            let offer = copy.settle_one();
            assert_eq!(offer.offer.step, 1);
            assert!(offer.tried.contains(host(2)));
            assert_ne!(offer.host(), host(2));
            seen.push(offer.host() == host(number));
            // The search goes on without those that the ingress has tried.
            copy.reject(&offer, Reason::Load);
            let next = copy.settle_one();
            assert!(next.tried.contains(host(2)) && next.host() != host(2));
        }
        assert_eq!(seen == [true, true], first, "{seen:?}");
    }
}

#[test]
fn a_straggling_syn_leaves_an_established_flow_whose_host_is_down() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    let owner = bed.establish(&key, 5, birth(1));
    bed.set_state(1, owner, MemberState::Down);
    bed.open(&key, Intent::Syn, 5);
    assert_eq!(bed.settle_one().to, owner);
    assert_eq!(bed.state(1, &key).unwrap().host(), Some(owner));
    // The client's next attempt goes to another.
    bed.open(&key, Intent::Syn, 900);
    bed.set_state(2, owner, MemberState::Down);
    assert_ne!(bed.settle_one().to, owner);
}

#[test]
fn a_mid_flow_packet_of_a_dead_host_is_refused_after_its_time() {
    let mut bed = Bed::new(2, 3);
    let key = bed.flow(0);
    let owner = bed.establish(&key, 5, birth(1));
    for number in [1, 2] {
        bed.set_state(number, owner, MemberState::Down);
    }
    bed.pass(DEAD_HOST - Duration::from_millis(1));
    bed.open(&key, Intent::MidFlow, 777);
    assert_eq!(bed.settle_one().to, owner);
    bed.pass(Duration::from_millis(1));
    bed.open(&key, Intent::MidFlow, 777);
    let asked = bed.settle();
    assert_eq!(asked.len(), 2);
    for it in &asked {
        assert_eq!(it.kind, FlowKind::WhoHas);
        bed.state_from(tracker(1), it.to, 0, &[not_mine(&key)]);
    }
    let refuse = bed.settle_one();
    assert_eq!(
        (refuse.kind, refuse.reason),
        (FlowKind::Refuse, Reason::Unknown)
    );
    // The record stays: the host may come back.
    assert_eq!(bed.state(1, &key).unwrap().host(), Some(owner));

    // A live host's word takes its place.
    bed.open(&key, Intent::MidFlow, 778);
    let live = bed.settle()[0].to;
    let it = statement(&key, birth(7), 6, FlowState::Established);
    bed.state_from(tracker(1), live, 0, &[it]);
    // The secondary's record names the dead host too, and does not bind.
    assert_eq!(bed.settle_one().to, live);
    assert_eq!(bed.state(1, &key).unwrap().host(), Some(live));
}

#[test]
fn hosts_are_never_given_up_where_the_configuration_says_so() {
    let mut bed = Bed::with(1, 2, |config| config.dead_host = None);
    let key = bed.flow(0);
    let owner = bed.establish(&key, 5, birth(1));
    bed.set_state(1, owner, MemberState::Down);
    bed.pass(Duration::from_secs(50));
    bed.open(&key, Intent::MidFlow, 777);
    assert_eq!(bed.settle_one().to, owner);
}

#[test]
fn the_secondary_goes_on_as_primary_where_the_search_stands() {
    let mut bed = Bed::new(3, 3);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let first = bed.settle_one();
    bed.reject(&first, Reason::Load);
    let second = bed.settle_one();
    for number in [2, 3] {
        bed.set_state(number, tracker(1), MemberState::Down);
    }
    // The ingress asks the one that was the secondary, whose record binds: the same host by the
    // same number, through the next rank.
    bed.open_as(tracker(2), ingress(), &key, Intent::Syn, 5);
    let again = bed.settle_one();
    assert_eq!((again.host(), again.offer), (second.host(), second.offer));
    assert_eq!(again.path.primary, Some(tracker(2)));
    assert_eq!(again.path.secondary, Some(tracker(3)));
    assert!(again.tried.contains(first.host()));
    // It has rejected by the old path meanwhile, which reached only the secondary.
    bed.hand_flow(tracker(2), second.host(), &second.reject(Reason::Load));
    bed.wire.clear();
    bed.open_as(tracker(2), ingress(), &key, Intent::Syn, 5);
    // The new secondary holds its Offer open, and hears the Reject first.
    let once_more = bed.settle_one();
    assert_eq!(
        (once_more.host(), once_more.offer),
        (again.host(), again.offer)
    );
    bed.reject(&once_more, Reason::Load);
    bed.settle_silent();
    bed.open_as(tracker(2), ingress(), &key, Intent::Syn, 5);
    let third = bed.settle_one();
    assert!(![first.host(), second.host()].contains(&third.host()));
    assert!(third.tried.contains(second.host()));
    assert_eq!(third.offer.step, 0);
    bed.accept(&third, birth(1));
    assert_eq!(bed.settle_one().kind, FlowKind::Accept);
    for number in [2, 3] {
        assert_eq!(bed.state(number, &key).unwrap().host(), Some(third.host()));
    }
}

#[test]
fn an_accept_that_the_lost_primary_took_with_it_is_given_again() {
    let mut bed = Bed::new(3, 3);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let offer = bed.settle_one();
    bed.accept(&offer, birth(1));
    let lost = bed.take_one();
    assert_eq!((lost.kind, lost.to), (FlowKind::Accept, tracker(1)));
    for number in [2, 3] {
        bed.set_state(number, tracker(1), MemberState::Down);
    }
    bed.open_as(tracker(2), ingress(), &key, Intent::Syn, 5);
    let again = bed.settle_one();
    assert_eq!((again.host(), again.offer), (offer.host(), offer.offer));
    bed.accept(&again, birth(1));
    let accept = bed.settle_one();
    assert_eq!((accept.kind, accept.to), (FlowKind::Accept, ingress()));
}

#[test]
fn a_new_secondary_learns_the_flow_before_the_host_does() {
    let mut bed = Bed::new(3, 3);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let first = bed.settle_one();
    for number in [1, 3] {
        bed.set_state(number, tracker(2), MemberState::Down);
    }
    bed.open(&key, Intent::Syn, 5);
    let again = bed.settle_one();
    assert_eq!((again.host(), again.offer), (first.host(), first.offer));
    assert_eq!(again.from, tracker(3));
    assert_eq!(bed.state(3, &key).unwrap().host(), Some(first.host()));
}

#[test]
fn a_primary_that_is_wrongly_believed_down_meets_the_secondarys_record() {
    let mut bed = Bed::new(3, 3);
    let key = bed.flow(0);
    // The secondary and one ingress believe the primary down, another ingress does not.
    bed.set_state(2, tracker(1), MemberState::Down);
    bed.open_as(tracker(2), ingress(), &key, Intent::Syn, 5);
    let first = bed.settle_one();
    bed.open(&key, Intent::Syn, 5);
    let second = bed.settle_one();
    assert_eq!((second.host(), second.offer), (first.host(), first.offer));
}

#[test]
fn nobody_is_reset_while_a_host_that_may_have_the_flow_could_come_back() {
    let mut bed = Bed::new(1, 2);
    let key = bed.flow(0);
    bed.set_state(1, host(2), MemberState::Down);
    bed.open(&key, Intent::MidFlow, 777);
    assert_eq!(bed.settle_one().to, host(1));
    bed.state_from(tracker(1), host(1), 0, &[not_mine(&key)]);
    bed.settle_silent();
    assert_eq!(bed.dropped(1, DropReason::UnknownFlow), 1);
    assert_eq!(bed.stats(1).who_has_unanswered, 1);
    bed.pass(DEAD_HOST);
    bed.open(&key, Intent::MidFlow, 777);
    bed.settle();
    bed.state_from(tracker(1), host(1), 0, &[not_mine(&key)]);
    assert_eq!(bed.settle_one().reason, Reason::Unknown);
    // Where all are gone, nobody is left to ask.
    bed.set_state(1, host(1), MemberState::Down);
    bed.open(&key, Intent::MidFlow, 777);
    bed.settle_silent();
    assert_eq!(bed.dropped(1, DropReason::NoHost), 1);
    // For ever: nobody has said no.
    bed.pass(DEAD_HOST);
    bed.open(&key, Intent::MidFlow, 777);
    bed.settle_silent();
}

#[test]
fn a_tracker_that_hears_no_host_sends_the_ingress_to_the_next_rank() {
    let mut bed = Bed::new(2, 2);
    let key = bed.flow(0);
    for number in [1, 2] {
        bed.set_state(1, host(number), MemberState::Down);
    }
    for intent in [Intent::Syn, Intent::MidFlow] {
        bed.open(&key, intent, 5);
        assert_eq!(bed.settle_one().kind, FlowKind::NotActing);
    }
    // The next one hears them.
    let syn = packet(&key, Intent::Syn, 5);
    let mut to_second = open(tracker(2), ingress(), &key, Intent::Syn, 5, &syn);
    to_second.path.secondary = Some(tracker(1));
    let mut copy = bed.clone();
    copy.hand_flow(tracker(2), ingress(), &to_second);
    assert_eq!(copy.settle_one().kind, FlowKind::Offer);
    // Or it agrees, and that is the answer.
    for number in [1, 2] {
        bed.set_state(2, host(number), MemberState::Down);
    }
    bed.hand_flow(tracker(2), ingress(), &to_second);
    let refuse = bed.settle_one();
    assert_eq!(
        (refuse.kind, refuse.reason),
        (FlowKind::Refuse, Reason::NoHost)
    );
}

#[test]
fn a_hint_is_asked_for_where_hosts_may_know_more_and_led_to_its_host_else() {
    for told in [false, true] {
        let mut bed = Bed::new(3, 4);
        let key = bed.flow(0);
        let it = statement(&key, birth(1), 5, FlowState::Established);
        bed.set_state(3, tracker(1), MemberState::Down);
        bed.state_from(tracker(3), host(3), 0, &[it]);
        bed.set_state(3, tracker(1), MemberState::Active);
        bed.pass(Duration::from_millis(50));
        assert!(bed.record(3, &key).unwrap().is_hint());
        for lost in [1, 2] {
            bed.set_state(3, tracker(lost), MemberState::Down);
        }
        if told {
            let mark = Some(bed.fingerprint(3));
            for number in 1..=4 {
                bed.mark_from(3, host(number), 1, mark);
            }
        }
        bed.pass(Duration::from_millis(50));
        bed.settle();
        let packet = packet(&key, Intent::Syn, 900);
        let open = open(tracker(3), ingress(), &key, Intent::Syn, 900, &packet);
        bed.hand_flow(tracker(3), ingress(), &open);
        if !told {
            let asked: Vec<_> = bed.settle().iter().map(|it| (it.kind, it.to)).collect();
            let all = [1, 2, 3, 4].map(|it| (FlowKind::WhoHas, host(it)));
            assert_eq!(asked, all);
            for number in 1..=4 {
                bed.state_from(tracker(3), host(number), 0, &[not_mine(&key)]);
            }
        }
        // It decides by its kernel's state (R7), also if it has missed that it is asked for.
        let offer = bed.settle_one();
        assert_eq!((offer.kind, offer.to), (FlowKind::Offer, host(3)));
    }
}
