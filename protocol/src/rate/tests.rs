use super::Rate;
use crate::time::Time;
use core::time::Duration;

const SPAN: Duration = Duration::from_millis(200);

fn taken(rate: &mut Rate, at_millis: u64, wanted: u32) -> u32 {
    (0..wanted)
        .map(|_| u32::from(rate.take(Time::from_millis(at_millis), 10, SPAN)))
        .sum()
}

#[test]
fn a_burst_is_given_at_once_and_then_as_many_in_each_span() {
    let mut rate = Rate::new();
    assert_eq!(taken(&mut rate, 1_000, 100), 10);
    assert_eq!(taken(&mut rate, 1_019, 100), 0);
    assert_eq!(taken(&mut rate, 1_020, 100), 1);
    assert_eq!(taken(&mut rate, 1_080, 100), 3);
    assert_eq!(taken(&mut rate, 9_000, 100), 10, "no more than full");
    let spread: u32 = (0..1_000).map(|at| taken(&mut rate, 10_000 + at, 5)).sum();
    assert!((50..=60).contains(&spread), "{spread}");
}

#[test]
fn a_burst_of_none_gives_none() {
    let mut rate = Rate::new();
    assert!(!rate.take(Time::from_millis(1), 0, SPAN));
    assert!(rate.take(Time::from_millis(1), 1, SPAN));
    assert!(!rate.take(Time::from_millis(1), 1, SPAN));
}

#[test]
fn what_costs_more_than_the_bucket_holds_is_done_when_it_is_full() {
    let (span, mut rate) = (Duration::from_millis(100), Rate::new());
    let at = Time::from_millis;
    assert!(rate.take_many(at(0), 6, 10, span));
    assert!(!rate.take_many(at(0), 5, 10, span));
    assert!(rate.take_many(at(10), 5, 10, span));
    assert!(!rate.take_many(at(99), 25, 10, span), "it is not full");
    assert!(rate.take_many(at(110), 25, 10, span));
    // What it took is earned anew first.
    assert!(!rate.take(at(269), 10, span));
    assert!(rate.take(at(270), 10, span));
    assert!(!Rate::new().take_many(at(0), 3, 0, span));
}
