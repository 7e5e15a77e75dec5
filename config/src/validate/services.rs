//! The services: numbers, names, VIPs, ports that do not overlap, and their hosts.

use super::nodes::Known;
use super::{Once, addresses, admission, health, name, one_of, overload, right, within};
use crate::cluster::{Admission, DEFAULT_MIN_LIFE_PERCENT, Node, Service, ServiceHost};
use crate::problem::{Findings, Problem, did_you_mean, quoted};
use crate::schema::{Document, ServiceTable, Table};
use crate::timers::Timers;
use crate::value::{HostsValue, Number, Text};
use jlb_flow_tracker::config::PolicyKind;
use jlb_protocol::message::MAX_TRIED;
use jlb_protocol::services::Ports;
use jlb_protocol::{NodeNumber, Protocol, Role, ServiceNumber};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::Spanned;

const PROTOCOLS: &[(&str, Protocol)] = &[("tcp", Protocol::Tcp), ("udp", Protocol::Udp)];

const DEFAULT_SEARCH_TTL: u8 = 4;

/// Whether a search is a direct hunt.
const HUNTS: &[(&str, bool)] = &[("plain", false), ("direct", true)];

const DEFAULT_MAX_UNHEALTHY_PERCENT: u8 = 50;

/// A shorter slow start is over before it has an effect, a longer one is surely a mistake.
const SLOW_STARTS: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(24 * 60 * 60);

/// The services in the file's order; `None` if any of them has errors.
pub(crate) fn services(
    document: &Document,
    known: &Known<'_>,
    findings: &mut Findings,
) -> Option<Vec<Service>> {
    let before = findings.errors.len();
    if document.services.is_empty() {
        let last = document.nodes.last().map(|table| table.header.clone());
        findings.error(
            Problem::at(
                last.unwrap_or_else(|| document.cluster.header.clone()),
                "the cluster has no service",
                "no [[service]] after this",
            )
            .help("add a [[service]] with number, name, vip, protocol, ports and hosts"),
        );
    }
    let timers = document.timers.resolve();
    let mut numbers = Once::new();
    let mut names = Once::new();
    let mut services = Vec::new();
    for Table { table, .. } in &document.services {
        let number = within(
            &table.number,
            1..=i64::from(ServiceNumber::MAX),
            "service.number",
            findings,
        )
        .and_then(|number| u32::try_from(number).ok())
        .and_then(ServiceNumber::new);
        if let Some(number) = number {
            numbers.check(
                number,
                table.number.span(),
                || format!("two services have the number {number}"),
                "give each service a number of its own; it stays when others come and go",
                findings,
            );
        }
        let name = name(&table.name, "a service", "service.name", findings);
        if let Some(name) = &name {
            names.check(
                name.clone(),
                table.name.span(),
                || format!("two services have the name {}", quoted(name)),
                "give each service a name of its own",
                findings,
            );
        }
        services.extend(service(table, number, name, known, &timers, findings));
    }
    overlaps(document, findings);
    (findings.errors.len() == before).then_some(services)
}

