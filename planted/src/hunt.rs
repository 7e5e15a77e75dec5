//! Looks for a bug until a checker finds it.

use crate::occasions::Occasion;
use jlb_explore::{Case, Effort};
use jlb_sim::{Outcome, Plan, World};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Hunt {
    /// Worlds or states, up to the one in which something was wrong.
    pub looked_at: u64,
    /// Flows in these worlds.
    pub flows: u64,
    /// What was wrong, and according to which checker.
    pub found: Option<(String, String)>,
    /// What became of the flow concerned.
    pub trace: Vec<String>,
}

/// How far a hunt goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Worlds of a plan: their seeds begin at 0.
    pub seeds: u64,
    /// States of a case.
    pub states: u64,
}

/// Looks at the worlds or states of the occasion.
#[must_use]
pub fn hunt(occasion: &Occasion, bounds: Bounds) -> Hunt {
    match occasion {
        Occasion::Worlds { plan, .. } => simulate(plan, bounds.seeds),
        Occasion::Case(name) => explore(name, bounds.states),
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn explore(name: &str, states: u64) -> Hunt {
    let case = Case::ALL.iter().find(|case| case.name == name);
    let effort = Effort {
        threads: cores(),
        max_states: states,
    };
    let Some(outcome) = case.and_then(|&case| jlb_explore::search(case, effort, &mut |_, _| {}))
    else {
        return Hunt::default();
    };
    let trace = outcome.walk.iter();
    Hunt {
        looked_at: outcome.reached.states,
        flows: 0,
        trace: trace.map(|walk| walk.text()).collect(),
        found: outcome
            .walk
            .map(|walk| ("exploration".to_owned(), walk.wrong.clone())),
    }
}

/// Runs the worlds of the seeds from 0 on, `most` of them at most, on all cores.
fn simulate(plan: &Plan, most: u64) -> Hunt {
    let next = AtomicU64::new(0);
    let end = AtomicU64::new(most);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..cores() {
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
        hunt.looked_at += 1;
        hunt.flows += outcome.tally.flows;
        if let Some(violation) = outcome.violation {
            hunt.trace = outcome.trace;
            hunt.found = Some((violation.rule.name().to_owned(), violation.to_string()));
            break;
        }
    }
    hunt
}
