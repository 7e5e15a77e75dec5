//! What of the pools decides the future.

use super::{Host, Pool, Pools};
use jlb_protocol::digest::{Digest, Digester};

impl Digest for Pools {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self { pools, seed: _ } = self;
        into.all(pools.iter());
    }
}

impl Digest for Pool {
    fn digest(&self, into: &mut Digester<'_>) {
        // The candidates are scratch of one choice.
        let Self {
            service,
            hosts,
            chooser,
            // It has no effect.
            shadow: _,
            candidates: _,
            compares,
            // It follows from the hosts.
            window: _,
        } = self;
        for host in hosts {
            if *compares {
                host.lives.digest(into);
            }
            host.warmth.digest(service.slow_start, into);
        }
        if self.queues() {
            hosts.iter().for_each(|host| into.value(&host.grant));
        }
        into.all(hosts.iter());
        chooser.digest(into);
    }
}

impl Digest for Host {
    fn digest(&self, into: &mut Digester<'_>) {
        // How often it was chosen is for metrics.
        let Self {
            config,
            connections,
            room,
            load,
            healthy,
            sent,
            grant: _,
            chosen: _,
            shadow_chosen: _,
            held_back: _,
            // Where they decide anything, the pool tells them.
            lives: _,
            warmth: _,
        } = self;
        into.value(&(config.node, connections, room, load, healthy, sent));
    }
}
