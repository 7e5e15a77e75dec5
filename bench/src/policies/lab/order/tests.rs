use super::*;
use crate::policies::measure::Figure;

fn row(policy: &str, load: f64, measured: f64, simulated: f64) -> LabRow {
    let figure = |mean| Figure {
        mean,
        plus_minus: 0.0,
    };
    let of = |mean: f64| Row {
        setting: String::new(),
        load,
        policy: policy.to_owned(),
        admission: "always".to_owned(),
        knowledge: String::new(),
        ours: true,
        must_accept: false,
        expected: None,
        mean: figure(mean),
        p50: figure(mean),
        p95: figure(mean),
        p99: figure(mean),
        fairness: 1.0,
        spread: 0.1,
        shares: 0.1,
        rejects: figure(0.0),
        refused: 0.0,
        failed: 0.0,
        reports: 0.0,
    };
    LabRow {
        measured: of(measured),
        simulated: of(simulated),
        over: figure(measured / simulated),
        jobs: 1_000,
        broken: 0,
        repeated: 0,
        late_ms: 1.0,
    }
}

fn met(rows: Vec<LabRow>) -> Vec<bool> {
    let table = LabTable {
        name: String::new(),
        title: String::new(),
        rows,
    };
    judge(&table).iter().map(|aim| aim.met).collect()
}

#[test]
fn the_order_is_looked_at_from_a_high_load_on() {
    let policies = [
        ("least-connections", 1.3),
        ("least connections of its own", 1.5),
        ("round-robin", 2.5),
        ("random", 4.0),
    ];
    let rows = |load: f64, measured: [f64; 4]| -> Vec<LabRow> {
        let both = policies.iter().zip(measured);
        both.map(|(&(policy, simulated), measured)| row(policy, load, measured, simulated))
            .collect()
    };
    let right = rows(0.88, [1.4, 1.6, 2.4, 3.0]);
    assert_eq!(met(right.clone()), [true; 4]);
    // At a low load anything may be.
    let mut with_low = rows(0.3, [2.0, 1.0, 1.0, 1.0]);
    with_low.extend(right);
    assert_eq!(met(with_low), [true; 4]);
    assert_eq!(
        met(rows(0.9, [1.4, 2.5, 2.4, 3.0])),
        [true, false, true, false]
    );
    assert_eq!(
        met(rows(0.9, [1.7, 1.6, 2.4, 3.0])),
        [false, true, true, false]
    );
}

#[test]
fn what_is_close_in_the_simulator_may_be_either_way_in_the_lab() {
    let rows = vec![
        row("two-choices", 0.88, 1.5, 1.64),
        row("least-load", 0.88, 1.6, 1.6),
    ];
    assert_eq!(met(rows), [true]);
}
