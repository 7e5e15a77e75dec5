//! Sessions between nodes (R12): every message is sealed for one life of its receiver, and opened
//! once.
//!
//! Call [`Link::open`] with each datagram and [`Link::seal`] with each message to send;
//! [`Link::handle_timeout`] when [`Link::poll_timeout`] says so; and drain [`Link::poll_hello`] and
//! [`Link::poll_event`] after each of them. Hellos are the heartbeat as well: who is a peer, how
//! often it is greeted and what it is told of this node is set while the link runs (`heartbeat`,
//! `roster`).

mod heartbeat;
mod nh;
mod peer;
mod roster;
mod sealer;
mod tag;
mod window;

pub use peer::PeerAddress;
pub use sealer::{Sealer, Sessions};
pub use tag::{MessageKey, MessageKeys};

use crate::buffer::Buffer;
use crate::drop_reason::DropReason;
use crate::ledger::Ledger;
use crate::message::ControlKind;
use crate::number::{NodeNumber, Role};
use crate::planted::{self, Bug};
use crate::sip::Sip;
use crate::time::Time;
use crate::view::MemberState;
use crate::wire::{self, Covered, Imprint, Seal};
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use peer::{Peer, Sealing, Session};
use subtle::ConstantTimeEq;
use tag::{Endpoints, Sender};

/// The first wait before an unanswered Hello is repeated; doubles up to the heartbeat's interval.
const FIRST_HELLO_RETRY: Duration = Duration::from_millis(50);

/// The least time between two Hellos that a peer's messages provoke.
const HELLO_SPACING: Duration = Duration::from_millis(10);

/// Events that a peer may cause before they are polled: more than one datagram causes.
const EVENTS_PER_PEER: usize = 4;

/// Strangers that are told of before they are polled.
const MAX_STRANGERS: usize = 16;

/// Peers that are gone whose replay windows are kept, so that nothing is taken twice should they
/// come back in the same life.
const MAX_PARKED: usize = 1_024;

/// Room for a Hello or its answer.
const HELLO_LEN: usize = wire::SEALED_LEN + 64;

/// What a link is told at its start, already valid.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node.
    pub node: NodeNumber,
    /// Its role.
    pub role: Role,
    /// What it says of its own state; [`Link::set_state`] changes it.
    pub state: MemberState,
    /// This start's incarnation: larger than at every earlier start, never 0.
    pub incarnation: u32,
    /// The worker that owns this link.
    pub worker: u8,
    /// The keys that messages are sealed and opened with; [`Link::set_keys`] changes them.
    pub keys: MessageKeys,
    /// The nodes that this one speaks with; [`Link::add_peer`] and [`Link::remove_peer`] change them.
    pub peers: Vec<PeerAddress>,
    /// The UDP port that every node listens on.
    pub port: u16,
    /// Interval of the heartbeat, where [`Link::set_interval`] does not give a peer its own.
    pub hello_interval: Duration,
    /// What the node says of its view: [`crate::View::ranked_fingerprint`]. [`Link::set_view`]
    /// changes it.
    pub view: u64,
    /// Fingerprint of the cluster-wide configuration; [`Link::set_config`] changes it.
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
    /// A Hello or an answer came from a known life of the peer. What it says is the latest that it
    /// said, also where an earlier Hello was overtaken and comes now.
    PeerSaid {
        /// The peer.
        node: NodeNumber,
        /// Its incarnation.
        incarnation: u32,
        /// Its role.
        role: Role,
        /// What it says of its own state.
        state: MemberState,
        /// The fingerprint of the trackers that it ranks.
        view: u64,
        /// The highest wire version that it speaks.
        wire: u8,
        /// Whether this answers one of our last Hellos: proof that both ways are open.
        answer: bool,
    },
    /// A node that is no peer, or has another address than the peer of its number, says Hello; the
    /// tag verifies. Hellos are not bound to a life of ours: this may be an old one, replayed.
    Stranger {
        /// The number that it gives itself.
        node: NodeNumber,
        /// The role that it gives itself.
        role: Role,
        /// Where it came from; the tag covers it.
        address: IpAddr,
        /// The address of ours that it came to.
        local: IpAddr,
        /// Its incarnation.
        incarnation: u32,
    },
}

