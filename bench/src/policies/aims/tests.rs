use super::*;
use crate::policies::measure::Figure;

fn row(policy: &str, load: f64, mean: f64, p99: f64) -> Row {
    let figure = |mean| Figure {
        mean,
        plus_minus: 0.0,
    };
    Row {
        setting: String::new(),
        load,
        policy: policy.to_owned(),
        admission: "always".to_owned(),
        knowledge: "100 ms".to_owned(),
        ours: false,
        must_accept: false,
        expected: None,
        mean: figure(mean),
        p50: figure(0.7),
        p95: figure(3.0),
        p99: figure(p99),
        fairness: 1.0,
        spread: 0.0,
        shares: 0.0,
        rejects: figure(0.0),
        refused: 0.0,
        failed: 0.0,
        reports: 10.0,
    }
}

/// Ours with these figures among the usual ones, at loads 0.5 and 0.88.
fn grid(ours: &[Row]) -> Table {
    let mut rows = Vec::new();
    for load in [0.5, 0.88] {
        rows.extend([
            row("join the shortest queue, all known", load, 1.2, 6.0),
            row("two choices, all known", load, 1.64, 8.3),
            row("SR4 of the SRLB paper", load, 1.88, 9.6),
            row("least connections of its own", load, 1.5, 7.4),
            Row {
                ours: true,
                ..row("round-robin", load, 2.7, 19.0)
            },
        ]);
        rows.extend(ours.iter().cloned().map(|row| Row {
            load,
            ours: true,
            ..row
        }));
    }
    Table {
        name: "grid".to_owned(),
        title: String::new(),
        rows,
    }
}

fn missed(verdict: &Verdict) -> Vec<&str> {
    let missed = verdict.aims.iter().filter(|aim| !aim.met);
    missed.map(|aim| aim.what.as_str()).collect()
}

#[test]
fn the_best_is_nearest_to_the_oracle_and_may_reject_once_a_connection() {
    let asks_much = Row {
        rejects: Figure {
            mean: 1.2,
            plus_minus: 0.0,
        },
        ..row("asks-much", 0.0, 1.2, 6.0)
    };
    let refuses = Row {
        refused: 0.001,
        ..row("refuses", 0.0, 1.21, 6.0)
    };
    let forces = Row {
        must_accept: true,
        ..row("forces", 0.0, 1.25, 6.1)
    };
    let willing = row("willing", 0.0, 1.3, 6.2);
    let verdict = judge(&grid(&[asks_much, refuses, forces, willing]), 0.88);
    let name = |name: &Option<Name>| name.as_ref().unwrap().policy.clone();
    assert_eq!(name(&verdict.best), "forces");
    assert_eq!(name(&verdict.best_of_own_will), "willing");
    assert_eq!(verdict.aims.len(), 6);
    assert_eq!(missed(&verdict), Vec::<&str>::new());
}

#[test]
fn what_is_missed_is_said() {
    let verdict = judge(&grid(&[row("slow", 0.0, 1.55, 7.0)]), 0.88);
    assert_eq!(
        missed(&verdict),
        [
            "mean and p99 below least connections without the hosts' reports at every load from 0.5 to 0.98",
            "mean and p99 within 10 % of the oracle at load 0.88",
        ]
    );
}

#[test]
fn a_fact_that_is_not_found_is_said() {
    let fact = |mean| Row {
        expected: Some(1.2),
        ..row("join", 0.88, mean, 6.0)
    };
    let table = |rows| Table {
        name: "facts".to_owned(),
        title: String::new(),
        rows,
    };
    assert!(missed_facts(&table(vec![fact(1.21), fact(1.15)])).is_empty());
    assert_eq!(
        missed_facts(&table(vec![fact(1.3)])),
        ["join: a mean of 1.300, expected 1.200"]
    );
}
