//! A canonical digest of a host agent, for exhaustive exploration.

use crate::agent::HostAgent;
use jlb_protocol::digest::{Digest, Digester};

impl Digest for HostAgent {
    fn digest(&self, into: &mut Digester<'_>) {
        // Left out: configuration, and books; the outbox is empty when the driver has drained it.
        let Self {
            node: _,
            timers: _,
            services,
            flows,
            rejects,
            hunts,
            statements,
            post: _,
            dumps,
            look_ups,
            last_birth,
            load_at,
            load_soonest,
            draining,
        } = self;
        services.digest(into);
        flows.digest(into);
        rejects.digest(into);
        statements.digest(into);
        dumps.digest(into);
        look_ups.digest(into);
        into.value(last_birth);
        draining.digest(into);
        into.value(&(hunts.life, &hunts.heard));
        into.time(*load_at);
        // Else a change does not hurry the next Load.
        if load_soonest < load_at {
            into.time(*load_soonest);
            into.value(&self.flows.told());
        }
    }
}
