//! The packets of clients, and what can be read from packets again.

use core::net::IpAddr;
use jlb_protocol::Protocol;
use jlb_protocol::packet::{self, TcpFlags, Transport};

/// A client's life of a flow counts fewer bytes than this, so that a sequence number tells the
/// initial one that it belongs to.
const LIFE_BYTES: u32 = 4096;

/// From a client's initial sequence number to the server's.
const SERVER_OFFSET: u32 = 0x1000_0000;

/// The ends of a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ends {
    pub(crate) client: IpAddr,
    pub(crate) client_port: u16,
    pub(crate) vip: IpAddr,
    pub(crate) vip_port: u16,
}

/// Whether the sequence number is one of the life that began with `isn`.
pub(crate) const fn belongs(seq: u32, isn: u32) -> bool {
    seq.wrapping_sub(isn) < LIFE_BYTES
}

/// The acknowledgment number of a client that has seen the server's SYN, or its FIN too.
const fn acknowledging(isn: u32, saw_fin: bool) -> u32 {
    let first = isn.wrapping_add(SERVER_OFFSET).wrapping_add(1);
    first.wrapping_add(saw_fin as u32)
}

/// Whether a client's acknowledgment number covers the server's FIN.
pub(crate) const fn covers_fin(ack: u32, isn: u32) -> bool {
    ack == acknowledging(isn, true)
}

/// Whether a reset is for the life that began with `isn`, by the rules of RFC 9293 section 3.5.2.
pub(crate) const fn resets(seq: u32, ack: u32, flags: TcpFlags, isn: u32) -> bool {
    if flags.contains(TcpFlags::ACK) {
        belongs(ack.wrapping_sub(1), isn)
    } else {
        belongs(seq, isn.wrapping_add(SERVER_OFFSET))
    }
}

impl Ends {
    /// A TCP segment from the client, `offset` bytes into its life.
    pub(crate) fn tcp(
        &self,
        isn: u32,
        offset: u32,
        flags: TcpFlags,
        saw_fin: bool,
        payload: &[u8],
    ) -> Vec<u8> {
        let ack = if flags.contains(TcpFlags::ACK) || flags.contains(TcpFlags::RST) {
            acknowledging(isn, saw_fin)
        } else {
            0
        };
        let mut tcp = Vec::with_capacity(20 + payload.len());
        tcp.extend(self.client_port.to_be_bytes());
        tcp.extend(self.vip_port.to_be_bytes());
        tcp.extend(isn.wrapping_add(offset).to_be_bytes());
        tcp.extend(ack.to_be_bytes());
        tcp.extend([0x50, flags.bits(), 0x20, 0, 0, 0, 0, 0]);
        tcp.extend(payload);
        self.ip(6, &tcp)
    }

    /// A datagram from the client.
    pub(crate) fn udp(&self, payload: &[u8]) -> Vec<u8> {
        let mut udp = Vec::with_capacity(8 + payload.len());
        udp.extend(self.client_port.to_be_bytes());
        udp.extend(self.vip_port.to_be_bytes());
        let len = u16::try_from(8 + payload.len()).unwrap_or(u16::MAX);
        udp.extend(len.to_be_bytes());
        udp.extend([0, 0]);
        udp.extend(payload);
        self.ip(17, &udp)
    }

    /// A router's word that a packet of the server to the client was too big. Over IPv4 only.
    pub(crate) fn too_big(&self) -> Option<Vec<u8>> {
        let (IpAddr::V4(client), IpAddr::V4(vip)) = (self.client, self.vip) else {
            return None;
        };
        let mut icmp = vec![3, 4, 0, 0, 0, 0, 5, 0];
        icmp.extend([0x45, 0, 5, 220, 0, 0, 0x40, 0, 64, 6, 0, 0]);
        icmp.extend(vip.octets());
        icmp.extend(client.octets());
        icmp.extend(self.vip_port.to_be_bytes());
        icmp.extend(self.client_port.to_be_bytes());
        icmp.extend([0; 4]);
        let router = Self {
            client: IpAddr::V4(core::net::Ipv4Addr::new(203, 0, 113, 1)),
            ..*self
        };
        Some(router.ip(1, &icmp))
    }

    fn ip(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = Vec::with_capacity(40 + payload.len());
        let len = |more: usize| u16::try_from(payload.len() + more).unwrap_or(u16::MAX);
        match (self.client, self.vip) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                packet.extend([0x45, 0]);
                packet.extend(len(20).to_be_bytes());
                packet.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
                packet.extend(src.octets());
                packet.extend(dst.octets());
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                packet.extend([0x60, 0, 0, 0]);
                packet.extend(len(0).to_be_bytes());
                packet.extend([protocol, 64]);
                packet.extend(src.octets());
                packet.extend(dst.octets());
            }
            // The topology gives client and VIP one family.
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {}
        }
        packet.extend(payload);
        packet
    }
}

/// What the simulation reads of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Tcp {
        seq: u32,
        ack: u32,
        flags: TcpFlags,
        payload: usize,
    },
    Udp,
    Other,
}

/// A packet, read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Read {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) kind: Kind,
}

/// Reads a packet of a client, or one to a client.
pub(crate) fn read(bytes: &[u8]) -> Option<Read> {
    let packet = packet::parse(bytes).ok()?;
    let kind = match packet.transport {
        Transport::Tcp {
            seq,
            ack,
            flags,
            payload_len,
            ..
        } => Kind::Tcp {
            seq,
            ack,
            flags,
            payload: payload_len,
        },
        Transport::Udp { .. } => Kind::Udp,
        Transport::IcmpError { .. }
        | Transport::EchoRequest
        | Transport::OtherIcmp
        | Transport::Other(_) => Kind::Other,
    };
    Some(Read {
        src: packet.src,
        dst: packet.dst,
        kind,
    })
}

/// Whether it is a TCP segment with SYN and nothing else.
pub(crate) fn is_syn(bytes: &[u8]) -> bool {
    let kind = read(bytes).map(|read| read.kind);
    matches!(kind, Some(Kind::Tcp { flags, .. }) if flags == TcpFlags::SYN)
}

/// The ends of a flow whose packet this is, and its protocol.
pub(crate) fn ends(bytes: &[u8]) -> Option<(Ends, Protocol)> {
    let packet = packet::parse(bytes).ok()?;
    let (vip, protocol, vip_port) = packet.vip_endpoint()?;
    let client_port = match packet.transport {
        Transport::Tcp { src_port, .. } | Transport::Udp { src_port, .. } => src_port,
        Transport::IcmpError { .. }
        | Transport::EchoRequest
        | Transport::OtherIcmp
        | Transport::Other(_) => return None,
    };
    let ends = Ends {
        client: packet.src,
        client_port,
        vip,
        vip_port,
    };
    Some((ends, protocol))
}

/// One word for a TCP segment, for traces.
pub(crate) fn describe(kind: Kind) -> String {
    match kind {
        Kind::Tcp {
            seq,
            flags,
            payload,
            ..
        } => {
            let names = [
                (TcpFlags::SYN, "SYN "),
                (TcpFlags::FIN, "FIN "),
                (TcpFlags::RST, "RST "),
                (TcpFlags::ACK, "ACK "),
            ];
            let names = names.iter().filter(|(flag, _)| flags.contains(*flag));
            let flags: String = names.map(|(_, name)| *name).collect();
            format!("{flags}seq {seq:#010x} len {payload}")
        }
        Kind::Udp => "datagram".to_owned(),
        Kind::Other => "other packet".to_owned(),
    }
}
