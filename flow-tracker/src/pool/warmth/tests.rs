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

#[test]
fn hosts_that_warm_alike_from_now_on_have_the_same_digest() {
    let words = |warmth: Warmth, slow_start: Option<Duration>, now: u64| {
        let mut words = std::string::String::new();
        warmth.digest(slow_start, &mut Digester::in_words(at(now), &mut words));
        words
    };
    let since = |begun: u64, now: u64| words(Warmth::Since(at(begun)), WHOLE, now);
    assert_eq!(since(1_000, 4_000), since(2_000, 5_000));
    assert_ne!(since(1_000, 4_000), since(1_000, 4_001));
    // Long since warm.
    let warm = words(Warmth::Warm, WHOLE, 0);
    assert_eq!(since(1_000, 11_000), warm);
    assert_ne!(since(1_000, 10_999), warm);
    assert_ne!(words(Warmth::Unheard, WHOLE, 0), warm);
    // Without a slow start nothing comes of it.
    assert_eq!(
        words(Warmth::Unheard, None, 0),
        words(Warmth::Warm, None, 7)
    );
}
