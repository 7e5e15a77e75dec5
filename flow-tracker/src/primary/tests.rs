use crate::record::Life;
use crate::testbed::{
    Bed, FlowSent, TTL, birth, host, ingress, offered, open, other_ingress, owned, packet,
    statement, tracker, view_with,
};
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::message::{FlowKind, FlowMessage, FlowState, Intent, Path, Reason};
use jlb_protocol::{
    DropReason, FlowKey, MemberState, Message, NodeNumber, OfferNumber, ServiceNumber,
};

mod recovery;

#[test]
fn a_flow_goes_down_through_the_secondary_and_its_acceptance_comes_back_the_same_way() {
    let mut bed = Bed::new(3, 4);
    let key = bed.flow(0);

    bed.open(&key, Intent::Syn, 5);
    let to_secondary = bed.take_one();
    assert_eq!(
        (to_secondary.from, to_secondary.to),
        (tracker(1), tracker(2))
    );
    assert_eq!(to_secondary.kind, FlowKind::Offer);
    assert_eq!(
        to_secondary.offer,
        OfferNumber {
            isn: 5,
            step: TTL - 1
        }
    );
    assert_eq!(to_secondary.packet, packet(&key, Intent::Syn, 5));
    let chosen = to_secondary.host();
    assert_eq!(
        to_secondary.path,
        Path {
            ingress: Some(ingress()),
            primary: Some(tracker(1)),
            secondary: Some(tracker(2)),
            host: Some(chosen),
        }
    );

    bed.hand_flow(tracker(2), tracker(1), &to_secondary.message());
    let offer = bed.take_one();
    assert_eq!((offer.from, offer.to), (tracker(2), chosen));
    let step = TTL - 1;
    for number in [1, 2] {
        let state = bed.state(number, &key);
        assert_eq!(state, Some(offered(chosen, step)));
    }

    bed.accept(&offer, birth(1));
    let to_primary = bed.take_one();
    assert_eq!((to_primary.from, to_primary.to), (tracker(2), tracker(1)));
    bed.hand_flow(tracker(1), tracker(2), &to_primary.message());
    let accept = bed.take_one();
    assert_eq!((accept.from, accept.to), (tracker(1), ingress()));
    assert_eq!(accept.kind, FlowKind::Accept);
    assert_eq!(accept.birth, Some(birth(1)));
    assert_eq!(accept.path, offer.path);
    for number in [1, 2] {
        let accepted = owned(Life::Accepted, chosen, birth(1), step);
        assert_eq!(bed.state(number, &key), Some(accepted));
        let stats = bed.stats(number);
        assert_eq!((stats.flows, stats.untrusted, stats.searches), (1, 1, 0));
        let ledger = stats.ledger;
        assert_eq!((ledger.received, ledger.consumed), (2, 2));
        assert_eq!((ledger.created, ledger.sent), (2, 2));
        assert_eq!(ledger.dropped_total(), 0);
    }
    assert_eq!(bed.stats(3).ledger.received, 0);
}

#[test]
fn a_tracker_that_is_alone_asks_the_host_itself() {
    let mut bed = Bed::new(1, 4);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let offer = bed.settle_one();
    assert_eq!(offer.to, offer.host());
    assert_eq!(offer.path.secondary, None);
    bed.accept(&offer, birth(1));
    assert_eq!(bed.settle_one().to, ingress());
}

#[test]
fn a_repeated_open_gives_the_same_offer_again() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let first = bed.settle_one();
    bed.open(&key, Intent::Syn, 5);
    assert_eq!(bed.settle_one(), first);

    // Also after a reject, with the hosts tried so far; from another ingress it names that.
    bed.reject(&first, Reason::Load);
    let second = bed.settle_one();
    bed.open_as(tracker(1), other_ingress(), &key, Intent::Syn, 5);
    let mut repeated = bed.settle_one();
    assert_eq!(repeated.path.ingress, Some(other_ingress()));
    repeated.path.ingress = second.path.ingress;
    assert_eq!(repeated, second);

    // And after the acceptance, for that may have been lost.
    bed.accept(&second, birth(1));
    bed.settle_one();
    bed.open(&key, Intent::Syn, 5);
    assert_eq!(bed.settle_one().offer, second.offer);
    assert_eq!(bed.stats(1).opens_repeated, 3);
    assert_eq!(bed.stats(1).searches_begun, 1);
}

