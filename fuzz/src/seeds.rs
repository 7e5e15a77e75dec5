//! Where the fuzzer begins: one input of every kind, for each target.

use super::ingress::{VIP4, VIP6};
use super::role::node;
use super::script::Steps;
use super::wire::encode;
use jlb_protocol::message::{
    BucketDigest, Control, FlowKind, FlowMessage, FlowState, FlowStatement, Intent, List, Listed,
    MemberEntry, Path, Reason, ServiceLoad, Tried,
};
use jlb_protocol::packet::checksum;
use jlb_protocol::view::Member;
use jlb_protocol::{
    Birth, FlowKey, MemberState, Message, OfferNumber, PacketBuf, Role, ServiceNumber,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A seed: target, name, bytes.
pub type Seed = (&'static str, String, Vec<u8>);

const CLIENT4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const CLIENT6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
const CLIENT_PORT: u16 = 40_000;
const ISN: u32 = 0x0102_0304;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const RST: u8 = 0x04;

/// All seeds. The cluster file's are its examples besides.
pub fn all() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (name, packet) in packets() {
        seeds.push(("packet", name.to_owned(), packet));
    }
    for (name, message) in messages() {
        seeds.push(("wire", name, message));
    }
    seeds.push(("link", "exchange".to_owned(), link_script()));
    seeds.push(("link", "strangers".to_owned(), strangers_script()));
    seeds.push(("config", "smallest".to_owned(), CLUSTER_FILE.into()));
    seeds.push(("keys", "rotation".to_owned(), KEY_FILE.into()));
    seeds.extend(ingress_scripts());
    seeds.extend(tracker_scripts());
    seeds.extend(host_scripts());
    seeds
}

fn service(number: u32) -> ServiceNumber {
    ServiceNumber::new(number).unwrap()
}

fn birth(counter: u32) -> Birth {
    Birth {
        incarnation: 1,
        counter,
    }
}

// --- packets

/// An IP packet with the next header or protocol `protocol`.
fn ip(src: IpAddr, dst: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            packet.extend([0x45, 0]);
            packet.extend((20 + payload.len() as u16).to_be_bytes());
            packet.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
            packet.extend(src.octets());
            packet.extend(dst.octets());
            let sum = checksum::plain(&packet);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            packet.extend([0x60, 0, 0, 0]);
            packet.extend((payload.len() as u16).to_be_bytes());
            packet.extend([protocol, 64]);
            packet.extend(src.octets());
            packet.extend(dst.octets());
        }
        _ => unreachable!("both of one family"),
    }
    packet.extend(payload);
    packet
}

