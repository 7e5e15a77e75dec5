use crate::testbed::{
    Bed, FlowSent, TTL, birth, host, ingress, not_mine, other_ingress, packet, statement, tracker,
    view_with,
};
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::message::{FlowKind, FlowState, Intent, Reason};
use jlb_protocol::{DropReason, FlowKey, MemberState, NodeNumber, OfferNumber};

/// A mid-flow packet that no tracker has a record for; gives whom the tracker asked.
fn ask(bed: &mut Bed, key: &FlowKey, seq: u32) -> Vec<FlowSent> {
    bed.open(key, Intent::MidFlow, seq);
    let asked = bed.settle();
    assert!(asked.iter().all(|sent| sent.kind == FlowKind::WhoHas));
    asked
}

fn to(asked: &[FlowSent]) -> Vec<NodeNumber> {
    asked.iter().map(|sent| sent.to).collect()
}

#[test]
fn every_live_host_of_the_pool_is_asked_while_the_packet_is_held() {
    let mut bed = Bed::new(2, 4);
    let now = bed.now;
    let view = view_with(&bed.view, host(2), MemberState::Down);
    let view = view_with(&view, host(3), MemberState::Draining);
    let it = bed.trackers.get_mut(&tracker(1)).unwrap();
    it.handle_view(now, view);
    let key = bed.flow(0);
    let asked = ask(&mut bed, &key, 777);
    assert_eq!(to(&asked), [host(1), host(3), host(4)]);
    assert_eq!(asked[0].key, key);
    assert_eq!(asked[0].offer.isn, 777);
    let stats = bed.stats(1);
    assert_eq!((stats.who_has, stats.who_has_asked), (1, 1));
    assert_eq!((stats.ledger.held, stats.ledger.consumed), (1, 0));
    assert_eq!(stats.flows, 0);
}

#[test]
fn the_owner_gets_the_packet_through_the_secondary() {
    for state in [
        FlowState::Accepted,
        FlowState::Established,
        FlowState::Closing,
    ] {
        let mut bed = Bed::new(2, 4);
        let key = bed.flow(0);
        ask(&mut bed, &key, 777);
        bed.state_from(tracker(1), host(1), 0, &[not_mine(&key)]);
        bed.settle_silent();
        let it = statement(&key, birth(1), 5, state);
        bed.state_from(tracker(1), host(3), 0, &[it]);
        let offer = bed.settle_one();
        assert_eq!((offer.kind, offer.to), (FlowKind::Offer, host(3)));
        assert_eq!((offer.from, offer.intent), (tracker(2), Intent::MidFlow));
        assert_eq!(
            offer.offer,
            OfferNumber {
                isn: 777,
                step: TTL - 1
            }
        );
        assert_eq!(offer.packet, packet(&key, Intent::MidFlow, 777));
        assert_eq!(bed.stats(1).ledger.held, 0);
        assert_eq!(bed.stats(1).who_has_found, 1);
        bed.accept(&offer, birth(1));
        let accept = bed.settle_one();
        assert_eq!((accept.to, accept.kind), (ingress(), FlowKind::Accept));
        for number in [1, 2] {
            assert_eq!(bed.state(number, &key).unwrap().host(), Some(host(3)));
        }
        // Late answers of the others change nothing.
        bed.state_from(tracker(1), host(2), 0, &[not_mine(&key)]);
        bed.settle_silent();
    }
}

#[test]
fn the_owners_numbered_state_is_an_answer_too() {
    let mut bed = Bed::new(1, 4);
    let key = bed.flow(0);
    ask(&mut bed, &key, 777);
    let it = statement(&key, birth(1), 5, FlowState::Established);
    bed.state_from(tracker(1), host(3), 1, &[it]);
    assert_eq!(bed.settle_one().to, host(3));
}

