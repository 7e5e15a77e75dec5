//! Where the fuzzer begins: one input of every kind, for each target.

use super::role::node;
use super::script::Steps;
use super::wire::encode;
use jlb_protocol::message::{
    BucketDigest, Control, FlowKind, FlowMessage, FlowState, FlowStatement, Hunt, Intent, List,
    Listed, MemberEntry, Path, Reason, ServiceLoad, Tried,
};
use jlb_protocol::view::Member;
use jlb_protocol::{
    Birth, FlowKey, MemberState, Message, OfferNumber, PacketBuf, Role, ServiceNumber,
};
use packets::{packets, query4, request4, syn4, syn6};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

mod packets;

/// A seed: target, name, bytes.
pub type Seed = (&'static str, String, Vec<u8>);

const CLIENT4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const CLIENT6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
const CLIENT_PORT: u16 = 40_000;
const ISN: u32 = 0x0102_0304;

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
        hunt: Hunt::NONE,
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
        fresh: port.is_multiple_of(2),
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
            domain: None,
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
