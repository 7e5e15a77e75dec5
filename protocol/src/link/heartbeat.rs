//! Hellos and their answers: when they are sent, what they say, and what is learnt from them.

use super::peer::{Letter, Peer, Said};
use super::tag::Endpoints;
use super::{Event, HELLO_LEN, Link, MAX_STRANGERS, MessageKeys, Opened, Route};
use crate::buffer::PacketBuf;
use crate::drop_reason::DropReason;
use crate::message::{Control, Message};
use crate::number::NodeNumber;
use crate::time::Time;
use crate::view::MemberState;
use crate::wire::{self, Seal};
use core::time::Duration;

impl Link {
    /// How often this peer is greeted, in place of the configuration's interval. Does nothing if
    /// there is no such peer.
    pub fn set_interval(&mut self, node: NodeNumber, interval: Duration) {
        if let Ok(at) = self.peer(node) {
            self.reschedule(at, |peer| peer.set_interval(interval));
        }
    }

    /// Greets this peer at once, but not sooner than 10 ms after the last time. Does nothing if
    /// there is no such peer.
    pub fn probe(&mut self, now: Time, node: NodeNumber) {
        if let Ok(at) = self.peer(node) {
            self.hello_soon(now, at);
        }
    }

    /// Greets everybody at once, but not sooner than 10 ms after the last time.
    pub fn announce(&mut self, now: Time) {
        for at in 0..self.peers.len() {
            self.reschedule(at, |peer| peer.announce_soon(now));
        }
    }

    /// What this node says of its own state from now on; [`Self::announce`] says it at once.
    pub const fn set_state(&mut self, state: MemberState) {
        self.config.state = state;
    }

    /// What this node says of its view from now on: [`crate::View::ranked_fingerprint`].
    pub const fn set_view(&mut self, view: u64) {
        self.config.view = view;
    }

    /// The fingerprint of the cluster-wide configuration that this node runs from now on; the next
    /// heartbeats say it. Peers that run another one than before, as it compares with ours, are told of.
    pub fn set_config(&mut self, fingerprint: u64) {
        let before = core::mem::replace(&mut self.config.config, fingerprint);
        for at in 0..self.peers.len() {
            let peer = &self.peers[at];
            let Some(theirs) = peer.config else {
                continue;
            };
            let same = theirs == fingerprint;
            if same != (theirs == before) {
                let node = peer.node;
                self.event(Event::PeerConfig {
                    node,
                    fingerprint: theirs,
                    same,
                });
            }
        }
    }

    /// The fingerprint of the cluster-wide configuration that this node says it runs.
    #[must_use]
    pub const fn config_fingerprint(&self) -> u64 {
        self.config.config
    }

    /// The keys that messages are sealed and opened with from now on. What was sealed with a key that
    /// is gone is not opened any more.
    pub fn set_keys(&mut self, keys: MessageKeys) {
        self.config.keys = keys;
        self.sessions_changed += 1;
        for peer in &mut self.peers {
            peer.forget_keys();
        }
    }

    pub(super) fn open_hello(
        &mut self,
        now: Time,
        at: usize,
        seal: &Seal,
        bytes: &[u8],
    ) -> Result<Opened, DropReason> {
        let Ok(Message::Control(Control::Hello {
            view,
            config,
            nonce,
            state,
            role,
            wire,
        })) = wire::decode(bytes)
        else {
            return Err(DropReason::BadBody);
        };
        match self.peers[at].incarnation() {
            // A Hello isn't bound to our life, so an old one may be replayed: it never teaches
            // an incarnation. It only makes us ask, and its answer is of use to nobody else.
            Some(known) if seal.incarnation < known => return Err(DropReason::StaleIncarnation),
            Some(known) if seal.incarnation == known => {
                self.peers[at].take(seal)?;
                self.peer_config(at, config);
                let said = Said {
                    role,
                    state,
                    view,
                    wire,
                };
                self.peer_said(at, seal, said, false);
            }
            _ => self.hello_soon(now, at),
        }
        self.peers[at].answer(seal.incarnation, nonce);
        self.queue(at);
        Ok(Opened::Handled)
    }

