//! The cluster file: schema, validation and typed role configurations.
//!
//! One TOML file describes a cluster, and every node starts from the same one:
//! [`ClusterConfig::load`] reads it, and [`ClusterConfig::ingress`], [`ClusterConfig::flow_tracker`]
//! and [`ClusterConfig::host_agent`] make of it what a role's state machine is told. A file that is
//! not valid is refused with everything that is wrong with it: [`ConfigError::render`].
//!
//! Settings are cluster-wide, and then part of [`ClusterConfig::fingerprint`], or concern one node
//! alone: its admin address, TUN device and log level, and how long its connections may go on when it
//! drains.

pub mod change;
pub mod check;
pub mod cluster;
pub mod health;
pub mod keys;
pub mod limits;
pub mod load;
pub mod report;
pub mod roles;
pub mod timers;

mod document;
mod draining;
mod fingerprint;
mod overhead;
mod problem;
mod reference;
mod schema;
mod source;
#[cfg(test)]
mod testing;
mod validate;
mod value;

pub use change::FixedChange;
pub use check::{Checked, check};
pub use cluster::{
    Admission, ClusterConfig, LogLevel, MAX_WORKERS, Membership, Node, PacketIo, PeerAddress,
    Service, ServiceHost, Underlay, XdpStrip,
};
pub use health::{HealthCheck, HealthKind};
pub use keys::{KeyError, Keys, MessageKey, keygen};
pub use limits::Limits;
pub use load::Loaded;
pub use report::{ConfigError, Finding, Report, Style};
pub use roles::RoleError;
pub use timers::Timers;
pub use value::parse_time_span;
