//! Makes packets: from captured ones, and from nothing.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

/// A datagram between two nodes.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) payload: Vec<u8>,
}

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const IPV6: usize = 40;
const UDP: usize = 8;

impl Datagram {
    /// From an Ethernet frame with an IPv4 packet without options.
    pub(crate) fn of_frame(frame: &[u8]) -> Self {
        let ip = &frame[ETHERNET..];
        assert_eq!(ip[0], 0x45, "an IPv4 header without options");
        let end = |address: usize, port: usize| {
            let address: [u8; 4] = ip[address..address + 4].try_into().unwrap();
            let port = u16::from_be_bytes([ip[port], ip[port + 1]]);
            SocketAddr::V4(SocketAddrV4::new(address.into(), port))
        };
        let length = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
        Self {
            from: end(12, IPV4),
            to: end(16, IPV4 + 2),
            payload: ip[IPV4 + UDP..length].to_vec(),
        }
    }

    /// The IPv4 packet, without a UDP checksum, which IPv4 allows.
    pub(crate) fn ipv4_packet(&self) -> Vec<u8> {
        let (SocketAddr::V4(from), SocketAddr::V4(to)) = (self.from, self.to) else {
            panic!("an IPv4 datagram");
        };
        let length = (UDP + self.payload.len()) as u16;
        let mut packet = ipv4_header(*from.ip(), *to.ip(), 17, usize::from(length));
        packet.extend(from.port().to_be_bytes());
        packet.extend(to.port().to_be_bytes());
        packet.extend(length.to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(&self.payload);
        packet
    }
}

/// Types and codes of messages about ports, sizes and echoes, of both families.
const ICMP: [&[u8]; 6] = [&[3, 3], &[3, 4], &[1, 4], &[2, 0], &[128, 0], &[8, 0]];

/// The kernel fills in what is zero: identification and checksum.
fn ipv4_header(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: usize) -> Vec<u8> {
    let length = (IPV4 + payload) as u16;
    let mut header = vec![0x45, 0];
    header.extend(length.to_be_bytes());
    header.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
    header.extend(from.octets());
    header.extend(to.octets());
    header
}

/// A small generator of random numbers (xorshift64*): the same ones in each run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// Less than `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Up to `most` of them.
    pub(crate) fn bytes(&mut self, most: usize) -> Vec<u8> {
        let count = self.below(most + 1);
        (0..count).map(|_| self.next() as u8).collect()
    }

    /// Turns 1 to 8 bits over.
    pub(crate) fn flip_bits(&mut self, bytes: &mut [u8]) {
        if bytes.is_empty() {
            return;
        }
        for _ in 0..=self.below(8) {
            let at = self.below(bytes.len());
            bytes[at] ^= 1 << self.below(8);
        }
    }

    /// From a client that exists to `vip`: anything behind a header that routers pass on.
    pub(crate) fn ipv4_packet(&mut self, vip: Ipv4Addr) -> Vec<u8> {
        let from = Ipv4Addr::new(198, 51, 100, 10 + self.below(8) as u8);
        let (protocol, payload) = self.payload([1, 6, 17]);
        let mut packet = ipv4_header(from, vip, protocol, payload.len());
        if self.below(8) == 0 {
            // Fragments, first and later ones.
            packet[6] = *self.pick(&[0x20, 0x20, 0x00]);
            packet[7] = self.below(9) as u8;
        }
        packet.extend(payload);
        packet
    }

    /// The like over IPv6.
    pub(crate) fn ipv6_packet(&mut self, vip: Ipv6Addr) -> Vec<u8> {
        let from = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 10 + self.below(8) as u16);
        let (next, payload) = self.payload([58, 6, 17]);
        let (next, extra) = match self.below(8) {
            // A fragment's header, and one of options for the destination.
            0 => (44, vec![next, 0, 0, self.below(2) as u8, 0, 0, 0, 1]),
            1 => (60, vec![next, self.below(3) as u8, 1, 4, 0, 0, 0, 0]),
            _ => (next, Vec::new()),
        };
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(((extra.len() + payload.len()) as u16).to_be_bytes());
        packet.extend([next, 64]);
        packet.extend(from.octets());
        packet.extend(vip.octets());
        assert_eq!(packet.len(), IPV6);
        packet.extend(extra);
        packet.extend(payload);
        packet
    }

    /// Random bytes, half of them with the beginning of something real: a port of a service, a
    /// type of ICMP message. `known` are the numbers of ICMP, TCP and UDP.
    fn payload(&mut self, known: [u8; 3]) -> (u8, Vec<u8>) {
        let mut payload = self.bytes(200);
        if self.below(5) == 0 {
            return (self.next() as u8, payload);
        }
        let protocol = *self.pick(&known);
        if self.below(2) == 0 {
            let beginning: &[u8] = match protocol {
                6 => &[4, 1, 0, 80],
                17 => &[4, 1, 0, 7],
                _ => ICMP[self.below(ICMP.len())],
            };
            let length = payload.len().min(beginning.len());
            payload[..length].copy_from_slice(&beginning[..length]);
        }
        (protocol, payload)
    }
}
