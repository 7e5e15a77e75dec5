//! A driver for tests: checks the books and bounds after every call, and builds client packets.

extern crate std;

use crate::config::{Config, Limits, PoolHost, Service, Timers};
use crate::{Ingress, Packet, Stats, Verdict};
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;
use etherparse::{
    IcmpEchoHeader, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpNumber, Ipv4Header,
    Ipv6FlowLabel, Ipv6Header, TcpHeader, UdpHeader, icmpv4,
};
use jlb_protocol::keyed_hash::HashKey;
use jlb_protocol::message::{
    Control, FlowKind, FlowMessage, FlowState, FlowStatement, Hunt, Intent, List, Path, Reason,
    Tried,
};
use jlb_protocol::packet::TcpFlags;
use jlb_protocol::rank::Ranking;
use jlb_protocol::services::{Ports, ServiceMatch};
use jlb_protocol::view::Member;
use jlb_protocol::{
    Birth, Destination, DropReason, FlowKey, MemberState, Message, NodeNumber, OfferNumber,
    PacketBuf, Protocol, Role, ServiceNumber, Time, View, wire,
};

pub(crate) const VIP4: &str = "192.0.2.10";
pub(crate) const VIP6: &str = "2001:db8::10";
pub(crate) const CLIENT4: &str = "198.51.100.7";
pub(crate) const CLIENT6: &str = "2001:db8:1::7";
pub(crate) const ROUTER4: &str = "203.0.113.1";
pub(crate) const ROUTER6: &str = "2001:db8:2::1";

pub(crate) const SYN: TcpFlags = TcpFlags::SYN;
pub(crate) const ACK: TcpFlags = TcpFlags::ACK;

/// The services of [`config`].
pub(crate) const WEB4: u32 = 1;
pub(crate) const WEB6: u32 = 2;
pub(crate) const DNS4: u32 = 3;
pub(crate) const ANY6: u32 = 4;

pub(crate) fn node(number: u16) -> NodeNumber {
    NodeNumber::new(number).unwrap()
}

pub(crate) fn service(number: u32) -> ServiceNumber {
    ServiceNumber::new(number).unwrap()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn birth(incarnation: u32, counter: u32) -> Birth {
    Birth {
        incarnation,
        counter,
    }
}

/// This ingress.
pub(crate) fn me() -> NodeNumber {
    node(1)
}

fn web(number: u32, vip: &str, protocol: Protocol, ports: Ports) -> Service {
    let number = service(number);
    Service {
        number,
        matching: ServiceMatch {
            service: number,
            vip: ip(vip),
            protocol,
            ports,
        },
        search_ttl: 4,
        hosts: (21..=24)
            .map(|number| PoolHost {
                node: node(number),
                weight: 1,
                overflow: false,
            })
            .collect(),
        any_host: false,
    }
}

/// TCP 80 to 443 and UDP 53 on the IPv4 VIP; TCP 80 and any UDP port on the IPv6 VIP.
pub(crate) fn config() -> Config {
    Config {
        node: me(),
        hash_key: HashKey::new([7; 16]),
        services: vec![
            web(WEB4, VIP4, Protocol::Tcp, Ports::Range(80, 443)),
            web(WEB6, VIP6, Protocol::Tcp, Ports::Range(80, 80)),
            web(DNS4, VIP4, Protocol::Udp, Ports::Range(53, 53)),
            web(ANY6, VIP6, Protocol::Udp, Ports::Any),
        ],
        max_inner: 1400,
        limits: Limits {
            max_flows: 64,
            max_pending: 16,
            max_pending_packets_per_flow: 4,
            max_pending_bytes: 16_000,
            max_who_has: 32,
            max_outbox: 64,
        },
        timers: Timers {
            open_retry: Duration::from_millis(20),
            open_retry_max: Duration::from_millis(200),
            open_timeout: Duration::from_secs(1),
            cache_idle: Duration::from_secs(60),
            who_has: Duration::from_millis(200),
        },
        dead_host: Some(Duration::from_secs(15)),
    }
}

/// Ingress 1, trackers 11 to 13, hosts 21 to 24.
pub(crate) fn view() -> View {
    view_of(&[11, 12, 13])
}

pub(crate) fn view_of(trackers: &[u16]) -> View {
    let trackers: Vec<_> = trackers
        .iter()
        .map(|&it| (it, MemberState::Active))
        .collect();
    view_with(&trackers, &[])
}

/// Ingress 1, these trackers, and hosts 21 to 24, active but for those whose state is given.
pub(crate) fn view_with(trackers: &[(u16, MemberState)], hosts: &[(u16, MemberState)]) -> View {
    let member = |number: u16, role, state| Member {
        node: node(number),
        role,
        state,
        incarnation: 0,
        domain: None,
    };
    let mut members = vec![member(1, Role::Ingress, MemberState::Active)];
    for &(number, state) in trackers {
        members.push(member(number, Role::FlowTracker, state));
    }
    for number in 21..=24 {
        let given = hosts.iter().find(|&&(host, _)| host == number);
        let state = given.map_or(MemberState::Active, |&(_, state)| state);
        members.push(member(number, Role::HostAgent, state));
    }
    View::new(members)
}

/// A message that an ingress sent, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sent {
    pub(crate) to: NodeNumber,
    pub(crate) kind: FlowKind,
    pub(crate) key: FlowKey,
    pub(crate) offer: OfferNumber,
    pub(crate) intent: Intent,
    pub(crate) path: Path,
    pub(crate) birth: Option<Birth>,
    pub(crate) tried: Vec<NodeNumber>,
    pub(crate) packet: Vec<u8>,
}