/// A TCP segment with wrong checksum, which nobody looks at on the way.
fn tcp(ports: (u16, u16), seq: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(ports.0.to_be_bytes());
    segment.extend(ports.1.to_be_bytes());
    segment.extend(seq.to_be_bytes());
    segment.extend([0, 0, 0, 9, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(payload);
    segment
}

fn udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    datagram.extend(ports.0.to_be_bytes());
    datagram.extend(ports.1.to_be_bytes());
    datagram.extend((8 + payload.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

fn icmp(src: IpAddr, dst: IpAddr, kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0, 0, 0, 5, 0];
    message.extend(body);
    let (protocol, sum) = match src {
        IpAddr::V4(_) => (1, checksum::plain(&message)),
        IpAddr::V6(_) => (58, checksum::with_pseudo_header(src, dst, 58, &message)),
    };
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    ip(src, dst, protocol, &message)
}

fn syn4(port: u16) -> Vec<u8> {
    ip(CLIENT4, VIP4, 6, &tcp((port, 80), ISN, SYN, &[]))
}

fn syn6(port: u16) -> Vec<u8> {
    ip(CLIENT6, VIP6, 6, &tcp((port, 80), ISN, SYN, &[]))
}

fn request4(port: u16) -> Vec<u8> {
    ip(
        CLIENT4,
        VIP4,
        6,
        &tcp((port, 80), ISN + 1, ACK, b"GET / HTTP/1.1\r\n\r\n"),
    )
}

fn query4(port: u16) -> Vec<u8> {
    ip(CLIENT4, VIP4, 17, &udp((port, 53), b"question"))
}

/// One packet of each form that the parser tells apart.
fn packets() -> Vec<(&'static str, Vec<u8>)> {
    let reply4 = ip(VIP4, CLIENT4, 6, &tcp((80, CLIENT_PORT), 7, ACK, b"reply"));
    let reply6 = ip(VIP6, CLIENT6, 6, &tcp((80, CLIENT_PORT), 7, ACK, b"reply"));
    let udp_reply4 = ip(VIP4, CLIENT4, 17, &udp((53, CLIENT_PORT), b"answer"));
    let router4 = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
    let router6 = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1));
    let segment = tcp((CLIENT_PORT, 80), ISN, SYN, &[]);

    let mut with_options4 = syn4(CLIENT_PORT);
    with_options4.splice(20..20, [7, 3, 4, 0]);
    with_options4[0] = 0x46;
    with_options4[3] += 4;

    let mut mss = tcp((CLIENT_PORT, 80), ISN, SYN, &[2, 4, 5, 0xb4]);
    mss[12] = 0x60;

    let mut fragment4 = syn4(CLIENT_PORT);
    fragment4[6] = 0x20;

    let behind = |headers: &[u8]| [headers, &segment].concat();
    let hop_by_hop = behind(&[6, 0, 1, 4, 0, 0, 0, 0]);
    let routing = behind(&[6, 0, 4, 0, 0, 0, 0, 0]);
    let fragment = behind(&[6, 0, 0, 1, 0, 0, 0, 9]);
    let atomic = behind(&[6, 0, 0, 0, 0, 0, 0, 9]);
    let chain = behind(&[60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0]);

    vec![
        ("tcp4-syn", syn4(CLIENT_PORT)),
        ("tcp4-syn-mss", ip(CLIENT4, VIP4, 6, &mss)),
        ("tcp4-data", request4(CLIENT_PORT)),
        (
            "tcp4-reset",
            ip(CLIENT4, VIP4, 6, &tcp((CLIENT_PORT, 80), ISN, RST, &[])),
        ),
        ("tcp4-ip-options", with_options4),
        ("tcp4-fragment", fragment4),
        ("tcp6-syn", syn6(CLIENT_PORT)),
        ("tcp6-hop-by-hop", ip(CLIENT6, VIP6, 0, &hop_by_hop)),
        ("tcp6-routing", ip(CLIENT6, VIP6, 43, &routing)),
        ("tcp6-fragment", ip(CLIENT6, VIP6, 44, &fragment)),
        ("tcp6-atomic-fragment", ip(CLIENT6, VIP6, 44, &atomic)),
        ("tcp6-two-headers", ip(CLIENT6, VIP6, 0, &chain)),
        ("udp4", query4(CLIENT_PORT)),
        (
            "udp6",
            ip(CLIENT6, VIP6, 17, &udp((CLIENT_PORT, 53), b"question")),
        ),
        ("icmp4-too-big", icmp(router4, VIP4, 3, 4, &reply4)),
        (
            "icmp4-eight-bytes",
            icmp(router4, VIP4, 3, 4, &reply4[..28]),
        ),
        ("icmp4-udp", icmp(CLIENT4, VIP4, 3, 3, &udp_reply4)),
        ("icmp4-expired", icmp(router4, VIP4, 11, 0, &reply4)),
        ("icmp4-echo", icmp(CLIENT4, VIP4, 8, 0, b"are you there?")),
        ("icmp4-redirect", icmp(router4, VIP4, 5, 1, &reply4)),
        ("icmp6-too-big", icmp(router6, VIP6, 2, 0, &reply6)),
        (
            "icmp6-unreachable",
            icmp(router6, VIP6, 1, 0, &reply6[..48]),
        ),
        ("icmp6-echo", icmp(CLIENT6, VIP6, 128, 0, b"are you there?")),
        ("esp4", ip(CLIENT4, VIP4, 50, &[0; 16])),
    ]
}

// --- messages

fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut buf = PacketBuf::default();
    assert_eq!(encode(message, &mut buf), Ok(()));
    buf.as_slice().to_vec()
}

