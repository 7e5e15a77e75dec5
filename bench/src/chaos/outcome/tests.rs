use super::*;
use crate::chaos::clients::{FailedOpen, Opens, Phase};
use crate::chaos::gaps::Gaps;

const MS: Duration = Duration::from_millis(1);

fn failure(kind: ErrorKind) -> Failure {
    Failure::new(kind, "in a test")
}

/// A connection that moved bytes in all parts of the scenario, and once waited.
fn ended(kind: Kind, host: &str, fault: Instant, waited: Duration) -> Ended {
    let mut gaps = Gaps::default();
    gaps.moved(Phase::Before, fault, 5 * MS, 100);
    gaps.moved(Phase::During, fault + waited, waited, 100);
    gaps.moved(Phase::End, fault + 5_000 * MS, 5 * MS, 100);
    Ended {
        kind,
        local: None,
        host: Some(host.into()),
        gaps,
        failure: None,
    }
}

fn judge(script: &Script, connections: Vec<Ended>, opens: Opens, fault: Instant) -> Outcome {
    let facts = Facts {
        script,
        begun: fault,
        fault,
        restored: 2_500 * MS,
        changed_ingress: None,
        most_stall: 1_000 * MS,
        detection: None,
    };
    Outcome::of("kill-ingress", &facts, &Seen { connections, opens }).unwrap()
}

#[test]
fn a_scenario_in_which_nothing_broke_has_no_problem() {
    let fault = Instant::now();
    let connections: Vec<Ended> = (0..200)
        .map(|i| {
            ended(
                Kind::of(i),
                "host-1",
                fault,
                if i < 20 { 400 * MS } else { 20 * MS },
            )
        })
        .collect();
    let opens = Opens {
        good: vec![(fault, 3 * MS); 50],
        failed: Vec::new(),
    };
    let script = Script {
        hit: vec!["ingress-1".into()],
        share: 0.35,
        least_share: 0.3,
        ..Script::default()
    };
    let outcome = judge(&script, connections, opens, fault);
    assert_eq!(outcome.problems, Vec::<String>::new());
    assert_eq!((outcome.connections, outcome.new_opens), (200, 50));
    assert_eq!(outcome.kinds[&Kind::Upload], 50);
    assert_eq!((outcome.stalled, outcome.recovery_ms), (20, Some(400.0)));
    assert!(
        (399.0..401.0).contains(&outcome.stall_ms.p99),
        "{outcome:?}"
    );
    let text = outcome.to_string();
    assert!(
        text.starts_with("kill-ingress") && !text.contains("PROBLEM"),
        "{text}"
    );
}

#[test]
fn what_broke_counts_but_not_with_its_host() {
    let fault = Instant::now();
    let mut connections: Vec<Ended> = (0..8)
        .map(|i| ended(Kind::of(i), "host-1", fault, 20 * MS))
        .collect();
    let mut broken = ended(Kind::Idle, "host-1", fault, 20 * MS);
    broken.failure = Some((fault + 300 * MS, failure(ErrorKind::Reset)));
    let mut lost = ended(Kind::Upload, "host-2", fault, 20 * MS);
    lost.failure = Some((fault + 300 * MS, failure(ErrorKind::Timeout)));
    let mut never = ended(Kind::Download, "", fault, 20 * MS);
    never.host = None;
    never.failure = Some((fault, failure(ErrorKind::Refused)));
    connections.extend([broken, lost, never]);
    let open = |at: Duration, connected| FailedOpen {
        begun: fault + at,
        connected,
        failure: failure(ErrorKind::Closed),
    };
    let opens = Opens {
        good: Vec::new(),
        // Taken by the host that died; taken much later; never taken.
        failed: vec![
            open(100 * MS, true),
            open(3_000 * MS, true),
            open(100 * MS, false),
        ],
    };
    let script = Script {
        dead_hosts: vec!["host-2".into()],
        share: 0.2,
        least_share: 0.3,
        ..Script::default()
    };
    let outcome = judge(&script, connections, opens, fault);
    assert_eq!(outcome.connections, 10);
    assert_eq!(outcome.broken, 1);
    assert_eq!(outcome.lost_with_host, 2);
    assert_eq!(outcome.lost_by["timeout"], 1);
    assert_eq!(outcome.failed_opens, 3);
    assert_eq!(outcome.problems.len(), 4, "{:?}", outcome.problems);
    assert!(outcome.problems[3].contains("1 clients of a dead host got no reset"));
    assert!(outcome.problems[2].contains("20 %"));
    let told = outcome.first_failures.join("\n");
    assert!(told.contains("Idle, 300 ms: reset: in a test"), "{told}");
}

#[test]
fn stalls_that_are_too_long_are_a_problem() {
    let fault = Instant::now();
    let connections = (0..100).map(|i| {
        let waited = if i < 3 { 1_500 * MS } else { 20 * MS };
        ended(Kind::of(i), "host-1", fault, waited)
    });
    let connections = connections.collect();
    let outcome = judge(&Script::default(), connections, Opens::default(), fault);
    assert_eq!(outcome.problems.len(), 1, "{:?}", outcome.problems);
    assert!(outcome.problems[0].contains("1000 ms is too long"));
}

#[test]
fn one_that_moved_nothing_afterwards_is_a_problem() {
    let fault = Instant::now();
    let mut silent = ended(Kind::Download, "host-1", fault, 20 * MS);
    silent.gaps = Gaps::default();
    silent.gaps.moved(Phase::Before, fault, 5 * MS, 100);
    let outcome = judge(&Script::default(), vec![silent], Opens::default(), fault);
    assert_eq!(outcome.problems.len(), 1, "{:?}", outcome.problems);
}

#[test]
fn the_json_has_the_names_that_scripts_read() {
    let fault = Instant::now();
    let connections = vec![ended(Kind::Download, "host-1", fault, 20 * MS)];
    let outcome = judge(&Script::default(), connections, Opens::default(), fault);
    let value = serde_json::to_value(&outcome).unwrap();
    for name in [
        "connections",
        "broken",
        "failed_opens",
        "new_opens",
        "lost_with_host",
    ] {
        assert!(value[name].is_u64(), "{name}: {value:#}");
    }
    for name in ["p50", "p99", "max"] {
        assert!(value["stall_ms"][name].is_f64(), "{name}: {value:#}");
    }
    assert_eq!(value["name"], "kill-ingress");
    assert_eq!(value["kinds"]["download"], 1);
    assert!(value["detection_ms"].is_null());
}
