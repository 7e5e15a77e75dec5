//! What of the view decides the future.

use super::Nodes;
use jlb_protocol::digest::{Digest, Digester};

impl Digest for Nodes {
    fn digest(&self, into: &mut Digester<'_>) {
        // The rankings follow from the view.
        let Self {
            me: _,
            hasher: _,
            view,
            ranking: _,
            with_me: _,
            fingerprint: _,
            down_since,
            dead_host: _,
        } = self;
        into.value(view.members());
        for (&host, &since) in down_since {
            let dead = self.is_dead_host(into.now(), host);
            into.value(&(host, dead));
            if !dead {
                into.time(since);
            }
        }
    }
}
