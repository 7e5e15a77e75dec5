//! What of the limit on answers decides the future.

use super::{AnswerLimit, ICMP_ERRORS_PER_SECOND};
use core::time::Duration;
use jlb_protocol::digest::{Digest, Digester};

impl Digest for AnswerLimit {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self { tokens, refilled } = self;
        // A full bucket is the same whenever it was filled.
        let is_full = *tokens >= ICMP_ERRORS_PER_SECOND
            || into.now().since(*refilled) >= Duration::from_secs(1);
        into.value(&is_full);
        if !is_full {
            into.value(tokens);
            into.time(*refilled);
        }
    }
}