/// Rejects every Offer; gives the hosts that were asked and what the ingress was told at the end.
fn reject_all(bed: &mut Bed) -> (Vec<FlowSent>, FlowSent) {
    let mut asked = Vec::new();
    loop {
        let sent = bed.settle_one();
        if sent.kind != FlowKind::Offer {
            return (asked, sent);
        }
        bed.reject(&sent, Reason::Load);
        asked.push(sent);
    }
}

#[test]
fn a_search_asks_each_host_once_and_ends_when_its_steps_are_spent() {
    for trackers in [1, 2, 3] {
        let mut bed = Bed::new(trackers, 5);
        let key = bed.flow(0);
        bed.open(&key, Intent::Syn, 5);
        let (asked, end) = reject_all(&mut bed);
        let steps: Vec<_> = asked.iter().map(|offer| offer.offer.step).collect();
        assert_eq!(steps, [2, 1, 0]);
        let mut hosts: Vec<_> = asked.iter().map(FlowSent::host).collect();
        assert_eq!(asked[2].tried.iter().collect::<Vec<_>>(), hosts[..2]);
        hosts.sort_unstable();
        hosts.dedup();
        assert_eq!(hosts.len(), 3);
        assert_eq!((end.kind, end.to), (FlowKind::Refuse, ingress()));
        assert_eq!(end.reason, Reason::Exhausted);
        assert_eq!(end.offer.isn, 5);
        assert_eq!(bed.stats(1).refused_exhausted, 1);
        assert_eq!(bed.stats(1).rejects, 3);
    }
}

#[test]
fn a_search_ends_when_no_host_is_left() {
    let mut bed = Bed::new(2, 2);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let (asked, end) = reject_all(&mut bed);
    assert_eq!(asked.len(), 2);
    assert_eq!(end.reason, Reason::Exhausted);
}

#[test]
fn a_refused_attempt_is_answered_and_not_searched_again() {
    let mut bed = Bed::new(2, 2);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let (_, end) = reject_all(&mut bed);
    bed.open(&key, Intent::Syn, 5);
    let again = bed.settle_one();
    assert_eq!((again.kind, again.reason), (end.kind, end.reason));
    assert_eq!(bed.stats(1).searches_begun, 1);

    // A new attempt is a new search.
    bed.open(&key, Intent::Syn, 6);
    assert_eq!(bed.settle_one().kind, FlowKind::Offer);
    assert_eq!(bed.stats(1).searches_begun, 2);
}

#[test]
fn a_refusal_is_forgotten_in_time() {
    let mut bed = Bed::new(2, 2);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    reject_all(&mut bed);
    bed.pass(Duration::from_millis(5_010));
    for number in [1, 2] {
        let stats = bed.stats(number);
        assert_eq!((stats.flows, stats.untrusted, stats.searches), (0, 0, 0));
        assert_eq!(stats.records_expired, 1);
    }
    assert_eq!(bed.trackers[&tracker(1)].poll_timeout(), None);
}

#[test]
fn a_service_without_hosts_is_refused_at_once() {
    let mut bed = Bed::new(2, 0);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let refuse = bed.settle_one();
    assert_eq!(refuse.reason, Reason::NoHost);
    assert_eq!(bed.stats(1).refused_no_host, 1);
}

#[test]
fn an_open_without_steps_is_refused() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    let packet = packet(&key, Intent::Syn, 5);
    let mut message = open(tracker(1), ingress(), &key, Intent::Syn, 5, &packet);
    message.offer.step = 0;
    bed.hand_flow(tracker(1), ingress(), &message);
    assert_eq!(bed.settle_one().reason, Reason::Exhausted);
}

