//! A lab that stands for the length of a test, and what tests do with it.

pub(crate) mod browser;
mod capture;
mod machine;
mod metrics;
mod namespace;
mod processes;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::MutexGuard;
use std::time::Duration;

use jlb_bench::plan::{Counts, Node, Plan, Role, VIP_V4, VIP_V6};
use serde_json::Value;

pub(crate) use capture::{Capture, Frame, read_pcap, tshark};
pub(crate) use machine::{eventually, long, signal, turn};
pub(crate) use metrics::Page;
pub(crate) use namespace::{Background, Namespace, Output, finish_connecting};

/// The program under test.
pub(crate) const JLB: &str = env!("CARGO_BIN_EXE_jlb");

/// How long a closed flow lingers in a lab, see `bench/src/cluster_file.rs`.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// How long after the last close tables may take to be empty (S5).
pub(crate) const FORGOTTEN_WITHIN: Duration = LINGER.saturating_add(Duration::from_secs(5));

/// The virtual addresses, one of each family.
pub(crate) fn vips() -> [IpAddr; 2] {
    [VIP_V4.into(), VIP_V6.into()]
}

/// `http://VIP/path`.
pub(crate) fn http(vip: IpAddr, path: &str) -> String {
    format!("http://{}{path}", in_url(vip))
}

/// An address as URLs have it.
pub(crate) fn in_url(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// What kind of lab a test wants.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) nginx: bool,
    pub(crate) ipv6_underlay: bool,
    pub(crate) hosts: u16,
    /// One more line of every TCP service in the cluster file.
    pub(crate) tcp_service: Option<&'static str>,
    /// One more line of every ingress.
    pub(crate) ingress: Option<&'static str>,
    /// How ingress nodes take packets, as in the cluster file.
    pub(crate) packet_io: &'static str,
    /// Whether hosts' kernels decapsulate.
    pub(crate) xdp_strip: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            nginx: false,
            ipv6_underlay: false,
            hosts: 4,
            tcp_service: None,
            ingress: None,
            packet_io: "tun",
            xdp_strip: false,
        }
    }
}

/// A lab that stands. It is taken down when the value goes, also by a panic.
pub(crate) struct Lab {
    plan: Plan,
    _turn: MutexGuard<'static, ()>,
}

impl Lab {
    /// Builds one.
    pub(crate) fn start(wanted: Wanted) -> Self {
        let turn = turn();
        let mut command = Command::new(JLB);
        command.args(["lab", "--keep", "--seconds", "0", "--json"]);
        command.args(["--hosts", &wanted.hosts.to_string()]);
        command.args(["--packet-io", wanted.packet_io]);
        if wanted.xdp_strip {
            command.arg("--xdp-strip");
        }
        if let Some(line) = wanted.tcp_service {
            command.args(["--tcp-service", line]);
        }
        if let Some(line) = wanted.ingress {
            command.args(["--ingress-line", line]);
        }
        if wanted.nginx {
            command.args(["--web", "nginx"]);
        }
        if wanted.ipv6_underlay {
            command.args(["--underlay", "ipv6"]);
        }
        let output = command.output().expect("jlb runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the lab does not start: {said}");
        let report: Value = serde_json::from_slice(&output.stdout).expect("the lab tells JSON");
        let id = report["lab"]["id"]
            .as_str()
            .expect("the lab tells its id")
            .to_owned();
        // Shown when the test fails, or with --nocapture.
        println!("lab {id}");
        let counts = Counts {
            ingress: 2,
            trackers: 3,
            hosts: wanted.hosts,
        };
        let plan = Plan::new(id, counts, wanted.ipv6_underlay);
        let client = Namespace::new(plan.namespace("client"));
        // A sender's kernel marks packets with a hash of its choice, which it changes when it
        // repeats one; through a veth the router's kernel would take that for its own layer-4
        // hash and move the flow to another ingress, as no other router would.
        client.enter(|| {
            let _ = std::fs::write("/proc/sys/net/core/txrehash", "0");
        });
        Self { plan, _turn: turn }
    }

