//! Walks over all records, in portions: which of them count in the buckets after the ranking has
//! changed, and which of them a full list has shown to be over (R9).

use super::{Record, Records, State, TICK, owner};
use core::time::Duration;
use jlb_flow_table::{Handle, Place};
use jlb_protocol::keyed_hash::{FlowHash, FlowHasher};
use jlb_protocol::rank::Ranking;
use jlb_protocol::{Birth, FlowKey, NodeNumber, Time};

/// Records that one call of [`Records::walk_on`] visits.
const PER_CALL: u32 = 2048;

/// Vacant places of the table that are looked at in one go, and how many visits that stands for.
const VACANT: u32 = 4096;
const VACANT_COSTS: u32 = 64;

/// The most rankings that are remembered because the walk after them was cut short. A view that
/// changes more often in so short a time tells of hosts by digests and lists alone.
const MAX_PASSED: usize = 8;

/// How long a walk rests between two calls.
const REST: Duration = Duration::from_millis(5);

/// Which flows this tracker ranks for, if it is ranked.
#[derive(Clone, Debug)]
pub(crate) struct Ranked {
    pub(crate) me: NodeNumber,
    pub(crate) hasher: FlowHasher,
    pub(crate) fingerprint: u64,
    pub(crate) ranking: Ranking,
}

impl Ranked {
    pub(super) fn counts(&self, flow: FlowHash) -> bool {
        self.ranking.is_in_top_two(self.me, flow)
    }
}

/// A walk over all records: a place in the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    after: Option<Handle>,
    /// Whether records count in the buckets only from the moment at which they are visited.
    counting: bool,
    /// Whether another walk is to follow, for the sake of records that were visited already.
    again: bool,
    began: Time,
    pub(super) due: Time,
}

impl Records {
    /// Takes over another ranking; the records are counted anew.
    pub(crate) fn rank(&mut self, now: Time, ranked: Ranked) {
        if ranked.fingerprint == self.ranked.fingerprint {
            return;
        }
        let former = core::mem::replace(&mut self.ranked, ranked);
        if self.are_counted() {
            self.passed.clear();
        } else if self.passed.len() < MAX_PASSED {
            // A walk that is cut short has not seen all records that it would have made hints.
            self.passed.push(former);
        }
        self.buckets.clear();
        self.walk = (!self.table.is_empty()).then_some(Walk {
            after: None,
            counting: true,
            again: false,
            began: now,
            due: now,
        });
    }

    /// Learns how a flow was hashed and ranked, so that it is not done twice.
    pub(crate) fn know(&self, key: &FlowKey, flow: FlowHash, ranking: &Ranking) {
        self.ranked.hasher.learn(key, flow);
        self.ranked.ranking.learn(ranking);
    }

    /// Whether all records that count in the buckets are counted.
    pub(crate) fn are_counted(&self) -> bool {
        self.walk.is_none_or(|walk| !walk.counting)
    }

    /// Looks for records that a full list, which has just ended, has shown to be over.
    pub(crate) fn begin_sweep(&mut self, now: Time) {
        match &mut self.walk {
            Some(walk) => walk.again = true,
            None => {
                self.walk = Some(Walk {
                    after: None,
                    counting: false,
                    again: false,
                    began: now,
                    due: now,
                });
            }
        }
    }

    /// Whether a host has the flow, and tells other trackers when it is over (R1).
    pub(super) fn is_told_elsewhere(&self, key: &FlowKey, record: &Record) -> bool {
        let Ranked {
            me,
            hasher,
            ranking,
            ..
        } = &self.ranked;
        matches!(record.state, State::Owned(_))
            && !ranking.is_in_top_two_of(*me, || hasher.flow_hash(key))
    }

