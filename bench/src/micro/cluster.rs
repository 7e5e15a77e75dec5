//! A cluster in memory: the production roles and links of an ingress, two flow trackers and hosts, with nothing between
//! them. Every message is encoded, sealed, opened and decoded as on the wire.

mod machine;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use jlb_config::{ClusterConfig, Keys, MessageKey};
use jlb_flow_tracker::FlowTracker;
use jlb_host_agent::{DumpScope, HostAgent};
use jlb_ingress::{Ingress, Packet, Verdict};
use jlb_protocol::link::{self, Event, Link, Opened, PeerAddress};
use jlb_protocol::packet::checksum;
use jlb_protocol::{
    Destination, MemberState, NodeNumber, PacketBuf, Role, Time, Transmit, View, wire,
};

use crate::error::{Doing, LabError, Result};
use machine::Machine;

/// The hosts of the service.
const HOSTS: u16 = 8;
/// Where the service is.
const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PORT: u16 = 80;
/// Ports that each client address uses.
const PORTS: u32 = 50_000;
/// The life of each node.
const INCARNATION: u32 = 1;
/// Of any message: nodes derive it from the flow's hash.
pub(crate) const SOURCE_PORT: u16 = 50_001;
/// Tables that are filled grow in steps; a table has room to spare.
const SPARE_FLOWS: u32 = 1_024;
/// Time that passes between two new flows.
const BETWEEN_FLOWS: Duration = Duration::from_micros(100);
/// How long trackers are given to be filled, and in which steps.
const FILLING: Duration = Duration::from_secs(1);
/// See [`FILLING`].
const TICK: Duration = Duration::from_millis(10);
/// Room in front of a packet, and behind it.
const CAPACITY: usize = 256;

struct Node {
    number: NodeNumber,
    address: IpAddr,
    machine: Machine,
    link: Link,
    /// When the machine wants to act next, unless it was called since.
    due: Option<Time>,
    /// Whether it was called since.
    stirred: bool,
}

/// A sealed message on its way.
struct Datagram {
    to: usize,
    from: usize,
    port: u16,
    buf: PacketBuf,
    /// Whether the buffer is a client packet's, not one of the sender's machine.
    of_client: bool,
}

/// The cluster. Flows are numbered from 0; each is a TCP connection of a client of its own.
pub(crate) struct Cluster {
    now: Time,
    nodes: Vec<Node>,
    on_the_way: VecDeque<Datagram>,
    delivered: u64,
    messages: u64,
    batch: Vec<Packet>,
    /// For client packets.
    spare: Vec<PacketBuf>,
}

impl Cluster {
    /// One whose tables have room for so many flows, with all sessions made and nothing else.
    ///
    /// # Errors
    /// If the cluster can't be made: a fault of this program.
    pub(crate) fn new(flows: u32) -> Result<Self> {
        let config = config(flows.saturating_add(SPARE_FLOWS))?;
        let now = Time::from_millis(1_000);
        let view = config.view();
        let mut nodes = Vec::new();
        for node in config.nodes() {
            let (name, seed) = (&node.name, u64::from(node.number.get()));
            let wrong = "read the cluster's own configuration";
            let machine = match node.role {
                Role::Ingress => {
                    let settings = config.ingress(name).doing(wrong)?;
                    Machine::Ingress(Box::new(Ingress::new(settings, view.clone(), seed, now)))
                }
                Role::FlowTracker => {
                    let settings = config.flow_tracker(name).doing(wrong)?;
                    let tracker = FlowTracker::new(settings, view.clone(), seed, now);
                    Machine::Tracker(Box::new(tracker))
                }
                Role::HostAgent => {
                    let settings = config.host_agent(name, INCARNATION).doing(wrong)?;
                    let mut agent = HostAgent::new(settings, view.clone(), seed, now);
                    // Its machine has no sockets yet.
                    for _ in 0..2 {
                        agent.handle_sockets(now, now, DumpScope::All, &[]);
                    }
                    Machine::Host(Box::new(agent))
                }
            };
            nodes.push(Node {
                number: node.number,
                address: address(node.number),
                machine,
                link: link_of(&config, node, &view, now)?,
                due: None,
                stirred: true,
            });
        }
        let mut cluster = Self {
            now,
            nodes,
            on_the_way: VecDeque::new(),
            delivered: 0,
            messages: 0,
            batch: Vec::new(),
            spare: Vec::new(),
        };
        cluster.meet(&living(&view));
        Ok(cluster)
    }

