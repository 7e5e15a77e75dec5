//! Nodes that drain, by the cluster file and by command, under open and new connections.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use jlb_bench::plan::Node;
use serde_json::Value;

use crate::harness::{JLB, Lab, Output, Wanted, eventually, vips};
use crate::reload::clients::{Clients, connect, host_of};
use crate::reload::runs;

/// Connections that stay open while hosts drain and come back.
const CONNECTIONS: usize = 200;

/// Connections that are open when a deadline comes.
const LAST_CONNECTIONS: usize = 60;

/// How long a change may take to reach every node on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it is looked whether new connections arrive.
const LOOK: Duration = Duration::from_millis(1_500);

impl Lab {
    fn named(&self, name: &str) -> Node {
        let mut nodes = self.nodes().iter();
        let node = nodes.find(|node| node.name == name).cloned();
        node.unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// Says something to a node of the lab as on its machine.
    fn say(&self, words: &[&str]) -> Output {
        let state = self.directory().join("state");
        let said = Command::new(JLB)
            .args(words)
            .arg("--state-dir")
            .arg(state)
            .output()
            .unwrap();
        Output {
            success: said.status.success(),
            stdout: String::from_utf8_lossy(&said.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&said.stderr).into_owned(),
        }
    }

    fn must_say(&self, words: &[&str]) -> String {
        let said = self.say(words);
        assert!(said.success, "{words:?}: {said:?}");
        said.stdout
    }

    fn count(&self, host: &str, name: &str) -> u64 {
        self.metrics(&self.named(host)).sum(name, &[])
    }

    /// Panics if new connections arrive at one of these hosts, or nowhere at all.
    fn assert_nothing_new_at(&self, hosts: &[&str]) {
        let accepted = |host: &str| self.count(host, "jlb_host_accepts_total");
        let others = || accepted("host-3") + accepted("host-4");
        let before: Vec<u64> = hosts.iter().map(|host| accepted(host)).collect();
        let before_others = others();
        std::thread::sleep(LOOK);
        let after: Vec<u64> = hosts.iter().map(|host| accepted(host)).collect();
        assert_eq!(after, before, "new connections arrive at {hosts:?}");
        assert!(others() > before_others, "there are no new connections");
        for host in hosts {
            let open = self.count(host, "jlb_host_connections");
            assert!(open > 0, "{host} has kept none");
        }
    }

    /// Waits until new connections arrive at each of these hosts.
    fn wait_for_new_at(&self, hosts: &[&str]) {
        for host in hosts {
            let before = self.count(host, "jlb_host_accepts_total");
            eventually(PATIENCE, "new connections arrive again", || {
                let now = self.count(host, "jlb_host_accepts_total");
                (now > before).then_some(()).ok_or((*host).to_owned())
            });
        }
    }

    /// What `jlb status` says of a node's draining.
    fn draining(&self, name: &str) -> Value {
        let file = self.cluster_file();
        let arguments = ["status", "--json", "--config", file.to_str().unwrap()];
        let said = self.inside("router").run(JLB, &arguments);
        let page: Value = serde_json::from_str(&said.stdout).unwrap();
        let nodes = page["nodes"].as_array().unwrap();
        let node = nodes.iter().find(|node| node["name"] == name).unwrap();
        node["draining"].clone()
    }
}

/// The file with one node draining.
fn with_drained(text: &str, node: &str) -> String {
    let line = format!("name = \"{node}\"\n");
    assert!(text.contains(&line));
    text.replacen(&line, &format!("{line}drain = true\n"), 1)
}

#[test]
fn nodes_drain_by_file_and_by_command_and_come_back_and_no_connection_notices() {
    let lab = Lab::start(Wanted::default());
    let original = fs::read_to_string(lab.cluster_file()).unwrap();
    let clients = Clients::start(&lab, CONNECTIONS);

    lab.replace_file(&with_drained(&original, "host-1"));
    let fingerprint = lab.fingerprint();
    lab.wait_for_all("all nodes know that host-1 drains", |page| {
        runs(page, &fingerprint)
    });
    let said = lab.must_say(&["drain", "host-2"]);
    assert!(said.contains("by command"), "{said}");
    assert!(said.contains("connections left"), "{said}");
    lab.wait_for_all("all nodes have heard that two hosts drain", |page| {
        let of = |state| {
            let labels = [("role", "host-agent"), ("state", state)];
            page.sum("jlb_members", &labels)
        };
        // A host sees itself alone.
        of("draining") == 2 || of("draining") + of("active") <= 1
    });
    lab.assert_nothing_new_at(&["host-1", "host-2"]);
    for (host, by) in [("host-1", "file"), ("host-2", "command")] {
        let draining = lab.draining(host);
        assert_eq!(draining["by"], serde_json::json!([by]), "{draining}");
        assert!(
            draining["connections_left"].as_u64() > Some(0),
            "{draining}"
        );
        assert!(draining["since_seconds"].as_f64() > Some(0.5), "{draining}");
        let why = lab.is_ready(&lab.named(host)).unwrap_err();
        assert!(why.ends_with("draining\n"), "{why}");
    }
    // What the file says only the file can take back.
    let refused = lab.say(&["undrain", "host-1"]);
    assert!(
        !refused.success && refused.stderr.contains("cluster file"),
        "{refused:?}"
    );

    lab.must_say(&["undrain", "host-2"]);
    lab.replace_file(&original);
    lab.wait_for_new_at(&["host-1", "host-2"]);

    // By weight in its services, which leaves the node as it is.
    let listed = "hosts = [\"host-1\", ";
    assert!(original.contains(listed));
    let weighted = "hosts = [{ name = \"host-1\", weight = 0 }, ";
    lab.replace_file(&original.replace(listed, weighted));
    let fingerprint = lab.fingerprint();
    lab.wait_for_all("all nodes know the weight", |page| runs(page, &fingerprint));
    lab.assert_nothing_new_at(&["host-1"]);
    lab.is_ready(&lab.named("host-1")).unwrap();
    lab.replace_file(&original);
    lab.wait_for_new_at(&["host-1"]);

    // A tracker is not ranked while it drains, and is filled before it is again.
    let trackers_are = |state, count| {
        lab.wait_for_all("trackers change", |page| {
            let labels = [("role", "flow-tracker"), ("state", state)];
            page.sum("jlb_members", &labels) == count
        });
    };
    lab.must_say(&["drain", "tracker-1", "--deadline", "200ms", "--wait"]);
    trackers_are("draining", 1);
    std::thread::sleep(LOOK / 3);
    lab.must_say(&["undrain", "tracker-1"]);
    trackers_are("active", 3);

    let (answered, opened) = clients.end();
    println!("{CONNECTIONS} connections: {answered} answers, {opened} new ones beside them");
    assert!(answered > CONNECTIONS as u64 && opened > 0);
    for host in ["host-1", "host-2", "host-3", "host-4"] {
        assert_eq!(lab.count(host, "jlb_host_drain_closed_total"), 0, "{host}");
    }
    lab.assert_all_alive();
    lab.assert_books_balance();
}

/// Reads until the connection is over; how it ended.
fn read_to_end(stream: &mut TcpStream) -> Result<(), ErrorKind> {
    let mut bytes = [0; 4_096];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(error.kind()),
        }
    }
}

