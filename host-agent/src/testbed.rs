//! An agent on a bench: packets and messages in, everything that it sends out, books checked
//! after every call.

use crate::config::{Admission, Config, Drain, Limits, Service, Timers};
use crate::{DumpScope, HostAgent, Socket, Stats, Verdict};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use jlb_protocol::keyed_hash::HashKey;
use jlb_protocol::message::{
    BucketDigest, Control, FlowKind, FlowMessage, FlowState, FlowStatement, Hunt, Intent, Listed,
    Path, Reason, ServiceLoad, Tried,
};
use jlb_protocol::number::Role;
use jlb_protocol::packet;
use jlb_protocol::services::{Ports, ServiceMatch};
use jlb_protocol::view::{Member, MemberState};
use jlb_protocol::{
    Birth, Destination, FlowKey, Message, NodeNumber, OfferNumber, Protocol, ServiceNumber, Time,
    View, wire,
};
use std::collections::{BTreeMap, VecDeque};
use std::vec;
use std::vec::Vec;

mod clients;

pub(crate) use clients::{Client, client, client6, udp_client};

pub(crate) const INCARNATION: u32 = 7;
/// Before the first number of a State of this life of the host.
const BASE: u64 = (INCARNATION as u64) << 32;
/// Calls after which what is due should be done.
const MAX_CALLS: usize = 1_000;
pub(crate) const HASH_KEY: HashKey = HashKey::new([5; 16]);

pub(crate) fn node(number: u16) -> NodeNumber {
    NodeNumber::new(number).unwrap()
}

pub(crate) fn service(number: u32) -> ServiceNumber {
    ServiceNumber::new(number).unwrap()
}

pub(crate) fn ingress() -> NodeNumber {
    node(1)
}

pub(crate) fn me() -> NodeNumber {
    node(20)
}

pub(crate) const VIP4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 80));
pub(crate) const VIP6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x80));

pub(crate) fn birth(counter: u32) -> Birth {
    Birth {
        incarnation: INCARNATION,
        counter,
    }
}

/// This host, ingress nodes with numbers below 10, and trackers with others.
pub(crate) fn view(others: &[u16]) -> View {
    let mut members: Vec<_> = others
        .iter()
        .map(|&number| Member {
            node: node(number),
            role: if number < 10 {
                Role::Ingress
            } else {
                Role::FlowTracker
            },
            state: MemberState::Active,
            incarnation: 0,
            domain: None,
        })
        .collect();
    members.push(Member {
        node: me(),
        role: Role::HostAgent,
        state: MemberState::Active,
        incarnation: 0,
        domain: None,
    });
    View::new(members)
}

/// This host, the ingress 1, and trackers, each in a state and a life.
pub(crate) fn trackers(trackers: &[(u16, MemberState, u32)]) -> View {
    let mut members = view(&[1]).members().to_vec();
    members.extend(trackers.iter().map(|&(number, state, incarnation)| Member {
        node: node(number),
        role: Role::FlowTracker,
        state,
        incarnation,
        domain: None,
    }));
    View::new(members)
}

/// TCP service 1 on VIP4:80, UDP service 2 on VIP4:53, TCP service 3 on VIP6:443.
pub(crate) fn config() -> Config {
    let service_of = |number, vip, protocol, port| Service {
        number: service(number),
        matching: ServiceMatch {
            service: service(number),
            vip,
            protocol,
            ports: Ports::Range(port, port),
        },
        admission: Admission::default(),
        must_accept: false,
    };
    Config {
        node: me(),
        incarnation: INCARNATION,
        hash_key: HASH_KEY,
        services: vec![
            service_of(1, VIP4, Protocol::Tcp, 80),
            service_of(2, VIP4, Protocol::Udp, 53),
            service_of(3, VIP6, Protocol::Tcp, 443),
        ],
        drain: Drain::default(),
        limits: Limits {
            max_flows: 64,
            max_rejects: 128,
            max_statements: 64,
            max_outbox: 256,
        },
        timers: Timers {
            handshake: Duration::from_secs(75),
            linger: Duration::from_secs(60),
            udp_idle: Duration::from_secs(30),
            refresh: Duration::from_secs(20),
            state_delay: Duration::from_millis(10),
            state_retry: Duration::from_millis(200),
            load_interval: Duration::from_secs(1),
            load_interval_min: Duration::from_secs(1),
            socketless: Duration::from_secs(1),
            reject_rotation: Duration::from_secs(5),
        },
    }
}

