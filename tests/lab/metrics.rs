//! What nodes tell Prometheus.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::{Lab, Page, eventually, http, signal, vips};

/// Metrics of all nodes when each has done some of its work.
fn pages(lab: &Lab) -> Vec<(String, Page)> {
    for vip in vips() {
        for _ in 0..20 {
            lab.client().must(
                "curl",
                &["-sS", "--fail", "-o", "/dev/null", &http(vip, "/")],
            );
        }
        let socket = lab.client().udp(SocketAddr::new(vip, 7));
        socket.send(b"hello").unwrap();
        socket.recv(&mut [0; 16]).unwrap();
        // Nobody serves that port.
        assert!(lab.client().connect(SocketAddr::new(vip, 443)).is_err());
    }
    lab.nodes()
        .iter()
        .map(|node| (node.name.clone(), lab.metrics(node)))
        .collect()
}

#[test]
fn metrics_pass_promtool_and_are_all_documented() {
    let lab = Lab::start(Default::default());
    let pages = pages(&lab);
    for (node, page) in &pages {
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        promtool
            .stdin
            .take()
            .unwrap()
            .write_all(page.0.as_bytes())
            .unwrap();
        let output = promtool.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(
            output.status.success() && said.trim().is_empty(),
            "of {node}: {said}"
        );
    }

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
    let documented = std::fs::read_to_string(path).unwrap_or_default();
    let names: BTreeSet<&str> = pages
        .iter()
        .flat_map(|(_, page)| page.samples().map(|sample| sample.name))
        .collect();
    assert!(names.len() > 30, "only {names:?}");
    let missing: Vec<&&str> = names
        .iter()
        .filter(|name| !documented.contains(&format!("`{name}`")))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/operations.md does not tell of {missing:#?}"
    );
    let foreign: Vec<&&str> = names
        .iter()
        .filter(|name| !name.starts_with("jlb_"))
        .collect();
    assert!(foreign.is_empty(), "names without jlb_: {foreign:?}");
}

#[test]
fn healthz_tells_that_a_node_stops_before_it_does() {
    let lab = Lab::start(Default::default());
    for node in lab.nodes() {
        lab.is_ready(node)
            .unwrap_or_else(|why| panic!("{}: {why}", node.name));
    }
    // The lab starts its nodes without a delay for draining: this one is started anew with one.
    let node = &lab.nodes()[0];
    let mut words = lab.kill(&node.name);
    let delay = words
        .iter()
        .position(|word| word == "--stop-delay-ms")
        .unwrap()
        + 1;
    words[delay] = "1500".into();
    let mut process = lab.start_again(&node.name, &words);
    eventually(Duration::from_secs(10), "the ingress is back", || {
        lab.is_ready(node)
    });
    signal("TERM", process.0.id());
    eventually(
        Duration::from_secs(1),
        "the ingress is not ready",
        || match lab.is_ready(node) {
            Err(why) if why.contains(" 503 ") => Ok(()),
            other => Err(format!("{other:?}")),
        },
    );
    assert!(process.0.try_wait().unwrap().is_none(), "it still forwards");
    eventually(Duration::from_secs(5), "the ingress ends", || {
        let status = process.0.try_wait().unwrap().ok_or("it runs")?;
        if status.success() {
            Ok(())
        } else {
            Err(status.to_string())
        }
    });
}
