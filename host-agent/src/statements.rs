//! What the trackers and the ingress nodes are told of this host's flows, until they acknowledge
//! it (R5).
//!
//! Each of them has a bounded queue with one statement a flow, the latest, and one State message
//! on its way at a time, which is repeated unchanged until its number is acknowledged.
//!
//! An ingress is told only which flows of its cache are over (R8), and only for a while: it would
//! find out by itself, by a packet that is given back (R4) or since the entry is idle.

use crate::config::Timers;
use crate::post::Post;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::keyed_hash::{FlowHash, HashKey};
use jlb_protocol::message::{Control, FlowStatement, List};
use jlb_protocol::rank::Ranking;
use jlb_protocol::{FlowKey, MemberState, NodeNumber, Role, Time, View};

/// The most statements of one State message: 1,200 bytes, within `wire::MAX_BODY`.
pub(crate) const BATCH: usize = 30;

/// An ingress that does not acknowledge a State after this many repeats is given up: what waits for
/// it is forgotten, and the next close tries anew.
const MAX_REPEATS: u32 = 15;

/// The statements that wait for one node, oldest first. A flow has one at most, the latest: it
/// keeps the place of the first, so that a flow that changes often is not put off for ever.
#[derive(Clone, Default, Debug)]
struct Queue {
    by_age: BTreeMap<u64, FlowStatement>,
    by_flow: BTreeMap<FlowKey, u64>,
    next: u64,
}

impl Queue {
    fn len(&self) -> usize {
        self.by_age.len()
    }

    /// Puts the statement in place of the flow's former one, or at the end; false if there is no
    /// room.
    fn put(&mut self, statement: FlowStatement, max: usize) -> bool {
        if let Some(age) = self.by_flow.get(&statement.key) {
            self.by_age.insert(*age, statement);
            return true;
        }
        if self.len() >= max {
            return false;
        }
        self.by_flow.insert(statement.key, self.next);
        self.by_age.insert(self.next, statement);
        self.next += 1;
        true
    }

    fn remove(&mut self, key: &FlowKey) {
        if let Some(age) = self.by_flow.remove(key) {
            self.by_age.remove(&age);
        }
    }

    fn take(&mut self) -> Option<FlowStatement> {
        let (_, statement) = self.by_age.pop_first()?;
        self.by_flow.remove(&statement.key);
        Some(statement)
    }
}

/// A State message on its way.
#[derive(Clone, Debug)]
struct InFlight {
    sequence: u64,
    flows: Vec<FlowStatement>,
    sent: Time,
    repeats: u32,
}

#[derive(Clone, Debug)]
struct Channel {
    /// The tracker or ingress.
    to: NodeNumber,
    /// The number of the last State message.
    sequence: u64,
    in_flight: Option<InFlight>,
    queue: Queue,
    /// Since when statements wait that were not gathered into a message.
    waiting_since: Time,
}

impl Channel {
    fn new(to: NodeNumber) -> Self {
        Self {
            to,
            sequence: 0,
            in_flight: None,
            queue: Queue::default(),
            waiting_since: Time::ZERO,
        }
    }

    fn deadline(&self, delay: Duration, retry: Duration) -> Option<Time> {
        match &self.in_flight {
            Some(in_flight) => Some(in_flight.sent + retry),
            None if self.queue.len() > 0 => Some(self.waiting_since + delay),
            None => None,
        }
    }

    /// Gathers the next message, if none is on its way and there is something to say.
    fn gather(&mut self, now: Time) {
        if self.in_flight.is_some() || self.queue.len() == 0 {
            return;
        }
        let count = self.queue.len().min(BATCH);
        let flows = (0..count).filter_map(|_| self.queue.take()).collect();
        self.sequence += 1;
        self.in_flight = Some(InFlight {
            sequence: self.sequence,
            flows,
            sent: now,
            repeats: 0,
        });
        self.waiting_since = now;
    }

    /// Queues a statement; false if there is no room.
    fn put(&mut self, now: Time, statement: FlowStatement, max: usize) -> bool {
        if self.queue.len() == 0 {
            self.waiting_since = now;
        }
        self.queue.put(statement, max)
    }

