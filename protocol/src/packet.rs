//! IP packets of clients: what the load balancer reads in them, and the answers it gives itself.
//!
//! [`parse`] is on the path of every packet: a view over the bytes, without allocation. It trusts no
//! length field and verifies no checksum: the kernel has verified the IPv4 header's, and a transport
//! checksum may be partial where a packet comes from a device that offloads it. The answers are
//! whole new packets with complete checksums.

use crate::drop_reason::DropReason;
use crate::flow::FlowKey;
use crate::message::Intent;
use crate::number::{Protocol, ServiceNumber};
use core::net::IpAddr;
use core::ops::BitOr;

mod answer;
pub mod checksum;
mod echo;
mod ip;
mod layout;
pub mod offload;
mod plain;
mod segment;
#[cfg(test)]
mod tests;
mod transport;

pub use answer::{write_reset, write_unreachable};
pub use echo::answer_echo;
pub use ip::MAX_EXTENSION_HEADERS;
pub use plain::{Plain, read_plain};
pub use segment::{Segment, write_segment};

/// The flags of a TCP header (RFC 9293 section 3.1), the low eight control bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct TcpFlags(u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgment field counts.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer counts.
    pub const URG: Self = Self(0x20);
    /// ECN echo (RFC 3168).
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced (RFC 3168).
    pub const CWR: Self = Self(0x80);

    /// The flags with these bits, as in the header's byte 13.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The bits, as in the header's byte 13.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether all of `flags` are set.
    #[must_use]
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Whether a segment with them opens a flow: SYN, without ACK, RST and FIN.
    #[must_use]
    pub const fn opens(self) -> bool {
        const DECIDING: u8 = TcpFlags::SYN.0 | TcpFlags::ACK.0 | TcpFlags::RST.0 | TcpFlags::FIN.0;
        self.0 & DECIDING == Self::SYN.0
    }
}

impl BitOr for TcpFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What an ICMP error quotes of the packet that it is about.
///
/// An error that reaches a VIP quotes a packet that a host sent from the VIP to a client, so `src`
/// is the VIP: the reverse of the flow's own packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quoted {
    /// Source of the quoted packet: the VIP.
    pub src: IpAddr,
    /// Destination of the quoted packet: the client.
    pub dst: IpAddr,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its source port: the VIP's.
    pub src_port: u16,
    /// Its destination port: the client's.
    pub dst_port: u16,
    /// Its TCP sequence number, which counts the VIP's bytes; 0 for UDP.
    pub seq: u32,
}

/// What follows the IP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// A TCP segment.
    Tcp {
        /// Source port.
        src_port: u16,
        /// Destination port.
        dst_port: u16,
        /// Sequence number.
        seq: u32,
        /// Acknowledgment number; means something only with [`TcpFlags::ACK`].
        ack: u32,
        /// Flags.
        flags: TcpFlags,
        /// Bytes of the header with its options, 20 to 60.
        header_len: usize,
        /// Bytes behind the header.
        payload_len: usize,
    },
    /// A UDP datagram.
    Udp {
        /// Source port.
        src_port: u16,
        /// Destination port.
        dst_port: u16,
    },
    /// An ICMP error about a TCP or UDP packet of its addressee: destination unreachable, packet
    /// too big, time exceeded or parameter problem.
    IcmpError {
        /// The packet that it is about.
        quoted: Quoted,
    },
    /// An ICMP or ICMPv6 echo request.
    EchoRequest,
    /// Any other ICMP message of the packet's family, redirects and errors that quote no whole
    /// flow among them.
    OtherIcmp,
    /// Another protocol, by its IP number; ESP and AH among them.
    Other(u8),
}

/// The headers of a whole IP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet {
    /// Source address.
    pub src: IpAddr,
    /// Destination address, of the same family.
    pub dst: IpAddr,
    /// What follows the IP header and, in IPv6, the extension headers.
    pub transport: Transport,
    /// Length in bytes that the IP header says; bytes past it are not part of the packet.
    pub total_len: usize,
    /// DSCP (high six bits) and ECN (low two): IPv4's former type of service, IPv6's traffic class.
    pub dscp_ecn: u8,
    /// Time to live, or hop limit.
    pub hop_limit: u8,
}

