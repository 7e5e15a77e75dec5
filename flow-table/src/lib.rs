//! A bounded flow table with an intrusive timer wheel.
//!
//! [`FlowTable`] maps flow keys to records for millions of flows. Its memory is bounded from the
//! start and close to the least there can be: a record costs its key, its value, 12 bytes of timer
//! links and, in a full table, 6 bytes of index; rounded up to a cache line where that is asked for. Nothing is ever rehashed or moved, so that no
//! packet waits for a table that grows; the steps of an operation do not depend on how many flows
//! there are.
//!
//! Three parts, one file each:
//!
//! - `index`: hash to record number; linear probing over one array of 4-byte slots.
//! - `slab`: record number to record; chunks allocated when first needed, a free list through
//!   vacant records.
//! - `wheel`: deadlines; a hierarchy of 64-slot wheels whose lists run through the records.
#![no_std]

extern crate alloc;

mod index;
mod slab;
mod table;
mod wheel;

pub use slab::{Handle, Lines, Packed};
pub use table::{FlowTable, Full, Place};
