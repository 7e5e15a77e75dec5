//! The packets that nearly all packets are, read in one go: TCP segments and UDP datagrams behind an IP header
//! without options, fragments and extension headers.

use super::layout::{array, be16, be32, ip_number, ipv4, ipv6, tcp, udp};
use super::{Packet, TcpFlags, Transport};
use crate::flow::FlowKey;
use crate::message::Intent;
use crate::number::{Protocol, ServiceNumber};
use core::net::{Ipv4Addr, Ipv6Addr};

/// What decides where a plain packet goes. Addresses are the numbers of IPv6 addresses, IPv4 ones mapped (RFC
/// 4291 section 2.5.5.2), as in a flow key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plain {
    client: u128,
    /// The destination.
    pub vip: u128,
    /// The protocol.
    pub protocol: Protocol,
    client_port: u16,
    /// The destination port.
    pub vip_port: u16,
    /// TCP's flags; none of UDP.
    pub flags: TcpFlags,
    /// TCP's sequence number; 0 of UDP.
    pub seq: u32,
    /// Length in bytes that the IP header says; bytes past it are not part of the packet.
    pub total_len: usize,
}

impl Plain {
    /// The same behind an IP header.
    #[inline]
    const fn behind(mut self, header: usize) -> Self {
        self.total_len += header;
        self
    }

    /// The flow that it belongs to.
    #[must_use]
    #[inline]
    pub const fn flow_key(&self, service: ServiceNumber) -> FlowKey {
        FlowKey::of_mapped(self.client, self.client_port, service, self.vip_port)
    }

    /// All that [`super::parse`] reads of the packet, whose bytes these are.
    #[must_use]
    #[inline]
    pub fn packet(&self, bytes: &[u8]) -> Option<Packet> {
        let is_ipv4 = *bytes.first()? == ipv4::PLAIN;
        let (src, dst, payload_at, dscp_ecn, hop_limit) = if is_ipv4 {
            let header: &[u8; ipv4::LEN] = bytes.first_chunk()?;
            let [src, dst] =
                [self.client, self.vip].map(|it| Ipv4Addr::from_bits(it as u32).into());
            let (class, hops) = (header[ipv4::DSCP_ECN], header[ipv4::TTL]);
            (src, dst, ipv4::LEN, class, hops)
        } else {
            let header: &[u8; ipv6::LEN] = bytes.first_chunk()?;
            let [src, dst] = [self.client, self.vip].map(|it| Ipv6Addr::from_bits(it).into());
            let class = (be16(header, ipv6::VERSION_CLASS) >> 4) as u8;
            (src, dst, ipv6::LEN, class, header[ipv6::HOP_LIMIT])
        };
        let (src_port, dst_port) = (self.client_port, self.vip_port);
        let transport = match self.protocol {
            Protocol::Tcp => {
                let header: &[u8; tcp::LEN] = bytes.get(payload_at..)?.first_chunk()?;
                let header_len = usize::from(header[tcp::DATA_OFFSET] >> 4) * 4;
                Transport::Tcp {
                    src_port,
                    dst_port,
                    seq: self.seq,
                    ack: be32(header, tcp::ACK),
                    flags: self.flags,
                    header_len,
                    payload_len: self.total_len.checked_sub(payload_at + header_len)?,
                }
            }
            Protocol::Udp => Transport::Udp { src_port, dst_port },
        };
        Some(Packet {
            src,
            dst,
            transport,
            total_len: self.total_len,
            dscp_ecn,
            hop_limit,
        })
    }

    /// What it asks for when it travels in an Open: [`super::Packet::intent`].
    #[must_use]
    #[inline]
    pub const fn intent(&self) -> Intent {
        match self.protocol {
            Protocol::Tcp if self.flags.opens() => Intent::Syn,
            Protocol::Tcp => Intent::MidFlow,
            Protocol::Udp => Intent::Datagram,
        }
    }
}

/// Reads the packet that `bytes` begin with, if it is plain and nothing is wrong with it: what this gives,
/// [`super::parse`] gives too. `None` says nothing of the packet.
#[must_use]
#[inline]
pub fn read_plain(bytes: &[u8]) -> Option<Plain> {
    match *bytes.first()? {
        ipv4::PLAIN => read_ipv4(bytes),
        0x60..=0x6f => read_ipv6(bytes),
        _ => None,
    }
}

#[inline]
fn read_ipv4(bytes: &[u8]) -> Option<Plain> {
    let (header, rest) = bytes.split_first_chunk::<{ ipv4::LEN }>()?;
    let len = usize::from(be16(header, ipv4::TOTAL_LENGTH)).checked_sub(ipv4::LEN)?;
    let fragment = ipv4::MORE_FRAGMENTS | ipv4::OFFSET;
    if be16(header, ipv4::FLAGS_OFFSET) & fragment != 0 {
        return None;
    }
    let mapped = |field| u128::from(0xffff_0000_0000 | u64::from(be32(header, field)));
    let addresses = [mapped(ipv4::SRC), mapped(ipv4::DST)];
    let plain = read_transport(header[ipv4::PROTOCOL], rest, len, addresses)?;
    Some(plain.behind(ipv4::LEN))
}

#[inline]
fn read_ipv6(bytes: &[u8]) -> Option<Plain> {
    let (header, rest) = bytes.split_first_chunk::<{ ipv6::LEN }>()?;
    let len = usize::from(be16(header, ipv6::PAYLOAD_LENGTH));
    let address = |field| u128::from_be_bytes(array(header, field));
    let addresses = [address(ipv6::SRC), address(ipv6::DST)];
    // IPv4-mapped ones are none that a packet may have.
    if addresses.iter().any(|address| address >> 32 == 0xffff) {
        return None;
    }
    let plain = read_transport(header[ipv6::NEXT_HEADER], rest, len, addresses)?;
    Some(plain.behind(ipv6::LEN))
}

/// Reads a segment or datagram of `len` bytes, of those that `rest` begins with.
#[inline]
fn read_transport(
    protocol: u8,
    rest: &[u8],
    len: usize,
    [client, vip]: [u128; 2],
) -> Option<Plain> {
    if rest.len() < len {
        return None;
    }
    match protocol {
        ip_number::TCP => {
            let header: &[u8; tcp::LEN] = rest.first_chunk()?;
            let header_len = usize::from(header[tcp::DATA_OFFSET] >> 4) * 4;
            // Of a packet that is shorter than that no byte of the header may be looked at.
            if header_len < tcp::LEN || header_len > len {
                return None;
            }
            Some(Plain {
                client,
                vip,
                protocol: Protocol::Tcp,
                client_port: be16(header, tcp::SRC_PORT),
                vip_port: be16(header, tcp::DST_PORT),
                flags: TcpFlags::from_bits(header[tcp::FLAGS]),
                seq: be32(header, tcp::SEQ),
                total_len: len,
            })
        }
        ip_number::UDP => {
            let header: &[u8; udp::LEN] = rest.first_chunk()?;
            let datagram = usize::from(be16(header, udp::LENGTH));
            if datagram < udp::LEN || datagram > len {
                return None;
            }
            Some(Plain {
                client,
                vip,
                protocol: Protocol::Udp,
                client_port: be16(header, udp::SRC_PORT),
                vip_port: be16(header, udp::DST_PORT),
                flags: TcpFlags::default(),
                seq: 0,
                total_len: len,
            })
        }
        _ => None,
    }
}
