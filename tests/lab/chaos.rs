//! Nodes die under real connections, and none of these breaks: what `jlb lab chaos` shows with
//! thousands of connections and every kind of fault, here with fewer of both.

use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};

use jlb_bench::plan::Plan;
use jlb_bench::state::State;
use serde_json::Value;

use crate::harness::{JLB, long, turn};

/// The faults that take most at once.
const SCENARIOS: [&str; 2] = ["kill-ingress-and-tracker", "kill-all-trackers"];
const CONNECTIONS: u64 = 300;
/// The share of connections that pass through what is hit, at least.
const ENOUGH: f64 = 0.3;

fn chaos(arguments: &[&str]) -> Output {
    let mut command = Command::new(JLB);
    command.args(["lab", "chaos"]).args(arguments);
    command.stdin(Stdio::null()).output().expect("jlb runs")
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        panic!("nothing but JSON on standard output: {error}\n{said}")
    })
}

fn labs() -> BTreeSet<String> {
    State::all().into_iter().map(|state| state.id).collect()
}

#[test]
fn no_connection_breaks_when_nodes_are_killed() {
    let _turn = turn();
    let before = labs();
    let connections = CONNECTIONS.to_string();
    // How long stalls are is measured, not tested: other programs may run here.
    let mut arguments = vec![
        "--json",
        "--connections",
        &connections,
        "--most-stall-ms",
        "10000",
    ];
    // With time, every scenario that there is.
    if !long() {
        arguments.extend(SCENARIOS.iter().flat_map(|name| ["--scenario", name]));
    }
    let output = chaos(&arguments);
    let document = document(&output);
    let scenarios = document["scenarios"].as_array().unwrap();
    assert!(scenarios.len() >= SCENARIOS.len(), "{document:#}");
    for scenario in scenarios {
        let name = scenario["name"].as_str().unwrap();
        assert_eq!(scenario["connections"], CONNECTIONS, "{name}: {scenario:#}");
        for nothing in ["broken", "failed_opens"] {
            assert_eq!(scenario[nothing], 0, "{name}: {scenario:#}");
        }
        assert!(scenario["new_opens"].as_u64() > Some(0), "{name}");
        assert_eq!(
            scenario["moved"]["after"], CONNECTIONS,
            "{name}: {scenario:#}"
        );
        if SCENARIOS.contains(&name) {
            assert_eq!(scenario["lost_with_host"], 0, "{name}");
            assert!(scenario["share_hit"].as_f64() >= Some(ENOUGH), "{name}");
        }
    }
    assert_eq!(document["ok"], true, "{document:#}");
    assert!(output.status.success());
    assert_eq!(labs(), before, "a lab is left");
}

#[test]
fn an_interrupted_scenario_leaves_nothing() {
    let _turn = turn();
    let before = labs();
    let mut child = Command::new(JLB)
        .args([
            "lab",
            "chaos",
            "--connections",
            "40",
            "--scenario",
            "kill-ingress",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // A lab of which every node was started is in the middle of something.
    let id = crate::harness::eventually(std::time::Duration::from_secs(30), "it runs", || {
        let mut labs = State::all().into_iter();
        let lab = labs.find(|state| state.owner.pid == child.id());
        let lab = lab.ok_or("nothing is written down")?;
        let count = lab.processes.len();
        if count >= 16 {
            Ok(lab.id)
        } else {
            Err(format!("{count} processes"))
        }
    });
    std::thread::sleep(std::time::Duration::from_secs(5));
    crate::harness::signal("INT", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let namespaces = jlb_packet_io::netns::list(&Plan::prefix_of(&id)).unwrap();
    assert!(namespaces.is_empty(), "{namespaces:?}");
    assert_eq!(labs(), before);
}
