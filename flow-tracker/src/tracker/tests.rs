use crate::FlowTracker;
use crate::config::{Config, PolicyKind};
use crate::testbed::{
    Bed, birth, config, host, ingress, open, packet, statement, tracker, view, view_with, web,
};
use alloc::vec::Vec;
use core::net::Ipv6Addr;
use core::time::Duration;
use jlb_protocol::message::{Control, FlowKind, FlowState, Intent, List, Reason};
use jlb_protocol::{FlowKey, MemberState, Message, Time};

fn big(max_flows: u32) -> Config {
    let mut config = config(tracker(1), 4);
    config.limits.max_flows = max_flows;
    config.limits.max_searches = 65_536;
    config
}

#[test]
fn a_million_ipv6_flows_take_no_more_than_68_bytes_each() {
    let flows = 1_000_000_u32;
    let mut it = FlowTracker::new(big(flows), view(2, 4), 1, Time::ZERO);
    let mut batch = Vec::new();
    for number in 0..flows {
        let client = Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(number));
        let key = FlowKey::new(client.into(), 1024, web(), 443);
        batch.push(statement(
            &key,
            birth(number + 1),
            5,
            FlowState::Established,
        ));
        if batch.len() == 30 || number + 1 == flows {
            let flows = List::Values(&batch);
            let state = Control::State {
                sequence: 0,
                filled: None,
                listed: None,
                flows,
            };
            it.handle_message(Time::ZERO, host(1), &Message::Control(state));
            batch.clear();
        }
    }
    let stats = it.stats();
    assert_eq!(stats.flows, u64::from(flows));
    let per_flow = stats.table_bytes / u64::from(flows);
    // 36 for key and timer, 24 for the record with the id of the attempt before, 6 for the index.
    assert!(per_flow <= 68, "{per_flow} bytes");
    assert_eq!(stats.ledger.imbalance(), 0);
}

#[test]
fn a_host_that_comes_back_into_service_starts_slowly() {
    let mut config = config(tracker(1), 2);
    for service in &mut config.services {
        service.slow_start = Some(Duration::from_secs(10));
    }
    let all = view(2, 2);
    let mut it = FlowTracker::new(config, all.clone(), 1, Time::ZERO);
    let warmth = |it: &FlowTracker, now| {
        let loads = it.host_loads(now).filter(|load| load.service == web());
        loads.map(|load| load.warmth).collect::<Vec<_>>()
    };
    let at = Time::from_millis;
    assert_eq!(warmth(&it, at(0)), [256, 256]);
    it.handle_view(at(1_000), view_with(&all, host(2), MemberState::Down));
    it.handle_view(at(2_000), all.clone());
    assert_eq!(warmth(&it, at(2_000)), [256, 25]);
    // A view that says it again begins nothing anew.
    it.handle_view(at(7_000), all.clone());
    assert_eq!(warmth(&it, at(7_000)), [256, 140]);
    assert_eq!(warmth(&it, at(12_000)), [256, 256]);
    // One that drained, and stays after all.
    it.handle_view(at(20_000), view_with(&all, host(1), MemberState::Draining));
    it.handle_view(at(21_000), all);
    assert_eq!(warmth(&it, at(21_000)), [25, 256]);
}

#[test]
fn timers_are_polled_and_end_everything() {
    let mut bed = Bed::new(1, 3);
    let (offered, owned, asked) = (bed.flow(0), bed.flow(1), bed.flow(2));
    bed.open(&offered, Intent::Syn, 5);
    let offer = bed.settle_one();
    bed.reject(&offer, Reason::Load);
    bed.settle();
    bed.establish(&owned, 5, birth(1));
    bed.open(&asked, Intent::MidFlow, 5);
    let mut wakes = 0;
    while let Some(at) = bed.trackers[&tracker(1)].poll_timeout() {
        assert!(
            at > bed.now,
            "a deadline that has passed is not polled again"
        );
        bed.now = at;
        bed.pass(Duration::ZERO);
        wakes += 1;
        assert!(wakes < 100);
    }
    let stats = bed.stats(1);
    let left = (stats.flows, stats.untrusted, stats.searches, stats.who_has);
    assert_eq!(left, (0, 0, 0, 0));
    // The lease was the last.
    assert!(bed.now >= Time::from_millis(61_000));
    assert!(bed.now < Time::from_millis(61_020));
}

