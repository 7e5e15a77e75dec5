//! What the control plane knows of peers: written as the data thread tells of them, read by every
//! admin request.

use dashmap::DashMap;
use jlb_protocol::link::Event;
use jlb_protocol::{MemberState, NodeNumber};
use std::cell::RefCell;
use std::collections::BTreeMap;
use tracing::{info, warn};

/// What is known of one peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Peer {
    /// Its incarnation, once it answered.
    pub(crate) incarnation: Option<u32>,
    /// How often it started since this node did.
    pub(crate) starts: u64,
    /// Whether it runs the same cluster-wide configuration; `None` until it said so.
    pub(crate) same_config: Option<bool>,
    /// The fingerprint that it said last.
    fingerprint: u64,
    /// Whether the log was told that it differs, and whether that is about to be told.
    told: bool,
    telling: bool,
}

/// All peers by number.
#[derive(Debug)]
pub(crate) struct Status {
    peers: DashMap<NodeNumber, Peer, ahash::RandomState>,
    names: RefCell<BTreeMap<NodeNumber, String>>,
}

impl Status {
    /// Nothing is known of these peers yet.
    pub(crate) fn new(
        names: BTreeMap<NodeNumber, String>,
        peers: impl IntoIterator<Item = NodeNumber>,
    ) -> Self {
        Self {
            peers: peers
                .into_iter()
                .map(|node| (node, Peer::default()))
                .collect(),
            names: RefCell::new(names),
        }
    }

    /// The names and the peers of another file. What is known of nodes stays.
    pub(crate) fn set_nodes(
        &self,
        names: BTreeMap<NodeNumber, String>,
        peers: impl IntoIterator<Item = NodeNumber>,
    ) {
        self.names.replace(names);
        for node in peers {
            self.peers.entry(node).or_default();
        }
    }

    /// The configured name of a node.
    pub(crate) fn name(&self, node: NodeNumber) -> String {
        self.names
            .borrow()
            .get(&node)
            .cloned()
            .unwrap_or_else(|| node.to_string())
    }

    /// Takes note of what the link learnt, and logs it.
    pub(crate) fn handle(&self, event: Event) {
        match event {
            Event::PeerStarted { node, incarnation } => {
                let mut peer = self.peers.entry(node).or_default();
                peer.incarnation = Some(incarnation);
                peer.starts += 1;
                info!(
                    peer = self.name(node),
                    incarnation,
                    starts = peer.starts,
                    "peer is there"
                );
            }
            Event::PeerConfig {
                node,
                fingerprint,
                same,
            } => {
                let mut peer = self.peers.entry(node).or_default();
                let news = peer.same_config.is_none() || peer.told;
                peer.same_config = Some(same);
                peer.fingerprint = fingerprint;
                if same {
                    (peer.told, peer.telling) = (false, false);
                }
                drop(peer);
                if same && news {
                    let fingerprint = format!("{fingerprint:016x}");
                    let peer = self.name(node);
                    info!(peer, fingerprint, "peer runs the same configuration");
                }
            }
            Event::PeerSaid { .. } | Event::Stranger { .. } => {}
        }
    }

    /// Writes to the log which peers run another configuration, once each, if they did so at the last
    /// look already: while a file is brought to all nodes they differ for a moment.
    pub(crate) fn tell_configurations(&self) {
        for mut peer in self.peers.iter_mut() {
            if peer.same_config != Some(false) || peer.told {
                continue;
            }
            if std::mem::replace(&mut peer.telling, true) {
                peer.told = true;
                let name = self.name(*peer.key());
                let fingerprint = format!("{:016x}", peer.fingerprint);
                warn!(
                    peer = name,
                    fingerprint, "peer runs another cluster-wide configuration"
                );
            }
        }
    }

    /// Writes to the log that a node is in another state than before.
    pub(crate) fn tell_state(&self, node: NodeNumber, state: MemberState) {
        let peer = self.name(node);
        match state {
            MemberState::Joining => info!(peer, "peer is joining"),
            MemberState::Active => info!(peer, "peer is active"),
            MemberState::Draining => info!(peer, "peer is draining"),
            MemberState::Down => warn!(peer, "peer is down"),
        }
    }

    /// All peers, sorted by number.
    pub(crate) fn peers(&self) -> BTreeMap<NodeNumber, Peer> {
        self.peers
            .iter()
            .map(|entry| (*entry.key(), *entry.value()))
            .collect()
    }
}

#[cfg(test)]
mod tests;
