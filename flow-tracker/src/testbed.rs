//! Trackers wired together in memory, for the tests: messages go through the real wire format,
//! hosts and ingresses are played by the test.

mod cluster;

pub(crate) use cluster::*;

use crate::config::Config;
use crate::record::{Record, State};
use crate::{FlowTracker, Stats};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use jlb_protocol::message::{
    Control, FlowKind, FlowMessage, FlowState, FlowStatement, Hunt, Intent, List, Path, Reason,
    ServiceLoad, Tried,
};
use jlb_protocol::rank::Ranking;
use jlb_protocol::view::Member;
use jlb_protocol::{
    Birth, Destination, DropReason, FlowKey, MemberState, Message, NodeNumber, OfferNumber, Role,
    ServiceNumber, Time, View, wire,
};

/// A message that a tracker sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Sent {
    Flow(FlowSent),
    Ack { to: NodeNumber, sequence: u64 },
    SendFull { to: NodeNumber, bucket: u16 },
}

/// A message about a flow that a tracker sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FlowSent {
    pub(crate) from: NodeNumber,
    pub(crate) to: NodeNumber,
    pub(crate) kind: FlowKind,
    pub(crate) key: FlowKey,
    pub(crate) offer: OfferNumber,
    pub(crate) intent: Intent,
    pub(crate) path: Path,
    pub(crate) birth: Option<Birth>,
    pub(crate) tried: Tried,
    pub(crate) hunt: Hunt,
    pub(crate) reason: Reason,
    pub(crate) packet: Vec<u8>,
}

impl FlowSent {
    /// The message, to be handed in.
    pub(crate) fn message(&self) -> FlowMessage<'_> {
        FlowMessage {
            kind: self.kind,
            key: self.key,
            offer: self.offer,
            intent: self.intent,
            path: self.path,
            birth: self.birth,
            tried: self.tried,
            hunt: self.hunt,
            reason: self.reason,
            load: 0,
            packet: &self.packet,
        }
    }

    /// The host's Accept of this Offer.
    pub(crate) fn accept(&self, birth: Birth) -> FlowMessage<'_> {
        FlowMessage {
            kind: FlowKind::Accept,
            birth: Some(birth),
            tried: Tried::NONE,
            packet: &[],
            ..self.message()
        }
    }

    /// The host's Reject of this Offer.
    pub(crate) fn reject(&self, reason: Reason) -> FlowMessage<'_> {
        FlowMessage {
            kind: FlowKind::Reject,
            reason,
            ..self.message()
        }
    }

    /// The same Offer, as the host passes it on to the next one of its hunt.
    pub(crate) fn passed_on(&self) -> Option<Self> {
        let next = self
            .hunt
            .after(self.host())
            .filter(|_| self.hunt.passes())?;
        let mut passed = Self {
            from: self.host(),
            to: next.host,
            ..self.clone()
        };
        passed.offer.step = next.step;
        passed.path.host = Some(next.host);
        passed.tried.push(self.host());
        Some(passed)
    }

    /// The tracker that the host answers to.
    pub(crate) fn up(&self) -> NodeNumber {
        self.path.secondary.or(self.path.primary).unwrap()
    }

    /// The host of the path.
    pub(crate) fn host(&self) -> NodeNumber {
        self.path.host.unwrap()
    }
}

/// A client's packet: IPv4 without options, TCP or UDP headers and no payload.
pub(crate) fn packet(key: &FlowKey, intent: Intent, seq: u32) -> Vec<u8> {
    let IpAddr::V4(client) = key.client() else {
        panic!("the testbed's clients are IPv4");
    };
    let (protocol, transport) = match intent {
        Intent::Syn => (6, tcp(key, seq, 0x02)),
        Intent::MidFlow => (6, tcp(key, seq, 0x10)),
        Intent::Datagram => (17, udp(key)),
    };
    let total = u8::try_from(20 + transport.len()).unwrap();
    let mut bytes = alloc::vec![0x45, 0, 0, total, 0, 0, 0x40, 0, 64, protocol, 0, 0];
    bytes.extend(client.octets());
    bytes.extend([198, 51, 100, 1]);
    bytes.extend(transport);
    bytes
}

