//! What the data thread tells of itself: a consistent moment of its books and gauges.

use jlb_protocol::Ledger;
use jlb_protocol::view::Member;
use std::time::Duration;

/// Whether a sample only grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SampleKind {
    /// Grows until the process ends.
    Counter,
    /// A value of the moment.
    Gauge,
}

/// One value under a metric's name and labels.
#[derive(Clone, PartialEq, Debug)]
pub struct Sample {
    /// The metric's name, see `docs/operations.md`.
    pub name: &'static str,
    /// What it tells, one sentence.
    pub help: &'static str,
    /// Whether it only grows.
    pub kind: SampleKind,
    /// Label names and values.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

/// A node of the view.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberLine {
    /// What the view says of it.
    pub member: Member,
    /// Its name, or its number if the configuration has no name for it.
    pub name: String,
    /// How long it has not been heard of; `None` if it never was, or is this node itself.
    pub silence: Option<Duration>,
}

/// That a node drains, and how far that is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DrainLine {
    /// By whose word: `file`, `command`, `stop`.
    pub by: Vec<&'static str>,
    /// For how long.
    pub since: Duration,
    /// How long it is until what is left is closed; zero afterwards, `None` for ever.
    pub deadline: Option<Duration>,
    /// Connections that are left, where the role has any of its own.
    pub left: Option<u64>,
}

/// A consistent moment of the data thread, taken between two turns of its loop.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Packets between the TUN device and the role.
    pub stack: Ledger,
    /// Datagrams between the underlay and the role.
    pub link: Ledger,
    /// The role's own books.
    pub role: Ledger,
    /// The role's own counters and gauges.
    pub samples: Vec<Sample>,
    /// The fingerprint of the node's view.
    pub view: u64,
    /// The fingerprint of the cluster-wide configuration that it runs.
    pub configuration: u64,
    /// The view, sorted by number.
    pub members: Vec<MemberLine>,
    /// Why the node can't do its work yet; `None` when it can.
    pub not_ready: Option<String>,
    /// How far draining is; `None` if the node does not drain.
    pub draining: Option<DrainLine>,
}

impl Report {
    /// Adds a counter; values beyond 2^53 lose their last digits.
    pub fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &dyn ToString)],
        value: u64,
    ) {
        self.push(name, help, SampleKind::Counter, labels, value as f64);
    }

    /// Adds a gauge.
    pub fn gauge(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &dyn ToString)],
        value: impl Value,
    ) {
        self.push(name, help, SampleKind::Gauge, labels, value.to_f64());
    }

    /// Adds counters without labels: name, help, value.
    pub fn counters(&mut self, counters: &[(&'static str, &'static str, u64)]) {
        for &(name, help, value) in counters {
            self.counter(name, help, &[], value);
        }
    }

    /// Adds gauges without labels: name, help, value.
    pub fn gauges(&mut self, gauges: &[(&'static str, &'static str, u64)]) {
        for &(name, help, value) in gauges {
            self.gauge(name, help, &[], value);
        }
    }

    /// Adds one counter for each value of a label.
    pub fn counter_by(
        &mut self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: &[(&'static str, u64)],
    ) {
        for (of, value) in values {
            self.counter(name, help, &[(label, of)], *value);
        }
    }

    fn push(
        &mut self,
        name: &'static str,
        help: &'static str,
        kind: SampleKind,
        labels: &[(&'static str, &dyn ToString)],
        value: f64,
    ) {
        let labels = labels
            .iter()
            .map(|(label, value)| (*label, value.to_string()))
            .collect();
        self.samples.push(Sample {
            name,
            help,
            kind,
            labels,
            value,
        });
    }
}

/// A number that a gauge takes; integers beyond 2^53 lose their last digits.
pub trait Value {
    /// The number as Prometheus has it.
    fn to_f64(self) -> f64;
}

impl Value for u64 {
    fn to_f64(self) -> f64 {
        self as f64
    }
}

impl Value for f64 {
    fn to_f64(self) -> f64 {
        self
    }
}
