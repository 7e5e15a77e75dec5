//! The packets of the one client.

use core::net::Ipv4Addr;
use jlb_protocol::packet::{self, TcpFlags, Transport};

/// The client's address and port, chosen in [`crate::cluster`] so that the first trackers rank first.
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 80);
pub(crate) const VIP_PORT: u16 = 80;

/// A life of the connection: what began with one SYN. The client uses its port twice at most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Life {
    First,
    Second,
}

impl Life {
    pub(crate) const ALL: [Self; 2] = [Self::First, Self::Second];

    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// Its initial sequence number: they grow, as RFC 6528 wants it.
    pub(crate) const fn isn(self) -> u32 {
        match self {
            Self::First => 0x1000_0000,
            Self::Second => 0x2000_0000,
        }
    }

    /// The life that a sequence number of the client belongs to.
    const fn of(seq: u32) -> Self {
        if seq < Self::Second.isn() {
            Self::First
        } else {
            Self::Second
        }
    }
}

/// What a packet is for its receiver's TCP.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Segment {
    Syn,
    /// The client's part of the handshake, with a byte.
    Data,
    /// The client is done.
    Fin,
}

/// A packet of the client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Packet {
    pub(crate) segment: Segment,
    pub(crate) life: Life,
}

impl Packet {
    pub(crate) fn bytes(self, client_port: u16) -> Vec<u8> {
        let (flags, offset, payload) = match self.segment {
            Segment::Syn => (TcpFlags::SYN, 0, 0),
            Segment::Data => (TcpFlags::ACK, 1, 1),
            Segment::Fin => (TcpFlags::FIN | TcpFlags::ACK, 2, 0),
        };
        let seq = self.life.isn() + offset;
        let ack = if flags.contains(TcpFlags::ACK) {
            !self.life.isn()
        } else {
            0
        };
        let total: u16 = 40 + payload;
        let mut packet = vec![0x45, 0];
        packet.extend(total.to_be_bytes());
        packet.extend([0, 0, 0, 0, 64, 6, 0, 0]);
        packet.extend(CLIENT.octets());
        packet.extend(VIP.octets());
        packet.extend(client_port.to_be_bytes());
        packet.extend(VIP_PORT.to_be_bytes());
        packet.extend(seq.to_be_bytes());
        packet.extend(ack.to_be_bytes());
        packet.extend([0x50, flags.bits(), 0x20, 0, 0, 0, 0, 0]);
        packet.resize(usize::from(total), 0);
        packet
    }

    /// Reads a packet of the client.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let Transport::Tcp { seq, flags, .. } = packet::parse(bytes).ok()?.transport else {
            return None;
        };
        let segment = if flags.contains(TcpFlags::SYN) {
            Segment::Syn
        } else if flags.contains(TcpFlags::FIN) {
            Segment::Fin
        } else {
            Segment::Data
        };
        Some(Self {
            segment,
            life: Life::of(seq),
        })
    }

    /// The life that a reset to the client is for.
    pub(crate) fn reset_of(bytes: &[u8]) -> Option<Life> {
        let Transport::Tcp {
            seq, ack, flags, ..
        } = packet::parse(bytes).ok()?.transport
        else {
            return None;
        };
        if !flags.contains(TcpFlags::RST) {
            return None;
        }
        // RFC 9293 section 3.5.2: it takes its number from the packet's acknowledgment, or
        // acknowledges the packet.
        Some(if flags.contains(TcpFlags::ACK) {
            Life::of(ack)
        } else {
            Life::of(!seq)
        })
    }
}
