//! Bugs on purpose ([`jlb_protocol::planted::Bug`]), one by one: what has to happen for each to show,
//! and how long it takes the simulator's or the exploration's checkers to find it.
//!
//! The crate is no member of the workspace: cargo builds what is built at once with one set of
//! features, and no other build is to have the switches in it.

pub mod hunt;
pub mod occasions;
pub mod table;
