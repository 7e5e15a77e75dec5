//! Sessions between nodes (R12): every message is sealed for one life of its receiver, and opened
//! once.
//!
//! Call [`Link::open`] with each datagram and [`Link::seal`] with each message to send;
//! [`Link::handle_timeout`] when [`Link::poll_timeout`] says so; and drain [`Link::poll_hello`] and
//! [`Link::poll_event`] after each of them.

mod peer;
mod tag;
mod window;

pub use peer::PeerAddress;
pub use tag::{MessageKey, MessageKeys};

use crate::buffer::PacketBuf;
use crate::drop_reason::DropReason;
use crate::ledger::Ledger;
use crate::message::{Control, ControlKind, Message};
use crate::number::{NodeNumber, Role};
use crate::time::Time;
use crate::view::MemberState;
use crate::wire::{self, Seal};
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use peer::{Letter, Peer};
use subtle::ConstantTimeEq;
use tag::Endpoints;

/// The first wait before an unanswered Hello is repeated; doubles up to the heartbeat's interval.
const FIRST_HELLO_RETRY: Duration = Duration::from_millis(50);

/// The least time between two Hellos that a peer's messages provoke.
const HELLO_SPACING: Duration = Duration::from_millis(10);

/// Room for a Hello or its answer.
const HELLO_LEN: usize = wire::SEALED_LEN + 64;

/// What a link is told at its start, already valid.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node.
    pub node: NodeNumber,
    /// Its role.
    pub role: Role,
    /// What it says of its own state.
    pub state: MemberState,
    /// This start's incarnation: larger than at every earlier start, never 0.
    pub incarnation: u32,
    /// The worker that owns this link.
    pub worker: u8,
    /// The keys that messages are sealed and opened with.
    pub keys: MessageKeys,
    /// The nodes that this one speaks with.
    pub peers: Vec<PeerAddress>,
    /// The UDP port that every node listens on.
    pub port: u16,
    /// Interval of the heartbeat.
    pub hello_interval: Duration,
    /// Fingerprint of this node's view.
    pub view: u64,
    /// Fingerprint of the cluster-wide configuration.
    pub config: u64,
}

/// What became of a datagram that was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opened {
    /// It is a message from this node, for the role.
    Message(NodeNumber),
    /// The link itself was meant.
    Handled,
}

/// The outer addresses of a sealed message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// Our address.
    pub local: IpAddr,
    /// The peer's address and port.
    pub remote: SocketAddr,
}

/// What the shell and the role are told of peers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The peer is there for the first time, or in a new life: what it knew before is gone.
    PeerStarted {
        /// The peer.
        node: NodeNumber,
        /// Its incarnation.
        incarnation: u32,
    },
    /// The peer runs another cluster-wide configuration, or the same again.
    PeerConfig {
        /// The peer.
        node: NodeNumber,
        /// Its fingerprint.
        fingerprint: u64,
        /// Whether it equals ours.
        same: bool,
    },
}

/// The sessions of one worker.
#[derive(Clone, Debug)]
pub struct Link {
    config: Config,
    peers: Vec<Peer>,
    /// When each peer's next Hello is due, and the peer's place: one entry a peer.
    due: BTreeSet<(Time, usize)>,
    nonce: u64,
    ledger: Ledger,
    /// The places of the peers that have a Hello or an answer to get, each once.
    outgoing: VecDeque<usize>,
    /// At most two a peer; the oldest give way.
    events: VecDeque<Event>,
}

