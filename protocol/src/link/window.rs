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
    #[inline(always)]
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
mod tests;
