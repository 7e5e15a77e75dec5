//! Which ingress node each connection passes through, by looking at the packets that reach each.
//!
//! The router's own hash can't be asked: through a veth it takes the sender's socket for the flow.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{Timespec, poll};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::error::{Doing, Result};
use crate::netns::Namespace;
use crate::plan::{Plan, Role, VIP_V4, VIP_V6};

/// How often the packets are looked at that have come.
const INTERVAL: Duration = Duration::from_millis(20);
/// Bytes of a packet that are kept: its addresses and ports, IPv6 included.
const KEPT: usize = 48;
/// Packets that wait meanwhile, in bytes with what the kernel keeps about them.
const BUFFER: usize = 4 << 20;
/// Connections that are told apart; the oldest stay.
const MOST: usize = 1 << 18;

// linux/if_ether.h, in the byte order of the wire.
const ETH_P_IP: u16 = 0x0800_u16.to_be();
const ETH_P_IPV6: u16 = 0x86dd_u16.to_be();
const TCP: u8 = 6;

/// The ingress node of each connection, by the client's end.
pub(crate) type Seen = BTreeMap<SocketAddr, u16>;

/// Looks at the packets of every ingress node for as long as it lives.
pub(crate) struct Paths {
    seen: Arc<Mutex<Seen>>,
    over: Arc<AtomicBool>,
}

impl Paths {
    /// Begins to look.
    pub(crate) fn watch(plan: &Plan) -> Result<Self> {
        let seen = Arc::new(Mutex::new(Seen::new()));
        let over = Arc::new(AtomicBool::new(false));
        for node in plan.all().filter(|node| node.role == Role::Ingress) {
            let namespace = Namespace::existing(&plan.namespace(&node.name));
            let sockets = namespace.run(|| {
                let v4 = socket(ETH_P_IP, &filter_v4()).doing("look at IPv4 packets")?;
                let v6 = socket(ETH_P_IPV6, &filter_v6()).doing("look at IPv6 packets")?;
                Ok([v4, v6])
            })?;
            let (seen, over, number) = (Arc::clone(&seen), Arc::clone(&over), node.number);
            std::thread::Builder::new()
                .name(format!("see-{}", node.name))
                .spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        look(&sockets, number, &seen);
                        pause();
                    }
                })
                .doing("start a thread")?;
        }
        Ok(Self { seen, over })
    }

    /// What was seen last of each connection.
    pub(crate) fn now(&self) -> Seen {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Forgets all that was seen.
    pub(crate) fn forget(&self) {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

impl Drop for Paths {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// A socket that gets the packets of one protocol that come into the namespace, and of them those
/// that the filter wants.
fn socket(protocol: u16, filter: &[SockFilter]) -> io::Result<Socket> {
    let protocol = Protocol::from(i32::from(protocol));
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))?;
    socket.attach_filter(filter)?;
    socket.set_nonblocking(true)?;
    // The kernel may give less; what is lost then is seen with the next packet.
    let _ = socket.set_recv_buffer_size(BUFFER);
    Ok(socket)
}

fn look(sockets: &[Socket; 2], ingress: u16, seen: &Mutex<Seen>) {
    let mut packet = [0; KEPT];
    let mut clients = Vec::new();
    for mut socket in sockets {
        while let Ok(length) = socket.read(&mut packet) {
            clients.extend(client_of(packet.get(..length).unwrap_or_default()));
        }
    }
    if clients.is_empty() {
        return;
    }
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    for client in clients {
        if seen.len() < MOST || seen.contains_key(&client) {
            seen.insert(client, ingress);
        }
    }
}

/// Source address and port of a TCP packet, of which the beginning is enough.
fn client_of(packet: &[u8]) -> Option<SocketAddr> {
    let (address, header) = match packet.first()? >> 4 {
        4 => {
            let address: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
            (IpAddr::from(address), usize::from(packet.first()? & 15) * 4)
        }
        6 => {
            let address: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
            (IpAddr::from(address), 40)
        }
        _ => return None,
    };
    let port = packet.get(header..header + 2)?.try_into().ok()?;
    Some(SocketAddr::new(address, u16::from_be_bytes(port)))
}

// Instructions of linux/bpf_common.h: load a word or a byte at a place, go on if it is equal, and
// keep so many bytes of the packet.
const LOAD_WORD: u16 = 0x20;
const LOAD_BYTE: u16 = 0x30;
const JUMP_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// Wants TCP packets to an address, whose words stand at `place`.
fn filter(protocol_at: u32, place: u32, address: &[u8]) -> Vec<SockFilter> {
    let words = address
        .chunks_exact(4)
        .map(|word| word.iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte)));
    let wanted = (place..)
        .step_by(4)
        .zip(words)
        .map(|(at, word)| (LOAD_WORD, at, word));
    let wanted = [(LOAD_BYTE, protocol_at, u32::from(TCP))]
        .into_iter()
        .chain(wanted);
    let wanted: Vec<(u16, u32, u32)> = wanted.collect();
    let mut program = Vec::new();
    for (number, &(load, at, value)) in wanted.iter().enumerate() {
        // Over the comparisons that are left and the return that keeps, to the one that does not.
        let left = u8::try_from(wanted.len() - 1 - number).unwrap_or(u8::MAX / 2);
        program.push(SockFilter::new(load, 0, 0, at));
        program.push(SockFilter::new(JUMP_EQUAL, 0, 2 * left + 1, value));
    }
    program.push(SockFilter::new(RETURN, 0, 0, KEPT as u32));
    program.push(SockFilter::new(RETURN, 0, 0, 0));
    program
}

fn filter_v4() -> Vec<SockFilter> {
    filter(9, 16, &VIP_V4.octets())
}

fn filter_v6() -> Vec<SockFilter> {
    filter(6, 24, &VIP_V6.octets())
}

fn pause() {
    let time = Timespec::try_from(INTERVAL).ok();
    // Only a signal cuts it short.
    let _ = poll(&mut [], time.as_ref());
}

#[cfg(test)]
mod tests;
