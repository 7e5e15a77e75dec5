//! The cluster-wide settings: `[cluster]`, `[limits]`, `[timers]`, and what they must leave room for.

use super::{name, one_of, within};
use crate::cluster::{Membership, Node, Service};
use crate::overhead;
use crate::problem::{Findings, Problem};
use crate::schema::{ClusterTable, Document, Table};
use crate::timers::{LONGEST_COALESCE, Timers};
use jlb_protocol::wire::data_overhead;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

/// The IANA port of Geneve (RFC 8926 section 3.3).
const DEFAULT_PORT: u16 = 6081;

const DEFAULT_UNDERLAY_MTU: u16 = 1500;

/// The smallest MTU of IPv6 (RFC 8200 section 5).
const IPV6_MIN_MTU: u16 = 1280;

/// What every IPv4 host takes (RFC 791 section 3.1).
const IPV4_MIN_MTU: u16 = 576;

/// The largest MTU that packet buffers are made for.
const MAX_MTU: u16 = 9216;

/// The largest delay of a message between two nodes that the time spans allow for.
const LARGEST_DELAY: Duration = Duration::from_secs(1);

/// Time spans shorter than this are below the resolution of the timers.
const SHORTEST: Duration = Duration::from_millis(1);

/// Time spans longer than this are surely mistakes.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What a packet thread may hold still: from what is worth a sleep on.
const COALESCE: RangeInclusive<Duration> = Duration::from_micros(50)..=LONGEST_COALESCE;

/// `[cluster]` without its keys.
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) underlay_mtu: u16,
    pub(crate) port: u16,
}

pub(crate) fn cluster(table: &Table<ClusterTable>, findings: &mut Findings) -> Option<Settings> {
    let Table { table, .. } = table;
    let name = name(&table.name, "a cluster", "cluster.name", findings);
    let range = i64::from(IPV4_MIN_MTU)..=i64::from(MAX_MTU);
    let underlay_mtu = match &table.underlay_mtu {
        Some(written) => within(written, range, "cluster.underlay_mtu", findings)
            .and_then(|mtu| u16::try_from(mtu).ok()),
        None => Some(DEFAULT_UNDERLAY_MTU),
    };
    let port = match &table.port {
        Some(written) => within(written, 1..=65_535, "cluster.port", findings)
            .and_then(|port| u16::try_from(port).ok()),
        None => Some(DEFAULT_PORT),
    };
    Some(Settings {
        name: name?,
        underlay_mtu: underlay_mtu?,
        port: port?,
    })
}

/// Who belongs to the cluster; `None` if the file says what is not known.
pub(crate) fn membership(
    table: &Table<ClusterTable>,
    findings: &mut Findings,
) -> Option<Membership> {
    let words = [Membership::Dynamic, Membership::Static].map(|word| (word.as_str(), word));
    match &table.table.membership {
        Some(written) => one_of(written, &words, "cluster.membership", findings),
        None => Some(Membership::Dynamic),
    }
}