/// What an ingress wanted sent.
#[derive(Clone, Default, Debug)]
pub(crate) struct Drained {
    pub(crate) messages: Vec<Sent>,
    pub(crate) answers: Vec<Vec<u8>>,
    /// States acknowledged: to whom, and by which number.
    pub(crate) acks: Vec<(NodeNumber, u64)>,
}

/// An ingress under test.
#[derive(Clone)]
pub(crate) struct Bed {
    pub(crate) ingress: Ingress,
    pub(crate) now: Time,
    pub(crate) config: Config,
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self::with(config(), view())
    }

    pub(crate) fn with(config: Config, view: View) -> Self {
        let now = Time::from_millis(1_000_000);
        let ingress = Ingress::new(config.clone(), view, 42, now);
        Self {
            ingress,
            now,
            config,
        }
    }

    /// R14 and S6, after every call.
    pub(crate) fn check(&self) -> Stats {
        let stats = self.ingress.stats();
        let limits = &self.config.limits;
        assert_eq!(stats.ledger.imbalance(), 0, "{stats:?}");
        assert!(stats.flows <= u64::from(limits.max_flows));
        assert!(stats.flows_unproven <= stats.flows);
        assert!(stats.pending <= u64::from(limits.max_pending));
        assert!(stats.pending_bytes <= limits.max_pending_bytes as u64);
        assert!(stats.outbox <= limits.max_outbox as u64);
        assert!(stats.ledger.held >= stats.pending);
        let most = stats.pending * u64::from(limits.max_pending_packets_per_flow);
        assert!(stats.ledger.held <= most);
        let by_host: u64 = stats.hosts.iter().map(|host| host.flows).sum();
        assert_eq!(by_host, stats.flows);
        stats
    }

    pub(crate) fn dropped(&self, reason: DropReason) -> u64 {
        self.ingress.stats().ledger.dropped(reason)
    }

    pub(crate) fn process(&mut self, packet: &[u8]) -> (Verdict, PacketBuf) {
        let mut batch = [Packet::new(PacketBuf::from_packet(packet))];
        self.ingress.process(self.now, &mut batch);
        self.check();
        let [packet] = batch;
        (packet.verdict, packet.buf)
    }

    pub(crate) fn verdict(&mut self, packet: &[u8]) -> Verdict {
        self.process(packet).0
    }

    /// The Data message that the packet becomes; the packet is to be forwarded.
    pub(crate) fn forwarded(&mut self, packet: &[u8]) -> Sent {
        let (verdict, buf) = self.process(packet);
        let Verdict::Forward { to, .. } = verdict else {
            panic!("{verdict:?}")
        };
        taken_apart(to, buf.as_slice())
    }

    pub(crate) fn receive(&mut self, from: u16, message: FlowMessage<'_>) {
        self.ingress
            .handle_message(self.now, node(from), &Message::Flow(message));
        self.check();
    }

    /// Whether the message was dropped for this reason.
    pub(crate) fn drops(
        &mut self,
        reason: DropReason,
        from: u16,
        message: FlowMessage<'_>,
    ) -> bool {
        let before = self.ingress.stats().ledger;
        self.receive(from, message);
        let after = self.ingress.stats().ledger;
        after.dropped(reason) == before.dropped(reason) + 1
            && after.dropped_total() == before.dropped_total() + 1
    }

    /// The view changes.
    pub(crate) fn sees(&mut self, view: View) {
        self.ingress.handle_view(self.now, view);
        self.check();
    }

    /// Hands in what a host states of flows, as it comes from the wire.
    pub(crate) fn told(&mut self, from: u16, sequence: u64, flows: &[FlowStatement]) {
        let state = Control::State {
            sequence,
            filled: None,
            listed: None,
            flows: List::Values(flows),
        };
        let mut buf = PacketBuf::default();
        wire::encode_control(&state, &mut buf).unwrap();
        let message = wire::decode(buf.as_slice()).unwrap();
        self.ingress.handle_message(self.now, node(from), &message);
        self.check();
    }

    /// A host answers a WhoHas: with the life that it has of the flow, or that it has none.
    pub(crate) fn says(&mut self, who_has: &Sent, life: Option<Birth>) {
        let none = birth(0, 0);
        let statement = FlowStatement {
            key: who_has.key,
            birth: life.unwrap_or(none),
            isn: who_has.offer.isn,
            state: life.map_or(FlowState::NotMine, |_| FlowState::Established),
            fresh: false,
        };
        self.told(who_has.to.get(), 0, &[statement]);
    }

    pub(crate) fn drain(&mut self) -> Drained {
        let mut drained = Drained::default();
        while let Some(transmit) = self.ingress.poll_transmit() {
            match transmit.to {
                Destination::Node(to) => match wire::decode(transmit.buf.as_slice()) {
                    Ok(Message::Control(Control::Ack { sequence })) => {
                        drained.acks.push((to, sequence));
                    }
                    _ => drained
                        .messages
                        .push(taken_apart(to, transmit.buf.as_slice())),
                },
                Destination::Stack => drained.answers.push(transmit.buf.as_slice().to_vec()),
            }
            self.ingress.recycle(transmit.buf);
        }
        self.check();
        drained
    }

    /// The only message to be sent.
    pub(crate) fn message(&mut self) -> Sent {
        let drained = self.drain();
        assert_eq!(
            (drained.messages.len(), drained.answers.len()),
            (1, 0),
            "{drained:?}"
        );
        drained.messages.into_iter().next().unwrap()
    }

    /// Lets time pass, with every timeout on the way handled when it is due.
    pub(crate) fn pass(&mut self, span: Duration) -> Drained {
        let end = self.now + span;
        let mut all = Drained::default();
        let mut calls = 0;
        while let Some(due) = self.ingress.poll_timeout().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            self.ingress.handle_timeout(self.now);
            let drained = self.drain();
            all.messages.extend(drained.messages);
            all.answers.extend(drained.answers);
            all.acks.extend(drained.acks);
            calls += 1;
            assert!(calls < 100_000, "a timeout that never ends");
        }
        self.now = end;
        self.check();
        all
    }

    /// Opens a flow with `packet` and lets `host` accept it with `birth`.
    pub(crate) fn accepted(&mut self, packet: &[u8], host: u16, birth: Birth) {
        assert_eq!(self.verdict(packet), Verdict::Held);
        let open = self.message();
        assert_eq!(open.kind, FlowKind::Open);
        self.receive(open.to.get(), accept(&open, host, birth));
    }
}

