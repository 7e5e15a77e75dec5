//! The replay window of one sender's worker (the sliding window of RFC 4303 appendix A2).

use crate::drop_reason::DropReason;

const WORDS: usize = 16;

/// Messages that may be overtaken: one that is older than this many is not accepted any more.
pub(super) const SPAN: u64 = WORDS as u64 * 64;

/// Which of the last [`SPAN`] sequence numbers were seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    highest: u64,
    seen: [u64; WORDS],
}

impl Window {
    /// Marks a number as seen.
    ///
    /// # Errors
    /// [`DropReason::Replayed`] if it was seen, [`DropReason::TooOld`] if that is no longer known,
    /// or the number is 0, which no sender uses.
    pub(super) fn accept(&mut self, number: u64) -> Result<(), DropReason> {
        if number > self.highest {
            let ahead = number - self.highest;
            if ahead >= SPAN {
                self.seen = [0; WORDS];
            } else {
                for skipped in self.highest + 1..number {
                    self.set(skipped, false);
                }
            }
            self.highest = number;
            self.set(number, true);
            return Ok(());
        }
        if number == 0 || self.highest - number >= SPAN {
            return Err(DropReason::TooOld);
        }
        if self.is_set(number) {
            return Err(DropReason::Replayed);
        }
        self.set(number, true);
        Ok(())
    }

    const fn place(number: u64) -> (usize, u64) {
        ((number % SPAN / 64) as usize, 1 << (number % 64))
    }

    fn is_set(&self, number: u64) -> bool {
        let (word, bit) = Self::place(number);
        self.seen[word] & bit != 0
    }

    fn set(&mut self, number: u64, seen: bool) {
        let (word, bit) = Self::place(number);
        if seen {
            self.seen[word] |= bit;
        } else {
            self.seen[word] &= !bit;
        }
    }
}

#[cfg(test)]
mod tests {
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
}