    /// Goes on with the walk, if it is due; gives how many records it has ended.
    pub(crate) fn walk_on(&mut self, now: Time) -> u64 {
        let Some(mut walk) = self.walk.filter(|walk| walk.due <= now) else {
            return 0;
        };
        let mut ended = 0;
        let mut places = 0;
        while places < PER_CALL {
            match self.table.next_place(walk.after, VACANT) {
                Place::Occupied(handle) => {
                    walk.after = Some(handle);
                    self.walk = Some(walk);
                    ended += u64::from(self.visit(handle, walk));
                    places += 1;
                }
                Place::Vacant(handle) => {
                    walk.after = Some(handle);
                    places += VACANT_COSTS;
                }
                Place::End => {
                    self.passed.clear();
                    self.walk = walk.again.then_some(Walk {
                        after: None,
                        counting: false,
                        again: false,
                        began: now,
                        due: now + REST,
                    });
                    return ended;
                }
            }
        }
        walk.due = now + REST;
        self.walk = Some(walk);
        ended
    }

    /// Returns whether the record has ended.
    fn visit(&mut self, handle: Handle, walk: Walk) -> bool {
        let (Some(&key), Some(&record)) = (self.table.key(handle), self.table.get(handle)) else {
            return false;
        };
        let flow = self.ranked.hasher.flow_hash(&key);
        let ranked = self.ranked.counts(flow);
        let Some(owner) = owner(record) else {
            if !walk.counting || ranked {
                return false;
            }
            let is_outdated = record.is_spent_datagram();
            if is_outdated {
                self.remove(handle);
            } else {
                self.set_hint(handle, true);
            }
            return is_outdated;
        };
        let deadline = self.table.deadline(handle).map(Time::from_nanos);
        let confirmed = deadline.map(|it| Time::ZERO + it.since(Time::ZERO + self.lease));
        if walk.counting {
            // R1: "a record kept outside the top two is a hint": its end is not told here.
            let is_older = confirmed.is_none_or(|at| at < walk.began + TICK);
            let was_outside = || self.passed.iter().any(|passed| !passed.counts(flow));
            if !ranked || (is_older && was_outside()) {
                self.set_hint(handle, true);
            }
        }
        if !ranked {
            return false;
        }
        if walk.counting {
            self.buckets.add(&key, flow, owner);
        }
        let is_over = confirmed.is_some_and(|at| self.buckets.is_over(flow, owner, at));
        if is_over {
            self.remove(handle);
        }
        is_over
    }

    /// A record of the flow says another owner than before.
    pub(super) fn recount(
        &mut self,
        handle: Handle,
        key: &FlowKey,
        before: Option<(NodeNumber, Birth)>,
        after: Option<(NodeNumber, Birth)>,
    ) {
        let visited = |walk: Walk| !walk.counting || Some(handle) <= walk.after;
        if before == after || !self.walk.is_none_or(visited) {
            return;
        }
        let flow = self.ranked.hasher.flow_hash(key);
        if !self.ranked.counts(flow) {
            return;
        }
        if let Some(before) = before {
            self.buckets.take(key, flow, before);
        }
        if let Some(after) = after {
            self.buckets.add(key, flow, after);
        }
    }

    /// Until when the lease lasts by the last equal digest of the record's bucket.
    pub(super) fn confirmed_until(&self, handle: Handle) -> Option<Time> {
        let (key, &record) = (self.table.key(handle)?, self.table.get(handle)?);
        let (host, _) = owner(record)?;
        let flow = self.ranked.hasher.flow_hash(key);
        // Of a flow that is not counted, its host says nothing by a digest.
        let confirmed = self.buckets.confirmed(host, flow)?;
        let confirmed = self.ranked.counts(flow).then_some(confirmed)?;
        Some(confirmed + self.lease)
    }
}

#[cfg(test)]
impl Records {
    /// Whether the buckets are what counting all records anew gives, unless that is under way.
    pub(crate) fn buckets_are_right(&self) -> bool {
        let mut anew = crate::buckets::Buckets::default();
        for (_, key, &record) in self.table.iter() {
            let flow = self.ranked.hasher.flow_hash(key);
            if let Some(owner) = owner(record).filter(|_| self.ranked.counts(flow)) {
                anew.add(key, flow, owner);
            }
        }
        !self.are_counted() || self.buckets.count_like(&anew)
    }
}