fn tcp(key: &FlowKey, seq: u32, flags: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(key.client_port().to_be_bytes());
    bytes.extend(key.vip_port().to_be_bytes());
    bytes.extend(seq.to_be_bytes());
    bytes.extend([0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes
}

fn udp(key: &FlowKey) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(key.client_port().to_be_bytes());
    bytes.extend(key.vip_port().to_be_bytes());
    bytes.extend([0, 8, 0, 0]);
    bytes
}

/// Trackers, and the messages between them.
#[derive(Clone)]
pub(crate) struct Bed {
    pub(crate) trackers: BTreeMap<NodeNumber, FlowTracker>,
    pub(crate) now: Time,
    /// Messages that were sent and not delivered.
    pub(crate) wire: VecDeque<Sent>,
    /// The view that all begin with.
    pub(crate) view: View,
    /// The views of trackers that have another one now.
    views: BTreeMap<NodeNumber, View>,
}

impl Bed {
    pub(crate) fn new(trackers: u16, hosts: u16) -> Self {
        Self::with(trackers, hosts, |_| {})
    }

    pub(crate) fn with(trackers: u16, hosts: u16, change: impl Fn(&mut Config)) -> Self {
        let view = view(trackers, hosts);
        let now = Time::from_millis(1_000);
        let made = (1..=trackers).map(|number| {
            let me = tracker(number);
            let mut config = config(me, hosts);
            change(&mut config);
            let seed = u64::from(number);
            let mut it = FlowTracker::new(config, view.clone(), seed, now);
            it.filling.assume_marked(&it.nodes);
            (me, it)
        });
        Self {
            trackers: made.collect(),
            now,
            wire: VecDeque::new(),
            view,
            views: BTreeMap::new(),
        }
    }

    /// A tracker that has forgotten all of its flows, and takes what it has no record of for new.
    pub(crate) fn forget(&mut self, number: NodeNumber, hosts: u16) {
        self.restart(number, hosts);
        if let Some(it) = self.trackers.get_mut(&number) {
            it.filling.assume_marked(&it.nodes);
        }
    }

    /// Takes the tracker for filled by all hosts for the view that it has now.
    pub(crate) fn assume_filled(&mut self, number: u16) {
        if let Some(it) = self.trackers.get_mut(&tracker(number)) {
            it.filling.assume_marked(&it.nodes);
        }
    }

    /// A tracker that has lost its memory, in a fixed list.
    pub(crate) fn restart(&mut self, number: NodeNumber, hosts: u16) {
        let fresh = FlowTracker::new(config(number, hosts), self.view.clone(), 99, self.now);
        self.trackers.insert(number, fresh);
    }

    /// A tracker that has lost its memory, and joins: in the next incarnation in its own view, and
    /// the others do not know yet.
    pub(crate) fn join(&mut self, number: NodeNumber) {
        let hosts = u16::try_from(self.hosts().len()).unwrap();
        let members = self.view.members().iter().map(|member| Member {
            state: if member.node == number {
                MemberState::Joining
            } else {
                member.state
            },
            incarnation: member.incarnation + u32::from(member.node == number),
            ..*member
        });
        let view = View::new(members.collect());
        let fresh = FlowTracker::new(config(number, hosts), view.clone(), 99, self.now);
        self.trackers.insert(number, fresh);
        self.views.insert(number, view);
    }

    /// The hosts of the view.
    pub(crate) fn hosts(&self) -> Vec<NodeNumber> {
        let members = self.view.members().iter();
        let hosts = members.filter(|member| member.role == Role::HostAgent);
        hosts.map(|member| member.node).collect()
    }

    /// A tracker's own view.
    pub(crate) fn view_of(&self, number: u16) -> &View {
        self.views.get(&tracker(number)).unwrap_or(&self.view)
    }

    /// A member is in another state in one tracker's view.
    pub(crate) fn set_state(&mut self, number: u16, member: NodeNumber, state: MemberState) {
        let view = view_with(self.view_of(number), member, state);
        self.set_view(number, view);
    }

    pub(crate) fn set_view(&mut self, number: u16, view: View) {
        let it = self.trackers.get_mut(&tracker(number)).unwrap();
        it.handle_view(self.now, view.clone());
        self.views.insert(tracker(number), view);
        self.drain(tracker(number));
    }

    /// The fingerprint by which a host marks a tracker that has the same view.
    pub(crate) fn fingerprint(&self, number: u16) -> u64 {
        let me = Some(tracker(number));
        self.view_of(number).ranked_fingerprint(me)
    }

    /// A State of the host with this mark and nothing else.
    pub(crate) fn mark_from(
        &mut self,
        to: u16,
        from: NodeNumber,
        sequence: u64,
        filled: Option<u64>,
    ) {
        let control = Control::State {
            sequence,
            filled,
            listed: None,
            flows: List::Values(&[]),
        };
        self.hand(tracker(to), from, &Message::Control(control));
    }

    /// A flow of the web service that tracker 1 is the primary and tracker 2 the secondary of;
    /// another one for each `nth`.
    pub(crate) fn flow(&self, nth: usize) -> FlowKey {
        flow_of(web(), &self.view, nth)
    }

    /// The same of the UDP service.
    pub(crate) fn udp_flow(&self, nth: usize) -> FlowKey {
        flow_of(dns(), &self.view, nth)
    }

    pub(crate) fn stats(&self, number: u16) -> Stats {
        self.trackers[&tracker(number)].stats()
    }

    pub(crate) fn dropped(&self, number: u16, reason: DropReason) -> u64 {
        self.stats(number).ledger.dropped(reason)
    }

    pub(crate) fn record(&self, number: u16, key: &FlowKey) -> Option<Record> {
        let records = &self.trackers[&tracker(number)].records;
        records.find(key).map(|(_, record)| record)
    }

    pub(crate) fn state(&self, number: u16, key: &FlowKey) -> Option<State> {
        self.record(number, key).map(|record| record.state)
    }

    /// Hands a message to a tracker and takes what it sends.
    pub(crate) fn hand(&mut self, to: NodeNumber, from: NodeNumber, message: &Message<'_>) {
        let now = self.now;
        let tracker = self.trackers.get_mut(&to).unwrap();
        tracker.handle_message(now, from, message);
        self.drain(to);
    }

    pub(crate) fn hand_flow(&mut self, to: NodeNumber, from: NodeNumber, it: &FlowMessage<'_>) {
        self.hand(to, from, &Message::Flow(*it));
    }

    /// Takes what a tracker sends, and checks what always holds.
    fn drain(&mut self, number: NodeNumber) {
        let tracker = self.trackers.get_mut(&number).unwrap();
        while let Some(transmit) = tracker.poll_transmit() {
            let Destination::Node(to) = transmit.to else {
                panic!("a tracker has no stack");
            };
            let bytes = transmit.buf.as_slice();
            match wire::decode(bytes).expect("a tracker's messages can be read") {
                Message::Flow(message) => {
                    assert_eq!(transmit.flow, HASH_KEY.flow_hash(&message.key));
                    self.wire.push_back(Sent::Flow(sent(number, to, &message)));
                }
                Message::Control(Control::Ack { sequence }) => {
                    self.wire.push_back(Sent::Ack { to, sequence });
                }
                Message::Control(Control::SendFull { bucket }) => {
                    self.wire.push_back(Sent::SendFull { to, bucket });
                }
                Message::Control(other) => panic!("a tracker does not send {other:?}"),
            }
            tracker.recycle(transmit.buf);
        }
        let stats = tracker.stats();
        assert_eq!(stats.ledger.imbalance(), 0, "S6: {stats:?}");
        assert_eq!(stats.ledger.held, stats.who_has + stats.waiting);
        assert!(stats.untrusted <= stats.flows);
        let untrusted = tracker
            .records
            .iter()
            .filter(|(_, r)| !r.state.is_trusted());
        assert_eq!(stats.untrusted, untrusted.count() as u64);
    }

    /// An Open from the first ingress to tracker 1.
    pub(crate) fn open(&mut self, key: &FlowKey, intent: Intent, isn: u32) {
        self.open_as(tracker(1), ingress(), key, intent, isn);
    }

    pub(crate) fn open_as(
        &mut self,
        to: NodeNumber,
        from: NodeNumber,
        key: &FlowKey,
        intent: Intent,
        isn: u32,
    ) {
        let packet = packet(key, intent, isn);
        self.hand_flow(to, from, &open(to, from, key, intent, isn, &packet));
    }

    /// Delivers what trackers sent each other until nothing is left; gives what they sent to
    /// ingresses and hosts.
    pub(crate) fn settle(&mut self) -> Vec<FlowSent> {
        let mut out = Vec::new();
        while let Some(sent) = self.wire.pop_front() {
            match sent {
                Sent::Flow(sent) if self.trackers.contains_key(&sent.to) => {
                    self.hand_flow(sent.to, sent.from, &sent.message());
                }
                Sent::Flow(sent) => out.push(sent),
                Sent::Ack { .. } | Sent::SendFull { .. } => {}
            }
        }
        out
    }

    /// [`Self::settle`], where exactly one message is expected.
    #[track_caller]
    pub(crate) fn settle_one(&mut self) -> FlowSent {
        let mut out = self.settle();
        assert_eq!(out.len(), 1, "{out:#?}");
        out.remove(0)
    }

    /// [`Self::settle`], where nothing is expected.
    #[track_caller]
    pub(crate) fn settle_silent(&mut self) {
        let out = self.settle();
        assert!(out.is_empty(), "{out:#?}");
    }

    /// The one message that was sent last and not delivered, taken off the wire.
    #[track_caller]
    pub(crate) fn take_one(&mut self) -> FlowSent {
        assert_eq!(self.wire.len(), 1, "{:#?}", self.wire);
        match self.wire.pop_front() {
            Some(Sent::Flow(sent)) => sent,
            other => panic!("{other:?}"),
        }
    }

    /// The host accepts the Offer.
    pub(crate) fn accept(&mut self, offer: &FlowSent, birth: Birth) {
        self.hand_flow(offer.up(), offer.host(), &offer.accept(birth));
    }

    /// The host rejects the Offer.
    pub(crate) fn reject(&mut self, offer: &FlowSent, reason: Reason) {
        self.hand_flow(offer.up(), offer.host(), &offer.reject(reason));
    }

    /// An established flow, by Open, Accept and State to both trackers.
    pub(crate) fn establish(&mut self, key: &FlowKey, isn: u32, birth: Birth) -> NodeNumber {
        self.open(key, Intent::Syn, isn);
        let offer = self.settle_one();
        self.accept(&offer, birth);
        self.settle_one();
        let numbers: Vec<_> = self.trackers.keys().copied().collect();
        for number in numbers {
            let it = statement(key, birth, isn, FlowState::Established);
            self.state_from(number, offer.host(), 0, &[it]);
        }
        offer.host()
    }

    pub(crate) fn state_from(
        &mut self,
        to: NodeNumber,
        from: NodeNumber,
        sequence: u64,
        flows: &[FlowStatement],
    ) {
        let flows = List::Values(flows);
        let control = Control::State {
            sequence,
            filled: None,
            listed: None,
            flows,
        };
        self.hand(to, from, &Message::Control(control));
    }

    pub(crate) fn load_from(&mut self, to: NodeNumber, from: NodeNumber, load: ServiceLoad) {
        let services = List::Values(core::slice::from_ref(&load));
        self.hand(to, from, &Message::Control(Control::Load { services }));
    }

    /// Lets time pass and timers run.
    pub(crate) fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
        let numbers: Vec<_> = self.trackers.keys().copied().collect();
        for number in numbers {
            let tracker = self.trackers.get_mut(&number).unwrap();
            tracker.handle_timeout(self.now);
            self.drain(number);
        }
    }
}

