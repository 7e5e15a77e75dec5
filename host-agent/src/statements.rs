//! What the trackers and the ingress nodes are told of this host's flows, until they acknowledge
//! it (R5).
//!
//! Each of them has a bounded queue with one statement a flow, the latest, and one State message
//! on its way at a time, which is repeated until its number is acknowledged.
//!
//! A tracker is told of the flows that are owed to it ([`crate::owed`]): of each change, and, when
//! the view changes, of those that were not owed to it before, which a walk over the flow table
//! finds ([`walk`]). That flows live on it is told by digests, or flow by flow if it does not know
//! these ([`leases`]).
//!
//! An ingress is told only which flows of its cache are over (R8), and only for a while: it would
//! find out by itself, by a packet that is given back (R4) or since the entry is idle.

mod channel;
mod digest;
mod leases;
mod queue;
mod sums;
mod tracker;
mod walk;

use crate::config::Timers;
use crate::owed::Owed;
use crate::post::Post;
use alloc::vec::Vec;
use channel::{Channel, Pace};
use core::time::Duration;
use jlb_flow_table::Handle;
use jlb_protocol::bucket::flow_digest;
use jlb_protocol::keyed_hash::{FlowHash, HashKey};
use jlb_protocol::message::{FlowState, FlowStatement, Path};
use jlb_protocol::rank::Ranks;
use jlb_protocol::{Birth, MemberState, NodeNumber, Role, Time, View};
use leases::Rounds;
use tracker::Tracker;

/// The most statements of one State message: 1,200 bytes, within `wire::MAX_BODY`.
pub(crate) const BATCH: usize = 30;

/// A tracker that says it has applied a message of this number or a greater one is mistaken.
const LAST_NUMBER: u64 = u64::MAX - (1 << 32);

/// An ingress that does not acknowledge a State after this many repeats is given up: what waits for
/// it is forgotten, and the next close tries anew.
const MAX_REPEATS: u32 = 15;

/// The statements for all trackers and ingress nodes of the view.
#[derive(Clone, Debug)]
pub(crate) struct Statements {
    key: HashKey,
    owed: Owed,
    /// Every tracker of the view, sorted.
    trackers: Vec<Tracker>,
    /// Sorted by ingress.
    ingresses: Vec<Channel>,
    rounds: Rounds,
    /// Before the first number of a message to a tracker that is new to this host.
    base: u64,
    /// The same for ingress nodes.
    ingress_base: u64,
    max: usize,
    pace: Pace,
}

/// A flow of this host and what is to be told of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) handle: Handle,
    pub(crate) hash: FlowHash,
    pub(crate) statement: FlowStatement,
}

impl Statements {
    pub(crate) fn new(
        key: HashKey,
        incarnation: u32,
        view: &View,
        max: u32,
        timers: &Timers,
        now: Time,
    ) -> Self {
        let mut statements = Self {
            key,
            owed: Owed::new(key, view),
            trackers: Vec::new(),
            ingresses: Vec::new(),
            rounds: Rounds::new(now, timers.refresh),
            base: u64::from(incarnation) << 32,
            ingress_base: u64::from(incarnation) << 32,
            max: max as usize,
            pace: pace(timers),
        };
        statements.set_view(now, view);
        statements
    }

