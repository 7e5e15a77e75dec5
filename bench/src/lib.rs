//! The lab, the load generator, the comparison of policies, and reports.
//!
//! `jlb lab` builds a whole cluster in network namespaces of one machine, runs HTTP load through
//! it, and says what it saw. It needs root and a kernel, and no program but `jlb` itself.

mod args;
mod benches;
mod chaos;
mod compare;
mod document;
mod generator;
mod how_to_use;
mod lab;
mod micro;
mod packets;
mod policies;
mod report;
mod run;
mod side_by_side;
mod soak;

pub mod cluster_file;
pub mod content;
pub mod error;
pub mod leftovers;
pub mod load;
pub mod losses;
pub mod netns;
pub mod nginx;
pub mod plan;
mod plot;
pub mod process_id;
pub mod processes;
pub mod scrape;
pub mod state;
mod timer;
pub mod topology;
pub mod web;

pub use args::LabArgs;
pub use benches::{BenchArgs, bench};
pub use run::lab;
pub use web::{LabWebArgs, run as lab_web};