impl Link {
    /// The link of a node that just started. `seed` makes the nonces of Hellos; the first Hello to
    /// each peer is due at once.
    #[must_use]
    pub fn new(config: Config, seed: u64, now: Time) -> Self {
        let mut peers: Vec<_> = config
            .peers
            .iter()
            .map(|address| Peer::new(address, now))
            .collect();
        peers.sort_by_key(|peer| peer.node);
        peers.dedup_by_key(|peer| peer.node);
        Self {
            config,
            due: (0..peers.len()).map(|at| (now, at)).collect(),
            peers,
            nonce: seed,
            ledger: Ledger::default(),
            outgoing: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The books of the link: datagrams received and messages to be sealed on one side; sent,
    /// passed on to the role (`delivered`), handled (`consumed`) and dropped on the other.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Counts a datagram that was longer than the buffer it was received into: it is not opened.
    pub fn truncated(&mut self) {
        self.ledger.received += 1;
        self.ledger.drop_for(DropReason::Truncated);
    }

    /// Counts a sealed message that the kernel did not take.
    pub fn send_failed(&mut self) {
        self.ledger.sent = self.ledger.sent.saturating_sub(1);
        self.ledger.drop_for(DropReason::SendFailed);
    }

    /// Counts an opened message that turned out not to decode: it was not passed on after all.
    pub fn undecodable(&mut self, reason: DropReason) {
        self.ledger.delivered = self.ledger.delivered.saturating_sub(1);
        self.ledger.drop_for(reason);
    }

    /// The addresses between this node and a peer.
    #[must_use]
    pub fn route(&self, node: NodeNumber) -> Option<Route> {
        let at = self.peer(node).ok()?;
        Some(self.peers.get(at)?.route(self.config.port))
    }

    /// The peers' incarnations, as far as they are known, sorted by number.
    pub fn sessions(&self) -> impl Iterator<Item = (NodeNumber, Option<u32>)> + '_ {
        self.peers.iter().map(|peer| (peer.node, peer.incarnation))
    }

    /// When the peer was last heard of.
    #[must_use]
    pub fn last_heard(&self, node: NodeNumber) -> Option<Time> {
        let at = self
            .peers
            .binary_search_by_key(&node, |peer| peer.node)
            .ok()?;
        self.peers.get(at)?.last_heard
    }

    /// Seals a message that an encoder of `wire` wrote into `buf`, to go out from `source_port`.
    ///
    /// # Errors
    /// The reason for which the message is dropped, already counted: [`DropReason::NoSession`]
    /// until the peer has answered a Hello, [`DropReason::WrongNode`] if there is no such peer.
    pub fn seal(
        &mut self,
        to: NodeNumber,
        source_port: u16,
        buf: &mut PacketBuf,
    ) -> Result<Route, DropReason> {
        self.ledger.created += 1;
        let sealed = self.peer(to).and_then(|at| {
            let receiver = self.peers[at].incarnation.ok_or(DropReason::NoSession)?;
            self.seal_for(at, receiver, source_port, buf)
        });
        self.count_sent(sealed)
    }

    fn count_sent(&mut self, sealed: Result<Route, DropReason>) -> Result<Route, DropReason> {
        match sealed {
            Ok(_) => self.ledger.sent += 1,
            Err(reason) => self.ledger.drop_for(reason),
        }
        sealed
    }

    fn peer(&self, node: NodeNumber) -> Result<usize, DropReason> {
        self.peers
            .binary_search_by_key(&node, |peer| peer.node)
            .map_err(|_| DropReason::WrongNode)
    }

    fn seal_for(
        &mut self,
        at: usize,
        receiver: u32,
        source_port: u16,
        buf: &mut PacketBuf,
    ) -> Result<Route, DropReason> {
        let peer = &mut self.peers[at];
        let route = peer.route(self.config.port);
        let key = self.config.keys.sending();
        peer.sent += 1;
        let seal = Seal {
            kind: 0,
            key_id: key.id,
            worker: self.config.worker,
            sender: self.config.node,
            receiver: low_bits(receiver),
            incarnation: self.config.incarnation,
            counter: peer.sent,
            tag: [0; 8],
        };
        seal.write(buf.as_mut_slice())?;
        let from = SocketAddr::new(route.local, source_port);
        let ends = Endpoints {
            from,
            to: route.remote,
        };
        tag::write(key, receiver, ends, buf.as_mut_slice())?;
        Ok(route)
    }

    /// Opens a datagram that came from `from` to our address `local`: verifies its tag and that it
    /// is new. Only then may the rest of it be parsed.
    ///
    /// # Errors
    /// The reason for which the datagram is dropped, already counted.
    pub fn open(
        &mut self,
        now: Time,
        from: SocketAddr,
        local: IpAddr,
        bytes: &[u8],
    ) -> Result<Opened, DropReason> {
        self.ledger.received += 1;
        let opened = self.try_open(now, from, local, bytes);
        match opened {
            Ok(Opened::Message(_)) => self.ledger.delivered += 1,
            Ok(Opened::Handled) => self.ledger.consumed += 1,
            Err(reason) => self.ledger.drop_for(reason),
        }
        opened
    }

    fn try_open(
        &mut self,
        now: Time,
        from: SocketAddr,
        local: IpAddr,
        bytes: &[u8],
    ) -> Result<Opened, DropReason> {
        let seal = Seal::read(bytes)?;
        let at = self
            .peer(seal.sender)
            .map_err(|_| DropReason::UnknownSender)?;
        let peer = &self.peers[at];
        if !peer.has_address(from.ip()) {
            return Err(DropReason::WrongAddress);
        }
        let is_hello = seal.kind == ControlKind::Hello as u8;
        let receiver = if is_hello { 0 } else { self.config.incarnation };
        if seal.receiver != low_bits(receiver) {
            // Most likely sent to our last life by a peer that has not heard of this one. A peer
            // that sealed something for this life knows it, so that what still comes is old or
            // forged, and provokes nothing.
            if peer.incarnation.is_none() {
                self.hello_soon(now, at);
            }
            return Err(DropReason::StaleIncarnation);
        }
        let key = self
            .config
            .keys
            .find(seal.key_id)
            .ok_or(DropReason::UnknownKey)?;
        let ends = Endpoints {
            from,
            to: SocketAddr::new(local, self.config.port),
        };
        let tag = tag::compute(key, receiver, ends, bytes)?;
        if !bool::from(tag.ct_eq(&seal.tag)) {
            return Err(DropReason::BadTag);
        }
        if is_hello {
            return self.open_hello(now, at, &seal, bytes);
        }
        // A message sealed for this life of ours was made in it: a higher incarnation proves a
        // restart of the sender, a lower one is left over from before.
        match self.peers[at].incarnation {
            Some(known) if seal.incarnation < known => return Err(DropReason::StaleIncarnation),
            Some(known) if seal.incarnation == known => {}
            _ => {
                self.peers[at].restarted(seal.incarnation);
                let node = seal.sender;
                self.event(Event::PeerStarted {
                    node,
                    incarnation: seal.incarnation,
                });
            }
        }
        self.peers[at].accept(&seal)?;
        self.peers[at].last_heard = Some(now);
        if seal.kind == ControlKind::HelloAck as u8 {
            return self.open_answer(now, at, bytes);
        }
        Ok(Opened::Message(seal.sender))
    }

    fn open_hello(
        &mut self,
        now: Time,
        at: usize,
        seal: &Seal,
        bytes: &[u8],
    ) -> Result<Opened, DropReason> {
        let Ok(Message::Control(Control::Hello { config, nonce, .. })) = wire::decode(bytes) else {
            return Err(DropReason::BadBody);
        };
        match self.peers[at].incarnation {
            // A Hello isn't bound to our life, so an old one may be replayed: it never teaches
            // an incarnation. It only makes us ask, and its answer is of use to nobody else.
            Some(known) if seal.incarnation < known => return Err(DropReason::StaleIncarnation),
            Some(known) if seal.incarnation == known => {
                self.peers[at].accept(seal)?;
                self.peer_config(at, config);
            }
            _ => self.hello_soon(now, at),
        }
        self.peers[at].answer(seal.incarnation, nonce);
        self.queue(at);
        Ok(Opened::Handled)
    }

    fn open_answer(&mut self, now: Time, at: usize, bytes: &[u8]) -> Result<Opened, DropReason> {
        let Ok(Message::Control(Control::HelloAck { config, nonce, .. })) = wire::decode(bytes)
        else {
            return Err(DropReason::BadBody);
        };
        self.peer_config(at, config);
        let interval = self.config.hello_interval;
        self.reschedule(at, |peer| peer.answered(now, nonce, interval));
        Ok(Opened::Handled)
    }

    fn peer_config(&mut self, at: usize, fingerprint: u64) {
        let peer = &mut self.peers[at];
        if peer.config != Some(fingerprint) {
            peer.config = Some(fingerprint);
            let node = peer.node;
            let same = fingerprint == self.config.config;
            self.event(Event::PeerConfig {
                node,
                fingerprint,
                same,
            });
        }
    }

    fn event(&mut self, event: Event) {
        if self.events.len() >= 2 * self.peers.len() {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Changes when a peer's next Hello is due, in the order of all as well.
    fn reschedule(&mut self, at: usize, change: impl FnOnce(&mut Peer)) {
        let Some(peer) = self.peers.get_mut(at) else {
            return;
        };
        let before = peer.next_hello;
        change(peer);
        if peer.next_hello != before {
            self.due.remove(&(before, at));
            self.due.insert((peer.next_hello, at));
        }
    }

    fn hello_soon(&mut self, now: Time, at: usize) {
        self.reschedule(at, |peer| peer.hello_soon(now));
    }

    fn queue(&mut self, at: usize) {
        if let Some(peer) = self.peers.get_mut(at)
            && !core::mem::replace(&mut peer.queued, true)
        {
            self.outgoing.push_back(at);
        }
    }

    /// Makes the Hellos that are due.
    pub fn handle_timeout(&mut self, now: Time) {
        for _ in 0..self.peers.len() {
            let Some(&(due, at)) = self.due.first() else {
                return;
            };
            if due > now {
                return;
            }
            // Weyl sequence: never repeats within 2^64 steps, and nothing depends on its secrecy.
            self.nonce = self.nonce.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let nonce = self.nonce;
            let interval = self.config.hello_interval;
            self.reschedule(at, |peer| peer.asked(now, nonce, interval));
            self.queue(at);
        }
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.due.first().map(|&(due, _)| due)
    }

    /// The next sealed message of the link's own, and where it goes. It is sent from the port that
    /// every node listens on.
    pub fn poll_hello(&mut self) -> Option<(Route, PacketBuf)> {
        loop {
            let at = *self.outgoing.front()?;
            let Some(letter) = self.peers.get_mut(at).and_then(Peer::next_letter) else {
                self.outgoing.pop_front();
                continue;
            };
            if let Ok(sent) = self.seal_letter(at, letter) {
                return Some(sent);
            }
        }
    }

    fn seal_letter(&mut self, at: usize, letter: Letter) -> Result<(Route, PacketBuf), DropReason> {
        let (view, config) = (self.config.view, self.config.config);
        let (state, role) = (self.config.state, self.config.role);
        let (receiver, control) = match letter {
            Letter::Hello { nonce } => (
                0,
                Control::Hello {
                    view,
                    config,
                    nonce,
                    state,
                    role,
                    wire: wire::WIRE_VERSION,
                },
            ),
            Letter::Answer { incarnation, nonce } => (
                incarnation,
                Control::HelloAck {
                    view,
                    config,
                    nonce,
                    state,
                    role,
                    wire: wire::WIRE_VERSION,
                },
            ),
        };
        self.ledger.created += 1;
        let mut buf = PacketBuf::new(HELLO_LEN);
        let sealed = wire::encode_control(&control, &mut buf)
            .and_then(|()| self.seal_for(at, receiver, self.config.port, &mut buf));
        self.count_sent(sealed).map(|route| (route, buf))
    }

    /// What was learnt of peers.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

const fn low_bits(incarnation: u32) -> u16 {
    incarnation as u16
}

#[cfg(test)]
mod tests;
