//! What of the attempts under way decides the future.

use super::{Asked, Attempt, OwnSearch, Pending, Question};
use jlb_protocol::digest::{Digest, Digester};

impl Digest for Pending {
    fn digest(&self, into: &mut Digester<'_>) {
        // The bounds are the configuration's, the shares follow from the attempts.
        let Self {
            table,
            limits: _,
            beginning: _,
            existing: _,
        } = self;
        into.value(&table.len());
        for (handle, key, attempt) in table.sorted() {
            into.value(key);
            into.deadline(table.deadline(handle));
            attempt.digest(into);
        }
    }
}

impl Digest for Attempt {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self {
            question: Question { intent, isn },
            // It follows from the key.
            flow: _,
            search_ttl,
            asked,
            own,
            disowned,
            ends,
            retry,
            // It decides something only where the wait can grow.
            repeats: _,
            went_round,
            outdated,
            queued,
            packets,
        } = self;
        into.value(&(intent, isn, search_ttl, disowned));
        asked.digest(into);
        into.option(own.as_deref());
        into.time(*ends);
        into.value(&(retry, went_round, outdated, queued, packets));
    }
}

impl Digest for Asked {
    fn digest(&self, into: &mut Digester<'_>) {
        match self {
            Self::Nobody => into.value(&0_u8),
            Self::Tracker {
                tracker,
                rank,
                not_acting,
            } => into.value(&(1_u8, tracker, rank, not_acting)),
            Self::AllHosts => into.value(&2_u8),
            Self::Host => into.value(&3_u8),
        }
    }
}

impl Digest for OwnSearch {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self {
            steps,
            tried,
            offered,
            waiting,
            without,
        } = self;
        into.value(&(steps, tried, offered, waiting, without));
    }
}
