//! Lists of TCP connections, and of the sockets that listen for them.

use super::{Endpoints, header, messages};
use crate::kernel::{Error, Result};
use jlb_host_agent::{DumpScope, Socket, SocketState};
use netlink_packet_core::{
    Emitable, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, SOCK_DIAG_BY_FAMILY};
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags, Timer,
};
use netlink_packet_sock_diag::message::SockDiagMessage;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Types of messages that netlink itself defines.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// The request for the TCP connections of all families at once, and its answers.
const TCPDIAG_GETSOCK: u16 = 18;

/// Bytes of `struct inet_diag_req`.
const OLD_REQUEST: usize = 60;

/// Where in it the states are.
const OLD_STATES: usize = 52;

/// Most sockets that one dump gives (R14).
const MAX_SOCKETS: usize = 1 << 24;

/// How long the kernel may take for the next part.
const PATIENCE: Duration = Duration::from_secs(5);

/// Room for one part of a dump; the kernel makes its parts as large as the reader can take.
const PART: usize = 64 << 10;

/// A socket that listens for TCP connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listener {
    /// Where; an address of 0.0.0.0 or :: stands for all.
    pub local: SocketAddr,
    /// Connections that wait to be accepted.
    pub waiting: u32,
    /// The most that may wait.
    pub backlog: u32,
}

/// Lists the TCP connections of the calling thread's namespace, one after the other: incoming and outgoing, but
/// neither listeners nor unanswered outgoing ones. By [`DumpScope::Sockets`] the
/// kernel leaves out what is in TIME_WAIT; what it keeps of an orphan in FIN_WAIT2 it lists all the same. With each `take` gets
/// whether it is bound to a device.
///
/// The kernel walks its table while connections come and go: one may be listed twice or, rarely,
/// be missed. Do not take one dump for proof that a connection has ended; take two.
///
/// # Errors
/// `NotFound` if the kernel has no `inet_diag`. What was listed before an error is not all.
pub fn dump(scope: DumpScope, mut take: impl FnMut(Socket, bool)) -> Result<()> {
    let states = StateFlags::all() - StateFlags::LISTEN - StateFlags::CLOSE - StateFlags::SYN_SENT;
    let states = match scope {
        DumpScope::Sockets => states - StateFlags::TIME_WAIT,
        DumpScope::All => states,
    };
    let mut count = 0;
    list(states, |found| {
        if let Some(socket) = socket(found) {
            count += 1;
            take(socket, found.socket_id.interface_id != 0);
        }
        count
    })
    .map_err(|error| Error::new("list the TCP connections", error))
}

/// Lists the sockets of the calling thread's namespace that listen for TCP connections. It takes as
/// long as there are such sockets, however many connections there are.
///
/// # Errors
/// `NotFound` if the kernel has no `inet_diag`; never a list that is cut short.
pub fn listeners() -> Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    list(StateFlags::LISTEN, |found| {
        listeners.push(Listener {
            local: Endpoints::new(&found.socket_id).local,
            waiting: found.recv_queue,
            backlog: found.send_queue,
        });
        listeners.len()
    })
    .map_err(|error| Error::new("list the listening sockets", error))?;
    Ok(listeners)
}

/// Hands each TCP socket in one of these states to `take`, which says how many it has kept.
///
/// The kernel walks its whole table of connections for a list, which takes milliseconds where a quarter of a million
/// fit in, however few there are: one list of both families, for which only the older kind of request asks, is half
/// of one for each.
fn list(states: StateFlags, mut take: impl FnMut(&InetResponseHeader) -> usize) -> io::Result<()> {
    let mut taken = false;
    let both = list_all(&states, |found| {
        taken = true;
        take(found)
    });
    match both {
        // Where it is not known, the newer kind is, or else has the better reason. One that does not answer won't do so then.
        Err(error) if !taken && error.kind() != io::ErrorKind::WouldBlock => {
            list_each_family(&states, take)
        }
        result => result,
    }
}

/// One list of both families.
pub(super) fn list_all(
    states: &StateFlags,
    take: impl FnMut(&InetResponseHeader) -> usize,
) -> io::Result<()> {
    ask(&request_of_all(states), TCPDIAG_GETSOCK, take)
}

