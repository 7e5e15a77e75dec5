//! `jlb bench lab`: JLB beside others, here cut short.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use jlb_bench::state::State;
use serde_json::Value;

use crate::cleanup::{MARK, leftovers};
use crate::harness::{JLB, browser, eventually, long, signal, turn};

/// A folder for reports; gone with the value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("jlb-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn bench(mark: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(JLB);
    command.args(["bench", "lab"]).args(arguments);
    command.env(MARK, mark).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn assert_success(output: &Output) {
    let said = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy);
    assert!(output.status.success(), "{}", said.concat());
}

fn read(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("no number: {value}"))
}

/// The line of a row in the table of a workload.
fn line<'a>(document: &'a Value, workload: &str, row: &str) -> &'a Value {
    let tables = document["tables"].as_array().unwrap();
    let table = tables.iter().find(|table| table["workload"] == workload);
    let lines = table.unwrap()["lines"].as_array().unwrap();
    let line = lines.iter().find(|line| line["row"] == row);
    line.unwrap_or_else(|| panic!("no {row} in {workload}"))
}

#[test]
fn every_row_answers_all_and_the_report_can_be_read() {
    let _turn = turn();
    let folder = Folder::new("side-by-side");
    let (json, html) = (folder.file("lab.json"), folder.file("lab.html"));
    let mark = "side-by-side";
    let mut command = bench(mark, &["--quick"]);
    // With time, all rows whose programs are here.
    if !long() {
        command.arg("--require-peers");
        command.args([
            "--row", "dsr", "--row", "dnat", "--row", "haproxy", "--row", "jlb", "--row", "jlb-xdp",
        ]);
    }
    // A machine that has other work must keep up, too.
    command.args(["--rate", "1000", "--connection-rate", "200"]);
    command.args([
        "--json".as_ref(),
        json.as_os_str(),
        "--html".as_ref(),
        html.as_os_str(),
    ]);
    let output = command.output().unwrap();
    assert_success(&output);
    let text = String::from_utf8_lossy(&output.stdout);
    leftovers_of_nobody(mark);

    let document = read(&json);
    let rows = document["rows"].as_array().unwrap();
    let rows: Vec<&Value> = rows.iter().filter(|row| row["missing"].is_null()).collect();
    for workload in [
        "keepalive",
        "connections",
        "bulk",
        "latency",
        "connection-latency",
    ] {
        assert!(text.contains(&format!("\n{workload}: ")), "{text}");
        for row in &rows {
            let line = line(&document, workload, row["name"].as_str().unwrap());
            assert_eq!(line["runs"], 2, "{line:#}");
            assert_eq!(line["errors"], serde_json::json!({}), "{line:#}");
            assert!(number(&line["rate"]["min"]) > 0.0, "{line:#}");
            assert!(number(&line["cpu_us"]["min"]) > 0.0, "{line:#}");
            let latency = ["p50_us", "p99_us", "p999_us"].map(|at| number(&line[at]["median"]));
            assert!(latency.is_sorted() && latency[0] > 0.0, "{line:#}");
        }
    }
    for run in document["runs"].as_array().unwrap() {
        let answered = run["answered"].as_u64().unwrap();
        assert!(answered > 0, "{run:#}");
        match run["workload"].as_str().unwrap() {
            // Threads ask for 0.4 s, and what was due in that time is all that counts.
            "latency" => assert_eq!(run["due"], 400, "{run:#}"),
            "connection-latency" => assert_eq!(run["due"], 80, "{run:#}"),
            "connections" => assert!(run["connected"].as_u64().unwrap() >= answered),
            _ => assert_eq!(run["connected"], 64, "{run:#}"),
        }
    }
    // A request and its answer are a packet each way, give or take an acknowledgement: both pass twice where the answer
    // passes, too. How many packets a connection takes is not for the balancer to say.
    let packets = |row| number(&line(&document, "keepalive", row)["packets"]["median"]);
    assert!((1.9..2.5).contains(&packets("dsr")), "{}", packets("dsr"));
    assert!((3.8..4.6).contains(&packets("dnat")), "{}", packets("dnat"));
    for row in ["jlb", "jlb-xdp"] {
        // Messages to the same host may leave together.
        assert!((1.0..3.0).contains(&packets(row)), "{}", packets(row));
    }
    let own = &line(&document, "connections", "jlb")["own_us"];
    for kind in ["client", "servers", "ingress", "trackers", "agents"] {
        assert!(number(&own[kind]["min"]) > 0.0, "{kind}: {own:#}");
    }

    let seen = browser::open(&html);
    assert_eq!(seen.plots, 10);
    assert_eq!(seen.flat, 0);
    assert!(seen.marks >= 60, "{} bars and dots", seen.marks);
    assert!(seen.cut.is_empty(), "does not fit: {:?}", seen.cut);
    assert!(!seen.too_wide);

    let compared = Command::new(JLB)
        .args(["bench", "compare"])
        .args([&json, &json])
        .output()
        .unwrap();
    assert_success(&compared);
    let compared = String::from_utf8_lossy(&compared.stdout);
    assert!(compared.contains("connections jlb of direct"), "{compared}");
    assert!(!compared.contains("outside the spread"), "{compared}");
}

/// No lab is written down whose processes have this mark, and none of these runs.
fn leftovers_of_nobody(mark: &str) {
    leftovers("none", mark).unwrap();
}

#[test]
fn an_interrupted_comparison_leaves_nothing() {
    let _turn = turn();
    let mark = "interrupted-comparison";
    let child = bench(
        mark,
        &[
            "--row",
            "haproxy",
            "--row",
            "jlb",
            "--workload",
            "keepalive",
        ],
    )
    .spawn()
    .unwrap();
    let id = eventually(Duration::from_secs(30), "the rows take turns", || {
        let mut all = State::all().into_iter();
        let state = all.find(|state| state.owner.pid == child.id());
        let state = state.ok_or("nothing is written down")?;
        let names = state.processes.iter().map(|process| process.name.as_str());
        if names
            .into_iter()
            .any(|name| name == "haproxy" || name == "tracker-1")
        {
            Ok(state.id)
        } else {
            Err(format!("{} processes", state.processes.len()))
        }
    });
    signal("INT", child.id());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    leftovers(&id, mark).unwrap();
}
