//! Leases by digest (R9): per host and bucket of flows, how many records say that the host has the
//! flow, and the XOR of these flows' digests. A host sends the same of its own flows. Where they
//! are equal, all of them are confirmed at once; where they differ, the host is asked for a full
//! list of the bucket, and its records that were not listed end.
//!
//! Counted are the flows that this tracker ranks for: of others hosts tell it nothing. So a digest
//! says something only while the host's mark is for the ranking of this tracker's view (R10). A host
//! that goes by another one for long is asked for full lists, whose statements renew the records.

use crate::primary::{Done, Ended};
use crate::tracker::FlowTracker;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::time::Duration;
use jlb_protocol::bucket::{BUCKETS, bucket, flow_digest};
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::message::{BucketDigest, Control, List, Listed};
use jlb_protocol::planted::{self, Bug};
use jlb_protocol::{Birth, FlowKey, NodeNumber, Role, Time};

mod digest;

/// Buckets of one host, as an index.
const COUNT: usize = BUCKETS as usize;

/// How long a full list is waited for before it is asked for again. Digests that come meanwhile
/// differ for the same reason.
const LIST_EACH: Duration = Duration::from_secs(1);

/// How many full lists in a lease a host is asked for whose digests can't be compared, since it goes by
/// another ranking than this tracker.
const LISTS_A_LEASE: u32 = 3;

/// The records of one host's flows in one bucket.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    count: u32,
    hash: u64,
    /// When the host's digest was equal last.
    confirmed: Option<Time>,
    /// When the list was asked for last, unless it has come.
    asked: Option<Time>,
    /// A list that comes now was begun no earlier: the one before had ended, or none was asked for.
    began: Option<Time>,
    /// Records not confirmed since then, and not born later than the list says, are over.
    over: Option<(Time, Birth)>,
}

impl Bucket {
    const EMPTY: Self = Self {
        count: 0,
        hash: 0,
        confirmed: None,
        asked: None,
        began: None,
        over: None,
    };
}

#[derive(Clone, Debug)]
struct Host {
    /// The number of the last Digest message.
    last: u64,
    buckets: Box<[Bucket; COUNT]>,
}

/// What is recorded of each host, in digests.
#[derive(Clone, Default, Debug)]
pub(crate) struct Buckets {
    hosts: BTreeMap<NodeNumber, Host>,
}

/// What a digest was found to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Compared {
    Equal,
    /// They differ; the bucket's list is to be asked for.
    Differs,
    /// They differ, and the list is under way.
    Asked,
}

impl Host {
    fn new() -> Self {
        Self {
            last: 0,
            buckets: Box::new([Bucket::EMPTY; COUNT]),
        }
    }
}

impl Buckets {
    /// A record says that the host has this life of the flow.
    pub(crate) fn add(
        &mut self,
        key: &FlowKey,
        flow: FlowHash,
        (host, birth): (NodeNumber, Birth),
    ) {
        let of_host = self.hosts.entry(host).or_insert_with(Host::new);
        if let Some(bucket) = of_host.buckets.get_mut(usize::from(bucket(flow))) {
            bucket.count += 1;
            bucket.hash ^= flow_digest(key, birth);
        }
    }

    /// A record that said so has ended or says something else now.
    pub(crate) fn take(
        &mut self,
        key: &FlowKey,
        flow: FlowHash,
        (host, birth): (NodeNumber, Birth),
    ) {
        if let Some(bucket) = self.bucket_mut(host, bucket(flow)) {
            bucket.count = bucket.count.saturating_sub(1);
            bucket.hash ^= flow_digest(key, birth);
        }
    }

    /// When all records of the host's flows in this flow's bucket were confirmed last.
    pub(crate) fn confirmed(&self, host: NodeNumber, flow: FlowHash) -> Option<Time> {
        self.bucket(host, bucket(flow))?.confirmed
    }

    /// Whether a full list has shown that the host does not have this life, which was confirmed
    /// last at that time.
    pub(crate) fn is_over(
        &self,
        flow: FlowHash,
        (host, birth): (NodeNumber, Birth),
        confirmed: Time,
    ) -> bool {
        let over = self.bucket(host, bucket(flow)).and_then(|it| it.over);
        over.is_some_and(|(since, high_water)| {
            (birth <= high_water && confirmed < since) || planted::is(Bug::ListedRemovesAll)
        })
    }

    fn bucket(&self, host: NodeNumber, bucket: u16) -> Option<&Bucket> {
        let of_host = self.hosts.get(&host)?;
        of_host.buckets.get(usize::from(bucket))
    }

    fn bucket_mut(&mut self, host: NodeNumber, bucket: u16) -> Option<&mut Bucket> {
        let of_host = self.hosts.get_mut(&host)?;
        of_host.buckets.get_mut(usize::from(bucket))
    }

    fn compare(&mut self, now: Time, host: NodeNumber, digest: &BucketDigest) -> Compared {
        let of_host = self.hosts.entry(host).or_insert_with(Host::new);
        let Some(bucket) = of_host.buckets.get_mut(usize::from(digest.bucket)) else {
            // No host has such a bucket.
            return Compared::Asked;
        };
        if (bucket.count, bucket.hash) == (digest.count, digest.hash) {
            bucket.confirmed = Some(now);
            return Compared::Equal;
        }
        if bucket.asked.is_some_and(|at| now.since(at) < LIST_EACH) {
            return Compared::Asked;
        }
        bucket.asked = Some(now);
        bucket.began = bucket.began.or(Some(now));
        Compared::Differs
    }

