//! A node: a production state machine, its clock, and what it does when something happens to it.

use crate::checks::Offer;
use crate::cluster::{Belief, Cluster, HORIZON, HOSTS, LONG, Place, TRACKERS, UNIT};
use crate::kernel::Sock;
use crate::packet::{CLIENT, Life, Packet, VIP, VIP_PORT};
use core::hash::Hasher;
use core::net::{IpAddr, SocketAddr};
use jlb_flow_tracker::FlowTracker;
use jlb_host_agent::{DumpScope, HostAgent, Socket};
use jlb_ingress::Ingress;
use jlb_protocol::digest::{Digest, Digester, Horizon};
use jlb_protocol::message::{Control, ControlKind, FlowKind, Intent, List, ServiceLoad};
use jlb_protocol::{Destination, Ledger, Message, PacketBuf, Role, Time, Transmit, wire};
use siphasher::sip128::{Hasher128, SipHasher13};

/// Something that happens to one node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Input {
    /// The message with this number arrives.
    Message(u32),
    /// A client's packet arrives at an ingress.
    Packet(Packet),
    /// The next deadline passes.
    Timer,
    /// The node believes this from now on.
    Belief(Belief),
    /// A host agent lists its kernel's sockets.
    Dump(Option<Sock>),
    /// A tracker hears whom a host ranks.
    Hello(Place, u64),
    /// A host agent hears that the kernel has destroyed the socket with this cookie.
    Destroyed(u8),
    /// The node crashes and starts its n-th life.
    Restart(u8),
    /// A host that was full has room, by its configuration.
    Room,
}

/// A message, as it travels.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Letter {
    pub(crate) from: Place,
    pub(crate) to: Place,
    /// The sender's life.
    pub(crate) life: u8,
    pub(crate) bytes: Vec<u8>,
}

impl Letter {
    /// The Offer of a SYN to a host that it is.
    pub(crate) fn offer(&self) -> Option<Offer> {
        let Message::Flow(message) = wire::decode(&self.bytes).ok()? else {
            return None;
        };
        let is_offer = message.kind == FlowKind::Offer && message.intent == Intent::Syn;
        (is_offer && self.to.role() == Role::HostAgent).then_some(())?;
        Some(Offer {
            life: Packet::read(message.packet)?.life,
            step: message.offer.step,
            host: self.to,
        })
    }

    /// Whether it acknowledges a State.
    pub(crate) fn is_ack(&self) -> bool {
        let Ok(Message::Control(control)) = wire::decode(&self.bytes) else {
            return false;
        };
        control.kind() == ControlKind::Ack
    }
}

/// What a node did.
#[derive(Default, Debug)]
pub(crate) struct Deeds {
    pub(crate) letters: Vec<Letter>,
    /// The client's packet that a host's stack gets.
    pub(crate) delivered: Option<Packet>,
    /// Resets to the client.
    pub(crate) resets: Vec<Life>,
    /// Whether the deadline that passed was a long one.
    pub(crate) was_long: bool,
    pub(crate) wrong: Option<String>,
}

/// The state machine of its role.
#[derive(Clone)]
enum Running {
    Ingress(Box<Ingress>),
    Tracker(Box<FlowTracker>),
    Host(Box<HostAgent>),
}

/// A node.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) place: Place,
    /// What it believes of the case's subject, or is if it is that.
    pub(crate) belief: Belief,
    life: u8,
    /// Whether it is a host that was full.
    is_freed: bool,
    clock: Time,
    running: Running,
}

impl Machine {
    /// A node in its first life, from the first list of members on.
    pub(crate) fn new(cluster: &Cluster, place: Place) -> Self {
        let mut machine = Self::start(cluster, place, Belief::FIRST, 1, Cluster::start());
        if let Running::Host(agent) = &mut machine.running {
            for tracker in TRACKERS {
                let tracker = cluster.number(tracker);
                agent.handle_peer_wire(machine.clock, tracker, wire::WIRE_VERSION);
            }
            for host in HOSTS.into_iter().filter(|_| cluster.case.hunts) {
                agent.handle_peer_wire(machine.clock, cluster.number(host), wire::WIRE_VERSION);
            }
            for _ in 0..2 {
                machine.dump(None);
            }
        }
        machine
    }

    fn start(cluster: &Cluster, place: Place, belief: Belief, life: u8, clock: Time) -> Self {
        let view = cluster.view(belief);
        let seed = u64::from(place.0);
        let running = match place.role() {
            Role::Ingress => {
                let config = cluster.ingress_config(place);
                Running::Ingress(Box::new(Ingress::new(config, view, seed, clock)))
            }
            Role::FlowTracker => {
                let config = cluster.tracker_config(place);
                Running::Tracker(Box::new(FlowTracker::new(config, view, seed, clock)))
            }
            Role::HostAgent => {
                let config = cluster.host_config(place, life.into(), false);
                Running::Host(Box::new(HostAgent::new(config, view, seed, clock)))
            }
        };
        Self {
            place,
            belief,
            life,
            is_freed: false,
            clock,
            running,
        }
    }

