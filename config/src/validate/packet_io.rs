//! How packets of clients come in.

use super::nodes::of_another_role;
use super::{device, one_of, right};
use crate::cluster::{PacketIo, XdpStrip};
use crate::problem::{Findings, Problem, quoted};
use crate::schema::NodeTable;
use jlb_protocol::Role;

/// Interfaces that one node takes packets from at most.
const MAX_INTERFACES: usize = 8;

/// The words of `packet_io`.
#[derive(Clone, Copy)]
enum Word {
    Tun,
    AfXdp,
}

const WORDS: &[(&str, Word)] = &[("tun", Word::Tun), ("af_xdp", Word::AfXdp)];

/// What a node's table says; `None` if there is an error in it.
pub(super) fn packet_io(table: &NodeTable, findings: &mut Findings) -> Option<PacketIo> {
    let word = match &table.packet_io {
        Some(written) => one_of(written, WORDS, "node.packet_io", findings)?,
        None => Word::Tun,
    };
    match (word, &table.packet_io) {
        (Word::AfXdp, Some(written)) => {
            if table.role.get_ref().0 != Role::Ingress.as_str() {
                let message = "only an ingress takes packets of clients by AF_XDP";
                let help = "leave `packet_io` out here";
                of_another_role(table, written.span(), message, help, findings);
                return None;
            }
            if table.xdp_interfaces.is_none() {
                let message = "`packet_io` is \"af_xdp\", but no interface is named";
                findings.error(
                    Problem::at(written.span(), message, "from which interface?")
                        .help(right("node.xdp_interfaces")),
                );
                return None;
            }
            Some(PacketIo::AfXdp {
                interfaces: interfaces(table, findings)?,
                generic: table.xdp_generic.as_ref().is_some_and(|it| *it.get_ref()),
            })
        }
        (Word::Tun | Word::AfXdp, _) => {
            // A host's have another meaning.
            let alone = is_host(table)
                || no_interfaces(table, "packet_io = \"af_xdp\"", "node.packet_io", findings);
            alone.then_some(PacketIo::Tun)
        }
    }
}

/// Whether and where a host has the kernel decapsulate; `None` if there is an error in what its table says.
pub(super) fn xdp_strip(table: &NodeTable, findings: &mut Findings) -> Option<Option<XdpStrip>> {
    let written = table.xdp_strip.as_ref().filter(|it| *it.get_ref());
    let Some(written) = written else {
        let alone =
            !is_host(table) || no_interfaces(table, "xdp_strip = true", "node.xdp_strip", findings);
        return alone.then_some(None);
    };
    if !is_host(table) {
        let message = "only a host agent has packets decapsulated by XDP";
        let help = "leave `xdp_strip` out here";
        of_another_role(table, written.span(), message, help, findings);
        return None;
    }
    if table.xdp_interfaces.is_none() {
        let message = "`xdp_strip` is true, but no interface is named";
        findings.error(
            Problem::at(written.span(), message, "in front of which interface?")
                .help("name the interfaces that messages come by: xdp_interfaces = [\"eth0\"]"),
        );
        return None;
    }
    Some(Some(XdpStrip {
        interfaces: interfaces(table, findings)?,
        generic: table.xdp_generic.as_ref().is_some_and(|it| *it.get_ref()),
    }))
}

fn is_host(table: &NodeTable) -> bool {
    table.role.get_ref().0 == Role::HostAgent.as_str()
}

/// Whether no interface is named, which would have a meaning `with` this only.
fn no_interfaces(table: &NodeTable, with: &str, path: &str, findings: &mut Findings) -> bool {
    let interfaces = table.xdp_interfaces.as_ref().map(toml::Spanned::span);
    let generic = table.xdp_generic.as_ref().map(toml::Spanned::span);
    let keys = [("xdp_interfaces", interfaces), ("xdp_generic", generic)];
    let mut unused = keys
        .into_iter()
        .filter_map(|(key, span)| Some((key, span?)))
        .peekable();
    let alone = unused.peek().is_none();
    for (key, span) in unused {
        let message = format!("`{key}` has a meaning with `{with}` only");
        findings.error(Problem::at(span, message, "without a meaning").help(right(path)));
    }
    alone
}

fn interfaces(table: &NodeTable, findings: &mut Findings) -> Option<Vec<String>> {
    let list = table.xdp_interfaces.as_ref()?;
    let help = right("node.xdp_interfaces");
    let written = list.get_ref();
    if written.is_empty() || written.len() > MAX_INTERFACES {
        let message = format!(
            "`xdp_interfaces` names {} interfaces, but 1 to {MAX_INTERFACES} are possible",
            written.len()
        );
        findings.error(Problem::at(list.span(), message, "out of range").help(help));
        return None;
    }
    let mut names: Vec<String> = Vec::new();
    for one in written {
        let name = device(one, "node.xdp_interfaces", findings)?;
        if names.contains(&name) {
            let message = format!("{} is named twice", quoted(&name));
            findings.error(Problem::at(one.span(), message, "the second").help(help));
            return None;
        }
        names.push(name);
    }
    Some(names)
}
