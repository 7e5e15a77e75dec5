//! One turn of one row, in figures.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::row::Row;
use super::sample::Work;
use super::workload::Workload;
use crate::generator::Outcome;

/// Bytes of a MiB.
const MIB: f64 = 1_048_576.0;

/// What a turn showed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) workload: String,
    pub(crate) row: String,
    /// Which round it was in.
    pub(crate) alternation: u32,
    /// How long was measured.
    pub(crate) seconds: f64,
    /// Right answers in that time.
    pub(crate) answered: u64,
    /// Requests that were due in that time, at a fixed rate.
    pub(crate) due: u64,
    /// Of the workload's unit.
    pub(crate) rate: f64,
    pub(crate) latency: Latency,
    /// At a fixed rate: how long answers took from when requests were sent, not from when they were due. It shows what
    /// would be seen by who forgets what had to wait.
    pub(crate) uncorrected: Option<Latency>,
    /// Microseconds of all processors a request, or MiB.
    pub(crate) cpu_us: f64,
    /// How much of the machine was busy: 1 is all of it.
    pub(crate) busy: f64,
    /// Microseconds a request, or MiB, of the processes of each kind.
    pub(crate) own_us: BTreeMap<String, f64>,
    /// Packets a request, or MiB, that the balancer received and sent; those of both directions.
    pub(crate) packets: Option<f64>,
    /// Connections opened, the warm-up included.
    pub(crate) connected: u64,
    /// What went wrong, by kind, the warm-up included.
    pub(crate) errors: BTreeMap<String, u64>,
    /// The first few of them in words.
    pub(crate) first_errors: Vec<String>,
}

/// Microseconds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
}

impl Latency {
    pub(crate) fn of(histogram: &hdrhistogram::Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        Self {
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: histogram.max() as f64 / 1_000.0,
        }
    }
}

impl Run {
    /// Puts together what the load saw and what the machine did meanwhile; `balancer` is the node whose packets count.
    pub(super) fn new(
        row: &Row,
        workload: Workload,
        alternation: u32,
        outcome: &Outcome,
        work: &Work,
        balancer: Option<&str>,
    ) -> Self {
        let done = match workload {
            Workload::Bulk => outcome.bytes as f64 / MIB,
            _ => outcome.answered as f64,
        };
        // Without an answer there is no cost of one.
        let each = |amount: f64| if done > 0.0 { amount / done } else { 0.0 };
        let own = work.ran.iter();
        let packets = balancer.and_then(|name| work.packets.get(name));
        Self {
            workload: workload.name().to_owned(),
            row: row.name.to_owned(),
            alternation,
            seconds: work.seconds,
            answered: outcome.answered,
            due: outcome.due,
            rate: done / work.seconds,
            latency: Latency::of(&outcome.latency),
            uncorrected: workload
                .is_open()
                .then(|| Latency::of(&outcome.uncorrected)),
            cpu_us: each(work.busy * 1e6),
            busy: work.busy_share(),
            own_us: own
                .map(|(&group, &ran)| (group.to_owned(), each(ran * 1e6)))
                .collect(),
            packets: packets.map(|[received, sent]| each((received + sent) as f64)),
            connected: outcome.connected,
            errors: outcome
                .errors
                .iter()
                .map(|(kind, &count)| (kind.name().to_owned(), count))
                .collect(),
            first_errors: outcome.words.clone(),
        }
    }
}
