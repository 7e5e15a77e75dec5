//! The nodes: numbers, names, roles, addresses, and whether those that talk can.

use super::packet_io::{packet_io, xdp_strip};
use super::{Once, addresses, device, draining, name, one_of, right, within};
use crate::cluster::{ADMIN_PORT, LogLevel, MAX_WORKERS, Membership, Node, Underlay};
use crate::overhead;
use crate::problem::{Findings, Problem, quoted};
use crate::schema::{Document, NodeTable, Table};
use crate::value::Text;
use jlb_protocol::{NodeNumber, Role};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use toml::Spanned;

const ROLES: &[(&str, Role)] = &[
    (Role::Ingress.as_str(), Role::Ingress),
    (Role::FlowTracker.as_str(), Role::FlowTracker),
    (Role::HostAgent.as_str(), Role::HostAgent),
];

const LOG_LEVELS: &[(&str, LogLevel)] = &[
    (LogLevel::Error.as_str(), LogLevel::Error),
    (LogLevel::Warn.as_str(), LogLevel::Warn),
    (LogLevel::Info.as_str(), LogLevel::Info),
    (LogLevel::Debug.as_str(), LogLevel::Debug),
    (LogLevel::Trace.as_str(), LogLevel::Trace),
];

/// The device name of a node that names none.
const DEFAULT_TUN: &str = "jlb0";

/// What services may refer to: every node by its name, also one that has errors of its own.
pub(crate) struct Known<'a> {
    by_name: BTreeMap<&'a str, &'a NodeTable>,
}

impl<'a> Known<'a> {
    pub(crate) fn new(tables: &'a [Table<NodeTable>]) -> Self {
        let by_name = tables
            .iter()
            .map(|table| (table.table.name.get_ref().0.as_str(), &table.table));
        Self {
            by_name: by_name.collect(),
        }
    }

    /// The role that the file gives to a name, as written; `None` if there is no such node.
    pub(crate) fn role_of(&self, name: &str) -> Option<&'a str> {
        self.by_name
            .get(name)
            .map(|table| table.role.get_ref().0.as_str())
    }

    /// The number that the file gives to a name; `None` if there is none that fits.
    pub(crate) fn number_of(&self, name: &str) -> Option<NodeNumber> {
        let number = self.by_name.get(name)?.number.get_ref().0;
        u16::try_from(number).ok().and_then(NodeNumber::new)
    }

    /// The names of all host agents.
    pub(crate) fn host_agents(&self) -> Vec<&'a str> {
        let role = Role::HostAgent.as_str();
        let names = self.by_name.iter();
        names
            .filter(|(_, table)| table.role.get_ref().0 == role)
            .map(|(&name, _)| name)
            .collect()
    }
}

/// The nodes in the file's order; `None` if any of them has errors.
pub(crate) fn nodes(
    document: &Document,
    membership: Option<Membership>,
    findings: &mut Findings,
) -> Option<Vec<Node>> {
    let before = findings.errors.len();
    let mut seen = Seen {
        numbers: Once::new(),
        names: Once::new(),
        addresses: Once::new(),
        admins: Once::new(),
    };
    let nodes: Vec<Node> = document
        .nodes
        .iter()
        .filter_map(|table| node(&table.table, &mut seen, findings))
        .collect();
    roles(document, membership, findings);
    (findings.errors.len() == before).then_some(nodes)
}

struct Seen {
    numbers: Once<NodeNumber>,
    names: Once<String>,
    addresses: Once<IpAddr>,
    admins: Once<SocketAddr>,
}

