use crate::config::Overload;
use crate::record::State;
use crate::testbed::{Bed, FlowSent, birth, host, ingress, other_ingress, tracker, view_with, web};
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::message::{FlowKind, Intent, Reason, ServiceLoad};
use jlb_protocol::{DropReason, FlowKey, MemberState, Time};

const LONGEST: Duration = Duration::from_millis(800);

/// Trackers whose services have flows wait, and all of whose hosts report that they are full.
fn full(trackers: u16, hosts: u16) -> Bed {
    let mut bed = Bed::with(trackers, hosts, |config| {
        for service in &mut config.services {
            service.overload = Overload::Queue(LONGEST);
            service.overload_steps = 2;
        }
    });
    for number in 1..=hosts {
        report(&mut bed, number, 0);
    }
    bed
}

/// A report that gives the first of two trackers the first turn.
fn report(bed: &mut Bed, number: u16, room: u32) {
    let load = ServiceLoad {
        service: web(),
        connections: 10 + u32::from(host(number).get() % 2),
        room,
        load: 9,
        healthy: true,
    };
    bed.load_from(tracker(1), host(number), load);
}

/// Opens a flow that is to wait.
fn wait(bed: &mut Bed, key: &FlowKey, isn: u32) {
    bed.open(key, Intent::Syn, isn);
    let told = bed.settle_one();
    assert_eq!(
        (told.kind, told.to, told.reason),
        (FlowKind::Wait, ingress(), Reason::Queued)
    );
}

/// Lets every host that is asked reject; gives how the searches end.
fn denied(bed: &mut Bed) -> Vec<FlowSent> {
    let mut ends = Vec::new();
    loop {
        let sent = bed.settle();
        if sent.is_empty() {
            return ends;
        }
        for sent in sent {
            if sent.kind == FlowKind::Offer {
                bed.reject(&sent, Reason::Load);
            } else {
                ends.push(sent);
            }
        }
    }
}

/// The same of one search.
fn denied_one(bed: &mut Bed) -> FlowSent {
    let ends = denied(bed);
    assert_eq!(ends.len(), 1, "{ends:?}");
    ends.into_iter().next().unwrap()
}

fn offers(sent: &[FlowSent]) -> Vec<FlowKey> {
    assert!(sent.iter().all(|sent| sent.kind == FlowKind::Offer));
    sent.iter().map(|sent| sent.key).collect()
}

#[test]
fn a_flow_waits_until_a_host_reports_room_and_has_asked_nobody_before() {
    let mut bed = full(2, 3);
    let key = bed.flow(0);
    wait(&mut bed, &key, 5);
    let stats = bed.stats(1);
    assert_eq!((stats.waiting, stats.queued, stats.offers), (1, 1, 0));
    assert_eq!((stats.ledger.held, stats.untrusted), (1, 1));
    // Its client's repeats are answered, and begin nothing.
    bed.open_as(tracker(1), other_ingress(), &key, Intent::Syn, 5);
    let again = bed.settle_one();
    assert_eq!((again.kind, again.to), (FlowKind::Wait, other_ingress()));

    report(&mut bed, 2, 3);
    let offer = bed.settle_one();
    assert_eq!((offer.kind, offer.to), (FlowKind::Offer, host(2)));
    assert_eq!((offer.offer.isn, offer.from), (5, tracker(2)));
    assert!(!offer.packet.is_empty());
    bed.accept(&offer, birth(1));
    let accept = bed.settle_one();
    assert_eq!(
        (accept.kind, accept.to),
        (FlowKind::Accept, other_ingress())
    );
    let stats = bed.stats(1);
    assert_eq!((stats.waiting, stats.released), (0, 1));
    // What is left of its place goes with its time.
    bed.pass(LONGEST + Duration::from_millis(2));
    bed.settle_silent();
    assert_eq!(bed.trackers[&tracker(1)].surge.table.len(), 0);
}

#[test]
fn first_come_first_served_even_before_those_that_come_when_there_is_room() {
    let mut bed = full(1, 2);
    let keys: Vec<_> = (0..5).map(|nth| bed.flow(nth)).collect();
    for key in &keys[..4] {
        wait(&mut bed, key, 5);
    }
    report(&mut bed, 1, 1);
    assert_eq!(offers(&bed.settle()), keys[..1]);
    report(&mut bed, 2, 2);
    assert_eq!(offers(&bed.settle()), keys[1..3]);
    // One waits, and nobody has room as far as is known.
    wait(&mut bed, &keys[4], 5);
    report(&mut bed, 1, 9);
    assert_eq!(offers(&bed.settle()), keys[3..5]);
    assert_eq!(bed.stats(1).waiting, 0);
    // Where nobody waits, hosts with room are asked at once.
    let another = bed.flow(5);
    bed.open(&another, Intent::Syn, 5);
    assert_eq!(offers(&bed.settle()), [another]);
}

