//! What the turns of a row show together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::run::Run;

/// The least, the middle and the largest of some values.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of values; `None` without any.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let half = values.len() / 2;
        let upper = *values.get(half)?;
        let median = if values.len() % 2 == 1 {
            upper
        } else {
            f64::midpoint(values[half - 1], upper)
        };
        Some(Self {
            min: *values.first()?,
            median,
            max: *values.last()?,
        })
    }
}

/// A row of a table.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) row: String,
    pub(crate) runs: usize,
    /// Of the table's unit.
    pub(crate) rate: Spread,
    /// The rate, divided by that of `direct` in the same round.
    pub(crate) ratio: Option<Spread>,
    pub(crate) p50_us: Spread,
    pub(crate) p99_us: Spread,
    pub(crate) p999_us: Spread,
    /// Microseconds of all processors a request, or MiB.
    pub(crate) cpu_us: Spread,
    /// Less that of `direct` in the same round.
    pub(crate) added_us: Option<Spread>,
    /// How much of the machine was busy.
    pub(crate) busy: Spread,
    /// Microseconds a request, or MiB, of processes by kind.
    pub(crate) own_us: BTreeMap<String, Spread>,
    /// Packets a request, or MiB, that the balancer received and sent.
    pub(crate) packets: Option<Spread>,
    /// What went wrong, by kind, in all turns.
    pub(crate) errors: BTreeMap<String, u64>,
    /// The first few of them in words.
    pub(crate) first_errors: Vec<String>,
}

/// What a row is compared with.
const DIRECT: &str = "direct";

/// Kinds of processes that are not the balancer's own.
pub(super) const NOT_THE_BALANCER: [&str; 2] = ["client", "servers"];

impl Line {
    /// Of the turns of `row`, among all turns of a workload; `None` if it had none.
    pub(crate) fn of(row: &str, all: &[&Run]) -> Option<Self> {
        let runs: Vec<&Run> = all.iter().copied().filter(|run| run.row == row).collect();
        let spread = |value: fn(&Run) -> f64| Spread::of(runs.iter().map(|run| value(run)));
        let direct = |run: &Run| {
            let mut found = all.iter().copied();
            found.find(|it| it.row == DIRECT && it.alternation == run.alternation)
        };
        let paired = |value: fn(&Run, &Run) -> f64| {
            let pairs = runs.iter().filter_map(|run| Some((run, direct(run)?)));
            Spread::of(pairs.map(|(run, direct)| value(run, direct)))
        };
        let mut own: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let mut errors: BTreeMap<String, u64> = BTreeMap::new();
        for run in &runs {
            for (group, &us) in &run.own_us {
                own.entry(group.clone()).or_default().push(us);
            }
            for (kind, count) in &run.errors {
                *errors.entry(kind.clone()).or_default() += count;
            }
        }
        let own = own.into_iter();
        Some(Self {
            row: row.to_owned(),
            runs: runs.len(),
            rate: spread(|run| run.rate)?,
            ratio: paired(|run, direct| run.rate / direct.rate),
            p50_us: spread(|run| run.latency.p50_us)?,
            p99_us: spread(|run| run.latency.p99_us)?,
            p999_us: spread(|run| run.latency.p999_us)?,
            cpu_us: spread(|run| run.cpu_us)?,
            added_us: paired(|run, direct| run.cpu_us - direct.cpu_us),
            busy: spread(|run| run.busy)?,
            own_us: own
                .filter_map(|(group, values)| Some((group, Spread::of(values)?)))
                .collect(),
            packets: Spread::of(runs.iter().filter_map(|run| run.packets)),
            errors,
            first_errors: runs
                .iter()
                .flat_map(|run| run.first_errors.iter().cloned())
                .take(5)
                .collect(),
        })
    }

    /// Whether it is what all others are compared with.
    pub(crate) fn is_direct(&self) -> bool {
        self.row == DIRECT
    }

    /// How many requests went wrong.
    pub(crate) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// The balancer's own processes, by kind.
    pub(crate) fn balancer_us(&self) -> impl Iterator<Item = (&str, Spread)> {
        let all = self.own_us.iter();
        all.filter(|(group, _)| !NOT_THE_BALANCER.contains(&group.as_str()))
            .map(|(group, &spread)| (group.as_str(), spread))
    }
}

#[cfg(test)]
mod tests;