pub(crate) fn limit_connections(config: &mut Config, max: u32) {
    for service in &mut config.services {
        service.admission = Admission::max_connections(max);
    }
}

/// What the agent sent, without borrows.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Sent {
    Flow {
        to: NodeNumber,
        kind: FlowKind,
        key: FlowKey,
        offer: OfferNumber,
        path: Path,
        birth: Option<Birth>,
        tried: Tried,
        reason: Reason,
        load: u16,
        packet: Vec<u8>,
    },
    /// The number counts from the last [`Bed::settle`] on.
    State {
        to: NodeNumber,
        sequence: u64,
        filled: Option<u64>,
        listed: Option<Listed>,
        flows: Vec<FlowStatement>,
    },
    Digest {
        to: NodeNumber,
        sequence: u64,
        buckets: Vec<BucketDigest>,
    },
    Load {
        to: NodeNumber,
        services: Vec<ServiceLoad>,
    },
}

/// A message that means nothing but its kind and packet; the flow is the packet's.
pub(crate) fn message(kind: FlowKind, service: u32, packet: &[u8]) -> FlowMessage<'_> {
    let parsed = packet::parse(packet).unwrap();
    FlowMessage {
        kind,
        key: parsed.flow_key(self::service(service)).unwrap(),
        offer: OfferNumber { isn: 0, step: 0 },
        intent: parsed.intent().unwrap(),
        path: Path::default(),
        birth: None,
        tried: Tried::NONE,
        hunt: Hunt::NONE,
        reason: Reason::None,
        load: 0,
        packet,
    }
}

/// The agent, the view and the clock.
#[derive(Clone)]
pub(crate) struct Bed {
    pub(crate) agent: HostAgent,
    pub(crate) view: View,
    pub(crate) now: Time,
    /// The numbers of the last States before the part of a test that counts.
    settled: BTreeMap<NodeNumber, u64>,
    /// The numbers that were acknowledged last.
    acknowledged: BTreeMap<NodeNumber, u64>,
    /// What was handed to the stack besides packets that came.
    pub(crate) injected: Vec<Vec<u8>>,
}

impl Bed {
    /// An agent that was not given the kernel's list yet, with trackers 10, 11 and 12.
    pub(crate) fn unready(config: Config) -> Self {
        let view = view(&[10, 11, 12]);
        let now = Time::from_millis(1_000_000);
        Self {
            agent: HostAgent::new(config, view.clone(), 99, now),
            view,
            now,
            settled: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            injected: Vec::new(),
        }
    }

    /// An agent whose kernel had no socket, and whose trackers have heard that.
    pub(crate) fn new(config: Config) -> Self {
        let mut bed = Self::started(config);
        bed.settle();
        bed
    }

    /// An agent whose kernel had no socket, and that has said nothing yet.
    pub(crate) fn started(config: Config) -> Self {
        let mut bed = Self::unready(config);
        bed.load(&[]);
        bed
    }

    /// Lets the trackers be told and acknowledge all that is owed to them and due now. The next State of
    /// each has the number 1 again.
    pub(crate) fn settle(&mut self) {
        for _ in 0..MAX_CALLS {
            let due = self.agent.poll_timeout();
            if due.is_none_or(|due| due > self.now) {
                break;
            }
            self.agent.handle_timeout(self.now);
            let mut sent = self.drain();
            while let Some(message) = sent.pop() {
                if let Sent::State { to, sequence, .. } = message {
                    assert_eq!(self.ack(to, sequence), Verdict::Done);
                    sent.extend(self.drain());
                }
            }
        }
        assert_eq!(self.stats().trackers_unfilled, 0);
        self.settled = self.acknowledged.clone();
    }

