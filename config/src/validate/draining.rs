//! Nodes and hosts that get nothing new.

use super::right;
use crate::cluster::{Membership, Node, Service};
use crate::problem::{Findings, Problem, quoted};
use crate::schema::Document;
use crate::value::TimeSpan;
use jlb_protocol::Role;
use std::time::Duration;
use toml::Spanned;

const SHORTEST: Duration = Duration::from_millis(1);

/// Connections live for days, and what is longer is as good as for ever.
const LONGEST: Duration = Duration::from_hours(720);

/// How long connections may go on; `None` if it is out of range.
pub(super) fn timeout(written: &Spanned<TimeSpan>, findings: &mut Findings) -> Option<Duration> {
    let span = written.get_ref().0;
    let message = if span < SHORTEST {
        format!("`drain_timeout` is {span:?}, but at least 1ms is needed")
    } else if span > LONGEST {
        "`drain_timeout` is longer than 720h".to_owned()
    } else {
        return Some(span);
    };
    findings.error(
        Problem::at(written.span(), message, "out of range").help(right("node.drain_timeout")),
    );
    None
}

/// Where nobody hears who drains, a tracker can't be drained.
pub(super) fn trackers(
    document: &Document,
    membership: Option<Membership>,
    findings: &mut Findings,
) {
    if membership != Some(Membership::Static) {
        return;
    }
    for table in &document.nodes {
        let is_tracker = table.table.role.get_ref().0 == Role::FlowTracker.as_str();
        let Some(drain) = table.table.drain.as_ref().filter(|it| *it.get_ref()) else {
            continue;
        };
        if is_tracker {
            let message = "with a static membership a flow-tracker cannot drain";
            findings.error(
                Problem::at(drain.span(), message, "nobody would hear of it")
                    .help("take the node out of the file of all nodes, then stop it"),
            );
        }
    }
}

/// A service that takes no new connection at all.
pub(super) fn services(
    document: &Document,
    services: &[Service],
    nodes: &[Node],
    findings: &mut Findings,
) {
    let drains = |number| nodes.iter().any(|node| node.number == number && node.drain);
    for (service, table) in services.iter().zip(&document.services) {
        let mut hosts = service.hosts.iter();
        let none = hosts.all(|host| host.weight == 0 || drains(host.node));
        if none && !service.hosts.is_empty() {
            let name = quoted(&service.name);
            let message = format!("service {name} takes no new connections: all its hosts drain");
            findings.warn(
                Problem::at(table.table.hosts.span(), message, "none is left")
                    .help("give a host a weight of 1 or more, or take out its node's `drain`"),
            );
        }
    }
}
