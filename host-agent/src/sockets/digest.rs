//! What of the dumps decides the future.

use super::{DUMPS_TO_LOAD, Dumps};
use jlb_protocol::Time;
use jlb_protocol::digest::{Digest, Digester};

impl Digest for Dumps {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self {
            number,
            started,
            rested,
            all_rested,
            wanted,
            left_out,
            missing,
            listing,
        } = self;
        into.value(&((*number).min(DUMPS_TO_LOAD), missing, left_out, listing));
        into.deadline(wanted.map(Time::as_nanos));
        into.time(*started);
        into.time(*rested);
        into.time(*all_rested);
    }
}