/// A flow that trackers 1 and 2 rank for, in that order, if there are as many.
fn flow_of(service: ServiceNumber, view: &View, nth: usize) -> FlowKey {
    let ranking = Ranking::new(HASH_KEY, view);
    let second = (ranking.trackers().len() > 1).then(|| tracker(2));
    (1..u16::MAX)
        .map(|port| FlowKey::new(Ipv4Addr::new(192, 0, 2, 7).into(), port, service, 80))
        .filter(|key| {
            let ranks = ranking.ranks(HASH_KEY.flow_hash(key));
            ranks.primary == Some(tracker(1)) && ranks.secondary == second
        })
        .nth(nth)
        .unwrap()
}

pub(crate) fn open<'a>(
    to: NodeNumber,
    from: NodeNumber,
    key: &FlowKey,
    intent: Intent,
    isn: u32,
    packet: &'a [u8],
) -> FlowMessage<'a> {
    FlowMessage {
        kind: FlowKind::Open,
        key: *key,
        offer: OfferNumber { isn, step: TTL },
        intent,
        path: Path {
            ingress: Some(from),
            primary: Some(to),
            ..Path::default()
        },
        birth: None,
        tried: Tried::NONE,
        hunt: Hunt::NONE,
        reason: Reason::None,
        load: 0,
        packet,
    }
}

pub(crate) fn statement(key: &FlowKey, birth: Birth, isn: u32, state: FlowState) -> FlowStatement {
    FlowStatement {
        key: *key,
        birth,
        isn,
        state,
        fresh: false,
    }
}

/// A host's answer to WhoHas that it does not have the flow.
pub(crate) fn not_mine(key: &FlowKey) -> FlowStatement {
    let none = Birth {
        incarnation: 0,
        counter: 0,
    };
    statement(key, none, 0, FlowState::NotMine)
}

fn sent(from: NodeNumber, to: NodeNumber, message: &FlowMessage<'_>) -> FlowSent {
    FlowSent {
        from,
        to,
        kind: message.kind,
        key: message.key,
        offer: message.offer,
        intent: message.intent,
        path: message.path,
        birth: message.birth,
        tried: message.tried,
        hunt: message.hunt,
        reason: message.reason,
        packet: message.packet.to_vec(),
    }
}
