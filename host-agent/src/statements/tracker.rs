//! What one tracker was told, and what it still has to be told.

use super::channel::Channel;
use super::sums::{Buckets, Sums};
use crate::owed::Owed;
use alloc::vec::Vec;
use jlb_flow_table::Handle;
use jlb_protocol::bucket::{bucket, flow_digest};
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::message::{FlowStatement, Listed};
use jlb_protocol::view::Member;
use jlb_protocol::{Birth, MemberState, NodeNumber, Time};

/// The wire version from which on a tracker knows digests (R9).
const WIRE_WITH_DIGESTS: u8 = 2;

/// Why the flow table is walked for a tracker.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Errand {
    /// To tell it of every flow that is owed to it and that it was not told of (R10).
    Fill,
    /// To list some buckets in full (R9).
    List {
        buckets: Buckets,
        /// The last birth that was given when the list was begun.
        high_water: Birth,
    },
}

/// A walk over the flow table: a place in it, whatever the number of flows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Walk {
    pub(super) errand: Errand,
    /// The last flow that was visited.
    pub(super) after: Option<Handle>,
}

impl Walk {
    const FILL: Self = Self {
        errand: Errand::Fill,
        after: None,
    };
}

/// A tracker of the view that is not believed dead is owed statements; one that is has a number only.
#[derive(Clone, Debug)]
pub(super) struct Tracker {
    pub(super) channel: Channel,
    pub(super) is_alive: bool,
    /// Whether it is waiting to be ranked.
    pub(super) is_joining: bool,
    /// Which life of it this is.
    pub(super) incarnation: u32,
    pub(super) wire: u8,
    /// Fingerprint of the trackers by which it is known what is owed to it.
    pub(super) fingerprint: u64,
    /// What is owed by a ranking of these was told already, since it was owed ever since the last
    /// walk that filled; `None` before there was one.
    pub(super) told: Option<Vec<NodeNumber>>,
    pub(super) walk: Option<Walk>,
    /// Since when there is something to walk for.
    pub(super) walk_since: Time,
    /// Buckets that it wants a list of, and that no walk lists yet.
    pub(super) wanted: Buckets,
    /// The flows owed to it, those left out that a filling walk has yet to visit.
    pub(super) sums: Sums,
    /// Digests that were put off because statements of their buckets were not acknowledged.
    pub(super) late: Buckets,
    /// The number of the last Digest message.
    pub(super) digests: u64,
    /// Whether it acknowledged a State in this life.
    pub(super) has_heard: bool,
    /// When its question for the mark was answered last.
    pub(super) answered: Time,
}

impl Tracker {
    /// A tracker of which nothing is known yet. Numbers of messages are above `base`.
    pub(super) fn new(to: NodeNumber, base: u64) -> Self {
        Self {
            channel: Channel::new(to, base),
            is_alive: false,
            is_joining: false,
            incarnation: 0,
            wire: 1,
            fingerprint: 0,
            told: None,
            walk: None,
            walk_since: Time::ZERO,
            wanted: Buckets::NONE,
            sums: Sums::new(),
            late: Buckets::NONE,
            digests: base,
            has_heard: false,
            answered: Time::ZERO,
        }
    }

    pub(super) const fn node(&self) -> NodeNumber {
        self.channel.to
    }

    /// Acts on another view, in which what is owed to it is known by `fingerprint`; `active` were
    /// ranked until now, and `moved` tells whose failure domain is another than it was.
    pub(super) fn see(
        &mut self,
        now: Time,
        member: &Member,
        fingerprint: u64,
        active: &[NodeNumber],
        moved: impl Fn(&NodeNumber) -> bool,
    ) {
        // What was told when these failed with others is not what is owed among them now.
        let told = self.told.iter().flatten();
        if told.chain(active).any(moved) {
            self.told = None;
        }
        let is_joining = member.state == MemberState::Joining;
        if is_joining && !self.is_joining {
            self.channel.put_off_mark(true);
        }
        self.is_joining = is_joining;
        match member.state {
            MemberState::Down => {
                self.is_alive = false;
                self.forget();
            }
            MemberState::Joining | MemberState::Active | MemberState::Draining => {
                let same_life = self.is_alive && self.incarnation == member.incarnation;
                self.is_alive = true;
                self.incarnation = member.incarnation;
                if !same_life {
                    self.forget();
                    self.fingerprint = fingerprint;
                    self.fill(now);
                } else if self.fingerprint != fingerprint {
                    self.fingerprint = fingerprint;
                    // What a walk that was not finished told, it tells again.
                    if let Some(told) = &mut self.told {
                        told.extend_from_slice(active);
                        told.sort_unstable();
                        told.dedup();
                    }
                    self.fill(now);
                }
            }
        }
    }

