//! Packets of nobody's connections: floods with made-up senders, and ICMP errors.

use super::{Event, World};
use crate::segment::{self, Ends};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;
use jlb_protocol::packet::TcpFlags;
use jlb_protocol::{FlowKey, Protocol};

/// The packets of a flood come within this time.
const FLOOD_TAKES: Duration = Duration::from_millis(500);

impl World {
    /// So many packets come from senders that are nobody: SYNs, others in the middle of flows, and
    /// datagrams.
    pub(super) fn flood(&mut self, packets: u64) {
        self.tally.floods += 1;
        let began = self.now;
        self.schedule(began + FLOOD_TAKES, Event::AfterFlood { began });
        for _ in 0..packets {
            let place = self.rng.place(self.topology.services.len());
            let service = &self.topology.services[place];
            let (_, ends) = crate::topology::Topology::flow(0, service);
            let protocol = service.matching.protocol;
            let [a, b, c, d, e, f, g, h] = self.rng.next().to_be_bytes();
            let client = match ends.vip {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(198, 18 + a % 2, b, c)),
                IpAddr::V6(_) => {
                    let (low, last) = (u16::from_be_bytes([a, b]), u16::from(c));
                    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, low, last))
                }
            };
            let ends = Ends {
                client,
                client_port: u16::from_be_bytes([d, e]).max(1),
                ..ends
            };
            let isn = u32::from_be_bytes([f, g, h, a]);
            let packet = match (protocol, self.rng.place(5)) {
                (Protocol::Udp, _) => ends.udp(b"noise"),
                (Protocol::Tcp, 0) => ends.tcp(isn, 7, TcpFlags::ACK, false, b"x"),
                (Protocol::Tcp, 1) => ends.tcp(isn, 7, TcpFlags::RST, false, &[]),
                (Protocol::Tcp, _) => ends.tcp(isn, 0, TcpFlags::SYN, false, &[]),
            };
            let after = self.rng.span(Duration::ZERO, FLOOD_TAKES);
            self.schedule(self.now + after, Event::Stray { packet });
        }
    }

    /// A router on the way back has something to say about a packet of a client's flow.
    pub(super) fn icmp_error(&mut self) {
        let client = self.rng.place(self.clients.len());
        let Some(client) = self.clients.get(client) else {
            return;
        };
        if let Some(packet) = client.ends().too_big() {
            self.schedule(self.now, Event::Stray { packet });
        }
    }

    /// The client whose flow this is, if it is one's.
    pub(super) fn client_of(&self, key: &FlowKey) -> Option<usize> {
        let client = crate::topology::Topology::client_at(key.client())?;
        let known = self.clients.get(client)?;
        (known.key == *key).then_some(client)
    }

    /// The key of the flow that a packet to a VIP belongs to.
    pub(super) fn key_of(&self, packet: &[u8]) -> Option<FlowKey> {
        let (ends, protocol) = segment::ends(packet)?;
        let service = self.topology.services.iter().find(|service| {
            service.matching.vip == ends.vip && service.matching.protocol == protocol
        })?;
        Some(FlowKey::new(
            ends.client,
            ends.client_port,
            service.number,
            ends.vip_port,
        ))
    }
}
