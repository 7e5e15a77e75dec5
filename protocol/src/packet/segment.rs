//! Bare TCP segments between two known ends.

use super::answer::write_ip;
use super::layout::ip_number;
use super::{TcpFlags, checksum};
use crate::buffer::PacketBuf;
use crate::drop_reason::DropReason;
use core::net::SocketAddr;
use etherparse::TcpHeader;

/// A TCP segment without data and options.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Its sender.
    pub from: SocketAddr,
    /// Its receiver, of the same family.
    pub to: SocketAddr,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number; written only with [`TcpFlags::ACK`].
    pub ack: u32,
    /// ACK, RST or both; others are not written.
    pub flags: TcpFlags,
}

/// The window of a segment that is no reset: no end is to think that the other has no room.
const WINDOW: u16 = u16::MAX;

/// Writes the segment with its IP header into `out`. The buffer is changed only on success.
///
/// # Errors
/// `BadIpHeader`: the two ends are of different families.
pub fn write_segment(segment: &Segment, out: &mut PacketBuf) -> Result<(), DropReason> {
    let Segment {
        from,
        to,
        seq,
        ack,
        flags,
    } = *segment;
    let mut tcp = TcpHeader::new(from.port(), to.port(), seq, 0);
    if flags.contains(TcpFlags::ACK) {
        tcp.ack = true;
        tcp.acknowledgment_number = ack;
    }
    if flags.contains(TcpFlags::RST) {
        tcp.rst = true;
    } else {
        tcp.window_size = WINDOW;
    }
    tcp.checksum =
        checksum::with_pseudo_header(from.ip(), to.ip(), ip_number::TCP, &tcp.to_bytes());
    write_ip(
        from.ip(),
        to.ip(),
        ip_number::TCP,
        &tcp.to_bytes(),
        &[],
        out,
    )
}
