//! Nodes that are not in this node's file: how they become peers, how the others hear of them, and
//! how they are forgotten.
//!
//! A node joins through any node that it speaks with. That node adds the stranger as a peer, which
//! asks it, and once it has answered tells it of the nodes that it reaches, a few times over; the stranger greets each
//! of them, and is a stranger there in turn. Nobody has to tell everybody: that would be a message
//! for each pair of nodes. What was lost heals by a slow round in which every node tells one peer
//! after the other of nodes that it reaches. Of nodes that are down nobody tells, so that what is
//! forgotten stays so.

use crate::config::{Known, speak};
use crate::membership::{Membership, own_domain};
use crate::peer::{Origin, Peer, Standing};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::message::{Entry, MemberEntry};
use jlb_protocol::wire::MAX_BODY;
use jlb_protocol::{MemberState, NodeNumber, Time};

/// Strangers that are asked at a time. Their Hellos are not bound to a life of ours, so that old
/// ones may be replayed.
const MAX_STRANGERS: usize = 16;

/// A stranger keeps its place this long against the next one: many round trips, and short enough that
/// less than 320 replayed Hellos a second keep nobody out.
const STRANGER_PLACE: Duration = Duration::from_millis(50);

/// How long a node that does not answer is asked.
const ASKED_FOR: Duration = Duration::from_secs(5);

/// How long a node outside the file is down before it is forgotten.
const FORGET: Duration = Duration::from_secs(600);

/// How often one peer is told who is there.
const SPREAD: Duration = Duration::from_secs(1);

/// Nodes that one message tells of: what fits behind the body's header.
const MAX_ENTRIES: usize = (MAX_BODY - 4) / MemberEntry::LEN;

impl Membership {
    /// The nodes of the file from now on; this node may be among them. Nodes that are new in it become
    /// peers, those that have moved or have another role are met anew, and those that are gone are
    /// from now on like any node outside the file: forgotten once they are down for long. Where the
    /// list is fixed they are gone at once.
    pub fn handle_file(&mut self, now: Time, known: &[Known]) {
        self.look(now);
        let fixed = self.config.fixed;
        let (own, role) = (self.config.node, self.config.role);
        let wanted = |known: &&Known| known.node != own && (fixed || speak(role, known.role));
        self.domain = own_domain(known, own);
        let listed: BTreeMap<_, _> = known
            .iter()
            .filter(wanted)
            .map(|known| (known.node, *known))
            .collect();
        let before = self.peers.iter().filter(|peer| peer.origin == Origin::File);
        let gone: Vec<_> = before
            .map(|peer| peer.known.node)
            .filter(|node| !listed.contains_key(node))
            .collect();
        for node in gone {
            if fixed {
                self.remove_peer(node);
            } else if let Ok(at) = self.find(node) {
                self.peers[at].leave_file(now);
            }
        }
        for (node, known) in listed {
            if let Ok(at) = self.find(node) {
                if self.peers[at].known.is_met_at(&known) {
                    self.peers[at].enter_file(now, known);
                    continue;
                }
                self.remove_peer(node);
            }
            if let Err(at) = self.find(node) {
                self.peers.insert(at, Peer::of_file(known, now));
                if speak(role, known.role) {
                    self.pending.add(known);
                }
                let interval = self.paces.with(known.role).interval;
                self.pending.interval(node, interval);
            }
        }
        if !fixed {
            self.repace();
        }
        self.review();
    }

    /// A node that is no peer said Hello, perhaps long ago.
    pub(crate) fn handle_stranger(&mut self, now: Time, known: Known, incarnation: u32) {
        if known.node == self.config.node
            || !speak(self.config.role, known.role)
            || !known.is_reachable()
        {
            self.stats.refused += 1;
            return;
        }
        if let Ok(at) = self.find(known.node) {
            let peer = &self.peers[at];
            let elsewhere = known
                .v4
                .is_some_and(|v4| !peer.known.has_address(v4.into()))
                || known
                    .v6
                    .is_some_and(|v6| !peer.known.has_address(v6.into()));
            // The number is taken.
            if peer.origin == Origin::File || (elsewhere && peer.is_up()) {
                self.stats.refused += 1;
            }
            self.move_peer(now, at, known, incarnation);
            return;
        }
        let strangers = self.peers.iter().filter(|peer| is_asked_stranger(peer));
        if strangers.count() >= MAX_STRANGERS && !self.evict_stranger(now) {
            self.stats.refused += 1;
            return;
        }
        self.ask(now, known, Origin::Stranger);
    }

    /// Another node told of this one.
    pub(crate) fn handle_hearsay(&mut self, now: Time, entry: &MemberEntry) {
        let known = Known::of(entry);
        if entry.member.state == MemberState::Down
            || known.node == self.config.node
            || !speak(self.config.role, known.role)
            || !known.is_reachable()
        {
            return;
        }
        match self.find(known.node) {
            Ok(at) => self.move_peer(now, at, known, entry.member.incarnation),
            Err(_) => self.ask(now, known, Origin::Hearsay),
        }
    }

