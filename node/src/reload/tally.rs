//! What came of reading the cluster file again, for the metrics.

use crate::report::Report;
use std::cell::{Cell, RefCell};

/// What came of reading the file once, if it was not refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// The node runs with it.
    Applied,
    /// It says what the node runs with anyway.
    Unchanged,
}

/// How often the file was read again, and what came of it.
pub(crate) struct Reloads {
    applied: Cell<u64>,
    unchanged: Cell<u64>,
    refused: Cell<u64>,
    /// When the configuration that runs was taken over, in seconds since 1970.
    since: Cell<u64>,
    /// Why the file as it was read last is not taken over.
    refusal: RefCell<Option<String>>,
}

impl Reloads {
    /// None yet: the node runs with the configuration of its start, at this time.
    pub(crate) const fn new(started: u64) -> Self {
        Self {
            applied: Cell::new(0),
            unchanged: Cell::new(0),
            refused: Cell::new(0),
            since: Cell::new(started),
            refusal: RefCell::new(None),
        }
    }

    pub(super) fn applied(&self, now: u64) {
        self.applied.set(self.applied.get() + 1);
        self.since.set(now);
        self.refusal.replace(None);
    }

    pub(super) fn unchanged(&self) {
        self.unchanged.set(self.unchanged.get() + 1);
        self.refusal.replace(None);
    }

    pub(super) fn refused(&self, why: String) {
        self.refused.set(self.refused.get() + 1);
        self.refusal.replace(Some(why));
    }

    /// When the configuration that runs was taken over, in seconds since 1970.
    pub(crate) const fn since(&self) -> u64 {
        self.since.get()
    }

    /// Why the file as it was read last is not taken over; `None` if it is.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.refusal.borrow().clone()
    }

    /// Adds all of it.
    pub(crate) fn report(&self, report: &mut Report) {
        report.counter_by(
            "jlb_config_reloads_total",
            "Times that the cluster file was read again, by what came of it.",
            "result",
            &[
                ("applied", self.applied.get()),
                ("unchanged", self.unchanged.get()),
                ("refused", self.refused.get()),
            ],
        );
        report.gauge(
            "jlb_config_refused",
            "Whether the cluster file as it was read last is refused, and an earlier one runs.",
            &[],
            u64::from(self.refusal.borrow().is_some()),
        );
        report.gauge(
            "jlb_config_applied_time_seconds",
            "When the configuration that runs was taken over, in seconds since 1970.",
            &[],
            self.since.get(),
        );
    }
}
