//! What the kernel must be told, and what it tells.
//!
//! Everything here acts on the network namespace of the calling thread, at once and blocking: call
//! it from an ordinary thread, not from a task of an async runtime.

pub mod error;
mod frame_code;
pub mod host_setup;
pub mod ingress_setup;
pub mod netlink;
pub mod sock_diag;
pub mod steering;
pub mod stripping;
pub mod sysctl;
pub(crate) mod usage;

pub use error::{Error, Result};
