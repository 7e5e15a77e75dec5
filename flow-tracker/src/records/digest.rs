//! What of the records decides the future.

use super::Records;
use jlb_protocol::digest::{Digest, Digester};

impl Digest for Records {
    fn digest(&self, into: &mut Digester<'_>) {
        // The number of untrusted ones follows from them.
        let Self {
            table,
            untrusted: _,
            max_untrusted: _,
            offered: _,
            lease: _,
            buckets,
            // It follows from the view.
            ranked: _,
            passed,
            walk,
        } = self;
        buckets.digest(into);
        into.value(&walk.is_some());
        into.value(&passed.len());
        into.value(&table.len());
        for (handle, key, record) in table.sorted() {
            into.value(&(key, record));
            into.deadline(table.deadline(handle));
        }
    }
}
