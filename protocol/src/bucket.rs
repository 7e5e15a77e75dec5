//! What a host and a tracker compare of the flows that the tracker ranks for (R9).
//!
//! The flows are put into buckets by their hash. A bucket's digest is how many flows it has and the
//! XOR of their [`flow_digest`]s, so that both sides keep it up as flows come and go.

use crate::flow::{Birth, FlowKey};
use crate::keyed_hash::FlowHash;
use core::hash::Hasher;
use siphasher::sip::SipHasher24;

/// Number of buckets.
pub const BUCKETS: u16 = 256;

/// The bucket of a flow, 0 to 255: the top 8 bits of its hash.
#[must_use]
pub const fn bucket(flow: FlowHash) -> u16 {
    (flow.0 >> 56) as u16
}

/// What one flow adds to its bucket: SipHash-2-4 with a zero key over [`FlowKey::to_bytes`] (24
/// bytes), the birth's incarnation (4) and its counter (4), big-endian.
///
/// No secret is needed: the digests of a host and a tracker are compared with each other only.
#[must_use]
pub fn flow_digest(key: &FlowKey, birth: Birth) -> u64 {
    let mut hasher = SipHasher24::new();
    hasher.write(&key.to_bytes());
    hasher.write(&birth.incarnation.to_be_bytes());
    hasher.write(&birth.counter.to_be_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests;
