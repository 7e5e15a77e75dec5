//! The ingress, with messages behind a verified seal and packets of clients.

use super::role::{Driven, node, play, view};
use jlb_ingress::config::{Config, Limits, Service, Timers};
use jlb_ingress::{Ingress, Packet};
use jlb_protocol::keyed_hash::HashKey;
use jlb_protocol::services::{Ports, ServiceMatch};
use jlb_protocol::{Message, NodeNumber, PacketBuf, Protocol, ServiceNumber, Time, Transmit, View};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// The IPv4 VIP: TCP port 80 is service 1, every UDP port service 2.
pub const VIP4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 1));
/// The IPv6 VIP: TCP port 80 is service 3.
pub const VIP6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 99, 0, 0, 0, 0, 1));

/// The services' packets.
pub fn matches() -> [ServiceMatch; 3] {
    let service = |number, vip, protocol, ports| ServiceMatch {
        service: ServiceNumber::new(number).unwrap(),
        vip,
        protocol,
        ports,
    };
    [
        service(1, VIP4, Protocol::Tcp, Ports::Range(80, 80)),
        service(2, VIP4, Protocol::Udp, Ports::Any),
        service(3, VIP6, Protocol::Tcp, Ports::Range(80, 80)),
    ]
}

impl Driven for Ingress {
    fn message(&mut self, now: Time, from: NodeNumber, message: &Message<'_>) {
        self.handle_message(now, from, message);
    }

    fn local(&mut self, now: Time, bytes: &[u8]) {
        self.process(now, &mut [Packet::new(PacketBuf::from_packet(bytes))]);
    }

    fn view(&mut self, now: Time, view: View) {
        self.handle_view(now, view);
    }

    fn timeout(&mut self, now: Time) {
        self.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Time> {
        Ingress::poll_timeout(self)
    }

    fn transmit(&mut self) -> Option<Transmit> {
        self.poll_transmit()
    }

    fn recycle(&mut self, buf: PacketBuf) {
        Ingress::recycle(self, buf);
    }

    fn imbalance(&self) -> i128 {
        self.stats().ledger.imbalance()
    }
}

/// Plays a script with a small ingress, whose bounds are soon reached.
pub fn run(bytes: &[u8]) {
    let config = Config {
        node: node(1),
        hash_key: HashKey::new([3; 16]),
        services: matches()
            .map(|matching| Service {
                number: matching.service,
                matching,
                search_ttl: 3,
                hosts: Vec::new(),
                any_host: true,
            })
            .to_vec(),
        max_inner: 1400,
        limits: Limits {
            max_flows: 4,
            max_pending: 3,
            max_pending_packets_per_flow: 2,
            max_pending_bytes: 4096,
            max_who_has: 8,
            max_outbox: 8,
        },
        timers: Timers {
            open_retry: Duration::from_millis(50),
            open_retry_max: Duration::from_secs(1),
            open_timeout: Duration::from_secs(5),
            cache_idle: Duration::from_secs(60),
            who_has: Duration::from_millis(200),
        },
        dead_host: Some(Duration::from_secs(2)),
    };
    play(
        &mut Ingress::new(config, view(0), 1, Time::from_millis(1)),
        bytes,
    );
}