    /// The fingerprint by which a tracker of the view is filled.
    pub(crate) fn fingerprint(&self, tracker: u16) -> u64 {
        self.view.ranked_fingerprint(Some(node(tracker)))
    }

    /// Takes another view.
    pub(crate) fn see(&mut self, view: View) {
        self.view = view;
        self.agent.handle_view(self.now, self.view.clone());
        self.check();
    }

    pub(crate) fn wait(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
    }

    /// Runs timers up to `millis` from now and gives what was sent, Loads left out.
    pub(crate) fn run(&mut self, millis: u64) -> Vec<Sent> {
        let mut sent = self.run_with_loads(millis);
        sent.retain(|sent| !matches!(sent, Sent::Load { .. }));
        sent
    }

    /// The Loads that are sent up to `millis` from now.
    pub(crate) fn run_loads(&mut self, millis: u64) -> Vec<Sent> {
        let mut sent = self.run_with_loads(millis);
        sent.retain(|sent| matches!(sent, Sent::Load { .. }));
        sent
    }

    pub(crate) fn run_with_loads(&mut self, millis: u64) -> Vec<Sent> {
        let end = self.now + Duration::from_millis(millis);
        let mut sent = Vec::new();
        while let Some(next) = self.agent.poll_timeout().filter(|&next| next <= end) {
            self.now = self.now.max(next);
            self.agent.handle_timeout(self.now);
            sent.extend(self.drain());
        }
        self.now = end;
        sent
    }

    /// Like [`Self::run`], with trackers and ingress nodes that acknowledge every State at once.
    pub(crate) fn converse(&mut self, millis: u64) -> Vec<Sent> {
        let end = self.now + Duration::from_millis(millis);
        let mut all = Vec::new();
        while let Some(next) = self.agent.poll_timeout().filter(|&next| next <= end) {
            self.now = self.now.max(next);
            self.agent.handle_timeout(self.now);
            let mut sent = VecDeque::from(self.drain());
            while let Some(message) = sent.pop_front() {
                if let Sent::State { to, sequence, .. } = message {
                    assert_eq!(self.ack(to, sequence), Verdict::Done);
                    sent.extend(self.drain());
                }
                all.push(message);
            }
        }
        self.now = end;
        all.retain(|sent| !matches!(sent, Sent::Load { .. }));
        all
    }

    /// The statements of [`Self::converse`].
    pub(crate) fn run_acked(&mut self, millis: u64) -> Vec<FlowStatement> {
        let sent = self.converse(millis);
        let flows = sent.into_iter().filter_map(|sent| match sent {
            Sent::State { flows, .. } => Some(flows),
            Sent::Flow { .. } | Sent::Digest { .. } | Sent::Load { .. } => None,
        });
        flows.flatten().collect()
    }

    pub(crate) fn handle(&mut self, from: NodeNumber, message: &Message<'_>) -> Verdict {
        let verdict = self.agent.handle_message(self.now, from, message);
        self.check();
        verdict
    }

    /// The number of the last State before the part of a test that counts.
    pub(crate) fn settled(&self, tracker: NodeNumber) -> u64 {
        self.settled.get(&tracker).copied().unwrap_or(BASE)
    }

    /// Acknowledges by the numbers that [`Sent::State`] has.
    pub(crate) fn ack(&mut self, tracker: NodeNumber, sequence: u64) -> Verdict {
        let before = self.settled(tracker);
        let sequence = match sequence {
            0 => 0,
            sequence => sequence.saturating_add(before),
        };
        self.acknowledged.insert(tracker, sequence);
        self.handle(tracker, &Message::Control(Control::Ack { sequence }))
    }

