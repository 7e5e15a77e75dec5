//! How long records live: a tracker keeps one as long as its host says that the flow lives on (R9).
//!
//! In each refresh interval a tracker that knows digests gets one of each bucket, in equal parts
//! spread over the interval. A digest should speak of what the tracker was told, so that nothing is
//! asked for in vain: a bucket with statements that are not acknowledged is put off to the next part,
//! for one interval at most. A tracker that does not know digests is told of each flow again.

use super::sums::Buckets;
use super::{Statements, Told, Tracker, find};
use crate::post::Post;
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::bucket::{BUCKETS, bucket};
use jlb_protocol::keyed_hash::HashKey;
use jlb_protocol::message::{BucketDigest, Control, List};
use jlb_protocol::{Birth, DropReason, NodeNumber, Time};

/// Parts of a refresh interval.
const PARTS: u16 = 8;

/// Buckets of one part.
const PART: u16 = BUCKETS / PARTS;

/// The most digests of one message: 1,200 bytes, within `wire::MAX_BODY`.
const MAX_DIGESTS: usize = 50;

/// Which digests are due when.
#[derive(Clone, Debug)]
pub(super) struct Rounds {
    /// The part that is due next.
    pub(super) part: u16,
    /// When.
    pub(super) at: Time,
    pub(super) interval: Duration,
}

impl Rounds {
    pub(super) fn new(now: Time, refresh: Duration) -> Self {
        let interval = refresh / u32::from(PARTS);
        Self {
            part: 0,
            at: now + interval,
            interval,
        }
    }

    pub(super) fn set_refresh(&mut self, refresh: Duration) {
        self.interval = refresh / u32::from(PARTS);
    }

    /// The buckets that are due, if some are.
    fn pop(&mut self, now: Time) -> Option<core::ops::Range<u16>> {
        if now < self.at {
            return None;
        }
        // A pause is not made up for.
        self.at = now + self.interval;
        let first = self.part * PART;
        self.part = (self.part + 1) % PARTS;
        Some(first..first + PART)
    }
}

impl Statements {
    /// A tracker speaks this wire version.
    pub(crate) fn set_wire(&mut self, now: Time, node: NodeNumber, wire: u8) {
        if self.next_digests().is_none() {
            self.rounds.at = now + self.rounds.interval;
        }
        if let Some(tracker) = find(&mut self.trackers, node, Tracker::node) {
            tracker.wire = wire;
        }
    }

    /// Tells those trackers of a flow again that do not know digests. There is no harm if that finds
    /// no room: it was told before.
    pub(crate) fn refresh(&mut self, now: Time, told: &Told, post: &mut Post) {
        if self.trackers.iter().all(Tracker::knows_digests) {
            return;
        }
        let owed = &self.owed;
        let alive = self.trackers.iter_mut().filter(|one| one.is_alive);
        for tracker in alive.filter(|one| !one.knows_digests()) {
            if !owed.is_owed(told.hash, tracker.node()) {
                continue;
            }
            if tracker
                .channel
                .put(now, told.hash, told.statement, self.max, self.pace)
            {
                post.counters.statements += 1;
            } else {
                post.counters.statements_lost += 1;
            }
        }
    }

    /// A tracker found that it does not have what this host has of a bucket.
    pub(crate) fn list(
        &mut self,
        now: Time,
        from: NodeNumber,
        bucket: u16,
        post: &mut Post,
    ) -> Result<(), DropReason> {
        if bucket >= BUCKETS {
            return Err(DropReason::BadField);
        }
        let tracker = find(&mut self.trackers, from, Tracker::node);
        let tracker = tracker.filter(|tracker| tracker.is_alive);
        let tracker = tracker.ok_or(DropReason::WrongRole)?;
        if !tracker.wants_list() {
            tracker.walk_since = now;
        }
        tracker.wanted.insert(bucket);
        post.counters.lists += 1;
        Ok(())
    }

    /// When the next digests are due.
    pub(super) fn next_digests(&self) -> Option<Time> {
        let mut alive = self.trackers.iter().filter(|one| one.is_alive);
        alive.any(Tracker::knows_digests).then_some(self.rounds.at)
    }

    /// Sends the digests that are due.
    pub(super) fn send_digests(&mut self, now: Time, high_water: Birth, post: &mut Post) {
        if self.next_digests().is_none() {
            return;
        }
        let Some(part) = self.rounds.pop(now) else {
            return;
        };
        let key = self.key;
        let alive = self.trackers.iter_mut().filter(|one| one.is_alive);
        for tracker in alive.filter(|one| one.knows_digests()) {
            tracker.send_digests(key, part.clone(), high_water, post);
        }
    }
}

impl Tracker {
    fn send_digests(
        &mut self,
        key: HashKey,
        part: core::ops::Range<u16>,
        high_water: Birth,
        post: &mut Post,
    ) {
        // What is not counted completely, or is being listed, is no digest.
        let is_complete = self.walk.is_none();
        let busy = self.busy(key);
        let mut digests: Vec<BucketDigest> = Vec::new();
        for bucket in 0..BUCKETS {
            let is_due = part.contains(&bucket);
            let is_late = self.late.contains(bucket);
            if !is_due && !is_late {
                continue;
            }
            let is_busy = busy.contains(bucket);
            if !is_busy {
                self.late.remove(bucket);
            }
            if is_complete && (!is_busy || is_due && is_late) {
                digests.push(self.sums.digest(bucket, high_water));
            } else {
                post.counters.digests_late += 1;
                self.late.insert(bucket);
            }
        }
        for digests in digests.chunks(MAX_DIGESTS) {
            self.digests = self.digests.saturating_add(1);
            let digest = Control::Digest {
                sequence: self.digests,
                buckets: List::Values(digests),
            };
            if post.send_control(self.node(), &digest) {
                post.counters.digests += digests.len() as u64;
            }
        }
    }

    /// The buckets of which not all was acknowledged.
    fn busy(&self, key: HashKey) -> Buckets {
        let mut busy = Buckets::NONE;
        for statement in self.channel.unheard() {
            busy.insert(bucket(key.flow_hash(&statement.key)));
        }
        busy
    }
}