    pub(super) fn open_answer(
        &mut self,
        now: Time,
        at: usize,
        seal: &Seal,
        bytes: &[u8],
    ) -> Result<Opened, DropReason> {
        let Ok(Message::Control(Control::HelloAck {
            view,
            config,
            nonce,
            state,
            role,
            wire,
        })) = wire::decode(bytes)
        else {
            return Err(DropReason::BadBody);
        };
        self.peer_config(at, config);
        let said = Said {
            role,
            state,
            view,
            wire,
        };
        let answer = self.peers[at].has_asked(nonce);
        self.peer_said(at, seal, said, answer);
        self.reschedule(at, |peer| peer.answered(now, nonce));
        Ok(Opened::Handled)
    }

    /// A Hello of a node that is no peer at that address. It is not answered: whoever decides that
    /// it becomes a peer lets it be asked.
    pub(super) fn open_stranger(
        &mut self,
        seal: &Seal,
        ends: Endpoints,
        bytes: &[u8],
    ) -> Result<Opened, DropReason> {
        if seal.sender == self.config.node || seal.receiver != 0 {
            return Err(DropReason::UnknownSender);
        }
        self.verify_hello(seal, 0, ends.from, ends.to.ip(), bytes)?;
        let Ok(Message::Control(Control::Hello { role, .. })) = wire::decode(bytes) else {
            return Err(DropReason::BadBody);
        };
        let told = |event: &&mut Event| matches!(event, Event::Stranger { .. });
        let waiting = self.events.iter_mut().filter(told);
        let stranger = Event::Stranger {
            node: seal.sender,
            role,
            address: ends.from.ip(),
            local: ends.to.ip(),
            incarnation: seal.incarnation,
        };
        let mut count = 0;
        for event in waiting {
            if matches!(event, Event::Stranger { node, .. } if *node == seal.sender) {
                *event = stranger;
                return Ok(Opened::Handled);
            }
            count += 1;
        }
        if count >= MAX_STRANGERS {
            return Err(DropReason::UnknownSender);
        }
        self.event(stranger);
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

    fn peer_said(&mut self, at: usize, seal: &Seal, said: Said, answer: bool) {
        let opened = self.peers[at].seal_version();
        if let Some(said) = self.peers[at].latest(seal, said) {
            self.sessions_changed += u64::from(self.peers[at].seal_version() != opened);
            self.event(Event::PeerSaid {
                node: seal.sender,
                incarnation: seal.incarnation,
                role: said.role,
                state: said.state,
                view: said.view,
                wire: said.wire,
                answer,
            });
        }
    }

    /// Changes when a peer's next Hello is due, in the order of all as well.
    fn reschedule(&mut self, at: usize, change: impl FnOnce(&mut Peer)) {
        let Some(peer) = self.peers.get_mut(at) else {
            return;
        };
        let before = peer.next_hello;
        change(peer);
        if peer.next_hello != before {
            self.due.remove(&(before, peer.node));
            self.due.insert((peer.next_hello, peer.node));
        }
    }

    pub(super) fn hello_soon(&mut self, now: Time, at: usize) {
        self.reschedule(at, |peer| peer.hello_soon(now));
    }

    fn queue(&mut self, at: usize) {
        if let Some(peer) = self.peers.get_mut(at)
            && !core::mem::replace(&mut peer.queued, true)
        {
            self.outgoing.push_back(peer.node);
        }
    }

    /// Makes the Hellos that are due.
    pub fn handle_timeout(&mut self, now: Time) {
        for _ in 0..self.peers.len() {
            let Some(&(due, node)) = self.due.first() else {
                return;
            };
            if due > now {
                return;
            }
            let Ok(at) = self.peer(node) else {
                return;
            };
            // Weyl sequence: never repeats within 2^64 steps, and nothing depends on its secrecy.
            self.nonce = self.nonce.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let nonce = self.nonce;
            self.reschedule(at, |peer| peer.asked(now, nonce));
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
    #[inline]
    pub fn poll_hello(&mut self) -> Option<(Route, PacketBuf)> {
        if self.outgoing.is_empty() {
            return None;
        }
        self.next_hello()
    }

    fn next_hello(&mut self) -> Option<(Route, PacketBuf)> {
        loop {
            let node = *self.outgoing.front()?;
            let next = self
                .peer(node)
                .ok()
                .and_then(|at| Some((at, self.peers.get_mut(at)?.next_letter()?)));
            let Some((at, letter)) = next else {
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
            .and_then(|()| self.seal_first(at, receiver, self.config.port, buf.as_mut_slice()))
            .map(|()| at);
        self.count_sent(sealed).map(|route| (route, buf))
    }
}

#[cfg(test)]
mod tests;
