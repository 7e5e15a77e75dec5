use super::*;
use core::time::Duration;

const TICK: Duration = Duration::from_nanos(1 << TICK_BITS);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

#[test]
fn a_time_comes_back_rounded_up_whatever_the_clock_shows() {
    for years in [0, 1, 4, 8, 9, 10, 50, 500] {
        let near = Time::from_nanos(0) + YEAR * years;
        for after in [0, 1, 999, 1 << TICK_BITS, 60_000_000_000] {
            let time = near + Duration::from_nanos(after);
            for near in [near, time, time + YEAR, time + 4 * YEAR] {
                let back = Coarse::not_before(time).time(near).unwrap();
                assert!(back >= time && back.since(time) < 2 * TICK, "{time:?}");
            }
        }
    }
    assert_eq!(Coarse::NEVER.time(Time::from_nanos(7)), None);
}
