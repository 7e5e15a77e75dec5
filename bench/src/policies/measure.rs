//! Runs the plan on all processors. Every run has its own seed, so that the figures are the same with any number of
//! threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use jlb_queueing::{Measured, estimate};
use serde::{Deserialize, Serialize};

use super::plan::{Line, Section};

/// A figure with half of its 95 % confidence interval.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) mean: f64,
    pub(crate) plus_minus: f64,
}

impl Figure {
    /// Of independent runs.
    pub(crate) fn of(runs: &[f64]) -> Self {
        let found = estimate(runs);
        Self {
            mean: short(found.mean),
            plus_minus: short(found.half_width),
        }
    }
}

/// What a line showed over all seeds. Times are in units of the mean work.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) setting: String,
    pub(crate) load: f64,
    pub(crate) policy: String,
    pub(crate) admission: String,
    pub(crate) knowledge: String,
    /// Whether it knows no more than trackers really do.
    pub(crate) ours: bool,
    /// Whether the last host of a search must take what others rejected.
    pub(crate) must_accept: bool,
    /// What theory or a paper says that the mean response is.
    pub(crate) expected: Option<f64>,
    pub(crate) mean: Figure,
    pub(crate) p50: Figure,
    pub(crate) p95: Figure,
    pub(crate) p99: Figure,
    /// Jain's index of the hosts' connections for their capacity, on average over moments.
    pub(crate) fairness: f64,
    /// Coefficient of variation of the same.
    pub(crate) spread: f64,
    /// Coefficient of variation over the hosts of the jobs that each took for its capacity.
    pub(crate) shares: f64,
    pub(crate) rejects: Figure,
    pub(crate) refused: f64,
    /// The part of the jobs that a failing host took.
    pub(crate) failed: f64,
    /// Reports that a host sent each tracker in a unit of time.
    pub(crate) reports: f64,
}

/// A section's rows.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) rows: Vec<Row>,
}

/// Runs all lines with all seeds on so many threads; `unit` is the mean work in milliseconds. Says after each run how
/// many are done.
pub(crate) fn measure(
    sections: &[Section],
    seeds: &[u64],
    unit: f64,
    threads: usize,
    done: &(dyn Fn(usize) + Sync),
) -> Vec<Table> {
    let lines: Vec<&Line> = sections.iter().flat_map(|it| &it.lines).collect();
    let runs = lines.len() * seeds.len();
    let results: Vec<Mutex<Option<Shown>>> = (0..runs).map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let run = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(result), Some(line)) =
                        (results.get(run), lines.get(run / seeds.len().max(1)))
                    else {
                        break;
                    };
                    let seed = seeds[run % seeds.len()];
                    let mut cluster = line.cluster.clone();
                    cluster.seed = seed;
                    let shown = Shown::new(&line.combination.run(&cluster));
                    *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
                    done(1);
                }
            });
        }
    });
    let mut shown = results
        .into_iter()
        .filter_map(|it| it.into_inner().unwrap_or_else(PoisonError::into_inner));
    let mut tables = Vec::new();
    for section in sections {
        let rows = section.lines.iter().map(|line| {
            let of_line: Vec<Shown> = shown.by_ref().take(seeds.len()).collect();
            row(line, &of_line, unit)
        });
        tables.push(Table {
            name: section.name.to_owned(),
            title: section.title.clone(),
            rows: rows.collect(),
        });
    }
    tables
}

/// What one run showed, without its responses.
pub(crate) struct Shown {
    pub(crate) mean: f64,
    p50: f64,
    p95: f64,
    p99: f64,
    fairness: f64,
    spread: f64,
    shares: f64,
    rejects: f64,
    refused: f64,
    failed: f64,
    reports: f64,
}

impl Shown {
    pub(crate) fn new(measured: &Measured) -> Self {
        Self {
            mean: measured.mean(),
            p50: measured.quantile(500),
            p95: measured.quantile(950),
            p99: measured.quantile(990),
            fairness: measured.fairness,
            spread: measured.spread,
            shares: measured.shares,
            rejects: measured.rejects_each(),
            refused: measured.refused_part(),
            failed: measured.failed_part(),
            reports: measured.reports,
        }
    }
}

/// What the runs of a line say together; `unit` is the mean work in milliseconds.
pub(crate) fn row(line: &Line, runs: &[Shown], unit: f64) -> Row {
    let figure = |of: fn(&Shown) -> f64| Figure::of(&runs.iter().map(of).collect::<Vec<_>>());
    Row {
        setting: line.setting.clone(),
        load: line.cluster.load,
        policy: line.combination.policy(),
        admission: line.combination.admission(),
        knowledge: line.combination.knowledge(unit),
        ours: line.combination.is_ours(),
        must_accept: line.combination.must_accept(),
        expected: line.expected.map(short),
        mean: figure(|it| it.mean),
        p50: figure(|it| it.p50),
        p95: figure(|it| it.p95),
        p99: figure(|it| it.p99),
        fairness: figure(|it| it.fairness).mean,
        spread: figure(|it| it.spread).mean,
        shares: figure(|it| it.shares).mean,
        rejects: figure(|it| it.rejects),
        refused: figure(|it| it.refused).mean,
        failed: figure(|it| it.failed).mean,
        reports: figure(|it| it.reports).mean,
    }
}

/// Six decimals: more would be noise, and fewer digits are read back as they were written.
fn short(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests;
