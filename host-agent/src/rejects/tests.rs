use super::*;
use crate::testbed::client;

const ROTATION: Duration = Duration::from_secs(5);

fn offer(isn: u32, step: u8) -> OfferNumber {
    OfferNumber { isn, step }
}

fn filter(max: u32) -> Rejects {
    Rejects::new(max, ROTATION, 1, Time::ZERO)
}

#[test]
fn remembers_flow_isn_and_step() {
    let mut rejects = filter(100);
    let (flow, other) = (client(1).key(), client(2).key());
    rejects.insert(Time::ZERO, &flow, offer(9, 3));
    assert!(rejects.contains(Time::ZERO, &flow, offer(9, 3)));
    assert!(!rejects.contains(Time::ZERO, &flow, offer(9, 2)));
    assert!(!rejects.contains(Time::ZERO, &flow, offer(8, 3)));
    assert!(!rejects.contains(Time::ZERO, &other, offer(9, 3)));
}

#[test]
fn remembers_for_one_to_two_rotations() {
    let flow = client(1).key();
    let mut rejects = filter(100);
    rejects.insert(Time::from_millis(4_999), &flow, offer(9, 3));
    assert!(rejects.contains(Time::from_millis(5_000), &flow, offer(9, 3)));
    assert!(rejects.contains(Time::from_millis(9_999), &flow, offer(9, 3)));
    assert!(!rejects.contains(Time::from_millis(10_000), &flow, offer(9, 3)));
}

#[test]
fn a_long_pause_forgets_both_halves() {
    let flow = client(1).key();
    let mut rejects = filter(100);
    rejects.insert(Time::ZERO, &flow, offer(9, 3));
    assert!(!rejects.contains(Time::from_millis(10_000), &flow, offer(9, 3)));
}

#[test]
fn a_full_half_errs_less_than_once_in_a_thousand() {
    let mut rejects = filter(2_000);
    let flow = client(1).key();
    for isn in 0..2_000 {
        rejects.insert(Time::ZERO, &flow, offer(isn, 1));
    }
    let false_hits = (10_000..60_000)
        .filter(|&isn| rejects.contains(Time::ZERO, &flow, offer(isn, 1)))
        .count();
    assert!(false_hits < 50, "{false_hits}");
    assert_eq!(rejects.overfilled(), 0);
}

#[test]
fn two_full_halves_err_once_in_12_000() {
    // As many as the configuration has by itself.
    const MAX: u32 = 65_536;
    const ASKED: u32 = 2_400_000;
    let mut rejects = filter(MAX);
    let flow = client(1).key();
    for half in 0..2 {
        let now = Time::from_millis(half * 5_000);
        for isn in 0..MAX {
            rejects.insert(now, &flow, offer(isn, u8::try_from(half).unwrap()));
        }
    }
    assert_eq!(rejects.overfilled(), 0);
    let now = Time::from_millis(5_000);
    let false_hits = (0..ASKED)
        .filter(|&isn| rejects.contains(now, &flow, offer(isn, 9)))
        .count();
    // 200 of them, give or take what chance does.
    assert!((120..280).contains(&false_hits), "{false_hits}");
}

#[test]
fn an_overfilled_half_forgets_nothing_and_is_counted() {
    let mut rejects = filter(10);
    let flow = client(1).key();
    for isn in 0..100 {
        rejects.insert(Time::ZERO, &flow, offer(isn, 1));
    }
    assert!((0..100).all(|isn| rejects.contains(Time::ZERO, &flow, offer(isn, 1))));
    assert_eq!(rejects.overfilled(), 90);
}

#[test]
fn a_filter_for_no_offers_still_works() {
    let mut rejects = filter(0);
    let flow = client(1).key();
    rejects.insert(Time::ZERO, &flow, offer(1, 1));
    assert!(rejects.contains(Time::ZERO, &flow, offer(1, 1)));
}
