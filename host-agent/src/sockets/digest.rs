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
            events_lost,
            missing,
            listing,
        } = self;
        into.value(&((*number).min(DUMPS_TO_LOAD), missing, listing));
        into.deadline(events_lost.map(Time::as_nanos));
        into.time(*started);
        into.time(*rested);
        into.time(*all_rested);
    }
}
