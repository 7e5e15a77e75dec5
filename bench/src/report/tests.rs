use std::time::Duration;

use super::*;
use crate::plan::{Counts, Plan};
use crate::scrape::Samples;

const BALANCED: &str = "\
jlb_received_total{layer=\"stack\"} 0
jlb_received_total{layer=\"link\"} 0
jlb_received_total{layer=\"role\"} 5
jlb_sent_total{layer=\"role\"} 4
jlb_dropped_total{layer=\"role\",reason=\"no_service\"} 1
jlb_books_imbalance{layer=\"stack\"} 0
jlb_books_imbalance{layer=\"link\"} 0
jlb_books_imbalance{layer=\"role\"} 0
jlb_ingress_accepts_total 100
jlb_tracker_searches_total 100
jlb_host_accepts_total 100
";

fn metrics(plan: &Plan, page: &str) -> Vec<NodeSamples> {
    plan.nodes
        .iter()
        .map(|node| NodeSamples {
            node: node.name.clone(),
            role: node.role,
            samples: Samples::parse(page).unwrap(),
        })
        .collect()
}

fn report(page: &str, left: Vec<Left>) -> Report {
    let counts = Counts {
        ingress: 1,
        trackers: 1,
        hosts: 1,
    };
    let plan = Plan::new("abcd".into(), counts, false);
    let mut tally = Tally::for_tests();
    tally.answered = 1000;
    tally.connections = 100;
    tally.hosts.insert("host-1".into(), 1000);
    tally.elapsed = Duration::from_secs(2);
    let forgotten = Forgotten {
        after: Duration::from_secs(1),
        left,
    };
    let losses = vec![Loss {
        node: "host-1".into(),
        place: "queue".into(),
        count: 12,
    }];
    Report::new(&tally, &metrics(&plan, page), forgotten, losses)
}

#[test]
fn a_good_run_has_no_problem() {
    let report = report(BALANCED, Vec::new());
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(report.requests.per_second, 500.0);
    let text = report.to_string();
    for part in [
        "1,000 answered, 0 failed",
        "host-1",
        "9 of 9 layers",
        "empty 1.0 s",
        "no_service",
        "12: queue",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn each_fault_is_a_problem() {
    let wrong = BALANCED
        .replace(
            "jlb_sent_total{layer=\"role\"} 4",
            "jlb_sent_total{layer=\"role\"} 3",
        )
        .replace("jlb_host_accepts_total 100", "jlb_host_accepted_total 0");
    let left = Left {
        node: "tracker-1".into(),
        gauge: "jlb_tracker_flows",
        count: 7,
    };
    let report = report(&wrong, vec![left]);
    let problems = report.problems.join("\n");
    for part in [
        "host-1 took no",
        "books of ingress-1 (role) miss 1",
        "tracker-1 still has 7 in jlb_tracker_flows",
    ] {
        assert!(problems.contains(part), "{part} is not in {problems}");
    }
    assert!(report.to_string().contains("PROBLEM"));
}

#[test]
fn the_report_is_json_too() {
    let value = serde_json::to_value(report(BALANCED, Vec::new())).unwrap();
    assert_eq!(value["requests"]["answered"], 1000);
    assert_eq!(value["spread"]["hosts"]["host-1"], 100);
    assert_eq!(value["books"].as_array().unwrap().len(), 9);
    assert_eq!(value["problems"].as_array().unwrap().len(), 0);
}
