//! What came of a job.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::error::{Doing, Result};
use crate::load::ErrorKind;

/// The longest latency that is told apart, in nanoseconds.
const LONGEST: u64 = 120_000_000_000;
/// Significant figures of a latency.
const FIGURES: u8 = 3;
/// Errors whose words are kept.
const KEPT_WORDS: usize = 5;

/// The counts of one job.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Right answers that came while it was measured.
    pub(crate) answered: u64,
    /// Bytes of their bodies.
    pub(crate) bytes: u64,
    /// Connections that were there, over the whole time.
    pub(crate) connected: u64,
    /// Right answers over the whole time.
    pub(crate) answered_in_all: u64,
    /// Requests that were due while it was measured, in an open loop.
    pub(crate) due: u64,
    /// What went wrong, over the whole time, by kind.
    pub(crate) errors: BTreeMap<ErrorKind, u64>,
    /// The first few errors in words.
    pub(crate) words: Vec<String>,
    /// Nanoseconds to the last byte of an answer: in an open loop from the time at which the request was due, in a closed
    /// one from when it was sent.
    pub(crate) latency: Histogram<u64>,
    /// The same from when the request was sent, in an open loop; empty in a closed one, where it is the same.
    pub(crate) uncorrected: Histogram<u64>,
}

impl Outcome {
    pub(super) fn new() -> Result<Self> {
        let histogram =
            || Histogram::new_with_bounds(1, LONGEST, FIGURES).doing("make a histogram");
        Ok(Self {
            answered: 0,
            bytes: 0,
            connected: 0,
            answered_in_all: 0,
            due: 0,
            errors: BTreeMap::new(),
            words: Vec::new(),
            latency: histogram()?,
            uncorrected: histogram()?,
        })
    }

    pub(super) fn failure(&mut self, kind: ErrorKind, words: &str) {
        *self.errors.entry(kind).or_default() += 1;
        if self.words.len() < KEPT_WORDS {
            self.words.push(format!("{}: {words}", kind.name()));
        }
    }

    /// Adds what another thread, or another job of the same kind, did.
    ///
    /// # Errors
    /// None that happens: all histograms have the same bounds.
    pub(crate) fn add(&mut self, other: &Self) -> Result<()> {
        self.answered += other.answered;
        self.bytes += other.bytes;
        self.connected += other.connected;
        self.answered_in_all += other.answered_in_all;
        self.due += other.due;
        for (&kind, count) in &other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
        let room = KEPT_WORDS.saturating_sub(self.words.len());
        self.words.extend(other.words.iter().take(room).cloned());
        self.latency.add(&other.latency).doing("add histograms")?;
        self.uncorrected
            .add(&other.uncorrected)
            .doing("add histograms")
    }
}
