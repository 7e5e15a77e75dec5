//! Bugs on purpose.

pub mod hunt;
pub mod occasions;
