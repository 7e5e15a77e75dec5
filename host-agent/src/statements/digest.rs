//! What of the statements decides the future.

use super::Statements;
use super::channel::{Channel, InFlight};
use super::leases::Rounds;
use super::queue::Queue;
use super::tracker::Tracker;
use jlb_protocol::digest::{Digest, Digester};

impl Digest for Statements {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self {
            key: _,
            owed,
            trackers,
            ingresses,
            rounds,
            base,
            ingress_base,
            max: _,
            pace: _,
        } = self;
        into.value(&(base, ingress_base));
        into.value(owed.active());
        into.all(trackers.iter());
        into.all(ingresses.iter());
        if self.next_digests().is_some() {
            rounds.digest(into);
        }
    }
}

impl Digest for Rounds {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self {
            part,
            at,
            interval: _,
        } = self;
        into.value(part);
        into.time(*at);
    }
}

impl Digest for Tracker {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self {
            channel,
            is_alive,
            is_joining,
            incarnation,
            wire,
            fingerprint,
            told,
            walk,
            // What there is to walk for is due at once.
            walk_since: _,
            wanted,
            // It follows from the flows and the walk.
            sums: _,
            late,
            digests,
            has_heard,
            answered,
        } = self;
        channel.digest(into);
        into.value(&(
            is_alive,
            is_joining,
            incarnation,
            wire,
            fingerprint,
            told,
            walk,
        ));
        into.value(&(wanted, late, digests, has_heard));
        into.time(*answered);
    }
}

impl Digest for Channel {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self {
            to,
            sequence,
            in_flight,
            // It holds nothing that counts.
            spare: _,
            queue,
            mark,
            listed,
            urgent,
            due,
        } = self;
        into.value(&(to, sequence));
        into.option(in_flight.as_ref());
        queue.digest(into);
        // Ages count by what of the queue is older.
        let older = |age: u64| queue.older(age);
        into.value(&mark.map(|mark| (mark.fingerprint, mark.said, older(mark.age))));
        into.value(&listed.len());
        for (age, listed) in listed {
            into.value(&(older(*age), listed.bucket, listed.high_water));
        }
        into.value(&older(*urgent));
        // Without news it says nothing.
        if self.has_news() {
            into.deadline(due.map(|due| due.as_nanos()));
        }
    }
}

impl Digest for InFlight {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self {
            sequence,
            filled,
            listed,
            flows,
            sent,
            repeats,
        } = self;
        let listed = listed.map(|listed| (listed.bucket, listed.high_water));
        into.value(&(sequence, filled, listed, flows, repeats));
        into.time(*sent);
    }
}

impl Digest for Queue {
    fn digest(&self, into: &mut Digester<'_>) {
        // Only the order of the ages counts; the index follows from it.
        into.value(&self.len());
        for statement in self.iter() {
            into.value(statement);
        }
    }
}
