//! What the cluster file says for a combination.

use jlb_queueing::{Admits, Overload};

use super::plan::{CHECK_FALL, CHECK_MS};
use crate::cluster_file::Services;
use crate::policies::combination::Who;
use crate::policies::plan::Line;

/// The parts of a cluster file that differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Words {
    policy: &'static str,
    tcp_lines: Vec<String>,
    hosts: String,
    timer_lines: Vec<String>,
}

impl Words {
    /// Of a line whose hosts are called so; `unit` is the mean work in milliseconds. Where the trackers don't choose,
    /// any policy will do.
    pub(crate) fn of(line: &Line, names: &[&str], unit: f64) -> Self {
        let combination = &line.combination;
        let policy = match combination.who {
            Who::Tracker(policy) => policy.name(),
            _ => "round-robin",
        };
        let overload = match combination.overload {
            Overload::Refuse => "refuse",
            Overload::MustAccept => "must-accept",
        };
        let mut tcp_lines = vec![
            format!("search_ttl = {}", combination.ttl),
            format!("overload = \"{overload}\""),
        ];
        if combination.admits == Admits::Adaptive {
            tcp_lines.push("admission = { adaptive = true }".to_owned());
        }
        let faults = line.cluster.hosts.iter().filter_map(|host| host.fault);
        if faults.filter_map(|fault| fault.noticed).next().is_some() {
            tcp_lines.push(format!(
                "health = {{ kind = \"http\", path = \"/station\", interval = \"{CHECK_MS}ms\", timeout = \"{CHECK_MS}ms\", \
                 fall = {CHECK_FALL} }}"
            ));
        }
        let hosts = line.cluster.hosts.iter().zip(names).map(|(host, name)| {
            let limit = match combination.admits {
                Admits::Threshold(each) => {
                    let most = (each * host.cores * host.speed).round().max(1.0);
                    format!(", max_connections = {most}")
                }
                Admits::Always | Admits::Adaptive => String::new(),
            };
            format!("{{ name = \"{name}\", weight = {}{limit} }}", host.weight)
        });
        let hosts: Vec<String> = hosts.collect();
        let reports = &combination.reports;
        let microseconds = |units: f64| format!("{}us", (units * unit * 1_000.0).round());
        let (interval, change) = if matches!(combination.who, Who::Tracker(_)) {
            let change = reports.on_change.map(microseconds);
            (microseconds(reports.interval), change)
        } else {
            ("100ms".to_owned(), None)
        };
        let change = change.unwrap_or_else(|| "1h".to_owned());
        Self {
            policy,
            tcp_lines,
            hosts: format!("[{}]", hosts.join(", ")),
            timer_lines: vec![
                format!("load_interval = \"{interval}\""),
                format!("load_interval_min = \"{change}\""),
            ],
        }
    }

    pub(crate) fn services(&self) -> Services<'_> {
        Services {
            policy: self.policy,
            tcp_lines: &self.tcp_lines,
            hosts: Some(&self.hosts),
            timer_lines: &self.timer_lines,
            node_lines: &[],
            ingress_lines: &[],
        }
    }
}

#[cfg(test)]
mod tests;