fn flow(kind: FlowKind, packet: &[u8], ipv6: bool) -> FlowMessage<'_> {
    let (client, number) = if ipv6 { (CLIENT6, 3) } else { (CLIENT4, 1) };
    let fields = kind.fields();
    let mut tried = Tried::NONE;
    if fields.tried {
        assert!(tried.push(node(22)));
    }
    FlowMessage {
        kind,
        key: FlowKey::new(client, CLIENT_PORT, service(number), 80),
        offer: OfferNumber { isn: ISN, step: 2 },
        intent: Intent::Syn,
        path: Path {
            ingress: Some(node(1)),
            primary: Some(node(11)),
            secondary: Some(node(12)),
            host: Some(node(21)),
        },
        birth: fields.birth.then_some(birth(1)),
        tried,
        reason: if fields.verdict {
            Reason::Load
        } else {
            Reason::None
        },
        load: 7,
        packet: if fields.packet { packet } else { &[] },
    }
}

fn statement(port: u16, state: FlowState) -> FlowStatement {
    FlowStatement {
        key: FlowKey::new(CLIENT4, port, service(1), 80),
        birth: birth(port.into()),
        isn: ISN,
        state,
    }
}

const STATES: [FlowState; 5] = [
    FlowState::Accepted,
    FlowState::Established,
    FlowState::Closing,
    FlowState::Closed,
    FlowState::NotMine,
];

fn state(sequence: u64, state: FlowState) -> Vec<u8> {
    let flows = [statement(CLIENT_PORT, state)];
    encoded(&Message::Control(Control::State {
        sequence,
        filled: None,
        listed: None,
        flows: List::Values(&flows),
    }))
}

fn load(connections: u32) -> Vec<u8> {
    let services = [1, 2, 3].map(|number| ServiceLoad {
        service: service(number),
        connections,
        room: 3 - connections,
        load: connections as u16 * 20_000,
        healthy: true,
    });
    let services = List::Values(&services);
    encoded(&Message::Control(Control::Load { services }))
}

/// Every kind of message; those of one flow in both families, and without what is optional.
fn messages() -> Vec<(String, Vec<u8>)> {
    let (packet4, packet6) = (syn4(CLIENT_PORT), syn6(CLIENT_PORT));
    let mut all = Vec::new();
    for kind in FlowKind::ALL {
        let name = format!("{kind:?}").to_lowercase();
        let message4 = flow(kind, &packet4, false);
        let message6 = flow(kind, &packet6, true);
        all.push((format!("{name}4"), encoded(&Message::Flow(message4))));
        all.push((format!("{name}6"), encoded(&Message::Flow(message6))));
        if kind.fields().birth_optional {
            let bare = FlowMessage {
                birth: None,
                tried: Tried::NONE,
                ..message4
            };
            all.push((format!("{name}4-bare"), encoded(&Message::Flow(bare))));
        }
    }
    let flows: Vec<_> = (0..)
        .zip(STATES)
        .map(|(at, state)| statement(at, state))
        .collect();
    let buckets = [BucketDigest {
        bucket: 5,
        count: 3,
        hash: 0x1234_5678_9abc_def0,
        high_water: birth(9),
    }];
    let member = |number, role, v4, v6| MemberEntry {
        member: Member {
            node: node(number),
            role,
            state: MemberState::Active,
            incarnation: 7,
        },
        v4,
        v6,
    };
    let (v4, v6) = (Ipv4Addr::new(10, 0, 0, 3), Ipv6Addr::LOCALHOST);
    let members = [
        member(13, Role::FlowTracker, Some(v4), None),
        member(22, Role::HostAgent, None, Some(v6)),
        member(2, Role::Ingress, Some(v4), Some(v6)),
    ];
    let controls = [
        (
            "hello",
            Control::Hello {
                view: 1,
                config: 2,
                nonce: 3,
                state: MemberState::Active,
                role: Role::FlowTracker,
                wire: 1,
            },
        ),
        (
            "helloack",
            Control::HelloAck {
                view: 1,
                config: 2,
                nonce: 3,
                state: MemberState::Active,
                role: Role::FlowTracker,
                wire: 1,
            },
        ),
        (
            "state",
            Control::State {
                sequence: 1,
                filled: None,
                listed: None,
                flows: List::Values(&flows),
            },
        ),
        (
            "state-empty",
            Control::State {
                sequence: 2,
                filled: None,
                listed: None,
                flows: List::Values(&[]),
            },
        ),
        ("ack", Control::Ack { sequence: 1 }),
        (
            "digest",
            Control::Digest {
                sequence: 1,
                buckets: List::Values(&buckets),
            },
        ),
        (
            "state-marked",
            Control::State {
                sequence: 3,
                filled: Some(0x0123_4567_89ab_cdef),
                listed: Some(Listed {
                    bucket: 5,
                    high_water: birth(9),
                }),
                flows: List::Values(&flows),
            },
        ),
        ("sendfull", Control::SendFull { bucket: 5 }),
        (
            "members",
            Control::Members {
                members: List::Values(&members),
            },
        ),
    ];
    for (name, control) in controls {
        all.push((name.to_owned(), encoded(&Message::Control(control))));
    }
    all.push(("load".to_owned(), load(1)));
    all
}

