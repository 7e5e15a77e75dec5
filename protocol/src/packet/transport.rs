//! What follows the IP header.

use super::layout::{be16, be32, icmp, icmpv4_type, icmpv6_type, ip_number, tcp, udp};
use super::{Quoted, TcpFlags, Transport, ip};
use crate::drop_reason::DropReason;
use crate::number::Protocol;
use core::net::IpAddr;

/// Reads the transport header of a whole packet.
#[inline(always)]
pub(super) fn read(bytes: &[u8], header: &ip::IpHeader) -> Result<Transport, DropReason> {
    let payload = bytes
        .get(header.payload_at..header.total_len)
        .ok_or(DropReason::Truncated)?;
    match (header.protocol, header.dst) {
        (ip_number::TCP, _) => read_tcp(payload),
        (ip_number::UDP, _) => read_udp(payload),
        (ip_number::ICMPV4, IpAddr::V4(_)) => read_icmp(payload, header.dst),
        (ip_number::ICMPV6, IpAddr::V6(_)) => read_icmp(payload, header.dst),
        (other, _) => Ok(Transport::Other(other)),
    }
}

#[inline(always)]
fn read_tcp(segment: &[u8]) -> Result<Transport, DropReason> {
    let header: &[u8; tcp::LEN] = segment.first_chunk().ok_or(DropReason::Truncated)?;
    let header_len = usize::from(header[tcp::DATA_OFFSET] >> 4) * 4;
    if header_len < tcp::LEN {
        return Err(DropReason::BadTransportHeader);
    }
    let payload_len = segment
        .len()
        .checked_sub(header_len)
        .ok_or(DropReason::Truncated)?;
    Ok(Transport::Tcp {
        src_port: be16(header, tcp::SRC_PORT),
        dst_port: be16(header, tcp::DST_PORT),
        seq: be32(header, tcp::SEQ),
        ack: be32(header, tcp::ACK),
        flags: TcpFlags::from_bits(header[tcp::FLAGS]),
        header_len,
        payload_len,
    })
}

#[inline(always)]
fn read_udp(datagram: &[u8]) -> Result<Transport, DropReason> {
    let header: &[u8; udp::LEN] = datagram.first_chunk().ok_or(DropReason::Truncated)?;
    let length = usize::from(be16(header, udp::LENGTH));
    if length < udp::LEN || length > datagram.len() {
        return Err(DropReason::BadTransportHeader);
    }
    Ok(Transport::Udp {
        src_port: be16(header, udp::SRC_PORT),
        dst_port: be16(header, udp::DST_PORT),
    })
}

fn read_icmp(message: &[u8], addressee: IpAddr) -> Result<Transport, DropReason> {
    let header: &[u8; icmp::LEN] = message.first_chunk().ok_or(DropReason::Truncated)?;
    let kind = header[icmp::TYPE];
    let (is_echo_request, is_error) = match addressee {
        IpAddr::V4(_) => (
            kind == icmpv4_type::ECHO_REQUEST,
            matches!(
                kind,
                icmpv4_type::UNREACHABLE
                    | icmpv4_type::TIME_EXCEEDED
                    | icmpv4_type::PARAMETER_PROBLEM
            ),
        ),
        IpAddr::V6(_) => (
            kind == icmpv6_type::ECHO_REQUEST,
            matches!(
                kind,
                icmpv6_type::UNREACHABLE
                    | icmpv6_type::PACKET_TOO_BIG
                    | icmpv6_type::TIME_EXCEEDED
                    | icmpv6_type::PARAMETER_PROBLEM
            ),
        ),
    };
    if is_echo_request && header[icmp::CODE] == 0 {
        return Ok(Transport::EchoRequest);
    }
    if !is_error {
        return Ok(Transport::OtherIcmp);
    }
    let quote = message.get(icmp::LEN..).unwrap_or_default();
    Ok(match read_quoted(quote, addressee) {
        Some(quoted) => Transport::IcmpError { quoted },
        None => Transport::OtherIcmp,
    })
}

/// The flow that an ICMP error quotes. An error goes to the sender of what it is about, so a quote
/// of another sender's packet is forged and names no flow.
fn read_quoted(quote: &[u8], addressee: IpAddr) -> Option<Quoted> {
    /// RFC 792 lets an error quote only these of the transport header: ports, and TCP's sequence
    /// number.
    const LEN: usize = 8;
    let header = ip::read_quoted(quote).ok()?;
    if header.src != addressee {
        return None;
    }
    let transport: &[u8; LEN] = quote.get(header.payload_at..)?.first_chunk()?;
    let (protocol, ports, seq) = match header.protocol {
        ip_number::TCP => (
            Protocol::Tcp,
            (tcp::SRC_PORT, tcp::DST_PORT),
            be32(transport, tcp::SEQ),
        ),
        ip_number::UDP => (Protocol::Udp, (udp::SRC_PORT, udp::DST_PORT), 0),
        _ => return None,
    };
    Some(Quoted {
        src: header.src,
        dst: header.dst,
        protocol,
        src_port: be16(transport, ports.0),
        dst_port: be16(transport, ports.1),
        seq,
    })
}