/// The sessions of one worker.
#[derive(Clone, Debug)]
pub struct Link {
    config: Config,
    /// Sorted by number.
    peers: Vec<Peer>,
    /// The place in `peers` of each number up to the highest, plus one; 0 is nowhere.
    places: Vec<u16>,
    /// When each peer's next Hello is due: one entry a peer.
    due: BTreeSet<(Time, NodeNumber)>,
    nonce: u64,
    ledger: Ledger,
    /// The peers that have a Hello or an answer to get, each once.
    outgoing: VecDeque<NodeNumber>,
    /// At most [`EVENTS_PER_PEER`] a peer and [`MAX_STRANGERS`]; the oldest give way.
    events: VecDeque<Event>,
    /// The most that any peer that is gone was sent in this life: whoever comes anew begins above
    /// it, since it may be the same node and know our counter.
    sent_before: u64,
    /// Sessions of peers that are gone, the oldest first, at most [`MAX_PARKED`].
    parked: VecDeque<(NodeNumber, Session)>,
    sessions_changed: u64,
}

impl Link {
    /// The link of a node that just started. `seed` makes the nonces of Hellos; the first Hello to
    /// each peer is due at once.
    #[must_use]
    pub fn new(config: Config, seed: u64, now: Time) -> Self {
        let mut peers: Vec<_> = config
            .peers
            .iter()
            .map(|address| Peer::new(address, config.port, now, config.hello_interval))
            .collect();
        peers.sort_by_key(|peer| peer.node);
        peers.dedup_by_key(|peer| peer.node);
        let mut link = Self {
            config,
            due: peers.iter().map(|peer| (now, peer.node)).collect(),
            peers,
            places: Vec::new(),
            nonce: seed,
            ledger: Ledger::default(),
            outgoing: VecDeque::new(),
            events: VecDeque::new(),
            sent_before: 0,
            parked: VecDeque::new(),
            sessions_changed: 0,
        };
        link.set_places();
        link
    }

    /// The incarnation of this life.
    #[must_use]
    pub const fn incarnation(&self) -> u32 {
        self.config.incarnation
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
        Some(self.peers.get(at)?.route)
    }

