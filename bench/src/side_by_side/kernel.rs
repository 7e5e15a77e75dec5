//! The kernel as a balancer, by rules of nftables.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::proxies::HTTP;
use super::row::Rules;
use crate::error::{Doing, LabError, Result};
use crate::netns::Namespace;
use crate::topology::Hardware;

/// The table that holds them.
const TABLE: &str = "bench";
/// The interface of every node.
const INTERFACE: &str = "eth0";

/// A host, as rules name it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Host {
    pub(super) address: Ipv4Addr,
    pub(super) hardware: Hardware,
}

/// The rules that spread a virtual address over hosts.
pub(super) fn text(rules: Rules, vip: Ipv4Addr, own: Hardware, hosts: &[Host]) -> String {
    let count = hosts.len();
    // Both choose by the same hash, so that they differ in nothing but what is to be compared.
    let hash = format!("jhash ip saddr . tcp sport mod {count} seed 0x1");
    let of = |each: fn(&Host) -> String| {
        let entries = hosts
            .iter()
            .enumerate()
            .map(|(at, host)| format!("{at} : {}", each(host)));
        entries.collect::<Vec<_>>().join(", ")
    };
    match rules {
        Rules::Dsr => format!(
            "table netdev {TABLE} {{\n  chain spread {{\n    \
             type filter hook ingress device \"{INTERFACE}\" priority 0; policy accept;\n    \
             ip daddr {vip} tcp dport {HTTP} ether saddr set {} ether daddr set {hash} map {{ {} }} fwd to \"{INTERFACE}\"\n  \
             }}\n}}\n",
            hardware_text(own),
            of(|host| hardware_text(host.hardware)),
        ),
        Rules::Dnat => format!(
            "table ip {TABLE} {{\n  chain spread {{\n    \
             type nat hook prerouting priority -100; policy accept;\n    \
             ip daddr {vip} tcp dport {HTTP} dnat to {hash} map {{ {} }}\n  }}\n}}\n",
            of(|host| host.address.to_string()),
        ),
    }
}

/// Puts rules in force in a namespace.
pub(super) fn apply(nft: &Path, namespace: &Namespace, text: &str) -> Result<()> {
    namespace.run(|| nft_reads(nft, text))
}

/// Takes them away again.
pub(super) fn remove(nft: &Path, namespace: &Namespace, rules: Rules) -> Result<()> {
    let family = match rules {
        Rules::Dsr => "netdev",
        Rules::Dnat => "ip",
    };
    let text = format!("delete table {family} {TABLE}\n");
    namespace.run(|| nft_reads(nft, &text))
}

/// Gives rules to nft, in the thread's namespace.
pub(crate) fn nft_reads(nft: &Path, text: &str) -> Result<()> {
    let mut child = Command::new(nft)
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .doing("run nft")?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(text.as_bytes()).doing("write to nft")?;
    }
    let output = child.wait_with_output().doing("wait for nft")?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let error = LabError::new(format!("nft refuses the rules: {}", said.trim()));
    Err(error.mend("the kernel needs nf_tables with netdev hooks, NAT and hashes"))
}

fn hardware_text(hardware: Hardware) -> String {
    let mut text = String::new();
    for (at, byte) in hardware.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}{byte:02x}", if at == 0 { "" } else { ":" });
    }
    text
}

#[cfg(test)]
mod tests;
