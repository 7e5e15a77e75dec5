//! The shell that runs a role on sockets, clocks and threads.
//!
//! One *data thread* owns the role's state machine, the link, the TUN device and the underlay's
//! sockets; it shares nothing. The *control plane* (signals, admin HTTP, logs) runs on tokio and
//! speaks with the data thread through two bounded channels.

pub mod admin;
pub mod clock;
mod control_socket;
mod data_path;
mod drain;
mod error;
mod file_watch;
mod health;
mod incarnation;
pub mod kernel;
mod log;
mod machine;
pub mod metrics;
mod reload;
mod report;
mod run;
mod sampler;
mod segments;
mod socket_watch;
mod start;
mod status;
mod strip;
mod survey;
#[cfg(test)]
mod testing_folder;
mod underlay;
mod watch;
mod workers;
mod xdp;

pub use drain::{Deadline, Drain, drain, undrain};
pub use error::Error;
pub use report::{Report, Sample, SampleKind};
pub use run::{Options, run, teardown};
pub use survey::{Survey, survey};