#[test]
fn an_open_gets_no_more_steps_than_the_service_allows() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    let packet = packet(&key, Intent::Syn, 5);
    let mut message = open(tracker(1), ingress(), &key, Intent::Syn, 5, &packet);
    message.offer.step = 255;
    bed.hand_flow(tracker(1), ingress(), &message);
    assert_eq!(bed.settle_one().offer.step, TTL - 1);
}

#[test]
fn hosts_that_the_ingress_names_as_tried_are_not_asked() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    let packet = packet(&key, Intent::Syn, 5);
    let mut message = open(tracker(1), ingress(), &key, Intent::Syn, 5, &packet);
    for number in [1, 2, 4] {
        message.tried.push(host(number));
    }
    bed.hand_flow(tracker(1), ingress(), &message);
    let offer = bed.settle_one();
    assert_eq!(offer.host(), host(3));
    assert_eq!(offer.tried, message.tried);
}

#[test]
fn a_syn_of_a_known_flow_goes_to_its_host_first_and_then_on() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    let owner = bed.establish(&key, 5, birth(1));

    bed.open(&key, Intent::Syn, 900);
    let offer = bed.settle_one();
    assert_eq!(offer.host(), owner);
    assert_eq!(
        offer.offer,
        OfferNumber {
            isn: 900,
            step: TTL - 1
        }
    );
    // It decides; meanwhile the old life stands.
    for number in [1, 2] {
        assert_eq!(bed.state(number, &key).unwrap().host(), Some(owner));
        assert!(bed.state(number, &key).unwrap().is_trusted());
    }

    // R7: "a host that rejects a SYN disowns the old life in the same step".
    bed.reject(&offer, Reason::Load);
    let next = bed.settle_one();
    assert_ne!(next.host(), owner);
    assert_eq!(
        next.offer,
        OfferNumber {
            isn: 900,
            step: TTL - 2
        }
    );
    assert_eq!(next.tried.iter().collect::<Vec<_>>(), [owner]);
    for number in [1, 2] {
        assert_eq!(bed.state(number, &key).unwrap().host(), Some(next.host()));
        assert_eq!(bed.stats(number).untrusted, 1);
    }
}

#[test]
fn a_syn_that_its_host_takes_begins_a_new_life() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    let owner = bed.establish(&key, 5, birth(1));
    bed.open(&key, Intent::Syn, 900);
    let offer = bed.settle_one();
    bed.accept(&offer, birth(2));
    assert_eq!(bed.settle_one().birth, Some(birth(2)));
    for number in [1, 2] {
        let accepted = owned(Life::Accepted, owner, birth(2), TTL - 1);
        assert_eq!(bed.state(number, &key), Some(accepted));
    }
}

#[test]
fn a_syn_that_the_old_life_answers_leaves_it_established() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    bed.establish(&key, 5, birth(1));
    bed.open(&key, Intent::Syn, 900);
    let offer = bed.settle_one();
    bed.accept(&offer, birth(1));
    assert_eq!(bed.settle_one().birth, Some(birth(1)));
    for number in [1, 2] {
        assert!(bed.state(number, &key).unwrap().is_trusted());
    }
}

#[test]
fn another_attempt_of_an_offered_flow_goes_to_the_same_host() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let first = bed.settle_one();
    // The host may have taken the first: it must be the one to answer the second.
    bed.open(&key, Intent::Syn, 6);
    let second = bed.settle_one();
    assert_eq!(second.host(), first.host());
    assert_eq!(second.offer.isn, 6);
    // The late reject of the first does not count for the second.
    bed.reject(&first, Reason::Load);
    bed.settle_silent();
    assert_eq!(bed.dropped(2, DropReason::StaleReject), 1);
}