pub(crate) fn taken_apart(to: NodeNumber, bytes: &[u8]) -> Sent {
    let Message::Flow(message) = wire::decode(bytes).unwrap() else {
        panic!("{bytes:?}")
    };
    Sent {
        to,
        kind: message.kind,
        key: message.key,
        offer: message.offer,
        intent: message.intent,
        path: message.path,
        birth: message.birth,
        tried: message.tried.iter().collect(),
        packet: message.packet.to_vec(),
    }
}

/// The trackers for a flow, from rank 0.
pub(crate) fn ranks(view: &View, key: &FlowKey) -> Vec<NodeNumber> {
    let hash_key = config().hash_key;
    let ranking = Ranking::new(hash_key, view);
    let flow = hash_key.flow_hash(key);
    (0..ranking.trackers().len())
        .filter_map(|rank| ranking.at_rank(flow, rank))
        .collect()
}

/// A tracker's answer to an Open. Of an unknown flow, all four hosts have said no.
pub(crate) fn answer(open: &Sent, kind: FlowKind, reason: Reason) -> FlowMessage<'static> {
    FlowMessage {
        kind,
        key: open.key,
        offer: open.offer,
        intent: open.intent,
        path: Path {
            host: None,
            ..open.path
        },
        birth: None,
        tried: Tried::NONE,
        hunt: Hunt::NONE,
        reason,
        load: if reason == Reason::Unknown { 4 } else { 0 },
        packet: &[],
    }
}

