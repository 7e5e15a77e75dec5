//! What a host and a tracker compare of the flows that the tracker ranks for (R9).
//!
//! The flows are put into buckets by their hash. A bucket's digest is how many flows it has and the
//! XOR of their [`flow_digest`]s, so that both sides keep it up as flows come and go.

use crate::flow::{Birth, FlowKey};
use crate::keyed_hash::FlowHash;
use crate::sip::Sip;

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
    const START: Sip = Sip::new([0, 0]);
    const LEN: u64 = FlowKey::WIRE_LEN as u64 + 8;
    let [first, second, third] = key.words();
    let birth = u64::from(birth.incarnation) << 32 | u64::from(birth.counter);
    let state = START.word(first).word(second).word(third);
    state.word(birth.swap_bytes()).finish(LEN << 56)
}

#[cfg(test)]
mod tests;
