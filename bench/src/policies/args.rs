//! The options of `jlb bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jlb_queueing::Discipline;

use crate::plan::MAX_NODES_OF_A_KIND;

use super::plan::{GRID, REPORTS, TRACKERS};

/// Where policies are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Where {
    /// In a simulation
    Simulator,
    /// In a cluster of real nodes on this machine, on real TCP: needs root
    Lab,
    /// In the simulation, then in the lab
    Both,
}

/// How hosts serve.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Serving {
    /// Cores are shared evenly by all jobs of a host
    Sharing,
    /// A core serves one job after the other; who comes when none is free waits
    Queue,
}

impl Serving {
    /// The word of the option.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sharing => "sharing",
            Self::Queue => "queue",
        }
    }
}

impl From<Serving> for Discipline {
    fn from(serving: Serving) -> Self {
        match serving {
            Serving::Sharing => Self::Sharing,
            Serving::Queue => Self::Queue,
        }
    }
}

/// What is run in the lab.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Part {
    /// A few policies at every load
    Order,
    /// Every policy and admission, at one load or those of --loads
    Pairs,
    /// Unequal hosts, a slow one, one that fails at once, heavy-tailed work
    Hosts,
}

impl Part {
    /// The word of the option.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Pairs => "pairs",
            Self::Hosts => "hosts",
        }
    }
}

/// The lab's sizes. It has one machine for all its hosts, whose servers are slept, not computed.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "In the lab")]
pub(crate) struct LabSizes {
    /// Only this part (repeatable); without any, all
    #[arg(long, value_enum, value_name = "PART")]
    pub(crate) lab_part: Vec<Part>,
    /// Hosts
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(3..=i64::from(MAX_NODES_OF_A_KIND)))]
    pub(crate) lab_hosts: u16,
    /// Flow trackers
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_NODES_OF_A_KIND)))]
    pub(crate) lab_trackers: u16,
    /// Milliseconds of work that a job is on average
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) lab_work_ms: u32,
    /// Milliseconds between a host's reports
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) lab_interval_ms: u32,
    /// Milliseconds after a report until a change may be reported
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) lab_change_ms: u32,
    /// Seconds of each run that are timed, after a fourth of that, or twenty jobs' work, to fill the hosts
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) lab_seconds: Option<u32>,
    /// A run in which one of a hundred jobs was sent so many milliseconds too late says more of the machine than of the
    /// policy: it is made again, once; 0: never
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=60_000))]
    pub(crate) lab_late_ms: u32,
    /// Runs of each combination, with a seed each; the combinations take turns
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(2..=1_000))]
    pub(crate) lab_seeds: u64,
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
    /// Where they are compared
    #[arg(long = "in", value_enum, value_name = "WHERE", default_value_t = Where::Simulator)]
    pub(crate) place: Where,
    /// How hosts serve
    #[arg(long, value_enum, default_value_t = Serving::Sharing)]
    pub(crate) serving: Serving,
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
    #[command(flatten)]
    pub(crate) lab: LabSizes,
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
        self.with_at(if !self.loads.is_empty() {
            self.loads.clone()
        } else if self.quick {
            vec![0.5, 0.7, 0.95]
        } else {
            vec![0.3, 0.5, 0.6, 0.7, 0.8, 0.92, 0.95, 0.98]
        })
    }

    fn with_at(&self, mut loads: Vec<f64>) -> Vec<f64> {
        loads.push(self.at);
        loads.sort_unstable_by(f64::total_cmp);
        loads.dedup();
        loads
    }

    /// The same experiment in the lab's sizes.
    pub(crate) fn in_lab(&self) -> Self {
        let lab = self.lab.clone();
        Self {
            hosts: lab.lab_hosts,
            trackers: lab.lab_trackers,
            work_ms: lab.lab_work_ms,
            interval_ms: lab.lab_interval_ms,
            change_ms: lab.lab_change_ms,
            seeds: Some(lab.lab_seeds),
            ..self.clone()
        }
    }

    /// The loads of the lab, rising, [`Self::at`] among them.
    pub(crate) fn lab_loads(&self) -> Vec<f64> {
        let loads = match (self.loads.is_empty(), self.quick) {
            (false, _) => self.loads.clone(),
            (true, false) => vec![0.3, 0.6, 0.95, 0.98],
            (true, true) => Vec::new(),
        };
        self.with_at(loads)
    }

    /// Seconds that are timed of each run in the lab.
    pub(crate) fn lab_seconds(&self) -> u32 {
        let usual = if self.quick { 3 } else { 4 };
        self.lab.lab_seconds.unwrap_or(usual)
    }

    /// Whether this is run in the lab.
    pub(crate) fn has_part(&self, part: Part) -> bool {
        let asked = &self.lab.lab_part;
        if asked.is_empty() {
            !self.quick || part != Part::Pairs
        } else {
            asked.contains(&part)
        }
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
