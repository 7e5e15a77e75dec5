//! The underlay's sockets: one that listens and several that send, for each address family.
//!
//! A sender's port stands for a share of the flow hashes, so that ECMP and RSS below spread flows
//! and keep each in order (RFC 8926 section 3.3). As long as one path does, all leave from one port, and
//! messages to one peer in one run.

mod runs;
mod slot;
mod spread;

use crate::error::Error;
use jlb_packet_io::Poller;
use jlb_packet_io::udp::{Origin, SendError, UdpSocket};
use jlb_packet_io::wait::Interest;
use jlb_protocol::buffer::MAX_PACKET;
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::{PacketBuf, Time, wire};
use runs::Runs;
use slot::RunSlot;
use spread::Spread;
use std::io;
use std::net::{IpAddr, SocketAddr};

/// Source ports for each family.
const SENDERS: usize = 8;

/// Runs of datagrams that one turn of the loop reads from one socket.
pub(crate) const BATCH: usize = 64;

/// The least that is asked for at once: where little comes, little is prepared.
const LEAST_BATCH: usize = 8;

/// Messages that may wait to be sent, over all sockets. Those of one socket leave before those of
/// the next, so that this also bounds how far one overtakes another: less than a receiver's window.
pub(crate) const MAX_WAITING: usize = 256;

struct Family {
    local: IpAddr,
    /// The listener, where there is one, then the senders.
    sockets: Vec<UdpSocket>,
}

/// A datagram that waits to be sent at the end of the turn.
struct Waiting {
    buf: PacketBuf,
    to: SocketAddr,
    /// Whether it stays behind what goes to the same peer and was there before: TCP's segments are not to come in
    /// another order, and to all other messages it does not matter.
    keeps_order: bool,
    /// Its place among those that wait.
    order: usize,
    sent: bool,
}

/// All sockets of a node's underlay addresses.
pub(crate) struct Underlay {
    families: Vec<Family>,
    /// Of each family.
    listeners: usize,
    /// By socket, see [`Underlay::socket`].
    waiting: Vec<Vec<Waiting>>,
    /// Messages in `waiting`.
    count: usize,
    runs: Runs,
    slots: Vec<RunSlot>,
    origins: Vec<Origin>,
    spread: Spread,
    /// How many are to be read at once next time.
    wanted: usize,
}

impl Underlay {
    /// Binds all sockets.
    pub(crate) fn bind(addresses: &[IpAddr], port: u16) -> Result<Self, Error> {
        Self::of(addresses, &[port], UdpSocket::bind)
    }

    /// Binds those that only send: nothing is ever read from them, and they keep nothing that comes.
    pub(crate) fn bind_to_send(addresses: &[IpAddr]) -> Result<Self, Error> {
        Self::of(addresses, &[], UdpSocket::bind_to_send)
    }

    fn of(
        addresses: &[IpAddr],
        listeners: &[u16],
        bind: fn(SocketAddr) -> io::Result<UdpSocket>,
    ) -> Result<Self, Error> {
        let mut families = Vec::new();
        for &local in addresses {
            let ports = listeners.iter().copied().chain([0; SENDERS]);
            let sockets = ports.map(|port| {
                let address = SocketAddr::new(local, port);
                bind(address).map_err(|source| Error::Bind {
                    purpose: "the underlay",
                    address,
                    source,
                })
            });
            families.push(Family {
                local,
                sockets: sockets.collect::<Result<_, _>>()?,
            });
        }
        let sockets = families.len() * (SENDERS + listeners.len());
        Ok(Self {
            families,
            listeners: listeners.len(),
            waiting: (0..sockets).map(|_| Vec::new()).collect(),
            count: 0,
            runs: Runs::default(),
            slots: (0..BATCH).map(RunSlot::new).collect(),
            origins: vec![Origin::default(); BATCH],
            spread: Spread::default(),
            wanted: LEAST_BATCH,
        })
    }

    /// No sockets: stands in while the real ones are being read.
    pub(crate) const fn none() -> Self {
        Self {
            families: Vec::new(),
            listeners: 0,
            waiting: Vec::new(),
            count: 0,
            runs: Runs::new(),
            slots: Vec::new(),
            origins: Vec::new(),
            spread: Spread::NONE,
            wanted: 0,
        }
    }

    /// Adds every socket to the poller, under `first_token` and the numbers after it.
    pub(crate) fn watch(&self, poller: &Poller, first_token: u64) -> std::io::Result<()> {
        (0..self.waiting.len()).try_for_each(|at| {
            poller.add(self.socket(at), first_token + at as u64, Interest::Readable)
        })
    }

    /// Sockets of each family.
    const fn per_family(&self) -> usize {
        self.listeners + SENDERS
    }

