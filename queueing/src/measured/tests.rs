use super::*;

#[test]
fn quantiles_are_of_those_that_were_timed() {
    let mut measured = Measured::default();
    measured.set_responses((1..=1_000).rev().map(f64::from).collect());
    assert_eq!(measured.quantile(500), 500.0);
    assert_eq!(measured.quantile(990), 990.0);
    assert_eq!(measured.quantile(1_000), 1_000.0);
    assert_eq!(measured.mean(), 500.5);
    assert_eq!(Measured::default().quantile(990), 0.0);
}

#[test]
fn the_coefficient_of_variation_is_the_deviation_over_the_mean() {
    assert_eq!(variation([2.0, 2.0].into_iter()), 0.0);
    assert_eq!(variation([1.0, 3.0].into_iter()), 0.5);
    assert_eq!(variation([0.0, 0.0].into_iter()), 0.0);
}