fn service(
    table: &ServiceTable,
    number: Option<ServiceNumber>,
    name: Option<String>,
    known: &Known<'_>,
    timers: &Timers,
    findings: &mut Findings,
) -> Option<Service> {
    let vip = vip(&table.vip, findings);
    let protocol = one_of(&table.protocol, PROTOCOLS, "service.protocol", findings);
    let limit = connections(
        table.max_connections.as_ref(),
        "service.max_connections",
        findings,
    );
    let any_host = matches!(table.hosts.get_ref(), HostsValue::Any);
    let hosts = if any_host {
        limit.map(|limit| every_host(limit, known))
    } else {
        hosts(table, limit, known, findings)
    };
    let policy = match &table.policy {
        Some(written) => one_of(written, PolicyKind::ALL, "service.policy", findings),
        None => Some(PolicyKind::RoundRobin),
    };
    let shadow_policy = match &table.shadow_policy {
        Some(written) => {
            one_of(written, PolicyKind::ALL, "service.shadow_policy", findings).map(Some)
        }
        None => Some(None),
    };
    // The hosts asked travel in each message, which has room for so many.
    let most = i64::try_from(MAX_TRIED).unwrap_or(i64::MAX);
    let search_ttl = match &table.search_ttl {
        Some(written) => within(written, 1..=most, "service.search_ttl", findings)
            .and_then(|ttl| u8::try_from(ttl).ok()),
        None => Some(DEFAULT_SEARCH_TTL),
    };
    let direct_hunt = match &table.hunt {
        Some(written) => hunt(written, protocol, findings),
        None => Some(false),
    };
    let overload = overload::overload(table, search_ttl, timers, findings);
    let health = match &table.health {
        Some(written) => health::check(written, table, vip, protocol, findings).map(Some),
        None => Some(None),
    };
    let path = "service.max_unhealthy_percent";
    let max_unhealthy_percent = match &table.max_unhealthy_percent {
        Some(written) => {
            within(written, 0..=100, path, findings).and_then(|percent| u8::try_from(percent).ok())
        }
        None => Some(DEFAULT_MAX_UNHEALTHY_PERCENT),
    };
    let min_life_percent = match &table.min_life_percent {
        Some(written) => within(written, 0..=100, "service.min_life_percent", findings)
            .and_then(|percent| u8::try_from(percent).ok()),
        None => Some(DEFAULT_MIN_LIFE_PERCENT),
    };
    let slow_start = slow_start(table, policy, findings);
    let admission = match &table.admission {
        Some(written) => admission::admission(written, health.as_ref(), protocol, findings),
        None => Some(Admission::default()),
    };
    Some(Service {
        number: number?,
        name: name?,
        vip: vip?,
        protocol: protocol?,
        ports: table.ports.get_ref().0,
        hosts: hosts?,
        any_host,
        max_connections: limit?,
        policy: policy?,
        shadow_policy: shadow_policy?,
        search_ttl: search_ttl?,
        direct_hunt: direct_hunt?,
        overload: overload?,
        admission: admission?,
        health: health?,
        max_unhealthy_percent: max_unhealthy_percent?,
        min_life_percent: min_life_percent?,
        slow_start: slow_start?,
    })
}

/// How long a host starts slowly; the outer `None` is an error, the inner one not at all.
fn slow_start(
    table: &ServiceTable,
    policy: Option<PolicyKind>,
    findings: &mut Findings,
) -> Option<Option<Duration>> {
    let Some(written) = &table.slow_start else {
        return Some(None);
    };
    let span = written.get_ref().0;
    let (message, label, help) = if !SLOW_STARTS.contains(&span) {
        let message = format!("`slow_start` is {span:?}, not 10ms to 24h");
        (message, "out of range", right("service.slow_start"))
    } else if policy == Some(PolicyKind::ConsistentHash) {
        let message = "no host starts slowly under consistent-hash: its flows keep to their hosts";
        let help = "leave `slow_start` out, or write another policy";
        (message.to_owned(), "not used", help)
    } else {
        return Some(Some(span));
    };
    findings.error(Problem::at(written.span(), message, label).help(help));
    None
}

/// How a search goes on after a reject.
fn hunt(
    written: &Spanned<Text>,
    protocol: Option<Protocol>,
    findings: &mut Findings,
) -> Option<bool> {
    let direct = one_of(written, HUNTS, "service.hunt", findings)?;
    if direct && protocol == Some(Protocol::Udp) {
        let message = "a UDP service has no direct hunt: its attempts are not told apart";
        findings.error(
            Problem::at(written.span(), message, "TCP only")
                .help("write hunt = \"plain\", or leave the line out"),
        );
        return None;
    }
    Some(direct)
}

