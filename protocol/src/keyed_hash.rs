//! The hash that every node computes alike: SipHash-2-4 (Aumasson and Bernstein, 2012) under a
//! cluster secret, so that nobody outside can aim at one tracker.

use crate::flow::FlowKey;
use crate::number::NodeNumber;
use crate::sip::Sip;
use core::cell::Cell;

/// The secret under which flows and ranks are hashed; it stays when message keys are rotated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HashKey(Sip);

impl core::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("HashKey(..)")
    }
}

/// The hash of a flow's key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FlowHash(pub u64);

impl FlowHash {
    /// The hash of messages that belong to no flow.
    pub const NONE: Self = Self(0);
}

impl HashKey {
    /// The key made of these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(Sip::with_bytes(bytes))
    }

    /// The flow's hash: SipHash-2-4 over [`FlowKey::to_bytes`].
    #[must_use]
    pub fn flow_hash(&self, key: &FlowKey) -> FlowHash {
        let [first, second, third] = key.words();
        let state = self.0.word(first).word(second).word(third);
        FlowHash(state.finish((FlowKey::WIRE_LEN as u64) << 56))
    }

    /// The score of `node` for a flow: SipHash-2-4 over the flow's hash (8 bytes) and the node's
    /// number (2 bytes), both big-endian.
    #[must_use]
    pub fn score(&self, flow: FlowHash, node: NodeNumber) -> u64 {
        self.scores(flow).of(node)
    }

    /// The scores of all nodes for a flow.
    #[inline]
    pub(crate) fn scores(&self, flow: FlowHash) -> Scores {
        Scores(self.0.word(flow.0.swap_bytes()))
    }
}

/// What the scores of all nodes for one flow begin with.
#[derive(Clone, Copy)]
pub(crate) struct Scores(Sip);

impl Scores {
    /// The score of a node: [`HashKey::score`].
    #[inline]
    pub(crate) fn of(self, node: NodeNumber) -> u64 {
        let node = u64::from(node.get().swap_bytes());
        self.0.finish(node | 10 << 56)
    }
}

/// Hashes flows, and knows the last one: what handles a message needs the hash of its flow again and again.
#[derive(Clone, Debug)]
pub struct FlowHasher {
    key: HashKey,
    last: Cell<Option<(FlowKey, FlowHash)>>,
}

impl FlowHasher {
    /// One that hashes with this key.
    #[must_use]
    pub const fn new(key: HashKey) -> Self {
        Self {
            key,
            last: Cell::new(None),
        }
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> HashKey {
        self.key
    }

    /// Takes over the hash of a flow that another one with the same key has made.
    #[inline]
    pub fn learn(&self, key: &FlowKey, hash: FlowHash) {
        self.last.set(Some((*key, hash)));
    }

    /// The flow's hash: [`HashKey::flow_hash`].
    #[must_use]
    #[inline]
    pub fn flow_hash(&self, key: &FlowKey) -> FlowHash {
        match self.last.get() {
            Some((last, hash)) if last == *key => hash,
            _ => {
                let hash = self.key.flow_hash(key);
                self.last.set(Some((*key, hash)));
                hash
            }
        }
    }
}
