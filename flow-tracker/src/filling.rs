//! Filled before ranked (R10): which hosts have told this tracker all of the flows that it ranks
//! for, and what its having no record of a flow is worth.
//!
//! A host's *mark* is the fingerprint of the trackers among which it has told this one everything.
//! It counts while that is the ranking of this tracker's own view. Marks come on the numbered,
//! acknowledged stream of statements, in order. Between a change of the view and the marks for it
//! the tracker still knows the flows that it ranked for in each ranking since the last one that all
//! hosts had marked: its having no record of one of these is *authoritative*. Of all others the
//! hosts are asked first.

use crate::nodes::{Nodes, is_live};
use crate::primary::{Done, Ended};
use crate::tracker::FlowTracker;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::message::{Control, FlowKind, FlowMessage, Reason, Tried};
use jlb_protocol::planted::{self, Bug};
use jlb_protocol::rank::Ranking;
use jlb_protocol::{MemberState, NodeNumber, Time};

mod digest;

/// The most rankings that are remembered since all hosts had marked one. With more, nothing is
/// authoritative until they have done so again: a view that changes that often is not to be built on.
const MAX_RANKINGS: usize = 8;

/// How long a host's silence lasts before it is asked for its mark; twice that each further time.
const PROMPT_AFTER: Duration = Duration::from_millis(500);

/// How many times a host is asked for its mark after one change.
const MAX_PROMPTS: u8 = 7;

/// How long a joining tracker waits for a host that is believed alive and says nothing at all, or goes
/// by another ranking than it does (the host can't reach some other tracker, say), before it joins
/// without that host's mark. Its flows are asked for one by one then.
const PATIENCE: Duration = Duration::from_secs(5);

/// A host, as far as it has filled this tracker.
#[derive(Clone, Debug)]
struct Source {
    incarnation: u32,
    live: bool,
    /// Since when it is alive, or not.
    since: Time,
    /// The last mark that counts for something.
    mark: Option<u64>,
    /// Whether it has told all that this tracker ranks for in all of the rankings remembered.
    complete: bool,
    /// The fingerprint that it gave in its last Hello.
    said: Option<u64>,
    /// Whether a SYN waited in vain for its word, and it has said nothing since.
    silent: bool,
    /// When it last stated anything, or came alive.
    heard: Time,
    /// When its mark changed last, or began to be waited for.
    told: Time,
    prompts: u8,
    /// Whether it is not waited for any more.
    given_up: bool,
}

/// How far this tracker is filled.
#[derive(Clone, Debug)]
pub(crate) struct Filling {
    sources: BTreeMap<NodeNumber, Source>,
    /// The rankings since all hosts had marked one, that one included; none before that.
    rankings: Vec<(u64, Ranking)>,
    fingerprint: u64,
    /// Live hosts that have marked the present ranking, and those that have not.
    marked: u64,
    unmarked: u64,
    /// Whether nobody is waited for: all have marked or are given up.
    filled: bool,
    /// When a host is to be prompted or given up; not later than that.
    due: Option<Time>,
}

/// Why having no record of a flow does not prove that no host has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Doubt {
    /// Whether the hosts that have marked the present ranking have told of the flow.
    by_mark: bool,
    /// Whether the hosts that are complete have.
    by_history: bool,
}

impl Filling {
    /// Nobody has filled it, even if its first view has it active, as a fixed list does: it may have
    /// lost its memory a moment ago.
    pub(crate) fn new(nodes: &Nodes, now: Time) -> Self {
        let mut filling = Self {
            sources: BTreeMap::new(),
            rankings: Vec::new(),
            fingerprint: nodes.with_me().0,
            marked: 0,
            unmarked: 0,
            filled: false,
            due: None,
        };
        filling.meet(nodes, now, Duration::ZERO);
        filling.judge(nodes);
        filling
    }

    /// As if all hosts of the view had marked it.
    #[cfg(test)]
    pub(crate) fn assume_marked(&mut self, nodes: &Nodes) {
        for source in self.sources.values_mut() {
            source.mark = Some(self.fingerprint);
        }
        self.judge(nodes);
    }

    /// Takes over a new view. A host that was gone for longer than `lease` has left no records.
    pub(crate) fn set_view(&mut self, nodes: &Nodes, now: Time, lease: Duration) {
        self.meet(nodes, now, lease);
        let (fingerprint, ranking) = nodes.with_me();
        if fingerprint != self.fingerprint {
            self.fingerprint = fingerprint;
            for source in self.sources.values_mut() {
                source.expect(now);
            }
            let known = self.rankings.iter().any(|(known, _)| *known == fingerprint);
            if !self.rankings.is_empty() && !known {
                if self.rankings.len() < MAX_RANKINGS {
                    self.rankings.push((fingerprint, ranking.clone()));
                } else {
                    self.rankings.clear();
                }
            }
        }
        self.judge(nodes);
    }

