//! Segments of one TCP flow that follow each other, as one large packet.

use super::super::layout::{array, be16, be32, ip_number, ipv4, ipv6, tcp};
use super::super::{TcpFlags, checksum, ip};
use super::{MAX_LARGE, Offload, PartialChecksum, SegmentKind, Segments};
use alloc::vec;
use alloc::vec::Vec;
use core::num::NonZeroU16;

/// Payload below which a first segment is not worth a copy, in bytes.
const LEAST_PAYLOAD: usize = 512;

/// Where the parts of a segment are, in bytes from its IP header.
#[derive(Clone, Copy)]
struct Shape {
    transport_at: usize,
    payload_at: usize,
    end: usize,
    seq: u32,
    flags: TcpFlags,
}

impl Shape {
    /// The shape of a segment that can be joined with others: plain headers, no flag but ACK and PSH,
    /// payload, not to be fragmented, and a checksum that is right: nobody checks it any more once
    /// it is part of a larger packet.
    fn of(packet: &[u8]) -> Option<Self> {
        let header = ip::read(packet).ok()?;
        let plain_len = match packet.first()? >> 4 {
            4 => {
                let fixed: &[u8; ipv4::LEN] = packet.first_chunk()?;
                if be16(fixed, ipv4::FLAGS_OFFSET) & ipv4::DONT_FRAGMENT == 0 {
                    return None;
                }
                ipv4::LEN
            }
            _ => ipv6::LEN,
        };
        if header.protocol != ip_number::TCP || header.payload_at != plain_len {
            return None;
        }
        let segment = packet.get(header.payload_at..header.total_len)?;
        let fixed: &[u8; tcp::LEN] = segment.first_chunk()?;
        let header_len = usize::from(fixed[tcp::DATA_OFFSET] >> 4) * 4;
        let flags = TcpFlags::from_bits(fixed[tcp::FLAGS]);
        let others = flags.bits() & !(TcpFlags::ACK | TcpFlags::PSH).bits();
        if header_len < tcp::LEN || header_len >= segment.len() {
            return None;
        }
        if others != 0 || !flags.contains(TcpFlags::ACK) {
            return None;
        }
        if checksum::with_pseudo_header(header.src, header.dst, ip_number::TCP, segment) != 0 {
            return None;
        }
        Some(Self {
            transport_at: header.payload_at,
            payload_at: header.payload_at + header_len,
            end: header.total_len,
            seq: be32(fixed, tcp::SEQ),
            flags,
        })
    }

    const fn payload_len(&self) -> usize {
        self.end - self.payload_at
    }
}

/// A large packet in the making.
///
/// ```text
/// for each packet: if !joined.push(packet) { write joined.take(), clear; if it does not take the
/// packet then either, write that as it is }; in the end write joined.take(), clear
/// ```
pub struct Joined {
    /// The first segment, and the payloads of those after it.
    bytes: Vec<u8>,
    len: usize,
    /// Segments held; 0 if there are none.
    count: u64,
    first: Shape,
    next_seq: u32,
    /// Whether one was shorter than the first or pushed: nothing follows it.
    complete: bool,
}

