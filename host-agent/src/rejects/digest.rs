//! What of the filter of rejects decides the future.

use super::Rejects;
use jlb_protocol::digest::{Digest, Digester};

impl Digest for Rejects {
    fn digest(&self, into: &mut Digester<'_>) {
        // What was filled in is for metrics.
        let Self {
            hasher: _,
            newer,
            older,
            filled: _,
            max: _,
            rotation,
            rotated,
            overfilled: _,
        } = self;
        into.value(&(newer, older));
        into.time(*rotated + *rotation);
    }
}
