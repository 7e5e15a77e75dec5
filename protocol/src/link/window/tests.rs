use super::*;

#[test]
fn each_number_is_accepted_once() {
    let mut window = Window::default();
    for number in [1, 3, 2, 700, 600, SPAN + 10] {
        assert_eq!(window.accept(number), Ok(()), "{number}");
        assert_eq!(window.accept(number), Err(DropReason::Replayed), "{number}");
    }
}

#[test]
fn numbers_skipped_may_come_late_until_the_window_has_passed() {
    let mut window = Window::default();
    assert_eq!(window.accept(0), Err(DropReason::TooOld));
    assert_eq!(window.accept(SPAN), Ok(()));
    assert_eq!(window.accept(1), Ok(()));
    assert_eq!(window.accept(SPAN + 2), Ok(()));
    assert_eq!(window.accept(2), Err(DropReason::TooOld));
    assert_eq!(window.accept(3), Ok(()));
    assert_eq!(window.accept(SPAN + 1), Ok(()));
}

#[test]
fn a_jump_over_the_whole_window_forgets_it() {
    let mut window = Window::default();
    assert_eq!(window.accept(5), Ok(()));
    assert_eq!(window.accept(5 + 3 * SPAN), Ok(()));
    assert_eq!(window.accept(5 + 2 * SPAN), Err(DropReason::TooOld));
    assert_eq!(window.accept(6 + 2 * SPAN), Ok(()));
}

#[test]
fn agrees_with_a_set_on_random_orders() {
    let mut window = Window::default();
    let mut seen = alloc::collections::BTreeSet::new();
    let mut highest = 0_u64;
    let mut state = 7_u64;
    for _ in 0..100_000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let number = (highest + 40).saturating_sub(state >> 53).max(1);
        let expected = if highest >= number && highest - number >= SPAN {
            Err(DropReason::TooOld)
        } else if seen.insert(number) {
            Ok(())
        } else {
            Err(DropReason::Replayed)
        };
        assert_eq!(window.accept(number), expected);
        highest = highest.max(number);
    }
}
