//! News of TCP sockets that the kernel gives up (R8).

use super::{Endpoints, header, messages};
use crate::kernel::{Error, Result};
use netlink_packet_core::NlasIterator;
use netlink_packet_sock_diag::constants::SOCK_DIAG_BY_FAMILY;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use rustix::io::Errno;
use rustix::net::sockopt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

/// `SKNLGRP_INET_TCP_DESTROY` and `SKNLGRP_INET6_TCP_DESTROY` of `linux/sock_diag.h`.
const GROUPS: [u32; 2] = [1, 3];

/// Room for news that wait to be read, in bytes, unless chosen otherwise: a few ten thousand
/// sockets that end at once.
pub const BUFFER_SIZE: usize = 32 << 20;

/// Room for one read.
const PART: usize = 16 << 10;

/// Most reads of one call, so that a storm of closes does not stop all else.
const MAX_READS: usize = 256;

/// Bytes of `struct inet_diag_msg` (`linux/inet_diag.h`), which attributes follow.
const HEADER_LEN: usize = 72;

/// `INET_DIAG_INFO`: the attribute that holds a `struct tcp_info`.
const INFO: u16 = 2;

/// Where `tcpi_segs_in` is in that (`linux/tcp.h`).
const SEGMENTS_IN: std::ops::Range<usize> = 140..144;

/// A TCP socket that was given up: by a close of this side, by a reset, or by its process ending.
/// The other side may not have closed yet, and `TIME_WAIT` may follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DestroyedSocket {
    /// This end.
    pub local: SocketAddr,
    /// The other end; its port is 0 if the connection was aborted.
    pub remote: SocketAddr,
    /// The connection's number in the kernel.
    pub cookie: u64,
}

/// One piece of news.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A socket was given up.
    Closed(DestroyedSocket),
    /// There was more news than room: some is lost, only a dump can tell what.
    Lost,
}

/// A subscription to the sockets that end in the namespace of the thread that opened it.
#[derive(Debug)]
pub struct Destroyed {
    netlink: netlink_sys::Socket,
    part: Vec<u8>,
    twins: u64,
}

impl Destroyed {
    /// Subscribes; what ends from now on is told.
    ///
    /// # Errors
    /// `NotFound` if the kernel has no `sock_diag`.
    pub fn open() -> Result<Self> {
        Self::with_buffer(BUFFER_SIZE)
    }

    /// Like [`Destroyed::open`], with another size of the buffer in bytes.
    ///
    /// # Errors
    /// As [`Destroyed::open`].
    pub fn with_buffer(size: usize) -> Result<Self> {
        Self::subscribe(size).map_err(|e| Error::new("subscribe to the ends of TCP sockets", e))
    }

    fn subscribe(size: usize) -> io::Result<Self> {
        let mut netlink = netlink_sys::Socket::new(NETLINK_SOCK_DIAG)?;
        netlink.set_non_blocking(true)?;
        if sockopt::set_socket_recv_buffer_size_force(&netlink, size).is_err() {
            sockopt::set_socket_recv_buffer_size(&netlink, size)?;
        }
        netlink.bind_auto()?;
        for group in GROUPS {
            netlink.add_membership(group)?;
        }
        Ok(Self {
            netlink,
            part: Vec::with_capacity(PART),
            twins: 0,
        })
    }

    /// Sockets that were not told since they are not their connection's end, which goes on with another of the same addresses.
    #[must_use]
    pub const fn twins(&self) -> u64 {
        self.twins
    }

    /// Appends what has been told so far; if it was much, some is left for the next call and the
    /// file stays readable.
    ///
    /// # Errors
    /// Those of reading, but that there is nothing to read.
    pub fn read(&mut self, events: &mut Vec<Event>) -> Result<()> {
        for _ in 0..MAX_READS {
            self.part.clear();
            match self.netlink.recv_from(&mut self.part, 0) {
                Ok((_, from)) if from.port_number() == 0 => self.parse(events),
                Ok(_) => {}
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::AGAIN) => return Ok(()),
                    Some(Errno::INTR) => {}
                    Some(Errno::NOBUFS) => events.push(Event::Lost),
                    _ => return Err(Error::new("read the ends of TCP sockets", error)),
                },
            }
        }
        Ok(())
    }

    fn parse(&mut self, events: &mut Vec<Event>) {
        for message in messages(&self.part) {
            if message.message_type() != SOCK_DIAG_BY_FAMILY {
                continue;
            }
            if is_twin(message.payload()) {
                self.twins += 1;
                continue;
            }
            // News that can't be read is as good as lost.
            let event = header(message.payload()).map_or(Event::Lost, |header| {
                let ends = Endpoints::new(&header.socket_id);
                Event::Closed(DestroyedSocket {
                    local: ends.local,
                    remote: ends.remote,
                    cookie: ends.cookie,
                })
            });
            events.push(event);
        }
    }
}

/// Whether the socket never got a segment but the SYN that it is made of. Two segments that complete a handshake, on two
/// processors at once, make a socket each, and the kernel gives one of them up: the connection goes on with the
/// other, which has the same addresses. One that was aborted has forgotten what it got: it says 0.
pub(super) fn is_twin(payload: &[u8]) -> bool {
    let attributes = payload.get(HEADER_LEN..).unwrap_or_default();
    let info = NlasIterator::new(attributes)
        .map_while(|attribute| attribute.ok())
        .find(|attribute| attribute.kind() == INFO);
    let segments = info.and_then(|info| {
        let bytes = info.value().get(SEGMENTS_IN)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    });
    segments == Some(1)
}

impl AsFd for Destroyed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.netlink.as_fd()
    }
}
