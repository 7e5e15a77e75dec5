//! What the control plane knows of peers: written as the data thread tells of them, read by every
//! admin request.

use dashmap::DashMap;
use jlb_protocol::link::Event;
use jlb_protocol::{MemberState, NodeNumber};
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
}

/// All peers by number.
#[derive(Debug)]
pub(crate) struct Status {
    peers: DashMap<NodeNumber, Peer, ahash::RandomState>,
    names: BTreeMap<NodeNumber, String>,
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
            names,
        }
    }

    /// The configured name of a node.
    pub(crate) fn name(&self, node: NodeNumber) -> String {
        self.names
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
                self.peers.entry(node).or_default().same_config = Some(same);
                let fingerprint = format!("{fingerprint:016x}");
                let peer = self.name(node);
                if same {
                    info!(peer, fingerprint, "peer runs the same configuration");
                } else {
                    warn!(
                        peer,
                        fingerprint, "peer runs another cluster-wide configuration"
                    );
                }
            }
            Event::PeerSaid { .. } | Event::Stranger { .. } => {}
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