    fn socket(&self, at: usize) -> &UdpSocket {
        &self.families[at / self.per_family()].sockets[at % self.per_family()]
    }

    /// Now and then flows are spread over more ports than before, or fewer, by how much is sent.
    pub(crate) fn adapt(&mut self, now: Time) {
        self.spread.adapt(now);
    }

    /// The socket and port that messages of a flow leave from, towards peers for which `local` is
    /// our address. Messages without a flow leave from the port that all listen on, where there is one.
    pub(crate) fn source(&mut self, local: IpAddr, flow: FlowHash) -> Option<(usize, u16)> {
        self.spread.count(1);
        let mut families = self.families.iter().enumerate();
        let (at, family) = families.find(|(_, family)| family.local == local)?;
        let sender = if flow == FlowHash::NONE {
            0
        } else {
            self.listeners + (flow.0 % self.spread.ports() as u64) as usize
        };
        let port = family.sockets.get(sender)?.local_addr().port();
        Some((at * self.per_family() + sender, port))
    }

    /// Queues a sealed message for [`Self::flush`]. Flush when there is no more room.
    pub(crate) fn push(&mut self, at: usize, buf: PacketBuf, to: SocketAddr) {
        self.waiting[at].push(Waiting {
            keeps_order: wire::is_data(buf.as_slice()),
            buf,
            to,
            order: self.count,
            sent: false,
        });
        self.count += 1;
    }

    /// Whether another message may wait.
    pub(crate) const fn has_room(&self) -> bool {
        self.count < MAX_WAITING
    }

    /// Sends all that waits and gives each buffer to `done`, with whether the kernel took it. The
    /// first failure is given back with where the message was to go.
    pub(crate) fn flush(
        &mut self,
        mut done: impl FnMut(PacketBuf, bool),
    ) -> Option<(SocketAddr, SendError)> {
        let mut first = None;
        for at in 0..self.waiting.len() {
            if self.waiting[at].is_empty() {
                continue;
            }
            let mut waiting = std::mem::take(&mut self.waiting[at]);
            let mut runs = std::mem::take(&mut self.runs);
            let failure = runs.send_all(self.socket(at), &mut waiting);
            self.runs = runs;
            first = first.or(failure);
            self.count -= waiting.len();
            for one in waiting.drain(..) {
                done(one.buf, one.sent);
            }
            self.waiting[at] = waiting;
        }
        first
    }

    /// Sends datagrams of `size` bytes each that stand one behind the other, the last perhaps shorter, at most
    /// [`MAX_RUN`](jlb_packet_io::udp::MAX_RUN) of them, from socket `at`. Says how many the kernel
    /// took, and why not the others. What waits for [`Self::flush`] is overtaken.
    pub(crate) fn send_run(
        &mut self,
        at: usize,
        to: SocketAddr,
        datagrams: &[u8],
        size: usize,
    ) -> (usize, Option<SendError>) {
        self.spread.count(datagrams.len().div_ceil(size.max(1)));
        let mut runs = std::mem::take(&mut self.runs);
        let sent = runs.send_one(self.socket(at), to, datagrams, size);
        self.runs = runs;
        sent
    }

    /// Reads up to a batch from socket `at` and gives each datagram with its origin and our
    /// address to `each`. What is longer than any message counts as truncated. Says whether more may be there.
    ///
    /// # Errors
    /// Why nothing could be read, but that there is nothing to read.
    pub(crate) fn receive(
        &mut self,
        at: usize,
        mut each: impl FnMut(&[u8], &Origin, IpAddr),
    ) -> io::Result<bool> {
        let mut slots = std::mem::take(&mut self.slots);
        let mut origins = std::mem::take(&mut self.origins);
        let local = self.families[at / self.per_family()].local;
        let room = self.wanted.min(slots.len());
        let received = self.socket(at).recv_batch(&mut slots[..room], &mut origins);
        let count = *received.as_ref().unwrap_or(&0);
        for (slot, origin) in slots.iter().zip(&origins).take(count) {
            for datagram in origin.datagrams(slot.bytes()) {
                let too_long = datagram.len() > MAX_PACKET;
                let origin = Origin {
                    truncated: origin.truncated || too_long,
                    ..*origin
                };
                each(datagram, &origin, local);
            }
        }
        self.slots = slots;
        self.origins = origins;
        self.wanted = (2 * count).clamp(LEAST_BATCH, BATCH);
        match received {
            Err(error) if !is_temporary(&error) => Err(error),
            _ => Ok(count == room),
        }
    }
}

/// Whether a read that failed so is to be tried again when there is something to read.
pub(crate) fn is_temporary(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
pub(crate) mod tests;