fn node(table: &NodeTable, seen: &mut Seen, findings: &mut Findings) -> Option<Node> {
    let number = within(&table.number, 1..=65_535, "node.number", findings)
        .and_then(|number| u16::try_from(number).ok())
        .and_then(NodeNumber::new);
    if let Some(number) = number {
        seen.numbers.check(
            number,
            table.number.span(),
            || format!("two nodes have the number {number}"),
            "give each node a number of its own; it stays when others come and go",
            findings,
        );
    }
    let name = name(&table.name, "a node", "node.name", findings);
    if let Some(name) = &name {
        seen.names.check(
            name.clone(),
            table.name.span(),
            || format!("two nodes have the name {}", quoted(name)),
            "give each node a name of its own",
            findings,
        );
    }
    let role = one_of(&table.role, ROLES, "node.role", findings);
    let underlay = underlay(table, seen, findings);
    let admin = match &table.admin {
        Some(written) => admin(written, seen, findings),
        None => underlay.and_then(|underlay| {
            let address = underlay.addresses().next()?;
            Some(SocketAddr::new(address, ADMIN_PORT))
        }),
    };
    let tun = match &table.tun {
        Some(written) => device(written, "node.tun", findings),
        None => Some(DEFAULT_TUN.to_owned()),
    };
    let packet_io = packet_io(table, findings);
    let xdp_strip = xdp_strip(table, findings);
    let workers = workers(table, findings);
    let failure_domain = failure_domain(table, findings);
    let log = match &table.log {
        Some(written) => one_of(written, LOG_LEVELS, "node.log", findings),
        None => Some(LogLevel::Info),
    };
    let drain_timeout = match &table.drain_timeout {
        Some(written) => draining::timeout(written, findings).map(Some),
        None => Some(None),
    };
    Some(Node {
        number: number?,
        name: name?,
        role: role?,
        underlay: underlay?,
        admin: admin?,
        tun: tun?,
        packet_io: packet_io?,
        xdp_strip: xdp_strip?,
        workers: workers?,
        failure_domain: failure_domain?,
        log: log?,
        drain: table.drain.as_ref().is_some_and(|drain| *drain.get_ref()),
        drain_timeout: drain_timeout?,
    })
}

/// Tells that a setting is not one of the node's role.
pub(super) fn of_another_role(
    table: &NodeTable,
    setting: Range<usize>,
    message: &str,
    help: &str,
    findings: &mut Findings,
) {
    findings.error(
        Problem::at(setting, message, "of a node with another role")
            .and(table.role.span(), "this role")
            .help(help),
    );
}

/// How many threads move packets: one, where nothing else is said.
fn workers(table: &NodeTable, findings: &mut Findings) -> Option<u8> {
    let Some(written) = &table.workers else {
        return Some(1);
    };
    let most = i64::from(MAX_WORKERS);
    let number = within(written, 1..=most, "node.workers", findings)?;
    if number > 1 && table.role.get_ref().0 != Role::Ingress.as_str() {
        let message = "only an ingress has more than one worker";
        let help = "leave `workers` out here";
        of_another_role(table, written.span(), message, help, findings);
        return None;
    }
    u8::try_from(number).ok()
}

/// What a tracker fails together with.
fn failure_domain(table: &NodeTable, findings: &mut Findings) -> Option<Option<String>> {
    let Some(written) = &table.failure_domain else {
        return Some(None);
    };
    if table.role.get_ref().0 != Role::FlowTracker.as_str() {
        let message = "only a flow tracker has a failure domain";
        let help = "leave `failure_domain` out here: it says which two trackers hold a flow";
        of_another_role(table, written.span(), message, help, findings);
        return None;
    }
    let path = "node.failure_domain";
    name(written, "a failure domain", path, findings).map(Some)
}

fn underlay(table: &NodeTable, seen: &mut Seen, findings: &mut Findings) -> Option<Underlay> {
    let help = right("node.underlay");
    let list = table.underlay.get_ref();
    if list.is_empty() {
        let message = "the node has no underlay address";
        findings.error(Problem::at(table.underlay.span(), message, "empty").help(help));
        return None;
    }
    let before = findings.errors.len();
    let mut v4: Option<(std::net::Ipv4Addr, Range<usize>)> = None;
    let mut v6: Option<(std::net::Ipv6Addr, Range<usize>)> = None;
    for written in list {
        let text = written.get_ref().0.as_str();
        let Ok(address) = text.parse::<IpAddr>() else {
            let message = format!("{} is not an IP address", quoted(text));
            findings.error(Problem::at(written.span(), message, "not an address").help(help));
            continue;
        };
        if let Some(why) = addresses::unusable(address) {
            let message = format!("no node can have {address}: it is {why}");
            findings.error(Problem::at(written.span(), message, "not a node's").help(help));
            continue;
        }
        if address.is_loopback() {
            let message = format!("{address} is reachable on one machine only");
            findings.warn(
                Problem::at(written.span(), message, "loopback")
                    .help("use an address that the other nodes can reach"),
            );
        }
        seen.addresses.check(
            address,
            written.span(),
            || format!("two nodes have the underlay address {address}"),
            "give each node an address of its own: the port is the same for all of them",
            findings,
        );
        let first = match address {
            IpAddr::V4(address) => v4.replace((address, written.span())).map(|(_, span)| span),
            IpAddr::V6(address) => v6.replace((address, written.span())).map(|(_, span)| span),
        };
        if let Some(first) = first {
            let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
            findings.error(
                Problem::at(
                    written.span(),
                    format!("the node has two {family} underlay addresses"),
                    "the second",
                )
                .and(first, "the first")
                .help(help),
            );
        }
    }
    (findings.errors.len() == before).then(|| Underlay {
        v4: v4.map(|(address, _)| address),
        v6: v6.map(|(address, _)| address),
    })
}

