//! The options of `jlb bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::plan::{GRID, REPORTS, TRACKERS};

/// `jlb bench`: measure, and say what came out.
#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub(crate) command: BenchCommand,
}

/// What is measured.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Compare ways of choosing hosts, in a simulation of servers and of what trackers know of them
    Policies(PoliciesOptions),
}

/// What is compared, and how long.
#[derive(Clone, Debug, Args)]
pub(crate) struct PoliciesOptions {
    /// A minute's version: fewer loads and seeds, shorter runs
    #[arg(long)]
    pub(crate) quick: bool,
    /// Make these experiments alone, by their names; then nothing is judged
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = NAMES)]
    pub(crate) only: Vec<String>,
    /// Write all figures as JSON to this file; - is standard output, which then has nothing else
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write a page with plots to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Loads of the large table, each above 0 and below 1
    #[arg(long, value_name = "LOAD", value_delimiter = ',', value_parser = load)]
    pub(crate) loads: Vec<f64>,
    /// The load of everything else
    #[arg(long, value_name = "LOAD", default_value_t = 0.88, value_parser = load)]
    pub(crate) at: f64,
    /// The first seed; the others follow it
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Independent runs of each combination, with a seed each
    #[arg(long, value_parser = clap::value_parser!(u64).range(2..=1_000))]
    pub(crate) seeds: Option<u64>,
    /// Jobs that are timed in each run
    #[arg(long, value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    pub(crate) jobs: Option<u32>,
    /// Hosts
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(3..=2_000))]
    pub(crate) hosts: u16,
    /// Cores of a host
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) cores: u16,
    /// Flow trackers
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) trackers: u16,
    /// Milliseconds of work that a job is on average: what it takes alone on a core
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) work_ms: u32,
    /// Microseconds that a message takes from node to node
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(crate) delay_us: u32,
    /// Milliseconds between a host's reports, as `load_interval` in the cluster file
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) interval_ms: u32,
    /// Milliseconds after a report until a change may be reported, where changes are
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(crate) change_ms: u32,
    /// Threads; by default as many as there are processors. They change nothing in the figures
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub(crate) threads: Option<u16>,
}

/// Names of the experiments.
const NAMES: [&str; 7] = [
    "facts", GRID, REPORTS, TRACKERS, "others", "failing", "tried",
];

fn load(written: &str) -> Result<f64, String> {
    let load: f64 = written
        .parse()
        .map_err(|_| "write a number, for example 0.88".to_owned())?;
    if load > 0.0 && load < 1.0 {
        Ok(load)
    } else {
        Err("a load is above 0 and below 1: at 1 queues grow for ever".to_owned())
    }
}

impl PoliciesOptions {
    /// The loads of the large table, rising; [`Self::at`] is one of them.
    pub(crate) fn grid_loads(&self) -> Vec<f64> {
        let mut loads = if !self.loads.is_empty() {
            self.loads.clone()
        } else if self.quick {
            vec![0.5, 0.7, 0.95]
        } else {
            vec![0.3, 0.5, 0.6, 0.7, 0.8, 0.92, 0.95, 0.98]
        };
        loads.push(self.at);
        loads.sort_unstable_by(f64::total_cmp);
        loads.dedup();
        loads
    }

    /// Every run's seed.
    pub(crate) fn all_seeds(&self) -> Vec<u64> {
        let count = self.seeds.unwrap_or(if self.quick { 3 } else { 5 });
        (0..count).map(|nth| self.seed.wrapping_add(nth)).collect()
    }

    /// Jobs that are timed in each run.
    pub(crate) fn timed_jobs(&self) -> u32 {
        self.jobs
            .unwrap_or(if self.quick { 30_000 } else { 150_000 })
    }

    /// A span in units of the mean work.
    pub(crate) fn units(&self, milliseconds: f64) -> f64 {
        milliseconds / f64::from(self.work_ms)
    }
}