/// A list of each family.
pub(super) fn list_each_family(
    states: &StateFlags,
    mut take: impl FnMut(&InetResponseHeader) -> usize,
) -> io::Result<()> {
    for family in [AF_INET, AF_INET6] {
        ask(&request(family, states), SOCK_DIAG_BY_FAMILY, &mut take)?;
    }
    Ok(())
}

/// Sends a request, and hands each socket in its answers, messages of type `kind`, to `take`.
fn ask(
    request: &[u8],
    kind: u16,
    mut take: impl FnMut(&InetResponseHeader) -> usize,
) -> io::Result<()> {
    // A socket for each dump: what an earlier one left unread can't be taken for an answer.
    let netlink = netlink_sys::Socket::new(NETLINK_SOCK_DIAG)?;
    set_socket_timeout(&netlink, Timeout::Recv, Some(PATIENCE))?;
    let kernel = netlink_sys::SocketAddr::new(0, 0);
    netlink.send_to(request, &kernel, 0)?;
    let mut part = Vec::with_capacity(PART);
    loop {
        part.clear();
        let (_, from) = netlink.recv_from(&mut part, 0)?;
        if from.port_number() != 0 {
            continue;
        }
        for message in messages(&part) {
            let payload = message.payload();
            match message.message_type() {
                NLMSG_DONE => return code(payload).map_or(Ok(()), Err),
                NLMSG_ERROR => {
                    let unknown = || io::Error::other("the kernel gave no reason");
                    return Err(code(payload).unwrap_or_else(unknown));
                }
                _ if message.message_type() == kind => {
                    let Some(found) = header(payload) else {
                        return Err(io::Error::other("the kernel's answer is cut off"));
                    };
                    if take(&found) >= MAX_SOCKETS {
                        return Err(io::Error::other("there are too many"));
                    }
                }
                _ => {}
            }
        }
    }
}

/// A request for the connections of both families: `struct inet_diag_req`, which is zeros but for the states.
fn request_of_all(states: &StateFlags) -> Vec<u8> {
    let mut head = NetlinkHeader::default();
    head.flags = NLM_F_REQUEST | NLM_F_DUMP;
    head.message_type = TCPDIAG_GETSOCK;
    let length = head.buffer_len() + OLD_REQUEST;
    head.length = u32::try_from(length).unwrap_or(u32::MAX);
    let mut bytes = vec![0; length];
    head.emit(&mut bytes);
    let place = bytes.get_mut(head.buffer_len() + OLD_STATES..);
    if let Some(place) = place.and_then(|place| place.first_chunk_mut()) {
        *place = states.bits().to_ne_bytes();
    }
    bytes
}

/// A request for the connections of one family: `struct inet_diag_req_v2`.
fn request(family: u8, states: &StateFlags) -> Vec<u8> {
    let mut head = NetlinkHeader::default();
    head.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let body = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: states.clone(),
        socket_id: if family == AF_INET {
            SocketId::new_v4()
        } else {
            SocketId::new_v6()
        },
    };
    let payload = NetlinkPayload::from(SockDiagMessage::InetRequest(body));
    let mut message = NetlinkMessage::new(head, payload);
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// The error in the payload of an `NLMSG_ERROR` or `NLMSG_DONE`: a negative error number, or 0.
fn code(payload: &[u8]) -> Option<io::Error> {
    let code = i32::from_ne_bytes(*payload.first_chunk()?);
    (code < 0).then(|| io::Error::from_raw_os_error(code.saturating_neg()))
}

/// What the message is about, if it is a connection that is no attempt of this machine.
pub(super) fn socket(header: &InetResponseHeader) -> Option<Socket> {
    use netlink_packet_sock_diag::constants as tcp;
    let state = match (&header.timer, header.state) {
        // Only what is left after a socket has this timer, whatever state it names.
        (Some(Timer::TimeWait), _) | (_, tcp::TCP_TIME_WAIT) => SocketState::TimeWait,
        (_, tcp::TCP_SYN_RECV) => SocketState::HalfOpen,
        (_, tcp::TCP_LISTEN | tcp::TCP_CLOSE | tcp::TCP_SYN_SENT) => return None,
        _ => SocketState::Open,
    };
    let ends = Endpoints::new(&header.socket_id);
    Some(Socket {
        local: ends.local,
        remote: ends.remote,
        cookie: ends.cookie,
        state,
    })
}