#[test]
fn a_mid_flow_packet_goes_to_the_host_of_the_record() {
    let mut bed = Bed::new(3, 4);
    let key = bed.flow(0);
    let owner = bed.establish(&key, 5, birth(1));
    bed.open_as(tracker(1), other_ingress(), &key, Intent::MidFlow, 777);
    let offer = bed.settle_one();
    assert_eq!((offer.host(), offer.intent), (owner, Intent::MidFlow));
    bed.accept(&offer, birth(1));
    let accept = bed.settle_one();
    assert_eq!((accept.to, accept.birth), (other_ingress(), Some(birth(1))));
    assert!(bed.state(1, &key).unwrap().is_trusted());
}

#[test]
fn a_mid_flow_packet_that_the_host_disowns_is_asked_around() {
    let mut bed = Bed::new(2, 3);
    let key = bed.flow(0);
    let owner = bed.establish(&key, 5, birth(1));
    // R4: an Open that says who disowned the flow is offered down, never answered from the record.
    let packet = packet(&key, Intent::MidFlow, 777);
    let mut message = open(tracker(1), ingress(), &key, Intent::MidFlow, 777, &packet);
    message.path.host = Some(owner);
    message.birth = Some(birth(1));
    bed.hand_flow(tracker(1), ingress(), &message);
    let offer = bed.settle_one();
    assert_eq!(offer.host(), owner);
    bed.reject(&offer, Reason::NotOwner);
    let asked = bed.settle();
    let to: Vec<_> = asked.iter().map(|sent| sent.to).collect();
    assert!(asked.iter().all(|sent| sent.kind == FlowKind::WhoHas));
    assert_eq!(to, [host(1), host(2), host(3)]);
    for number in [1, 2] {
        assert_eq!(bed.state(number, &key), None);
    }
}

#[test]
fn a_mid_flow_packet_never_disturbs_an_attempt_under_way() {
    let mut bed = Bed::new(2, 3);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let offer = bed.settle_one();
    bed.open(&key, Intent::MidFlow, 777);
    let beside = bed.settle_one();
    assert_eq!(beside.host(), offer.host());
    bed.reject(&beside, Reason::NotOwner);
    bed.settle_silent();
    assert_eq!(bed.dropped(1, DropReason::UnknownFlow), 1);
    bed.accept(&offer, birth(1));
    assert_eq!(bed.settle_one().kind, FlowKind::Accept);
}

#[test]
fn an_accept_that_comes_after_the_word_of_its_lifes_end_silences_mid_flow_packets_for_a_time_only()
{
    let mut bed = Bed::new(2, 3);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let first = bed.settle_one();
    bed.open(&key, Intent::Syn, 6);
    let second = bed.settle_one();
    bed.accept(&first, birth(1));
    bed.settle_one();
    // Both lives are over before the second one's Accept arrives.
    let owner = first.host();
    let ended = [(birth(1), 5), (birth(2), 6)]
        .map(|(birth, isn)| statement(&key, birth, isn, FlowState::Closed));
    for number in [1, 2] {
        bed.state_from(tracker(number), owner, 1, &ended);
    }
    bed.wire.clear();
    bed.accept(&second, birth(2));
    bed.settle_one();

    bed.open(&key, Intent::MidFlow, 777);
    let offer = bed.settle_one();
    assert_eq!(offer.host(), owner);
    bed.reject(&offer, Reason::NotOwner);
    bed.settle_silent();
    assert_eq!(bed.dropped(1, DropReason::StaleReject), 1);
    // The attempt is held for as long as its repeats may come, not for a lease.
    bed.pass(Duration::from_secs(6));
    bed.wire.clear();
    bed.open(&key, Intent::MidFlow, 777);
    let asked = bed.settle();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|sent| sent.kind == FlowKind::WhoHas));
}

#[test]
fn a_mid_flow_packet_goes_even_to_a_host_believed_down() {
    let mut bed = Bed::new(2, 3);
    let key = bed.flow(0);
    let owner = bed.establish(&key, 5, birth(1));
    set_state(&mut bed, owner, MemberState::Down);
    bed.open(&key, Intent::MidFlow, 777);
    assert_eq!(bed.settle_one().host(), owner);
}

