//! Each planted fault is found, and by the checker that it is meant for.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use jlb_sim::{Plan, Planted, Rule, World};

/// The rules that the fault may be seen to violate first.
const fn rules(fault: Planted) -> &'static [Rule] {
    match fault {
        Planted::SecondHost | Planted::DeliversRejected => &[Rule::Consistency],
        Planted::AsksAgain | Planted::ForgetsSearches => &[Rule::Termination],
        Planted::RefusesAccepted => &[Rule::NoLostOpen, Rule::NoLostFlow],
        Planted::ResetsLive | Planted::DropsData => &[Rule::NoLostFlow],
        Planted::NeverForgets => &[Rule::NoLeak],
        Planted::CountsOnce => &[Rule::Conservation],
    }
}

/// Seeds in which a fault has to show.
const SEEDS: u64 = 60;

fn plan() -> Plan {
    Plan {
        // Enough hosts, trackers and rejects for every fault to have its occasion.
        hosts: jlb_sim::Span::new(3, 6),
        trackers: jlb_sim::Span::new(1, 3),
        // An ingress whose timers stand still is to be seen by what it leaves behind.
        load_min_ms: jlb_sim::Span::just(1_000),
        limited: 1000,
        loss: Plan::default().loss,
        duplication: Plan::default().duplication,
        straggling: Plan::default().straggling,
        reshuffles: Plan::default().reshuffles,
        ..Plan::calm()
    }
}

#[test]
fn every_planted_fault_is_found() {
    for fault in Planted::ALL {
        let found = (0..SEEDS).find_map(|seed| {
            let outcome = World::new(seed, plan().planted(fault)).run();
            outcome.violation.map(|violation| (seed, violation))
        });
        let Some((seed, violation)) = found else {
            panic!("{fault:?} is not found in {SEEDS} seeds");
        };
        println!("{fault:?} is found by seed {seed}: {violation}");
        assert!(
            rules(fault).contains(&violation.rule),
            "{fault:?}: {violation}"
        );
    }
}

#[test]
fn the_trace_of_a_violation_tells_the_flow_concerned() {
    let plan = Plan {
        udp_clients: jlb_sim::Span::just(0),
        ..plan().planted(Planted::SecondHost)
    };
    let outcome = (0..SEEDS)
        .map(|seed| World::new(seed, plan.clone()).run())
        .find(|outcome| !outcome.is_clean())
        .unwrap();
    let text = outcome.to_string();
    assert!(text.contains("client sends SYN"), "{text}");
    assert!(text.contains(&format!("seed {}", outcome.seed)), "{text}");
}
