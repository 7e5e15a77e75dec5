//! Sealing by several workers of one node: each counts its own messages, under a number of its own.
//!
//! The worker that owns the [`Link`] opens all that comes and keeps the sessions. What the others need of these to
//! seal is a [`Sessions`], which never changes: when the link has other ones they get another.

use super::peer::Sealing;
use super::tag::{Key, Sender};
use super::{Link, Route, bound_to, low_bits};
use crate::buffer::Buffer;
use crate::drop_reason::DropReason;
use crate::number::NodeNumber;
use crate::wire::{self, Imprint, Seal};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The sessions of a link as they were at a moment, of those peers that open seals of version 3.
#[derive(Clone, Debug)]
pub struct Sessions {
    node: NodeNumber,
    incarnation: u32,
    port: u16,
    key: Key,
    /// Sorted by number.
    peers: Vec<Met>,
}

/// A peer whose life is known.
#[derive(Clone, Copy, Debug)]
struct Met {
    node: NodeNumber,
    route: Route,
    receiver: u32,
}

impl Link {
    /// What other workers of this node seal with, as of now.
    #[must_use]
    pub fn sessions_to_seal(&self) -> Sessions {
        let met = self.peers.iter().filter_map(|peer| {
            let opens = peer.seal_version() == wire::NH_VERSION;
            Some(Met {
                node: peer.node,
                route: peer.route,
                receiver: peer.incarnation().filter(|_| opens)?,
            })
        });
        Sessions {
            node: self.config.node,
            incarnation: self.config.incarnation,
            port: self.config.port,
            key: self.config.keys.sending().clone(),
            peers: met.collect(),
        }
    }

    /// Counts up when [`Self::sessions_to_seal`] would give something else.
    #[must_use]
    pub const fn sessions_changed(&self) -> u64 {
        self.sessions_changed
    }

    /// Takes messages that other workers sealed, and sent or not, into the books.
    pub fn count_sealed(&mut self, sent: u64, failed: u64) {
        self.ledger.created += sent + failed;
        self.ledger.sent += sent;
        self.ledger.drop_many(DropReason::SendFailed, failed);
    }
}

/// Seals what one worker beside the link's own sends.
#[derive(Clone, Debug)]
pub struct Sealer {
    worker: u8,
    port: u16,
    key: Option<Key>,
    /// By the numbers of the peers up to the highest.
    peers: Vec<Option<Ready>>,
    /// Messages sealed so far, by the numbers of the peers. They are counted on in every life: what comes after is
    /// never less than what was.
    sent: Vec<u64>,
}

/// What messages to a peer are sealed with.
#[derive(Clone, Copy, Debug)]
struct Ready {
    route: Route,
    sealing: Sealing,
}

impl Sealer {
    /// Of the worker of this number, which no other worker of the node has; the link's own is 0.
    #[must_use]
    pub const fn new(worker: u8) -> Self {
        Self {
            worker,
            port: 0,
            key: None,
            peers: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// Seals for these sessions from now on.
    pub fn take(&mut self, sessions: &Arc<Sessions>) {
        self.port = sessions.port;
        self.peers.clear();
        let highest = sessions.peers.last().map_or(0, |peer| peer.node.get());
        let room = usize::from(highest) + 1;
        self.peers.resize(room, None);
        if self.sent.len() < room {
            self.sent.resize(room, 0);
        }
        for met in &sessions.peers {
            let receiver = bound_to(met.receiver);
            let seal = Seal {
                version: wire::NH_VERSION,
                kind: 0,
                key_id: sessions.key.id(),
                worker: self.worker,
                sender: sessions.node,
                receiver: low_bits(receiver),
                incarnation: sessions.incarnation,
                counter: 0,
                tag: 0,
            };
            let sealing = Sealing::of(&sessions.key, &seal, receiver, met.route);
            self.peers[usize::from(met.node.get())] = Some(Ready {
                route: met.route,
                sealing,
            });
        }
        self.key = Some(sessions.key.clone());
    }

    /// The addresses between this node and a peer for which messages can be sealed.
    #[must_use]
    #[inline]
    pub fn route(&self, to: NodeNumber) -> Option<Route> {
        let ready = self.peers.get(usize::from(to.get()))?.as_ref()?;
        Some(ready.route)
    }

    /// Seals a message that an encoder of `wire` wrote into `buf`, to go out from `source_port`.
    ///
    /// # Errors
    /// [`DropReason::NoSession`] if there is no [`Self::route`], otherwise as [`Link::seal`]. Nothing is counted
    /// but the message's number.
    #[inline]
    pub fn seal(
        &mut self,
        to: NodeNumber,
        source_port: u16,
        buf: &mut impl Buffer,
    ) -> Result<Route, DropReason> {
        let at = usize::from(to.get());
        let ready = self.peers.get(at).and_then(Option::as_ref);
        let (ready, key) = ready.zip(self.key.as_ref()).ok_or(DropReason::NoSession)?;
        let sent = self.sent.get_mut(at).ok_or(DropReason::NoSession)?;
        *sent += 1;
        let ports = [source_port, self.port];
        ready.sealing.seal(key, *sent, ports, buf.as_mut_slice())?;
        Ok(ready.route)
    }
}

impl Sealing {
    /// What the messages with seals like this one, to this life of a receiver, have in common.
    pub(super) fn of(key: &Key, seal: &Seal, receiver: u32, route: Route) -> Self {
        Self {
            imprint: Imprint::of(seal),
            begun: key.begin(Sender::of(seal), receiver, route.local, route.remote.ip()),
        }
    }
}

#[cfg(test)]
mod tests;