    /// With nginx on its hosts.
    pub(crate) fn with_nginx() -> Self {
        Self::start(Wanted {
            nginx: true,
            ..Wanted::default()
        })
    }

    /// Where its files are.
    pub(crate) fn directory(&self) -> PathBuf {
        self.plan.directory()
    }

    /// Its nodes.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.plan.nodes
    }

    /// Its nodes of a role.
    pub(crate) fn of(&self, role: Role) -> Vec<Node> {
        self.plan.of(role).cloned().collect()
    }

    /// The address of a node on the underlay.
    pub(crate) fn underlay(&self, node: &Node) -> IpAddr {
        if self.plan.ipv6_underlay {
            node.addresses.v6.into()
        } else {
            node.addresses.v4.into()
        }
    }

    /// Where a node tells how it is.
    pub(crate) fn admin(&self, node: &Node) -> SocketAddr {
        Plan::admin(node)
    }

    /// Where clients are.
    pub(crate) fn client(&self) -> Namespace {
        self.inside("client")
    }

    /// The namespace of a node, or of the router.
    pub(crate) fn inside(&self, name: &str) -> Namespace {
        Namespace::new(self.plan.namespace(name))
    }

    /// The metrics of a node.
    pub(crate) fn metrics(&self, node: &Node) -> Page {
        metrics::fetch(&self.inside("router"), self.admin(node))
            .unwrap_or_else(|error| panic!("metrics of {}: {error}", node.name))
    }

    /// Whether a node is ready.
    pub(crate) fn is_ready(&self, node: &Node) -> Result<(), String> {
        metrics::get(&self.inside("router"), self.admin(node), "/healthz").map(|_| ())
    }

    /// Waits until no table of any node has a flow any more.
    pub(crate) fn wait_until_empty(&self, within: Duration) {
        eventually(within, "tables get empty", || {
            let left: Vec<String> = self
                .nodes()
                .iter()
                .flat_map(|node| {
                    let flows = self.metrics(node).flows();
                    flows
                        .into_iter()
                        .map(|flows| format!("{flows} of {}", node.name))
                })
                .collect();
            if left.is_empty() {
                Ok(())
            } else {
                Err(left.join(", "))
            }
        });
    }

    /// Panics unless the books of every node add up (S6).
    pub(crate) fn assert_books_balance(&self) {
        for node in self.nodes() {
            let page = self.metrics(node);
            for sample in page
                .samples()
                .filter(|sample| sample.name == "jlb_books_imbalance")
            {
                let (name, layer) = (&node.name, sample.labels);
                assert_eq!(
                    sample.value, 0.0,
                    "the books of {name} {layer} do not add up"
                );
            }
        }
    }

    /// Panics if a node has died, its books are wrong, or it has found something worth a warning.
    pub(crate) fn assert_calm(&self) {
        self.assert_all_alive();
        self.assert_books_balance();
        let complaints = self.complaints();
        assert!(complaints.is_empty(), "the logs say:\n{complaints}");
    }

    /// Lines of the logs that are more than news.
    fn complaints(&self) -> String {
        let Ok(logs) = std::fs::read_dir(self.directory().join("logs")) else {
            return String::new();
        };
        let mut all = String::new();
        for log in logs.flatten() {
            let text = std::fs::read(log.path()).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text
                .lines()
                .filter(|line| !line.contains(" INFO "))
                .collect();
            for line in lines.iter().rev().take(10).rev() {
                all.push_str(&format!("{}: {line}\n", log.file_name().to_string_lossy()));
            }
        }
        all
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what the lab's logs say:\n{}", self.complaints());
        }
        let down = Command::new(JLB)
            .args(["lab", "down", &self.plan.id])
            .output();
        match down {
            Ok(output) if output.status.success() => {}
            other => eprintln!("lab {} was not taken down: {other:?}", self.plan.id),
        }
    }
}
