//! Large packets of TCP connections, as the kernel hands them over where it leaves their segmentation to whoever comes
//! behind: made by a TUN device in the source's namespace, of connections that its clients really have.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU16;
use std::path::Path;
use std::time::Duration;

use jlb_node::kernel::netlink::{LinkSettings, Netlink, Prefix, Route, Target};
use jlb_packet_io::tun::{self, Tun};
use jlb_protocol::packet::checksum;
use jlb_protocol::packet::offload::{Offload, PartialChecksum, SegmentKind, Segments};

use super::rig::{self, Rig, VIP, wait_for};
use crate::error::{Doing, LabError, Result};
use crate::side_by_side::nft_reads;
use crate::topology::settings;

/// Bytes of a segment's payload: with headers it fits a node's TUN device.
const SEGMENT: u16 = 1_336;
/// Segments of a packet: as many as Linux sends at once.
pub(super) const SEGMENTS: u16 = 48;
/// IPv4 and TCP, both without options.
const HEADER_LEN: u16 = 40;
/// Connections.
pub(super) const CONNECTIONS: u16 = 64;
/// The clients' address.
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 90, 0, 1);
const PORT: u16 = 80;
/// The device that packets are written to.
const DEVICE: &str = "gen";
/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Datagrams with a segment are gone once they are counted; all other messages are shorter.
const DROP: &str = "table ip jlb_packets {\n  chain gone {\n    type filter hook prerouting priority raw;\n    \
    udp dport 6081 udp length > 1000 drop\n  }\n}\n";

/// Bytes of a segment with its headers.
pub(super) const WHOLE_SEGMENT: u16 = SEGMENT + HEADER_LEN;

/// The packets, and what they need as long as they are sent.
pub(super) struct Large {
    tun: Tun,
    packets: Vec<Vec<u8>>,
    offload: Offload,
    _clients: Vec<TcpStream>,
    _server: Option<TcpListener>,
}

impl Large {
    /// Prepares the rig, and makes packets of connections that nobody has.
    pub(super) fn of_nobody(rig: &Rig, nft: &Path) -> Result<Self> {
        let tun = prepare(rig, nft)?;
        let ports = 20_000..20_000 + CONNECTIONS;
        Ok(Self::of(tun, ports, Vec::new(), None))
    }

    /// Prepares the rig, in which nodes have started, and opens connections through them.
    pub(super) fn of_connections(rig: &Rig, nft: &Path) -> Result<Self> {
        let tun = prepare(rig, nft)?;
        let server = rig.sink.run(|| {
            TcpListener::bind(SocketAddr::from((VIP, PORT))).doing("listen at the virtual address")
        })?;
        let clients = rig.source.run(|| {
            let connect = |_| {
                TcpStream::connect_timeout(&SocketAddr::from((VIP, PORT)), PATIENCE)
                    .doing("connect through the ingress")
            };
            (0..CONNECTIONS).map(connect).collect::<Result<Vec<_>>>()
        })?;
        let ports = clients
            .iter()
            .map(|client| Ok(client.local_addr().doing("ask for a port")?.port()))
            .collect::<Result<Vec<_>>>()?;
        wait_for("all connections have a host", || {
            let known =
                rig.metric("jlb_ingress_flows")? - rig.metric("jlb_ingress_flows_unproven")?;
            Ok(known >= f64::from(CONNECTIONS))
        })?;
        Ok(Self::of(tun, ports, clients, Some(server)))
    }

    fn of(
        tun: Tun,
        ports: impl IntoIterator<Item = u16>,
        clients: Vec<TcpStream>,
        server: Option<TcpListener>,
    ) -> Self {
        let segments = NonZeroU16::new(SEGMENT).map(|size| Segments {
            kind: SegmentKind::Tcp4,
            size,
            header_len: HEADER_LEN,
        });
        Self {
            tun,
            packets: ports.into_iter().map(packet).collect(),
            offload: Offload {
                checksum: Some(PartialChecksum {
                    start: 20,
                    offset: 16,
                }),
                segments,
            },
            _clients: clients,
            _server: server,
        }
    }

