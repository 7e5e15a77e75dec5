//! Servers and their queues as queueing theory has them: where policies for choosing a host are compared, exactly
//! repeatable and free of any machine's noise.
//!
//! Time is in units of the mean work of a job: what it takes alone on one core.

mod dispatch;
mod events;
mod experiment;
mod server;

pub use dispatch::{Dispatch, JoinShortest, Policy, Random, SegmentRouting, TwoChoices};
pub use experiment::{Experiment, Outcome};
pub use server::Server;
