//! From tables of the right shape to a cluster that makes sense.

mod addresses;
mod admission;
mod draining;
mod health;
mod nodes;
mod overload;
mod packet_io;
mod services;
mod settings;

use crate::cluster::{Membership, Node, Service};
use crate::problem::{Findings, Problem, quoted};
use crate::reference;
use crate::schema::Document;
use crate::value::{Number, Text};
use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use toml::Spanned;

/// What the checks make of the tables.
pub(crate) struct Parts {
    pub(crate) name: String,
    pub(crate) underlay_mtu: u16,
    pub(crate) port: u16,
    pub(crate) membership: Membership,
    pub(crate) nodes: Vec<Node>,
    pub(crate) services: Vec<Service>,
}

/// Checks everything; `None` only if there are errors in `findings`.
pub(crate) fn cluster(document: &Document, findings: &mut Findings) -> Option<Parts> {
    let settings = settings::cluster(&document.cluster, findings);
    settings::limits(document, findings);
    let membership = settings::membership(&document.cluster, findings);
    settings::timers(document, membership, findings);
    let known = nodes::Known::new(&document.nodes);
    let nodes = nodes::nodes(document, membership, findings);
    draining::trackers(document, membership, findings);
    let services = services::services(document, &known, findings);
    // Checks over several tables make sense once each of them does.
    let (settings, nodes, services) = (settings?, nodes?, services?);
    nodes::paths(document, &nodes, findings);
    services::vips_and_nodes(document, &services, &nodes, findings);
    services::unused_hosts(document, &services, &nodes, findings);
    draining::services(document, &services, &nodes, findings);
    settings::inner_packet(document, settings.underlay_mtu, &nodes, &services, findings);
    Some(Parts {
        name: settings.name,
        underlay_mtu: settings.underlay_mtu,
        port: settings.port,
        membership: membership?,
        nodes: sorted_by(nodes, |node| node.number),
        services: sorted_by(services, |service| service.number),
    })
}

fn sorted_by<T, K: Ord>(mut items: Vec<T>, key: impl FnMut(&T) -> K) -> Vec<T> {
    items.sort_by_key(key);
    items
}

/// The help for a key of a table.
fn right(path: &str) -> &'static str {
    reference::right(path).unwrap_or_default()
}

/// A number within a range, or an error that says which.
fn within(
    value: &Spanned<Number>,
    range: RangeInclusive<i64>,
    path: &str,
    findings: &mut Findings,
) -> Option<i64> {
    let number = value.get_ref().0;
    if range.contains(&number) {
        return Some(number);
    }
    let key = path.rsplit('.').next().unwrap_or(path);
    let message = if number < *range.start() {
        format!(
            "`{key}` is {number}, but at least {} is needed",
            range.start()
        )
    } else {
        format!(
            "`{key}` is {number}, but at most {} is possible",
            range.end()
        )
    };
    findings.error(Problem::at(value.span(), message, "out of range").help(right(path)));
    None
}

/// One of a few words, or an error that lists them.
fn one_of<T: Copy>(
    value: &Spanned<Text>,
    words: &[(&str, T)],
    path: &str,
    findings: &mut Findings,
) -> Option<T> {
    let written = value.get_ref().0.as_str();
    let found = words.iter().find(|(word, _)| *word == written);
    if let Some(&(_, meaning)) = found {
        return Some(meaning);
    }
    let key = path.rsplit('.').next().unwrap_or(path);
    let message = format!("`{key}` cannot be {}", quoted(written));
    findings.error(Problem::at(value.span(), message, "unknown").help(right(path)));
    None
}

/// A name: it becomes a label of metrics, a part of file names and a word on command lines.
fn name(value: &Spanned<Text>, what: &str, path: &str, findings: &mut Findings) -> Option<String> {
    let name = value.get_ref().0.as_str();
    let first = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if first && rest && name.len() <= 63 {
        return Some(name.to_owned());
    }
    let message = if name.is_empty() {
        format!("the name of {what} cannot be empty")
    } else {
        format!("{} cannot be the name of {what}", quoted(name))
    };
    findings.error(Problem::at(value.span(), message, "not a name").help(format!(
        "a name is 1 to 63 letters, digits, `-`, `_` or `.`, and begins with a letter or digit; {}",
        right(path)
    )));
    None
}

/// The name of a network device.
fn device(value: &Spanned<Text>, path: &str, findings: &mut Findings) -> Option<String> {
    let name = value.get_ref().0.as_str();
    let plain = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if plain && (1..=15).contains(&name.len()) && name != "." && name != ".." {
        return Some(name.to_owned());
    }
    let message = format!("{} cannot be the name of a network device", quoted(name));
    findings.error(Problem::at(value.span(), message, "not a device name").help(right(path)));
    None
}

/// Places where values stand that may stand only once.
struct Once<K>(BTreeMap<K, Range<usize>>);

impl<K: Ord> Once<K> {
    const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Records the value's place; an error with both places if it was there before.
    fn check(
        &mut self,
        value: K,
        span: Range<usize>,
        message: impl FnOnce() -> String,
        help: &str,
        findings: &mut Findings,
    ) {
        if let Some(first) = self.0.get(&value) {
            let problem =
                Problem::at(span, message(), "here again").and(first.clone(), "first here");
            findings.error(problem.help(help));
        } else {
            self.0.insert(value, span);
        }
    }
}
