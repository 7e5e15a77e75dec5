//! `jlb bench packets`, here cut short: each way in moves packets, through the whole ingress and through its loop.

use std::process::Command;

use serde_json::Value;

use crate::harness::{JLB, turn};

const ROWS: [(&str, &str); 12] = [
    ("kernel", "bare"),
    ("af_xdp", "bare"),
    ("af_xdp", "established"),
    ("af_xdp", "one flow"),
    ("af_xdp", "SYNs"),
    ("tun", "bare"),
    ("tun", "established"),
    ("tun", "one flow"),
    ("tun", "SYNs"),
    ("tun_large", "bare"),
    ("tun_large", "established"),
    ("udp", "bare"),
];

#[test]
fn every_way_in_moves_packets_and_large_ones_come_whole() {
    let _turn = turn();
    let file = std::env::temp_dir().join(format!("jlb-packets-{}.json", std::process::id()));
    let mut command = Command::new(JLB);
    command.args(["bench", "packets", "--flows", "1000", "--alternations", "1"]);
    command.args(["--milliseconds", "50", "--json"]).arg(&file);
    let output = command.output().unwrap();
    let said = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy);
    assert!(output.status.success(), "{}", said.concat());
    let document: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    std::fs::remove_file(&file).unwrap();

    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{document:#}"));
    let rows = document["rows"].as_array().unwrap();
    for (way, what) in ROWS {
        let row = rows
            .iter()
            .find(|row| row["way"] == way && row["what"] == what);
        let row = row.unwrap_or_else(|| panic!("no {way}, {what}: {document:#}"));
        let least = if way == "tun_large" {
            100_000.0
        } else {
            10_000.0
        };
        assert!(number(&row["rate"]["median"]) > least, "{row:#}");
        let is_bare = what == "bare";
        assert_eq!(row["of_bare"].is_null(), is_bare, "{row:#}");
    }
    assert_eq!(rows.len(), ROWS.len(), "{document:#}");
    // The kernel cut none of them on the way to the ingress.
    let [large, huge, segments] =
        ["large", "huge", "segments"].map(|at| number(&document["large"][at]));
    assert!(large > 1_000.0, "{document:#}");
    assert!(huge >= 0.99 * large, "{document:#}");
    assert!(segments >= 47.0 * large, "{document:#}");
}
