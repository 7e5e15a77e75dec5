//! Many runs on several threads.

use crate::checks::{Rule, Violation};
use crate::outcome::{Outcome, Tally};
use crate::plan::Plan;
use crate::world::World;
use core::ops::Range;
use core::time::Duration;
use jlb_protocol::Time;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};

/// What came of many runs.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Runs that ended.
    pub runs: u64,
    /// The sums of all runs.
    pub tally: Tally,
    /// The violations found, at most as many as asked for; by seed.
    pub failed: Vec<Outcome>,
    /// What recovery took, in runs that lose a share of each tier.
    pub recoveries: Vec<Outcome>,
    /// How far the simulated time of each run under way has come, in milliseconds.
    pub under_way: Vec<u64>,
}

/// Runs one seed. A panic is what was found, and the others go on.
fn run_one(seed: u64, plan: &Plan, clock: &Arc<AtomicU64>) -> Outcome {
    let run = || {
        let world = World::new(seed, plan.clone());
        world.clocked(Arc::clone(clock)).run()
    };
    std::panic::catch_unwind(run).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Outcome {
            seed,
            tally: Tally::default(),
            violation: Some(Violation {
                rule: Rule::Panics,
                at: Time::ZERO,
                client: None,
                words: words.unwrap_or_else(|| "a panic without words".to_owned()),
            }),
            trace: Vec::new(),
            recovery: None,
        }
    })
}

/// Runs the seeds on so many threads. After `max_failures` violations no more runs are begun.
/// `progress` is called with the sums of the runs that have ended, once each `every`.
pub fn run_seeds(
    plan: &Plan,
    seeds: Range<u64>,
    jobs: usize,
    max_failures: usize,
    every: Duration,
    mut progress: impl FnMut(&Summary),
) -> Summary {
    let next = AtomicU64::new(seeds.start);
    let mut summary = Summary::default();
    let (sender, outcomes) = mpsc::channel();
    let clocks: Vec<Arc<AtomicU64>> = (0..jobs.max(1)).map(|_| Arc::default()).collect();
    std::thread::scope(|scope| {
        for clock in &clocks {
            let sender = sender.clone();
            let next = &next;
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let outcome = run_one(seed, plan, clock);
                    if sender.send(outcome).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        loop {
            let times = clocks.iter().map(|clock| clock.load(Ordering::Relaxed));
            summary.under_way = times.collect();
            match outcomes.recv_timeout(every) {
                Ok(outcome) => {
                    summary.runs += 1;
                    summary.tally.add(&outcome.tally);
                    if !outcome.is_clean() {
                        summary.failed.push(outcome);
                        if summary.failed.len() >= max_failures {
                            next.store(seeds.end, Ordering::Relaxed);
                        }
                    } else if outcome.recovery.is_some() {
                        summary.recoveries.push(outcome);
                    }
                    progress(&summary);
                }
                Err(RecvTimeoutError::Timeout) => progress(&summary),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
    });
    summary.failed.sort_by_key(|outcome| outcome.seed);
    summary
}
