//! The host agent: owns the flows that its machine's kernel serves (R4).
//!
//! A pure state machine without I/O. Messages of trackers and ingress nodes, the kernel's list of
//! sockets, its destroy events and the time come in as arguments; packets for the stack and
//! messages go out. See [`HostAgent`] for the order of calls. Rule numbers (R1..R14) refer to
//! `docs/protocol.md`.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod admission;
mod agent;
pub mod config;
mod delivery;
mod digest;
mod drain;
mod flows;
mod hunt;
mod life;
mod load;
mod look_ups;
mod offers;
mod owed;
mod post;
mod rejects;
mod services;
pub mod signals;
mod sockets;
mod statements;
mod stats;
pub mod strip;
#[cfg(test)]
mod testbed;

pub use admission::Cause;
pub use agent::{HostAgent, Verdict};
pub use config::Config;
pub use drain::Until;
pub use look_ups::{Found, LookUp, LookedUp};
pub use sockets::{DumpScope, Socket, SocketState};
pub use stats::{ServiceStats, Stats};
pub use strip::{Ends, Strip};
