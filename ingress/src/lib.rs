//! The ingress: takes client packets for virtual addresses, asks the flow trackers for the host of
//! each new flow, and sends the packets of known flows straight to their host.
//!
//! Pure: time, packets and messages come in as arguments, verdicts and messages go out. Rule
//! numbers (R1..R14) refer to `docs/protocol.md`.
#![no_std]

extern crate alloc;

mod answers;
mod ask;
mod cache;
pub mod config;
mod digest;
mod forward;
mod forwarder;
mod hosts;
mod ingress;
mod matching;
mod messages;
mod own_search;
mod pace;
mod pending;
mod pool;
mod shortcut;
mod statements;
mod stats;
#[cfg(test)]
mod testbed;
mod who_has;

pub use config::Config;
pub use forwarder::{Forwarder, ForwarderStats, HandOn, Step};
pub use ingress::{Ingress, Packet, Verdict};
pub use shortcut::{Rules, Shortcut};
pub use stats::{HostFlows, Stats};
