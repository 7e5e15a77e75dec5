//! The membership state machine: which nodes there are, and which of them this node can reach.
//!
//! Every node makes its own view from what it hears itself: the Hellos of the sessions
//! ([`jlb_protocol::link`]) are the heartbeat (`detection`). Nothing is believed of others' views
//! but the addresses of nodes that are not in everybody's file (`joining`). What is to be done is
//! polled as [`Command`]s. Rule numbers (R1..R14) refer to `docs/protocol.md`.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod command;
mod config;
mod detection;
mod joining;
mod membership;
mod pace;
mod peer;
#[cfg(test)]
mod simulation;
mod stats;
#[cfg(test)]
mod testbed;

pub use command::Command;
pub use config::{Config, Known, speak};
pub use membership::Membership;
pub use pace::Pace;
pub use stats::Stats;