impl core::fmt::Debug for Joined {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Joined")
            .field("len", &self.len)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl Default for Joined {
    fn default() -> Self {
        Self::new()
    }
}

impl Joined {
    /// Nothing, and room for [`MAX_LARGE`] bytes.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bytes: vec![0; MAX_LARGE],
            len: 0,
            count: 0,
            first: Shape {
                transport_at: 0,
                payload_at: 0,
                end: 0,
                seq: 0,
                flags: TcpFlags::default(),
            },
            next_seq: 0,
            complete: false,
        }
    }

    /// How many packets it holds.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Takes a copy of the packet if it begins a large one or goes on with it.
    pub fn push(&mut self, packet: &[u8]) -> bool {
        let next = if self.complete {
            None
        } else {
            Shape::of(packet)
        };
        let Some(next) = next else {
            return false;
        };
        let payload = &packet[next.payload_at..next.end];
        if self.count == 0 {
            let pushes = next.flags.contains(TcpFlags::PSH);
            if pushes || payload.len() < LEAST_PAYLOAD || next.end > MAX_LARGE {
                return false;
            }
            self.bytes[..next.end].copy_from_slice(&packet[..next.end]);
            self.len = next.end;
            self.first = next;
        } else {
            if !self.goes_on(packet, &next) {
                return false;
            }
            self.bytes[self.len..self.len + payload.len()].copy_from_slice(payload);
            self.len += payload.len();
            if next.flags.contains(TcpFlags::PSH) {
                self.bytes[self.first.transport_at + tcp::FLAGS] |= TcpFlags::PSH.bits();
            }
            self.complete =
                next.flags.contains(TcpFlags::PSH) || payload.len() < self.first.payload_len();
        }
        self.count += 1;
        self.next_seq = next.seq.wrapping_add(payload.len() as u32);
        true
    }

    /// Whether the packet is the next segment of the same flow and says nothing else than the first.
    fn goes_on(&self, packet: &[u8], next: &Shape) -> bool {
        let first = &self.first;
        let fits = next.transport_at == first.transport_at
            && next.payload_at == first.payload_at
            && next.payload_len() <= first.payload_len()
            && self.len + next.payload_len() <= MAX_LARGE;
        fits && next.seq == self.next_seq && {
            let (ours, theirs) = (&self.bytes[..first.payload_at], &packet[..next.payload_at]);
            let (our_ip, our_tcp) = ours.split_at(first.transport_at);
            let (their_ip, their_tcp) = theirs.split_at(next.transport_at);
            same_ip(our_ip, their_ip) && same_tcp(our_tcp, their_tcp)
        }
    }

    /// The packet as it is to be handed to a kernel; `None` if there is none. [`Self::clear`] it
    /// afterwards.
    pub fn take(&mut self) -> Option<(&[u8], Offload)> {
        if self.count == 0 {
            return None;
        }
        let packet = &mut self.bytes[..self.len];
        let size = u16::try_from(self.first.payload_len())
            .ok()
            .and_then(NonZeroU16::new)
            .filter(|_| self.count > 1);
        let Some(size) = size else {
            return Some((packet, Offload::NONE));
        };
        let Shape {
            transport_at,
            payload_at,
            ..
        } = self.first;
        let kind = write_whole(packet, transport_at);
        let offload = Offload {
            checksum: Some(PartialChecksum {
                start: transport_at as u16,
                offset: tcp::CHECKSUM.start as u16,
            }),
            segments: Some(Segments {
                kind,
                size,
                header_len: payload_at as u16,
            }),
        };
        Some((packet, offload))
    }

    /// Forgets the packet.
    pub fn clear(&mut self) {
        self.len = 0;
        self.count = 0;
        self.complete = false;
    }
}

/// Writes the lengths of a whole large packet and its partial checksum.
fn write_whole(packet: &mut [u8], transport_at: usize) -> SegmentKind {
    let total = packet.len();
    let kind = if packet[0] >> 4 == 4 {
        packet[ipv4::TOTAL_LENGTH].copy_from_slice(&(total as u16).to_be_bytes());
        packet[ipv4::CHECKSUM].fill(0);
        let sum = checksum::plain(&packet[..transport_at]);
        packet[ipv4::CHECKSUM].copy_from_slice(&sum.to_be_bytes());
        SegmentKind::Tcp4
    } else {
        let rest = (total - ipv6::LEN) as u16;
        packet[ipv6::PAYLOAD_LENGTH].copy_from_slice(&rest.to_be_bytes());
        SegmentKind::Tcp6
    };
    // It was read when the first segment came; its lengths have just been made right.
    if let Ok(header) = ip::read(packet) {
        let len = total - transport_at;
        let sum = checksum::partial(header.src, header.dst, ip_number::TCP, len);
        let field = transport_at + tcp::CHECKSUM.start..transport_at + tcp::CHECKSUM.end;
        packet[field].copy_from_slice(&sum.to_be_bytes());
    }
    kind
}

/// Whether two IP headers differ in lengths, identification and checksum only.
fn same_ip(a: &[u8], b: &[u8]) -> bool {
    match (
        a.first_chunk::<{ ipv4::LEN }>(),
        b.first_chunk::<{ ipv4::LEN }>(),
    ) {
        (Some(v4_a), Some(v4_b)) if a.len() == ipv4::LEN => {
            let kept = |h: &[u8; ipv4::LEN]| {
                (
                    array::<{ ipv4::LEN }, 2>(h, ipv4::VERSION_IHL..ipv4::DSCP_ECN + 1),
                    array::<{ ipv4::LEN }, 4>(h, ipv4::FLAGS_OFFSET.start..ipv4::PROTOCOL + 1),
                    array::<{ ipv4::LEN }, 8>(h, ipv4::SRC.start..ipv4::DST.end),
                )
            };
            kept(v4_a) == kept(v4_b)
        }
        _ => {
            let (length, rest) = (ipv6::PAYLOAD_LENGTH, ipv6::PAYLOAD_LENGTH.end);
            a.len() == b.len() && a[..length.start] == b[..length.start] && a[rest..] == b[rest..]
        }
    }
}

/// Whether two TCP headers differ in sequence number, checksum and PSH only.
fn same_tcp(a: &[u8], b: &[u8]) -> bool {
    let unpushed = |h: &[u8]| h[tcp::FLAGS] & !TcpFlags::PSH.bits();
    let ranges = [
        tcp::SRC_PORT.start..tcp::DST_PORT.end,
        tcp::ACK.start..tcp::DATA_OFFSET + 1,
        tcp::WINDOW,
        tcp::URGENT.start..a.len(),
    ];
    a.len() == b.len()
        && unpushed(a) == unpushed(b)
        && ranges.into_iter().all(|range| a[range.clone()] == b[range])
}