#[test]
fn the_client_is_reset_only_after_every_live_host_said_no() {
    let mut bed = Bed::new(2, 3);
    let key = bed.flow(0);
    ask(&mut bed, &key, 777);
    for number in [1, 2, 1, 2] {
        bed.state_from(tracker(1), host(number), 0, &[not_mine(&key)]);
        bed.settle_silent();
    }
    bed.state_from(tracker(1), host(3), 0, &[not_mine(&key)]);
    let refuse = bed.settle_one();
    assert_eq!((refuse.kind, refuse.to), (FlowKind::Refuse, ingress()));
    assert_eq!((refuse.reason, refuse.offer.isn), (Reason::Unknown, 777));
    assert_eq!(refuse.intent, Intent::MidFlow);
    let stats = bed.stats(1);
    assert_eq!((stats.refused_unknown, stats.who_has), (1, 0));
    assert_eq!(stats.statements_stale, 2);
    assert_eq!(stats.flows, 0);
}

#[test]
fn a_packet_whose_hosts_do_not_all_answer_is_dropped() {
    let mut bed = Bed::new(1, 3);
    let key = bed.flow(0);
    ask(&mut bed, &key, 777);
    for number in [1, 2] {
        bed.state_from(tracker(1), host(number), 0, &[not_mine(&key)]);
    }
    bed.pass(Duration::from_millis(499));
    assert_eq!(bed.stats(1).who_has, 1);
    bed.pass(Duration::from_millis(2));
    bed.settle_silent();
    assert_eq!(bed.dropped(1, DropReason::UnknownFlow), 1);
    assert_eq!(bed.stats(1).who_has_unanswered, 1);
    assert_eq!(bed.stats(1).who_has, 0);
}

#[test]
fn a_repeated_open_asks_again_who_has_not_answered() {
    let mut bed = Bed::new(1, 3);
    let key = bed.flow(0);
    ask(&mut bed, &key, 777);
    bed.state_from(tracker(1), host(2), 0, &[not_mine(&key)]);
    let again = ask(&mut bed, &key, 777);
    assert_eq!(to(&again), [host(1), host(3)]);
    assert_eq!(bed.dropped(1, DropReason::Repeat), 1);
    // The question's end is not put off by it.
    bed.pass(Duration::from_millis(501));
    assert_eq!(bed.stats(1).who_has, 0);
}

#[test]
fn a_later_packet_takes_the_place_of_the_one_that_is_held() {
    let mut bed = Bed::new(1, 3);
    let key = bed.flow(0);
    ask(&mut bed, &key, 777);
    bed.open_as(tracker(1), other_ingress(), &key, Intent::MidFlow, 778);
    let again = bed.settle();
    assert!(again.iter().all(|sent| sent.offer.isn == 777));
    assert_eq!(bed.dropped(1, DropReason::Superseded), 1);
    assert_eq!(bed.stats(1).ledger.held, 1);
    let it = statement(&key, birth(1), 5, FlowState::Established);
    bed.state_from(tracker(1), host(3), 0, &[it]);
    let offer = bed.settle_one();
    assert_eq!(offer.offer.isn, 778);
    assert_eq!(offer.path.ingress, Some(other_ingress()));
    assert_eq!(offer.packet, packet(&key, Intent::MidFlow, 778));
}

#[test]
fn an_answer_to_an_earlier_question_does_not_count() {
    let mut bed = Bed::new(1, 1);
    let key = bed.flow(0);
    ask(&mut bed, &key, 777);
    let mut earlier = not_mine(&key);
    earlier.isn = 500;
    bed.state_from(tracker(1), host(1), 0, &[earlier]);
    bed.settle_silent();
    assert_eq!(bed.stats(1).statements_stale, 1);
    earlier.isn = 777;
    bed.state_from(tracker(1), host(1), 0, &[earlier]);
    assert_eq!(bed.settle_one().reason, Reason::Unknown);
}

#[test]
fn no_more_packets_are_held_than_may_be() {
    let mut bed = Bed::with(1, 3, |config| config.limits.max_who_has = 2);
    for nth in 0..4 {
        let key = bed.flow(nth);
        bed.open(&key, Intent::MidFlow, 777);
    }
    assert_eq!(bed.stats(1).who_has, 2);
    assert_eq!(bed.dropped(1, DropReason::WhoHasFull), 2);
}

