//! What of the searches decides the future.

use super::{Search, Searches};
use jlb_protocol::digest::{Digest, Digester};

impl Digest for Searches {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self { table, life: _ } = self;
        into.value(&table.len());
        for (handle, key, search) in table.sorted() {
            let Search { isn, tried, hunt } = search;
            into.value(&(key, isn, tried, hunt));
            into.deadline(table.deadline(handle));
        }
    }
}
