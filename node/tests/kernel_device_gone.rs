//! A node whose device is deleted under it ends, with why.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod namespace;

use jlb_node::kernel::netlink::Netlink;
use jlb_protocol::Role;
use namespace::{Namespace, PATIENCE};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

const CLUSTER: &str = r#"
[cluster]
name = "gone"
key_file = "cluster.key"

[[node]]
number = 1
name = "in"
role = "ingress"
underlay = ["127.0.0.1"]
admin = "127.0.0.1:7600"

[[node]]
number = 2
name = "tracker"
role = "flow-tracker"
underlay = ["127.0.0.2"]

[[node]]
number = 3
name = "web"
role = "host-agent"
underlay = ["127.0.0.3"]

[[service]]
number = 1
name = "web"
vip = "192.0.2.10"
protocol = "tcp"
ports = 80
hosts = ["web"]
"#;

fn options(directory: &Path) -> jlb_node::Options {
    let config = directory.join("cluster.toml");
    std::fs::write(&config, CLUSTER).unwrap();
    jlb_config::keygen(&directory.join("cluster.key")).unwrap();
    jlb_node::Options {
        config,
        name: "in".into(),
        state_dir: directory.to_owned(),
        stop_delay: Duration::ZERO,
        log_json: false,
    }
}

#[test]
fn a_node_whose_device_is_deleted_ends_with_an_error() {
    let directory = std::env::temp_dir().join(format!("jlb-gone-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let options = options(&directory);
    let namespace = Namespace::new("gone");
    let error = std::thread::scope(|scope| {
        let node = scope.spawn(|| namespace.run(|| jlb_node::run(Role::Ingress, &options)));
        namespace.run(|| {
            // The admin interface answers once the device is watched by the running node.
            let mut tries = 0;
            while !is_running() {
                tries += 1;
                assert!(!node.is_finished() && tries < 1_000, "it did not start");
                std::thread::park_timeout(PATIENCE / 1_000);
            }
            Netlink::open().unwrap().delete_link("jlb0").unwrap();
        });
        node.join().unwrap().unwrap_err().to_string()
    });
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(error.contains("read from the TUN device"), "{error}");
}

/// Whether the data thread answers.
fn is_running() -> bool {
    use std::io::{Read, Write};
    let Ok(mut stream) = TcpStream::connect("127.0.0.1:7600") else {
        return false;
    };
    let mut answer = String::new();
    let asked = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    asked.is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200")
}