    /// Whether it is a tracker that may be ranked (R10).
    pub(crate) fn is_filled(&self) -> bool {
        match &self.running {
            Running::Tracker(tracker) => tracker.is_filled(),
            Running::Ingress(_) | Running::Host(_) => false,
        }
    }

    /// What tells this state from others of the node: equal states have equal futures.
    pub(crate) fn fingerprint(&self) -> u128 {
        self.digest(self.clock, HORIZON)
    }

    fn digest(&self, now: Time, horizon: Horizon) -> u128 {
        let mut hasher = SipHasher13::new();
        hasher.write_u8(self.place.0);
        hasher.write_u8(self.life);
        let mut into = Digester::new(now, horizon, &mut hasher);
        into.value(&(self.belief, self.is_freed));
        match &self.running {
            Running::Ingress(ingress) => ingress.digest(&mut into),
            Running::Tracker(tracker) => tracker.digest(&mut into),
            Running::Host(agent) => agent.digest(&mut into),
        }
        hasher.finish128().as_u128()
    }

    /// The state in words.
    pub(crate) fn words(&self) -> String {
        let mut words = String::new();
        let mut into = Digester::in_words(self.clock, &mut words);
        into.value(&self.belief);
        match &self.running {
            Running::Ingress(ingress) => ingress.digest(&mut into),
            Running::Tracker(tracker) => tracker.digest(&mut into),
            Running::Host(agent) => agent.digest(&mut into),
        }
        words
    }

    /// Lets something happen; `letter` is the message of [`Input::Message`].
    pub(crate) fn handle(
        &mut self,
        cluster: &Cluster,
        input: Input,
        letter: Option<&Letter>,
    ) -> Deeds {
        let mut deeds = Deeds::default();
        match input {
            Input::Message(_) => {
                if let Some(letter) = letter {
                    self.message(cluster, letter, &mut deeds);
                }
            }
            Input::Packet(packet) => self.packet(cluster, packet, &mut deeds),
            Input::Timer => self.pass_deadline(&mut deeds),
            Input::Belief(belief) => {
                self.belief = belief;
                let view = cluster.view(belief);
                let clock = self.clock;
                match &mut self.running {
                    Running::Ingress(ingress) => ingress.handle_view(clock, view),
                    Running::Tracker(tracker) => tracker.handle_view(clock, view),
                    Running::Host(agent) => agent.handle_view(clock, view),
                }
            }
            Input::Hello(host, ranked) => {
                if let Running::Tracker(tracker) = &mut self.running {
                    tracker.handle_peer_view(self.clock, cluster.number(host), ranked);
                }
            }
            Input::Dump(sock) => {
                // It may be made at any moment, and says something of what happened before that.
                self.clock = self.clock + UNIT;
                self.dump(Some((cluster, sock)));
            }
            Input::Destroyed(cookie) => {
                let clock = self.clock;
                if let Running::Host(agent) = &mut self.running {
                    let (local, remote) = ends(cluster);
                    agent.handle_socket_closed(clock, local, remote, cookie.into());
                }
            }
            Input::Restart(life) => {
                let belief = Belief::of_new_life(self.place, life);
                *self = Self::start(cluster, self.place, belief, life, self.clock);
            }
            Input::Room => {
                self.is_freed = true;
                let config = cluster.host_config(self.place, self.life.into(), true);
                if let Running::Host(agent) = &mut self.running {
                    agent.handle_config(self.clock, config);
                    agent.handle_timeout(self.clock);
                }
            }
        }
        self.collect(cluster, &mut deeds);
        if cluster.case.queue == 0 {
            self.forget_loads(cluster);
        }
        let imbalance = self.ledger().imbalance();
        if imbalance != 0 {
            let name = self.place.name();
            deeds.wrong = Some(format!("R14: the books of {name} are off by {imbalance}"));
        }
        deeds
    }

    fn message(&mut self, cluster: &Cluster, letter: &Letter, deeds: &mut Deeds) {
        let Ok(message) = wire::decode(&letter.bytes) else {
            let (from, to) = (letter.from.name(), letter.to.name());
            deeds.wrong = Some(format!("{from} sent {to} what can't be read"));
            return;
        };
        let (clock, from) = (self.clock, cluster.number(letter.from));
        match &mut self.running {
            Running::Ingress(ingress) => ingress.handle_message(clock, from, &message),
            Running::Tracker(tracker) => tracker.handle_message(clock, from, &message),
            Running::Host(agent) => {
                let verdict = agent.handle_message(clock, from, &message);
                if verdict == jlb_host_agent::Verdict::Deliver
                    && let Message::Flow(message) = &message
                {
                    deeds.delivered = Packet::read(message.packet);
                }
            }
        }
    }