    /// A node outside the file may come back with another address, but only in a later life, and not
    /// while it answers at the one that is known. The file is right about the others.
    fn move_peer(&mut self, now: Time, at: usize, known: Known, incarnation: u32) {
        let peer = &self.peers[at];
        let here = [known.v4.map(Into::into), known.v6.map(Into::into)]
            .into_iter()
            .flatten()
            .all(|address| peer.known.has_address(address));
        let settled = match peer.standing {
            Standing::Asked { since } => now.since(since) < STRANGER_PLACE,
            Standing::Down { .. } => false,
            Standing::Up { .. } => true,
        };
        if here
            || settled
            || peer.origin == Origin::File
            || (peer.incarnation != 0 && incarnation <= peer.incarnation)
        {
            return;
        }
        let last = peer.incarnation;
        self.drop_peer(known.node);
        self.ask(now, known, Origin::Stranger);
        if let Ok(at) = self.find(known.node) {
            // A replayed Hello of an earlier life does not move it back.
            self.peers[at].incarnation = last;
        }
    }

    /// Adds a node outside the file, to be asked whether it is there.
    fn ask(&mut self, now: Time, known: Known, origin: Origin) {
        let Err(at) = self.find(known.node) else {
            return;
        };
        // This node is one of them.
        if self.peers.len() + 1 >= self.config.max_nodes as usize {
            self.stats.refused += 1;
            return;
        }
        self.peers.insert(at, Peer::asked(known, origin, now));
        self.repace();
        self.pending.add(known);
        let interval = self.paces.with(known.role).interval;
        self.pending.interval(known.node, interval);
        self.review();
    }

    /// Makes room for a stranger in the place of the one that has been asked for longest.
    fn evict_stranger(&mut self, now: Time) -> bool {
        let longest = self
            .peers
            .iter()
            .filter(|peer| is_asked_stranger(peer))
            .filter_map(|peer| match peer.standing {
                Standing::Asked { since } => Some((since, peer.known.node)),
                Standing::Down { .. } | Standing::Up { .. } => None,
            })
            .min();
        match longest {
            Some((since, node)) if now.since(since) >= STRANGER_PLACE => {
                self.drop_peer(node);
                true
            }
            _ => false,
        }
    }

    fn drop_peer(&mut self, node: NodeNumber) {
        if self.remove_peer(node) {
            self.stats.forgotten += 1;
            self.repace();
        }
    }

    /// Takes a node off the list and off the link; false if there is no such peer.
    fn remove_peer(&mut self, node: NodeNumber) -> bool {
        let found = self.find(node);
        if let Ok(at) = found {
            self.peers.remove(at);
            self.pending.remove(node);
        }
        found.is_ok()
    }

    /// Forgets nodes outside the file that never answered or were down for long. `true` if there
    /// were any.
    pub(crate) fn forget(&mut self, now: Time) -> bool {
        let gone: Vec<_> = self
            .peers
            .iter()
            .filter(|peer| match (peer.origin, peer.standing) {
                (Origin::File, _) => false,
                (Origin::Stranger | Origin::Hearsay, Standing::Asked { since }) => {
                    now.since(since) >= ASKED_FOR
                }
                (Origin::Stranger | Origin::Hearsay, Standing::Down { since }) => {
                    now.since(since) >= FORGET
                }
                (Origin::Stranger | Origin::Hearsay, Standing::Up { .. }) => false,
            })
            .map(|peer| peer.known.node)
            .collect();
        for &node in &gone {
            self.drop_peer(node);
        }
        !gone.is_empty()
    }

    /// Tells strangers that are new who is there, and now and then the next peer in the round.
    pub(crate) fn spread(&mut self, now: Time) {
        for at in 0..self.peers.len() {
            let peer = &mut self.peers[at];
            if peer.introductions > 0 && peer.is_up() {
                peer.introductions -= 1;
                let to = peer.known.node;
                self.tell(to);
            }
        }
        if now < self.next_letter {
            self.wake = self.wake.min(self.next_letter);
            return;
        }
        self.next_letter = now + SPREAD;
        let up = |peer: &&Peer| peer.is_up();
        let after = self.told.map_or(0, NodeNumber::get);
        let next = self
            .peers
            .iter()
            .filter(up)
            .find(|peer| peer.known.node.get() > after)
            .or_else(|| self.peers.iter().find(up))
            .map(|peer| peer.known.node);
        if let Some(to) = next {
            self.told = Some(to);
            self.tell(to);
        }
    }

    /// Tells a peer of as many nodes as fit one message, going on where the last one ended.
    fn tell(&mut self, to: NodeNumber) {
        let after = self.told_of.map_or(0, NodeNumber::get);
        let first = self
            .peers
            .partition_point(|peer| peer.known.node.get() <= after);
        let (before, behind) = self.peers.split_at(first);
        let entries: Vec<_> = behind
            .iter()
            .chain(before)
            .filter(|peer| peer.known.node != to)
            .filter_map(|peer| match peer.standing {
                Standing::Asked { .. } | Standing::Down { .. } => None,
                Standing::Up { state, .. } => Some(peer.known.entry(state, peer.incarnation)),
            })
            .take(MAX_ENTRIES)
            .collect();
        if let Some(last) = entries.last() {
            self.told_of = Some(last.member.node);
            self.pending.letter(to, entries);
        }
    }
}

const fn is_asked_stranger(peer: &Peer) -> bool {
    matches!(
        (peer.origin, peer.standing),
        (Origin::Stranger, Standing::Asked { .. })
    )
}

#[cfg(test)]
mod tests;
