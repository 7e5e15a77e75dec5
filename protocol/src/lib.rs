//! What two JLB nodes must agree on: the wire, hashes, ranks and views.
//!
//! Everything here is pure: time, randomness and bytes come in as arguments, and the crate builds
//! without `std`. Rule numbers (R1..R14) refer to `docs/protocol.md`.
#![no_std]

extern crate alloc;

pub mod bucket;
pub mod buffer;
pub mod digest;
pub mod drop_reason;
pub mod flow;
pub mod keyed_hash;
pub mod ledger;
pub mod link;
pub mod message;
pub mod number;
pub mod outbox;
pub mod packet;
pub mod planted;
pub mod rank;
pub mod rate;
pub mod services;
mod sip;
pub mod time;
pub mod view;
pub mod weighted;
pub mod wire;

pub use buffer::{Buffer, PacketBuf};
pub use drop_reason::DropReason;
pub use flow::{Birth, FlowKey, OfferNumber};
pub use ledger::Ledger;
pub use message::Message;
pub use number::{NodeNumber, Protocol, Role, ServiceNumber};
pub use outbox::{Destination, Outbox, Transmit};
pub use time::Time;
pub use view::{MemberState, View};