fn set_state(bed: &mut Bed, node: NodeNumber, state: MemberState) {
    bed.view = view_with(&bed.view, node, state);
    for tracker in bed.trackers.values_mut() {
        tracker.handle_view(bed.now, bed.view.clone());
    }
}

#[test]
fn a_search_leaves_a_host_that_is_down() {
    let mut bed = Bed::new(2, 3);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let first = bed.settle_one();
    set_state(&mut bed, first.host(), MemberState::Down);
    bed.open(&key, Intent::Syn, 5);
    let second = bed.settle_one();
    assert_ne!(second.host(), first.host());
    assert_eq!(second.offer.step, TTL - 2);
}

#[test]
fn a_new_attempt_leaves_a_flow_whose_host_is_down() {
    let mut bed = Bed::new(2, 3);
    let key = bed.flow(0);
    let owner = bed.establish(&key, 5, birth(1));
    set_state(&mut bed, owner, MemberState::Down);
    bed.open(&key, Intent::Syn, 900);
    let offer = bed.settle_one();
    assert_ne!(offer.host(), owner);
    bed.accept(&offer, birth(1));
    assert_eq!(bed.settle_one().kind, FlowKind::Accept);
}

#[test]
fn a_draining_host_keeps_its_flows_and_gets_no_new_ones() {
    let mut bed = Bed::new(2, 2);
    let key = bed.flow(0);
    let owner = bed.establish(&key, 5, birth(1));
    set_state(&mut bed, owner, MemberState::Draining);
    bed.open(&key, Intent::Syn, 900);
    assert_eq!(bed.settle_one().host(), owner);
    for nth in 1..5 {
        let key = bed.flow(nth);
        bed.open(&key, Intent::Syn, 5);
        assert_ne!(bed.settle_one().host(), owner);
    }
}

#[test]
fn a_datagram_of_a_known_flow_asks_its_host_with_a_whole_search_ahead() {
    let mut bed = Bed::new(2, 4);
    let key = bed.udp_flow(0);
    bed.open(&key, Intent::Datagram, 0);
    let first = bed.settle_one();
    bed.reject(&first, Reason::Load);
    let second = bed.settle_one();
    assert_eq!(second.offer.step, TTL - 2);
    bed.accept(&second, birth(1));
    bed.settle_one();

    bed.open(&key, Intent::Datagram, 0);
    let again = bed.settle_one();
    assert_eq!(again.host(), second.host());
    assert_eq!(again.offer.step, TTL - 1);
    bed.open(&key, Intent::Datagram, 0);
    assert_eq!(bed.settle_one(), again);
}

#[test]
fn an_open_at_the_wrong_tracker_is_passed_on_once() {
    let mut bed = Bed::new(3, 4);
    let key = bed.flow(0);
    bed.open_as(tracker(3), ingress(), &key, Intent::Syn, 5);
    let passed = bed.take_one();
    assert_eq!((passed.kind, passed.to), (FlowKind::Open, tracker(1)));
    assert_eq!(passed.path.primary, Some(tracker(1)));
    assert_eq!(passed.path.ingress, Some(ingress()));
    assert_eq!(bed.stats(3).opens_passed_on, 1);

    bed.hand_flow(tracker(1), tracker(3), &passed.message());
    let offer = bed.settle_one();
    assert_eq!(offer.kind, FlowKind::Offer);
    bed.accept(&offer, birth(1));
    assert_eq!(bed.settle_one().to, ingress());

    // A second time it is not.
    let mut twice = passed.clone();
    twice.path.primary = Some(tracker(3));
    bed.hand_flow(tracker(3), tracker(2), &twice.message());
    bed.settle_silent();
    assert_eq!(bed.dropped(3, DropReason::PassedOn), 1);
}