    /// Whether the bucket's records were neither confirmed together nor asked for in this span; they
    /// are asked for then.
    fn is_unheard(&mut self, now: Time, host: NodeNumber, bucket: u16, span: Duration) -> bool {
        let Some(bucket) = self.bucket_mut(host, bucket) else {
            return false;
        };
        let last = bucket.confirmed.max(bucket.asked);
        let unheard = bucket.count > 0 && last.is_none_or(|at| now.since(at) >= span);
        if unheard {
            bucket.asked = Some(now);
        }
        unheard
    }

    /// A full list of the bucket has ended; whether it says anything of records here.
    fn listed(&mut self, now: Time, host: NodeNumber, listed: &Listed) -> bool {
        let Some(bucket) = self.bucket_mut(host, listed.bucket) else {
            return false;
        };
        let Some(began) = bucket.began else {
            return false;
        };
        bucket.asked = None;
        bucket.began = Some(now);
        bucket.over = Some((began, listed.high_water));
        true
    }

    /// What lists have shown is of no use with another lease, from which the moments of
    /// confirmation are reckoned.
    pub(crate) fn forget_lists(&mut self) {
        for bucket in self.all_mut() {
            bucket.over = None;
        }
    }

    /// Counts nothing any more, since this tracker ranks for other flows now. What was confirmed
    /// stays so, and a list that was asked for may still come.
    pub(crate) fn clear(&mut self) {
        for bucket in self.all_mut() {
            *bucket = Bucket {
                confirmed: bucket.confirmed,
                began: bucket.began,
                ..Bucket::EMPTY
            };
        }
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Bucket> {
        let hosts = self.hosts.values_mut();
        hosts.flat_map(|of_host| of_host.buckets.iter_mut())
    }

    /// Whether the digests are newer than the last that were compared, which they are then.
    fn admit(&mut self, host: NodeNumber, sequence: u64) -> bool {
        let of_host = self.hosts.entry(host).or_insert_with(Host::new);
        let newer = sequence > of_host.last;
        of_host.last = of_host.last.max(sequence);
        newer
    }

    /// Forgets hosts that are no members any more, once the last of their records has ended.
    pub(crate) fn retain(&mut self, is_member: impl Fn(NodeNumber) -> bool) {
        self.hosts.retain(|&host, of_host| {
            is_member(host) || of_host.buckets.iter().any(|bucket| bucket.count > 0)
        });
    }

    /// Whether both count the same.
    #[cfg(test)]
    pub(crate) fn count_like(&self, other: &Self) -> bool {
        let counted = |all: &Self| {
            let hosts = all.hosts.iter();
            let buckets = hosts.flat_map(|(&host, of_host)| {
                let counts = of_host.buckets.iter().enumerate();
                counts.map(move |(at, it)| (host, at, it.count, it.hash))
            });
            buckets
                .filter(|&(_, _, count, hash)| (count, hash) != (0, 0))
                .collect::<alloc::vec::Vec<_>>()
        };
        counted(self) == counted(other)
    }

    pub(crate) fn allocated_bytes(&self) -> usize {
        self.hosts.len() * (size_of::<[Bucket; COUNT]>() + size_of::<(NodeNumber, Host)>())
    }
}

impl FlowTracker {
    /// Digest: what a host has of the flows that this tracker ranks for.
    pub(crate) fn digests(
        &mut self,
        now: Time,
        from: NodeNumber,
        sequence: u64,
        buckets: &List<'_, BucketDigest>,
    ) -> Ended {
        self.nodes.named(Some(from), Role::HostAgent)?;
        if !self.records.buckets.admit(from, sequence) || !self.records.are_counted() {
            self.out.stats.digests_passed_over += 1;
            return Ok(Done::Consumed);
        }
        if !self.filling.has_marked(from) {
            self.out.stats.digests_passed_over += 1;
            // Its flows live on all the same: where that lasts, it states them one by one.
            for BucketDigest { bucket, .. } in buckets.iter() {
                let each = self.lease / LISTS_A_LEASE;
                if self.records.buckets.is_unheard(now, from, bucket, each) {
                    self.out.stats.lists_asked += 1;
                    self.out.send_control(from, &Control::SendFull { bucket });
                }
            }
            return Ok(Done::Consumed);
        }
        for digest in buckets.iter() {
            match self.records.buckets.compare(now, from, &digest) {
                Compared::Equal => self.out.stats.digests_equal += 1,
                Compared::Asked => self.out.stats.digests_differing += 1,
                Compared::Differs => {
                    let bucket = digest.bucket;
                    self.out.stats.digests_differing += 1;
                    self.out.stats.lists_asked += 1;
                    self.out.send_control(from, &Control::SendFull { bucket });
                }
            }
        }
        Ok(Done::Consumed)
    }

    /// The end of a bucket's full list.
    pub(crate) fn listed(&mut self, now: Time, from: NodeNumber, listed: &Listed) {
        let comparable = self.filling.has_marked(from) && self.records.are_counted();
        if comparable && self.records.buckets.listed(now, from, listed) {
            self.out.stats.lists_ended += 1;
            self.records.begin_sweep(now);
        }
    }
}

#[cfg(test)]
mod tests;
