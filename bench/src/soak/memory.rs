//! What nodes hold of the machine's memory, over time.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::error::{Doing, LabError, Result};

/// The part of the time that counts: the last two thirds. Before, tables grow to their usual size.
const COUNTS_FROM: f64 = 1.0 / 3.0;

/// The readings that are averaged at both ends of that time, as a share of it.
const END: f64 = 0.1;

/// Readings of all nodes.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    nodes: BTreeMap<String, Vec<(Duration, u64)>>,
}

/// How one node's memory went.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Growth {
    pub(super) node: String,
    /// Resident at the first reading, in KiB.
    pub(super) first_kib: u64,
    /// The mean of the readings at the beginning of the time that counts, in KiB.
    pub(super) from_kib: f64,
    /// The mean of the readings at its end, in KiB.
    pub(super) to_kib: f64,
    /// The most that was ever read, in KiB.
    pub(super) most_kib: u64,
    /// From the one to the other, in KiB.
    pub(super) growth_kib: f64,
}

impl Memory {
    /// Takes a reading; they come in order.
    pub(super) fn take(&mut self, node: &str, after: Duration, kib: u64) {
        let readings = self.nodes.entry(node.to_owned()).or_default();
        readings.push((after, kib));
    }

    /// How it went, by node.
    pub(super) fn growth(&self) -> Vec<Growth> {
        let of = |(node, readings): (&String, &Vec<(Duration, u64)>)| {
            let &(_, first_kib) = readings.first()?;
            let &(end, _) = readings.last()?;
            let from = end.mul_f64(COUNTS_FROM);
            let part = (end - from).mul_f64(END);
            let mean = |low: Duration, high: Duration| {
                let within = readings.iter().filter(|(at, _)| (low..=high).contains(at));
                let (count, sum) = within.fold((0.0, 0.0), |(count, sum), &(_, kib)| {
                    (count + 1.0, sum + kib as f64)
                });
                (count > 0.0).then(|| sum / count)
            };
            let from_kib = mean(from, from + part).or_else(|| mean(from, end))?;
            let to_kib = mean(end - part, end)?;
            Some(Growth {
                node: node.clone(),
                first_kib,
                from_kib,
                to_kib,
                most_kib: readings.iter().map(|&(_, kib)| kib).max()?,
                // From the middle of one end to that of the other is not all of it.
                growth_kib: (to_kib - from_kib) / (1.0 - END),
            })
        };
        self.nodes.iter().filter_map(of).collect()
    }
}

/// The resident memory of a process, in KiB.
pub(super) fn resident_kib(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).doing(format_args!("read {path}"))?;
    parse(&text).ok_or_else(|| LabError::new(format!("{path} has no VmRSS")))
}

fn parse(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests;
