//! How a host agent checks that its web server answers.

use std::net::SocketAddr;
use std::time::Duration;

/// What is asked of the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HealthKind {
    /// That it accepts a TCP connection.
    Tcp,
    /// That it answers `GET` of this path with a status of 200 to 399.
    Http {
        /// The path, with its `/`.
        path: String,
    },
}

impl HealthKind {
    /// The kind's name in the file.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http { .. } => "http",
        }
    }
}

/// The health check of a service, which each of its hosts makes of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HealthCheck {
    /// What is asked.
    pub kind: HealthKind,
    /// Where: an address of the host's own.
    pub address: SocketAddr,
    /// From the end of one check to the beginning of the next.
    pub interval: Duration,
    /// A check that takes longer than this has failed.
    pub timeout: Duration,
    /// So many good checks in a row make an unhealthy host healthy, 1 to 100.
    pub rise: u32,
    /// So many failed checks in a row make a healthy host unhealthy, 1 to 100.
    pub fall: u32,
}