fn admin(written: &Spanned<Text>, seen: &mut Seen, findings: &mut Findings) -> Option<SocketAddr> {
    let help = right("node.admin");
    let text = written.get_ref().0.as_str();
    let Ok(admin) = text.parse::<SocketAddr>() else {
        let message = format!("{} is not an address and a port", quoted(text));
        let problem = Problem::at(written.span(), message, "not address:port");
        findings.error(match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(v4)) => {
                problem.help(format!("add a port: admin = \"{v4}:{ADMIN_PORT}\""))
            }
            Ok(IpAddr::V6(v6)) => {
                problem.help(format!("add a port: admin = \"[{v6}]:{ADMIN_PORT}\""))
            }
            Err(_) => problem.help(help),
        });
        return None;
    };
    if admin.port() == 0 {
        let message = "port 0 is not a port that anybody can connect to";
        findings.error(Problem::at(written.span(), message, "port 0").help(help));
        return None;
    }
    // The same wildcard or loopback address on two machines is no conflict.
    if !admin.ip().is_unspecified() && !admin.ip().is_loopback() {
        seen.admins.check(
            admin,
            written.span(),
            || format!("two nodes have the admin address {admin}"),
            "give each node an admin address or port of its own",
            findings,
        );
    }
    Some(admin)
}

/// Every role must be there, unless others tell of such nodes; one flow tracker is allowed, but no
/// redundancy.
fn roles(document: &Document, membership: Option<Membership>, findings: &mut Findings) {
    let last = document.nodes.last();
    let place = last.map_or(document.cluster.header.clone(), |table| {
        table.header.clone()
    });
    for &(role, _) in ROLES {
        let mut nodes = document
            .nodes
            .iter()
            .filter(|table| table.table.role.get_ref().0 == role);
        match (nodes.next(), nodes.next()) {
            (None, _) => {
                let here = if last.is_some() {
                    "the last node"
                } else {
                    "no node at all"
                };
                let problem = |what| {
                    let message = format!("{what} no node with the role \"{role}\"");
                    Problem::at(place.clone(), message, here).help(format!(
                        "add a [[node]] with role = \"{role}\"; is the file complete?"
                    ))
                };
                if membership == Some(Membership::Dynamic) {
                    // The file of a node that joins names those that it joins through.
                    findings.warn(problem("the file names"));
                } else {
                    findings.error(problem("the cluster has"));
                }
            }
            (Some(only), None) if role == Role::FlowTracker.as_str() => findings.warn(
                Problem::at(
                    only.table.role.span(),
                    "the cluster has one flow tracker: its records have no copy",
                    "the only one",
                )
                .help("with two or more, any one may fail without a connection noticing"),
            ),
            _ => {}
        }
    }
}

/// Nodes that talk must share an address family.
pub(crate) fn paths(document: &Document, nodes: &[Node], findings: &mut Findings) {
    let place = |number: NodeNumber| {
        let mut tables = document.nodes.iter();
        let table = tables.find(|it| it.table.number.get_ref().0 == i64::from(number.get()));
        table.map_or(0..0, |table| table.table.underlay.span())
    };
    for (a, b) in overhead::pairs(nodes) {
        if overhead::path(a, b).is_none() {
            let (a, b) = if place(a.number).start > place(b.number).start {
                (a, b)
            } else {
                (b, a)
            };
            let family = |node: &Node| {
                if node.underlay.v4.is_some() {
                    "IPv4"
                } else {
                    "IPv6"
                }
            };
            findings.error(
                Problem::at(
                    place(a.number),
                    format!(
                        "{} {} and {} {} must talk, but share no address family",
                        a.role.as_str(),
                        quoted(&a.name),
                        b.role.as_str(),
                        quoted(&b.name)
                    ),
                    format!("only {}", family(a)),
                )
                .and(place(b.number), format!("only {}", family(b)))
                .help("give one of them an address of the other's family as well"),
            );
        }
    }
}
