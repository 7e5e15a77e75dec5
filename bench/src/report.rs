//! What a run of the lab showed, for a machine and for a person.

mod text;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::lab::{Forgotten, Left};
use crate::load::Tally;
use crate::losses::Loss;
use crate::plan::Role;
use crate::scrape::{Books, NodeSamples};

/// Below so many connections for each node it is chance, not a fault, that one got none.
const ENOUGH_FOR_ALL: u64 = 50;

/// The counter of each role that says how many connections it had a part in.
const PART_IN: [(Role, &str); 3] = [
    (Role::Ingress, "jlb_ingress_accepts_total"),
    (Role::Tracker, "jlb_tracker_searches_total"),
    (Role::Host, "jlb_host_accepts_total"),
];

/// Everything that a run showed.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// What was not as it must be.
    pub(crate) problems: Vec<String>,
    pub(crate) requests: Requests,
    /// By kind of request.
    pub(crate) latency: Latencies,
    /// Connections each ingress node accepted, each tracker searched a host for as primary, each
    /// host took; and answers by host, as the clients counted them.
    pub(crate) spread: Spread,
    pub(crate) tables: Tables,
    pub(crate) books: Vec<Books>,
    pub(crate) drops: Vec<Drops>,
    /// What kernels dropped around the nodes.
    pub(crate) losses: Vec<Loss>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Requests {
    pub(crate) seconds: f64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) per_second: f64,
    /// Connections opened.
    pub(crate) connections: u64,
    /// Bytes of all answers.
    pub(crate) bytes: u64,
    pub(crate) errors: BTreeMap<&'static str, u64>,
    pub(crate) first_errors: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Latencies {
    /// On a connection that was open already.
    pub(crate) open_connection: Latency,
    /// The connection included.
    pub(crate) new_connection: Latency,
}

/// Microseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) p50_us: u64,
    pub(crate) p90_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    pub(crate) max_us: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) ingress: BTreeMap<String, u64>,
    pub(crate) trackers: BTreeMap<String, u64>,
    pub(crate) hosts: BTreeMap<String, u64>,
    pub(crate) answers: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Tables {
    /// Tables that still had flows then; none: all were empty.
    pub(crate) left: Vec<Left>,
    pub(crate) after_seconds: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Drops {
    pub(crate) node: String,
    pub(crate) layer: String,
    pub(crate) reason: String,
    pub(crate) count: u64,
}

impl Report {
    /// Draws the conclusions. `metrics` were read when the load was over.
    pub(crate) fn new(
        tally: &Tally,
        metrics: &[NodeSamples],
        forgotten: Forgotten,
        losses: Vec<Loss>,
    ) -> Self {
        let mut report = Self {
            problems: Vec::new(),
            requests: Requests::new(tally),
            latency: Latencies {
                open_connection: Latency::new(&tally.reused),
                new_connection: Latency::new(&tally.fresh),
            },
            spread: Spread::new(tally, metrics),
            tables: Tables {
                left: forgotten.left,
                after_seconds: forgotten.after.as_secs_f64(),
            },
            books: metrics.iter().flat_map(NodeSamples::books).collect(),
            drops: drops(metrics),
            losses,
        };
        report.problems = report.find_problems();
        report
    }

    fn find_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.requests.answered == 0 {
            problems.push("no request was answered".to_owned());
        }
        if self.requests.failed > 0 {
            problems.push(format!("{} requests failed", self.requests.failed));
        }
        let spreads = [
            ("accepted", &self.spread.ingress),
            ("searched a host for", &self.spread.trackers),
            ("took", &self.spread.hosts),
        ];
        for (did, spread) in spreads {
            let enough = self.requests.connections >= ENOUGH_FOR_ALL * spread.len() as u64;
            for (node, _) in spread.iter().filter(|&(_, &count)| enough && count == 0) {
                problems.push(format!("{node} {did} no connection"));
            }
        }
        for books in self.books.iter().filter(|books| books.missing != 0) {
            problems.push(match books.missing {
                i64::MAX => format!("{} keeps no books of layer {}", books.node, books.layer),
                missing => format!(
                    "the books of {} ({}) miss {missing}",
                    books.node, books.layer
                ),
            });
        }
        let after = self.tables.after_seconds;
        for Left { node, gauge, count } in &self.tables.left {
            problems.push(format!(
                "{node} still has {count} in {gauge} {after:.1} s after the load"
            ));
        }
        problems
    }
}

impl Requests {
    fn new(tally: &Tally) -> Self {
        let seconds = tally.elapsed.as_secs_f64();
        Self {
            seconds,
            answered: tally.answered,
            failed: tally.failed(),
            per_second: if seconds > 0.0 {
                tally.answered as f64 / seconds
            } else {
                0.0
            },
            connections: tally.connections,
            bytes: tally.bytes,
            errors: tally
                .errors
                .iter()
                .map(|(kind, &count)| (kind.name(), count))
                .collect(),
            first_errors: tally.words.clone(),
        }
    }
}

impl Latency {
    fn new(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            p50_us: histogram.value_at_quantile(0.5),
            p90_us: histogram.value_at_quantile(0.9),
            p99_us: histogram.value_at_quantile(0.99),
            p999_us: histogram.value_at_quantile(0.999),
            max_us: histogram.max(),
        }
    }
}

impl Spread {
    fn new(tally: &Tally, metrics: &[NodeSamples]) -> Self {
        let of = |role: Role| {
            let counter = PART_IN
                .iter()
                .find(|(its, _)| *its == role)
                .map(|(_, name)| *name);
            let nodes = metrics.iter().filter(|node| node.role == role);
            nodes
                .map(|node| {
                    let count = counter.and_then(|name| node.samples.sum(name, &[]));
                    (node.node.clone(), count.unwrap_or(0))
                })
                .collect()
        };
        Self {
            ingress: of(Role::Ingress),
            trackers: of(Role::Tracker),
            hosts: of(Role::Host),
            answers: tally.hosts.clone(),
        }
    }
}

fn drops(metrics: &[NodeSamples]) -> Vec<Drops> {
    let of = |node: &NodeSamples| {
        let name = node.node.clone();
        let drops = node.drops().into_iter();
        drops
            .map(move |(layer, reason, count)| Drops {
                node: name.clone(),
                layer,
                reason,
                count,
            })
            .collect::<Vec<_>>()
    };
    metrics.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests;
