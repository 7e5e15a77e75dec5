//! What of the buckets decides the future.

use super::{Bucket, Buckets, Host, LIST_EACH};
use jlb_protocol::digest::{Digest, Digester};

impl Digest for Buckets {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self { hosts } = self;
        for (host, of_host) in hosts {
            let Host { last, buckets } = of_host;
            into.value(&(host, last));
            into.all(buckets.iter());
        }
    }
}

impl Digest for Bucket {
    fn digest(&self, into: &mut Digester<'_>) {
        // Counts and hashes follow from the records.
        let Self {
            count: _,
            hash: _,
            confirmed,
            asked,
            began,
            over,
        } = self;
        let moment = |time: jlb_protocol::Time| time.as_nanos();
        into.deadline(confirmed.map(moment));
        let waits = asked.filter(|&at| into.now().since(at) < LIST_EACH);
        into.deadline(waits.map(moment));
        into.deadline(began.map(moment));
        into.value(&over.map(|(_, high_water)| high_water));
        into.deadline(over.map(|(since, _)| moment(since)));
    }
}
