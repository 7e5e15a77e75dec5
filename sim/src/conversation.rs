//! What a model kernel says to a client, and how a connection ends: both sides read that from the
//! client's initial sequence number, as if they ran the same application protocol.

use core::time::Duration;

/// What a kernel says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    /// The server's part of the handshake.
    SynAck,
    /// An acknowledgment.
    Ack,
    /// The server has nothing more to say; acknowledges too.
    Fin,
    /// There is no such connection.
    Reset,
    /// An acknowledgment of another life: the SYN was not expected (RFC 5961 section 4).
    Challenge,
}

/// An answer to a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    /// The life that it belongs to; 0 for UDP.
    pub(crate) isn: u32,
    pub(crate) reply: Reply,
    /// Bytes received of the client's stream, its FIN counted.
    pub(crate) received: u32,
}

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// The client sends the first FIN.
    ClientCloses,
    /// The client sends a reset.
    ClientAborts,
    /// The server sends the first FIN.
    ServerCloses,
    /// The client is gone without a word.
    ClientVanishes,
}

impl Ending {
    pub(crate) const fn of(isn: u32) -> Self {
        match isn % 8 {
            0..=2 => Self::ClientCloses,
            3 => Self::ClientAborts,
            4..=6 => Self::ServerCloses,
            _ => Self::ClientVanishes,
        }
    }
}

/// How long a server that closes first keeps the connection, and how long one takes to answer the
/// client's FIN: up to 1.6 seconds.
pub(crate) const fn server_takes(isn: u32) -> Duration {
    Duration::from_millis(((isn >> 8) % 32) as u64 * 50)
}

/// The life of a connection whose client says nothing, on the server.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(32);

/// How long a kernel keeps a TIME_WAIT entry.
pub(crate) const TIME_WAIT: Duration = Duration::from_secs(2);