/// How many flows that wait a pool would offer to the host now.
fn takes(bed: &mut Bed, number: u16) -> usize {
    let flow = crate::testbed::HASH_KEY.flow_hash(&bed.flow(0));
    let it = bed.trackers.get_mut(&tracker(number)).unwrap();
    let pool = it.pools.get_mut(web()).unwrap();
    let mut count = 0;
    while let Some(host) = pool.for_waiting(Time::ZERO, |_| true, flow) {
        pool.assigned(host);
        count += 1;
    }
    count
}

#[test]
fn trackers_share_the_room_of_a_host_by_its_report_alone() {
    let mut bed = full(3, 1);
    for (connections, room) in [(11, 1), (12, 2), (13, 4), (14, 7)] {
        let load = ServiceLoad {
            service: web(),
            connections,
            room,
            load: 9,
            healthy: true,
        };
        let mut distances = Vec::new();
        for number in 1..=3 {
            let it = bed.trackers.get_mut(&tracker(number)).unwrap();
            let pool = it.pools.get_mut(web()).unwrap();
            assert!(pool.report(Time::ZERO, host(1), &load));
            distances.push(pool.share(host(1), (u32::from(number) - 1, 3)));
        }
        distances.sort_unstable();
        assert_eq!(distances, [0, 1, 2]);
        let taken: Vec<_> = (1..=3).map(|number| takes(&mut bed, number)).collect();
        let all: usize = taken.iter().sum();
        assert_eq!(all, usize::try_from(room).unwrap(), "{taken:?}");
        let spread = taken.iter().max().unwrap() - taken.iter().min().unwrap();
        assert!(spread <= 1, "{taken:?}");
    }
}

#[test]
fn what_the_others_leave_is_taken_after_their_turns() {
    let mut bed = full(3, 1);
    let key = bed.flow(0);
    wait(&mut bed, &key, 5);
    // One of three reports gives this tracker the first turn.
    let mut waited = 0;
    loop {
        let load = ServiceLoad {
            service: web(),
            connections: 10 + waited,
            room: 1,
            load: 9,
            healthy: true,
        };
        let mut copy = full(3, 1);
        wait(&mut copy, &key, 5);
        copy.load_from(tracker(1), host(1), load);
        if copy.settle().is_empty() {
            bed.load_from(tracker(1), host(1), load);
            break;
        }
        waited += 1;
        assert!(waited < 3, "always the first");
    }
    bed.settle_silent();
    bed.pass(Duration::from_millis(100));
    let offer = bed.settle_one();
    assert_eq!((offer.kind, offer.key), (FlowKind::Offer, key));
}

#[test]
fn a_flow_whose_owner_is_gone_is_offered_at_once_or_refused() {
    let mut bed = full(2, 2);
    let other = bed.flow(1);
    wait(&mut bed, &other, 5);
    report(&mut bed, 1, 1);
    let offer = bed.settle_one();
    bed.accept(&offer, birth(1));
    bed.settle_one();
    report(&mut bed, 1, 0);
    let key = bed.flow(0);
    wait(&mut bed, &key, 5);
    // Its host goes down, and the client begins anew: the record can't say that this waits.
    let gone = offer.host();
    for number in [1, 2] {
        bed.set_state(number, gone, MemberState::Down);
    }
    bed.open(&other, Intent::Syn, 9);
    let again = bed.settle_one();
    assert_eq!((again.kind, again.key), (FlowKind::Offer, other));
    assert_ne!(again.host(), gone);
    bed.reject(&again, Reason::Load);
    let ends = bed.settle();
    assert!(ends.iter().any(|it| it.key == other), "{ends:?}");
}

#[test]
fn a_tracker_that_drains_says_nothing_when_a_wait_ends() {
    let mut bed = full(2, 1);
    let key = bed.flow(0);
    wait(&mut bed, &key, 5);
    let view = view_with(&bed.view, tracker(1), MemberState::Draining);
    bed.set_view(1, view);
    bed.pass(LONGEST + Duration::from_millis(3));
    bed.settle_silent();
    assert_eq!(bed.state(1, &key), None);
    assert_eq!(bed.dropped(1, DropReason::Superseded), 1);
}

