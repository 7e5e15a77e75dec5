//! What of the questions under way decides the future.

use super::{Asked, WhoHas};
use jlb_protocol::digest::{Digest, Digester};

impl Digest for WhoHas {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self {
            table,
            life: _,
            rate,
        } = self;
        into.value(&table.len());
        for (handle, key, asked) in table.sorted() {
            into.value(key);
            into.deadline(table.deadline(handle));
            asked.digest(into);
        }
        rate.digest(into);
    }
}

impl Digest for Asked {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self {
            round,
            isn,
            intent,
            steps,
            ingress,
            partner,
            tried,
            hosts,
            waiting,
            unasked,
            times,
            packet,
        } = self;
        into.value(&(round, isn, intent, steps, ingress, partner));
        into.value(&(tried, hosts, waiting, unasked, times));
        into.value(packet.as_slice());
    }
}