    pub(crate) fn path(&self, client: Client) -> Path {
        let ranks = client.ranks(&self.view);
        Path {
            ingress: Some(ingress()),
            primary: ranks.primary,
            secondary: ranks.secondary,
            host: Some(me()),
        }
    }

    /// An Offer over the flow's own trackers, with step 3.
    pub(crate) fn offer_message<'p>(&self, client: Client, packet: &'p [u8]) -> FlowMessage<'p> {
        let mut offer = message(FlowKind::Offer, client.service, packet);
        let isn = match (offer.intent, packet::parse(packet).unwrap().transport) {
            (Intent::Syn | Intent::MidFlow, packet::Transport::Tcp { seq, .. }) => seq,
            _ => 0,
        };
        offer.offer = OfferNumber { isn, step: 3 };
        offer.path = self.path(client);
        offer
    }

    pub(crate) fn offer(&mut self, client: Client, packet: &[u8]) -> (Verdict, Vec<Sent>) {
        let offer = self.offer_message(client, packet);
        let from = offer.path.secondary.or(offer.path.primary).unwrap();
        let verdict = self.handle(from, &Message::Flow(offer));
        (verdict, self.drain())
    }

    pub(crate) fn offer_step(
        &mut self,
        client: Client,
        isn: u32,
        step: u8,
    ) -> (Verdict, Vec<Sent>) {
        let syn = client.syn(isn);
        let mut offer = self.offer_message(client, &syn);
        offer.offer.step = step;
        let from = offer.path.secondary.or(offer.path.primary).unwrap();
        let verdict = self.handle(from, &Message::Flow(offer));
        (verdict, self.drain())
    }

    pub(crate) fn data(&mut self, client: Client, packet: &[u8]) -> (Verdict, Vec<Sent>) {
        let mut data = message(FlowKind::Data, client.service, packet);
        data.intent = Intent::MidFlow;
        data.birth = Some(birth(77));
        let verdict = self.handle(ingress(), &Message::Flow(data));
        (verdict, self.drain())
    }

    /// Accepts the client's flow and gives its birth.
    pub(crate) fn accept(&mut self, client: Client, isn: u32) -> Birth {
        let syn = client.syn(isn);
        let (verdict, sent) = self.offer(client, &syn);
        assert_eq!(verdict, Verdict::Deliver);
        accepted(&sent).expect("an Accept")
    }

    /// Accepts the client's flow and sees its handshake finished.
    pub(crate) fn establish(&mut self, client: Client, isn: u32) -> Birth {
        let birth = self.accept(client, isn);
        assert_eq!(self.data(client, &client.ack()).0, Verdict::Deliver);
        birth
    }

    /// A dump that begins and ends now.
    pub(crate) fn dump(&mut self, sockets: &[Socket]) {
        self.dump_of(DumpScope::All, self.now, sockets);
    }

    pub(crate) fn dump_begun(&mut self, started: Time, sockets: &[Socket]) {
        self.dump_of(DumpScope::All, started, sockets);
    }

    pub(crate) fn dump_of(&mut self, scope: DumpScope, started: Time, sockets: &[Socket]) {
        self.agent.handle_sockets(self.now, started, scope, sockets);
        self.check();
    }

    /// The two dumps that make an agent ready.
    pub(crate) fn load(&mut self, sockets: &[Socket]) {
        self.dump(sockets);
        self.dump(sockets);
    }

    /// Two dumps, far enough apart to prove what is missing from both.
    pub(crate) fn dump_twice(&mut self, sockets: &[Socket]) {
        for _ in 0..2 {
            self.wait(1001);
            self.dump(sockets);
        }
    }

    pub(crate) fn destroyed(&mut self, client: Client, cookie: u64) {
        let (local, remote) = (client.local(), client.remote());
        self.agent
            .handle_socket_closed(self.now, local, remote, cookie);
        self.check();
    }

    pub(crate) fn aborted(&mut self, client: Client, cookie: u64) {
        let remote = SocketAddr::new(client.address, 0);
        self.agent
            .handle_socket_closed(self.now, client.local(), remote, cookie);
        self.check();
    }

    pub(crate) fn stats(&self) -> Stats {
        self.agent.stats()
    }

    /// Accepted, established, closing, released.
    pub(crate) fn flows(&self) -> [u32; 4] {
        let stats = self.stats();
        [
            stats.flows_accepted,
            stats.flows_established,
            stats.flows_closing,
            stats.flows_released,
        ]
    }

    pub(crate) fn check(&self) {
        let stats = self.stats();
        assert_eq!(stats.ledger.imbalance(), 0, "{stats:?}");
        assert_eq!(stats.ledger.held, 0);
        let open: u32 = stats.services.iter().map(|one| one.connections).sum();
        assert_eq!(open, stats.flows_accepted + stats.flows_established);
    }

    pub(crate) fn drain(&mut self) -> Vec<Sent> {
        self.check();
        let mut all = Vec::new();
        while let Some(transmit) = self.agent.poll_transmit() {
            let Destination::Node(to) = transmit.to else {
                self.injected.push(transmit.buf.as_slice().to_vec());
                self.agent.recycle(transmit.buf);
                continue;
            };
            let mut sent = read(to, &wire::decode(transmit.buf.as_slice()).unwrap());
            if let Sent::State { to, sequence, .. } = &mut sent
                && *sequence > 0
            {
                *sequence -= self.settled(*to);
            }
            all.push(sent);
            self.agent.recycle(transmit.buf);
        }
        all
    }
}