#[test]
fn many_deadlines_at_once_are_met_in_portions() {
    let mut it = FlowTracker::new(big(10_000), view(1, 4), 1, Time::ZERO);
    for port in 1..=9_000 {
        let key = FlowKey::new(Ipv6Addr::LOCALHOST.into(), port, web(), 443);
        let flow = statement(&key, birth(1), 5, FlowState::Established);
        let flows = List::Values(core::slice::from_ref(&flow));
        let state = Control::State {
            sequence: 0,
            filled: None,
            listed: None,
            flows,
        };
        it.handle_message(Time::ZERO, host(1), &Message::Control(state));
    }
    let late = Time::from_millis(60_020);
    let mut calls = 0;
    while it.poll_timeout().is_some_and(|at| at <= late) {
        it.handle_timeout(late);
        calls += 1;
        assert!(calls < 100);
    }
    assert!(calls >= 3);
    assert_eq!(it.stats().flows, 0);
}

#[test]
fn a_new_configuration_takes_effect() {
    let mut bed = Bed::new(1, 3);
    let mut new = config(tracker(1), 1);
    new.services[0].policy = PolicyKind::LeastConnections;
    new.services[0].search_ttl = 1;
    new.limits.max_untrusted = 1;
    new.timers.offered = Duration::from_millis(100);
    let now = bed.now;
    let it = bed.trackers.get_mut(&tracker(1)).unwrap();
    it.handle_config(now, new);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let offer = bed.settle_one();
    assert_eq!((offer.host(), offer.offer.step), (host(1), 0));
    let other = bed.flow(1);
    bed.open(&other, Intent::Syn, 5);
    assert_eq!(bed.settle_one().reason, Reason::Quota);
    bed.pass(Duration::from_millis(110));
    assert_eq!(bed.stats(1).flows, 0);
}

#[test]
fn a_clone_goes_on_like_the_original() {
    let mut bed = Bed::new(2, 3);
    let key = bed.flow(0);
    bed.open(&key, Intent::Syn, 5);
    let mut copy = bed.clone();
    assert_eq!(bed.settle(), copy.settle());
    for nth in 1..20 {
        let key = bed.flow(nth);
        bed.open(&key, Intent::Syn, 5);
        copy.open(&key, Intent::Syn, 5);
        assert_eq!(bed.settle(), copy.settle());
    }
    assert_eq!(bed.stats(1).ledger, copy.stats(1).ledger);
}

#[test]
fn buffers_are_reused() {
    let mut bed = Bed::new(1, 3);
    let key = bed.flow(0);
    let syn = packet(&key, Intent::Syn, 5);
    let message = Message::Flow(open(tracker(1), ingress(), &key, Intent::Syn, 5, &syn));
    let now = bed.now;
    let it = bed.trackers.get_mut(&tracker(1)).unwrap();
    it.handle_message(now, ingress(), &message);
    let first = it.poll_transmit().unwrap();
    let place = first.buf.as_slice().as_ptr() as usize / 4096;
    it.recycle(first.buf);
    it.handle_message(now, ingress(), &message);
    let second = it.poll_transmit().unwrap();
    assert_eq!(second.buf.as_slice().as_ptr() as usize / 4096, place);
    assert!(matches!(
        jlb_protocol::wire::decode(second.buf.as_slice()),
        Ok(Message::Flow(offer)) if offer.kind == FlowKind::Offer
    ));
}