// --- scripts

fn link_script() -> Vec<u8> {
    let open = encoded(&Message::Flow(flow(
        FlowKind::Open,
        &syn4(CLIENT_PORT),
        false,
    )));
    let mut steps = Steps::default();
    steps.bytes(&[35]);
    steps.bytes(&[1]).chunk(&open).bytes(&[2]);
    steps.bytes(&[0]).chunk(&open);
    steps.bytes(&[3, 35, 2]).bytes(&[1]).chunk(&open);
    steps
        .bytes(&[4, 35, 39])
        .bytes(&[1])
        .chunk(&state(1, FlowState::Established));
    steps.0
}

/// Strangers that say Hello, one of which becomes a peer, speaks, goes, and comes back.
fn strangers_script() -> Vec<u8> {
    let ack = encoded(&Message::Control(Control::Ack { sequence: 1 }));
    let mut steps = Steps::default();
    steps.bytes(&[35]);
    for stranger in 0..20 {
        steps.bytes(&[5, stranger, 1]);
    }
    steps.bytes(&[6, 4, 5, 4, 1, 2, 5, 4, 2]);
    steps.bytes(&[7, 6, 2, 6, 4, 5, 4, 2, 8, 2]);
    steps.bytes(&[1]).chunk(&ack);
    steps.bytes(&[35, 7, 0, 2, 5, 4, 3]);
    steps.0
}

/// A node of each role and one service.
const CLUSTER_FILE: &str = r#"[cluster]
name = "c"
key_file = "k"

[[node]]
number = 1
name = "i"
role = "ingress"
underlay = ["10.0.0.1", "fd00::1"]

[[node]]
number = 2
name = "t"
role = "flow-tracker"
underlay = ["10.0.0.2", "fd00::2"]

[[node]]
number = 3
name = "h"
role = "host-agent"
underlay = ["10.0.0.3", "fd00::3"]

[[service]]
number = 1
name = "s"
vip = "192.0.2.1"
protocol = "tcp"
ports = 80
hosts = ["h"]
"#;

/// Two keys, as while they are changed.
const KEY_FILE: &str = r#"hash = "000102030405060708090a0b0c0d0e0f"

[[key]]
id = 1
secret = "101112131415161718191a1b1c1d1e1f"

[[key]]
id = 2
secret = "202122232425262728292a2b2c2d2e2f"
send = true
"#;