/// Reads the headers of the IP packet that `bytes` begin with. Bytes past the packet's own length
/// are ignored.
///
/// IPv6 extension headers are read through, [`MAX_EXTENSION_HEADERS`] at most; an atomic fragment
/// (RFC 8200 section 4.5: a fragment header, but all in one piece) counts as whole.
///
/// # Errors
/// - `Truncated`: `bytes` end before the packet does, or the packet before its headers.
/// - `NotIp`: neither version 4 nor 6.
/// - `BadIpHeader`: a header length that can't be, more extension headers than allowed or in a
///   forbidden place, a source route not yet used up, or an IPv4-mapped IPv6 address, which on the
///   wire could pass for an IPv4 client.
/// - `Fragment`: a fragment of a packet, the first one included.
/// - `BadTransportHeader`: a TCP data offset below 5, or a UDP length that can't be.
pub fn parse(bytes: &[u8]) -> Result<Packet, DropReason> {
    let header = ip::read(bytes)?;
    Ok(Packet {
        src: header.src,
        dst: header.dst,
        transport: transport::read(bytes, &header)?,
        total_len: header.total_len,
        dscp_ecn: header.dscp_ecn,
        hop_limit: header.hop_limit,
    })
}

/// The source address of a packet of which [`parse`] or [`read_plain`] read the headers.
#[must_use]
pub fn source(bytes: &[u8]) -> Option<IpAddr> {
    ip::read(bytes).ok().map(|header| header.src)
}

impl Packet {
    /// The flow of a packet from a client to a VIP, or the one that an ICMP error is about; `None`
    /// for packets that belong to no flow.
    #[must_use]
    pub fn flow_key(&self, service: ServiceNumber) -> Option<FlowKey> {
        let (client, client_port, vip_port) = match self.transport {
            Transport::Tcp {
                src_port, dst_port, ..
            }
            | Transport::Udp { src_port, dst_port } => (self.src, src_port, dst_port),
            Transport::IcmpError { quoted } => (quoted.dst, quoted.dst_port, quoted.src_port),
            Transport::EchoRequest | Transport::OtherIcmp | Transport::Other(_) => return None,
        };
        Some(FlowKey::new(client, client_port, service, vip_port))
    }

    /// VIP, protocol and VIP port of the packet's flow, as [`ServiceMap::find`] takes them; `None`
    /// for packets that belong to no flow.
    ///
    /// [`ServiceMap::find`]: crate::services::ServiceMap::find
    #[must_use]
    pub fn vip_endpoint(&self) -> Option<(IpAddr, Protocol, u16)> {
        match self.transport {
            Transport::Tcp { dst_port, .. } => Some((self.dst, Protocol::Tcp, dst_port)),
            Transport::Udp { dst_port, .. } => Some((self.dst, Protocol::Udp, dst_port)),
            Transport::IcmpError { quoted } => Some((quoted.src, quoted.protocol, quoted.src_port)),
            Transport::EchoRequest | Transport::OtherIcmp | Transport::Other(_) => None,
        }
    }

    /// Whether it is a TCP segment with SYN and without ACK, RST and FIN: one that opens a flow.
    #[must_use]
    pub fn is_syn(&self) -> bool {
        match self.transport {
            Transport::Tcp { flags, .. } => flags.opens(),
            _ => false,
        }
    }

    /// What the packet asks for when it travels in an Open; `None` for packets of no flow.
    ///
    /// An ICMP error is always mid-flow, also one about UDP: it can only concern a flow that is
    /// there already and must never begin one.
    #[must_use]
    pub fn intent(&self) -> Option<Intent> {
        match self.transport {
            Transport::Tcp { .. } if self.is_syn() => Some(Intent::Syn),
            Transport::Tcp { .. } | Transport::IcmpError { .. } => Some(Intent::MidFlow),
            Transport::Udp { .. } => Some(Intent::Datagram),
            Transport::EchoRequest | Transport::OtherIcmp | Transport::Other(_) => None,
        }
    }
}