/// Places of written keys by name.
type Places = Vec<(&'static str, Range<usize>)>;

/// An error about keys that do not fit each other, at the first of them that the file has; the
/// defaults fit, so it has one.
fn unfit(places: &Places, keys: &[&str], message: String, help: &str, findings: &mut Findings) {
    let mut at = keys
        .iter()
        .filter_map(|key| places.iter().find(|(name, _)| name == key))
        .map(|(_, span)| span.clone());
    if let Some(first) = at.next() {
        let mut problem = Problem::at(first, message, "does not fit");
        for other in at {
            problem = problem.and(other, "this");
        }
        findings.error(problem.help(help));
    }
}

/// Each bound within its range, and the bounds of parts within those of the whole.
pub(crate) fn limits(document: &Document, findings: &mut Findings) {
    let written = document.limits.written();
    let mut in_range = true;
    for limit in &written {
        let message = if limit.value == 0 {
            format!("`{}` must be at least 1", limit.name)
        } else if limit.value > limit.most {
            format!(
                "`{}` is {}, but at most {} is possible",
                limit.name, limit.value, limit.most
            )
        } else {
            continue;
        };
        in_range = false;
        let help = format!("write a whole number from 1 to {}", limit.most);
        findings.error(Problem::at(limit.span.clone(), message, "out of range").help(help));
    }
    if !in_range {
        return;
    }
    let places: Places = written.into_iter().map(|it| (it.name, it.span)).collect();
    let limits = document.limits.resolve();
    if limits.max_untrusted > limits.max_flows {
        unfit(
            &places,
            &["max_untrusted", "max_flows"],
            format!(
                "`max_untrusted` is {}, more than `max_flows` with {}",
                limits.max_untrusted, limits.max_flows
            ),
            &format!(
                "untrusted records are a part of all records (R3): max_untrusted = {}, say",
                (limits.max_flows / 10).max(1)
            ),
            findings,
        );
    }
    if document.nodes.len() as u64 > u64::from(limits.max_nodes) {
        unfit(
            &places,
            &["max_nodes"],
            format!(
                "`max_nodes` is {}, but the file has {} nodes",
                limits.max_nodes,
                document.nodes.len()
            ),
            "leave room for nodes that join: max_nodes = 4096",
            findings,
        );
    }
    if limits.max_pending_bytes < u32::from(MAX_MTU) {
        unfit(
            &places,
            &["max_pending_bytes"],
            format!(
                "`max_pending_bytes` is {}, which is not room for one packet",
                limits.max_pending_bytes
            ),
            "write 64KiB or more: max_pending_bytes = \"32MiB\"",
            findings,
        );
    }
    for Table { table, .. } in &document.services {
        let own = table
            .hosts
            .get_ref()
            .listed()
            .iter()
            .filter_map(|host| host.max_connections.as_ref());
        for written in table.max_connections.iter().chain(own) {
            if written.get_ref().amount() > u64::from(limits.max_flows) {
                findings.warn(
                    Problem::at(
                        written.span(),
                        format!(
                            "`max_connections` is more than `max_flows` with {}",
                            limits.max_flows
                        ),
                        "never reached",
                    )
                    .help("a host has at most limits.max_flows flows: raise that, or lower this"),
                );
            }
        }
    }
}

/// Each time span within its range, and those that the protocol relates in the right relation.
pub(crate) fn timers(document: &Document, membership: Option<Membership>, findings: &mut Findings) {
    let places: Places = document.timers.written();
    let timers = document.timers.resolve();
    let mut in_range = true;
    for (name, span) in timers.entries() {
        let Some(span) = span else { continue };
        if name == "coalesce" {
            continue;
        }
        let message = if span < SHORTEST {
            format!("`{name}` is shorter than 1ms")
        } else if span > LONGEST {
            format!("`{name}` is longer than 24h")
        } else {
            continue;
        };
        in_range = false;
        if let Some((_, place)) = places.iter().find(|(written, _)| *written == name) {
            let help = "time spans are 1ms to 24h: write a number and a unit, such as \"20ms\"";
            findings.error(Problem::at(place.clone(), message, "out of range").help(help));
        }
    }
    if let Some(coalesce) = timers.coalesce
        && !COALESCE.contains(&coalesce)
        && let Some((_, place)) = places.iter().find(|(written, _)| *written == "coalesce")
    {
        let message = format!("`coalesce` is {coalesce:?}, not 50us to 5ms");
        let help = "write such as \"500us\", or \"never\" where no packet may wait";
        findings.error(Problem::at(place.clone(), message, "out of range").help(help));
    }
    if in_range {
        related(&places, &timers, findings);
        lost_nodes(&places, &timers, membership, findings);
    }
}

fn related(places: &Places, timers: &Timers, findings: &mut Findings) {
    let ordered = [
        (
            "open_retry",
            timers.open_retry,
            "open_retry_max",
            timers.open_retry_max,
        ),
        (
            "open_retry_max",
            timers.open_retry_max,
            "open_timeout",
            timers.open_timeout,
        ),
        (
            "who_has",
            timers.who_has,
            "open_timeout",
            timers.open_timeout,
        ),
        ("state_retry", timers.state_retry, "refresh", timers.refresh),
        ("state_delay", timers.state_delay, "refresh", timers.refresh),
    ];
    for (short, its, long, other) in ordered {
        if its > other {
            unfit(
                places,
                &[short, long],
                format!("`{short}` with {its:?} is longer than `{long}` with {other:?}"),
                &format!("make `{short}` shorter or `{long}` longer"),
                findings,
            );
        }
    }
    if timers.refresh.saturating_mul(3) > timers.lease {
        unfit(
            places,
            &["refresh", "lease"],
            format!(
                "`lease` with {:?} is less than three times `refresh` with {:?}",
                timers.lease, timers.refresh
            ),
            "a record must outlive two lost refreshes: lease = 3 * refresh or more (R9)",
            findings,
        );
    }
    if timers.reject_rotation < timers.offered {
        unfit(
            places,
            &["reject_rotation", "offered"],
            format!(
                "`reject_rotation` with {:?} is shorter than `offered` with {:?}",
                timers.reject_rotation, timers.offered
            ),
            "a host must remember what it rejected for as long as it may be asked again (R5)",
            findings,
        );
    }
}

/// How soon a node is believed lost must fit how often it is heard of, and what waits for it.
fn lost_nodes(
    places: &Places,
    timers: &Timers,
    membership: Option<Membership>,
    findings: &mut Findings,
) {
    for (heartbeat, its, timeout, other) in [
        (
            "heartbeat",
            timers.heartbeat,
            "failure_timeout",
            timers.failure_timeout,
        ),
        (
            "host_heartbeat",
            timers.host_heartbeat,
            "host_timeout",
            timers.host_timeout,
        ),
    ] {
        if its.saturating_mul(3) > other {
            unfit(
                places,
                &[timeout, heartbeat],
                format!(
                    "`{timeout}` with {other:?} is less than three times `{heartbeat}` with {its:?}"
                ),
                &format!("two lost heartbeats are no failure: {timeout} = 3 * {heartbeat} or more"),
                findings,
            );
        }
    }
    if let Some(reset) = timers.dead_host_reset
        && reset < timers.host_timeout
    {
        unfit(
            places,
            &["dead_host_reset", "host_timeout"],
            format!(
                "`dead_host_reset` with {reset:?} is shorter than `host_timeout` with {:?}",
                timers.host_timeout
            ),
            "a host must be down before its flows are given up: make it longer, or \"never\"",
            findings,
        );
    }
    let (detection, keys, sum): (_, &[_], _) = match membership {
        Some(Membership::Static) => (timers.hello.saturating_mul(3), &["hello"], "3 * hello"),
        Some(Membership::Dynamic) | None if timers.host_timeout > timers.failure_timeout => {
            (timers.host_timeout, &["host_timeout"], "host_timeout")
        }
        Some(Membership::Dynamic) | None => (
            timers.failure_timeout,
            &["failure_timeout"],
            "failure_timeout",
        ),
    };
    let needed = timers
        .open_timeout
        .saturating_add(timers.open_retry_max)
        .saturating_add(detection)
        .saturating_add(LARGEST_DELAY);
    if timers.offered < needed {
        let mut all = vec!["offered", "open_timeout", "open_retry_max"];
        all.extend(keys);
        unfit(
            places,
            &all,
            format!(
                "`offered` with {:?} is too short: an ingress may ask for {needed:?}",
                timers.offered
            ),
            &format!(
                "an offered record must outlive every repeat of its Open and the failure of a \
                 node: offered = open_timeout + open_retry_max + {sum} + 1s or more (R3)"
            ),
            findings,
        );
    }
}

/// What encapsulation leaves of the underlay's MTU must be enough for the VIPs' IP versions.
pub(crate) fn inner_packet(
    document: &Document,
    underlay_mtu: u16,
    nodes: &[Node],
    services: &[Service],
    findings: &mut Findings,
) {
    let ipv6 =
        overhead::pairs(nodes).any(|(a, b)| overhead::path(a, b) == Some(overhead::Path::V6));
    let (least, whose) = if services.iter().any(|service| service.vip.is_ipv6()) {
        (IPV6_MIN_MTU, "an IPv6 VIP")
    } else {
        (IPV4_MIN_MTU, "IPv4")
    };
    let left = overhead::max_inner(underlay_mtu, ipv6);
    let needed = usize::from(least) + data_overhead(ipv6);
    let (message, needed) = if left < least {
        (
            format!(
                "an underlay MTU of {underlay_mtu} leaves {left} bytes for a packet, but {whose} \
                 needs {least}"
            ),
            needed,
        )
    } else if ipv6 && underlay_mtu < IPV6_MIN_MTU {
        let least = usize::from(IPV6_MIN_MTU);
        (
            format!("nodes talk over IPv6, whose MTU cannot be {underlay_mtu}"),
            least,
        )
    } else {
        return;
    };
    let written = document.cluster.table.underlay_mtu.as_ref();
    let place = written.map_or(document.cluster.header.clone(), toml::Spanned::span);
    findings.error(Problem::at(place, message, "too small").help(format!(
        "raise the MTU between the nodes: underlay_mtu = {needed} or more"
    )));
}