#[test]
fn nothing_is_left_of_the_place_of_a_flow_that_has_a_host() {
    let mut bed = full(2, 1);
    let key = bed.flow(0);
    wait(&mut bed, &key, 5);
    report(&mut bed, 1, 3);
    let offer = bed.settle_one();
    assert_eq!(bed.trackers[&tracker(1)].surge.table.len(), 1);
    bed.accept(&offer, birth(1));
    bed.settle_one();
    assert_eq!(bed.trackers[&tracker(1)].surge.table.len(), 0);
}

#[test]
fn a_wait_goes_to_the_ingress_that_asked_last() {
    let mut bed = full(2, 1);
    let key = bed.flow(0);
    wait(&mut bed, &key, 5);
    bed.open_as(tracker(1), other_ingress(), &key, Intent::Syn, 5);
    bed.settle_one();
    report(&mut bed, 1, 3);
    assert_eq!(bed.settle_one().path.ingress, Some(other_ingress()));
}

#[test]
fn a_flow_that_was_faster_elsewhere_goes_back_to_its_place_and_keeps_its_time() {
    for trackers in [1, 2] {
        let mut bed = full(trackers, 1);
        let keys = [0, 1].map(|nth| bed.flow(nth));
        wait(&mut bed, &keys[0], 5);
        bed.pass(Duration::from_millis(10));
        wait(&mut bed, &keys[1], 5);
        report(&mut bed, 1, 1);
        let first = bed.settle_one();
        assert_eq!(first.key, keys[0]);
        bed.reject(&first, Reason::Load);
        assert_eq!(bed.settle_one().kind, FlowKind::Wait);
        // The same host is asked again, with a lower number, and before the other flow.
        report(&mut bed, 1, 1);
        let again = bed.settle_one();
        assert_eq!((again.kind, again.key), (FlowKind::Offer, keys[0]));
        assert!(again.offer.step < first.offer.step);
        assert!(again.tried.contains(host(1)));
        bed.reject(&again, Reason::Load);
        assert_eq!(bed.settle_one().kind, FlowKind::Wait);
        assert_eq!(bed.stats(1).offers_rejected_in_place, 0);
        // 10 ms later than the other, for it came 10 ms before.
        bed.pass(LONGEST - Duration::from_millis(9));
        let refuse = denied_one(&mut bed);
        assert_eq!((refuse.kind, refuse.key), (FlowKind::Refuse, keys[0]));
        bed.pass(Duration::from_millis(12));
        assert_eq!(denied_one(&mut bed).key, keys[1]);
    }
}

#[test]
fn the_offers_of_a_flow_that_waits_are_bounded() {
    let mut bed = full(2, 1);
    let key = bed.flow(0);
    wait(&mut bed, &key, 5);
    let mut steps = Vec::new();
    for _ in 0..20 {
        report(&mut bed, 1, 1);
        let sent = bed.settle();
        let Some(offer) = sent.iter().find(|it| it.kind == FlowKind::Offer) else {
            break;
        };
        steps.push(offer.offer.step);
        bed.reject(offer, Reason::Load);
        let end = bed.settle_one();
        if end.kind == FlowKind::Refuse {
            break;
        }
    }
    assert_eq!(steps, [2, 1, 0]);
    let stats = bed.stats(1);
    assert_eq!((stats.waiting, stats.refused_exhausted), (0, 1));
}

#[test]
fn who_waits_too_long_is_refused_and_so_are_its_repeats() {
    let mut bed = full(2, 2);
    let key = bed.flow(0);
    wait(&mut bed, &key, 5);
    bed.pass(LONGEST - Duration::from_millis(1));
    bed.settle_silent();
    bed.pass(Duration::from_millis(3));
    let refuse = denied_one(&mut bed);
    assert_eq!(
        (refuse.kind, refuse.reason),
        (FlowKind::Refuse, Reason::Exhausted)
    );
    // Both were asked, for they might have had room.
    assert_eq!(bed.stats(1).rejects, 2);
    bed.open(&key, Intent::Syn, 5);
    assert_eq!(bed.settle_one().kind, FlowKind::Refuse);
    let stats = bed.stats(1);
    assert_eq!((stats.queue_expired, stats.waiting), (1, 0));
    assert_eq!((stats.ledger.held, stats.refused_exhausted), (0, 1));
    report(&mut bed, 1, 5);
    bed.settle_silent();
}

