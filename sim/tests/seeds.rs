//! Worlds of many seeds: none may violate anything.
//!
//! `JLB_SIM_SEEDS` says how many seeds of the default plan are run, `JLB_SIM_FIRST` with which to
//! begin; both together reproduce one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use jlb_sim::{Outcome, Plan, Tally, World};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Runs the seeds on all cores and gives the sums; stops at the first violation.
fn run(plan: &Plan, first: u64, count: u64) -> Tally {
    let next = AtomicU64::new(first);
    let end = first + count;
    let sum = Mutex::new(Tally::default());
    let failed: Mutex<Vec<Outcome>> = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let outcome = World::new(seed, plan.clone()).run();
                    sum.lock().unwrap().add(&outcome.tally);
                    if !outcome.is_clean() {
                        failed.lock().unwrap().push(outcome);
                        next.store(end, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    if let Some(outcome) = failed.first() {
        let seed = outcome.seed;
        panic!(
            "{outcome}\nto reproduce: JLB_SIM_FIRST={seed} JLB_SIM_SEEDS=1 cargo test -p jlb-sim --test seeds"
        );
    }
    sum.into_inner().unwrap()
}

#[test]
fn no_seed_violates_anything() {
    let (first, count) = (number("JLB_SIM_FIRST", 0), number("JLB_SIM_SEEDS", 300));
    let tally = run(&Plan::default(), first, count);
    println!("{count} seeds from {first}: {tally:?}");
    // Runs in which nothing happens prove nothing.
    if count >= 300 {
        assert!(tally.connected * 2 > tally.attempts, "{tally:?}");
        assert!(tally.refused > count / 10, "{tally:?}");
        assert!(tally.rejected > count / 10, "{tally:?}");
        assert!(tally.agent_restarts > count / 4, "{tally:?}");
        assert!(tally.ingress_restarts > count / 8, "{tally:?}");
        assert!(tally.who_has > count / 10, "{tally:?}");
    }
}

#[test]
fn a_calm_cluster_loses_nothing() {
    let tally = run(&Plan::calm(), 0, number("JLB_SIM_SEEDS", 300) / 10);
    assert_eq!(tally.timed_out, 0, "{tally:?}");
}

#[test]
fn a_seed_decides_everything() {
    for seed in 0..3 {
        let one = World::new(seed, Plan::default()).run();
        let two = World::new(seed, Plan::default()).run();
        assert_eq!(one.tally, two.tally);
    }
}
