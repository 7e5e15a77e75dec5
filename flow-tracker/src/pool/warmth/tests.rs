use super::*;

const WHOLE: Option<Duration> = Some(Duration::from_secs(10));

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

#[test]
fn a_host_warms_evenly_from_a_tenth_to_all() {
    let warmth = Warmth::Since(at(5_000));
    let parts = [5_000, 7_500, 10_000, 14_999, 15_000, 99_000].map(|it| warmth.part(at(it), WHOLE));
    assert_eq!(parts, [25, 82, 140, 255, 256, 256]);
    // A clock that is behind does no harm.
    assert_eq!(warmth.part(at(0), WHOLE), 25);
}

#[test]
fn without_a_slow_start_or_a_begin_a_host_is_warm() {
    for warmth in [Warmth::Warm, Warmth::Unheard, Warmth::Since(at(1))] {
        assert_eq!(warmth.part(at(1), None), Candidate::WARM);
        assert_eq!(warmth.part(at(1), Some(Duration::ZERO)), Candidate::WARM);
    }
    assert_eq!(Warmth::Unheard.part(at(1), WHOLE), Candidate::WARM);
}
