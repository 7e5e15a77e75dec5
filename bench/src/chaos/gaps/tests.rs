use super::*;

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_wait_counts_where_it_ended() {
    let start = Instant::now();
    let mut gaps = Gaps::default();
    gaps.moved(Phase::Before, start, 900 * MS, 10);
    gaps.moved(Phase::During, start + 300 * MS, 300 * MS, 10);
    gaps.moved(Phase::During, start + 320 * MS, 20 * MS, 10);
    assert_eq!(gaps.before(), 900 * MS);
    assert_eq!(gaps.longest(), 300 * MS);
    assert_eq!(gaps.stall(200 * MS), Some((start, start + 300 * MS)));
    assert_eq!(gaps.stall(301 * MS), None);
    assert_eq!(gaps.moved_in(), [true, true, false]);
    gaps.moved(Phase::End, start + 2_000 * MS, Duration::ZERO, 5);
    assert_eq!(gaps.moved_in(), [true, true, true]);
    assert_eq!(gaps.bytes(), 35);
}

#[test]
fn a_wait_that_ended_in_nothing_is_one() {
    let start = Instant::now();
    let mut gaps = Gaps::default();
    gaps.waited(Phase::End, start, 10_000 * MS);
    assert_eq!(gaps.longest(), 10_000 * MS);
    assert_eq!(gaps.moved_in(), [false; 3]);
}

#[test]
fn the_spread_tells_the_few_slow_ones_from_the_many() {
    let times = (0..1000).map(|i| if i < 985 { 10 * MS } else { 700 * MS });
    let spread = Spread::of(times.chain([4_000 * MS])).unwrap();
    assert!((9.9..10.1).contains(&spread.p50), "{spread:?}");
    assert!((699.0..701.0).contains(&spread.p99), "{spread:?}");
    assert!((3_999.0..4_005.0).contains(&spread.max), "{spread:?}");
    assert_eq!(Spread::of([]).unwrap(), Spread::default());
}
