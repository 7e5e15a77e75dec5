//! Segmentation and checksum offload: packets of up to 64 KiB that a kernel hands over before it
//! has cut them to size, or would like to be handed.
//!
//! [`Split`] does what the kernel left to the device: segments, each with its own header and
//! checksum. [`Joined`] is the way back, with the rules of the kernel's generic receive offload:
//! what comes out when its packet is split again is what went in, but for IPv4 identifications.

use super::layout::{be16, be32, ip_number, ipv4, ipv6, tcp, udp};
use super::{TcpFlags, checksum, ip};
use crate::drop_reason::DropReason;
use core::net::IpAddr;
use core::num::NonZeroU16;

mod joined;

pub use joined::Joined;

/// The largest packet that there is, in bytes: what an IPv4 header's length field can say.
pub const MAX_LARGE: usize = 65_535;

/// What is left to do to a packet before it can go out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Offload {
    /// The transport checksum holds the sum of the pseudo-header only.
    pub checksum: Option<PartialChecksum>,
    /// The packet is to be cut into several.
    pub segments: Option<Segments>,
}

impl Offload {
    /// Nothing is left to do.
    pub const NONE: Self = Self {
        checksum: None,
        segments: None,
    };
}

/// Where a partial checksum is to be completed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartialChecksum {
    /// Where the sum begins, in bytes from the IP header: the transport header.
    pub start: u16,
    /// Where the field stands, in bytes from there.
    pub offset: u16,
}

/// How a packet is to be cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segments {
    /// The transport protocol, which says what differs from header to header.
    pub kind: SegmentKind,
    /// Bytes of payload in each but the last, which may have fewer.
    pub size: NonZeroU16,
    /// Bytes of the headers, as the sender has them; informative.
    pub header_len: u16,
}

/// What kind of segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SegmentKind {
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// UDP over either: each segment is a datagram.
    Udp,
}

/// Completes a partial checksum in place.
///
/// # Errors
/// `BadTransportHeader`: the field is not inside of the packet. The packet is as it was.
pub fn complete_checksum(packet: &mut [u8], partial: PartialChecksum) -> Result<(), DropReason> {
    let start = usize::from(partial.start);
    let at = start + usize::from(partial.offset);
    let summed = packet.get(start..).ok_or(DropReason::BadTransportHeader)?;
    if at + 2 > packet.len() {
        return Err(DropReason::BadTransportHeader);
    }
    // The field holds the pseudo-header's sum, so that it counts as part of what is summed.
    let sum = match checksum::plain(summed) {
        // A UDP checksum of 0 means none (RFC 768); for TCP both mean the same.
        0 => 0xffff,
        sum => sum,
    };
    packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    Ok(())
}

/// A large packet, as the segments that it stands for.
#[derive(Clone, Copy, Debug)]
pub struct Split<'a> {
    packet: &'a [u8],
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    /// Bytes of the IP header with its options or extension headers.
    ip_len: usize,
    /// Bytes of all headers.
    header_len: usize,
    size: usize,
}

impl<'a> Split<'a> {
    /// Reads a large packet's headers.
    ///
    /// # Errors
    /// What is wrong with them: they are no client's of one of these kinds.
    pub fn new(packet: &'a [u8], segments: Segments) -> Result<Self, DropReason> {
        let header = ip::read(packet)?;
        let packet = packet
            .get(..header.total_len)
            .ok_or(DropReason::Truncated)?;
        let transport = packet
            .get(header.payload_at..)
            .ok_or(DropReason::Truncated)?;
        let transport_len = match (header.protocol, segments.kind) {
            (ip_number::TCP, SegmentKind::Tcp4 | SegmentKind::Tcp6) => {
                let fixed: &[u8; tcp::LEN] =
                    transport.first_chunk().ok_or(DropReason::Truncated)?;
                usize::from(fixed[tcp::DATA_OFFSET] >> 4) * 4
            }
            (ip_number::UDP, SegmentKind::Udp) => udp::LEN,
            _ => return Err(DropReason::BadTransportHeader),
        };
        let least = if header.protocol == ip_number::TCP {
            tcp::LEN
        } else {
            udp::LEN
        };
        if transport_len < least || transport_len > transport.len() {
            return Err(DropReason::BadTransportHeader);
        }
        Ok(Self {
            packet,
            src: header.src,
            dst: header.dst,
            protocol: header.protocol,
            ip_len: header.payload_at,
            header_len: header.payload_at + transport_len,
            size: usize::from(segments.size.get()),
        })
    }

