//! What happens when.

use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::message::{ServiceLoad, Tried};
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// The search for one job's host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    /// When the job came to its tracker.
    pub(super) arrived: f64,
    pub(super) work: f64,
    pub(super) flow: FlowHash,
    pub(super) tracker: u16,
    /// The tracker between that one and the hosts; the same one where there is no other.
    pub(super) secondary: u16,
    /// Hosts that said no.
    pub(super) tried: Tried,
    /// Offers left.
    pub(super) steps: u8,
}

/// What happens. Hosts are named by their place.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// An Offer reaches the secondary.
    Passed { host: usize, secondary: u16 },
    /// An Offer reaches its host.
    Offered { host: usize, search: Search },
    /// An Accept reaches the search's trackers.
    Accepted {
        host: usize,
        search: Search,
        load: ServiceLoad,
    },
    /// So does a Reject.
    Rejected {
        host: usize,
        search: Search,
        load: ServiceLoad,
    },
    /// A Load reaches all trackers.
    Reported { host: usize, load: ServiceLoad },
    /// A host's report is due, unless its plan has changed since.
    Due { host: usize, plan: u64 },
}

#[derive(Clone, Debug)]
struct Entry {
    at: f64,
    /// Of what happens at the same time, what was planned first.
    number: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// Greatest is the earliest: heaps give the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        let times = other.at.total_cmp(&self.at);
        times.then(other.number.cmp(&self.number))
    }
}

/// What is to happen, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeline {
    entries: BinaryHeap<Entry>,
    planned: u64,
}

impl Timeline {
    pub(super) fn plan(&mut self, at: f64, event: Event) {
        self.planned += 1;
        self.entries.push(Entry {
            at,
            number: self.planned,
            event,
        });
    }

    /// When the next thing happens.
    pub(super) fn next_at(&self) -> Option<f64> {
        self.entries.peek().map(|entry| entry.at)
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        self.entries.pop().map(|entry| entry.event)
    }
}
