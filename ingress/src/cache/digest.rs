//! What of the cache decides the future.

use super::{Cache, Entry, deadline};
use jlb_protocol::digest::{Digest, Digester};

impl Digest for Cache {
    fn digest(&self, into: &mut Digester<'_>) {
        // The number of unproven entries follows from them; the spread is for metrics.
        let Self {
            table,
            idle,
            unproven: _,
            spread: _,
        } = self;
        into.value(&table.len());
        for (handle, key, entry) in table.sorted() {
            into.value(key);
            into.deadline(table.deadline(handle));
            entry.digest(into);
            // When it was used last decides when it is forgotten, and nothing else.
            into.deadline(Some(deadline(entry.last_used, idle.of(entry.phase))));
        }
    }
}

impl Digest for Entry {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self {
            birth,
            // It follows from the key.
            flow: _,
            last_used: _,
            host,
            phase,
            contested,
        } = self;
        into.value(&(birth, host, *phase as u8, contested));
    }
}
