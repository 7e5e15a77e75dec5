//! Policies compared on real TCP: what `jlb bench policies --in lab` shows in minutes, here cut short.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{JLB, long, turn};

/// The figure of a policy without a say of the hosts.
fn of<'a>(rows: &'a [Value], policy: &str) -> &'a Value {
    let admission = |row: &Value| ["", "always"].map(Value::from).contains(&row["admission"]);
    let rows = rows.iter().map(|row| &row["measured"]);
    let mut found = rows.filter(|row| row["policy"] == policy && admission(row));
    found.next().unwrap_or_else(|| panic!("no {policy}"))
}

#[test]
fn least_connections_spreads_jobs_better_than_round_robin_and_all_are_done() {
    let _turn = turn();
    let seconds = if long() { "10" } else { "1" };
    let output = Command::new(JLB)
        .args(["bench", "policies", "--in", "lab", "--quick", "--json", "-"])
        .args(["--lab-part", "order", "--at", "0.85"])
        .args(["--lab-seconds", seconds, "--lab-work-ms", "20"])
        .args(["--lab-hosts", "4", "--lab-trackers", "3"])
        // On a machine that has other work every run may be late.
        .args(["--lab-late-ms", "0"])
        .stdin(Stdio::null())
        .output()
        .expect("jlb runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let document: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("nothing but JSON on standard output: {error}\n{said}"));
    let rows = document["lab"]["tables"][0]["rows"].as_array().unwrap();
    for row in rows {
        let policy = &row["measured"]["policy"];
        assert_eq!(row["broken"], 0, "{policy}");
        assert_eq!(row["measured"]["refused"], 0.0, "{policy}");
        assert_eq!(row["measured"]["failed"], 0.0, "{policy}");
        // Two seeds, 4 hosts of 2 cores, 50 jobs a second each at a load of 1.
        assert!(row["jobs"].as_u64() >= Some(2 * 340), "{policy}: {row:#}");
        println!(
            "{policy}: mean {}, simulated {}; spread {}",
            row["measured"]["mean"]["mean"],
            row["simulated"]["mean"]["mean"],
            row["measured"]["spread"]
        );
    }
    // How long answers take is measured, not tested: other programs may run here. These delay all hosts alike.
    let spread = |policy| of(rows, policy)["spread"].as_f64().unwrap();
    let (by_reports, in_turn) = (spread("least-connections"), spread("round-robin"));
    assert!(by_reports < in_turn, "{by_reports} {in_turn}");
    assert!(spread("join the shortest queue, all known") < in_turn);
}