    /// All say Hello, and the trackers are filled by hosts that have nothing to tell.
    fn meet(&mut self, view: &View) {
        for at in 0..self.nodes.len() {
            self.nodes[at].link.handle_timeout(self.now);
            self.send_hellos(at);
        }
        self.settle();
        for node in &mut self.nodes {
            node.machine.handle_view(self.now, view);
            node.stirred = true;
        }
        self.drain_all();
        for _ in 0..FILLING.as_millis() / TICK.as_millis() {
            self.now = self.now + TICK;
            self.let_time_act();
        }
    }

    fn send_hellos(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        while let Some((route, buf)) = node.link.poll_hello() {
            if let Some(to) = place(route.remote.ip()) {
                self.on_the_way.push_back(Datagram {
                    to,
                    from: at,
                    port: route.remote.port(),
                    buf,
                    of_client: false,
                });
            }
        }
    }

    /// Opens flows, each by its SYN and the ACK that ends its handshake, and lets every message that comes of them
    /// arrive, also those that only time brings about.
    ///
    /// # Errors
    /// If one of them gets no host: a fault of this program.
    pub(crate) fn open(&mut self, flows: std::ops::Range<u32>) -> Result<()> {
        for flow in flows {
            let before = self.delivered;
            self.client_sends(&syn(flow));
            self.client_sends(&ack(flow));
            if self.delivered != before + 2 {
                return Err(LabError::new(format!("flow {flow} has got no host")));
            }
            self.now = self.now + BETWEEN_FLOWS;
            self.let_time_act();
        }
        Ok(())
    }

    fn client_sends(&mut self, bytes: &[u8]) {
        let mut packet = self
            .batch
            .pop()
            .unwrap_or_else(|| Packet::new(PacketBuf::new(CAPACITY)));
        packet.buf.clear();
        let _fits = packet.buf.fill(bytes);
        packet.verdict = Verdict::Pending;
        if let Machine::Ingress(ingress) = &mut self.nodes[0].machine {
            ingress.process(self.now, std::slice::from_mut(&mut packet));
        }
        if let Verdict::Forward { to, flow } = packet.verdict {
            let spare = self.spare.pop();
            let spare = spare.unwrap_or_else(|| PacketBuf::new(CAPACITY));
            let buf = std::mem::replace(&mut packet.buf, spare);
            let to = Destination::Node(to);
            self.send(0, Transmit { to, flow, buf }, true);
        }
        self.batch.push(packet);
        self.nodes[0].stirred = true;
        self.drain(0);
        self.settle();
    }

    /// Machines that nothing was told since the last time want nothing else than they wanted then.
    fn let_time_act(&mut self) {
        for at in 0..self.nodes.len() {
            let node = &mut self.nodes[at];
            if std::mem::take(&mut node.stirred) {
                node.due = node.machine.poll_timeout();
            }
            if node.due.is_some_and(|due| due <= self.now) {
                node.machine.handle_timeout(self.now);
                node.stirred = true;
                self.drain(at);
            }
        }
        self.settle();
    }

    /// Until nothing is on the way.
    fn settle(&mut self) {
        while let Some(datagram) = self.on_the_way.pop_front() {
            self.arrive(datagram);
        }
    }

    fn drain_all(&mut self) {
        for at in 0..self.nodes.len() {
            self.drain(at);
        }
        self.settle();
    }

    /// Sends what a node has to send.
    fn drain(&mut self, at: usize) {
        while let Some(transmit) = self.nodes[at].machine.poll_transmit() {
            self.send(at, transmit, false);
        }
    }

