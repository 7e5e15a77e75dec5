use crate::config::Overload;
use crate::record::Life;
use crate::testbed::{
    Bed, FlowSent, Sent, TTL, birth, host, ingress, offered, owned, tracker, view_with,
};
use jlb_protocol::message::{FlowKind, Intent, Reason};
use jlb_protocol::{DropReason, MemberState};
use std::vec::Vec;

const HOSTS: u16 = 5;

fn bed() -> Bed {
    Bed::with(2, HOSTS, |config| {
        config
            .services
            .iter_mut()
            .for_each(|service| service.direct_hunt = true);
    })
}

/// The Offer that begins a hunt, and those that its hosts pass on.
fn hunt(bed: &mut Bed) -> Vec<FlowSent> {
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let first = bed.settle_one();
    core::iter::successors(Some(first), FlowSent::passed_on).collect()
}

fn names(offers: &[FlowSent]) -> Vec<(jlb_protocol::NodeNumber, u8)> {
    offers
        .iter()
        .map(|offer| (offer.host(), offer.offer.step))
        .collect()
}

#[test]
fn r2_both_trackers_know_the_hosts_of_a_hunt_before_the_first_is_asked() {
    let mut bed = bed();
    let offers = hunt(&mut bed);
    assert_eq!(offers.len(), usize::from(TTL));
    let steps: Vec<_> = offers.iter().map(|offer| offer.offer.step).collect();
    assert_eq!(steps, [2, 1, 0]);
    for number in [1, 2] {
        let searches = &bed.trackers[&tracker(number)].searches;
        let known = searches.hunt(&offers[0].key, 5);
        let listed: Vec<_> = known.iter().map(|it| (it.host, it.step)).collect();
        assert_eq!(listed, names(&offers));
    }
    assert_eq!(bed.stats(1).hunts, 1);
}

#[test]
fn the_answer_of_the_last_host_goes_up_the_chain() {
    let mut bed = bed();
    let offers = hunt(&mut bed);
    bed.accept(&offers[2], birth(1));
    let accept = bed.settle_one();
    assert_eq!((accept.kind, accept.to), (FlowKind::Accept, ingress()));
    let expected = owned(Life::Accepted, offers[2].host(), birth(1), 0);
    for number in [1, 2] {
        assert_eq!(bed.state(number, &offers[0].key), Some(expected));
        let searches = &bed.trackers[&tracker(number)].searches;
        assert!(searches.has_refused(&offers[0].key, offers[1].host()));
    }
    assert_eq!((bed.stats(2).hunts_taken, bed.stats(2).releases), (1, 0));
    // A repeat is for the host that has the flow.
    bed.open(&offers[0].key, Intent::Syn, 5);
    let again = bed.settle_one();
    assert_eq!(
        (again.host(), again.offer),
        (offers[2].host(), offers[2].offer)
    );
}

#[test]
fn where_all_have_rejected_the_search_is_over_or_goes_on_with_the_next_step() {
    let mut bed = bed();
    let offers = hunt(&mut bed);
    bed.reject(&offers[2], Reason::Load);
    let refuse = bed.settle_one();
    assert_eq!((refuse.kind, refuse.to), (FlowKind::Refuse, ingress()));
    assert_eq!(refuse.reason, Reason::Exhausted);

    let mut bed = Bed::with(2, HOSTS, |config| {
        for service in &mut config.services {
            service.direct_hunt = true;
            service.search_ttl = 5;
        }
    });
    let key = bed.flow(0);
    let packet = crate::testbed::packet(&key, Intent::Syn, 5);
    let mut open = crate::testbed::open(tracker(1), ingress(), &key, Intent::Syn, 5, &packet);
    open.offer.step = 5;
    bed.hand_flow(tracker(1), ingress(), &open);
    let first = bed.settle_one();
    let offers: Vec<_> = core::iter::successors(Some(first), FlowSent::passed_on).collect();
    assert_eq!(offers.len(), 4);
    bed.reject(&offers[3], Reason::Load);
    let last = bed.settle_one();
    assert!(
        names(&offers)
            .iter()
            .all(|&(asked, _)| asked != last.host())
    );
    assert_eq!((last.offer.step, last.hunt.is_empty()), (0, true));
}

