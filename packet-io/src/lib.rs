//! Packets in and out of the machine, and the system calls that need unsafe.
//!
//! Everything that this crate offers is safe to call; what is not stays inside, each with the
//! reason why it is sound. Nothing here allocates per packet.
//!
//! Namespaces belong to threads (`setns(2)`): a socket or device lands in the namespace of the
//! thread that opens it and stays there, wherever it is used later.

pub mod ebpf;
pub mod interface;
pub mod netns;
pub mod process;
pub mod slot;
pub mod tun;
pub mod udp;
pub mod wait;
pub mod xsk;

pub use slot::Slot;
pub use tun::Tun;
pub use udp::UdpSocket;
pub use wait::{Poller, Waker};
