//! A cluster of memberships, each with its link, on a made-up network and clock.

use crate::{Command, Config, Known, Membership};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use jlb_protocol::link::{self, Link, MessageKey, MessageKeys, Opened, PeerAddress};
use jlb_protocol::message::{Control, List};
use jlb_protocol::{MemberState, Message, NodeNumber, PacketBuf, Role, Time, wire};

const PORT: u16 = 6081;

pub(crate) fn number(number: u16) -> NodeNumber {
    NodeNumber::new(number).unwrap()
}

pub(crate) fn address(number: u16) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 + u32::from(number))
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Roles by number: below 100 trackers, below 200 ingress nodes, hosts from there on.
pub(crate) fn role(number: u16) -> Role {
    match number {
        0..100 => Role::FlowTracker,
        100..200 => Role::Ingress,
        _ => Role::HostAgent,
    }
}

pub(crate) fn known(of: u16) -> Known {
    Known::at(number(of), role(of), IpAddr::V4(address(of)))
}

pub(crate) fn config(own: u16) -> Config {
    Config {
        node: number(own),
        role: role(own),
        incarnation: 1,
        heartbeat: millis(100),
        failure_timeout: millis(400),
        host_heartbeat: millis(200),
        host_timeout: millis(800),
        max_nodes: 64,
        fixed: false,
    }
}

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// What a shell does wrong, to see that it would be noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    None,
    /// Silent peers are not asked, and heartbeats are half as frequent.
    NoProbes,
    /// The heartbeat is as slow as the link's own, and silent peers are not asked.
    SlowHeartbeat,
    /// Nobody tells of others.
    NoMembers,
}

pub(crate) struct Node {
    local: IpAddr,
    pub(crate) membership: Membership,
    pub(crate) link: Link,
    pub(crate) alive: bool,
    /// Not scheduled until then; what is sent to it waits.
    pub(crate) stopped_until: Time,
    waiting: Vec<(IpAddr, Vec<u8>)>,
    timer: Option<Time>,
    /// Each change of another node's state: when, whom, and into what.
    pub(crate) seen: Vec<(Time, u16, Option<MemberState>)>,
    pub(crate) pauses: u32,
}

