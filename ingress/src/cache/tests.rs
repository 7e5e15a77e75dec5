use super::{Cache, Entry, Hint, Idle, Phase, SHORT_IDLE, TICK_SHIFT};
use crate::testbed::{birth, node, service};
use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::{FlowKey, Time};

fn idle() -> Idle {
    Idle::new(Duration::from_secs(60))
}

fn key(number: u32) -> FlowKey {
    let client = Ipv6Addr::from(0x2001_0db8 << 96 | u128::from(number));
    FlowKey::new(IpAddr::V6(client), 40_000, service(1), 80)
}

fn install(cache: &mut Cache, number: u32, phase: Phase, now: Time) -> bool {
    cache.install(
        key(number),
        FlowHash(u64::from(number)),
        node(21),
        birth(1, number),
        phase,
        now,
    )
}

/// A packet of the flow comes.
fn hit(cache: &mut Cache, key: &FlowKey, hint: Hint, now: Time) -> Option<Entry> {
    let hash = cache.hash_of(key);
    let found = cache.find_at(cache.guess(hash), hash, key)?;
    cache.hit(found, hint, now)
}

#[test]
fn a_million_flows_take_at_most_72_bytes_each_of_either_family() {
    const FLOWS: u32 = 1_000_000;
    let mut cache = Cache::new(FLOWS, idle(), 3);
    for number in 0..FLOWS {
        assert!(install(
            &mut cache,
            number,
            Phase::Proven,
            Time::from_millis(u64::from(number) / 100)
        ));
    }
    assert_eq!(cache.len(), FLOWS);
    // Index, timer links and spare room included.
    let each = cache.allocated_bytes() as f64 / f64::from(FLOWS);
    assert!(each <= 72.0, "{each} bytes a flow");
    assert!(size_of::<Entry>() <= 20);
}

#[test]
fn expiry_is_bounded_a_call_and_never_early() {
    let mut cache = Cache::new(10_000, idle(), 3);
    let start = Time::from_millis(5_000);
    for number in 0..10_000 {
        assert!(install(&mut cache, number, Phase::Proven, start));
    }
    assert_eq!(cache.expire(start + Duration::from_secs(60)), 0);
    let end = start + Duration::from_millis(60_300);
    let calls = expire_all(&mut cache, end);
    assert!(calls <= 32, "{calls} calls");
    assert_eq!((cache.len(), cache.next_deadline()), (0, None));
    assert_eq!(cache.spread()[0].flows, 0);
}

/// Expires all that is due, each call a bounded part of it; gives the number of calls.
fn expire_all(cache: &mut Cache, now: Time) -> u32 {
    let mut calls = 0;
    while cache
        .next_deadline()
        .is_some_and(|due| due <= now.as_nanos())
    {
        assert!(cache.expire(now) <= 4096);
        calls += 1;
        assert!(calls < 1_000, "work that never ends");
    }
    calls
}

#[test]
fn a_clock_that_jumps_ahead_by_more_than_all_deadlines_costs_bounded_calls() {
    let mut cache = Cache::new(100_000, idle(), 3);
    for number in 0..100_000 {
        let now = Time::from_millis(u64::from(number) / 10);
        assert!(install(
            &mut cache,
            number,
            if number % 4 != 0 {
                Phase::Proven
            } else {
                Phase::Unproven
            },
            now
        ));
    }
    let used = Time::from_millis(12_000);
    for number in 0..100 {
        assert!(hit(&mut cache, &key(number * 1_000 + 1), Hint::Alive, used).is_some());
    }
    let calls = expire_all(&mut cache, used + Duration::from_secs(59));
    assert_eq!(cache.len(), 100, "what was used stays");
    let more = expire_all(&mut cache, used + Duration::from_secs(15 * 60));
    assert!(calls + more <= 400, "{calls} and {more} calls");
    assert_eq!(
        (cache.len(), cache.unproven(), cache.next_deadline()),
        (0, 0, None)
    );
}

#[test]
fn an_entry_last_used_at_the_end_of_a_tick_stays_for_the_whole_span() {
    let tick = Duration::from_nanos(1 << TICK_SHIFT);
    let span = tick * 100;
    let mut cache = Cache::new(1, Idle::new(span), 3);
    let almost = Duration::from_nanos(1);
    let used = Time::ZERO + (tick - almost);
    assert!(install(&mut cache, 0, Phase::Proven, used));
    assert_eq!(cache.expire(used + (span - almost)), 0);
    assert_eq!(cache.expire(used + span + tick), 1);
}

#[test]
fn r3_unproven_flows_take_half_of_the_table_and_evict_nothing() {
    let mut cache = Cache::new(5, idle(), 3);
    let now = Time::ZERO;
    assert!((0..3).all(|number| install(&mut cache, number, Phase::Unproven, now)));
    assert!(!install(&mut cache, 3, Phase::Unproven, now));
    assert!(install(&mut cache, 3, Phase::Proven, now));
    let proven = hit(&mut cache, &key(0), Hint::Alive, now);
    assert_eq!(proven.unwrap().host, node(21));
    assert_eq!(cache.unproven(), 2);
    assert!(install(&mut cache, 4, Phase::Unproven, now));
    assert!(!install(&mut cache, 5, Phase::Proven, now), "full");
    assert!((0..5).all(|number| cache.get(&key(number)).is_some()));
}

#[test]
fn an_error_about_a_flow_or_its_reset_does_not_prove_the_client() {
    let mut cache = Cache::new(5, idle(), 3);
    assert!(install(&mut cache, 0, Phase::Unproven, Time::ZERO));
    assert!(hit(&mut cache, &key(0), Hint::Nothing, Time::ZERO).is_some());
    assert_eq!(cache.unproven(), 1);
    assert!(hit(&mut cache, &key(0), Hint::Done, Time::ZERO).is_some());
    assert_eq!(cache.unproven(), 0);
    assert_eq!(
        cache.expire(Time::ZERO + SHORT_IDLE + Duration::from_millis(300)),
        1
    );
}

#[test]
fn a_newer_life_starts_unproven_and_moves_between_hosts() {
    let mut cache = Cache::new(5, idle(), 3);
    assert!(install(&mut cache, 0, Phase::Proven, Time::ZERO));
    let flow = FlowHash(0);
    assert!(cache.install(
        key(0),
        flow,
        node(22),
        birth(1, 1),
        Phase::Unproven,
        Time::ZERO
    ));
    assert_eq!((cache.len(), cache.unproven()), (1, 1));
    let flows: alloc::vec::Vec<_> = cache
        .spread()
        .iter()
        .map(|host| (host.host, host.flows, host.accepted))
        .collect();
    assert_eq!(flows, [(node(21), 0, 1), (node(22), 1, 1)]);
}

#[test]
fn a_repeated_accept_tells_nothing_new_of_the_client_but_its_end_does() {
    let mut cache = Cache::new(5, idle(), 3);
    for (phase, after) in [
        (Phase::Proven, Phase::Proven),
        (Phase::Unproven, Phase::Proven),
        (Phase::Ending, Phase::Ending),
        (Phase::Unproven, Phase::Ending),
        (Phase::Proven, Phase::Proven),
    ] {
        assert!(install(&mut cache, 0, phase, Time::ZERO));
        assert_eq!(cache.get(&key(0)).unwrap().phase, after);
        assert_eq!((cache.len(), cache.unproven()), (1, 0));
    }
}
