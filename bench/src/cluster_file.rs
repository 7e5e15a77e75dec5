//! The cluster file of a lab, and what else its nodes read from disk.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jlb_config::ClusterConfig;

use crate::error::{Doing, LabError, Result};
use crate::plan::{MTU, Node, Plan, Role, VIP_V4, VIP_V6};

/// Name of the cluster file in the lab's directory.
pub const FILE: &str = "cluster.toml";
/// Name of the one that spare nodes are started with.
const FILE_OF_SPARES: &str = "cluster-with-spares.toml";
const KEY_FILE: &str = "cluster.key";

/// What the lab offers on each VIP: name, protocol, port. Services of the IPv4 VIP are numbered
/// from 1, those of the IPv6 VIP from 11.
const SERVICES: [(&str, &str, u16); 3] = [
    ("http", "tcp", 80),
    ("https", "tcp", 443),
    ("echo", "udp", 7),
];

/// How long a closed flow lingers in the lab; short, so that a person sees tables empty.
const LINGER: &str = "2s";

/// When the clients of a dead host are told, where nodes come and go; short, so that a person waits
/// for it.
const DEAD_HOST_RESET: &str = "4s";

/// How the lab's services differ from the usual.
#[derive(Clone, Copy, Debug)]
pub struct Services<'a> {
    /// How hosts are chosen.
    pub policy: &'a str,
    /// Lines that each TCP service has beside the usual ones.
    pub tcp_lines: &'a [String],
    /// The list of their hosts, as the file has it; `None`: all, alike.
    pub hosts: Option<&'a str>,
    /// Lines that `[timers]` has beside the usual ones.
    pub timer_lines: &'a [String],
    /// Lines that each node of a role has beside the usual ones.
    pub node_lines: &'a [(Role, &'a str)],
    /// Lines that each ingress has beside those.
    pub ingress_lines: &'a [String],
}

impl<'a> Services<'a> {
    /// With the usual lines alone.
    pub const fn of(policy: &'a str) -> Self {
        Self {
            policy,
            tcp_lines: &[],
            hosts: None,
            timer_lines: &[],
            node_lines: &[],
            ingress_lines: &[],
        }
    }
}

/// Writes key and cluster file, and one more that has the spare nodes too if there are any: to the
/// others those are strangers.
///
/// # Errors
/// When they cannot be written, or the result is not a valid cluster.
pub fn write(plan: &Plan, services: Services<'_>) -> Result<()> {
    let directory = plan.directory();
    let key = directory.join(KEY_FILE);
    jlb_config::keygen(&key).doing(format_args!("write {}", key.display()))?;
    let nodes: Vec<&Node> = plan.nodes.iter().collect();
    write_file(plan, &nodes, services, FILE)?;
    if plan.spares.is_empty() {
        return Ok(());
    }
    let all: Vec<&Node> = plan.all().collect();
    write_file(plan, &all, services, FILE_OF_SPARES)?;
    Ok(())
}

/// Puts another cluster file in the place of the one that nodes run, who take it over by themselves; returns its
/// fingerprint.
///
/// # Errors
/// When it cannot be written, or is not a valid cluster: then the old one stays.
pub fn replace(plan: &Plan, services: Services<'_>) -> Result<u64> {
    let nodes: Vec<&Node> = plan.nodes.iter().collect();
    let directory = plan.directory();
    let new = format!("{FILE}.new");
    let fingerprint = write_file(plan, &nodes, services, &new)?;
    fs::rename(directory.join(&new), directory.join(FILE)).doing(format_args!("rename {new}"))?;
    Ok(fingerprint)
}

/// The cluster file that a node is started with.
pub fn path(plan: &Plan, node: &Node) -> PathBuf {
    let spare = plan.spares.iter().any(|spare| spare.name == node.name);
    plan.directory()
        .join(if spare { FILE_OF_SPARES } else { FILE })
}

/// Returns the fingerprint.
fn write_file(plan: &Plan, nodes: &[&Node], services: Services<'_>, name: &str) -> Result<u64> {
    let path = plan.directory().join(name);
    fs::write(&path, text(plan, nodes, services))
        .doing(format_args!("write {}", path.display()))?;
    check(&path)
}

fn check(path: &Path) -> Result<u64> {
    ClusterConfig::load(path)
        .map(|loaded| loaded.config.fingerprint())
        .map_err(|error| LabError::new(format!("the lab's cluster file is refused: {error}")))
}

/// The text of the cluster file.
fn text(plan: &Plan, nodes: &[&Node], services: Services<'_>) -> String {
    let mut text = format!(
        "# The cluster of lab {id}, made by `jlb lab`.\n\n\
         [cluster]\nname = \"lab-{id}\"\nkey_file = \"{KEY_FILE}\"\nunderlay_mtu = {MTU}\n\n\
         [timers]\nlinger = \"{LINGER}\"\n",
        id = plan.id,
    );
    if !plan.spares.is_empty() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "dead_host_reset = \"{DEAD_HOST_RESET}\"");
    }
    for line in services.timer_lines {
        let _ = writeln!(text, "{line}");
    }
    for node in nodes {
        let underlay: IpAddr = if plan.ipv6_underlay {
            node.addresses.v6.into()
        } else {
            node.addresses.v4.into()
        };
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n[[node]]\nnumber = {}\nname = \"{}\"\nrole = \"{}\"\nunderlay = [\"{underlay}\"]\n\
             admin = \"{}\"\n",
            node.number,
            node.name,
            node.role.subcommand(),
            Plan::admin(node),
        );
        for (_, line) in services.node_lines.iter().filter(|it| it.0 == node.role) {
            let _ = writeln!(text, "{line}");
        }
        if node.role == Role::Ingress {
            for line in services.ingress_lines {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    let hosts = if let Some(hosts) = services.hosts {
        hosts.to_owned()
    } else if plan.spares.is_empty() {
        let hosts = nodes.iter().filter(|node| node.role == Role::Host);
        let hosts: Vec<String> = hosts.map(|node| format!("\"{}\"", node.name)).collect();
        format!("[{}]", hosts.join(", "))
    } else {
        // A host that comes later serves, too.
        "\"any\"".to_owned()
    };
    for (vip, family, base) in [(IpAddr::from(VIP_V4), "v4", 1), (VIP_V6.into(), "v6", 11)] {
        for (number, (name, protocol, port)) in (base..).zip(SERVICES) {
            let _ = write!(
                text,
                "\n[[service]]\nnumber = {number}\nname = \"{name}-{family}\"\nvip = \"{vip}\"\n\
                 protocol = \"{protocol}\"\nports = {port}\nhosts = {hosts}\n\
                 policy = \"{}\"\n",
                services.policy,
            );
            for line in services.tcp_lines.iter().filter(|_| protocol == "tcp") {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests;
