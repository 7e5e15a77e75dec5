use super::*;

#[test]
fn a_clock_shows_at_least_what_was_waited_for() {
    for rate in [950, 1000, 1037, 1050] {
        let clock = Clock::new(Duration::from_secs(77), rate);
        for nanos in [0, 1, 999_999, 1_000_000, 123_456_789_012] {
            let shown = Time::from_nanos(77_000_000_000 + nanos);
            let when = clock.when(shown);
            assert!(clock.shows(when) >= shown, "{rate} {nanos}");
            let before = Time::from_nanos(when.as_nanos().saturating_sub(2000));
            assert!(
                clock.shows(before) < shown || before == Time::ZERO,
                "{rate} {nanos}"
            );
        }
    }
}