#[test]
fn without_live_hosts_nobody_can_say_no() {
    let mut bed = Bed::new(1, 0);
    let key = bed.flow(0);
    bed.open(&key, Intent::MidFlow, 777);
    bed.settle_silent();
    assert_eq!(bed.dropped(1, DropReason::NoHost), 1);
}

#[test]
fn hosts_that_disown_what_they_stated_spend_the_steps() {
    let mut bed = Bed::new(2, 2);
    let key = bed.flow(0);
    ask(&mut bed, &key, 777);
    for step in (0..TTL).rev() {
        let it = statement(
            &key,
            birth(u32::from(TTL - step)),
            5,
            FlowState::Established,
        );
        bed.state_from(tracker(1), host(1), 0, &[it]);
        let offer = bed.settle_one();
        assert_eq!(offer.offer.step, step);
        bed.reject(&offer, Reason::NotOwner);
        let asked = bed.settle();
        assert_eq!(asked.is_empty(), step == 0);
    }
    assert_eq!(bed.dropped(1, DropReason::UnknownFlow), 1);
    assert_eq!(bed.stats(1).who_has, 0);
}

#[test]
fn a_syn_does_not_wait_for_the_owner_of_an_older_life() {
    let mut bed = Bed::new(1, 2);
    let key = bed.flow(0);
    ask(&mut bed, &key, 777);
    bed.open(&key, Intent::Syn, 5);
    let offer = bed.settle_one();
    bed.accept(&offer, birth(1));
    // The new host gets the packet that waited; what it belongs to is for its stack to tell.
    let sent = bed.settle();
    let kinds: Vec<_> = sent.iter().map(|sent| (sent.kind, sent.to)).collect();
    let expected = [
        (FlowKind::Accept, ingress()),
        (FlowKind::Offer, offer.host()),
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn questions_have_a_rate() {
    let mut bed = Bed::new(2, 2);
    // All hosts say no at once, so that the table is never full.
    let ask = |bed: &mut Bed, nth: usize| {
        let key = bed.flow(nth);
        bed.open(&key, Intent::MidFlow, 50);
        let asked = bed.settle();
        for it in &asked {
            bed.state_from(tracker(1), it.to, 0, &[not_mine(&key)]);
        }
        bed.settle();
        asked.len()
    };
    // Ten in half a second, as the testbed has it.
    for nth in 0..10 {
        assert_eq!(ask(&mut bed, nth), 2);
    }
    assert_eq!(ask(&mut bed, 10), 0);
    assert_eq!(bed.dropped(1, DropReason::WhoHasFull), 1);
    bed.pass(Duration::from_millis(50));
    assert_eq!(ask(&mut bed, 10), 2);
    assert_eq!(ask(&mut bed, 11), 0);
    bed.pass(Duration::from_secs(60));
    let asked: usize = (20..40).map(|nth| ask(&mut bed, nth)).sum();
    assert_eq!(asked, 20);

    // So has asking again for one flow.
    let mut bed = Bed::new(2, 2);
    let key = bed.flow(0);
    for seq in 0..30 {
        bed.open(&key, Intent::MidFlow, 50 + seq);
    }
    assert_eq!(bed.settle().len(), 20);
    assert_eq!(bed.dropped(1, DropReason::WhoHasFull), 20);
}

#[test]
fn the_owner_of_another_life_ends_no_question_while_a_host_is_asked_for_a_syn() {
    let mut bed = Bed::new(1, 2);
    let [asked, opened] = [0, 1].map(|nth| bed.flow(nth));
    ask(&mut bed, &asked, 777);
    bed.open(&opened, Intent::Syn, 5);
    let offer = bed.settle_one();
    // A late answer to a mid-flow packet of the life before.
    let mut late = offer.clone();
    late.intent = Intent::MidFlow;
    late.path.host = [host(1), host(2)]
        .into_iter()
        .find(|&it| it != offer.host());
    bed.accept(&late, birth(1));
    assert_eq!(bed.settle_one().kind, FlowKind::Accept);
    assert_eq!(bed.state(1, &opened).unwrap().host(), Some(offer.host()));
    let stats = bed.stats(1);
    assert_eq!((stats.who_has, stats.who_has_found), (1, 0));
}