    /// Bytes of each segment's headers.
    #[must_use]
    pub const fn header_len(&self) -> usize {
        self.header_len
    }

    /// How many segments there are: at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        (self.packet.len() - self.header_len)
            .div_ceil(self.size)
            .max(1)
    }

    /// Whether its last segment ends its sender's half of a TCP connection, which the others do not tell.
    #[must_use]
    pub fn ends_flow(&self) -> bool {
        let flags = self.packet.get(self.ip_len + tcp::FLAGS);
        self.protocol == ip_number::TCP
            && flags.is_some_and(|&flags| TcpFlags::from_bits(flags).contains(TcpFlags::FIN))
    }

    /// What follows the headers in segment number `at`; nothing past the last.
    #[must_use]
    pub fn payload(&self, at: usize) -> &'a [u8] {
        let all = &self.packet[self.header_len..];
        let from = (at * self.size).min(all.len());
        &all[from..(from + self.size).min(all.len())]
    }

    /// Writes the headers of segment number `at`, [`Self::header_len`] bytes, with all checksums.
    ///
    /// # Errors
    /// `TooBig`: `out` is shorter than that.
    pub fn write_header(&self, at: usize, out: &mut [u8]) -> Result<(), DropReason> {
        let header = out.get_mut(..self.header_len).ok_or(DropReason::TooBig)?;
        header.copy_from_slice(&self.packet[..self.header_len]);
        let payload = self.payload(at);
        let is_last = at + 1 >= self.count();
        let (network, transport) = header.split_at_mut(self.ip_len);
        write_lengths(network, transport.len() + payload.len(), at as u16);
        let field = if self.protocol == ip_number::TCP {
            let fixed: &mut [u8; tcp::LEN] = transport
                .first_chunk_mut()
                .ok_or(DropReason::BadTransportHeader)?;
            let ahead = (at * self.size) as u32;
            let seq = be32(fixed, tcp::SEQ).wrapping_add(ahead);
            fixed[tcp::SEQ].copy_from_slice(&seq.to_be_bytes());
            // As in RFC 3168 section 6.1.2 and what every sender's segmentation does.
            let mut flags = fixed[tcp::FLAGS];
            if !is_last {
                flags &= !(TcpFlags::FIN | TcpFlags::PSH).bits();
            }
            if at > 0 {
                flags &= !TcpFlags::CWR.bits();
            }
            fixed[tcp::FLAGS] = flags;
            tcp::CHECKSUM
        } else {
            let length = (transport.len() + payload.len()) as u16;
            transport[udp::LENGTH].copy_from_slice(&length.to_be_bytes());
            udp::CHECKSUM
        };
        transport[field.clone()].fill(0);
        let parts = [&*transport, payload];
        let sum = checksum::of_parts(self.src, self.dst, self.protocol, parts);
        let sum = if sum == 0 && self.protocol == ip_number::UDP {
            0xffff
        } else {
            sum
        };
        transport[field].copy_from_slice(&sum.to_be_bytes());
        Ok(())
    }
}

/// Writes the length of what follows the IP header, the IPv4 identification `ahead` of what is
/// there, and the header's checksum.
fn write_lengths(network: &mut [u8], payload_len: usize, ahead: u16) {
    let whole = (network.len() + payload_len) as u16;
    if let Some(fixed) = network.first_chunk_mut::<{ ipv4::LEN }>()
        && fixed[ipv4::VERSION_IHL] >> 4 == 4
    {
        let id = be16(fixed, ipv4::IDENTIFICATION).wrapping_add(ahead);
        fixed[ipv4::TOTAL_LENGTH].copy_from_slice(&whole.to_be_bytes());
        fixed[ipv4::IDENTIFICATION].copy_from_slice(&id.to_be_bytes());
        fixed[ipv4::CHECKSUM].fill(0);
        let sum = checksum::plain(network);
        network[ipv4::CHECKSUM].copy_from_slice(&sum.to_be_bytes());
    } else {
        let rest = whole - ipv6::LEN as u16;
        network[ipv6::PAYLOAD_LENGTH].copy_from_slice(&rest.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
