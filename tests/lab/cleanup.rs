//! What a lab leaves behind: nothing.

use std::collections::BTreeSet;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use jlb_bench::plan::Plan;
use jlb_bench::state::State;
use serde_json::Value;

use crate::harness::{JLB, eventually, signal, turn};

/// Processes of a test's labs have this in their environment.
pub(crate) const MARK: &str = "JLB_TEST_MARK";

fn lab(mark: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(JLB);
    command.arg("lab").args(arguments).env(MARK, mark);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Processes of this test's labs.
fn processes(mark: &str) -> Vec<String> {
    let mark = format!("{MARK}={mark}");
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let marked = entries.filter(|entry| {
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == mark.as_bytes())
    });
    let words = |entry: std::fs::DirEntry| {
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&words).replace('\0', " ")
    };
    marked.map(words).collect()
}

/// Names of the machine's own devices.
fn links() -> BTreeSet<String> {
    let links = std::fs::read_dir("/sys/class/net").unwrap().flatten();
    links
        .map(|link| link.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Whatever there is of lab `id` and of this test's processes.
pub(crate) fn leftovers(id: &str, mark: &str) -> Result<(), String> {
    let mut found = processes(mark);
    let namespaces = jlb_packet_io::netns::list(&Plan::prefix_of(id)).unwrap();
    found.extend(namespaces);
    let directory = Plan::directory_of(id);
    found.extend(directory.exists().then(|| directory.display().to_string()));
    found.extend(
        State::all()
            .into_iter()
            .filter(|state| state.id == id)
            .map(|state| state.id),
    );
    if found.is_empty() {
        Ok(())
    } else {
        Err(found.join("\n"))
    }
}

/// A lab under load, and its id.
fn loaded(mark: &str) -> (Child, String) {
    let child = lab(mark, &["--seconds", "60", "--json"]).spawn().unwrap();
    let id = eventually(Duration::from_secs(30), "the lab runs", || {
        let state = State::all()
            .into_iter()
            .find(|state| state.owner.pid == child.id());
        let state = state.ok_or("nothing is written down")?;
        let count = state.processes.len();
        if count >= 13 {
            Ok(state.id)
        } else {
            Err(format!("{count} processes"))
        }
    });
    std::thread::sleep(Duration::from_secs(2));
    (child, id)
}

fn document(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{said}",
        String::from_utf8_lossy(&output.stdout)
    );
    serde_json::from_slice(&output.stdout).expect("nothing but JSON on standard output")
}

/// All requests answered, nodes of all kinds at work, books right.
fn assert_good(document: &Value) {
    assert_eq!(document["ok"], true, "{document:#}");
    assert_eq!(document["requests"]["failed"], 0, "{document:#}");
    let answered = document["requests"]["answered"].as_u64().unwrap();
    assert!(answered > 100, "{answered} requests answered");
    for (kind, count) in [("ingress", 2), ("trackers", 3), ("hosts", 4)] {
        let spread = document["spread"][kind].as_object().unwrap();
        assert_eq!(spread.len(), count, "{kind}: {spread:?}");
        assert!(
            spread.values().all(|value| value.as_u64() > Some(0)),
            "{kind}: {spread:?}"
        );
    }
    let books = document["books"].as_array().unwrap();
    assert_eq!(books.len(), 9 * 3);
    assert!(
        books.iter().all(|layer| layer["missing"] == 0),
        "{books:#?}"
    );
}

#[test]
fn a_run_of_the_lab_is_good_and_leaves_nothing() {
    let _turn = turn();
    let before = links();
    for (mark, more) in [("run-v4", None), ("run-v6", Some(["--underlay", "ipv6"]))] {
        let mut command = lab(mark, &["--seconds", "2", "--json"]);
        let output = command.args(more.iter().flatten()).output().unwrap();
        let document = document(&output);
        assert_good(&document);
        leftovers(document["lab"]["id"].as_str().unwrap(), mark).unwrap();
    }
    assert_eq!(links(), before);
}

#[test]
fn what_a_killed_lab_leaves_is_gone_after_the_next() {
    let _turn = turn();
    let (mut child, id) = loaded("killed");
    child.kill().unwrap();
    child.wait().unwrap();
    // The nodes do not outlive it even until then.
    eventually(
        Duration::from_secs(5),
        "processes end with their lab",
        || {
            let left = processes("killed");
            if left.is_empty() {
                Ok(())
            } else {
                Err(left.join("\n"))
            }
        },
    );
    assert!(
        !jlb_packet_io::netns::list(&Plan::prefix_of(&id))
            .unwrap()
            .is_empty()
    );
    let output = lab("next", &["--seconds", "1", "--json"]).output().unwrap();
    let next = document(&output);
    leftovers(&id, "killed").unwrap();
    leftovers(next["lab"]["id"].as_str().unwrap(), "next").unwrap();
}

#[test]
fn an_interrupted_lab_leaves_nothing() {
    let _turn = turn();
    for name in ["INT", "TERM"] {
        let (child, id) = loaded(name);
        signal(name, child.id());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        leftovers(&id, name).unwrap();
    }
}

#[test]
fn a_kept_lab_stays_until_it_is_taken_down() {
    let _turn = turn();
    let output = lab("kept", &["--seconds", "0", "--keep", "--json"])
        .output()
        .unwrap();
    let document = document(&output);
    let id = document["lab"]["id"].as_str().unwrap();
    assert_eq!(document["lab"]["kept"], true);
    // The start of another one leaves it alone.
    let other = lab("other", &["--seconds", "1", "--json"])
        .output()
        .unwrap();
    assert!(other.status.success(), "{other:?}");
    assert!(leftovers(id, "kept").is_err());
    let down = lab("down", &["down", id]).output().unwrap();
    assert!(down.status.success(), "{down:?}");
    leftovers(id, "kept").unwrap();
}