fn read(to: NodeNumber, message: &Message<'_>) -> Sent {
    match message {
        Message::Flow(flow) => Sent::Flow {
            to,
            kind: flow.kind,
            key: flow.key,
            offer: flow.offer,
            path: flow.path,
            birth: flow.birth,
            tried: flow.tried,
            reason: flow.reason,
            load: flow.load,
            packet: flow.packet.to_vec(),
        },
        Message::Control(Control::State {
            sequence,
            filled,
            listed,
            flows,
        }) => Sent::State {
            to,
            sequence: *sequence,
            filled: *filled,
            listed: *listed,
            flows: flows.iter().collect(),
        },
        Message::Control(Control::Digest { sequence, buckets }) => Sent::Digest {
            to,
            sequence: *sequence,
            buckets: buckets.iter().collect(),
        },
        Message::Control(Control::Load { services }) => Sent::Load {
            to,
            services: services.iter().collect(),
        },
        Message::Control(other) => panic!("a host does not send {other:?}"),
    }
}

/// The birth of the single Accept among these.
pub(crate) fn accepted(sent: &[Sent]) -> Option<Birth> {
    match sent {
        [
            Sent::Flow {
                kind: FlowKind::Accept,
                birth,
                packet,
                ..
            },
        ] => {
            assert!(packet.is_empty());
            *birth
        }
        _ => None,
    }
}

/// The reason and load of the single Reject among these.
pub(crate) fn rejected(sent: &[Sent]) -> Option<(Reason, u16)> {
    match sent {
        [
            Sent::Flow {
                kind: FlowKind::Reject,
                reason,
                load,
                ..
            },
        ] => Some((*reason, *load)),
        _ => None,
    }
}

/// The statements among these for the flow's primary, as state and birth.
pub(crate) fn stated(sent: &[Sent], bed: &Bed, client: Client) -> Vec<(FlowState, Birth)> {
    let primary = client.ranks(&bed.view).primary;
    let states = sent.iter().filter_map(|sent| match sent {
        Sent::State { to, flows, .. } if Some(*to) == primary => Some(flows),
        _ => None,
    });
    states
        .flatten()
        .filter(|statement| statement.key == client.key())
        .map(|statement| (statement.state, statement.birth))
        .collect()
}