enum Event {
    Deliver { to: u16, from: u16, bytes: Vec<u8> },
    Wake { node: u16 },
}

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) nodes: BTreeMap<u16, Node>,
    pub(crate) random: Random,
    /// Of a thousand messages.
    pub(crate) loss: u64,
    /// Messages are this late at most, and a tenth of that at least.
    pub(crate) delay: Duration,
    pub(crate) fault: Fault,
    /// Pairs whose messages are lost, from and to.
    pub(crate) cut: Vec<(u16, u16)>,
    /// Nodes that have another address than that of their number: that of this one.
    pub(crate) moved: BTreeMap<u16, u16>,
    pub(crate) messages: u64,
    events: BTreeMap<(Time, u64), Event>,
    sequence: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: Time::from_millis(1_000),
            nodes: BTreeMap::new(),
            random: Random(seed),
            loss: 0,
            delay: millis(2),
            fault: Fault::None,
            cut: Vec::new(),
            moved: BTreeMap::new(),
            messages: 0,
            events: BTreeMap::new(),
            sequence: 0,
        }
    }

    /// A cluster whose nodes all know each other.
    pub(crate) fn of(seed: u64, numbers: &[u16]) -> Self {
        let mut world = Self::new(seed);
        for &own in numbers {
            world.start(own, numbers, 1);
        }
        world
    }

    /// Starts a node, with a file that has these nodes.
    pub(crate) fn start(&mut self, own: u16, file: &[u16], incarnation: u32) {
        let config = Config {
            incarnation,
            ..config(own)
        };
        self.start_with(config, file);
    }

    pub(crate) fn start_with(&mut self, config: Config, file: &[u16]) {
        let own = config.node.get();
        let local = self.place(own);
        let peers = file
            .iter()
            .filter(|&&other| other != own && crate::speak(role(own), role(other)))
            .map(|&other| PeerAddress {
                node: number(other),
                local,
                remote: IpAddr::V4(address(other)),
            })
            .collect();
        let key = MessageKey {
            id: 1,
            secret: [3; 16],
        };
        let seed = self.random.next();
        let link = Link::new(
            link::Config {
                node: config.node,
                role: config.role,
                state: MemberState::Joining,
                incarnation: config.incarnation,
                worker: 0,
                keys: MessageKeys::new(key, vec![]),
                peers,
                port: PORT,
                hello_interval: millis(500),
                view: 0,
                config: 0,
            },
            seed,
            self.now,
        );
        let known = file.iter().map(|&other| known(other)).collect();
        let mut node = Node {
            local,
            membership: Membership::new(config, known, self.now),
            link,
            alive: true,
            stopped_until: Time::ZERO,
            waiting: Vec::new(),
            timer: None,
            seen: Vec::new(),
            pauses: 0,
        };
        node.link.set_state(node.membership.state());
        self.nodes.insert(own, node);
        self.schedule(self.now, Event::Wake { node: own });
    }

    /// The address of a node.
    fn place(&self, node: u16) -> IpAddr {
        place_of(&self.moved, node)
    }

    fn schedule(&mut self, at: Time, event: Event) {
        self.sequence += 1;
        self.events.insert((at, self.sequence), event);
    }

    pub(crate) fn node(&mut self, number: u16) -> &mut Node {
        self.nodes.get_mut(&number).unwrap()
    }

    pub(crate) fn kill(&mut self, number: u16) {
        self.node(number).alive = false;
    }

    /// SIGSTOP now, SIGCONT after that time.
    pub(crate) fn stop(&mut self, number: u16, span: Duration) {
        let until = self.now + span;
        self.node(number).stopped_until = until;
        self.schedule(until, Event::Wake { node: number });
    }

    pub(crate) fn set_state(&mut self, number: u16, state: MemberState) {
        let now = self.now;
        self.node(number).membership.set_state(now, state);
        self.drain(number);
    }

    /// Lets every tracker that has settled be active, as the shell does once it is filled.
    pub(crate) fn activate(&mut self) {
        let now = self.now;
        let numbers: Vec<_> = self.nodes.keys().copied().collect();
        for number in numbers {
            let node = self.node(number);
            if node.alive
                && node.stopped_until <= now
                && node.membership.state() == MemberState::Joining
                && node.membership.may_settle(now)
            {
                self.set_state(number, MemberState::Active);
            }
        }
    }

    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some((&(at, sequence), _)) = self.events.first_key_value() {
            if at > end {
                break;
            }
            self.now = at;
            match self.events.remove(&(at, sequence)) {
                Some(Event::Wake { node }) => self.wake(node),
                Some(Event::Deliver { to, from, bytes }) => self.deliver(to, from, bytes),
                None => {}
            }
        }
        self.now = end;
    }

    /// Runs for three seconds, while trackers become active.
    pub(crate) fn settle(&mut self) {
        for _ in 0..60 {
            self.run(millis(50));
            self.activate();
        }
    }

    /// What `of` is in the view of `number`.
    pub(crate) fn state(&self, by: u16, of: u16) -> Option<MemberState> {
        let view = self.nodes[&by].membership.view();
        Some(view.member(number(of))?.state)
    }

    fn wake(&mut self, own: u16) {
        let now = self.now;
        let node = self.node(own);
        if !node.alive || node.stopped_until > now {
            return;
        }
        node.timer = None;
        node.membership.handle_timeout(now);
        self.drain(own);
        let waiting = core::mem::take(&mut self.node(own).waiting);
        for (from, bytes) in waiting {
            self.open(own, from, &bytes);
        }
        self.drain(own);
    }

    fn deliver(&mut self, to: u16, from: u16, bytes: Vec<u8>) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&to).filter(|node| node.alive) else {
            return;
        };
        let from = place_of(&self.moved, from);
        if node.stopped_until > now {
            if node.waiting.len() < 200 {
                node.waiting.push((from, bytes));
            }
            return;
        }
        node.membership.handle_timeout(now);
        self.drain(to);
        self.open(to, from, &bytes);
        self.drain(to);
    }

    fn open(&mut self, own: u16, from: IpAddr, bytes: &[u8]) {
        let now = self.now;
        let node = self.node(own);
        let local = node.local;
        let opened = node
            .link
            .open(now, SocketAddr::new(from, PORT), local, bytes);
        assert_eq!(node.link.ledger().imbalance(), 0);
        while let Some(event) = node.link.poll_event() {
            node.membership.handle_event(now, &event);
        }
        if let Ok(Opened::Message(from)) = opened {
            node.membership.handle_heard(now, from);
            if let Ok(Message::Control(Control::Members { members })) = wire::decode(bytes) {
                node.membership.handle_members(now, from, &members);
            }
        }
    }

    /// What a shell does after each call.
    pub(crate) fn drain(&mut self, own: u16) {
        let now = self.now;
        let fault = self.fault;
        let mut sent = Vec::new();
        let node = self.node(own);
        while let Some(command) = node.membership.poll_command() {
            node.execute(now, fault, command, &mut sent);
        }
        node.link.handle_timeout(now);
        while let Some((route, buf)) = node.link.poll_hello() {
            sent.push((route.remote.ip(), buf.as_slice().to_vec()));
        }
        let due = [node.link.poll_timeout(), node.membership.poll_timeout()];
        let due = due.into_iter().flatten().min();
        if let Some(due) = due.filter(|&due| node.timer.is_none_or(|timer| due < timer)) {
            let due = due.max(now);
            node.timer = Some(due);
            self.schedule(due, Event::Wake { node: own });
        }
        for (to, bytes) in sent {
            self.send(own, to, bytes);
        }
    }

    fn send(&mut self, from: u16, to: IpAddr, bytes: Vec<u8>) {
        let IpAddr::V4(to) = to else {
            return;
        };
        let at = (u32::from(to) - 0x0a00_0000) as u16;
        let moved = self.moved.iter().find(|(_, place)| **place == at);
        let to = moved.map_or(at, |(node, _)| *node);
        if moved.is_none() && self.moved.contains_key(&to) {
            return;
        }
        self.messages += 1;
        if self.random.below(1_000) < self.loss || self.cut.contains(&(from, to)) {
            return;
        }
        let copies = 1 + u64::from(self.random.below(100) == 0);
        for _ in 0..copies {
            let longest = self.delay.as_nanos() as u64;
            let late = longest / 10 + self.random.below(longest);
            let at = self.now + Duration::from_nanos(late);
            let bytes = bytes.clone();
            self.schedule(at, Event::Deliver { to, from, bytes });
        }
    }
}