#[test]
fn a_hunt_without_answer_goes_on_host_by_host_with_the_same_numbers() {
    let mut bed = bed();
    let offers = hunt(&mut bed);
    bed.open(&offers[0].key, Intent::Syn, 5);
    for expected in &offers {
        let offer = bed.settle_one();
        assert_eq!((offer.to, offer.offer), (expected.host(), expected.offer));
        assert!(!offer.hunt.is_empty() && !offer.hunt.passes());
        bed.reject(&offer, Reason::Load);
    }
    assert_eq!(bed.settle_one().kind, FlowKind::Refuse);
    assert_eq!(bed.stats(1).hunts_fallen_back, 2);
}

#[test]
fn an_answer_of_a_hunt_counts_though_the_primary_has_begun_to_go_on_without_it() {
    let mut bed = bed();
    let offers = hunt(&mut bed);
    bed.reject(&offers[0], Reason::Load);
    let plain = bed.settle_one();
    assert_eq!(plain.host(), offers[1].host());
    bed.accept(&offers[2], birth(1));
    assert_eq!(bed.settle_one().kind, FlowKind::Accept);
    // Late: its host has rejected long ago.
    bed.reject(&plain, Reason::Load);
    bed.settle_silent();
    assert_eq!(bed.dropped(2, DropReason::StaleReject), 1);
}

#[test]
fn an_answer_under_another_number_or_of_a_host_outside_the_hunt_counts_for_nothing() {
    let mut bed = bed();
    let offers = hunt(&mut bed);
    let mut wrong = offers[1].clone();
    wrong.offer.step = 0;
    bed.accept(&wrong, birth(1));
    assert_eq!(bed.settle_one().kind, FlowKind::Release);
    bed.reject(&wrong, Reason::Load);
    bed.settle_silent();
    let outside = (1..=HOSTS)
        .map(host)
        .find(|&host| names(&offers).iter().all(|it| it.0 != host));
    wrong.path.host = outside;
    bed.accept(&wrong, birth(1));
    assert_eq!(bed.settle_one().kind, FlowKind::Release);
    let state = bed.state(2, &offers[0].key);
    assert_eq!(state, Some(offered(offers[0].host(), TTL - 1)));
}

#[test]
fn a_primary_that_has_forgotten_the_hunt_goes_on_with_the_secondarys() {
    let mut bed = bed();
    let offers = hunt(&mut bed);
    bed.reject(&offers[0], Reason::Load);
    bed.wire.clear();
    bed.forget(tracker(1), HOSTS);
    for _ in 0..3 {
        // Its policy begins elsewhere.
        let other = bed.flow(7);
        bed.open(&other, Intent::Syn, 9);
        bed.wire.clear();
    }
    bed.open(&offers[0].key, Intent::Syn, 5);
    let offer = bed.settle_one();
    assert_eq!(
        (offer.host(), offer.offer),
        (offers[1].host(), offers[1].offer)
    );
    let known = bed.trackers[&tracker(1)].searches.hunt(&offers[0].key, 5);
    assert!(known.is_same(&offers[0].hunt));
}

#[test]
fn a_new_secondary_learns_the_hunt_from_a_repeat() {
    let mut bed = bed();
    let offers = hunt(&mut bed);
    bed.forget(tracker(2), HOSTS);
    bed.open(&offers[0].key, Intent::Syn, 5);
    assert!(!bed.settle_one().hunt.passes());
    bed.accept(&offers[1], birth(1));
    assert_eq!(bed.settle_one().kind, FlowKind::Accept);
    let expected = owned(Life::Accepted, offers[1].host(), birth(1), 1);
    assert_eq!(bed.state(2, &offers[0].key), Some(expected));
}

#[test]
fn a_host_of_the_hunt_that_is_down_is_passed_over_and_its_step_is_spent() {
    let mut bed = bed();
    let offers = hunt(&mut bed);
    let view = view_with(&bed.view, offers[1].host(), MemberState::Down);
    bed.set_view(1, view.clone());
    bed.set_view(2, view);
    bed.reject(&offers[0], Reason::Load);
    let offer = bed.settle_one();
    assert_eq!(
        (offer.host(), offer.offer),
        (offers[2].host(), offers[2].offer)
    );
}