    /// Sends packets at this rate for about so long, of one connection after the other. Gives the seconds that it
    /// really took.
    pub(super) fn send(&self, rate: u32, span: Duration) -> Result<f64> {
        let begin = rig::now();
        let count = (f64::from(rate) * span.as_secs_f64()) as u32;
        for (sent, packet) in (0..count).zip(self.packets.iter().cycle()) {
            let due = Duration::from_secs_f64(f64::from(sent) / f64::from(rate));
            while begin.elapsed() < due {
                std::hint::spin_loop();
            }
            self.tun
                .send(packet, &self.offload)
                .doing("write a large packet to a TUN device")?;
        }
        Ok(begin.elapsed().as_secs_f64())
    }
}

/// Lays the way of connections from the source to the sink and back, and opens the device.
fn prepare(rig: &Rig, nft: &Path) -> Result<Tun> {
    rig.sink.run(|| {
        nft_reads(nft, DROP)?;
        let netlink = Netlink::open().doing("open netlink")?;
        let back = Target::Gateway(IpAddr::from([10, 91, 0, 1]));
        let clients = Prefix::host(CLIENT.into());
        netlink
            .put_route(&Route::new(clients, back))
            .doing("set a route")?;
        settings(&[
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
            ("net/ipv4/conf/wire/rp_filter", "0"),
        ])
    })?;
    rig.source.run(|| {
        let options = tun::Options {
            offload: true,
            ..tun::Options::default()
        };
        let tun = Tun::open_with(DEVICE, options).doing("open a TUN device")?;
        let netlink = Netlink::open().doing("open netlink")?;
        let up = LinkSettings {
            up: Some(true),
            ..LinkSettings::default()
        };
        netlink.set_link(DEVICE, up).doing("set up a TUN device")?;
        netlink
            .put_address("out", CLIENT.into(), 24)
            .doing("put an address")?;
        let there = Target::Gateway(IpAddr::from([10, 90, 0, 2]));
        netlink
            .put_route(&Route::new(Prefix::host(VIP.into()), there))
            .doing("set a route")?;
        settings(&[
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/out/rp_filter", "0"),
            ("net/ipv4/conf/gen/rp_filter", "0"),
            // What the device hands over is from an address of this namespace.
            ("net/ipv4/conf/gen/accept_local", "1"),
            ("net/ipv4/ip_forward", "1"),
        ])?;
        Ok(tun)
    })
}

/// A packet from this port of the client, with its checksum unfinished.
fn packet(port: u16) -> Vec<u8> {
    let len = HEADER_LEN + SEGMENT * SEGMENTS;
    let mut packet = vec![0x45, 0];
    packet.extend(len.to_be_bytes());
    packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    packet.extend(CLIENT.octets());
    packet.extend(VIP.octets());
    let sum = checksum::plain(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(port.to_be_bytes());
    packet.extend(PORT.to_be_bytes());
    // Sequence numbers that no peer looks at, ACK, a window.
    packet.extend([0; 8]);
    packet.extend([0x50, 0x10, 0xff, 0xff]);
    let behind = usize::from(len - 20);
    packet.extend(checksum::partial(CLIENT.into(), VIP.into(), 6, behind).to_be_bytes());
    packet.extend([0, 0]);
    packet.resize(usize::from(len), 0x5a);
    packet
}

/// How many packets came, from what `/proc/net/netstat` says: those that came as one are as many as they stand for.
pub(super) fn arrived(netstat: &str) -> Result<u64> {
    let mut lines = netstat.lines().filter(|line| line.starts_with("IpExt:"));
    let (names, values) = lines
        .next()
        .zip(lines.next())
        .ok_or_else(|| LabError::new("/proc/net/netstat has no IpExt"))?;
    let names = names.split_whitespace().zip(values.split_whitespace());
    // By the two bits of ECN, of which every packet has one value.
    let counted = ["InNoECTPkts", "InECT1Pkts", "InECT0Pkts", "InCEPkts"];
    names
        .filter(|(name, _)| counted.contains(name))
        .map(|(_, value)| value.parse::<u64>().doing("read /proc/net/netstat"))
        .sum()
}

#[cfg(test)]
mod tests;
