//! Worlds of many seeds: none may violate anything.
//!
//! `JLB_SIM_SEEDS` says how many seeds of the default plan are run, `JLB_SIM_FIRST` with which to
//! begin; both together reproduce one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use jlb_sim::{Plan, Tally, World, run_seeds};
use std::time::{Duration, UNIX_EPOCH};

/// Seeds of the day, besides the fixed ones.
const FRESH: u64 = 20;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Runs the seeds on all cores and gives the sums; fails at the first violation.
fn run(name: &str, first: u64, count: u64) -> Tally {
    let plan = Plan::named(name).unwrap().unwrap();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let seeds = first..first + count;
    let summary = run_seeds(&plan, seeds, cores, 1, Duration::from_secs(5), |_| {});
    if let Some(outcome) = summary.failed.first() {
        let seed = outcome.seed;
        panic!("{outcome}\nto reproduce: jlb sim --plan {name} --seed {seed}");
    }
    summary.tally
}

#[test]
fn no_seed_violates_anything() {
    let (first, count) = (number("JLB_SIM_FIRST", 0), number("JLB_SIM_SEEDS", 300));
    let tally = run("default", first, count);
    println!("{count} seeds from {first}: {tally:?}");
    // Runs in which nothing happens prove nothing.
    if count >= 300 {
        assert!(tally.connected * 2 > tally.attempts, "{tally:?}");
        let happened = [
            (tally.refused, 10),
            (tally.rejected, 10),
            (tally.who_has, 10),
            (tally.agent_restarts, 2),
            (tally.ingress_restarts, 4),
            (tally.tracker_restarts, 2),
            (tally.cuts, 2),
            (tally.pauses, 2),
            (tally.new_lives, 4),
            (tally.leaves, 4),
            (tally.host_deaths, 8),
            (tally.config_changes, 2),
            (tally.reshuffles, 1),
            (tally.view_changes, 1),
            (tally.floods, 4),
            (tally.compared, 1),
        ];
        for (at, (times, share)) in happened.into_iter().enumerate() {
            assert!(times > count / share, "number {at}: {tally:?}");
        }
        // What is excused proves nothing either.
        assert!(tally.excused * 100 < tally.flows, "{tally:?}");
    }
}

#[test]
fn no_fresh_seed_violates_anything() {
    #[allow(clippy::disallowed_methods, reason = "a seed that nobody has chosen")]
    let now = std::time::SystemTime::now();
    let first = now.duration_since(UNIX_EPOCH).unwrap().as_secs() * 1000;
    println!("{FRESH} seeds from {first}");
    run("default", first, FRESH);
}

#[test]
fn hunts_lose_nothing() {
    let tally = run("hunts", 0, 40);
    assert!(tally.rejected > tally.flows, "{tally:?}");
}

/// Trackers that fail together are no worse than one tracker that fails.
#[test]
fn racks_lose_nothing() {
    let tally = run("racks", 0, 40);
    // One rack at least in each run that has racks, which most have, of two trackers or about.
    assert!(tally.tracker_restarts > 40, "{tally:?}");
    assert!(tally.excused * 4 < tally.flows, "{tally:?}");
}

#[test]
fn crowds_lose_nothing() {
    let tally = run("many-flows", 0, 4);
    assert!(tally.flows_in_crowds * 2 > tally.flows, "{tally:?}");
}

#[test]
fn a_calm_cluster_loses_nothing() {
    let tally = run("calm", 0, 30);
    assert_eq!(tally.timed_out, 0, "{tally:?}");
    assert_eq!(tally.excused, 0, "{tally:?}");
}

#[test]
fn a_seed_decides_everything() {
    for seed in 0..3 {
        let one = World::new(seed, Plan::default()).run();
        let two = World::new(seed, Plan::default()).run();
        assert_eq!(one.tally, two.tally);
    }
}
