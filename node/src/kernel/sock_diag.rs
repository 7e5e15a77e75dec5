//! The kernel's own list of TCP connections, and the news of each that ends.

mod destroyed;
mod dump;
mod look_up;

pub use destroyed::{BUFFER_SIZE, Destroyed, DestroyedSocket, Event};
pub use dump::{Listener, dump, listeners};
pub use jlb_host_agent::{DumpScope, Found, LookUp, LookedUp, Socket, SocketState};
pub use look_up::look_up;

use netlink_packet_core::NetlinkBuffer;
use netlink_packet_sock_diag::inet::{InetResponseHeader, SocketId};
use std::net::SocketAddr;

/// The messages in what one read from a netlink socket gave.
///
/// Ends at the first that is cut off: what follows can't be told apart any more.
fn messages(bytes: &[u8]) -> impl Iterator<Item = NetlinkBuffer<&[u8]>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        // The usual end; the reader below would make a text of it.
        if rest.is_empty() {
            return None;
        }
        let message = NetlinkBuffer::new_checked(rest).ok()?;
        let length = usize::try_from(message.length()).ok()?;
        // Messages begin at multiples of four.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// Both ends of a socket and its cookie.
struct Endpoints {
    local: SocketAddr,
    remote: SocketAddr,
    cookie: u64,
}

impl Endpoints {
    /// An IPv4 connection of an IPv6 socket counts as what it is on the wire.
    fn new(id: &SocketId) -> Self {
        let [a, b, c, d, e, f, g, h] = id.cookie;
        // Two native words, the lower one first.
        let low = u32::from_ne_bytes([a, b, c, d]);
        let high = u32::from_ne_bytes([e, f, g, h]);
        Self {
            local: SocketAddr::new(id.source_address.to_canonical(), id.source_port),
            remote: SocketAddr::new(id.destination_address.to_canonical(), id.destination_port),
            cookie: u64::from(high) << 32 | u64::from(low),
        }
    }
}

/// The socket that a message of the kernel is about; its attributes are not looked at.
fn header(payload: &[u8]) -> Option<InetResponseHeader> {
    use netlink_packet_core::Parseable;
    InetResponseHeader::parse(payload).ok()
}

#[cfg(test)]
mod tests;