/// All host agents of the file, each with a weight of 1.
fn every_host(max_connections: Option<u32>, known: &Known<'_>) -> Vec<ServiceHost> {
    let agents = known.host_agents();
    let numbers = agents.into_iter().filter_map(|name| known.number_of(name));
    let hosts = numbers.map(|node| ServiceHost {
        node,
        weight: 1,
        max_connections,
        overflow: false,
    });
    super::sorted_by(hosts.collect(), |host| host.node)
}

fn vip(written: &Spanned<Text>, findings: &mut Findings) -> Option<IpAddr> {
    let help = right("service.vip");
    let text = written.get_ref().0.as_str();
    let Ok(vip) = text.parse::<IpAddr>() else {
        let message = format!("{} is not an IP address", quoted(text));
        findings.error(Problem::at(written.span(), message, "not an address").help(help));
        return None;
    };
    let why = match addresses::unusable(vip) {
        None if vip.is_loopback() => Some("a loopback address"),
        why => why,
    };
    if let Some(why) = why {
        let message = format!("{vip} cannot be a VIP: it is {why}");
        findings.error(Problem::at(written.span(), message, "not a VIP").help(help));
        return None;
    }
    Some(vip)
}

/// A limit of connections; the outer `None` is an error, the inner one no limit.
fn connections(
    written: Option<&Spanned<Number>>,
    path: &str,
    findings: &mut Findings,
) -> Option<Option<u32>> {
    let Some(written) = written else {
        return Some(None);
    };
    let limit = within(written, 1..=i64::from(u32::MAX), path, findings)?;
    Some(u32::try_from(limit).ok())
}

fn hosts(
    table: &ServiceTable,
    limit: Option<Option<u32>>,
    known: &Known<'_>,
    findings: &mut Findings,
) -> Option<Vec<ServiceHost>> {
    let before = findings.errors.len();
    let list = table.hosts.get_ref().listed();
    if list.is_empty() {
        let service = quoted(&table.name.get_ref().0);
        findings.error(
            Problem::at(
                table.hosts.span(),
                format!("service {service} has no hosts"),
                "empty",
            )
            .help(right("service.hosts")),
        );
    }
    let overflow = table.overflow.iter().flat_map(|it| it.get_ref().listed());
    let overflow = overflow.map(|entry| (entry, true));
    let mut names = Once::new();
    let mut hosts = Vec::new();
    for (entry, overflow) in list.iter().map(|entry| (entry, false)).chain(overflow) {
        let name = entry.name.get_ref().0.as_str();
        let node = host(&entry.name, known, findings);
        names.check(
            name,
            entry.name.span(),
            || format!("host {} is in the list twice", quoted(name)),
            "a larger share is written as a weight: { name = \"web-1\", weight = 2 }",
            findings,
        );
        let weight = match &entry.weight {
            Some(written) => within(written, 0..=65_535, "service.hosts.weight", findings)
                .and_then(|weight| u16::try_from(weight).ok()),
            None => Some(1),
        };
        let own = connections(
            entry.max_connections.as_ref(),
            "service.hosts.max_connections",
            findings,
        );
        if let (Some(node), Some(weight), Some(limit), Some(own)) = (node, weight, limit, own) {
            hosts.push(ServiceHost {
                node,
                weight,
                max_connections: own.or(limit),
                overflow,
            });
        }
    }
    (findings.errors.len() == before && limit.is_some()).then_some(hosts)
}

fn host(written: &Spanned<Text>, known: &Known<'_>, findings: &mut Findings) -> Option<NodeNumber> {
    let name = written.get_ref().0.as_str();
    let agents = known.host_agents();
    match known.role_of(name) {
        None => findings.error(
            Problem::at(
                written.span(),
                format!("there is no node {}", quoted(name)),
                "no such node",
            )
            .help(did_you_mean(name, &agents, "host-agents")),
        ),
        Some(role) if role != Role::HostAgent.as_str() => findings.error(
            Problem::at(
                written.span(),
                format!(
                    "node {} is not a host-agent, but has the role {}",
                    quoted(name),
                    quoted(role)
                ),
                "not a host-agent",
            )
            .help(did_you_mean("", &agents, "host-agents")),
        ),
        // A number that does not fit is an error of the node's own.
        Some(_) => return known.number_of(name),
    }
    None
}