#[test]
fn s3_who_has_waited_is_taken_by_a_host_that_was_only_believed_full() {
    let mut bed = full(2, 2);
    let key = bed.flow(0);
    wait(&mut bed, &key, 5);
    bed.pass(LONGEST + Duration::from_millis(2));
    let offer = bed.settle_one();
    assert_eq!((offer.kind, offer.key), (FlowKind::Offer, key));
    bed.accept(&offer, birth(1));
    assert_eq!(bed.settle_one().kind, FlowKind::Accept);
    let stats = bed.stats(1);
    assert_eq!((stats.queue_expired, stats.waiting), (0, 0));
}

#[test]
fn r14_the_queue_is_bounded_in_flows_and_bytes() {
    let mut bed = full(1, 1);
    let size = {
        let key = bed.flow(0);
        crate::testbed::packet(&key, Intent::Syn, 5).len()
    };
    for nth in 0..10 {
        let key = bed.flow(nth);
        wait(&mut bed, &key, 5);
    }
    let key = bed.flow(10);
    bed.open(&key, Intent::Syn, 5);
    assert_eq!(bed.settle_one().kind, FlowKind::Refuse);
    let stats = bed.stats(1);
    assert_eq!((stats.waiting, stats.queue_full), (10, 1));

    let mut bed = Bed::with(1, 1, |config| {
        config.limits.max_queued_bytes = 2 * size;
        for service in &mut config.services {
            service.overload = Overload::Queue(LONGEST);
            service.overload_steps = 2;
        }
    });
    report(&mut bed, 1, 0);
    for nth in 0..2 {
        let key = bed.flow(nth);
        wait(&mut bed, &key, 5);
    }
    let key = bed.flow(2);
    bed.open(&key, Intent::Syn, 5);
    assert_eq!(bed.settle_one().kind, FlowKind::Refuse);
    // One goes, and there is room for one.
    report(&mut bed, 1, 1);
    bed.settle_one();
    let key = bed.flow(3);
    wait(&mut bed, &key, 5);
}

#[test]
fn a_later_attempt_of_the_client_takes_the_place_of_one_that_waits() {
    let mut bed = full(2, 1);
    let key = bed.flow(0);
    wait(&mut bed, &key, 5);
    wait(&mut bed, &key, 77);
    let stats = bed.stats(1);
    assert_eq!((stats.waiting, stats.ledger.held), (1, 1));
    assert_eq!(bed.dropped(1, DropReason::Superseded), 1);
    report(&mut bed, 1, 5);
    assert_eq!(bed.settle_one().offer.isn, 77);
}

#[test]
fn a_flow_whose_record_is_gone_is_offered_to_nobody() {
    let mut bed = full(1, 1);
    let key = bed.flow(0);
    wait(&mut bed, &key, 5);
    let it = bed.trackers.get_mut(&tracker(1)).unwrap();
    let (handle, record) = it.records.find(&key).unwrap();
    assert!(matches!(record.state, State::Refused { .. }));
    it.records.remove(handle);
    report(&mut bed, 1, 5);
    bed.settle_silent();
    assert_eq!(bed.dropped(1, DropReason::Superseded), 1);
    assert_eq!(bed.stats(1).waiting, 0);
}

#[test]
fn a_tracker_that_is_no_longer_primary_leaves_it_to_the_one_that_is() {
    let mut bed = full(2, 1);
    let key = bed.flow(0);
    wait(&mut bed, &key, 5);
    let view = view_with(&bed.view, tracker(1), MemberState::Draining);
    bed.set_view(1, view);
    report(&mut bed, 1, 5);
    assert!(bed.settle().iter().all(|it| it.kind != FlowKind::Offer));
    assert_eq!(bed.stats(1).waiting, 0);
}

#[test]
fn without_a_host_nobody_waits_and_one_that_is_ill_is_not_waited_for() {
    let mut bed = full(1, 0);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let refuse = bed.settle_one();
    assert_eq!(
        (refuse.kind, refuse.reason),
        (FlowKind::Refuse, Reason::NoHost)
    );
}

#[test]
fn a_queue_that_its_configuration_ends_is_still_served() {
    let mut bed = full(1, 1);
    let key = bed.flow(0);
    wait(&mut bed, &key, 5);
    let now = bed.now;
    let config = crate::testbed::config(tracker(1), 1);
    let it = bed.trackers.get_mut(&tracker(1)).unwrap();
    it.handle_config(now, config);
    report(&mut bed, 1, 5);
    assert_eq!(bed.settle_one().kind, FlowKind::Offer);
}
