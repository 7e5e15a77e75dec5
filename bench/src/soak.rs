//! `jlb bench soak`: connections come and go for a long time, and nothing grows.
//!
//! First the rate is found at which the lab begins to lose something: requests, packets in queues, messages, or time.
//! Then connections come at four fifths of it, and the memory of every node is read every few seconds. In the end all
//! tables have to be empty and all books right.

mod document;
mod dropped;
mod memory;
mod search;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep_until};

use crate::chaos::lab_options;
use crate::error::{Doing, LabError, Result};
use crate::generator::{self, Job, Outcome, Sources};
use crate::lab::{LONG_FORGET_DEADLINE, Lab, Setting};
use crate::losses;
use crate::netns::Namespace;
use crate::plan::{Counts, Plan, VIP_V4};
use crate::run::{INTERRUPTED, root, say, unless_interrupted, write_file};
use crate::topology::CLIENT;
use document::{Document, Found};
use dropped::Dropped;
use memory::Memory;

/// The cluster: as small as it can be with every flow in two trackers and a choice of hosts.
const COUNTS: Counts = Counts {
    ingress: 1,
    trackers: 2,
    hosts: 4,
};

/// What is asked for, and the bytes of the answer.
const PATH: &str = "/bytes/128";
const BODY: u64 = 128;

/// The longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections at a time, at most.
const MOST_OPEN: u32 = 4_096;

/// Of the rate at which loss appears, so much is asked for.
const SHARE: f64 = 0.8;

/// How often memory is read.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);

/// What is asked of the soak.
#[derive(Clone, Debug, Args)]
pub(crate) struct SoakOptions {
    /// Minutes of load; memory may not grow in the last two thirds of them
    #[arg(long, default_value_t = 30.0, value_parser = minutes)]
    pub(crate) minutes: f64,
    /// Connections a second, instead of 80 % of what is lost first
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: Option<u32>,
    /// Connections a second with which the search for loss begins
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) from: u32,
    /// How JLB chooses hosts
    #[arg(long, default_value = "least-connections")]
    pub(crate) policy: String,
    /// KiB that a node may grow by in the last two thirds
    #[arg(long, default_value_t = 1_024, value_parser = clap::value_parser!(u64).range(0..=1_048_576))]
    pub(crate) most_growth: u64,
    /// Write all figures as JSON to this file; - is standard output, which then has nothing else
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

fn minutes(text: &str) -> std::result::Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.1..=10_080.0).contains(&minutes) {
        Ok(minutes)
    } else {
        Err("must be from 0.1 to 10080, a week".to_owned())
    }
}

/// Runs `jlb bench soak`.
pub(crate) fn run(options: &SoakOptions) -> Result<ExitCode> {
    root()?;
    let json = options.json.as_deref();
    let to_stdout = json == Some(Path::new("-"));
    if let Some(file) = json.filter(|_| !to_stdout) {
        // Found out before the long work, not after it.
        write_file(file, "")?;
    }
    let Some(document) = unless_interrupted(soak(options))? else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let text = serde_json::to_string_pretty(&document).doing("write the figures as JSON")?;
    if to_stdout {
        say(format_args!("{text}\n"))?;
    } else {
        say(format_args!("{document}"))?;
        if let Some(file) = json {
            write_file(file, &text)?;
        }
    }
    for problem in &document.problems {
        eprintln!("jlb bench: {problem}");
    }
    Ok(if document.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn soak(options: &SoakOptions) -> Result<Document> {
    let lab_options = crate::args::LabOptions {
        policy: options.policy.clone(),
        ..lab_options(COUNTS)
    };
    let lab = Lab::build(&lab_options, Setting::USUAL)?;
    let mut soak = Soak {
        lab,
        sources: Sources::new(Plan::client().map(|it| IpAddr::from(it.v4))),
    };
    soak.lab.ready().await?;
    let found = match options.rate {
        Some(rate) => Found::given(f64::from(rate)),
        None => search::first_loss(&mut soak, f64::from(options.from)).await?,
    };
    let length = Duration::from_secs_f64(options.minutes * 60.0);
    eprintln!(
        "jlb bench: {:.0} connections a second for {:.1} minutes",
        found.rate, options.minutes
    );
    let lost_before = soak.lab.losses()?;
    let dropped_before = Dropped::all(&soak.lab.metrics().await?);
    let (outcome, memory) = soak.load(found.rate, length).await?;
    let (forgotten, metrics) = soak.lab.forget(LONG_FORGET_DEADLINE).await?;
    let lost = losses::since(&lost_before, soak.lab.losses()?);
    let dropped = Dropped::since(&dropped_before, Dropped::all(&metrics));
    soak.lab.take_down()?;
    Ok(Document::new(
        options,
        found,
        &outcome,
        &memory,
        &forgotten,
        &metrics,
        (dropped, lost),
    ))
}

/// A lab that stands, and where its clients come from.
struct Soak {
    lab: Lab,
    sources: Sources,
}

impl Soak {
    fn job(&self, rate: f64, measured: Duration) -> Job {
        Job {
            targets: vec![SocketAddr::new(VIP_V4.into(), 80)],
            sources: self.sources.clone(),
            path: PATH,
            body: BODY,
            keep_alive: false,
            connections: MOST_OPEN,
            rate: Some(rate),
            threads: 1,
            warm_up: Duration::ZERO,
            measured,
            patience: PATIENCE,
        }
    }

    fn client(&self) -> Namespace {
        Namespace::existing(&self.lab.plan().namespace(CLIENT))
    }

    /// So many connections a second for so long, while the nodes are looked at.
    async fn load(&mut self, rate: f64, length: Duration) -> Result<(Outcome, Memory)> {
        let job = self.job(rate, length);
        let begin = generator::now();
        let mut memory = Memory::default();
        let client = self.client();
        let running = client.start(move || generator::run_here(&job, begin));
        tokio::pin!(running);
        let begin = Instant::from_std(begin);
        let mut next = begin;
        loop {
            tokio::select! {
                outcome = &mut running => return Ok((outcome?, memory)),
                () = sleep_until(next) => {
                    self.lab.check()?;
                    self.read_memory(next.duration_since(begin), &mut memory)?;
                    next += SAMPLE_INTERVAL;
                }
            }
        }
    }

    fn read_memory(&self, after: Duration, memory: &mut Memory) -> Result<()> {
        for node in &self.lab.plan().nodes {
            let pid = self
                .lab
                .pid(&node.name)
                .ok_or_else(|| LabError::new(format!("there is no process of {}", node.name)))?;
            memory.take(&node.name, after, memory::resident_kib(pid)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