#[test]
fn after_the_deadline_what_is_left_on_the_host_is_reset_and_nothing_else() {
    let lab = Lab::start(Wanted {
        hosts: 3,
        ..Wanted::default()
    });
    let target = |at: usize| SocketAddr::new(vips()[at % 2], 80);
    let mut there = Vec::new();
    let mut elsewhere = Vec::new();
    for at in 0..LAST_CONNECTIONS {
        let mut stream = connect(&lab, target(at)).unwrap();
        match host_of(&mut stream).unwrap() {
            host if host == "host-1" => there.push(stream),
            host => elsewhere.push((stream, host)),
        }
    }
    let count = there.len() as u64;
    assert!(
        (5..40).contains(&count),
        "{count} connections are on host-1"
    );
    // Some are sent something all the while, and the rest says nothing.
    for stream in there.iter_mut().take(4) {
        stream
            .write_all(b"GET /drip/1000/5 HTTP/1.1\r\nhost: lab\r\n\r\n")
            .unwrap();
    }
    let readers: Vec<_> = there
        .into_iter()
        .map(|mut stream| std::thread::spawn(move || read_to_end(&mut stream)))
        .collect();

    let begun = Instant::now();
    let said = lab.must_say(&["drain", "host-1", "--deadline", "1s", "--wait"]);
    let took = begun.elapsed();
    println!("{count} connections, {took:.1?}:\n{said}");
    assert!(
        said.contains(&format!("{count} connections left")),
        "{said}"
    );
    assert!(said.contains("0 connections left"), "{said}");
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_secs(10),
        "{took:?}"
    );
    for reader in readers {
        assert_eq!(reader.join().unwrap(), Err(ErrorKind::ConnectionReset));
    }
    assert_eq!(lab.count("host-1", "jlb_host_drain_closed_total"), count);
    let left = lab.draining("host-1");
    assert_eq!(left["connections_left"], 0, "{left}");
    assert_eq!(left["deadline_seconds"], 0.0, "{left}");
    // The servers know as well as the clients.
    let sockets = lab
        .inside("host-1")
        .must("ss", &["-Htn", "state", "established"]);
    let of_service = sockets.lines().filter(|line| line.contains(":80 "));
    assert_eq!(of_service.count(), 0, "{sockets}");

    for (stream, host) in &mut elsewhere {
        assert_eq!(host_of(stream).as_ref(), Ok(&*host), "it moved or broke");
    }
    for host in ["host-2", "host-3"] {
        assert_eq!(lab.count(host, "jlb_host_drain_closed_total"), 0, "{host}");
    }
    for at in 0..12 {
        let host = host_of(&mut connect(&lab, target(at)).unwrap()).unwrap();
        assert_ne!(host, "host-1");
    }
    lab.must_say(&["undrain", "host-1"]);
    eventually(PATIENCE, "host-1 gets connections again", || {
        let hosts = (0..6).map(|at| host_of(&mut connect(&lab, target(at)).unwrap()).unwrap());
        let hosts: Vec<String> = hosts.collect();
        let came = hosts.iter().any(|host| host == "host-1");
        came.then_some(()).ok_or_else(|| hosts.join(", "))
    });
    lab.is_ready(&lab.named("host-1")).unwrap();
    lab.assert_all_alive();
    lab.assert_books_balance();
}