/// A host's Accept of an Open.
pub(crate) fn accept(open: &Sent, host: u16, birth: Birth) -> FlowMessage<'static> {
    let message = answer(open, FlowKind::Accept, Reason::None);
    let path = Path {
        host: Some(node(host)),
        ..message.path
    };
    FlowMessage {
        path,
        birth: Some(birth),
        ..message
    }
}

/// A host's Reject of an Offer.
pub(crate) fn reject(offer: &Sent, reason: Reason) -> FlowMessage<'_> {
    FlowMessage {
        kind: FlowKind::Reject,
        path: offer.path,
        packet: &offer.packet,
        ..answer(offer, FlowKind::Reject, reason)
    }
}

/// A host's refusal to be the owner of a flow whose packet came as Data.
pub(crate) fn not_owner(data: &Sent) -> FlowMessage<'_> {
    FlowMessage {
        kind: FlowKind::Reject,
        key: data.key,
        offer: OfferNumber { isn: 0, step: 0 },
        intent: Intent::MidFlow,
        path: Path {
            ingress: Some(me()),
            host: Some(data.to),
            ..Path::default()
        },
        birth: data.birth,
        tried: Tried::NONE,
        hunt: Hunt::NONE,
        reason: Reason::NotOwner,
        load: 0,
        packet: &data.packet,
    }
}

/// An IP packet.
pub(crate) fn ip_packet(src: &str, dst: &str, protocol: IpNumber, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    let mut bytes = match (ip(src), ip(dst)) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let mut header =
                Ipv4Header::new(length, 63, protocol, src.octets(), dst.octets()).unwrap();
            header.header_checksum = header.calc_header_checksum();
            header.to_bytes().to_vec()
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => Ipv6Header {
            traffic_class: 0,
            flow_label: Ipv6FlowLabel::ZERO,
            payload_length: length,
            next_header: protocol,
            hop_limit: 63,
            source: src.octets(),
            destination: dst.octets(),
        }
        .to_bytes()
        .to_vec(),
        other => panic!("{other:?}"),
    };
    bytes.extend_from_slice(payload);
    bytes
}

