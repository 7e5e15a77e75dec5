//! The options of `jlb bench lab`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::row::{ROWS, Row};
use super::workload::Workload;

/// What is asked of the rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Kind {
    /// As many small requests as get answered, on connections that stay
    Keepalive,
    /// As many connections as get answered, each for one small request
    Connections,
    /// As many answers of 1 MiB as there is room for
    Bulk,
    /// How long answers take at a fixed rate, of requests and of connections
    Latency,
}

/// What is measured, and how long.
#[derive(Clone, Debug, Args)]
pub(crate) struct SideBySideOptions {
    /// Measure this alone (repeatable); without any, all
    #[arg(long, value_enum, value_name = "WORKLOAD")]
    workload: Vec<Kind>,
    /// Measure this row alone, and `direct`, with which it is compared (repeatable); without any, all
    #[arg(long, value_name = "ROW", value_parser = names())]
    row: Vec<String>,
    /// Rounds; in each of them every row has its turn
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    alternations: Option<u32>,
    /// Seconds of each turn that are measured
    #[arg(long, value_parser = seconds)]
    seconds: Option<f64>,
    /// Milliseconds of each turn before that
    #[arg(long, value_parser = clap::value_parser!(u64).range(0..=600_000))]
    warm_up_ms: Option<u64>,
    /// A minute's version: two rounds of short turns
    #[arg(long)]
    pub(crate) quick: bool,
    /// Connections at a time; of `latency` with a connection a request: as many as it takes
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=8_192))]
    pub(crate) connections: u32,
    /// Requests a second of `latency`
    #[arg(long, default_value_t = 8_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) rate: u32,
    /// Connections a second of `latency`
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) connection_rate: u32,
    /// Threads that make the load
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) threads: u32,
    /// How JLB chooses hosts
    #[arg(long, default_value = "round-robin")]
    pub(crate) policy: String,
    /// From which the orders of turns are drawn
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Fail if a program is missing whose row is to be measured
    #[arg(long)]
    pub(crate) require_peers: bool,
    /// Then sample the stacks of JLB's processes with perf, for flame graphs on the page
    #[arg(long)]
    pub(crate) flame: bool,
    /// Write all figures as JSON to this file; - is standard output, which then has nothing else
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write a page with plots to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

fn names() -> clap::builder::PossibleValuesParser {
    ROWS.iter()
        .map(|row| clap::builder::PossibleValue::new(row.name).help(row.what))
        .collect::<Vec<_>>()
        .into()
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.05..=3_600.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("must be from 0.05 to 3600".to_owned())
    }
}

impl SideBySideOptions {
    /// Rounds.
    pub(crate) fn alternations(&self) -> u32 {
        self.alternations.unwrap_or(if self.quick { 2 } else { 5 })
    }

    /// How long each turn is measured.
    pub(crate) fn measured(&self) -> Duration {
        let usual = if self.quick { 0.4 } else { 2.0 };
        Duration::from_secs_f64(self.seconds.unwrap_or(usual))
    }

    /// How long it is not, before that.
    pub(crate) fn warm_up(&self) -> Duration {
        let usual = if self.quick { 100 } else { 500 };
        Duration::from_millis(self.warm_up_ms.unwrap_or(usual))
    }

    /// The rows that were asked for, in their usual order; `direct` is always one of them.
    pub(crate) fn rows(&self) -> Vec<&'static Row> {
        let wanted = |row: &&Row| {
            self.row.is_empty() || row.is_direct() || self.row.iter().any(|name| name == row.name)
        };
        ROWS.iter().filter(wanted).collect()
    }

    /// The workloads that were asked for, in their usual order.
    pub(crate) fn workloads(&self) -> Vec<Workload> {
        let wanted = |kind| self.workload.is_empty() || self.workload.contains(&kind);
        Workload::ALL
            .into_iter()
            .filter(|workload| wanted(workload.kind()))
            .collect()
    }

    /// The command that measures the same again.
    pub(crate) fn command(&self) -> String {
        let mut command = format!(
            "jlb bench lab --alternations {} --seconds {} --warm-up-ms {} --connections {} --rate {} \
             --connection-rate {} --threads {} --policy {} --seed {}",
            self.alternations(),
            self.measured().as_secs_f64(),
            self.warm_up().as_millis(),
            self.connections,
            self.rate,
            self.connection_rate,
            self.threads,
            self.policy,
            self.seed,
        );
        if self.flame {
            command.push_str(" --flame");
        }
        for kind in &self.workload {
            if let Some(value) = kind.to_possible_value() {
                command.push_str(&format!(" --workload {}", value.get_name()));
            }
        }
        for row in &self.row {
            command.push_str(&format!(" --row {row}"));
        }
        command
    }
}
