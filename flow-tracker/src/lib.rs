//! The flow tracker state machine: who has which flow, and the search for a host that takes it.
//!
//! Every flow has a primary and a secondary tracker. The primary answers the ingress and leads the
//! search (`primary`), the secondary's record binds it (`secondary`), answers climb back through
//! both (`chain`). Hosts state what they own (`statements`), also by digests of it (`buckets`), and
//! are asked where no record knows (`who_has`). A tracker is ranked when they have told it all that
//! it ranks for (`filling`). Rule numbers (R1..R14) refer to `docs/protocol.md`.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod buckets;
mod chain;
pub mod config;
mod digest;
mod filling;
mod hunt;
mod nodes;
#[cfg(test)]
mod noise;
mod output;
mod overload;
pub mod policy;
mod pool;
mod primary;
mod record;
mod records;
mod search;
mod secondary;
#[cfg(test)]
mod simulation;
mod statements;
mod stats;
mod surge;
#[cfg(test)]
mod testbed;
mod tracker;
mod who_has;

pub use config::Config;
pub use pool::{HostLoad, Pool, Shadow};
pub use stats::Stats;
pub use tracker::FlowTracker;