    fn send(&mut self, at: usize, transmit: Transmit, of_client: bool) {
        let Transmit { to, mut buf, .. } = transmit;
        let node = &mut self.nodes[at];
        let Destination::Node(to) = to else {
            return node.machine.recycle(buf);
        };
        match node.link.seal(to, SOURCE_PORT, &mut buf) {
            Ok(_) => {
                self.messages += 1;
                self.on_the_way.push_back(Datagram {
                    // Nodes are numbered from 1 on.
                    to: usize::from(to.get() - 1),
                    from: at,
                    port: SOURCE_PORT,
                    buf,
                    of_client,
                });
            }
            Err(_) => node.machine.recycle(buf),
        }
    }

    fn arrive(&mut self, datagram: Datagram) {
        let Datagram {
            to,
            from,
            port,
            buf,
            of_client,
        } = datagram;
        let source = SocketAddr::new(self.nodes[from].address, port);
        let Some(node) = self.nodes.get_mut(to) else {
            return;
        };
        let bytes = buf.as_slice();
        let opened = node.link.open(self.now, source, node.address, bytes);
        while let Some(event) = node.link.poll_event() {
            if let Event::PeerSaid {
                node: peer,
                view,
                wire,
                ..
            } = event
            {
                node.machine.handle_peer(self.now, peer, view, wire);
            }
        }
        let is_for_link = match opened {
            Ok(Opened::Message(sender)) => {
                if let Ok(message) = &wire::decode(bytes) {
                    let delivers = node.machine.handle_message(self.now, sender, message);
                    self.delivered += u64::from(delivers);
                }
                false
            }
            Ok(Opened::Handled) | Err(_) => true,
        };
        node.stirred = true;
        self.drain(to);
        if is_for_link {
            self.send_hellos(to);
        }
        if of_client {
            self.spare.push(buf);
        } else {
            self.nodes[from].machine.recycle(buf);
        }
    }

    /// The ingress with its link, and each host with its own; the rest is not needed any more.
    ///
    /// # Errors
    /// If the first node is no ingress: a fault of this program.
    pub(crate) fn into_data_path(self) -> Result<DataPath> {
        let mut nodes = self.nodes.into_iter();
        let Some(Node {
            machine: Machine::Ingress(ingress),
            link,
            ..
        }) = nodes.next()
        else {
            return Err(LabError::new("the first node is no ingress"));
        };
        let hosts = nodes.filter_map(|node| match node.machine {
            Machine::Host(agent) => Some(HostEnd {
                number: node.number,
                address: node.address,
                agent,
                link: node.link,
            }),
            Machine::Ingress(_) | Machine::Tracker(_) => None,
        });
        Ok(DataPath {
            now: self.now,
            ingress,
            link,
            hosts: hosts.collect(),
        })
    }

    /// Messages that were sent so far.
    pub(crate) const fn messages(&self) -> u64 {
        self.messages
    }

    /// Bytes that the tables of each role have allocated: of the ingress, of a tracker, of all hosts.
    pub(crate) fn table_bytes(&self) -> [u64; 3] {
        let mut bytes = [0; 3];
        for node in &self.nodes {
            match &node.machine {
                Machine::Ingress(ingress) => bytes[0] = ingress.stats().flows_bytes,
                Machine::Tracker(tracker) => bytes[1] = tracker.stats().table_bytes,
                Machine::Host(agent) => bytes[2] += agent.stats().flow_table_bytes as u64,
            }
        }
        bytes
    }
}

/// What an established flow's packets pass.
pub(crate) struct DataPath {
    now: Time,
    ingress: Box<Ingress>,
    link: Link,
    hosts: Vec<HostEnd>,
}

struct HostEnd {
    number: NodeNumber,
    address: IpAddr,
    agent: Box<HostAgent>,
    link: Link,
}

impl DataPath {
    /// The ingress with its link, and the time.
    pub(crate) fn into_ingress(self) -> (Box<Ingress>, Link, Time) {
        (self.ingress, self.link, self.now)
    }