/// A message from the node at `place` of the list of nodes.
fn message(steps: &mut Steps, place: u8, bytes: &[u8]) {
    steps.bytes(&[0, place]).chunk(bytes);
}

const INGRESS: u8 = 0;
const PRIMARY: u8 = 1;
const HOST: u8 = 4;

/// The place of a kind in the list of kinds.
fn place(kind: FlowKind) -> u8 {
    FlowKind::ALL
        .iter()
        .position(|&other| other == kind)
        .map_or(0, |place| place as u8)
}

fn answered(steps: &mut Steps, kind: FlowKind, reason: u8) {
    steps.bytes(&[2, place(kind), HOST, 1, reason]);
}

fn ingress_scripts() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let mut whole = Steps::default();
    // A flow from its first packet to data, another host's word, and a new view.
    whole.bytes(&[1]).chunk(&syn4(CLIENT_PORT));
    whole.bytes(&[1]).chunk(&request4(CLIENT_PORT));
    answered(&mut whole, FlowKind::Accept, 0);
    whole.bytes(&[1]).chunk(&request4(CLIENT_PORT));
    let reject = flow(FlowKind::Reject, &[], false);
    let request = request4(CLIENT_PORT);
    let reject = FlowMessage {
        packet: &request,
        reason: Reason::NotOwner,
        intent: Intent::MidFlow,
        ..reject
    };
    message(&mut whole, HOST, &encoded(&Message::Flow(reject)));
    whole.bytes(&[3, 0, 4, 35, 4, 39]);
    seeds.push(("ingress", "flow".to_owned(), whole.0));
    // A host states the flow closed: of another life, of this one, and once more.
    let mut closed = Steps::default();
    closed.bytes(&[1]).chunk(&syn4(CLIENT_PORT));
    answered(&mut closed, FlowKind::Accept, 0);
    for (sequence, word) in [
        (1, FlowState::Established),
        (2, FlowState::Closed),
        (2, FlowState::Closed),
    ] {
        message(&mut closed, HOST, &state(sequence, word));
    }
    closed.bytes(&[4]);
    seeds.push(("ingress", "closed".to_owned(), closed.0));
    for kind in [FlowKind::Refuse, FlowKind::Wait, FlowKind::NotActing] {
        let mut steps = Steps::default();
        for packet in [syn4(CLIENT_PORT), query4(CLIENT_PORT), syn6(CLIENT_PORT)] {
            steps.bytes(&[1]).chunk(&packet);
            answered(&mut steps, kind, 1);
        }
        steps.bytes(&[4, 4, 4]);
        seeds.push(("ingress", format!("{kind:?}").to_lowercase(), steps.0));
    }
    for (name, packet) in packets() {
        let mut steps = Steps::default();
        steps.bytes(&[1]).chunk(&packet).bytes(&[4]);
        seeds.push(("ingress", format!("packet-{name}"), steps.0));
    }
    let mut full = Steps::default();
    for port in CLIENT_PORT..CLIENT_PORT + 6 {
        full.bytes(&[1]).chunk(&syn4(port));
    }
    full.bytes(&[4, 4, 4, 4, 4, 4, 4, 4]);
    seeds.push(("ingress", "full".to_owned(), full.0));
    seeds
}

