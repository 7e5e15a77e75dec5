//! A canonical digest of a tracker, for exhaustive exploration.

use crate::tracker::FlowTracker;
use jlb_protocol::digest::{Digest, Digester};

impl Digest for FlowTracker {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self {
            nodes,
            pools,
            records,
            searches,
            who_has,
            surge,
            sequences,
            filling,
            lease: _,
            out,
        } = self;
        nodes.digest(into);
        pools.digest(into);
        records.digest(into);
        searches.digest(into);
        who_has.digest(into);
        surge.digest(into);
        sequences.digest(into);
        filling.digest(into);
        into.value(&out.outbox.len());
    }
}
