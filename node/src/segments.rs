//! Packets from a TUN device, and large ones that leave as runs of segments.

use crate::underlay::{Underlay, is_temporary};
use jlb_packet_io::tun::{LargeBuf, Received, Tun};
use jlb_packet_io::udp::{MAX_RUN, MAX_RUN_BYTES, SendError};
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::link::{Link, Route};
use jlb_protocol::packet::offload::{self, Segments, Split};
use jlb_protocol::{DropReason, NodeNumber, PacketBuf};
use std::io;
use std::net::SocketAddr;

/// Bytes of a client's packet that the seal covers: they stand behind the headers in one piece.
const SEALED_INNER: usize = 64;

/// Large packets that one turn of a loop reads.
pub(crate) const LARGE_PER_TURN: usize = 8;

/// Above this a large packet counts as huge, in bytes.
pub(crate) const HUGE: usize = 32 << 10;

/// What came of one read.
#[derive(Debug)]
pub(crate) enum Intake {
    /// A packet is in the buffer, with a finished checksum.
    Packet,
    /// A packet of this length is in the large buffer, to be cut into segments.
    Large(usize, Segments),
    /// There was one, which goes no further.
    Dropped(DropReason),
    /// There was one that can't be read.
    Unreadable(io::Error),
    /// There is none.
    Nothing,
}

/// Reads one packet.
///
/// # Errors
/// If the device is gone.
pub(crate) fn take(tun: &Tun, buf: &mut PacketBuf, large: &mut LargeBuf) -> io::Result<Intake> {
    let unfinished = match tun.receive(buf, large) {
        Ok(Received::Packet(offload)) => offload,
        Ok(Received::Large(len, offload)) => {
            return Ok(match offload.segments {
                Some(segments) => Intake::Large(len, segments),
                None => Intake::Dropped(DropReason::TooBig),
            });
        }
        Err(error) if is_temporary(&error) => return Ok(Intake::Nothing),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Ok(Intake::Unreadable(error));
        }
        Err(error) => return Err(error),
    };
    if let Some(partial) = unfinished.checksum
        && let Err(reason) = offload::complete_checksum(buf.as_mut_slice(), partial)
    {
        return Ok(Intake::Dropped(reason));
    }
    Ok(Intake::Packet)
}

/// Who seals what is sent, and counts it.
pub(crate) trait Seals {
    /// The addresses between this node and a peer.
    fn route(&self, to: NodeNumber) -> Option<Route>;
    /// Seals a message and counts it as sent, or why it is not.
    fn seal(
        &mut self,
        to: NodeNumber,
        source_port: u16,
        buf: &mut PacketBuf,
    ) -> Result<Route, DropReason>;
    /// One that was counted as sent was not.
    fn send_failed(&mut self);
}

impl Seals for Link {
    fn route(&self, to: NodeNumber) -> Option<Route> {
        Self::route(self, to)
    }

    fn seal(
        &mut self,
        to: NodeNumber,
        source_port: u16,
        buf: &mut PacketBuf,
    ) -> Result<Route, DropReason> {
        Self::seal(self, to, source_port, buf)
    }

    fn send_failed(&mut self) {
        Self::send_failed(self);
    }
}

/// Room for a run's datagrams, one behind the other: the kernel takes one piece in half of the time that it takes for
/// two pieces of each.
pub(crate) struct Outgoing {
    /// What of a datagram is sealed.
    head: PacketBuf,
    run: Vec<u8>,
}

impl Default for Outgoing {
    fn default() -> Self {
        Self {
            head: PacketBuf::new(2 * SEALED_INNER),
            run: Vec::with_capacity(MAX_RUN_BYTES),
        }
    }
}

impl Outgoing {
    /// Sends the first `count` segments behind these headers, in runs, and gives the first failure. What waits for
    /// [`Underlay::flush`] is to be sent before.
    pub(crate) fn send(
        &mut self,
        seals: &mut impl Seals,
        underlay: &mut Underlay,
        split: &Split<'_>,
        count: usize,
        headers: &[u8],
        (to, flow): (NodeNumber, FlowHash),
    ) -> Option<(SocketAddr, SendError)> {
        let source = seals
            .route(to)
            .and_then(|route| underlay.source(route.local, flow));
        let port = source.map_or(0, |(_, port)| port);
        let largest = headers.len() + split.header_len() + split.payload(0).len();
        let longest = (MAX_RUN_BYTES / largest.max(1)).clamp(1, MAX_RUN);
        let mut failure = None;
        let mut at = 0;
        while at < count {
            let end = (at + longest).min(count);
            self.run.clear();
            let (mut sealed, mut size) = (0, 0);
            let mut remote = None;
            for at in at..end {
                let rest = write_head(&mut self.head, split, at, headers);
                match (seals.seal(to, port, &mut self.head), source) {
                    (Ok(route), Some(_)) => {
                        remote = Some(route.remote);
                        self.run.extend_from_slice(self.head.as_slice());
                        self.run.extend_from_slice(rest);
                        sealed += 1;
                        size = size.max(self.head.len() + rest.len());
                    }
                    (Ok(_), None) => seals.send_failed(),
                    // It was counted why, and will be for each.
                    (Err(_), _) => {}
                }
            }
            at = end;
            if let (Some((socket, _)), Some(remote)) = (source, remote) {
                let (taken, error) = underlay.send_run(socket, remote, &self.run, size);
                for _ in taken..sealed {
                    seals.send_failed();
                }
                failure = failure.or(error.map(|error| (remote, error)));
            }
        }
        failure
    }
}

/// Writes segment number `at` into a buffer, whole.
pub(crate) fn fill(buf: &mut PacketBuf, split: &Split<'_>, at: usize) {
    let payload = split.payload(at);
    let header_len = split.header_len();
    buf.reserve(header_len + payload.len());
    let space = buf.space();
    // A device hands over no segments that are larger than its packets may be; if it did, the length
    // field would show the packet as cut off.
    let whole = (header_len + payload.len()).min(space.len());
    if split.write_header(at, space).is_ok() {
        let room = &mut space[header_len..whole];
        room.copy_from_slice(&payload[..whole - header_len]);
        buf.set_len(whole);
    }
}

/// Writes the beginning of segment number `at` behind `headers` into a buffer: as much as the seal
/// covers. Gives what follows.
fn write_head<'a>(head: &mut PacketBuf, split: &Split<'a>, at: usize, headers: &[u8]) -> &'a [u8] {
    let payload = split.payload(at);
    let header_len = split.header_len();
    let more = SEALED_INNER.saturating_sub(header_len).min(payload.len());
    let (sealed, rest) = payload.split_at(more);
    head.reserve(header_len + more);
    let space = head.space();
    if split.write_header(at, space).is_ok() {
        space[header_len..header_len + more].copy_from_slice(sealed);
        head.set_len(header_len + more);
    }
    if let Some(room) = head.prepend(headers.len()) {
        room.copy_from_slice(headers);
    }
    rest
}