    /// The message on its way has arrived: the next one goes, if it has waited for long enough.
    fn arrived(&mut self, now: Time, delay: Duration, post: &mut Post) {
        self.in_flight = None;
        if self.queue.len() >= BATCH || self.waiting_since + delay <= now {
            self.gather(now);
            self.send(now, post);
        }
    }

    /// Sends what was gathered for long enough, or repeats what was not acknowledged in time.
    fn handle_timeout(&mut self, now: Time, delay: Duration, retry: Duration, post: &mut Post) {
        let due = self.deadline(delay, retry);
        if due.is_none_or(|due| due > now) {
            return;
        }
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.repeats = in_flight.repeats.saturating_add(1);
            post.counters.states_repeated += 1;
        }
        self.gather(now);
        self.send(now, post);
    }

    /// Whether the next repeat would be one too many.
    fn is_deaf(&self, now: Time, retry: Duration) -> bool {
        self.in_flight
            .as_ref()
            .is_some_and(|sent| sent.repeats >= MAX_REPEATS && sent.sent + retry <= now)
    }

    /// Statements waiting or on their way.
    fn pending(&self) -> usize {
        self.queue.len() + self.in_flight.as_ref().map_or(0, |sent| sent.flows.len())
    }

    fn send(&mut self, now: Time, post: &mut Post) {
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.sent = now;
            let state = Control::State {
                sequence: in_flight.sequence,
                filled: None,
                listed: None,
                flows: List::Values(&in_flight.flows),
            };
            if post.send_control(self.to, &state) {
                post.counters.states_sent += 1;
            }
        }
    }

    /// Renumbers the message on its way: the tracker counts otherwise than this host.
    fn renumber(&mut self, sequence: u64) {
        self.sequence = sequence;
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.sequence = sequence;
        }
    }
}

/// The statements for all trackers and ingress nodes of the view.
#[derive(Clone, Debug)]
pub(crate) struct Statements {
    ranking: Ranking,
    /// Sorted by tracker.
    trackers: Vec<Channel>,
    /// Sorted by ingress.
    ingresses: Vec<Channel>,
    max: usize,
    delay: Duration,
    retry: Duration,
}

impl Statements {
    pub(crate) fn new(key: HashKey, view: &View, max: u32, timers: &Timers) -> Self {
        let mut statements = Self {
            ranking: Ranking::new(key, view),
            trackers: Vec::new(),
            ingresses: Vec::new(),
            max: max as usize,
            delay: timers.state_delay,
            retry: timers.state_retry,
        };
        statements.set_view(key, view);
        statements
    }

    /// The active trackers.
    pub(crate) fn trackers(&self) -> &[NodeNumber] {
        self.ranking.trackers()
    }

    /// Statements waiting or on their way.
    pub(crate) fn pending(&self) -> usize {
        let channels = self.trackers.iter().chain(&self.ingresses);
        channels.map(Channel::pending).sum()
    }

    /// Whether no tracker's queue is more than half full.
    pub(crate) fn has_spare_room(&self) -> bool {
        let max = self.max / 2;
        self.trackers
            .iter()
            .all(|channel| channel.queue.len() <= max)
    }

    /// Takes other time spans.
    pub(crate) fn set_timers(&mut self, timers: &Timers) {
        self.delay = timers.state_delay;
        self.retry = timers.state_retry;
    }

    /// Acts on another view. What waited for a tracker that left is forgotten; what a new one
    /// ranks for is told to it by the next refresh of each flow.
    pub(crate) fn set_view(&mut self, key: HashKey, view: &View) {
        self.ranking = Ranking::new(key, view);
        self.trackers = keep(&mut self.trackers, self.ranking.trackers());
        let ingresses = view.members().iter();
        let ingresses: Vec<_> = ingresses
            .filter(|member| member.role == Role::Ingress && member.state != MemberState::Down)
            .map(|member| member.node)
            .collect();
        self.ingresses = keep(&mut self.ingresses, &ingresses);
    }

