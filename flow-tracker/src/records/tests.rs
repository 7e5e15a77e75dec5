use super::*;
use crate::nodes::Nodes;
use crate::record::Life;
use crate::testbed::{self, HASH_KEY, birth, config, host, tracker, view, web};
use core::net::Ipv4Addr;

fn key(port: u16) -> FlowKey {
    FlowKey::new(Ipv4Addr::LOCALHOST.into(), port, web(), 80)
}

fn records(max_flows: u32, max_untrusted: u32) -> Records {
    let mut config = config(tracker(1), 1);
    config.limits.max_flows = max_flows;
    config.limits.max_untrusted = max_untrusted;
    let nodes = Nodes::new(tracker(1), HASH_KEY, view(2, 3), None, Time::ZERO);
    Records::new(&config.limits, &config.timers, nodes.ranked(), 1)
}

fn offered() -> Record {
    Record::new(5, testbed::offered(host(1), 2))
}

fn owned(life: Life) -> Record {
    Record::new(5, testbed::owned(life, host(1), birth(1), 2))
}

#[test]
fn untrusted_records_have_their_own_room() {
    let mut records = records(10, 2);
    let now = Time::ZERO;
    records.put(now, key(1), None, offered()).unwrap();
    records
        .put(now, key(2), None, owned(Life::Accepted))
        .unwrap();
    let full = records.put(now, key(3), None, offered());
    assert_eq!(full, Err(DropReason::OfferedQuota));
    // Trusted ones do not use it.
    records
        .put(now, key(3), None, owned(Life::Established))
        .unwrap();
    records
        .put(now, key(4), None, owned(Life::Closing))
        .unwrap();
    assert_eq!((records.len(), records.untrusted()), (4, 2));

    // In place of another one there is always room, but it counts against new ones.
    let (two, _) = records.find(&key(2)).unwrap();
    let (three, _) = records.find(&key(3)).unwrap();
    records.put(now, key(3), Some(three), offered()).unwrap();
    assert_eq!((records.len(), records.untrusted()), (4, 3));
    // A record that becomes trusted gives its place back.
    records
        .put(now, key(2), Some(two), owned(Life::Established))
        .unwrap();
    records
        .put(now, key(3), Some(three), owned(Life::Accepted))
        .unwrap();
    assert_eq!((records.len(), records.untrusted()), (4, 2));
    let full = records.put(now, key(5), None, offered());
    assert_eq!(full, Err(DropReason::OfferedQuota));

    for port in 1..=4 {
        let (handle, _) = records.find(&key(port)).unwrap();
        assert_eq!(records.remove(handle), Some(key(port)));
    }
    assert_eq!((records.len(), records.untrusted()), (0, 0));
}

#[test]
fn a_full_table_turns_new_records_away() {
    let mut records = records(2, 2);
    records.put(Time::ZERO, key(1), None, offered()).unwrap();
    records
        .put(Time::ZERO, key(2), None, owned(Life::Closing))
        .unwrap();
    let full = records.put(Time::ZERO, key(3), None, owned(Life::Established));
    assert_eq!(full, Err(DropReason::TableFull));
    assert_eq!((records.len(), records.untrusted()), (2, 1));
}

#[test]
fn records_live_by_what_they_are() {
    let mut records = records(10, 10);
    records.put(Time::ZERO, key(1), None, offered()).unwrap();
    records
        .put(Time::ZERO, key(2), None, owned(Life::Accepted))
        .unwrap();
    assert_eq!(records.expire(Time::from_millis(4_990)), None);
    assert_eq!(
        records.expire(Time::from_millis(5_000)),
        Some(Expiry::Over(key(1)))
    );
    assert_eq!(records.untrusted(), 1);

    let (handle, _) = records.find(&key(2)).unwrap();
    records.renew(Time::from_millis(30_000), handle);
    assert_eq!(records.expire(Time::from_millis(60_000)), None);
    // To ask it again does not prolong it.
    let number = OfferNumber { isn: 9, step: 1 };
    records
        .ask(
            Time::from_millis(80_000),
            key(2),
            host(1),
            number,
            Intent::MidFlow,
        )
        .unwrap();
    assert!(records.find(&key(2)).unwrap().1.is_asked(number));
    assert_eq!(
        records.expire(Time::from_millis(90_000)),
        Some(Expiry::Over(key(2)))
    );
    assert_eq!(records.next_deadline(), None);
}