#[test]
fn an_open_past_one_that_does_not_act_is_led_by_the_second_if_the_first_passes_it_on() {
    let key = Bed::new(3, 4).flow(0);
    let packet = packet(&key, Intent::Syn, 5);
    let asked = open(tracker(2), ingress(), &key, Intent::Syn, 5, &packet);
    let without = |left| FlowMessage {
        path: Path {
            secondary: left,
            ..asked.path
        },
        ..asked
    };
    // By its own ranking the first one leads with this tracker, but knows better.
    let mut bed = Bed::new(3, 4);
    bed.hand_flow(tracker(2), tracker(1), &without(Some(tracker(3))));
    let offer = bed.take_one();
    assert_eq!((offer.kind, offer.from), (FlowKind::Offer, tracker(2)));
    assert_eq!(offer.path.primary, Some(tracker(2)));
    assert_eq!(offer.to, tracker(1), "its partner");

    for (from, left) in [
        (tracker(1), None),
        (tracker(3), Some(tracker(3))),
        (host(1), Some(tracker(3))),
    ] {
        let mut bed = Bed::new(3, 4);
        bed.hand_flow(tracker(2), from, &without(left));
        bed.settle_silent();
        assert_eq!(bed.dropped(2, DropReason::PassedOn), 1, "{from} {left:?}");
    }

    // Nor by one that is not the second.
    let mut bed = Bed::new(4, 4);
    let asked = open(tracker(3), ingress(), &key, Intent::Syn, 5, &packet);
    let path = Path {
        secondary: Some(tracker(4)),
        ..asked.path
    };
    bed.hand_flow(tracker(3), tracker(1), &FlowMessage { path, ..asked });
    bed.settle_silent();
    assert_eq!(bed.dropped(3, DropReason::PassedOn), 1);
}

#[test]
fn an_open_from_a_node_that_cannot_ask_is_dropped() {
    let mut bed = Bed::new(2, 4);
    let key = bed.flow(0);
    let packet = packet(&key, Intent::Syn, 5);
    let good = open(tracker(1), ingress(), &key, Intent::Syn, 5, &packet);
    let unknown = NodeNumber::new(999).unwrap();
    let elsewhere = |path| FlowMessage { path, ..good };
    let cases = [
        (
            host(1),
            elsewhere(Path {
                primary: Some(tracker(2)),
                ..good.path
            }),
            DropReason::WrongNode,
        ),
        (other_ingress(), good, DropReason::WrongNode),
        (unknown, good, DropReason::WrongNode),
        (
            ingress(),
            elsewhere(Path {
                primary: Some(tracker(2)),
                ..good.path
            }),
            DropReason::WrongNode,
        ),
        (
            ingress(),
            elsewhere(Path {
                ingress: Some(unknown),
                ..good.path
            }),
            DropReason::WrongNode,
        ),
        (
            host(1),
            elsewhere(Path {
                ingress: Some(host(1)),
                ..good.path
            }),
            DropReason::WrongRole,
        ),
    ];
    for (from, message, reason) in cases {
        let before = bed.dropped(1, reason);
        bed.hand_flow(tracker(1), from, &message);
        bed.settle_silent();
        assert_eq!(bed.dropped(1, reason), before + 1, "{from} {message:?}");
    }
    assert_eq!(bed.stats(1).flows, 0);
}

#[test]
fn a_packet_of_another_protocol_or_service_is_dropped() {
    let mut bed = Bed::new(1, 4);
    let udp = bed.udp_flow(0);
    bed.open(&udp, Intent::Syn, 5);
    let tcp = bed.flow(0);
    bed.open(&tcp, Intent::Datagram, 0);
    bed.settle_silent();
    assert_eq!(bed.dropped(1, DropReason::FlowMismatch), 2);

    let unknown = ServiceNumber::new(77).unwrap();
    let key = FlowKey::new(udp.client(), 1, unknown, 80);
    bed.open(&key, Intent::Syn, 5);
    assert_eq!(bed.dropped(1, DropReason::UnknownService), 1);
}