/// A TCP segment from a client to a VIP.
pub(crate) fn tcp_between(
    from: (&str, u16),
    to: (&str, u16),
    seq: u32,
    flags: TcpFlags,
    data: &[u8],
) -> Vec<u8> {
    let mut header = TcpHeader::new(from.1, to.1, seq, 65_535);
    header.syn = flags.contains(TcpFlags::SYN);
    header.ack = flags.contains(TcpFlags::ACK);
    header.fin = flags.contains(TcpFlags::FIN);
    header.rst = flags.contains(TcpFlags::RST);
    header.acknowledgment_number = if header.ack { 5_000 } else { 0 };
    let mut payload = header.to_bytes().to_vec();
    payload.extend_from_slice(data);
    ip_packet(from.0, to.0, IpNumber::TCP, &payload)
}

/// A TCP segment from port 40000 of the IPv4 client to port 80 of the IPv4 VIP.
pub(crate) fn tcp(seq: u32, flags: TcpFlags, data: &[u8]) -> Vec<u8> {
    tcp_between((CLIENT4, 40_000), (VIP4, 80), seq, flags, data)
}

/// A UDP datagram.
pub(crate) fn udp_between(from: (&str, u16), to: (&str, u16), data: &[u8]) -> Vec<u8> {
    let header = UdpHeader::without_ipv4_checksum(from.1, to.1, data.len()).unwrap();
    let mut payload = header.to_bytes().to_vec();
    payload.extend_from_slice(data);
    ip_packet(from.0, to.0, IpNumber::UDP, &payload)
}

/// A datagram from port 5353 of the IPv4 client to port 53 of the IPv4 VIP.
pub(crate) fn udp(data: &[u8]) -> Vec<u8> {
    udp_between((CLIENT4, 5353), (VIP4, 53), data)
}

/// An ICMP or ICMPv6 message.
fn icmp(src: &str, dst: &str, kind4: Icmpv4Type, kind6: Icmpv6Type, body: &[u8]) -> Vec<u8> {
    let mut payload;
    let number;
    if let (IpAddr::V6(from), IpAddr::V6(to)) = (ip(src), ip(dst)) {
        let header = Icmpv6Header::with_checksum(kind6, from.octets(), to.octets(), body).unwrap();
        payload = header.to_bytes().to_vec();
        number = IpNumber::IPV6_ICMP;
    } else {
        payload = Icmpv4Header::with_checksum(kind4, body).to_bytes().to_vec();
        number = IpNumber::ICMP;
    }
    payload.extend_from_slice(body);
    ip_packet(src, dst, number, &payload)
}

pub(crate) fn ping(src: &str, dst: &str) -> Vec<u8> {
    let echo = IcmpEchoHeader { id: 1, seq: 2 };
    icmp(
        src,
        dst,
        Icmpv4Type::EchoRequest(echo),
        Icmpv6Type::EchoRequest(echo),
        b"ping",
    )
}

pub(crate) fn pong(src: &str, dst: &str) -> Vec<u8> {
    let echo = IcmpEchoHeader { id: 1, seq: 2 };
    icmp(
        src,
        dst,
        Icmpv4Type::EchoReply(echo),
        Icmpv6Type::EchoReply(echo),
        b"ping",
    )
}

/// A too-big error from a router to the VIP, which quotes `quoted`, a packet from the VIP.
pub(crate) fn too_big(router: &str, vip: &str, quoted: &[u8]) -> Vec<u8> {
    let next_hop_mtu = 1300;
    let needed = icmpv4::DestUnreachableHeader::FragmentationNeeded { next_hop_mtu };
    let kind4 = Icmpv4Type::DestinationUnreachable(needed);
    icmp(
        router,
        vip,
        kind4,
        Icmpv6Type::PacketTooBig { mtu: 1300 },
        quoted,
    )
}
