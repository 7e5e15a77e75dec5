//! A canonical digest of an ingress, for exhaustive exploration.

use crate::ingress::Ingress;
use jlb_protocol::digest::{Digest, Digester};

impl Digest for Ingress {
    fn digest(&self, into: &mut Digester<'_>) {
        // Configuration and what follows from it and the view, and counters, are left out; the outbox
        // is empty when the driver has drained it.
        let Self {
            config: _,
            view,
            matching: _,
            ranking: _,
            hosts,
            // It follows from the view.
            sees_host: _,
            settled,
            who_has,
            cache,
            pending,
            pace,
            outbox,
            answer_limit,
            stats: _,
            aims: _,
        } = self;
        into.value(view.members());
        hosts.digest(into);
        into.value(settled);
        who_has.digest(into);
        cache.digest(into);
        pending.digest(into);
        pace.digest(into);
        into.value(&outbox.len());
        answer_limit.digest(into);
    }
}