#[test]
fn an_offer_lives_from_its_own_beginning() {
    let mut records = records(10, 10);
    let ask = |records: &mut Records, millis, number, isn| {
        let offer = OfferNumber { isn, step: 2 };
        let now = Time::from_millis(millis);
        records.ask(now, key(1), host(number), offer, Intent::Syn)
    };
    ask(&mut records, 0, 1, 5).unwrap();
    // A repeat does not prolong it, another host or attempt does.
    ask(&mut records, 1_000, 1, 5).unwrap();
    assert_eq!(records.expire(Time::from_millis(4_990)), None);
    ask(&mut records, 4_990, 2, 5).unwrap();
    assert_eq!(records.expire(Time::from_millis(9_980)), None);
    ask(&mut records, 9_980, 2, 6).unwrap();
    assert_eq!(records.expire(Time::from_millis(14_970)), None);
    assert_eq!(
        records.expire(Time::from_millis(14_980)),
        Some(Expiry::Over(key(1)))
    );
}

#[test]
fn a_walk_over_a_table_that_once_was_full_is_done_in_portions() {
    const COUNT: u32 = 300_000;
    let mut records = records(COUNT, 1);
    let now = Time::ZERO;
    let flow = |nth: u32| FlowKey::new(Ipv4Addr::from_bits(nth).into(), 1, web(), 80);
    for nth in 0..COUNT {
        let record = owned(Life::Established);
        records.put(now, flow(nth), None, record).unwrap();
    }
    for nth in 0..COUNT - 1 {
        let (handle, _) = records.find(&flow(nth)).unwrap();
        records.remove(handle);
    }
    records.begin_sweep(now);
    let mut calls = 0;
    let mut now = now;
    while records.walk.is_some() {
        records.walk_on(now);
        now = now + Duration::from_millis(5);
        calls += 1;
    }
    assert!((2..=4).contains(&calls), "{calls}");
}

#[test]
fn a_list_that_ends_during_a_walk_is_looked_for_in_another() {
    let mut records = records(100, 1);
    for port in 0..100 {
        let record = owned(Life::Established);
        records.put(Time::ZERO, key(port), None, record).unwrap();
    }
    let at = |millis| Time::ZERO + Duration::from_millis(millis);
    records.begin_sweep(at(0));
    records.walk_on(at(0));
    assert!(records.walk.is_none());

    records.begin_sweep(at(0));
    records.begin_sweep(at(0));
    records.begin_sweep(at(0));
    records.walk_on(at(0));
    assert_eq!(records.walk.map(|walk| walk.due), Some(at(5)));
    // One more is enough, however many lists ended.
    records.walk_on(at(5));
    assert!(records.walk.is_none());
}

#[test]
fn refusals_of_datagrams_are_forgotten_outside_the_top_two() {
    let mut records = records(100, 100);
    let nodes = |trackers| Nodes::new(tracker(1), HASH_KEY, view(trackers, 3), None, Time::ZERO);
    let rejected = |isn| {
        let state = State::Rejected {
            step: 0,
            several: false,
        };
        Record::new(isn, state)
    };
    for port in 0..50 {
        // Every other one is of a SYN.
        let isn = u32::from(port % 2);
        records
            .put(Time::ZERO, key(port), None, rejected(isn))
            .unwrap();
    }
    // With many others few flows are this one's.
    records.rank(Time::ZERO, nodes(9).ranked());
    while records.walk.is_some() {
        let now = records.walk.unwrap().due;
        records.walk_on(now);
    }
    let ranked = nodes(9).ranked();
    for port in 0..50 {
        let counts = ranked.counts(HASH_KEY.flow_hash(&key(port)));
        let is_kept = counts || port % 2 == 1;
        assert_eq!(records.find(&key(port)).is_some(), is_kept, "{port}");
    }
    assert!((26..50).contains(&records.len()), "{}", records.len());
    assert_eq!(records.untrusted(), records.len());
}
