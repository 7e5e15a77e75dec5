//! A canonical digest of the surge queue.

use super::{Line, Surge, Waiting};
use jlb_protocol::digest::{Digest, Digester};

impl Digest for Surge {
    fn digest(&self, into: &mut Digester<'_>) {
        // Places count only by their order, which the lines have.
        let Self {
            table,
            lines,
            waiting: _,
            bytes: _,
            max_bytes: _,
            last_place: _,
            turn_at,
        } = self;
        if let Some(at) = turn_at {
            into.time(*at);
        }
        for Line { service, flows } in lines {
            let waiting = flows.iter().filter(|place| super::waits_at(table, place));
            for (_, key) in waiting {
                into.value(&(service, key));
            }
        }
        let mut all: alloc::vec::Vec<_> = table.iter().collect();
        all.sort_by_key(|(_, key, _)| **key);
        for (_, key, waiting) in all {
            let Waiting {
                isn,
                intent,
                steps,
                ingress,
                without,
                tried,
                ends,
                place: _,
                packet,
            } = waiting;
            let packet = packet.as_ref().map(|packet| packet.as_slice());
            into.value(&(key, isn, intent, steps, ingress, without, tried, packet));
            into.time(*ends);
        }
    }
}