    /// R10: it may lack any of what is owed to it, so that it is told all of it.
    pub(super) fn start_anew(&mut self, now: Time) {
        self.told = None;
        self.fill(now);
    }

    /// Notes that a statement to it was lost: it has to be told anew, if a walk that is under way
    /// does not come by yet; that walk must not take the flow for one that was told of.
    pub(super) fn lost(&mut self, now: Time, handle: Handle) {
        if self.counts(handle) {
            self.start_anew(now);
        } else {
            self.told = None;
        }
    }

    /// Whether it is walked for, and there is room for what the walk finds. Half of the queue is
    /// left to what happens meanwhile.
    pub(super) fn can_walk(&self, max: usize) -> bool {
        self.walk.is_some() && self.channel.queue.len() <= max / 2 && self.channel.queue.len() < max
    }

    /// Whether a list is wanted that could be begun. Before that the ends of the last ones are told,
    /// so that there are never more of them than buckets.
    pub(super) fn wants_list(&self) -> bool {
        self.walk.is_none() && !self.wanted.is_empty() && self.channel.listed.is_empty()
    }

    /// Begins to list the buckets that are wanted.
    pub(super) fn begin_list(&mut self, high_water: Birth) {
        self.walk = Some(Walk {
            errand: Errand::List {
                buckets: core::mem::take(&mut self.wanted),
                high_water,
            },
            after: None,
        });
    }

    /// The walk comes by a flow that is not this host's.
    pub(super) const fn pass(&mut self, handle: Handle) {
        if let Some(walk) = &mut self.walk {
            walk.after = Some(handle);
        }
    }

    /// The walk comes by a flow, which is owed to the tracker or not. Returns whether that is to be
    /// told now.
    pub(super) fn visit(
        &mut self,
        handle: Handle,
        hash: FlowHash,
        statement: &FlowStatement,
        is_owed: bool,
        owed: &Owed,
    ) -> bool {
        let Some(walk) = &mut self.walk else {
            return false;
        };
        walk.after = Some(handle);
        if !is_owed {
            return false;
        }
        match walk.errand {
            Errand::Fill => {
                let to = self.channel.to;
                self.sums
                    .add(bucket(hash), flow_digest(&statement.key, statement.birth));
                let told = self.told.as_ref();
                !told.is_some_and(|told| owed.is_owed_among(hash, to, told))
            }
            Errand::List { buckets, .. } => buckets.contains(bucket(hash)),
        }
    }

    /// The walk has come by every flow, and what it found is queued.
    pub(super) fn end_walk(&mut self, now: Time, active: &[NodeNumber]) {
        let Some(walk) = self.walk.take() else {
            return;
        };
        match walk.errand {
            Errand::Fill => {
                self.told = Some(active.to_vec());
                self.channel.set_mark(now, self.fingerprint);
            }
            Errand::List {
                buckets,
                high_water,
            } => {
                for bucket in buckets.iter() {
                    self.channel.end_list(now, Listed { bucket, high_water });
                }
            }
        }
        self.walk_since = now;
    }

    /// A flow that is owed to it is this host's from now on; it is told of it next.
    pub(super) fn gained(&mut self, handle: Handle, hash: FlowHash, digest: u64) {
        self.channel.put_off_mark(self.is_joining);
        if self.counts(handle) {
            self.sums.add(bucket(hash), digest);
        }
    }

    /// A flow that is owed to it is this host's no more.
    pub(super) fn gave_up(&mut self, handle: Handle, hash: FlowHash, digest: u64) {
        if self.counts(handle) {
            self.sums.remove(bucket(hash), digest);
        }
    }

    /// Whether it is told by digests that flows live on, not flow by flow.
    pub(super) const fn knows_digests(&self) -> bool {
        self.wire >= WIRE_WITH_DIGESTS
    }

    /// Whether a flow at this place is in the sums, if it is owed.
    fn counts(&self, handle: Handle) -> bool {
        match self.walk {
            Some(Walk {
                errand: Errand::Fill,
                after,
            }) => Some(handle) <= after,
            Some(Walk {
                errand: Errand::List { .. },
                ..
            })
            | None => true,
        }
    }

    fn fill(&mut self, now: Time) {
        self.channel.withdraw_mark();
        self.channel.listed.clear();
        self.sums.clear();
        self.wanted = Buckets::NONE;
        self.late = Buckets::NONE;
        self.walk = Some(Walk::FILL);
        self.walk_since = now;
    }

    fn forget(&mut self) {
        self.channel.clear();
        self.told = None;
        self.walk = None;
        self.wanted = Buckets::NONE;
        self.late = Buckets::NONE;
        self.sums.clear();
        self.has_heard = false;
    }
}
