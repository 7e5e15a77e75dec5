//! The tables of the cluster file as they are written, before anything is checked but their shape.

use crate::limits::LimitsTable;
use crate::timers::TimersTable;
use crate::value::{HostsValue, Number, PortsValue, Text, TimeSpan};
use serde::Deserialize;
use std::ops::Range;
use toml::Spanned;

/// `[cluster]`.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClusterTable {
    pub(crate) name: Spanned<Text>,
    pub(crate) key_file: Spanned<Text>,
    pub(crate) underlay_mtu: Option<Spanned<Number>>,
    pub(crate) port: Option<Spanned<Number>>,
    pub(crate) membership: Option<Spanned<Text>>,
}

/// `[[node]]`.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeTable {
    pub(crate) number: Spanned<Number>,
    pub(crate) name: Spanned<Text>,
    pub(crate) role: Spanned<Text>,
    pub(crate) underlay: Spanned<Vec<Spanned<Text>>>,
    pub(crate) admin: Option<Spanned<Text>>,
    pub(crate) tun: Option<Spanned<Text>>,
    pub(crate) packet_io: Option<Spanned<Text>>,
    pub(crate) xdp_strip: Option<Spanned<bool>>,
    pub(crate) xdp_interfaces: Option<Spanned<Vec<Spanned<Text>>>>,
    pub(crate) xdp_generic: Option<Spanned<bool>>,
    pub(crate) workers: Option<Spanned<Number>>,
    pub(crate) failure_domain: Option<Spanned<Text>>,
    pub(crate) log: Option<Spanned<Text>>,
    pub(crate) drain: Option<Spanned<bool>>,
    pub(crate) drain_timeout: Option<Spanned<TimeSpan>>,
}

/// `[[service]]`.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceTable {
    pub(crate) number: Spanned<Number>,
    pub(crate) name: Spanned<Text>,
    pub(crate) vip: Spanned<Text>,
    pub(crate) protocol: Spanned<Text>,
    pub(crate) ports: Spanned<PortsValue>,
    pub(crate) hosts: Spanned<HostsValue>,
    pub(crate) policy: Option<Spanned<Text>>,
    pub(crate) shadow_policy: Option<Spanned<Text>>,
    pub(crate) search_ttl: Option<Spanned<Number>>,
    pub(crate) hunt: Option<Spanned<Text>>,
    pub(crate) overload: Option<Spanned<Text>>,
    pub(crate) overflow: Option<Spanned<HostsValue>>,
    pub(crate) queue_timeout: Option<Spanned<TimeSpan>>,
    pub(crate) max_connections: Option<Spanned<Number>>,
    pub(crate) admission: Option<Spanned<AdmissionTable>>,
    pub(crate) health: Option<Spanned<HealthTable>>,
    pub(crate) max_unhealthy_percent: Option<Spanned<Number>>,
    pub(crate) min_life_percent: Option<Spanned<Number>>,
    pub(crate) slow_start: Option<Spanned<TimeSpan>>,
}

/// `admission` of a `[[service]]`.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(crate) struct AdmissionTable {
    pub(crate) accept_queue: Option<Spanned<Number>>,
    pub(crate) load_percent: Option<Spanned<Number>>,
    pub(crate) cpu_percent: Option<Spanned<Number>>,
    pub(crate) memory_percent: Option<Spanned<Number>>,
    pub(crate) latency: Option<Spanned<TimeSpan>>,
    pub(crate) adaptive: Option<Spanned<bool>>,
}

/// `health` of a `[[service]]`.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(crate) struct HealthTable {
    pub(crate) kind: Spanned<Text>,
    pub(crate) address: Option<Spanned<Text>>,
    pub(crate) path: Option<Spanned<Text>>,
    pub(crate) interval: Option<Spanned<TimeSpan>>,
    pub(crate) timeout: Option<Spanned<TimeSpan>>,
    pub(crate) rise: Option<Spanned<Number>>,
    pub(crate) fall: Option<Spanned<Number>>,
}

/// A table with the span of its header.
#[derive(Debug)]
pub(crate) struct Table<T> {
    /// Where `[header]` stands.
    pub(crate) header: Range<usize>,
    /// What it holds.
    pub(crate) table: T,
}

/// The whole file.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) cluster: Table<ClusterTable>,
    pub(crate) limits: LimitsTable,
    pub(crate) timers: TimersTable,
    pub(crate) nodes: Vec<Table<NodeTable>>,
    pub(crate) services: Vec<Table<ServiceTable>>,
}
