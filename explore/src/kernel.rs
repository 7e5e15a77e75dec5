//! A host's TCP for one address and port, as small as it can be: the reference of who has the
//! connection.
//!
//! The exchange in which a kernel challenges a SYN of another life, and the client's reset ends the
//! old one (RFC 5961 section 4), is one step: who has which life is the same afterwards.

use crate::packet::{Life, Packet, Segment};
use jlb_host_agent::SocketState;

/// A connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Sock {
    pub(crate) life: Life,
    pub(crate) is_open: bool,
    pub(crate) cookie: u8,
}

impl Sock {
    pub(crate) const fn state(self) -> SocketState {
        if self.is_open {
            SocketState::Open
        } else {
            SocketState::HalfOpen
        }
    }
}

/// A host's TCP.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Kernel {
    pub(crate) sock: Option<Sock>,
    cookies: u8,
    /// Cookies of destroyed sockets that the agent has not heard of, as bits.
    pub(crate) destroyed: u8,
}

/// What the kernel says to the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    Nothing,
    SynAck,
    Reset,
}

impl Kernel {
    /// Whether this host has a connection of the life.
    pub(crate) fn has(&self, life: Life) -> bool {
        self.sock.is_some_and(|sock| sock.life == life)
    }

    /// Whether this host has an open connection of the life.
    pub(crate) fn has_open(&self, life: Life) -> bool {
        self.sock
            .is_some_and(|sock| sock.life == life && sock.is_open)
    }

    pub(crate) fn receive(&mut self, packet: Packet) -> Reply {
        let own = self.sock.filter(|sock| sock.life == packet.life);
        match (packet.segment, own) {
            (Segment::Syn, Some(sock)) if sock.is_open => Reply::Nothing,
            (Segment::Syn, Some(_)) => Reply::SynAck,
            (Segment::Syn, None) => {
                self.end();
                self.cookies += 1;
                self.sock = Some(Sock {
                    life: packet.life,
                    is_open: false,
                    cookie: self.cookies,
                });
                Reply::SynAck
            }
            (Segment::Data, Some(sock)) => {
                self.sock = Some(Sock {
                    is_open: true,
                    ..sock
                });
                Reply::Nothing
            }
            (Segment::Fin, Some(sock)) => {
                // The FIN acknowledges the handshake as well, and the server closes at once.
                self.sock = Some(Sock {
                    is_open: true,
                    ..sock
                });
                self.end();
                Reply::Nothing
            }
            (Segment::Data | Segment::Fin, None) => Reply::Reset,
        }
    }

    /// The socket goes; of an open one the agent is told.
    fn end(&mut self) {
        if let Some(sock) = self.sock.take()
            && sock.is_open
        {
            self.destroyed |= 1 << sock.cookie;
        }
    }
}
