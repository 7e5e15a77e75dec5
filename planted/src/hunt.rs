//! Runs a plan's worlds until a checker finds something.

use jlb_sim::{Outcome, Plan, Violation, World};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the worlds of a plan showed.
#[derive(Clone, Debug, Default)]
pub struct Hunt {
    /// Worlds that were run up to the first violation, that one included.
    pub seeds: u64,
    /// Flows in them.
    pub flows: u64,
    /// The first violation, by the order of seeds.
    pub violation: Option<Violation>,
    /// What became of the flow concerned.
    pub trace: Vec<String>,
}

/// Runs the worlds of the seeds from 0 on, `most` of them at most, on all cores.
#[must_use]
pub fn hunt(plan: &Plan, most: u64) -> Hunt {
    let next = AtomicU64::new(0);
    let end = AtomicU64::new(most);
    let outcomes = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end.load(Ordering::Relaxed) {
                        return;
                    }
                    let outcome = World::new(seed, plan.clone()).run();
                    if !outcome.is_clean() {
                        end.fetch_min(seed, Ordering::Relaxed);
                    }
                    if let Ok(mut outcomes) = outcomes.lock() {
                        outcomes.push(outcome);
                    }
                }
            });
        }
    });
    let mut outcomes: Vec<Outcome> = outcomes.into_inner().unwrap_or_default();
    outcomes.sort_by_key(|outcome| outcome.seed);
    let mut hunt = Hunt::default();
    for outcome in outcomes {
        hunt.seeds += 1;
        hunt.flows += outcome.tally.flows;
        if outcome.violation.is_some() {
            hunt.violation = outcome.violation;
            hunt.trace = outcome.trace;
            break;
        }
    }
    hunt
}