fn tracker_scripts() -> Vec<Seed> {
    let (packet4, packet6) = (syn4(CLIENT_PORT), syn6(CLIENT_PORT));
    let open4 = encoded(&Message::Flow(FlowMessage {
        birth: None,
        tried: Tried::NONE,
        ..flow(FlowKind::Open, &packet4, false)
    }));
    let open6 = encoded(&Message::Flow(flow(FlowKind::Open, &packet6, true)));
    let mid_flow = request4(CLIENT_PORT);
    let mid_flow = encoded(&Message::Flow(FlowMessage {
        intent: Intent::MidFlow,
        birth: None,
        tried: Tried::NONE,
        ..flow(FlowKind::Open, &mid_flow, false)
    }));
    let mut seeds = Vec::new();
    for (tracker, name) in (0..).zip(["first", "second", "third"]) {
        let mut steps = Steps(vec![tracker]);
        message(&mut steps, HOST, &load(1));
        message(&mut steps, INGRESS, &open4);
        answered(&mut steps, FlowKind::Reject, 1);
        answered(&mut steps, FlowKind::Accept, 0);
        message(&mut steps, INGRESS, &open4);
        message(&mut steps, INGRESS, &open6);
        answered(&mut steps, FlowKind::Reject, 1);
        answered(&mut steps, FlowKind::Reject, 1);
        message(&mut steps, HOST, &state(1, FlowState::Established));
        message(&mut steps, HOST, &state(2, FlowState::Closed));
        message(&mut steps, INGRESS, &mid_flow);
        message(&mut steps, HOST, &state(0, FlowState::Established));
        message(&mut steps, INGRESS, &mid_flow);
        steps.bytes(&[4, 4, 3, 0, 4, 39, 39]);
        seeds.push(("flow_tracker", format!("{name}-search"), steps.0));
        for (name_of_message, bytes) in messages() {
            let mut steps = Steps(vec![tracker]);
            message(&mut steps, PRIMARY, &bytes);
            message(&mut steps, HOST, &bytes);
            seeds.push(("flow_tracker", format!("{name}-{name_of_message}"), steps.0));
        }
    }
    seeds
}

fn host_scripts() -> Vec<Seed> {
    let packet = syn4(CLIENT_PORT);
    let request = request4(CLIENT_PORT);
    let offer = encoded(&Message::Flow(flow(FlowKind::Offer, &packet, false)));
    let data = encoded(&Message::Flow(flow(FlowKind::Data, &request, false)));
    let ack = |sequence| encoded(&Message::Control(Control::Ack { sequence }));
    // An empty list of sockets: the agent then knows that it owns nothing.
    let loaded = || {
        let mut steps = Steps::default();
        steps.bytes(&[1]).chunk(&[1]);
        steps
    };
    let mut whole = loaded();
    message(&mut whole, PRIMARY, &offer);
    // Half open, open, closed by both sides.
    whole.bytes(&[1]).chunk(&[1, 2, 1, 0, 9]);
    message(&mut whole, INGRESS, &data);
    whole.bytes(&[1]).chunk(&[1, 2, 1, 1, 9]);
    whole.bytes(&[4]);
    message(&mut whole, PRIMARY, &ack(1));
    whole.bytes(&[1]).chunk(&[0, 2, 1, 1, 9]);
    whole.bytes(&[1]).chunk(&[1, 2, 1, 2, 9]);
    whole.bytes(&[1]).chunk(&[1]).bytes(&[4, 39, 4, 39, 4]);
    message(&mut whole, PRIMARY, &ack(2));
    let mut restart = Steps::default();
    restart
        .bytes(&[1])
        .chunk(&[1, 2, 1, 1, 9, 1, 1, 1, 8, 4, 1, 0, 7]);
    message(&mut restart, INGRESS, &data);
    message(&mut restart, PRIMARY, &offer);
    restart.bytes(&[4, 4, 4]);
    let mut full = loaded();
    for port in CLIENT_PORT..CLIENT_PORT + 7 {
        let packet = syn4(port);
        let offer = FlowMessage {
            key: FlowKey::new(CLIENT4, port, service(1), 80),
            ..flow(FlowKind::Offer, &packet, false)
        };
        message(&mut full, PRIMARY, &encoded(&Message::Flow(offer)));
    }
    full.bytes(&[4, 4, 39, 4]);
    let mut seeds = vec![
        ("host_agent", "flow".to_owned(), whole.0),
        ("host_agent", "restart".to_owned(), restart.0),
        ("host_agent", "full".to_owned(), full.0),
    ];
    for (name, bytes) in messages() {
        let mut steps = loaded();
        message(&mut steps, PRIMARY, &bytes);
        message(&mut steps, INGRESS, &bytes);
        steps.bytes(&[4]);
        seeds.push(("host_agent", name, steps.0));
    }
    seeds
}
