use crate::config::Overload;
use crate::testbed::{Bed, TTL, host, ingress, tracker, web};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use jlb_protocol::message::{FlowKind, Intent, Path, Reason, ServiceLoad};
use jlb_protocol::{DropReason, NodeNumber, OfferNumber};

#[test]
fn a_refusal_names_the_attempt_and_the_trackers_that_decided() {
    let mut bed = Bed::new(2, 1);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let offer = bed.settle_one();
    bed.reject(&offer, Reason::Load);
    let refuse = bed.settle_one();
    assert_eq!(refuse.kind, FlowKind::Refuse);
    assert_eq!(refuse.key, key);
    assert_eq!(
        refuse.offer,
        OfferNumber {
            isn: 5,
            step: TTL - 1
        }
    );
    assert_eq!(refuse.intent, Intent::Syn);
    let path = Path {
        ingress: Some(ingress()),
        primary: Some(tracker(1)),
        secondary: Some(tracker(2)),
        host: None,
    };
    assert_eq!(refuse.path, path);
    assert!(refuse.packet.is_empty());
}

#[test]
fn a_refusal_needs_room_for_its_record_or_is_told_without() {
    let mut bed = Bed::with(1, 0, |config| config.limits.max_untrusted = 1);
    for nth in 0..2 {
        let key = bed.flow(nth);
        for _ in 0..2 {
            bed.open(&key, Intent::Syn, 5);
            let expected = [Reason::NoHost, Reason::Quota][nth];
            assert_eq!(bed.settle_one().reason, expected);
        }
    }
    let stats = bed.stats(1);
    assert_eq!(stats.flows, 1);
    assert_eq!((stats.refused_no_host, stats.refused_quota), (1, 2));
    assert_eq!(bed.dropped(1, DropReason::OfferedQuota), 2);
}

fn with(overload: Overload, steps: u8, hosts: u16) -> Bed {
    Bed::with(2, hosts, |config| {
        for service in &mut config.services {
            service.overload = overload;
            service.overload_steps = steps;
            if overload == Overload::Pool {
                for pool_host in &mut service.hosts {
                    pool_host.overflow = pool_host.node.get() > host(2).get();
                }
            }
        }
    })
}

fn report(bed: &mut Bed, number: u16, load: u16) {
    let load = ServiceLoad {
        service: web(),
        connections: 10,
        room: 0,
        load,
        healthy: true,
    };
    bed.load_from(tracker(1), host(number), load);
}

/// Opens a flow that each host rejects; gives whom it was offered with which step, and its end.
fn searched(bed: &mut Bed) -> (Vec<(NodeNumber, u8)>, FlowKind) {
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let mut asked = Vec::new();
    loop {
        let sent = bed.settle_one();
        if sent.kind != FlowKind::Offer {
            return (asked, sent.kind);
        }
        asked.push((sent.to, sent.offer.step));
        bed.reject(&sent, Reason::Load);
    }
}

fn distinct(asked: &[(NodeNumber, u8)]) -> BTreeSet<NodeNumber> {
    asked.iter().map(|&(host, _)| host).collect()
}

#[test]
fn r6_the_last_host_that_must_accept_is_the_least_loaded_and_asked_with_the_step_0() {
    // More hosts than steps, as many, and fewer.
    for hosts in [6, TTL.into(), 2, 1] {
        let mut bed = with(Overload::MustAccept, 0, hosts);
        for number in 1..=hosts {
            report(&mut bed, number, 1_000 - 10 * number);
        }
        let (asked, end) = searched(&mut bed);
        assert_eq!(end, FlowKind::Refuse, "a table may be full all the same");
        assert_eq!(asked.len(), usize::from(hosts.min(TTL.into())));
        assert_eq!(distinct(&asked).len(), asked.len(), "none is asked twice");
        let (last, step) = asked[asked.len() - 1];
        assert_eq!(step, 0);
        let before = distinct(&asked[..asked.len() - 1]);
        let others = (1..=hosts).rev().map(host);
        let least = others.into_iter().find(|host| !before.contains(host));
        assert_eq!(Some(last), least);
    }
}

#[test]
fn r6_overflow_hosts_are_asked_when_the_others_said_no_or_the_search_is_over() {
    // One of the pool, then two of the overflow.
    let mut bed = with(Overload::Pool, 2, 5);
    let (asked, end) = searched(&mut bed);
    assert_eq!(end, FlowKind::Refuse);
    assert_eq!(asked.len(), usize::from(TTL));
    assert_eq!(distinct(&asked).len(), asked.len());
    let is_overflow: Vec<_> = asked.iter().map(|(it, _)| *it > host(2)).collect();
    assert_eq!(is_overflow, [false, true, true]);
    // A pool that is smaller than the search goes over at once.
    let mut bed = with(Overload::Pool, 1, 3);
    let (asked, _) = searched(&mut bed);
    let is_overflow: Vec<_> = asked.iter().map(|(it, _)| *it > host(2)).collect();
    assert_eq!(is_overflow, [false, false, true]);
}

#[test]
fn r6_a_pool_that_is_larger_than_the_search_keeps_steps_for_the_overflow() {
    let mut bed = Bed::with(2, 6, |config| {
        for service in &mut config.services {
            service.overload = Overload::Pool;
            service.overload_steps = 1;
            for pool_host in &mut service.hosts {
                pool_host.overflow = pool_host.node == host(6);
            }
        }
    });
    let (asked, _) = searched(&mut bed);
    assert_eq!(asked.len(), usize::from(TTL));
    let last = asked[asked.len() - 1];
    assert_eq!(last, (host(6), 0));
    assert!(
        asked[..asked.len() - 1]
            .iter()
            .all(|(it, _)| *it != host(6))
    );
}