impl Node {
    fn execute(
        &mut self,
        now: Time,
        fault: Fault,
        command: Command,
        sent: &mut Vec<(IpAddr, Vec<u8>)>,
    ) {
        match command {
            Command::Paused => {
                self.pauses += 1;
                let incarnation = self.membership.incarnation() + 1;
                self.link.renew(now, incarnation);
                self.membership.renew(now, incarnation);
            }
            Command::RemovePeer(node) => self.link.remove_peer(node),
            Command::AddPeer(known) => {
                let own = self.membership.view().members();
                assert!(own.is_sorted_by(|a, b| a.node < b.node));
                if let Some(v4) = known.v4 {
                    self.link.add_peer(
                        now,
                        PeerAddress {
                            node: known.node,
                            local: self.local,
                            remote: IpAddr::V4(v4),
                        },
                    );
                }
            }
            Command::SetInterval { node, interval } => match fault {
                Fault::None | Fault::NoMembers => self.link.set_interval(node, interval),
                Fault::NoProbes => self.link.set_interval(node, interval * 2),
                Fault::SlowHeartbeat => {}
            },
            Command::View => {
                self.link
                    .set_view(self.membership.view().ranked_fingerprint(None));
                self.observe(now);
            }
            Command::Announce => {
                self.link.set_state(self.membership.state());
                self.link.announce(now);
            }
            Command::Probe(node) => {
                if !matches!(fault, Fault::NoProbes | Fault::SlowHeartbeat) {
                    self.link.probe(now, node);
                }
            }
            Command::SendMembers { .. } if fault == Fault::NoMembers => {}
            Command::SendMembers { to, entries } => {
                let members = List::Values(&entries);
                let mut buf = PacketBuf::default();
                wire::encode_control(&Control::Members { members }, &mut buf).unwrap();
                if let Ok(route) = self.link.seal(to, PORT, &mut buf) {
                    sent.push((route.remote.ip(), buf.as_slice().to_vec()));
                }
            }
        }
    }

    fn number(&self) -> u16 {
        self.membership.config.node.get()
    }

    /// Writes down who changed since the last view.
    fn observe(&mut self, now: Time) {
        let own = self.number();
        let view = self.membership.view();
        let last = |seen: &[(Time, u16, Option<MemberState>)], node| {
            let of = |entry: &&(Time, u16, Option<MemberState>)| entry.1 == node;
            seen.iter().rev().find(of).and_then(|entry| entry.2)
        };
        let mut changes = Vec::new();
        for member in view.members() {
            let node = member.node.get();
            if node != own && last(&self.seen, node) != Some(member.state) {
                changes.push((now, node, Some(member.state)));
            }
        }
        let gone: Vec<_> = self.seen.iter().map(|entry| entry.1).collect();
        for node in gone {
            let known = view.member(number(node)).is_some();
            if !known
                && last(&self.seen, node).is_some()
                && !changes.iter().any(|change| change.1 == node)
            {
                changes.push((now, node, None));
            }
        }
        self.seen.append(&mut changes);
    }

    /// Times that this node believed another down after it was up.
    pub(crate) fn losses(&self) -> Vec<(Time, u16)> {
        let mut up = Vec::new();
        let mut losses = Vec::new();
        for &(at, node, state) in &self.seen {
            match state {
                Some(MemberState::Down) | None => {
                    if up.contains(&node) {
                        losses.push((at, node));
                    }
                    up.retain(|&other| other != node);
                }
                Some(MemberState::Joining | MemberState::Active | MemberState::Draining) => {
                    up.push(node);
                }
            }
        }
        losses
    }
}

fn place_of(moved: &BTreeMap<u16, u16>, node: u16) -> IpAddr {
    IpAddr::V4(address(*moved.get(&node).unwrap_or(&node)))
}
