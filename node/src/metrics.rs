//! Prometheus text: the only place that knows the prometheus crate.

use crate::report::{Report, Sample, SampleKind};
use crate::status::Status;
use jlb_protocol::{DropReason, Ledger};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, Registry, TextEncoder};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What is the same for as long as the process runs.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) node: String,
    pub(crate) role: &'static str,
    pub(crate) started: u64,
}

/// Turns reports into Prometheus text.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    families: Arc<Mutex<Vec<MetricFamily>>>,
}

struct Latest(Arc<Mutex<Vec<MetricFamily>>>);

impl Collector for Latest {
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let families = Arc::new(Mutex::new(Vec::new()));
        let registry = Registry::new();
        registry.register(Box::new(Latest(Arc::clone(&families))))?;
        Ok(Self { registry, families })
    }

    /// The text of a report.
    pub(crate) fn encode(
        &self,
        identity: &Identity,
        status: &Status,
        report: Report,
    ) -> Result<String, prometheus::Error> {
        let samples = all_samples(identity, status, report);
        *self.families.lock().unwrap_or_else(PoisonError::into_inner) = to_families(samples);
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// The samples of the role, and those that every node has.
fn all_samples(identity: &Identity, status: &Status, mut report: Report) -> Vec<Sample> {
    for (layer, ledger) in [
        ("stack", report.stack.clone()),
        ("link", report.link.clone()),
        ("role", report.role.clone()),
    ] {
        add_ledger(&mut report, layer, &ledger);
    }
    for (node, peer) in status.peers() {
        let name = status.name(node);
        report.counter(
            "jlb_peer_starts_total",
            "Starts of the peer that this node has seen.",
            &[("peer", &name)],
            peer.starts,
        );
        // A peer that has not said anything yet does not differ.
        if let Some(same) = peer.same_config {
            report.gauge(
                "jlb_peer_config_matches",
                "Whether the peer runs the same cluster-wide configuration.",
                &[("peer", &name)],
                u64::from(same),
            );
        }
    }
    report.gauge(
        "jlb_ready",
        "Whether the node can do its work.",
        &[],
        u64::from(report.not_ready.is_none()),
    );
    let fingerprint = format!("{:016x}", report.configuration);
    report.gauge(
        "jlb_config_info",
        "Fingerprint of the cluster-wide configuration that the node runs.",
        &[("fingerprint", &fingerprint)],
        1,
    );
    report.gauge(
        "jlb_build_info",
        "Version, role and name of the node.",
        &[
            ("version", &env!("CARGO_PKG_VERSION")),
            ("role", &identity.role),
            ("node", &identity.node),
        ],
        1,
    );
    report.gauge(
        "jlb_start_time_seconds",
        "When the process started, in seconds since 1970.",
        &[],
        identity.started,
    );
    report.samples
}

fn add_ledger(report: &mut Report, layer: &'static str, ledger: &Ledger) {
    let label: &[(&'static str, &dyn ToString)] = &[("layer", &layer)];
    let counters = [
        (
            "jlb_received_total",
            "Packets and messages that came into the layer.",
            ledger.received,
        ),
        (
            "jlb_created_total",
            "Packets and messages made in the layer.",
            ledger.created,
        ),
        (
            "jlb_sent_total",
            "Packets and messages that the layer sent to other nodes.",
            ledger.sent,
        ),
        (
            "jlb_delivered_total",
            "Packets and messages that the layer handed on inside the machine.",
            ledger.delivered,
        ),
        (
            "jlb_consumed_total",
            "Packets and messages that did their work in the layer.",
            ledger.consumed,
        ),
    ];
    for (name, help, value) in counters {
        report.counter(name, help, label, value);
    }
    report.gauge(
        "jlb_held",
        "Packets and messages that wait in the layer.",
        label,
        ledger.held,
    );
    report.gauge(
        "jlb_books_imbalance",
        "Packets and messages that the layer can't account for: always 0.",
        label,
        u64::try_from(ledger.imbalance().unsigned_abs()).unwrap_or(u64::MAX),
    );
    for &reason in DropReason::ALL {
        report.counter(
            "jlb_dropped_total",
            "Packets and messages that went no further in the layer, by reason.",
            &[("layer", &layer), ("reason", &reason.as_str())],
            ledger.dropped(reason),
        );
    }
}

/// Groups samples by name; the order is that of the names.
fn to_families(samples: Vec<Sample>) -> Vec<MetricFamily> {
    let mut families = BTreeMap::<&'static str, MetricFamily>::new();
    for sample in samples {
        let family = families.entry(sample.name).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(sample.name.to_owned());
            family.set_help(sample.help.to_owned());
            family.set_field_type(match sample.kind {
                SampleKind::Counter => MetricType::COUNTER,
                SampleKind::Gauge => MetricType::GAUGE,
            });
            family
        });
        family.mut_metric().push(to_metric(&sample));
    }
    families.into_values().collect()
}

fn to_metric(sample: &Sample) -> Metric {
    let labels = sample
        .labels
        .iter()
        .map(|(name, value)| {
            let mut label = LabelPair::default();
            label.set_name((*name).to_owned());
            label.set_value(value.clone());
            label
        })
        .collect();
    let mut metric = Metric::default();
    metric.set_label(labels);
    match sample.kind {
        SampleKind::Counter => {
            let mut counter = Counter::default();
            counter.set_value(sample.value);
            metric.set_counter(counter);
        }
        SampleKind::Gauge => {
            let mut gauge = Gauge::default();
            gauge.set_value(sample.value);
            metric.set_gauge(gauge);
        }
    }
    metric
}

#[cfg(test)]
mod tests;
