//! Clients and their packets.

use super::{HASH_KEY, VIP4, VIP6, service};
use crate::{Socket, SocketState};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use jlb_protocol::packet::TcpFlags;
use jlb_protocol::rank::{Ranking, Ranks};
use jlb_protocol::{FlowKey, View};
use std::vec;
use std::vec::Vec;

/// A client of one service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) vip: IpAddr,
    pub(crate) vip_port: u16,
    pub(crate) service: u32,
}

pub(crate) fn client(port: u16) -> Client {
    Client {
        address: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)),
        port,
        vip: VIP4,
        vip_port: 80,
        service: 1,
    }
}

pub(crate) fn client6(port: u16) -> Client {
    Client {
        address: IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 9)),
        port,
        vip: VIP6,
        vip_port: 443,
        service: 3,
    }
}

pub(crate) fn udp_client(port: u16) -> Client {
    Client {
        vip_port: 53,
        service: 2,
        ..client(port)
    }
}

impl Client {
    pub(crate) fn key(self) -> FlowKey {
        FlowKey::new(
            self.address,
            self.port,
            service(self.service),
            self.vip_port,
        )
    }

    pub(crate) fn tcp(self, seq: u32, flags: TcpFlags) -> Vec<u8> {
        let mut tcp = Vec::new();
        tcp.extend(self.port.to_be_bytes());
        tcp.extend(self.vip_port.to_be_bytes());
        tcp.extend(seq.to_be_bytes());
        tcp.extend([0, 0, 0, 1, 0x50, flags.bits(), 0x20, 0, 0, 0, 0, 0]);
        ip(self.address, self.vip, 6, &tcp)
    }

    pub(crate) fn syn(self, isn: u32) -> Vec<u8> {
        self.tcp(isn, TcpFlags::SYN)
    }

    pub(crate) fn ack(self) -> Vec<u8> {
        self.tcp(1001, TcpFlags::ACK)
    }

    pub(crate) fn udp(self, payload: &[u8]) -> Vec<u8> {
        let len = u16::try_from(8 + payload.len()).unwrap();
        let mut udp = Vec::new();
        udp.extend(self.port.to_be_bytes());
        udp.extend(self.vip_port.to_be_bytes());
        udp.extend(len.to_be_bytes());
        udp.extend([0, 0]);
        udp.extend(payload);
        ip(self.address, self.vip, 17, &udp)
    }

    /// "Fragmentation needed" about a packet from the VIP to the client, quoting 8 bytes.
    pub(crate) fn icmp_error(self) -> Vec<u8> {
        let protocol = if self.service == 2 { 17 } else { 6 };
        let mut transport = Vec::new();
        transport.extend(self.vip_port.to_be_bytes());
        transport.extend(self.port.to_be_bytes());
        transport.extend([0, 0, 0, 9]);
        let mut icmp = vec![3, 4, 0, 0, 0, 0, 5, 0];
        icmp.extend(ip(self.vip, self.address, protocol, &transport));
        let router = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
        ip(router, self.vip, 1, &icmp)
    }

    pub(crate) fn socket(self, cookie: u64, state: SocketState) -> Socket {
        Socket {
            local: self.local(),
            remote: self.remote(),
            cookie,
            state,
        }
    }

    pub(crate) fn local(self) -> SocketAddr {
        SocketAddr::new(self.vip, self.vip_port)
    }

    pub(crate) fn remote(self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    pub(crate) fn ranks(self, view: &View) -> Ranks {
        Ranking::new(HASH_KEY, view).ranks(HASH_KEY.flow_hash(&self.key()))
    }
}

fn ip(src: IpAddr, dst: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let len = u16::try_from(20 + payload.len()).unwrap();
            let mut packet = vec![0x45, 0];
            packet.extend(len.to_be_bytes());
            packet.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
            packet.extend(src.octets());
            packet.extend(dst.octets());
            packet
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let len = u16::try_from(payload.len()).unwrap();
            let mut packet = vec![0x60, 0, 0, 0];
            packet.extend(len.to_be_bytes());
            packet.extend([protocol, 64]);
            packet.extend(src.octets());
            packet.extend(dst.octets());
            packet
        }
        (src, dst) => panic!("{src} and {dst} are of two families"),
    };
    packet.extend(payload);
    packet
}