#[test]
fn without_a_secondary_the_hosts_answer_the_primary() {
    let mut bed = Bed::with(1, HOSTS, |config| {
        config
            .services
            .iter_mut()
            .for_each(|service| service.direct_hunt = true);
    });
    let offers = hunt(&mut bed);
    bed.accept(&offers[1], birth(1));
    assert_eq!(bed.settle_one().to, ingress());
    let expected = owned(Life::Accepted, offers[1].host(), birth(1), 1);
    assert_eq!(bed.state(1, &offers[0].key), Some(expected));
}

#[test]
fn without_room_for_its_list_or_a_life_of_its_hosts_a_search_is_plain() {
    let mut bed = Bed::with(2, HOSTS, |config| {
        config.limits.max_searches = 0;
        config
            .services
            .iter_mut()
            .for_each(|service| service.direct_hunt = true);
    });
    assert_eq!(hunt(&mut bed).len(), 1);
    assert_eq!(bed.stats(1).hunts, 0);

    let mut bed = self::bed();
    let members = bed
        .view
        .members()
        .iter()
        .map(|&member| jlb_protocol::view::Member {
            incarnation: 0,
            ..member
        });
    let view = jlb_protocol::View::new(members.collect());
    bed.set_view(1, view);
    assert!(hunt(&mut bed)[0].hunt.is_empty());
}

#[test]
fn datagrams_and_what_the_overload_policy_asks_are_searched_plainly() {
    let mut bed = bed();
    let key = bed.udp_flow(0);
    bed.open(&key, Intent::Datagram, 0);
    assert!(bed.settle_one().hunt.is_empty());
    for (overload, steps, expected) in [
        (Overload::Pool, 2, 1),
        (Overload::Pool, 1, 2),
        (Overload::MustAccept, 0, 2),
    ] {
        let mut bed = Bed::with(2, HOSTS, |config| {
            for service in &mut config.services {
                service.direct_hunt = true;
                service.overload = overload;
                service.overload_steps = steps;
                service.hosts[4].overflow = overload == Overload::Pool;
            }
        });
        assert_eq!(hunt(&mut bed).len(), expected, "{overload:?}");
    }
}

#[test]
fn a_later_attempt_ends_the_hunt_for_the_earlier_one() {
    let mut bed = bed();
    let offers = hunt(&mut bed);
    bed.open(&offers[0].key, Intent::Syn, 9);
    let later = bed.settle_one();
    assert_eq!(later.host(), offers[0].host());
    assert!(later.hunt.is_empty());
    bed.accept(&offers[1], birth(1));
    let release = bed.settle_one();
    assert_eq!(
        (release.kind, release.to),
        (FlowKind::Release, offers[1].host())
    );
}

/// Messages until the third host that is asked has the SYN, and until the ingress has its Accept, where
/// the first two reject.
fn cost(direct: bool) -> (usize, usize) {
    let mut bed = Bed::with(2, HOSTS, |config| {
        config
            .services
            .iter_mut()
            .for_each(|it| it.direct_hunt = direct);
    });
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let (mut asked, mut to_host, mut messages) = (0, 0, 1);
    while let Some(Sent::Flow(sent)) = bed.wire.pop_front() {
        messages += 1;
        if bed.trackers.contains_key(&sent.to) {
            bed.hand_flow(sent.to, sent.from, &sent.message());
        } else if sent.kind == FlowKind::Offer {
            asked += 1;
            let mut answer = sent.clone();
            (answer.from, answer.to) = (sent.to, sent.up());
            if asked == 3 {
                to_host = messages;
                answer.kind = FlowKind::Accept;
                answer.birth = Some(birth(1));
                answer.packet.clear();
            } else if let Some(passed) = sent.passed_on() {
                answer = passed;
            } else {
                answer.kind = FlowKind::Reject;
            }
            bed.wire.push_back(Sent::Flow(answer));
        } else {
            assert_eq!((sent.kind, sent.to), (FlowKind::Accept, ingress()));
        }
    }
    (to_host, messages)
}

#[test]
fn a_reject_costs_one_message_instead_of_four() {
    assert_eq!(cost(false), (11, 14));
    assert_eq!(cost(true), (5, 8));
}