#[test]
fn new_flows_are_turned_away_when_untrusted_records_have_no_room() {
    let mut bed = Bed::with(1, 4, |config| config.limits.max_untrusted = 2);
    let established = bed.flow(0);
    let owner = bed.establish(&established, 5, birth(1));
    for nth in [1, 2] {
        let key = bed.flow(nth);
        bed.open(&key, Intent::Syn, 5);
        assert_eq!(bed.settle_one().kind, FlowKind::Offer);
    }
    let third = bed.flow(3);
    bed.open(&third, Intent::Syn, 5);
    let refuse = bed.settle_one();
    assert_eq!(
        (refuse.kind, refuse.reason),
        (FlowKind::Refuse, Reason::Quota)
    );
    assert_eq!(bed.dropped(1, DropReason::OfferedQuota), 1);
    assert_eq!(bed.stats(1).refused_quota, 1);
    assert_eq!(bed.stats(1).flows, 3);

    // R3: the established flow stays, and is served.
    bed.open(&established, Intent::MidFlow, 9);
    assert_eq!(bed.settle_one().host(), owner);

    // Room comes back with time.
    bed.pass(Duration::from_millis(5_010));
    bed.open(&third, Intent::Syn, 5);
    assert_eq!(bed.settle_one().kind, FlowKind::Offer);
}

#[test]
fn s1_the_next_life_of_an_established_flow_has_room_whatever_others_take() {
    let mut bed = Bed::with(1, 4, |config| config.limits.max_untrusted = 1);
    let established = bed.flow(0);
    bed.establish(&established, 5, birth(1));
    let other = bed.flow(1);
    bed.open(&other, Intent::Syn, 5);
    bed.settle_one();

    // Nobody has said that the old life is over: the host accepts the next one.
    bed.open(&established, Intent::Syn, 900);
    let offer = bed.settle_one();
    bed.accept(&offer, birth(2));
    assert_eq!(bed.settle_one().kind, FlowKind::Accept);
    assert_eq!(bed.stats(1).untrusted, 2);
    assert_eq!(bed.dropped(1, DropReason::OfferedQuota), 0);

    // What is new is still turned away.
    let third = bed.flow(2);
    bed.open(&third, Intent::Syn, 5);
    assert_eq!(bed.settle_one().reason, Reason::Quota);
}

#[test]
fn new_flows_are_turned_away_when_the_table_is_full() {
    let mut bed = Bed::with(1, 4, |config| config.limits.max_flows = 2);
    for nth in [0, 1] {
        let key = bed.flow(nth);
        bed.establish(&key, 5, birth(1));
    }
    let key = bed.flow(2);
    bed.open(&key, Intent::Syn, 5);
    assert_eq!(bed.settle_one().reason, Reason::Quota);
    assert_eq!(bed.dropped(1, DropReason::TableFull), 1);
    assert_eq!(bed.stats(1).flows, 2);
}

#[test]
fn a_search_that_cannot_be_remembered_ends() {
    let mut bed = Bed::with(1, 4, |config| config.limits.max_searches = 1);
    for nth in [0, 1] {
        let key = bed.flow(nth);
        bed.open(&key, Intent::Syn, 5);
        let offer = bed.settle_one();
        bed.reject(&offer, Reason::Load);
        let next = bed.settle_one();
        if nth == 0 {
            assert_eq!(next.kind, FlowKind::Offer);
        } else {
            assert_eq!((next.kind, next.reason), (FlowKind::Refuse, Reason::Quota));
        }
    }
    assert_eq!(bed.dropped(1, DropReason::SearchFull), 1);
}

#[test]
fn messages_that_no_tracker_takes_are_dropped() {
    let mut bed = Bed::new(1, 4);
    let key = bed.flow(0);
    let packet = packet(&key, Intent::Syn, 5);
    let message = open(tracker(1), ingress(), &key, Intent::Syn, 5, &packet);
    let kinds = [
        FlowKind::Wait,
        FlowKind::NotActing,
        FlowKind::Data,
        FlowKind::WhoHas,
        FlowKind::Release,
    ];
    for kind in kinds {
        let message = Message::Flow(FlowMessage { kind, ..message });
        bed.hand(tracker(1), ingress(), &message);
    }
    assert_eq!(bed.dropped(1, DropReason::WrongRole), 5);
}
