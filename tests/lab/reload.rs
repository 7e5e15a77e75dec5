//! Another cluster file while nodes run and connections are open.

pub(crate) mod clients;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jlb_bench::cluster_file;
use jlb_bench::plan::{Node, Role};
use jlb_config::ClusterConfig;
use serde_json::Value;

use crate::harness::{JLB, Lab, Page, Wanted, eventually, http, long, signal, vips};
use clients::{Clients, connect, host_of};

/// Connections that stay open meanwhile.
const CONNECTIONS: usize = 1_000;

/// How often the policy is switched.
const INTERVAL: Duration = Duration::from_millis(100);

/// The policies that take turns.
const POLICIES: [&str; 7] = [
    "random",
    "two-choices",
    "least-load",
    "consistent-hash",
    "max-connections",
    "least-connections",
    "round-robin",
];

/// How long a change may take to reach every node on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(5);

impl Lab {
    pub(crate) fn cluster_file(&self) -> PathBuf {
        self.directory().join(cluster_file::FILE)
    }

    /// Renames another cluster file over the one that is there.
    pub(crate) fn replace_file(&self, text: &str) {
        let new = self.directory().join("cluster.toml.new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.cluster_file()).unwrap();
    }

    /// The fingerprint of the cluster file as it is.
    pub(crate) fn fingerprint(&self) -> String {
        let loaded = ClusterConfig::load(&self.cluster_file());
        let config = loaded.unwrap_or_else(|error| panic!("{error}")).config;
        format!("{:016x}", config.fingerprint())
    }

    /// Waits until every node is so.
    pub(crate) fn wait_for_all(&self, what: &str, is_so: impl Fn(&Page) -> bool) {
        eventually(PATIENCE, what, || {
            let nodes = self.nodes().iter();
            let others: Vec<&str> = nodes
                .filter(|node| !is_so(&self.metrics(node)))
                .map(|node| node.name.as_str())
                .collect();
            if others.is_empty() {
                Ok(())
            } else {
                Err(others.join(", "))
            }
        });
    }

    /// What `jlb status` says, and whether all nodes are alike.
    fn status(&self) -> (bool, Value) {
        let file = self.cluster_file();
        let arguments = ["status", "--json", "--config", file.to_str().unwrap()];
        let said = self.inside("router").run(JLB, &arguments);
        let page = serde_json::from_str(&said.stdout);
        (said.success, page.unwrap_or_else(|_| panic!("{said:?}")))
    }
}

pub(crate) fn runs(page: &Page, fingerprint: &str) -> bool {
    page.0.contains(&format!(
        "jlb_config_info{{fingerprint=\"{fingerprint}\"}} 1"
    ))
}

fn reloads(page: &Page, result: &str) -> u64 {
    page.sum("jlb_config_reloads_total", &[("result", result)])
}

/// The file of a lab with another policy. `max-connections` wants a limit, which all may have.
fn with_policy(text: &str, policy: &str) -> String {
    text.replace(
        "policy = \"round-robin\"",
        &format!("policy = \"{policy}\"\nmax_connections = 100_000"),
    )
}

#[test]
fn the_policy_is_switched_ten_times_a_second_and_no_connection_notices() {
    let lab = Lab::start(Wanted::default());
    let original = fs::read_to_string(lab.cluster_file()).unwrap();
    let clients = Clients::start(&lab, CONNECTIONS);
    let first = lab.fingerprint();
    lab.wait_for_all("all nodes run the file", |page| runs(page, &first));
    let applied_before: Vec<u64> = lab
        .nodes()
        .iter()
        .map(|node| reloads(&lab.metrics(node), "applied"))
        .collect();

    let switches = if long() { 600 } else { 80 };
    let begun = Instant::now();
    let mut followed = vec![0; lab.nodes().len()];
    let mut looked = 0;
    for at in 0..switches {
        let policy = POLICIES[at % POLICIES.len()];
        lab.replace_file(&with_policy(&original, policy));
        let wanted = lab.fingerprint();
        let next = INTERVAL * u32::try_from(at + 1).unwrap();
        // Shortly before the next switch one node after the other is looked at.
        std::thread::sleep((next - INTERVAL / 4).saturating_sub(begun.elapsed()));
        let which = at % lab.nodes().len();
        let page = lab.metrics(&lab.nodes()[which]);
        looked += 1;
        followed[which] += usize::from(runs(&page, &wanted));
        std::thread::sleep(next.saturating_sub(begun.elapsed()));
    }
    let took = begun.elapsed();
    let last = lab.fingerprint();
    lab.wait_for_all("all nodes run the last file", |page| runs(page, &last));
    println!(
        "{switches} switches in {took:.1?}; {} of {looked} looks found the policy of less than \
         {INTERVAL:?} before",
        followed.iter().sum::<usize>()
    );
    for ((node, before), followed) in lab.nodes().iter().zip(applied_before).zip(&followed) {
        let applied = reloads(&lab.metrics(node), "applied") - before;
        println!("{}: {applied} taken over", node.name);
        // Two at once are as good as the second where a processor is late.
        assert!(applied as usize >= switches / 2, "{}: {applied}", node.name);
        assert!(*followed > 0, "{} never had followed", node.name);
    }

    // A broken file in between changes nothing.
    lab.replace_file(&with_policy(&original, "round-robbin"));
    lab.wait_for_all("all nodes refuse the file", |page| {
        page.sum("jlb_config_refused", &[]) == 1
    });
    for node in lab.nodes() {
        let page = lab.metrics(node);
        assert!(runs(&page, &last), "{}", node.name);
        assert!(reloads(&page, "refused") >= 1, "{}", node.name);
    }
    lab.replace_file(&original);
    lab.wait_for_all("all nodes run the first file again", |page| {
        runs(page, &first) && page.sum("jlb_config_refused", &[]) == 0
    });

    let (answered, opened) = clients.end();
    println!("{CONNECTIONS} connections: {answered} answers, {opened} new ones beside them");
    assert!(answered > CONNECTIONS as u64 && opened > 0);
    let (alike, page) = lab.status();
    assert!(alike, "{page:#}");
    assert_eq!(page["configuration"], first);
    lab.assert_all_alive();
    lab.assert_books_balance();
}

#[test]
fn a_file_that_needs_a_restart_is_refused_and_status_tells() {
    let lab = Lab::start(Wanted {
        hosts: 1,
        ..Wanted::default()
    });
    let original = fs::read_to_string(lab.cluster_file()).unwrap();
    let first = lab.fingerprint();
    let (alike, page) = lab.status();
    assert!(alike, "{page:#}");
    let nodes = page["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), lab.nodes().len());
    assert!(nodes.iter().all(|node| node["ready"] == true), "{page:#}");

    lab.replace_file(&original.replace("[cluster]\n", "[cluster]\nport = 7000\n"));
    lab.wait_for_all("all nodes refuse the file", |page| {
        page.sum("jlb_config_refused", &[]) == 1
    });
    let (alike, page) = lab.status();
    assert!(!alike);
    for node in page["nodes"].as_array().unwrap() {
        assert_eq!(node["configuration"], first, "{page:#}");
        let why = node["configuration_refused"].as_str().unwrap();
        assert!(why.contains("`port` of [cluster]"), "{why}");
    }
    lab.replace_file(&original);
    lab.wait_for_all("all is well again", |page| {
        page.sum("jlb_config_refused", &[]) == 0
    });
    // A signal has it read again.
    let node = &lab.nodes()[0];
    let before = reloads(&lab.metrics(node), "unchanged");
    signal("HUP", lab.pid(&node.name));
    eventually(PATIENCE, "the file is read again", || {
        let now = reloads(&lab.metrics(node), "unchanged");
        (now > before).then_some(()).ok_or(format!("{now} times"))
    });
    lab.kill(&node.name);
    let (alike, page) = lab.status();
    assert!(!alike);
    let nodes = page["nodes"].as_array().unwrap();
    let gone: Vec<&Value> = nodes.iter().filter(|it| it["reachable"] == false).collect();
    assert_eq!(gone.len(), 1, "{page:#}");
    assert_eq!(gone[0]["name"], node.name);
}

/// A VIP that the lab does not have at first, in the network of the others.
fn more_vip() -> IpAddr {
    IpAddr::from([203, 0, 113, 77])
}

/// Routes a VIP as the router does the others.
fn route(lab: &Lab, vip: IpAddr) {
    let router = lab.inside("router");
    let known = vips()[0].to_string();
    let route = router.must("ip", &["route", "show", &known]);
    let words: Vec<&str> = route.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "nhid").unwrap();
    router.must(
        "ip",
        &["route", "add", &vip.to_string(), "nhid", words[at + 1]],
    );
}

#[test]
fn services_and_pools_come_and_go_and_connections_stay() {
    let lab = Lab::start(Wanted {
        hosts: 2,
        ..Wanted::default()
    });
    let original = fs::read_to_string(lab.cluster_file()).unwrap();
    route(&lab, more_vip());
    let vip = more_vip().to_string();
    let more = format!(
        "{original}\n[[service]]\nnumber = 77\nname = \"more\"\nvip = \"{vip}\"\nprotocol = \"tcp\"\n\
         ports = 80\nhosts = [\"host-1\", \"host-2\"]\npolicy = \"round-robin\"\n"
    );
    lab.replace_file(&more);
    let fingerprint = lab.fingerprint();
    lab.wait_for_all("all nodes have the service", |page| {
        runs(page, &fingerprint)
    });
    let url = http(more_vip(), "/");
    let get = ["-sS", "--fail", "-o", "/dev/null", "--max-time", "20", &url];
    lab.client().must("curl", &get);

    // A host leaves the pools with its VIPs: what it has goes on, new connections go elsewhere.
    let target = SocketAddr::new(vips()[0], 80);
    let mut streams: Vec<_> = (0..20).map(|_| connect(&lab, target).unwrap()).collect();
    let mut at_first: Vec<usize> = Vec::new();
    for (at, stream) in streams.iter_mut().enumerate() {
        if host_of(stream).unwrap() == "host-1" {
            at_first.push(at);
        }
    }
    assert!((1..20).contains(&at_first.len()), "{at_first:?}");
    lab.replace_file(&more.replace("hosts = [\"host-1\", \"host-2\"]", "hosts = [\"host-2\"]"));
    let fingerprint = lab.fingerprint();
    lab.wait_for_all("the pools are smaller", |page| runs(page, &fingerprint));
    for (at, stream) in streams.iter_mut().enumerate() {
        let host = host_of(stream).unwrap();
        assert_eq!(
            host == "host-1",
            at_first.contains(&at),
            "connection {at} moved"
        );
    }
    for _ in 0..20 {
        assert_eq!(
            host_of(&mut connect(&lab, target).unwrap()).unwrap(),
            "host-2"
        );
    }

    // The first file again, without the service.
    lab.replace_file(&original);
    let fingerprint = lab.fingerprint();
    lab.wait_for_all("the service is gone", |page| runs(page, &fingerprint));
    for stream in &mut streams {
        host_of(stream).unwrap();
    }
    let has_vip = |node: &Node, arguments: &[&str]| {
        let said = lab.inside(&node.name).must("ip", arguments);
        said.contains(&vip)
    };
    eventually(PATIENCE, "its routes and addresses are gone", || {
        let routes = lab.of(Role::Ingress).into_iter();
        let mut left: Vec<String> = routes
            .filter(|node| has_vip(node, &["route", "show"]))
            .map(|node| node.name)
            .collect();
        let addresses = lab.of(Role::Host).into_iter();
        left.extend(
            addresses
                .filter(|node| has_vip(node, &["address", "show"]))
                .map(|node| node.name),
        );
        if left.is_empty() {
            Ok(())
        } else {
            Err(left.join(", "))
        }
    });
    drop(streams);
    // The logs have a warning: a host agent was in no service for a while.
    lab.assert_all_alive();
    lab.assert_books_balance();
}
