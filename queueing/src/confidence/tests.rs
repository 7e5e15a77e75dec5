use super::*;

#[test]
fn three_runs_have_an_interval_by_student() {
    // Mean 2, deviation 1: 4.303 / sqrt(3).
    let found = estimate(&[1.0, 2.0, 3.0]);
    assert!((found.mean - 2.0).abs() < 1e-12);
    assert!((found.half_width - 4.303 / 3.0_f64.sqrt()).abs() < 1e-9);
}

#[test]
fn one_run_says_nothing_of_how_sure_it_is() {
    let found = estimate(&[7.0]);
    assert_eq!((found.mean, found.half_width), (7.0, 0.0));
    assert_eq!(estimate(&[]).mean, 0.0);
}
