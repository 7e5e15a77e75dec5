//! `jlb sim`: runs worlds and says what came of them.

use crate::plan::Plan;
use crate::runner::{Summary, run_seeds};
use clap::Args;
use core::ops::Range;
use core::time::Duration;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// Between two lines of progress.
const EVERY: Duration = Duration::from_secs(5);

/// Run simulated clusters: the production state machines on a made-up network and clock.
#[derive(Args, Clone, Debug)]
pub struct SimArgs {
    /// One seed: it decides everything in a run.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Seeds from A to B, B not included.
    #[arg(long, value_name = "A..B", value_parser = parse_seeds)]
    seeds: Option<Range<u64>>,
    /// A plan file (TOML), or the name of a plan that comes with the program: default, calm,
    /// rough, hunts, racks, many-flows, recovery-large.
    #[arg(long, default_value = "default")]
    plan: String,
    /// Threads [default: all cores].
    #[arg(long)]
    jobs: Option<usize>,
    /// Go on until so many violations are found.
    #[arg(long, default_value_t = 1)]
    max_failures: usize,
    /// Print the sums of the runs in full.
    #[arg(long)]
    verbose: bool,
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("{text} is not a range of seeds such as 0..1000");
    let (first, end) = text.split_once("..").ok_or_else(wrong)?;
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
    let range = number(first)?..number(end)?;
    if range.is_empty() {
        return Err(format!("{text} holds no seed"));
    }
    Ok(range)
}

/// Runs what the arguments say. The time that it takes is told by `clock`, which counts from any
/// moment on.
pub fn command(args: &SimArgs, clock: impl Fn() -> Duration) -> ExitCode {
    let plan = match read_plan(&args.plan) {
        Ok(plan) => plan,
        Err(words) => {
            say(&mut std::io::stderr(), &format!("jlb sim: {words}"));
            return ExitCode::from(2);
        }
    };
    let seeds = match (&args.seeds, args.seed) {
        (Some(seeds), _) => seeds.clone(),
        (None, Some(seed)) => seed..seed.saturating_add(1),
        (None, None) => 0..100,
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let count = usize::try_from(seeds.end - seeds.start).unwrap_or(usize::MAX);
    let jobs = args.jobs.unwrap_or(cores).min(count);
    let begun = clock();
    let mut told = begun;
    let total = seeds.end - seeds.start;
    let summary = run_seeds(
        &plan,
        seeds,
        jobs,
        args.max_failures.max(1),
        EVERY,
        |summary| {
            let now = clock();
            if now.saturating_sub(told) >= EVERY {
                told = now;
                let line = progress(summary, total, now.saturating_sub(begun));
                say(&mut std::io::stderr(), &line);
            }
        },
    );
    report(args, &summary, clock().saturating_sub(begun), jobs)
}

fn progress(summary: &Summary, total: u64, took: Duration) -> String {
    let Summary {
        runs,
        tally,
        failed,
        under_way,
        ..
    } = summary;
    let seconds = took.as_secs();
    let violations = failed.len();
    let flows = tally.flows;
    let last = failed.last().map_or(String::new(), |outcome| {
        format!(", the last with seed {}", outcome.seed)
    });
    // Of short runs nobody wants to know.
    let far = under_way.iter().max().copied().unwrap_or(0) / 1000;
    let far = if runs + under_way.len() as u64 >= total {
        format!("; under way at {far} s")
    } else {
        String::new()
    };
    format!(
        "{seconds:>5} s: {runs} of {total} runs, {flows} flows, {violations} violations{last}{far}"
    )
}

fn report(args: &SimArgs, summary: &Summary, took: Duration, jobs: usize) -> ExitCode {
    let mut out = std::io::stdout();
    let plan = &args.plan;
    for outcome in &summary.failed {
        let seed = outcome.seed;
        say(&mut out, &format!("{outcome}"));
        say(
            &mut out,
            &format!("to reproduce: jlb sim --plan {plan} --seed {seed}\n"),
        );
    }
    for outcome in &summary.recoveries {
        if let Some(recovery) = &outcome.recovery {
            let seed = outcome.seed;
            say(&mut out, &format!("seed {seed}: {recovery:#?}"));
        }
    }
    let Summary { runs, tally, .. } = summary;
    if args.verbose {
        say(&mut out, &format!("{tally:#?}"));
    }
    let seconds = took.as_secs_f64().max(0.001);
    let rate = |count: u64| (count as f64 / seconds) as u64;
    let lines = [
        format!(
            "{runs} runs of plan {plan}, {} violations",
            summary.failed.len()
        ),
        format!(
            "{} flows, {} of them in runs with a crash and a change of view among 100 or more open \
             connections; {} excused",
            tally.flows, tally.flows_in_crowds, tally.excused
        ),
        format!(
            "{} connected, {} refused, {} timed out; most open at once: {}",
            tally.connected, tally.refused, tally.timed_out, tally.most_live
        ),
        format!(
            "{} events and {} s simulated in {seconds:.1} s on {jobs} threads: {} flows/s, {} events/s",
            tally.events,
            tally.millis / 1000,
            rate(tally.flows),
            rate(tally.events)
        ),
    ];
    for line in lines {
        say(&mut out, &line);
    }
    if summary.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn read_plan(name: &str) -> Result<Plan, String> {
    if let Some(plan) = Plan::named(name) {
        return plan.map_err(|error| format!("plan {name}: {error}"));
    }
    let text = std::fs::read_to_string(Path::new(name)).map_err(|error| {
        let known: Vec<_> = Plan::names().collect();
        let known = known.join(", ");
        format!("can't read plan file {name}: {error} (plans known by name: {known})")
    })?;
    Plan::parse(&text).map_err(|error| format!("{name}: {error}"))
}

fn say(out: &mut impl Write, words: &str) {
    // Where nobody can read it, the status still tells.
    let _ = writeln!(out, "{words}");
}