/// No two services may have one VIP, protocol and port; "any" takes what the others leave.
fn overlaps(document: &Document, findings: &mut Findings) {
    let mut by_vip: BTreeMap<(IpAddr, &str), Vec<(Ports, &ServiceTable)>> = BTreeMap::new();
    for Table { table, .. } in &document.services {
        if let Ok(vip) = table.vip.get_ref().0.parse() {
            let protocol = table.protocol.get_ref().0.as_str();
            let ports = table.ports.get_ref().0;
            by_vip
                .entry((vip, protocol))
                .or_default()
                .push((ports, table));
        }
    }
    for ((vip, protocol), mut services) in by_vip {
        // Ranges by their first port, "any" before them; of two with one first port the file's
        // order decides, as the sort is stable.
        services.sort_by_key(|&(ports, _)| ports);
        let mut reach: Option<(Ports, u16, &ServiceTable)> = None;
        for (ports, table) in services {
            let (first, last) = match ports {
                Ports::Any => (0, 0),
                Ports::Range(first, last) => (first, last),
            };
            let clash = match reach {
                Some((Ports::Any, _, other)) if ports == Ports::Any => Some(other),
                Some((Ports::Range(..), until, other)) if first <= until => Some(other),
                _ => None,
            };
            if let Some(other) = clash {
                let both = match ports {
                    Ports::Any => "every port".to_owned(),
                    Ports::Range(..) => format!("port {first}"),
                };
                let (later, earlier) = if table.ports.span().start > other.ports.span().start {
                    (table, other)
                } else {
                    (other, table)
                };
                findings.error(
                    Problem::at(
                        later.ports.span(),
                        format!(
                            "services {} and {} both have {both} of {vip} {}",
                            quoted(&earlier.name.get_ref().0),
                            quoted(&later.name.get_ref().0),
                            quoted(protocol)
                        ),
                        "overlaps",
                    )
                    .and(earlier.ports.span(), "with this")
                    .help("give each of them its own VIP, protocol or ports"),
                );
            }
            if reach.is_none_or(|(_, until, _)| last >= until) {
                reach = Some((ports, last, table));
            }
        }
    }
}

/// A VIP is nobody's own address.
pub(crate) fn vips_and_nodes(
    document: &Document,
    services: &[Service],
    nodes: &[Node],
    findings: &mut Findings,
) {
    for (service, Table { table, .. }) in services.iter().zip(&document.services) {
        let vip = service.vip;
        let owner = nodes.iter().find_map(|node| {
            if node.underlay.addresses().any(|address| address == vip) {
                Some((node, "underlay"))
            } else {
                (node.admin.ip() == vip).then_some((node, "admin"))
            }
        });
        if let Some((node, which)) = owner {
            findings.error(
                Problem::at(
                    table.vip.span(),
                    format!("VIP {vip} is the {which} address of node {}", quoted(&node.name)),
                    "a node's own address",
                )
                .help("a VIP is an address that no machine has and that is routed to the ingress nodes"),
            );
        }
    }
}

/// A host agent that no service names has nothing to do.
pub(crate) fn unused_hosts(
    document: &Document,
    services: &[Service],
    nodes: &[Node],
    findings: &mut Findings,
) {
    for (node, table) in nodes.iter().zip(&document.nodes) {
        let used = services
            .iter()
            .any(|service| service.host(node.number).is_some());
        if node.role == Role::HostAgent && !used {
            findings.warn(
                Problem::at(
                    table.table.name.span(),
                    format!("host-agent {} is in no service", quoted(&node.name)),
                    "gets no connections",
                )
                .help("add its name to the `hosts` of a [[service]]"),
            );
        }
    }
}
