//! What of the flows decides the future.

use super::{Doubt, Flow, Flows, PRESENT};
use jlb_protocol::Time;
use jlb_protocol::digest::{Digest, Digester};

impl Digest for Flows {
    fn digest(&self, into: &mut Digester<'_>) {
        // The index of cookies and the counts follow from the flows.
        let Self {
            table,
            by_cookie: _,
            timers: _,
            in_state: _,
            in_doubt: _,
            tcp: _,
            open: _,
            told: _,
            // Off wherever this is asked for.
            stripping: _,
            // On or off for good.
            is_looking: _,
        } = self;
        into.value(&table.len());
        for (handle, key, flow) in table.sorted() {
            into.value(key);
            into.deadline(table.deadline(handle));
            flow.digest(into);
        }
    }
}

impl Digest for Flow {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self {
            birth,
            began,
            protocol,
            state,
            cookie,
            numbers: _,
            holds: _,
            // These decide only what a reset says that is made when a drain's deadline has passed, beside
            // the doubt.
            mark: _,
            since,
            absent_since,
            last_packet,
            ingress,
            refresh_at,
            // Every dump writes it before it is read.
            dump: _,
            look_at,
        } = self;
        into.value(&(birth, protocol, state, cookie, ingress));
        into.value(&self.doubt().map(|Doubt { isn, answered }| (isn, answered)));
        into.time(*since);
        began.digest(into);
        let is_absent = *absent_since != PRESENT;
        into.deadline(is_absent.then_some(absent_since.as_nanos()));
        into.time(*last_packet);
        for at in [refresh_at, look_at] {
            into.deadline(at.time(*last_packet).map(Time::as_nanos));
        }
    }
}
