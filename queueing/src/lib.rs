//! Servers and their queues as queueing theory has them: where policies for choosing a host are compared, exactly
//! repeatable and free of any machine's noise.
//!
//! [`Experiment`] knows everything at every moment: it is compared with theory. [`Cluster`] knows what the trackers
//! and hosts of a cluster really know: reports that are late, and what each tracker has sent itself.
//!
//! Time is in units of the mean work of a job: what it takes alone on one core.

mod admission;
mod cluster;
mod confidence;
mod dispatch;
mod events;
mod experiment;
mod measured;
mod server;
mod work;

pub use admission::Admits;
pub use cluster::{
    Arrival, Arrivals, Chooses, Cluster, Fault, Hears, Host, Mistake, Overload, Reports,
};
pub use confidence::{Estimate, estimate};
pub use dispatch::{Dispatch, JoinShortest, Policy, Random, SegmentRouting, TwoChoices};
pub use experiment::{Experiment, Outcome};
pub use measured::{Measured, variation};
pub use server::{Discipline, Done, Server};
pub use work::Work;
