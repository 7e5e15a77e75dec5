//! Single connections, which the kernel finds as it does for packets: without a walk of its table.

use super::dump::socket;
use super::{header, messages};
use crate::kernel::{Error, Result};
use jlb_host_agent::{Found, LookUp, LookedUp, SocketState};
use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::constants::{
    AF_INET, AF_INET6, IPPROTO_TCP, SOCK_DIAG_BY_FAMILY, TCP_LISTEN,
};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_packet_sock_diag::message::SockDiagMessage;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Requests that the kernel gets at a time: their answers have room in a socket's buffer as it is by default, 208 KiB, where
/// each takes 1.3 KiB.
const AT_ONCE: usize = 64;

/// Room for an answer.
const ANSWER: usize = 4 << 10;

/// The error of a socket whose buffer was full.
const ENOBUFS: i32 = rustix::io::Errno::NOBUFS.raw_os_error();

/// Any cookie will do.
const NO_COOKIE: [u8; 8] = [0xff; 8];

/// Where in an answer it is said how long the kernel keeps what is in TIME_WAIT, in milliseconds.
const EXPIRES: usize = 52;

/// Asks for connections of the calling thread's namespace, each by both its ends: two or three microseconds each.
///
/// The kernel replaces sockets while others look: that it finds none once is no proof that there is none.
///
/// # Errors
/// If the kernel takes no requests. Of one that it does not answer, [`Found::Unknown`] is the answer.
pub fn look_up(asked: &[LookUp]) -> Result<Vec<LookedUp>> {
    let mut answers = Vec::with_capacity(asked.len());
    for some in asked.chunks(AT_ONCE) {
        look_up_some(some, &mut answers)
            .map_err(|error| Error::new("look TCP connections up", error))?;
    }
    Ok(answers)
}

fn look_up_some(asked: &[LookUp], answers: &mut Vec<LookedUp>) -> io::Result<()> {
    // A socket of their own: what earlier ones left unread can't be taken for an answer.
    let netlink = netlink_sys::Socket::new(NETLINK_SOCK_DIAG)?;
    netlink.set_non_blocking(true)?;
    let mut requests = Vec::new();
    for (nth, look_up) in asked.iter().enumerate() {
        request(nth, look_up, &mut requests);
    }
    // The kernel answers all before this returns.
    netlink.send_to(&requests, &netlink_sys::SocketAddr::new(0, 0), 0)?;
    let first = answers.len();
    answers.extend(asked.iter().map(|&asked| LookedUp {
        asked,
        found: Found::Unknown,
    }));
    let mut part = Vec::with_capacity(ANSWER);
    loop {
        part.clear();
        let from = match netlink.recv_from(&mut part, 0) {
            Ok((_, from)) => from,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            // Some answers found no room; the others are there.
            Err(error) if error.raw_os_error() == Some(ENOBUFS) => continue,
            Err(error) => return Err(error),
        };
        if from.port_number() != 0 {
            continue;
        }
        for message in messages(&part) {
            let place = usize::try_from(message.sequence_number()).ok();
            let place = place.and_then(|nth| answers.get_mut(first + nth));
            // An error says that there is nothing, not even what listens, or that it could not be looked.
            if let Some(answer) = place
                && message.message_type() == SOCK_DIAG_BY_FAMILY
            {
                answer.found = found(&answer.asked, message.payload());
            }
        }
    }
}

/// What an answer says.
fn found(asked: &LookUp, payload: &[u8]) -> Found {
    let Some(header) = header(payload) else {
        return Found::Unknown;
    };
    if header.state == TCP_LISTEN {
        return Found::Nothing;
    }
    match socket(&header) {
        Some(socket) if (socket.local, socket.remote) == (asked.local, asked.remote) => {
            let expires = payload.get(EXPIRES..).and_then(|rest| rest.first_chunk());
            let rest =
                expires.map(|&millis| Duration::from_millis(u32::from_ne_bytes(millis).into()));
            let rest = rest.filter(|_| socket.state == SocketState::TimeWait);
            Found::Socket { socket, rest }
        }
        Some(_) | None => Found::Unknown,
    }
}

/// Adds the request that has this number: `struct inet_diag_req_v2`, without `NLM_F_DUMP`.
fn request(nth: usize, look_up: &LookUp, into: &mut Vec<u8>) {
    let LookUp { local, remote } = look_up;
    let mut head = NetlinkHeader::default();
    head.flags = NLM_F_REQUEST;
    head.sequence_number = u32::try_from(nth).unwrap_or(u32::MAX);
    let body = InetRequest {
        family: match local {
            SocketAddr::V4(_) => AF_INET,
            SocketAddr::V6(_) => AF_INET6,
        },
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::all(),
        socket_id: SocketId {
            source_port: local.port(),
            destination_port: remote.port(),
            source_address: local.ip(),
            destination_address: remote.ip(),
            interface_id: 0,
            cookie: NO_COOKIE,
        },
    };
    let payload = NetlinkPayload::from(SockDiagMessage::InetRequest(body));
    let mut message = NetlinkMessage::new(head, payload);
    message.finalize();
    let begin = into.len();
    into.resize(begin + message.buffer_len(), 0);
    if let Some(place) = into.get_mut(begin..) {
        message.serialize(place);
    }
}
