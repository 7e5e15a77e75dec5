//! A deterministic world: the production state machines of ingress, flow tracker and host agent on a
//! simulated network, clock, kernel and set of clients. One seed decides everything.
//!
//! Checkers compare what the machines do with a reference that is much simpler than they are: the
//! sockets of the model kernels are the truth about which host has which connection. Rule numbers
//! (R1..R14, S1..S7) refer to `docs/protocol.md`.

mod checks;
mod client;
mod clock;
mod command;
mod conversation;
mod disturbances;
mod faults;
mod kernel;
mod machine;
mod network;
mod node;
mod outcome;
mod plan;
mod planted;
mod queue;
mod rng;
mod runner;
mod segment;
mod topology;
mod trace;
mod world;

pub use checks::{Rule, Violation};
pub use command::{SimArgs, command};
pub use outcome::{Outcome, Tally};
pub use plan::{Plan, PlanError, Span};
pub use planted::Planted;
pub use runner::{Summary, run_seeds};
pub use world::World;
