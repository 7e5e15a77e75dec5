//! What is asked of every row.

use std::net::SocketAddr;
use std::time::Duration;

use super::args::{Kind, SideBySideOptions};
use super::servers::{BULK, BULK_PATH, SMALL, SMALL_PATH};
use crate::generator::{Job, Sources};

/// The longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections at a time, at most, where each serves one request at a fixed rate: enough for all that come in a
/// fourth of a second.
const MOST_OPEN: u32 = 4_096;

/// One table of the report.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Workload {
    Keepalive,
    Connections,
    Bulk,
    Latency,
    ConnectionLatency,
}

impl Workload {
    pub(crate) const ALL: [Self; 5] = [
        Self::Keepalive,
        Self::Connections,
        Self::Bulk,
        Self::Latency,
        Self::ConnectionLatency,
    ];

    /// The name in figures.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Keepalive => "keepalive",
            Self::Connections => "connections",
            Self::Bulk => "bulk",
            Self::Latency => "latency",
            Self::ConnectionLatency => "connection-latency",
        }
    }

    /// By which option it is chosen.
    pub(crate) const fn kind(self) -> Kind {
        match self {
            Self::Keepalive => Kind::Keepalive,
            Self::Connections => Kind::Connections,
            Self::Bulk => Kind::Bulk,
            Self::Latency | Self::ConnectionLatency => Kind::Latency,
        }
    }

    /// What the rate counts, by the second.
    pub(crate) const fn unit(self) -> &'static str {
        match self {
            Self::Keepalive | Self::Latency => "requests/s",
            Self::Connections | Self::ConnectionLatency => "connections/s",
            Self::Bulk => "MiB/s",
        }
    }

    /// Whether requests come at a fixed rate.
    pub(crate) const fn is_open(self) -> bool {
        matches!(self, Self::Latency | Self::ConnectionLatency)
    }

    /// Whether it shows where a balancer's time goes.
    pub(crate) const fn is_sampled(self) -> bool {
        matches!(self, Self::Keepalive | Self::Connections)
    }

    /// A sentence for people.
    pub(crate) fn title(self, options: &SideBySideOptions) -> String {
        let connections = options.connections;
        match self {
            Self::Keepalive => {
                format!(
                    "small requests on {connections} connections that stay, as many as get answered"
                )
            }
            Self::Connections => format!(
                "a connection for each small request, {connections} at a time, as many as get answered"
            ),
            Self::Bulk => format!("answers of 1 MiB on {connections} connections that stay"),
            Self::Latency => format!(
                "{} small requests a second on {connections} connections that stay",
                options.rate
            ),
            Self::ConnectionLatency => format!(
                "{} connections a second, each for one small request",
                options.connection_rate
            ),
        }
    }

    /// The job for the load's threads.
    pub(crate) fn job(
        self,
        options: &SideBySideOptions,
        targets: Vec<SocketAddr>,
        sources: Sources,
    ) -> Job {
        let (path, body) = match self {
            Self::Bulk => (BULK_PATH, BULK),
            _ => (SMALL_PATH, SMALL),
        };
        Job {
            targets,
            sources,
            path,
            body,
            keep_alive: !matches!(self, Self::Connections | Self::ConnectionLatency),
            connections: match self {
                Self::ConnectionLatency => (options.connection_rate / 4).clamp(64, MOST_OPEN),
                _ => options.connections,
            },
            rate: match self {
                Self::Latency => Some(f64::from(options.rate)),
                Self::ConnectionLatency => Some(f64::from(options.connection_rate)),
                _ => None,
            },
            threads: options.threads,
            warm_up: options.warm_up(),
            measured: options.measured(),
            patience: PATIENCE,
        }
    }
}