    /// Client packets from parsing to the sealed message; gives how many are forwarded.
    pub(crate) fn encapsulate(&mut self, batch: &mut [Packet]) -> usize {
        self.ingress.process(self.now, batch);
        let mut forwarded = 0;
        for packet in batch {
            if let Verdict::Forward { to, .. } = packet.verdict {
                let sealed = self.link.seal(to, SOURCE_PORT, &mut packet.buf);
                forwarded += usize::from(sealed.is_ok());
            }
        }
        forwarded
    }

    /// What [`Self::encapsulate`] made arrives at its hosts; gives how many of the packets go to a stack.
    pub(crate) fn decapsulate(&mut self, batch: &[Packet]) -> usize {
        let from = SocketAddr::new(address_of(1), SOURCE_PORT);
        let mut delivered = 0;
        for packet in batch {
            let Verdict::Forward { to, .. } = packet.verdict else {
                continue;
            };
            let Ok(at) = self.hosts.binary_search_by_key(&to, |host| host.number) else {
                continue;
            };
            let host = &mut self.hosts[at];
            let bytes = packet.buf.as_slice();
            if let Ok(Opened::Message(sender)) = host.link.open(self.now, from, host.address, bytes)
                && let Ok(message) = wire::decode(bytes)
            {
                let verdict = host.agent.handle_message(self.now, sender, &message);
                delivered += usize::from(verdict == jlb_host_agent::Verdict::Deliver);
                while let Some(transmit) = host.agent.poll_transmit() {
                    host.agent.recycle(transmit.buf);
                }
            }
        }
        delivered
    }
}

/// A flow's first packet.
fn syn(flow: u32) -> [u8; PACKET] {
    packet(flow, SYN, 0, 0)
}

/// A packet of an established flow: an ACK without data.
pub(crate) fn ack(flow: u32) -> [u8; PACKET] {
    packet(flow, ACK, 1, 1)
}

/// Bytes of a client's packet: an IPv4 and a TCP header.
pub(crate) const PACKET: usize = 40;

/// Flags of the TCP header.
const SYN: u8 = 0x02;
/// See [`SYN`].
const ACK: u8 = 0x10;

/// The words of all packets' headers that are the same, as a checksum counts them: the IP header's, and the TCP header's
/// with its pseudo-header.
const IP_SUM: u16 = folded(0x4500 + PACKET as u32 + 0x4000 + 0x4006 + VIP_SUM);
/// See [`IP_SUM`].
const TCP_SUM: u16 = folded(VIP_SUM + 6 + 20 + PORT as u32 + 0x5000 + 0xffff);
const VIP_SUM: u32 = (VIP.to_bits() >> 16) + (VIP.to_bits() & 0xffff);

const fn folded(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// A packet of a flow, `further` bytes behind its first one. Written by hand, since that is no part of what is
/// measured and should take little beside it.
fn packet(flow: u32, flags: u8, further: u32, acknowledged: u32) -> [u8; PACKET] {
    let client = u32::from(Ipv4Addr::new(10, 0, 0, 1)) + flow / PORTS;
    let port = u16::try_from(10_000 + flow % PORTS).unwrap_or(u16::MAX);
    let seq = flow.wrapping_mul(0x9e37_79b1).wrapping_add(further);
    let mut bytes = [0; PACKET];
    let (ip, tcp) = bytes.split_at_mut(20);
    ip[..10].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6]);
    ip[12..16].copy_from_slice(&client.to_be_bytes());
    ip[16..].copy_from_slice(&VIP.octets());
    let halves = |word: u32| [(word >> 16) as u16, word as u16];
    let [high, low] = halves(client);
    let ip_sum = checksum::of_words([IP_SUM, high, low]);
    ip[10..12].copy_from_slice(&ip_sum.to_be_bytes());
    tcp[..2].copy_from_slice(&port.to_be_bytes());
    tcp[2..4].copy_from_slice(&PORT.to_be_bytes());
    tcp[4..8].copy_from_slice(&seq.to_be_bytes());
    tcp[8..12].copy_from_slice(&acknowledged.to_be_bytes());
    tcp[12..16].copy_from_slice(&[0x50, flags, 0xff, 0xff]);
    let ([a, b], [c, d]) = (halves(seq), halves(acknowledged));
    let flags = u16::from(flags);
    let tcp_sum = checksum::of_words([TCP_SUM, flags, port, a, b, c, d, high, low]);
    tcp[16..18].copy_from_slice(&tcp_sum.to_be_bytes());
    bytes
}

