//! A node whose log can't be written goes on.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

const CLUSTER: &str = r#"
[cluster]
name = "log"
key_file = "cluster.key"

[[node]]
number = 1
name = "ingress"
role = "ingress"
underlay = ["127.7.6.1"]

[[node]]
number = 2
name = "tracker"
role = "flow-tracker"
underlay = ["127.7.6.2"]
log = "trace"

[[node]]
number = 3
name = "web"
role = "host-agent"
underlay = ["127.7.6.3"]

[[service]]
number = 1
name = "web"
vip = "192.0.2.10"
protocol = "tcp"
ports = 80
hosts = ["web"]
"#;

/// How often, and how many times at most, the node is asked how it is.
const PAUSE: Duration = Duration::from_millis(10);
const TRIES: usize = 1_000;

/// The first line of the answer to `/healthz`.
fn health() -> Option<String> {
    let mut stream = TcpStream::connect("127.7.6.2:9600").ok()?;
    let request = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.lines().next().map(str::to_owned)
}

#[test]
fn a_node_outlives_a_full_disk_under_its_log() {
    let directory = std::env::temp_dir().join(format!("jlb-log-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let config = directory.join("cluster.toml");
    std::fs::write(&config, CLUSTER).unwrap();
    jlb_config::keygen(&directory.join("cluster.key")).unwrap();
    let mut node = Command::new(env!("CARGO_BIN_EXE_jlb"))
        .args(["flow-tracker", "--name", "tracker", "--stop-delay-ms", "0"])
        .arg("--config")
        .arg(&config)
        .arg("--state-dir")
        .arg(&directory)
        .stdin(Stdio::null())
        .stderr(OpenOptions::new().write(true).open("/dev/full").unwrap())
        .spawn()
        .unwrap();
    // It joins first.
    let health = (0..TRIES).find_map(|_| {
        std::thread::park_timeout(PAUSE);
        health().filter(|line| line.contains("200"))
    });
    let pid = node.id().to_string();
    Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    let status = node.wait().unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(health.as_deref(), Some("HTTP/1.1 200 OK"));
    assert!(status.success(), "{status}");
}
