//! Answers to clients whose flow no host takes: TCP resets and ICMP errors.

use super::ip::{ANSWER_HOP_LIMIT, is_single_host};
use super::layout::{icmp, ip_number, ipv4, ipv6};
use super::{Packet, TcpFlags, Transport, checksum, parse};
use crate::buffer::PacketBuf;
use crate::drop_reason::DropReason;
use core::net::IpAddr;
use etherparse::{
    Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpNumber, Ipv4Header, Ipv6FlowLabel,
    Ipv6Header, TcpHeader, icmpv4, icmpv6,
};

/// RFC 1812 section 4.3.2.3: an ICMP error is at most this long, so that it needs no fragments.
const MAX_ICMPV4_ERROR: usize = 576;

/// RFC 4443 section 2.4 (c): an ICMPv6 error is at most the minimum IPv6 MTU long.
const MAX_ICMPV6_ERROR: usize = 1280;

/// Writes into `out` the TCP reset that answers `original`, a client's segment to a VIP: what
/// RFC 9293 section 3.10.7.1 says for a connection that does not exist. The buffer is changed only
/// on success.
///
/// # Errors
/// - What [`parse`] says of `original`.
/// - `Refused`: a reset, which is never answered.
/// - `IcmpIgnored`: an ICMP message, which is never answered with a reset.
/// - `BadTransportHeader`: another protocol than TCP.
/// - `BadIpHeader`: source or destination is no single host's address.
pub fn write_reset(original: &[u8], out: &mut PacketBuf) -> Result<(), DropReason> {
    let packet = parse(original)?;
    let Transport::Tcp {
        src_port,
        dst_port,
        seq,
        ack,
        flags,
        payload_len,
        ..
    } = packet.transport
    else {
        return Err(match packet.transport {
            Transport::IcmpError { .. } | Transport::EchoRequest | Transport::OtherIcmp => {
                DropReason::IcmpIgnored
            }
            _ => DropReason::BadTransportHeader,
        });
    };
    refuse_unanswerable(&packet)?;
    let mut reset = TcpHeader::new(dst_port, src_port, 0, 0);
    reset.rst = true;
    if flags.contains(TcpFlags::ACK) {
        // "If the ACK bit is on, <SEQ=SEG.ACK><CTL=RST>"
        reset.sequence_number = ack;
    } else {
        // "If the ACK bit is off, sequence number zero is used,
        // <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>"; SYN and FIN have a length of one each.
        let syn_fin =
            u32::from(flags.contains(TcpFlags::SYN)) + u32::from(flags.contains(TcpFlags::FIN));
        let payload_len = u32::try_from(payload_len).map_err(|_| DropReason::TooBig)?;
        reset.ack = true;
        reset.acknowledgment_number = seq.wrapping_add(payload_len).wrapping_add(syn_fin);
    }
    reset.checksum =
        checksum::with_pseudo_header(packet.dst, packet.src, ip_number::TCP, &reset.to_bytes());
    write_reply(&packet, ip_number::TCP, &reset.to_bytes(), &[], out)
}

/// Writes into `out` the ICMP error that answers `original`, a client's TCP or UDP packet to a VIP:
/// destination unreachable, port unreachable (ICMP 3/3, at most 576 bytes; ICMPv6 1/4, at most
/// 1,280). The buffer is changed only on success.
///
/// # Errors
/// - What [`parse`] says of `original`.
/// - `Refused`: a TCP reset, which is never answered.
/// - `IcmpIgnored`: an ICMP message; RFC 1122 section 3.2.2 forbids errors about errors.
/// - `NoService`: a protocol without ports.
/// - `BadIpHeader`: source or destination is no single host's address.
pub fn write_unreachable(original: &[u8], out: &mut PacketBuf) -> Result<(), DropReason> {
    let packet = parse(original)?;
    match packet.transport {
        Transport::Tcp { .. } | Transport::Udp { .. } => refuse_unanswerable(&packet)?,
        Transport::IcmpError { .. } | Transport::EchoRequest | Transport::OtherIcmp => {
            return Err(DropReason::IcmpIgnored);
        }
        Transport::Other(_) => return Err(DropReason::NoService),
    }
    let quote_up_to = |max: usize| {
        original
            .get(..packet.total_len.min(max))
            .ok_or(DropReason::Truncated)
    };
    match (packet.dst, packet.src) {
        (IpAddr::V6(vip), IpAddr::V6(client)) => {
            let quote = quote_up_to(MAX_ICMPV6_ERROR - ipv6::LEN - icmp::LEN)?;
            let kind = Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Port);
            let header = Icmpv6Header::with_checksum(kind, vip.octets(), client.octets(), quote)
                .map_err(|_| DropReason::TooBig)?;
            write_reply(&packet, ip_number::ICMPV6, &header.to_bytes(), quote, out)
        }
        _ => {
            let quote = quote_up_to(MAX_ICMPV4_ERROR - ipv4::LEN - icmp::LEN)?;
            let kind = Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Port);
            let header = Icmpv4Header::with_checksum(kind, quote);
            write_reply(&packet, ip_number::ICMPV4, &header.to_bytes(), quote, out)
        }
    }
}

/// Whether no answer of any kind may go to the packet's sender.
fn refuse_unanswerable(packet: &Packet) -> Result<(), DropReason> {
    if !is_single_host(packet.src) || !is_single_host(packet.dst) {
        return Err(DropReason::BadIpHeader);
    }
    match packet.transport {
        Transport::Tcp { flags, .. } if flags.contains(TcpFlags::RST) => Err(DropReason::Refused),
        _ => Ok(()),
    }
}

/// Writes into `out` an IP packet from the destination of `packet` back to its source.
fn write_reply(
    packet: &Packet,
    protocol: u8,
    header: &[u8],
    payload: &[u8],
    out: &mut PacketBuf,
) -> Result<(), DropReason> {
    write_ip(packet.dst, packet.src, protocol, header, payload, out)
}

/// Writes into `out` an IP packet between these two.
pub(super) fn write_ip(
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    header: &[u8],
    payload: &[u8],
    out: &mut PacketBuf,
) -> Result<(), DropReason> {
    let payload_len =
        u16::try_from(header.len() + payload.len()).map_err(|_| DropReason::TooBig)?;
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut ip = Ipv4Header::new(
                payload_len,
                ANSWER_HOP_LIMIT,
                IpNumber(protocol),
                from.octets(),
                to.octets(),
            )
            .map_err(|_| DropReason::TooBig)?;
            ip.header_checksum = ip.calc_header_checksum();
            write_parts([&ip.to_bytes(), header, payload], out)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let ip = Ipv6Header {
                traffic_class: 0,
                flow_label: Ipv6FlowLabel::ZERO,
                payload_length: payload_len,
                next_header: IpNumber(protocol),
                hop_limit: ANSWER_HOP_LIMIT,
                source: from.octets(),
                destination: to.octets(),
            };
            write_parts([&ip.to_bytes(), header, payload], out)
        }
        _ => Err(DropReason::BadIpHeader),
    }
}

/// Fills `out` with the parts, one behind the other.
fn write_parts(parts: [&[u8]; 3], out: &mut PacketBuf) -> Result<(), DropReason> {
    let mut bytes = [0; MAX_ICMPV6_ERROR];
    let mut len = 0;
    for part in parts {
        let end = len + part.len();
        bytes
            .get_mut(len..end)
            .ok_or(DropReason::TooBig)?
            .copy_from_slice(part);
        len = end;
    }
    let packet = bytes.get(..len).ok_or(DropReason::TooBig)?;
    out.fill(packet);
    Ok(())
}