    /// Queues a statement for the flow's top two trackers. One that finds no room is counted as
    /// lost: the flow's next refresh makes it good, or the tracker's lease if the flow is over.
    pub(crate) fn state(
        &mut self,
        now: Time,
        hash: FlowHash,
        statement: FlowStatement,
        post: &mut Post,
    ) {
        let ranks = self.ranking.ranks(hash);
        let max = self.max;
        for tracker in [ranks.primary, ranks.secondary].into_iter().flatten() {
            let Some(channel) = channel(&mut self.trackers, tracker) else {
                continue;
            };
            if channel.put(now, statement, max) {
                post.counters.statements += 1;
            } else {
                post.counters.statements_lost += 1;
            }
        }
    }

    /// Queues a close for the ingress through which the flow's last packet came.
    pub(crate) fn tell_ingress(
        &mut self,
        now: Time,
        ingress: NodeNumber,
        closed: FlowStatement,
        post: &mut Post,
    ) {
        let max = self.max;
        let Some(channel) = channel(&mut self.ingresses, ingress) else {
            return;
        };
        if channel.put(now, closed, max) {
            post.counters.closes += 1;
        } else {
            post.counters.closes_lost += 1;
        }
    }

    /// Takes back what waits to be said of a flow to trackers. What an ingress is told of its former
    /// life stays true.
    pub(crate) fn withdraw(&mut self, key: &FlowKey) {
        for channel in &mut self.trackers {
            channel.queue.remove(key);
        }
    }

    /// A node says which State it applied last. Returns false if that says nothing new. An ingress
    /// acknowledges each State by its own number, and does not count.
    ///
    /// A tracker that counts otherwise decides: it lost its memory (0), or it remembers a former
    /// life of this host (more than was sent). The message on its way is then sent again under
    /// the number that the tracker expects. Lower numbers than expected are answers that came
    /// late.
    pub(crate) fn acknowledge(
        &mut self,
        now: Time,
        from: NodeNumber,
        sequence: u64,
        post: &mut Post,
    ) -> bool {
        let delay = self.delay;
        let tracker = channel(&mut self.trackers, from);
        let counts = tracker.is_some();
        let Some(channel) = tracker.or_else(|| channel(&mut self.ingresses, from)) else {
            return false;
        };
        let Some(expected) = channel.in_flight.as_ref().map(|sent| sent.sequence) else {
            return false;
        };
        if sequence == expected {
            channel.arrived(now, delay, post);
            return true;
        }
        if !counts {
            return false;
        }
        let next = match sequence.checked_add(1) {
            Some(next) if sequence > expected => next,
            Some(next) if sequence == 0 && expected > 1 => next,
            Some(_) | None => return false,
        };
        post.counters.renumbered += 1;
        channel.renumber(next);
        channel.send(now, post);
        true
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let channels = self.trackers.iter().chain(&self.ingresses);
        channels
            .filter_map(|channel| channel.deadline(self.delay, self.retry))
            .min()
    }

    /// Sends what was gathered for long enough, and repeats what was not acknowledged in time.
    pub(crate) fn handle_timeout(&mut self, now: Time, post: &mut Post) {
        for channel in &mut self.trackers {
            channel.handle_timeout(now, self.delay, self.retry, post);
        }
        for channel in &mut self.ingresses {
            if channel.is_deaf(now, self.retry) {
                post.counters.closes_lost += channel.pending() as u64;
                channel.in_flight = None;
                channel.queue = Queue::default();
            }
            channel.handle_timeout(now, self.delay, self.retry, post);
        }
    }
}

/// The channels to these nodes, sorted: those that there are already, and new ones.
fn keep(channels: &mut [Channel], nodes: &[NodeNumber]) -> Vec<Channel> {
    let kept = nodes.iter().map(|&to| match channel(channels, to) {
        Some(channel) => channel.clone(),
        None => Channel::new(to),
    });
    kept.collect()
}

fn channel(channels: &mut [Channel], to: NodeNumber) -> Option<&mut Channel> {
    let at = channels
        .binary_search_by_key(&to, |channel| channel.to)
        .ok()?;
    channels.get_mut(at)
}

#[cfg(test)]
mod tests;
