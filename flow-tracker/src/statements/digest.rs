//! What of the order of statements decides the future.

use super::Sequences;
use jlb_protocol::digest::{Digest, Digester};

impl Digest for Sequences {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self { last } = self;
        for (host, last) in last {
            into.value(&(host, last));
        }
    }
}