    /// Brings the hosts in line with the view.
    fn meet(&mut self, nodes: &Nodes, now: Time, lease: Duration) {
        let mut hosts = nodes.hosts().peekable();
        self.sources.retain(|&host, _| {
            while hosts.next_if(|member| member.node < host).is_some() {}
            hosts.peek().is_some_and(|member| member.node == host)
        });
        for member in nodes.hosts() {
            let live = is_live(member.state);
            let source = self.sources.entry(member.node).or_insert(Source {
                incarnation: member.incarnation,
                live,
                since: now,
                mark: None,
                complete: false,
                said: None,
                silent: false,
                heard: now,
                told: now,
                prompts: 0,
                given_up: false,
            });
            let new_life = source.incarnation != member.incarnation;
            let returned = live && !source.live;
            if !new_life && live == source.live {
                continue;
            }
            if new_life || returned {
                source.mark = None;
                source.said = None;
                source.silent = false;
                source.expect(now);
                // What a host's former life has told is still recorded, and its new one begins with
                // nothing else. One that was out of reach may have accepted flows all the while.
                let recorded = source.live || now.since(source.since) < lease;
                source.complete = source.complete && new_life && recorded;
            }
            source.incarnation = member.incarnation;
            if live != source.live {
                source.live = live;
                source.since = now;
            }
        }
    }

    /// What holds of all hosts together, after any change.
    fn judge(&mut self, nodes: &Nodes) {
        let (fingerprint, ranking) = nodes.with_me();
        let live = || self.sources.values().filter(|source| source.live);
        let marked = |source: &Source| source.mark == Some(fingerprint);
        self.marked = live().map(|source| u64::from(marked(source))).sum();
        self.unmarked = live().map(|source| u64::from(!marked(source))).sum();
        self.filled = live().all(|source| marked(source) || source.given_up);
        let only_it = matches!(self.rankings.as_slice(), [(known, _)] if *known == fingerprint);
        let forget = self.filled && !only_it;
        if forget {
            self.rankings.clear();
            self.rankings.push((fingerprint, ranking.clone()));
        }
        let none = self.rankings.is_empty();
        for source in self.sources.values_mut() {
            // What was told of rankings that are forgotten says nothing of this one.
            source.complete = !none && (marked(source) || (source.complete && !forget));
        }
        self.due = self.next_due();
    }

    fn next_due(&self) -> Option<Time> {
        let sources = self.sources.values();
        let waited_for = sources.filter(|source| source.is_waited_for(self.fingerprint));
        waited_for.filter_map(Source::deadline).min()
    }

    /// Whether every live host has told all that this tracker ranks for.
    pub(crate) fn is_filled(&self) -> bool {
        planted::is(Bug::RankedUnfilled) || self.filled
    }

    /// How many live hosts have marked the present ranking, and how many have not.
    pub(crate) const fn counts(&self) -> (u64, u64) {
        (self.marked, self.unmarked)
    }

    /// A State message of the host was applied, with this mark; or another word of it came.
    pub(crate) fn heard(&mut self, now: Time, nodes: &Nodes, host: NodeNumber) {
        if let Some(source) = self.sources.get_mut(&host) {
            source.heard = now;
            source.silent = false;
            if source.given_up && source.patience() > now {
                source.given_up = false;
                self.judge(nodes);
            }
        }
    }

    /// The mark of the host's last numbered State.
    pub(crate) fn mark(&mut self, now: Time, nodes: &Nodes, host: NodeNumber, mark: Option<u64>) {
        if let Some(source) = self.sources.get_mut(&host)
            && source.mark != mark
        {
            source.mark = mark;
            source.told = now;
            source.prompts = 0;
            source.given_up = false;
            self.judge(nodes);
        }
    }

    /// What a host's Hello says of whom it ranks. A mark that counts is void if the host has turned
    /// to other trackers since; one that is for them already is left alone.
    pub(crate) fn said(&mut self, now: Time, nodes: &Nodes, host: NodeNumber, ranked: u64) {
        let fingerprint = self.fingerprint;
        let Some(source) = self.sources.get_mut(&host) else {
            return;
        };
        let before = source.said.replace(ranked);
        if source.mark != Some(fingerprint) || ranked == fingerprint || before == Some(ranked) {
            return;
        }
        // It may not have heard yet that this tracker is active. If it had, it has lost it since.
        let not_yet = before != Some(fingerprint) && ranked == nodes.fingerprint_without_me();
        if !not_yet {
            source.mark = None;
            source.expect(now);
            self.judge(nodes);
        }
    }

    /// The host did not answer although a SYN waited for it.
    pub(crate) fn silent(&mut self, host: NodeNumber) {
        if let Some(source) = self.sources.get_mut(&host) {
            source.silent = true;
        }
    }

    /// Whether the host has told all that this tracker ranks for now.
    pub(crate) fn has_marked(&self, host: NodeNumber) -> bool {
        let source = self.sources.get(&host);
        source.is_some_and(|source| source.live && source.mark == Some(self.fingerprint))
    }