    fn packet(&mut self, cluster: &Cluster, packet: Packet, deeds: &mut Deeds) {
        let Running::Ingress(ingress) = &mut self.running else {
            return;
        };
        let buf = PacketBuf::from_packet(&packet.bytes(cluster.client_port));
        let mut batch = [jlb_ingress::Packet::new(buf)];
        ingress.process(self.clock, &mut batch);
        let [packet] = batch;
        if let jlb_ingress::Verdict::Forward { to, .. } = packet.verdict
            && let Some(to) = cluster.place(to)
        {
            deeds.letters.push(Letter {
                from: self.place,
                to,
                life: self.life,
                bytes: packet.buf.as_slice().to_vec(),
            });
        }
    }

    /// The clock goes on to the next moment at which the node does anything of itself.
    fn pass_deadline(&mut self, deeds: &mut Deeds) {
        let begin = self.clock;
        let before = self.digest(Time::ZERO, Horizon::NONE);
        // Far deadlines are known roughly: what looks like one may be none yet.
        while let Some(due) = self.poll_timeout() {
            self.clock = self.clock.max(whole_units(due));
            self.timeout();
            if self.digest(Time::ZERO, Horizon::NONE) != before {
                break;
            }
        }
        deeds.was_long = self.clock.since(begin) > LONG;
    }

    fn poll_timeout(&self) -> Option<Time> {
        match &self.running {
            Running::Ingress(ingress) => ingress.poll_timeout(),
            Running::Tracker(tracker) => tracker.poll_timeout(),
            Running::Host(agent) => agent.poll_timeout(),
        }
    }

    fn timeout(&mut self) {
        match &mut self.running {
            Running::Ingress(ingress) => ingress.handle_timeout(self.clock),
            Running::Tracker(tracker) => tracker.handle_timeout(self.clock),
            Running::Host(agent) => agent.handle_timeout(self.clock),
        }
    }

    fn dump(&mut self, listed: Option<(&Cluster, Option<Sock>)>) {
        let Running::Host(agent) = &mut self.running else {
            return;
        };
        let socket = listed.and_then(|(cluster, sock)| {
            let (local, remote) = ends(cluster);
            sock.map(|sock| Socket {
                local,
                remote,
                cookie: sock.cookie.into(),
                state: sock.state(),
            })
        });
        agent.handle_sockets(self.clock, self.clock, DumpScope::All, socket.as_slice());
    }

    /// What trackers believe of loads decides which host they ask first, and nothing else: a report
    /// after each step leaves only the policy's turns of it, and no number that grows.
    fn forget_loads(&mut self, cluster: &Cluster) {
        let Running::Tracker(tracker) = &mut self.running else {
            return;
        };
        let services = [ServiceLoad {
            service: cluster.service(),
            connections: 0,
            room: u32::MAX,
            load: 0,
            healthy: true,
        }];
        for host in HOSTS {
            let services = List::Values(&services);
            let message = Message::Control(Control::Load { services });
            tracker.handle_message(self.clock, cluster.number(host), &message);
        }
    }

    fn ledger(&self) -> Ledger {
        match &self.running {
            Running::Ingress(ingress) => ingress.ledger().clone(),
            Running::Tracker(tracker) => tracker.stats().ledger,
            Running::Host(agent) => agent.stats().ledger,
        }
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        match &mut self.running {
            Running::Ingress(ingress) => ingress.poll_transmit(),
            Running::Tracker(tracker) => tracker.poll_transmit(),
            Running::Host(agent) => agent.poll_transmit(),
        }
    }

    /// Buffers are not given back: clones of the node would carry them along.
    fn collect(&mut self, cluster: &Cluster, deeds: &mut Deeds) {
        while let Some(transmit) = self.poll_transmit() {
            let bytes = transmit.buf.as_slice();
            match transmit.to {
                Destination::Stack => deeds.resets.extend(Packet::reset_of(bytes)),
                Destination::Node(to) => {
                    let is_load = matches!(
                        wire::decode(bytes),
                        Ok(Message::Control(control)) if control.kind() == ControlKind::Load
                    );
                    // Only a queue acts on what hosts report (R6).
                    let is_missed = is_load && cluster.case.queue == 0;
                    if let Some(to) = cluster.place(to).filter(|_| !is_missed) {
                        deeds.letters.push(Letter {
                            from: self.place,
                            to,
                            life: self.life,
                            bytes: bytes.to_vec(),
                        });
                    }
                }
            }
        }
    }
}

fn ends(cluster: &Cluster) -> (SocketAddr, SocketAddr) {
    (
        SocketAddr::new(IpAddr::V4(VIP), VIP_PORT),
        SocketAddr::new(IpAddr::V4(CLIENT), cluster.client_port),
    )
}

/// The first whole unit that is not before.
fn whole_units(time: Time) -> Time {
    let unit = u64::try_from(UNIT.as_nanos()).unwrap_or(1);
    Time::from_nanos(time.as_nanos().div_ceil(unit).saturating_mul(unit))
}
