//! Sockets that never block.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, ipproto, socket_with};

use super::Sources;

/// Ports that are tried when some are taken.
const TRIES: usize = 64;

/// Begins to connect; whether it did it shows when the socket can be written to.
pub(super) fn begin(target: SocketAddr, sources: &Sources) -> Result<OwnedFd, Errno> {
    let family = match target {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    bind_to_next(&socket, sources)?;
    match connect(&socket, &target) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

fn bind_to_next(socket: &OwnedFd, sources: &Sources) -> Result<(), Errno> {
    let mut outcome = Ok(());
    for _ in 0..TRIES {
        let Some(source) = sources.next() else {
            return Ok(());
        };
        set_socket_reuseaddr(socket, true)?;
        outcome = bind(socket, &source);
        if outcome != Err(Errno::ADDRINUSE) {
            break;
        }
    }
    outcome
}