    /// The peers' incarnations, as far as they are known, sorted by number.
    pub fn sessions(&self) -> impl Iterator<Item = (NodeNumber, Option<u32>)> + '_ {
        self.peers
            .iter()
            .map(|peer| (peer.node, peer.incarnation()))
    }

    /// When the peer was last heard of.
    #[must_use]
    pub fn last_heard(&self, node: NodeNumber) -> Option<Time> {
        let at = self.peer(node).ok()?;
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
        buf: &mut impl Buffer,
    ) -> Result<Route, DropReason> {
        self.ledger.created += 1;
        let sealed = self.seal_to(to, source_port, buf.as_mut_slice());
        self.count_sent(sealed)
    }

    /// Seals a message for a peer; gives its place.
    #[inline(always)]
    fn seal_to(
        &mut self,
        to: NodeNumber,
        source_port: u16,
        bytes: &mut [u8],
    ) -> Result<usize, DropReason> {
        let at = self.peer(to)?;
        let peer = &mut self.peers[at];
        if peer.sealing.is_none() {
            let receiver = peer.incarnation().ok_or(DropReason::NoSession)?;
            if peer.seal_version() == wire::VERSION {
                self.seal_first(at, receiver, source_port, bytes)?;
                return Ok(at);
            }
            self.begin_sealing(at, receiver);
        }
        let peer = &mut self.peers[at];
        let Some(sealing) = &peer.sealing else {
            return Err(DropReason::NoSession);
        };
        peer.sent += 1;
        let ports = [source_port, self.config.port];
        let key = self.config.keys.sending();
        sealing.seal(key, peer.sent, ports, bytes)?;
        Ok(at)
    }

    /// Counts a message that was sealed, or not, for the peer at a place; gives its way.
    #[inline]
    fn count_sent(&mut self, sealed: Result<usize, DropReason>) -> Result<Route, DropReason> {
        match sealed {
            Ok(at) => {
                self.ledger.sent += 1;
                Ok(self.peers[at].route)
            }
            Err(reason) => {
                self.ledger.drop_for(reason);
                Err(reason)
            }
        }
    }

    #[inline]
    fn peer(&self, node: NodeNumber) -> Result<usize, DropReason> {
        let place = self.places.get(usize::from(node.get()));
        let place = place.copied().unwrap_or_default();
        usize::from(place)
            .checked_sub(1)
            .ok_or(DropReason::WrongNode)
    }

    /// Notes where each peer stands, after one has come or gone.
    fn set_places(&mut self) {
        let highest = self.peers.last().map_or(0, |peer| peer.node.get());
        self.places.clear();
        self.places.resize(usize::from(highest) + 1, 0);
        self.sessions_changed += 1;
        for (place, peer) in (1..).zip(&self.peers) {
            self.places[usize::from(peer.node.get())] = place;
        }
    }

    /// The seal of the next message to this life of a peer.
    fn next_seal(&self, at: usize, version: u8, receiver: u32) -> Seal {
        Seal {
            version,
            kind: 0,
            key_id: self.config.keys.sending().id(),
            worker: self.config.worker,
            sender: self.config.node,
            receiver: low_bits(receiver),
            incarnation: self.config.incarnation,
            counter: self.peers[at].sent + 1,
            tag: 0,
        }
    }

    /// Notes what the seals of all messages to this life of a peer have in common.
    #[cold]
    fn begin_sealing(&mut self, at: usize, receiver: u32) {
        let receiver = bound_to(receiver);
        let seal = self.next_seal(at, wire::NH_VERSION, receiver);
        let route = self.peers[at].route;
        let key = self.config.keys.sending();
        self.peers[at].sealing = Some(Sealing::of(key, &seal, receiver, route));
    }

    /// Seals a message with a seal of the first version.
    fn seal_first(
        &mut self,
        at: usize,
        receiver: u32,
        source_port: u16,
        bytes: &mut [u8],
    ) -> Result<(), DropReason> {
        let receiver = bound_to(receiver);
        let seal = self.next_seal(at, wire::VERSION, receiver);
        let peer = &mut self.peers[at];
        peer.sent += 1;
        let header = bytes.first_chunk_mut().ok_or(DropReason::Truncated)?;
        Imprint::of(&seal).write(seal.counter, header);
        let ends = Endpoints {
            from: SocketAddr::new(peer.route.local, source_port),
            to: peer.route.remote,
        };
        let key = self.config.keys.sending();
        let tag = key.first_tag(receiver, ends, &Covered::of(bytes)?);
        let header = bytes.first_chunk_mut().ok_or(DropReason::Truncated)?;
        wire::write_tag(tag, header);
        Ok(())
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

    #[inline(always)]
    fn try_open(
        &mut self,
        now: Time,
        from: SocketAddr,
        local: IpAddr,
        bytes: &[u8],
    ) -> Result<Opened, DropReason> {
        let seal = Seal::read(bytes)?;
        let is_hello = seal.kind == ControlKind::Hello as u8;
        let at = match self.peer(seal.sender) {
            Ok(at) if self.peers[at].has_address(from.ip()) => at,
            _ if is_hello => {
                let ends = self.ends(from, local);
                return self.open_stranger(&seal, ends, bytes);
            }
            Ok(_) => return Err(DropReason::WrongAddress),
            Err(_) => return Err(DropReason::UnknownSender),
        };
        let receiver = if is_hello { 0 } else { self.config.incarnation };
        let receiver = bound_to(receiver);
        if seal.receiver != low_bits(receiver) {
            // Most likely sent to our last life by a peer that has not heard of this one. A peer
            // that sealed something for this life knows it, so that what still comes is old or
            // forged, and provokes nothing.
            if self.peers[at].incarnation().is_none() {
                self.hello_soon(now, at);
            }
            return Err(DropReason::StaleIncarnation);
        }
        if is_hello {
            self.verify_hello(&seal, receiver, from, local, bytes)?;
            return self.open_hello(now, at, &seal, bytes);
        }
        if let Some((worker, begun)) = self.peers[at].opening(&seal, local) {
            self.verify(&seal, receiver, from, local, bytes, Some(begun))?;
            let peer = &mut self.peers[at];
            peer.take_next(worker, &seal)?;
            peer.last_heard = Some(now);
        } else {
            self.open_first(now, at, &seal, from, local, bytes)?;
        }
        if seal.kind == ControlKind::HelloAck as u8 {
            return self.open_answer(now, at, &seal, bytes);
        }
        Ok(Opened::Message(seal.sender))
    }

    /// Verifies a message of a peer's worker of which none like it was verified before, and takes note of it.
    #[inline(never)]
    fn open_first(
        &mut self,
        now: Time,
        at: usize,
        seal: &Seal,
        from: SocketAddr,
        local: IpAddr,
        bytes: &[u8],
    ) -> Result<(), DropReason> {
        let receiver = bound_to(self.config.incarnation);
        let begun = self.verify(seal, receiver, from, local, bytes, None)?;
        // A message sealed for this life of ours was made in it: a higher incarnation proves a
        // restart of the sender, a lower one is left over from before.
        let peer = &mut self.peers[at];
        let met = peer.take(seal)?;
        if let Some(begun) = begun {
            peer.keep_opening(seal, local, begun);
        }
        peer.last_heard = Some(now);
        if met {
            self.sessions_changed += 1;
            self.event(Event::PeerStarted {
                node: seal.sender,
                incarnation: seal.incarnation,
            });
        }
        Ok(())
    }

    /// The ends of a datagram's way.
    fn ends(&self, from: SocketAddr, local: IpAddr) -> Endpoints {
        Endpoints {
            from,
            to: SocketAddr::new(local, self.config.port),
        }
    }

    /// Verifies the tag of a Hello.
    #[inline(never)]
    fn verify_hello(
        &self,
        seal: &Seal,
        receiver: u32,
        from: SocketAddr,
        local: IpAddr,
        bytes: &[u8],
    ) -> Result<(), DropReason> {
        self.verify(seal, receiver, from, local, bytes, None)?;
        Ok(())
    }

    /// Verifies the tag of a message. `known` is where the tags of its sender's session begin; where they do is
    /// given back if it was not known, for tags of version 3.
    #[inline(always)]
    fn verify(
        &self,
        seal: &Seal,
        receiver: u32,
        from: SocketAddr,
        local: IpAddr,
        bytes: &[u8],
        known: Option<&Sip>,
    ) -> Result<Option<Sip>, DropReason> {
        let key = self.config.keys.find(seal.key_id);
        let key = key.ok_or(DropReason::UnknownKey)?;
        let covered = Covered::of(bytes)?;
        let (tag, begun) = if seal.version == wire::VERSION {
            let ends = self.ends(from, local);
            (key.first_tag(receiver, ends, &covered), None)
        } else {
            let (head, rest) = (covered.head(), covered.rest);
            let ports = [from.port(), self.config.port];
            match known {
                Some(&begun) => (key.tag(begun, seal.counter, ports, head, rest)?, None),
                None => {
                    let begun = key.begin(Sender::of(seal), receiver, from.ip(), local);
                    let tag = key.tag(begun, seal.counter, ports, head, rest)?;
                    (tag, Some(begun))
                }
            }
        };
        if bool::from(tag.ct_eq(&seal.tag)) {
            Ok(begun)
        } else {
            Err(DropReason::BadTag)
        }
    }

    fn event(&mut self, event: Event) {
        if self.events.len() >= EVENTS_PER_PEER * self.peers.len() + MAX_STRANGERS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// What was learnt of peers.
    #[inline]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

const fn low_bits(incarnation: u32) -> u16 {
    incarnation as u16
}

/// The incarnation of the receiver that a tag is over.
fn bound_to(receiver: u32) -> u32 {
    if planted::is(Bug::IgnoresReceiverIncarnation) {
        0
    } else {
        receiver
    }
}

#[cfg(test)]
mod tests;
