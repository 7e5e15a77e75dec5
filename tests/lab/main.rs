//! The whole system on real packets: clusters in network namespaces, real clients, a real web
//! server. Runs as root; `scripts/setup` installs the tools.
//!
//! `JLB_LONG=1` makes the loads last a minute instead of seconds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test of real programs in real time"
)]

mod admission;
mod af_xdp;
mod chaos;
mod cleanup;
mod closes;
mod drain;
mod garbage;
mod harness;
mod load;
mod metrics;
mod overload;
mod packets;
mod policies;
mod racks;
mod reload;
mod restart;
mod routes;
mod side_by_side;
mod transfers;
mod wire;
mod workers;
mod xdp_strip;