/// A buffer that is large enough for such a packet and its encapsulation.
pub(crate) fn buffer() -> Packet {
    Packet::new(PacketBuf::new(CAPACITY))
}

fn address(node: NodeNumber) -> IpAddr {
    address_of(node.get())
}

fn address_of(number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(172, 16, high, low).into()
}

/// The place of the node that has this address.
fn place(address: IpAddr) -> Option<usize> {
    let IpAddr::V4(v4) = address else {
        return None;
    };
    let [_, _, high, low] = v4.octets();
    usize::from(u16::from_be_bytes([high, low])).checked_sub(1)
}

fn config(max_flows: u32) -> Result<ClusterConfig> {
    let untrusted = max_flows.min(65_536);
    let mut text = format!(
        "[cluster]\nname = \"micro\"\nkey_file = \"none\"\nmembership = \"static\"\n\n\
         [limits]\nmax_flows = {max_flows}\nmax_untrusted = {untrusted}\n"
    );
    let roles = [("ingress", 1), ("flow-tracker", 2), ("host-agent", HOSTS)];
    let roles = roles
        .iter()
        .flat_map(|&(role, count)| (0..count).map(move |_| role));
    let mut hosts = Vec::new();
    for (number, role) in (1_u16..).zip(roles) {
        let address = address_of(number);
        text.push_str(&format!(
            "\n[[node]]\nnumber = {number}\nname = \"node-{number}\"\nrole = \"{role}\"\nunderlay = [\"{address}\"]\n"
        ));
        if role == "host-agent" {
            hosts.push(format!("\"node-{number}\""));
        }
    }
    text.push_str(&format!(
        "\n[[service]]\nnumber = 1\nname = \"web\"\nvip = \"{VIP}\"\nprotocol = \"tcp\"\nports = {PORT}\n\
         hosts = [{}]\npolicy = \"least-connections\"\n",
        hosts.join(", ")
    ));
    let key = MessageKey {
        id: 1,
        secret: *b"a message key 01",
    };
    let wrong = "make a cluster in memory";
    let keys = Keys::new(*b"a key for hashes", vec![key]).doing(wrong)?;
    let loaded =
        ClusterConfig::parse_with_keys(&text, Path::new("micro.toml"), keys).doing(wrong)?;
    Ok(loaded.config)
}

/// The view with each node in its first life.
fn living(view: &View) -> View {
    let members = view.members().iter().map(|member| {
        let mut member = *member;
        member.incarnation = INCARNATION;
        member
    });
    View::new(members.collect())
}

fn link_of(
    config: &ClusterConfig,
    node: &jlb_config::Node,
    view: &View,
    now: Time,
) -> Result<Link> {
    let keys = config.keys.link_keys();
    let keys = keys.ok_or_else(|| LabError::new("there is no key"))?;
    let others = config.peers().into_iter();
    let peers = others.filter(|peer| peer.node != node.number);
    let settings = link::Config {
        node: node.number,
        role: node.role,
        state: MemberState::Active,
        incarnation: INCARNATION,
        worker: 0,
        keys,
        peers: peers
            .map(|peer| PeerAddress {
                node: peer.node,
                local: address(node.number),
                remote: address(peer.node),
            })
            .collect(),
        port: config.port,
        hello_interval: config.timers.hello,
        view: view.ranked_fingerprint(None),
        config: config.fingerprint(),
    };
    Ok(Link::new(settings, u64::from(node.number.get()), now))
}

#[cfg(test)]
mod tests;
