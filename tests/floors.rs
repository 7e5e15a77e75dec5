//! The floors of the house: a crate imports only from lower floors.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use serde_json::{Value, json};
use std::process::Command;

/// Every crate of the workspace and its floor. Crates of one floor do not know each other: the
/// roles meet through bytes and views.
const FLOORS: [(&str, u8); 14] = [
    ("jlb-protocol", 0),
    ("jlb-flow-table", 0),
    ("jlb-ingress", 1),
    ("jlb-flow-tracker", 1),
    ("jlb-host-agent", 1),
    ("jlb-membership", 1),
    ("jlb-packet-io", 1),
    ("jlb-config", 2),
    ("jlb-queueing", 2),
    ("jlb-node", 3),
    ("jlb-sim", 3),
    ("jlb-explore", 3),
    ("jlb-bench", 4),
    ("jlb", 5),
];

/// Crates that are pure: time, randomness and bytes come in as arguments.
const PURE: [&str; 6] = [
    "jlb-protocol",
    "jlb-flow-table",
    "jlb-ingress",
    "jlb-flow-tracker",
    "jlb-host-agent",
    "jlb-membership",
];

/// What a pure crate has no use for, except in its tests: the system, the wall, and the config file.
const IMPURE: [&str; 12] = [
    "async-std",
    "clap",
    "getrandom",
    "libc",
    "nix",
    "rand",
    "rustix",
    "serde",
    "socket2",
    "tokio",
    "toml",
    "tracing",
];

/// What is wrong with the workspace that `cargo metadata` describes, one line each.
fn violations(metadata: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let Some(floor) = floor(name) else {
            found.push(format!("{name} has no floor"));
            continue;
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            let imported = dependency["name"].as_str().unwrap();
            if let Some(other) = self::floor(imported).filter(|&other| other >= floor) {
                found.push(format!(
                    "{name} on floor {floor} imports {imported} on floor {other}"
                ));
            }
            let for_tests = dependency["kind"] == "dev";
            if PURE.contains(&name) && IMPURE.contains(&imported) && !for_tests {
                found.push(format!("{name} is pure but imports {imported}"));
            }
        }
    }
    found
}

fn floor(name: &str) -> Option<u8> {
    let (_, floor) = FLOORS.iter().find(|(crate_name, _)| *crate_name == name)?;
    Some(*floor)
}

fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Value {
    let dependencies: Vec<Value> = dependencies
        .iter()
        .map(|(name, kind)| json!({ "name": name, "kind": kind }))
        .collect();
    json!({ "name": name, "dependencies": dependencies })
}

#[test]
fn the_workspace_imports_only_downwards() {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--offline",
            "--no-deps",
            "--format-version",
            "1",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert_eq!(packages.len(), FLOORS.len(), "a crate of the table is gone");
    assert_eq!(violations(&metadata), Vec::<String>::new());
}

#[test]
fn a_role_that_imports_a_role_is_found() {
    let metadata = json!({ "packages": [
        package("jlb-protocol", &[]),
        package("jlb-ingress", &[("jlb-protocol", None), ("jlb-flow-tracker", Some("dev"))]),
    ] });
    assert_eq!(
        violations(&metadata),
        ["jlb-ingress on floor 1 imports jlb-flow-tracker on floor 1"],
    );
}

#[test]
fn an_import_from_a_higher_floor_is_found() {
    let metadata = json!({ "packages": [
        package("jlb-protocol", &[("jlb-node", Some("build"))]),
        package("jlb", &[("jlb-node", None)]),
    ] });
    assert_eq!(
        violations(&metadata),
        ["jlb-protocol on floor 0 imports jlb-node on floor 3"],
    );
}

#[test]
fn a_state_machine_that_reads_files_or_clocks_is_found() {
    let metadata = json!({ "packages": [
        package("jlb-host-agent", &[("serde", None), ("rand", Some("dev"))]),
        package("jlb-node", &[("tokio", None)]),
    ] });
    assert_eq!(
        violations(&metadata),
        ["jlb-host-agent is pure but imports serde"]
    );
}

#[test]
fn a_crate_that_nobody_gave_a_floor_is_found() {
    let metadata = json!({ "packages": [package("jlb-attic", &[])] });
    assert_eq!(violations(&metadata), ["jlb-attic has no floor"]);
}
