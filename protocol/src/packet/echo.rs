//! The answer to a ping of a VIP.

use super::ip::{self, ANSWER_HOP_LIMIT, is_single_host};
use super::layout::{icmp, icmpv4_type, icmpv6_type, ip_number, ipv4, ipv6};
use super::{Transport, checksum, transport};
use crate::buffer::Buffer;
use crate::drop_reason::DropReason;
use core::net::IpAddr;

/// Turns the echo request in `buf` into its reply (RFC 792, RFC 4443 section 4.2), in place.
///
/// The reply has the request's identifier, sequence number, data and traffic class. IPv4 options,
/// IPv6 extension headers and bytes past the packet's end are left off. The buffer is changed only
/// on success.
///
/// # Errors
/// - What [`parse`](super::parse) says of the packet.
/// - `IcmpIgnored`: no echo request.
/// - `BadIpHeader`: source or destination is no single host's address.
/// - `BadTransportHeader`: the ICMP checksum is wrong: the reply's would be right, and hide from
///   the sender that its data was damaged on the way. (No device leaves this checksum to offload.)
pub fn answer_echo(buf: &mut impl Buffer) -> Result<(), DropReason> {
    let bytes = buf.as_mut_slice();
    let header = ip::read(bytes)?;
    if transport::read(bytes, &header)? != Transport::EchoRequest {
        return Err(DropReason::IcmpIgnored);
    }
    if !is_single_host(header.src) || !is_single_host(header.dst) {
        return Err(DropReason::BadIpHeader);
    }
    let request = bytes
        .get(header.payload_at..header.total_len)
        .ok_or(DropReason::Truncated)?;
    if message_checksum(&header, request) != 0 {
        return Err(DropReason::BadTransportHeader);
    }
    let message_len = request.len();
    let message_len_field = u16::try_from(message_len).map_err(|_| DropReason::TooBig)?;
    let plain_len = match header.dst {
        IpAddr::V4(_) => ipv4::LEN,
        IpAddr::V6(_) => ipv6::LEN,
    };

    // Whatever is left off goes to the front, from where the buffer can give it up: what stands
    // behind the packet, and between its header and its payload.
    let message_at = bytes.len() - message_len;
    let reply_at = message_at - plain_len;
    bytes.copy_within(header.payload_at..header.total_len, message_at);
    bytes.copy_within(..plain_len, reply_at);
    let (_, reply) = bytes.split_at_mut(reply_at);
    let (plain, message) = reply.split_at_mut(plain_len);

    match header.dst {
        IpAddr::V4(_) => {
            let total_len = message_len_field.saturating_add(ipv4::LEN as u16);
            plain[ipv4::VERSION_IHL] = ipv4::PLAIN;
            plain[ipv4::TOTAL_LENGTH].copy_from_slice(&total_len.to_be_bytes());
            plain[ipv4::TTL] = ANSWER_HOP_LIMIT;
            plain[ipv4::SRC.start..ipv4::DST.end].rotate_left(ipv4::SRC.len());
            plain[ipv4::CHECKSUM].fill(0);
            let sum = checksum::plain(plain);
            plain[ipv4::CHECKSUM].copy_from_slice(&sum.to_be_bytes());
            message[icmp::TYPE] = icmpv4_type::ECHO_REPLY;
        }
        IpAddr::V6(_) => {
            plain[ipv6::PAYLOAD_LENGTH].copy_from_slice(&message_len_field.to_be_bytes());
            plain[ipv6::NEXT_HEADER] = ip_number::ICMPV6;
            plain[ipv6::HOP_LIMIT] = ANSWER_HOP_LIMIT;
            plain[ipv6::SRC.start..ipv6::DST.end].rotate_left(ipv6::SRC.len());
            message[icmp::TYPE] = icmpv6_type::ECHO_REPLY;
        }
    }
    message[icmp::CHECKSUM].fill(0);
    let sum = message_checksum(&header, message);
    message[icmp::CHECKSUM].copy_from_slice(&sum.to_be_bytes());
    buf.strip(reply_at);
    Ok(())
}

/// The checksum of an ICMP message; a pseudo-header's sum is the same in both directions.
fn message_checksum(header: &ip::IpHeader, message: &[u8]) -> u16 {
    match header.dst {
        IpAddr::V4(_) => checksum::plain(message),
        IpAddr::V6(_) => {
            checksum::with_pseudo_header(header.src, header.dst, ip_number::ICMPV6, message)
        }
    }
}
