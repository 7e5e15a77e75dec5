//! The underlay's sockets: one that listens and several that send, for each address family.
//!
//! A sender's port stands for a share of the flow hashes, so that ECMP and RSS below spread flows
//! and keep each in order (RFC 8926 section 3.3).

use crate::error::Error;
use jlb_packet_io::Poller;
use jlb_packet_io::udp::{Origin, SendError, UdpSocket};
use jlb_packet_io::wait::Interest;
use jlb_protocol::PacketBuf;
use jlb_protocol::keyed_hash::FlowHash;
use std::net::{IpAddr, SocketAddr};

/// Source ports for each family.
const SENDERS: usize = 8;

/// Datagrams that one turn of the loop reads from one socket.
pub(crate) const BATCH: usize = 64;

struct Family {
    local: IpAddr,
    listener: UdpSocket,
    senders: Vec<UdpSocket>,
}

/// A datagram that waits to be sent at the end of the turn.
struct Waiting {
    buf: PacketBuf,
    to: SocketAddr,
}

/// All sockets of a node's underlay addresses.
pub(crate) struct Underlay {
    families: Vec<Family>,
    /// By socket, see [`Underlay::socket`].
    waiting: Vec<Vec<Waiting>>,
    slots: Vec<PacketBuf>,
    origins: Vec<Origin>,
}

impl Underlay {
    /// Binds all sockets.
    pub(crate) fn bind(addresses: &[IpAddr], port: u16) -> Result<Self, Error> {
        let mut families = Vec::new();
        for &local in addresses {
            let bind = |port| {
                let address = SocketAddr::new(local, port);
                UdpSocket::bind(address).map_err(|source| Error::Bind {
                    purpose: "the underlay",
                    address,
                    source,
                })
            };
            let listener = bind(port)?;
            let senders = (0..SENDERS)
                .map(|_| bind(0))
                .collect::<Result<Vec<_>, _>>()?;
            families.push(Family {
                local,
                listener,
                senders,
            });
        }
        let sockets = families.len() * (SENDERS + 1);
        Ok(Self {
            families,
            waiting: (0..sockets).map(|_| Vec::new()).collect(),
            slots: (0..BATCH)
                .map(|_| PacketBuf::new(jlb_protocol::buffer::MAX_PACKET))
                .collect(),
            origins: vec![Origin::default(); BATCH],
        })
    }

    /// No sockets: stands in while the real ones are being read.
    pub(crate) const fn none() -> Self {
        Self {
            families: Vec::new(),
            waiting: Vec::new(),
            slots: Vec::new(),
            origins: Vec::new(),
        }
    }

    /// Adds every socket to the poller, under `first_token` and the numbers after it.
    pub(crate) fn watch(&self, poller: &Poller, first_token: u64) -> std::io::Result<()> {
        (0..self.waiting.len()).try_for_each(|at| {
            poller.add(self.socket(at), first_token + at as u64, Interest::Readable)
        })
    }

    /// Socket `at`: of each family the listener, then the senders.
    fn socket(&self, at: usize) -> &UdpSocket {
        let family = &self.families[at / (SENDERS + 1)];
        match (at % (SENDERS + 1)).checked_sub(1) {
            None => &family.listener,
            Some(sender) => &family.senders[sender],
        }
    }

    /// The socket and port that messages of a flow leave from, towards peers for which `local` is
    /// our address. Messages without a flow leave from the port that all listen on.
    pub(crate) fn source(&self, local: IpAddr, flow: FlowHash) -> Option<(usize, u16)> {
        let family = self
            .families
            .iter()
            .position(|family| family.local == local)?;
        let sender = if flow == FlowHash::NONE {
            0
        } else {
            1 + (flow.0 % SENDERS as u64) as usize
        };
        let at = family * (SENDERS + 1) + sender;
        Some((at, self.socket(at).local_addr().port()))
    }

    /// Queues a sealed message for [`Self::flush`].
    pub(crate) fn push(&mut self, at: usize, buf: PacketBuf, to: SocketAddr) {
        self.waiting[at].push(Waiting { buf, to });
    }

    /// Sends all that waits and gives each buffer to `done`, with whether the kernel took it.
    pub(crate) fn flush(&mut self, mut done: impl FnMut(PacketBuf, bool)) {
        for at in 0..self.waiting.len() {
            let mut waiting = std::mem::take(&mut self.waiting[at]);
            let mut next = 0;
            while next < waiting.len() {
                let rest = &waiting[next..];
                let datagrams = rest.iter().map(|one| (one.buf.as_slice(), one.to));
                let sent = self.socket(at).send_batch(datagrams);
                next += sent.count;
                let failed = match sent.error {
                    None => 0,
                    Some(SendError::Refused(_)) => 1,
                    // Waiting would stall every other flow: the rest of this turn is lost, and
                    // counted, and repeated by those who sent it.
                    Some(SendError::WouldBlock | SendError::NoBuffers) => waiting.len() - next,
                };
                for one in waiting.iter_mut().skip(next).take(failed) {
                    one.to.set_port(0);
                }
                next += failed;
                if sent.count == 0 && failed == 0 {
                    break;
                }
            }
            for one in waiting.drain(..) {
                done(one.buf, one.to.port() != 0);
            }
            self.waiting[at] = waiting;
        }
    }

    /// Reads up to a batch from socket `at` and gives each datagram with its origin and our
    /// address to `each`; false once there is no more.
    pub(crate) fn receive(
        &mut self,
        at: usize,
        mut each: impl FnMut(&PacketBuf, SocketAddr, IpAddr),
    ) -> bool {
        let mut slots = std::mem::take(&mut self.slots);
        let mut origins = std::mem::take(&mut self.origins);
        let local = self.families[at / (SENDERS + 1)].local;
        // An error that is not WouldBlock is an ICMP answer to an earlier datagram: it says
        // nothing of what is to be read.
        let count = self
            .socket(at)
            .recv_batch(&mut slots, &mut origins)
            .unwrap_or(0);
        for (slot, origin) in slots.iter().zip(&origins).take(count) {
            each(slot, origin.from, local);
        }
        self.slots = slots;
        self.origins = origins;
        count == BATCH
    }
}
