//! The hash that every node computes alike: SipHash-2-4 (Aumasson and Bernstein, 2012) under a
//! cluster secret, so that nobody outside can aim at one tracker.

use crate::flow::FlowKey;
use crate::number::NodeNumber;
use siphasher::sip::SipHasher24;

/// The secret under which flows and ranks are hashed; it stays when message keys are rotated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HashKey([u8; 16]);

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
        Self(bytes)
    }

    /// The flow's hash: SipHash-2-4 over [`FlowKey::to_bytes`].
    #[must_use]
    pub fn flow_hash(&self, key: &FlowKey) -> FlowHash {
        FlowHash(SipHasher24::new_with_key(&self.0).hash(&key.to_bytes()))
    }

    /// The score of `node` for a flow: SipHash-2-4 over the flow's hash (8 bytes) and the node's
    /// number (2 bytes), both big-endian.
    #[must_use]
    pub fn score(&self, flow: FlowHash, node: NodeNumber) -> u64 {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&flow.0.to_be_bytes());
        bytes[8..].copy_from_slice(&node.get().to_be_bytes());
        SipHasher24::new_with_key(&self.0).hash(&bytes)
    }
}
