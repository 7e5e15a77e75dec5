//! What a forwarder has counted, for the first worker to read.

use super::Apart;
use crate::xdp::counts;
use jlb_protocol::DropReason;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Counters but drops by reason.
const PLAIN: usize = 10;

pub(crate) const WORDS: usize = PLAIN + DropReason::COUNT;

/// What a forwarder counts; all but the gauge only grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Counts {
    /// Packets that went on by a shortcut.
    pub(crate) forwarded: u64,
    /// Packets handed to the first worker, which counts them as its own.
    pub(crate) handed_on: u64,
    /// Leases asked for before the last one was over.
    pub(crate) renewals: u64,
    /// Shortcuts for which there was no room.
    pub(crate) no_room: u64,
    /// Gauge: shortcuts in the table.
    pub(crate) shortcuts: u64,
    /// Of what was forwarded: messages that the kernel or the interface took.
    pub(crate) sent: u64,
    /// Those that it did not take.
    pub(crate) failed: u64,
    /// Large packets that the kernel handed over.
    pub(crate) large: u64,
    /// Those of more than 32 KiB.
    pub(crate) huge: u64,
    /// Segments that they were cut into.
    pub(crate) segments: u64,
    /// Packets that went no further, and that nobody else counts.
    pub(crate) dropped: [u64; DropReason::COUNT],
}

impl Default for Counts {
    fn default() -> Self {
        Self::of([0; WORDS])
    }
}

impl Counts {
    pub(crate) fn of(words: [u64; WORDS]) -> Self {
        let mut dropped = [0; DropReason::COUNT];
        dropped.copy_from_slice(&words[PLAIN..]);
        let [
            forwarded,
            handed_on,
            renewals,
            no_room,
            shortcuts,
            sent,
            failed,
            large,
            huge,
            segments,
            ..,
        ] = words;
        Self {
            forwarded,
            handed_on,
            renewals,
            no_room,
            shortcuts,
            sent,
            failed,
            large,
            huge,
            segments,
            dropped,
        }
    }

    pub(crate) fn words(&self) -> [u64; WORDS] {
        let mut words = [0; WORDS];
        words[..PLAIN].copy_from_slice(&[
            self.forwarded,
            self.handed_on,
            self.renewals,
            self.no_room,
            self.shortcuts,
            self.sent,
            self.failed,
            self.large,
            self.huge,
            self.segments,
        ]);
        words[PLAIN..].copy_from_slice(&self.dropped);
        words
    }

    /// Counts a packet that goes no further.
    pub(crate) const fn drop_for(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
    }

    /// How many packets went no further for this reason.
    pub(crate) const fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// What was counted since `before`; the gauge as it is.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let mut words = self.words();
        for (word, before) in words.iter_mut().zip(before.words()) {
            *word = word.saturating_sub(before);
        }
        Self {
            shortcuts: self.shortcuts,
            ..Self::of(words)
        }
    }
}

/// A forwarder's counts at the end of one of its turns. It alone writes; who reads sees all words of one moment.
#[derive(Debug)]
pub(crate) struct Board<const N: usize>(Apart<Words<N>>);

#[derive(Debug)]
struct Words<const N: usize> {
    /// Odd while the words are being written.
    version: AtomicU64,
    words: [AtomicU64; N],
}

/// Tries to read while a turn ends again and again.
const TRIES: u32 = 10_000;

impl<const N: usize> Board<N> {
    pub(crate) const fn new() -> Self {
        Self(Apart(Words {
            version: AtomicU64::new(0),
            words: [const { AtomicU64::new(0) }; N],
        }))
    }

    /// Writes what was counted so far: one thread only.
    pub(crate) fn write(&self, counts: &[u64; N]) {
        let Words { version, words } = &self.0.0;
        let next = version.load(Ordering::Relaxed) + 1;
        version.store(next, Ordering::Relaxed);
        fence(Ordering::Release);
        for (place, &word) in words.iter().zip(counts) {
            place.store(word, Ordering::Relaxed);
        }
        version.store(next + 1, Ordering::Release);
    }

    /// What was counted at the end of the last turn; `None` if turns end too fast to tell.
    pub(crate) fn read(&self) -> Option<[u64; N]> {
        let Words { version, words } = &self.0.0;
        for _ in 0..TRIES {
            let before = version.load(Ordering::Acquire);
            let read = std::array::from_fn(|at| words[at].load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if before % 2 == 0 && version.load(Ordering::Relaxed) == before {
                return Some(read);
            }
            std::hint::spin_loop();
        }
        None
    }
}

/// The boards of one forwarder.
#[derive(Debug)]
pub(crate) struct Boards {
    pub(crate) counts: Board<WORDS>,
    /// Of what comes and goes by `AF_XDP`.
    pub(crate) frames: Board<{ counts::WORDS }>,
}

impl Boards {
    pub(crate) const fn new() -> Self {
        Self {
            counts: Board::new(),
            frames: Board::new(),
        }
    }
}

#[cfg(test)]
mod tests;
