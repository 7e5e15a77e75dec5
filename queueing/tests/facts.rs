//! What queueing theory and the SRLB paper know, found again within 5 %.

#![allow(clippy::panic, reason = "a test")]

use jlb_flow_tracker::policy::PolicyKind;
use jlb_queueing::{
    Dispatch, Experiment, JoinShortest, Policy, Random, SegmentRouting, Server, TwoChoices,
};

fn close(what: &str, measured: f64, expected: f64) {
    println!("{what}: {measured:.3}, expected {expected:.3}");
    assert!((measured / expected - 1.0).abs() < 0.05, "{what}");
}

/// The SRLB paper's setting: 12 servers of 2 cores, load 0.88, exponential work.
fn srlb(dispatch: &mut dyn Dispatch) -> f64 {
    let experiment = Experiment {
        servers: vec![Server::new(2.0, 1.0); 12],
        load: 0.88,
        jobs: 400_000,
        warm_up: 50_000,
        seed: 1,
    };
    experiment.run(dispatch).mean()
}

#[test]
fn one_server_of_one_core_takes_one_over_one_minus_load() {
    for load in [0.3, 0.5, 0.8] {
        let experiment = Experiment {
            servers: vec![Server::new(1.0, 1.0)],
            load,
            jobs: 1_000_000,
            warm_up: 10_000,
            seed: 2,
        };
        let mean = experiment.run(&mut Random).mean();
        close("M/M/1 processor sharing", mean, 1.0 / (1.0 - load));
    }
}

#[test]
fn random_takes_one_over_one_minus_load_squared() {
    close("random", srlb(&mut Random), 1.0 / (1.0 - 0.88_f64.powi(2)));
    let production = &mut Policy::new(PolicyKind::Random, 12, 3);
    close("random, of the trackers", srlb(production), 4.43);
}

#[test]
fn the_srlb_settings_figures_are_found() {
    let round_robin = &mut Policy::new(PolicyKind::RoundRobin, 12, 3);
    close("round robin", srlb(round_robin), 2.7);
    let sr4 = &mut SegmentRouting { threshold: 4 };
    close("SR4", srlb(sr4), 1.88);
    close("two choices", srlb(&mut TwoChoices), 1.64);
    let production = &mut Policy::new(PolicyKind::TwoChoices, 12, 3);
    close("two choices, of the trackers", srlb(production), 1.64);
    close("join the shortest queue", srlb(&mut JoinShortest), 1.20);
    let production = &mut Policy::new(PolicyKind::LeastConnections, 12, 3);
    close("least connections, of the trackers", srlb(production), 1.20);
}

#[test]
fn a_run_can_be_repeated() {
    let experiment = Experiment {
        servers: vec![Server::new(1.0, 1.0), Server::new(1.0, 2.0)],
        load: 0.7,
        jobs: 1_000,
        warm_up: 10,
        seed: 9,
    };
    let run = || experiment.run(&mut Random);
    assert_eq!(run(), run());
    assert_eq!(run().given.iter().sum::<u32>(), 1_000);
}
