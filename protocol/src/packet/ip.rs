//! The IP header, of a whole packet or of one that an ICMP error quotes.

use super::layout::{array, be16, extension, ip_number, ipv4, ipv6};
use crate::drop_reason::DropReason;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The most IPv6 extension headers that are read through before the transport header. RFC 8200
/// section 4.1 lists each of the four kinds once, and destination options twice: five.
pub const MAX_EXTENSION_HEADERS: usize = 8;

/// Time to live, or hop limit, of packets that are made here: the default of RFC 1700.
pub(super) const ANSWER_HOP_LIMIT: u8 = 64;

/// An IP header with its options or extension headers.
#[derive(Clone, Copy, Debug)]
pub(super) struct IpHeader {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    /// IP number of what follows.
    pub(super) protocol: u8,
    /// Where it begins; never past `total_len`.
    pub(super) payload_at: usize,
    /// Where the packet ends; never past the bytes.
    pub(super) total_len: usize,
    pub(super) dscp_ecn: u8,
    pub(super) hop_limit: u8,
}

/// How much of a packet the bytes are to hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// All of it, and it is no fragment.
    Whole,
    /// Its beginning: the length field counts for nothing, and a first fragment will do.
    Quote,
}

/// Reads the header of a whole packet.
#[inline(always)]
pub(super) fn read(bytes: &[u8]) -> Result<IpHeader, DropReason> {
    read_as(bytes, Extent::Whole)
}

/// Reads the header of a packet of which an ICMP error quotes the beginning. All bytes there are
/// count as the packet, whatever its length field says.
pub(super) fn read_quoted(bytes: &[u8]) -> Result<IpHeader, DropReason> {
    read_as(bytes, Extent::Quote)
}

#[inline(always)]
fn read_as(bytes: &[u8], extent: Extent) -> Result<IpHeader, DropReason> {
    match bytes.first().ok_or(DropReason::Truncated)? >> 4 {
        4 => read_ipv4(bytes, extent),
        6 => read_ipv6(bytes, extent),
        _ => Err(DropReason::NotIp),
    }
}

#[inline(always)]
fn read_ipv4(bytes: &[u8], extent: Extent) -> Result<IpHeader, DropReason> {
    let header: &[u8; ipv4::LEN] = bytes.first_chunk().ok_or(DropReason::Truncated)?;
    let payload_at = usize::from(header[ipv4::VERSION_IHL] & 0x0f) * 4;
    if payload_at < ipv4::LEN {
        return Err(DropReason::BadIpHeader);
    }
    let total_len = match extent {
        Extent::Whole => usize::from(be16(header, ipv4::TOTAL_LENGTH)),
        Extent::Quote => bytes.len(),
    };
    if extent == Extent::Whole && total_len < payload_at {
        return Err(DropReason::BadIpHeader);
    }
    if total_len > bytes.len() || payload_at > total_len {
        return Err(DropReason::Truncated);
    }
    let fragment = match extent {
        Extent::Whole => ipv4::MORE_FRAGMENTS | ipv4::OFFSET,
        Extent::Quote => ipv4::OFFSET,
    };
    if be16(header, ipv4::FLAGS_OFFSET) & fragment != 0 {
        return Err(DropReason::Fragment);
    }
    Ok(IpHeader {
        src: Ipv4Addr::from(array::<{ ipv4::LEN }, 4>(header, ipv4::SRC)).into(),
        dst: Ipv4Addr::from(array::<{ ipv4::LEN }, 4>(header, ipv4::DST)).into(),
        protocol: header[ipv4::PROTOCOL],
        payload_at,
        total_len,
        dscp_ecn: header[ipv4::DSCP_ECN],
        hop_limit: header[ipv4::TTL],
    })
}

fn read_ipv6(bytes: &[u8], extent: Extent) -> Result<IpHeader, DropReason> {
    let header: &[u8; ipv6::LEN] = bytes.first_chunk().ok_or(DropReason::Truncated)?;
    let total_len = match extent {
        Extent::Whole => ipv6::LEN + usize::from(be16(header, ipv6::PAYLOAD_LENGTH)),
        Extent::Quote => bytes.len(),
    };
    let packet = bytes.get(..total_len).ok_or(DropReason::Truncated)?;
    let src = Ipv6Addr::from(array::<{ ipv6::LEN }, 16>(header, ipv6::SRC));
    let dst = Ipv6Addr::from(array::<{ ipv6::LEN }, 16>(header, ipv6::DST));
    // A flow key holds IPv4 clients as mapped addresses: none may come in as such.
    if src.to_ipv4_mapped().is_some() || dst.to_ipv4_mapped().is_some() {
        return Err(DropReason::BadIpHeader);
    }
    let (protocol, payload_at) = skip_extensions(packet, header[ipv6::NEXT_HEADER], extent)?;
    // The traffic class lies across the first two bytes, between version and flow label.
    let [_, dscp_ecn] = (be16(header, ipv6::VERSION_CLASS) >> 4).to_be_bytes();
    Ok(IpHeader {
        src: src.into(),
        dst: dst.into(),
        protocol,
        payload_at,
        total_len,
        dscp_ecn,
        hop_limit: header[ipv6::HOP_LIMIT],
    })
}

/// IP number and place of the first header that is not an extension header. AH and ESP end the
/// chain: behind them nothing is readable without the key.
fn skip_extensions(
    packet: &[u8],
    next_header: u8,
    extent: Extent,
) -> Result<(u8, usize), DropReason> {
    let mut protocol = next_header;
    let mut at = ipv6::LEN;
    for _ in 0..=MAX_EXTENSION_HEADERS {
        let is_extension = matches!(
            protocol,
            ip_number::HOP_BY_HOP
                | ip_number::ROUTING
                | ip_number::FRAGMENT
                | ip_number::DESTINATION_OPTIONS
        );
        let rest = packet.get(at..).ok_or(DropReason::Truncated)?;
        if !is_extension {
            return Ok((protocol, at));
        }
        let header: &[u8; extension::UNIT] = rest.first_chunk().ok_or(DropReason::Truncated)?;
        let mut len = extension::UNIT * (1 + usize::from(header[extension::LENGTH]));
        match protocol {
            // RFC 8200 section 4.1: hop-by-hop options stand "immediately after an IPv6 header only".
            ip_number::HOP_BY_HOP if at != ipv6::LEN => return Err(DropReason::BadIpHeader),
            // The destination is not the packet's last, so its address is not the flow's.
            ip_number::ROUTING if header[extension::SEGMENTS_LEFT] != 0 => {
                return Err(DropReason::BadIpHeader);
            }
            ip_number::FRAGMENT => {
                len = extension::UNIT;
                let fragment = match extent {
                    Extent::Whole => extension::MORE_FRAGMENTS | extension::OFFSET,
                    Extent::Quote => extension::OFFSET,
                };
                if be16(header, extension::FRAGMENT_OFFSET) & fragment != 0 {
                    return Err(DropReason::Fragment);
                }
            }
            _ => {}
        }
        protocol = header[extension::NEXT_HEADER];
        at += len;
    }
    Err(DropReason::BadIpHeader)
}

/// Whether the address can be that of one host, so that an answer from or to it makes sense: RFC
/// 1122 section 3.2.2 and RFC 4443 section 2.4 (e) forbid answers to all others.
pub(super) fn is_single_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let this_network = v4.octets()[0] == 0;
            !(this_network || v4.is_loopback() || v4.is_multicast() || v4.is_broadcast())
        }
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_loopback() || v6.is_multicast()),
    }
}
