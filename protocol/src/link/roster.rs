//! Who is a peer: nodes that come and go while the link runs, and lives of this node.

use super::peer::{Peer, PeerAddress};
use super::{Link, MAX_PARKED};
use crate::number::NodeNumber;
use crate::planted::{self, Bug};
use crate::time::Time;

impl Link {
    /// Adds a peer; its first Hello is due at once. If there is one with that number already it
    /// stays what it is, unless its addresses differ: then it is removed first.
    pub fn add_peer(&mut self, now: Time, address: PeerAddress) {
        if address.node == self.config.node {
            return;
        }
        if let Ok(at) = self.peer(address.node) {
            if self.peers[at].is_at(&address) {
                return;
            }
            self.remove_peer(address.node);
        }
        let Err(at) = self
            .peers
            .binary_search_by_key(&address.node, |peer| peer.node)
        else {
            return;
        };
        let mut peer = Peer::new(&address, self.config.port, now, self.config.hello_interval);
        peer.sent = self.sent_before;
        let parked = self
            .parked
            .iter()
            .position(|(node, _)| *node == address.node);
        if let Some((_, session)) = parked.and_then(|parked| self.parked.remove(parked)) {
            peer.resume(session);
        }
        self.peers.insert(at, peer);
        self.set_places();
        self.due.insert((now, address.node));
    }

    /// Removes a peer, with its session. What it sealed before is not taken a second time should it
    /// be added again.
    pub fn remove_peer(&mut self, node: NodeNumber) {
        let Ok(at) = self.peer(node) else {
            return;
        };
        let peer = self.peers.remove(at);
        self.set_places();
        self.due.remove(&(peer.next_hello, node));
        self.outgoing.retain(|&waiting| waiting != node);
        self.sent_before = self.sent_before.max(peer.sent);
        if let Some(session) = peer.into_session() {
            if self.parked.len() >= MAX_PARKED {
                self.parked.pop_front();
            }
            self.parked.push_back((node, session));
        }
    }

    /// Begins a new life of this node (R11): nothing that was sealed for the last one is read any
    /// more, every session is made anew, and the first Hello to each peer is due at once. The
    /// incarnation has to be larger than the present one; it is raised if it is not.
    pub fn renew(&mut self, now: Time, incarnation: u32) {
        if planted::is(Bug::PausedHostTakesOldOffers) {
            return;
        }
        self.config.incarnation = incarnation.max(self.config.incarnation.saturating_add(1));
        self.outgoing.clear();
        self.events.clear();
        self.parked.clear();
        self.sessions_changed += 1;
        self.sent_before = 0;
        self.due.clear();
        for peer in &mut self.peers {
            peer.renew(now);
            self.due.insert((now, peer.node));
        }
    }
}

#[cfg(test)]
mod tests;
