use super::{draw, minus_log2};
use alloc::vec::Vec;

#[test]
fn the_logarithm_is_exact_at_powers_of_two_and_right_between() {
    for power in 0..64 {
        assert_eq!(minus_log2(1 << power), (64 - power) << 32);
    }
    assert_eq!(minus_log2(0), 64 << 32);
    // log2(1.5) is 0.584962500721...
    let of_one_and_a_half = minus_log2(3 << 62);
    let expected = (1_u128 << 32) * 415_037_499_279 / 1_000_000_000_000;
    assert_eq!(u128::from(of_one_and_a_half), expected + 1);
    // Close to 2^64 it is about the distance / ln 2: one part in 2^20 here.
    let near = minus_log2(u64::MAX - (1 << 44) + 1);
    assert!((5_908..5_912).contains(&near), "{near}");
    assert!(minus_log2(u64::MAX) > 0);
    let falls = (1..1000_u64)
        .map(|at| minus_log2(at << 54))
        .collect::<Vec<_>>();
    assert!(falls.is_sorted_by(|a, b| a > b));
}

#[test]
fn no_weight_divides_by_zero() {
    assert_eq!(draw(7, 0), draw(7, 1));
}