    /// The trackers that are not believed dead: what a host says to all trackers, it says to these.
    pub(crate) fn alive(&self) -> impl Iterator<Item = NodeNumber> + '_ {
        let alive = self.trackers.iter().filter(|tracker| tracker.is_alive);
        alive.map(Tracker::node)
    }

    /// The flow's top two trackers.
    pub(crate) fn ranks(&self, flow: FlowHash) -> Ranks {
        self.owed.ranks(flow)
    }

    /// Statements waiting or on their way.
    pub(crate) fn pending(&self) -> usize {
        self.channels().map(Channel::pending).sum()
    }

    /// Trackers that are still to be told of something that is owed to them.
    pub(crate) fn unfilled(&self) -> usize {
        let alive = self.trackers.iter().filter(|tracker| tracker.is_alive);
        alive
            .filter(|tracker| tracker.channel.mark.is_none())
            .count()
    }

    /// Takes other time spans.
    pub(crate) fn set_timers(&mut self, timers: &Timers) {
        self.pace = pace(timers);
        self.rounds.set_refresh(timers.refresh);
    }

    /// Acts on another view. Returns whether a tracker is believed alive that was not, or in a life
    /// that was not known.
    ///
    /// What waited for a tracker that is gone is forgotten: if it returns, it is told everything
    /// that is owed to it (R10).
    pub(crate) fn set_view(&mut self, now: Time, view: &View) -> bool {
        let owed = Owed::new(self.key, view);
        let before = core::mem::replace(&mut self.owed, owed);
        let mut has_new = false;
        // Queues are long: they are moved, never copied.
        let mut known = core::mem::take(&mut self.trackers);
        let mut trackers = Vec::new();
        let members = view.members().iter();
        for member in members.filter(|member| member.role == Role::FlowTracker) {
            let mut tracker = take(&mut known, member.node, Tracker::node)
                .unwrap_or_else(|| Tracker::new(member.node, self.base));
            let life = (tracker.is_alive, tracker.incarnation);
            let fingerprint = view.ranked_fingerprint(Some(member.node));
            let moved = |&node: &NodeNumber| before.domain(node) != self.owed.domain(node);
            tracker.see(now, member, fingerprint, before.active(), moved);
            has_new |= tracker.is_alive && life != (true, tracker.incarnation);
            trackers.push(tracker);
        }
        self.trackers = trackers;
        // A tracker that comes back as a stranger remembers the number of its last Digest, which no
        // answer corrects; and a State to it may still be under way, whose number must not be given
        // to another.
        for gone in known {
            self.base = self.base.max(gone.digests).max(gone.channel.sequence);
        }
        let mut known = core::mem::take(&mut self.ingresses);
        let ingresses = view.members().iter();
        let ingresses = ingresses
            .filter(|member| member.role == Role::Ingress && member.state != MemberState::Down);
        let kept = ingresses.map(|member| {
            take(&mut known, member.node, |channel| channel.to)
                .unwrap_or_else(|| Channel::new(member.node, self.ingress_base))
        });
        self.ingresses = kept.collect();
        // The answer to a State of then must not be taken for one to a State of now.
        for gone in known {
            self.ingress_base = self.ingress_base.max(gone.sequence);
        }
        has_new
    }

    /// Tells the trackers to which it is owed of a flow. A statement that finds no room is counted
    /// as lost: it is made good by a walk, or, if the flow is over, by a list or the tracker's
    /// lease.
    pub(crate) fn state(&mut self, now: Time, told: &Told, post: &mut Post) {
        let owed = &self.owed;
        for tracker in self.trackers.iter_mut().filter(|tracker| tracker.is_alive) {
            if !owed.is_owed(told.hash, tracker.node()) {
                continue;
            }
            let statement = told.statement;
            let channel = &mut tracker.channel;
            if channel.put(now, told.hash, statement, self.max, self.pace) {
                post.counters.statements += 1;
                continue;
            }
            post.counters.statements_lost += 1;
            match statement.state {
                FlowState::Accepted | FlowState::Established | FlowState::Closing => {
                    tracker.lost(now, told.handle);
                }
                FlowState::Closed | FlowState::NotMine => {}
            }
        }
    }

    /// R10: "on accept a host compares the path with its own ranks and tells those not on it at
    /// once". To be called after [`Self::state`].
    pub(crate) fn hurry(&mut self, now: Time, hash: FlowHash, path: &Path, post: &mut Post) {
        let knows = |tracker| path.primary == Some(tracker) || path.secondary == Some(tracker);
        if self.owed.active().len() <= 2 && self.owed.active().iter().all(|&it| knows(it)) {
            return;
        }
        let ranks = self.owed.ranks(hash);
        for rank in [ranks.primary, ranks.secondary].into_iter().flatten() {
            if knows(rank) {
                continue;
            }
            if let Some(tracker) = find(&mut self.trackers, rank, Tracker::node) {
                post.counters.states_hurried += 1;
                tracker.channel.hurry(now, self.pace, post);
            }
        }
    }

    /// A flow is this host's from now on. To be called before [`Self::state`].
    pub(crate) fn gained(&mut self, flow: &Told) {
        self.count(flow, Tracker::gained);
    }

    /// A flow of the birth that the statement names is this host's no more.
    pub(crate) fn gave_up(&mut self, flow: &Told) {
        self.count(flow, Tracker::gave_up);
    }

    fn count(&mut self, flow: &Told, change: impl Fn(&mut Tracker, Handle, FlowHash, u64)) {
        let digest = flow_digest(&flow.statement.key, flow.statement.birth);
        let owed = &self.owed;
        for tracker in self.trackers.iter_mut().filter(|tracker| tracker.is_alive) {
            if owed.is_owed(flow.hash, tracker.node()) {
                change(tracker, flow.handle, flow.hash, digest);
            }
        }
    }

    /// Queues a close for the ingress through which the flow's last packet came.
    pub(crate) fn tell_ingress(
        &mut self,
        now: Time,
        ingress: NodeNumber,
        closed: &Told,
        post: &mut Post,
    ) {
        let Some(channel) = find(&mut self.ingresses, ingress, |channel| channel.to) else {
            return;
        };
        if channel.put(now, closed.hash, closed.statement, self.max, self.pace) {
            post.counters.closes += 1;
        } else {
            post.counters.closes_lost += 1;
        }
    }

    /// Takes back what waits to be said of a flow to trackers. What an ingress is told of its former
    /// life stays true.
    pub(crate) fn withdraw(&mut self, told: &Told) {
        for tracker in &mut self.trackers {
            let queue = &mut tracker.channel.queue;
            queue.remove(told.hash, &told.statement.key);
        }
    }

    /// A node says which State it applied last. Returns false if that says nothing new.
    ///
    /// An ingress acknowledges each State by its own number, and does not count. A tracker may
    /// remember a greater number than was sent: the message on its way is sent again under one that
    /// it takes. Lower numbers are answers that came late. Two things a tracker says unasked: 0, when it
    /// applied more before, is that it lost its memory; and the last number, with nothing on its
    /// way, is that it lacks this host's mark (R10).
    pub(crate) fn acknowledge(
        &mut self,
        now: Time,
        from: NodeNumber,
        sequence: u64,
        post: &mut Post,
    ) -> bool {
        let pace = self.pace;
        let Some(tracker) = find(&mut self.trackers, from, Tracker::node) else {
            let ingress = find(&mut self.ingresses, from, |channel| channel.to);
            let awaited = |channel: &&mut Channel| {
                let sent = channel.in_flight.as_ref();
                sent.is_some_and(|sent| sent.sequence == sequence)
            };
            let Some(channel) = ingress.filter(awaited) else {
                return false;
            };
            channel.arrived(now, pace, post);
            return true;
        };
        if sequence == 0 && tracker.has_heard {
            tracker.has_heard = false;
            tracker.start_anew(now);
            post.counters.forgotten += 1;
            return true;
        }
        let expected = tracker.channel.in_flight.as_ref().map(|sent| sent.sequence);
        match expected {
            Some(expected) if sequence == expected => {
                tracker.has_heard = true;
                tracker.channel.arrived(now, pace, post);
                true
            }
            Some(expected) if sequence > expected && sequence < LAST_NUMBER => {
                let next = sequence + 1;
                post.counters.renumbered += 1;
                tracker.channel.renumber(now, next, post);
                true
            }
            Some(_) => false,
            None => {
                let asks = sequence == tracker.channel.sequence
                    && now >= tracker.answered + pace.retry
                    && tracker.channel.mark.is_some();
                if asks {
                    tracker.answered = now;
                    tracker.channel.repeat_mark(now);
                    post.counters.marks_repeated += 1;
                }
                asks
            }
        }
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let channels = self
            .channels()
            .filter_map(|channel| channel.deadline(self.pace));
        channels.chain(self.next_digests()).min()
    }

    /// Sends what was gathered for long enough, repeats what was not acknowledged in time, and
    /// sends the digests that are due, where births up to `high_water` were given.
    pub(crate) fn handle_timeout(&mut self, now: Time, high_water: Birth, post: &mut Post) {
        for tracker in &mut self.trackers {
            tracker.channel.handle_timeout(now, self.pace, post);
        }
        for channel in &mut self.ingresses {
            if channel.is_deaf(now, self.pace, MAX_REPEATS) {
                post.counters.closes_lost += channel.pending() as u64;
                channel.clear();
            }
            channel.handle_timeout(now, self.pace, post);
        }
        self.send_digests(now, high_water, post);
    }

    fn channels(&self) -> impl Iterator<Item = &Channel> {
        let trackers = self.trackers.iter().map(|tracker| &tracker.channel);
        trackers.chain(&self.ingresses)
    }
}

fn pace(timers: &Timers) -> Pace {
    let (delay, retry): (Duration, Duration) = (timers.state_delay, timers.state_retry);
    Pace {
        delay,
        retry,
        batch: BATCH,
    }
}

/// The one of this node, where they are sorted.
fn find<T>(all: &mut [T], node: NodeNumber, of: impl Fn(&T) -> NodeNumber) -> Option<&mut T> {
    let at = all.binary_search_by_key(&node, of).ok()?;
    all.get_mut(at)
}

/// The same, taken out.
fn take<T>(all: &mut Vec<T>, node: NodeNumber, of: impl Fn(&T) -> NodeNumber) -> Option<T> {
    let at = all.binary_search_by_key(&node, of).ok()?;
    Some(all.remove(at))
}

#[cfg(test)]
mod tests;