    /// Whether a host may have the flow though this tracker has no record of it; `None` if not.
    pub(crate) fn doubt(&self, nodes: &Nodes, flow: FlowHash) -> Option<Doubt> {
        let me = nodes.me;
        if planted::is(Bug::MissIsAlwaysAuthoritative) || planted::is(Bug::ActsWhileJoining) {
            return None;
        }
        // Hosts tell a tracker that drains nothing new.
        let ranked = nodes.own_state() == Some(MemberState::Active);
        let by_mark = ranked && nodes.with_me().1.is_in_top_two(me, flow);
        if by_mark && self.unmarked == 0 {
            return None;
        }
        let by_history = ranked && !self.rankings.is_empty();
        let by_history = by_history
            && self
                .rankings
                .iter()
                .all(|(_, ranking)| ranking.is_in_top_two(me, flow));
        Some(Doubt {
            by_mark,
            by_history,
        })
    }

    /// Whether this host may have the flow.
    pub(crate) fn may_have(&self, host: NodeNumber, doubt: Doubt) -> bool {
        self.sources.get(&host).is_some_and(|source| {
            let marked = source.mark == Some(self.fingerprint);
            let told = (marked && doubt.by_mark) || (source.complete && doubt.by_history);
            source.live && !told && !source.silent
        })
    }

    /// When [`Self::overdue`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.due.map(Time::as_nanos)
    }

    /// Gives up who has said nothing for too long; gives the host to be asked for its mark, if any,
    /// and is to be called until `None`.
    pub(crate) fn overdue(&mut self, now: Time, nodes: &Nodes) -> Option<NodeNumber> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        let fingerprint = self.fingerprint;
        let mut gave_up = false;
        let mut prompted = None;
        for (&host, source) in &mut self.sources {
            if !source.is_waited_for(fingerprint) {
                continue;
            }
            if !source.given_up && source.patience() <= now {
                source.given_up = true;
                gave_up = true;
            }
            if source.prompt_at().is_some_and(|at| at <= now) {
                source.prompts += 1;
                prompted = Some(host);
                break;
            }
        }
        if gave_up {
            self.judge(nodes);
        } else if prompted.is_none() {
            self.due = self.next_due();
        }
        prompted
    }
}

impl Source {
    /// A new mark is waited for from now on.
    const fn expect(&mut self, now: Time) {
        self.heard = now;
        self.told = now;
        self.prompts = 0;
        self.given_up = false;
    }

    fn is_waited_for(&self, fingerprint: u64) -> bool {
        self.live && self.mark != Some(fingerprint)
    }

    fn prompt_at(&self) -> Option<Time> {
        (self.prompts < MAX_PROMPTS).then(|| self.heard + PROMPT_AFTER * (1 << self.prompts))
    }

    /// When it is given up. One that is at work on a mark for this ranking says so by having none.
    fn patience(&self) -> Time {
        match self.mark {
            Some(_) => self.heard.min(self.told) + PATIENCE,
            None => self.heard + PATIENCE,
        }
    }

    fn deadline(&self) -> Option<Time> {
        let patience = (!self.given_up).then(|| self.patience());
        self.prompt_at().into_iter().chain(patience).min()
    }
}

impl FlowTracker {
    /// R10: whether every live host has told this tracker all of the flows that it would rank for:
    /// it may be ranked now. Also true where no host is alive.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.filling.is_filled()
    }

    /// Takes the fingerprint of the ranked trackers that a node has given in a Hello. Of use is that
    /// of a host: its mark is void once it ranks others than this tracker does (R10).
    pub fn handle_peer_view(&mut self, now: Time, node: NodeNumber, ranked: u64) {
        self.filling.said(now, &self.nodes, node, ranked);
    }

    /// Asks hosts that are silent for their marks, by repeating the acknowledgement of the last State:
    /// the host states its mark again, or all if it sees by the number that this tracker lost it.
    pub(crate) fn prompt_hosts(&mut self, now: Time) {
        while let Some(host) = self.filling.overdue(now, &self.nodes) {
            self.out.stats.fill_prompts += 1;
            let sequence = self.sequences.last(host);
            self.out.send_control(host, &Control::Ack { sequence });
        }
    }

    /// R11: a tracker that is not filled chooses no host; the ingress tries the next rank.
    pub(crate) fn not_acting(&mut self, ingress: NodeNumber, message: &FlowMessage<'_>) -> Ended {
        let answer = FlowMessage {
            kind: FlowKind::NotActing,
            birth: None,
            tried: Tried::NONE,
            reason: Reason::NotFilled,
            load: 0,
            packet: &[],
            ..*message
        };
        self.out.stats.not_acting += 1;
        self.out
            .send(ingress, self.nodes.hash(&message.key), &answer);
        Ok(Done::Consumed)
    }
}

#[cfg(test)]
mod tests;
