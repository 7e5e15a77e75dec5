//! The header that goes with each packet of a device that offloads (`virtio_net_hdr`, VIRTIO 1.2
//! section 5.1.6, in the machine's byte order).

use jlb_protocol::packet::offload::{Offload, PartialChecksum, SegmentKind, Segments};
use std::io;
use std::num::NonZeroU16;

/// Bytes of the header.
pub(super) const LEN: usize = 10;

const NEEDS_CSUM: u8 = 1;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
/// With TCP: the first segment alone carries CWR. Nothing else is to be done about it.
const GSO_ECN: u8 = 0x80;

/// What the kernel says of a packet that it hands over.
pub(super) fn read(header: [u8; LEN]) -> io::Result<Offload> {
    let [flags, kind, rest @ ..] = header;
    let [header_len, size, start, offset] = [0, 2, 4, 6].map(|at| {
        let field = rest.get(at..at + 2).and_then(|two| two.try_into().ok());
        u16::from_ne_bytes(field.unwrap_or_default())
    });
    let checksum = (flags & NEEDS_CSUM != 0).then_some(PartialChecksum { start, offset });
    let kind = match kind & !GSO_ECN {
        GSO_NONE => None,
        GSO_TCPV4 => Some(SegmentKind::Tcp4),
        GSO_TCPV6 => Some(SegmentKind::Tcp6),
        GSO_UDP_L4 => Some(SegmentKind::Udp),
        other => {
            let what = format!("the device hands over segments of kind {other}, never asked for");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
    };
    let segments = kind
        .zip(NonZeroU16::new(size))
        .map(|(kind, size)| Segments {
            kind,
            size,
            header_len,
        });
    Ok(Offload { checksum, segments })
}

/// The same for a packet that the kernel is handed.
pub(super) fn write(offload: &Offload) -> [u8; LEN] {
    let (kind, size, header_len) = match offload.segments {
        None => (GSO_NONE, 0, 0),
        Some(Segments {
            kind,
            size,
            header_len,
        }) => {
            let kind = match kind {
                SegmentKind::Tcp4 => GSO_TCPV4,
                SegmentKind::Tcp6 => GSO_TCPV6,
                SegmentKind::Udp => GSO_UDP_L4,
            };
            (kind, size.get(), header_len)
        }
    };
    let (flags, start, offset) = match offload.checksum {
        None => (0, 0, 0),
        Some(PartialChecksum { start, offset }) => (NEEDS_CSUM, start, offset),
    };
    let mut header = [0; LEN];
    header[..2].copy_from_slice(&[flags, kind]);
    for (to, field) in header[2..]
        .chunks_exact_mut(2)
        .zip([header_len, size, start, offset])
    {
        to.copy_from_slice(&field.to_ne_bytes());
    }
    header
}

#[cfg(test)]
mod tests;
