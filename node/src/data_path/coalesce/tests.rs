use super::*;

const MAX: Duration = Duration::from_micros(500);

const ONE: Work = Work { all: 1, setup: 0 };

/// One that has looked often while its thread waited so long each time, so often in each interval.
fn after(times: u64, each: Duration) -> Coalescing {
    let mut coalescing = Coalescing::new(Some(MAX), None, None, Time::default());
    more(&mut coalescing, times, each);
    coalescing
}

fn more(coalescing: &mut Coalescing, times: u64, each: Duration) {
    for _ in 0..50 {
        let now = coalescing.looked + INTERVAL;
        coalescing.taken.all += 200;
        let waited = Waited {
            times: coalescing.last.times + times,
            span: coalescing.last.span + each * u32::try_from(times).unwrap(),
        };
        coalescing.learn(now, MAX, waited);
    }
}

#[test]
fn where_processors_are_free_nothing_waits() {
    for micros in [0, 3, 25, 29] {
        let each = Duration::from_micros(micros);
        assert_eq!(after(100, each).present(), Duration::ZERO, "{each:?}");
    }
}

#[test]
fn it_holds_still_the_longer_the_more_it_waits_for_a_processor() {
    let [some, more, most] =
        [40, 60, 1_000].map(|micros| after(100, Duration::from_micros(micros)).present());
    assert!(Duration::from_micros(100) < some, "{some:?}");
    assert!(some < more, "{some:?}, {more:?}");
    assert!(more < MAX, "{more:?}");
    assert_eq!(most, MAX);
}

#[test]
fn it_holds_still_for_longer_where_flows_are_set_up_and_ended() {
    let added = |all, setup| Work { all, setup }.added(MAX);
    assert_eq!(added(0, 0), Duration::ZERO);
    assert_eq!(added(1_000, 0), Duration::ZERO);
    assert_eq!(added(160, 10), MAX * 5 / 2);
    assert_eq!([added(80, 10), added(10, 10)], [MAX * 5; 2]);
    let setup = Work { all: 10, setup: 10 };
    assert_eq!(setup.added(LONGEST_COALESCE), Duration::ZERO);
    assert_eq!(setup.added(LONGEST_COALESCE / 2), LONGEST_COALESCE / 2);

    let wanted = Duration::from_secs(1);
    let held = |setup, idle| bounded(wanted, MAX, Work { all: 80, setup }, idle);
    assert_eq!(held(10, Some(30)), 6 * MAX);
    assert_eq!(held(10, Some(65)), MAX * 7 / 2);
    assert_eq!(held(10, Some(100)), MAX, "some processor is idle");
    assert_eq!(held(10, None), MAX, "who knows");
    assert_eq!(held(0, Some(0)), MAX);
    assert_eq!(bounded(MAX * 2, MAX, setup, Some(0)), MAX * 2);
    assert_eq!(bounded(MAX / 2, MAX, setup, Some(0)), MAX / 2);
}

#[test]
fn it_stops_when_processors_are_free_again_or_little_comes() {
    let mut busy = after(100, Duration::from_millis(1));
    assert_eq!(busy.present(), MAX);
    more(&mut busy, 100, Duration::from_micros(5));
    assert_eq!(busy.present(), Duration::ZERO);
    // Five in 10 ms are looked at together with the next five.
    let mut seldom = after(100, Duration::from_millis(1));
    let mut wait = |times: u64, after: Duration| {
        let now = seldom.looked + after;
        seldom.taken.all += 200;
        let waited = Waited {
            times: seldom.last.times + times,
            span: seldom.last.span + Duration::from_millis(times),
        };
        seldom.learn(now, MAX, waited);
        seldom.present()
    };
    assert_eq!(wait(5, INTERVAL), MAX);
    assert_eq!(wait(10, 2 * INTERVAL), MAX);
    assert_eq!(wait(5, SELDOM), Duration::ZERO);
}

#[test]
fn it_does_not_hold_still_for_nothing() {
    let mut thin = after(100, Duration::from_millis(1));
    assert_eq!(thin.hold(thin.looked, ONE), MAX);
    // One in 500 us.
    thin.taken.all = 20;
    let waited = Waited {
        times: thin.last.times + 20,
        span: thin.last.span + Duration::from_millis(20),
    };
    thin.learn(thin.looked + INTERVAL, MAX, waited);
    assert_eq!(thin.present(), Duration::ZERO);
}

#[test]
fn a_lower_bound_holds_at_once() {
    let mut coalescing = after(100, Duration::from_millis(1));
    coalescing.set_max(Some(Duration::from_micros(70)));
    assert_eq!(coalescing.present(), Duration::from_micros(70));
    coalescing.set_max(None);
    assert_eq!(coalescing.present(), Duration::ZERO);
}

#[test]
fn a_thread_that_cant_be_seen_waiting_does_not_hold_still() {
    let mut coalescing = after(100, Duration::from_millis(1));
    assert_eq!(coalescing.hold(coalescing.looked, ONE), MAX);
    // There is nothing to be read any more.
    let later = coalescing.looked + INTERVAL;
    assert_eq!(coalescing.hold(later, ONE), Duration::ZERO);
}

#[test]
fn it_holds_still_the_less_the_more_of_the_processors_time_nobody_wants() {
    let where_idle = |share| where_idle(MAX, share, SHORT, FREE);
    let [all, some, little, none] = [150, 200, 280, 300].map(where_idle);
    assert_eq!((all, none), (MAX, Duration::ZERO));
    assert!(all > some && some > little && little > none);
    assert_eq!((where_idle(0), where_idle(1_000)), (MAX, Duration::ZERO));
}

#[test]
fn what_is_idle_counts_once_it_was_looked_at_for_long_enough() {
    let begin = Time::default();
    let mut idle = Idle::new(IdleTime::open().unwrap(), begin);
    // As if nothing else had run for so long.
    idle.last = idle.meter.read().unwrap();
    assert_eq!(idle.share(begin + IDLE_INTERVAL / 2), 1_000);
    let hours = |hours: u64| begin + Duration::from_secs(3_600 * hours);
    assert!(
        (400..600).contains(&idle.share(hours(1))),
        "an hour of the clock, but not of the processors: half of what was before remains"
    );
    assert!(idle.share(hours(6)) < 300);
}
