//! The cluster file of a lab, and what else its nodes read from disk.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jlb_config::ClusterConfig;

use crate::error::{Doing, LabError, Result};
use crate::plan::{MTU, Plan, Role, VIP_V4, VIP_V6};

/// Name of the cluster file in the lab's directory.
pub const FILE: &str = "cluster.toml";
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

/// Writes cluster file and key; returns the path of the first. `policy` is how hosts are chosen.
///
/// # Errors
/// When they cannot be written, or the result is not a valid cluster.
pub fn write(plan: &Plan, policy: &str) -> Result<PathBuf> {
    let directory = plan.directory();
    let key = directory.join(KEY_FILE);
    jlb_config::keygen(&key).doing(format_args!("write {}", key.display()))?;
    let path = directory.join(FILE);
    fs::write(&path, text(plan, policy)).doing(format_args!("write {}", path.display()))?;
    check(&path)?;
    Ok(path)
}

fn check(path: &Path) -> Result<()> {
    ClusterConfig::load(path)
        .map(|_| ())
        .map_err(|error| LabError::new(format!("the lab's cluster file is refused: {error}")))
}

/// The text of the cluster file.
fn text(plan: &Plan, policy: &str) -> String {
    let mut text = format!(
        "# The cluster of lab {id}, made by `jlb lab`.\n\n\
         [cluster]\nname = \"lab-{id}\"\nkey_file = \"{KEY_FILE}\"\nunderlay_mtu = {MTU}\n\n\
         [timers]\nlinger = \"{LINGER}\"\n",
        id = plan.id,
    );
    for node in &plan.nodes {
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
    }
    let hosts: Vec<String> = plan
        .of(Role::Host)
        .map(|node| format!("\"{}\"", node.name))
        .collect();
    let hosts = hosts.join(", ");
    for (vip, family, base) in [(IpAddr::from(VIP_V4), "v4", 1), (VIP_V6.into(), "v6", 11)] {
        for (number, (name, protocol, port)) in (base..).zip(SERVICES) {
            let _ = write!(
                text,
                "\n[[service]]\nnumber = {number}\nname = \"{name}-{family}\"\nvip = \"{vip}\"\n\
                 protocol = \"{protocol}\"\nports = {port}\nhosts = [{hosts}]\n\
                 policy = \"{policy}\"\n",
            );
        }
    }
    text
}

#[cfg(test)]
mod tests;
