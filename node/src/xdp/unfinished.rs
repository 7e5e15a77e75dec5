//! Checksums that a sender has left to the device.
//!
//! Behind a virtual cable there is no such device: the packet comes with the sum of its pseudo-header
//! where the checksum belongs, and an `AF_XDP` socket does not tell which packets these are.

use jlb_protocol::packet::checksum;
use std::net::IpAddr;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Finishes the checksum of a TCP segment or UDP datagram that has the pseudo-header's sum in its
/// place, and says whether it did. Fragments, and packets with IPv6 extension headers, are left as
/// they are; so is a checksum that is right, though it looks unfinished.
pub(crate) fn finish(packet: &mut [u8]) -> bool {
    let Some(transport) = Transport::of(packet) else {
        return false;
    };
    let bytes = &mut packet[transport.start..transport.end];
    let Some(field) = bytes.get(transport.field..transport.field + 2) else {
        return false;
    };
    if u16::from_be_bytes([field[0], field[1]]) != transport.pseudo {
        return false;
    }
    let (from, to, protocol) = (transport.from, transport.to, transport.protocol);
    if checksum::with_pseudo_header(from, to, protocol, bytes) == 0 {
        return false;
    }
    bytes[transport.field..transport.field + 2].fill(0);
    let sum = match checksum::with_pseudo_header(from, to, protocol, bytes) {
        0 if protocol == UDP => 0xffff,
        sum => sum,
    };
    bytes[transport.field..transport.field + 2].copy_from_slice(&sum.to_be_bytes());
    true
}

struct Transport {
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    start: usize,
    end: usize,
    /// Where the checksum is, from `start`.
    field: usize,
    /// The folded sum of the pseudo-header.
    pseudo: u16,
}

impl Transport {
    fn of(packet: &[u8]) -> Option<Self> {
        let (from, to, protocol, start, end): (IpAddr, IpAddr, _, _, _) = match packet.first()? >> 4
        {
            4 => {
                let header: &[u8; 20] = packet.first_chunk()?;
                let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff;
                if fragment != 0 {
                    return None;
                }
                let [from, to] =
                    [12, 16].map(|at| [header[at], header[at + 1], header[at + 2], header[at + 3]]);
                let start = usize::from(header[0] & 0x0f) * 4;
                let end = usize::from(u16::from_be_bytes([header[2], header[3]]));
                (from.into(), to.into(), header[9], start, end)
            }
            6 => {
                let header: &[u8; 40] = packet.first_chunk()?;
                let from: [u8; 16] = *header[8..].first_chunk()?;
                let to: [u8; 16] = *header[24..].first_chunk()?;
                let end = 40 + usize::from(u16::from_be_bytes([header[4], header[5]]));
                (from.into(), to.into(), header[6], 40, end)
            }
            _ => return None,
        };
        let field = match protocol {
            TCP => 16,
            UDP => 6,
            _ => return None,
        };
        let len = packet.get(start..end)?.len();
        Some(Self {
            pseudo: checksum::partial(from, to, protocol, len),
            from,
            to,
            protocol,
            start,
            end,
            field,
        })
    }
}

#[cfg(test)]
mod tests;
