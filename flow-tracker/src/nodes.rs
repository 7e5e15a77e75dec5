//! This node's place among the others: the view, roles and ranks.

use crate::records::Ranked;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::keyed_hash::{FlowHash, FlowHasher, HashKey};
use jlb_protocol::rank::{Ranking, Ranks};
use jlb_protocol::view::Member;
use jlb_protocol::{DropReason, FlowKey, MemberState, NodeNumber, Role, Time, View};

mod digest;

/// The view that the tracker acts on.
#[derive(Clone, Debug)]
pub(crate) struct Nodes {
    pub(crate) me: NodeNumber,
    hasher: FlowHasher,
    view: View,
    /// The active trackers.
    ranking: Ranking,
    /// The same with this one, whatever its own state is.
    with_me: Ranking,
    fingerprint: u64,
    /// Since when each host that is down has been so.
    down_since: BTreeMap<NodeNumber, Time>,
    /// How long a host is down before its flows are given up; `None` is never.
    dead_host: Option<Duration>,
}

impl Nodes {
    pub(crate) fn new(
        me: NodeNumber,
        key: HashKey,
        view: View,
        dead_host: Option<Duration>,
        now: Time,
    ) -> Self {
        let mut nodes = Self {
            me,
            hasher: FlowHasher::new(key),
            ranking: Ranking::new(key, &view),
            with_me: Ranking::new(key, &view),
            view: View::default(),
            fingerprint: 0,
            down_since: BTreeMap::new(),
            dead_host,
        };
        nodes.set_view(view, now);
        nodes
    }

    /// Takes over a new view; whether a host has left it altogether.
    pub(crate) fn set_view(&mut self, view: View, now: Time) -> bool {
        let me = self.me;
        let host_in = |view: &View, node: NodeNumber| {
            let member = view.member(node);
            member.is_some_and(|member| member.role == Role::HostAgent)
        };
        let has_left = self.hosts().any(|host| !host_in(&view, host.node));
        let as_if_active = view.members().iter().map(|member| Member {
            state: if member.node == me {
                MemberState::Active
            } else {
                member.state
            },
            ..*member
        });
        self.with_me = Ranking::new(self.hasher.key(), &View::new(as_if_active.collect()));
        self.ranking = Ranking::new(self.hasher.key(), &view);
        self.fingerprint = view.ranked_fingerprint(Some(me));
        self.view = view;
        let view = &self.view;
        let is_down = |host: NodeNumber| {
            let member = view.member(host).filter(|it| it.role == Role::HostAgent);
            member.is_some_and(|it| it.state == MemberState::Down)
        };
        self.down_since.retain(|&host, _| is_down(host));
        for member in view.members() {
            if is_down(member.node) {
                self.down_since.entry(member.node).or_insert(now);
            }
        }
        has_left
    }

    /// The hosts that are in service in another view, and are not in this one.
    pub(crate) fn activated(&self, view: &View) -> Vec<NodeNumber> {
        let hosts = view.members().iter().filter(|member| {
            let is_active = member.state == MemberState::Active;
            is_active && member.role == Role::HostAgent && !self.is_active_host(member.node)
        });
        hosts.map(|member| member.node).collect()
    }

    pub(crate) const fn reconfigure(&mut self, dead_host: Option<Duration>) {
        self.dead_host = dead_host;
    }

    pub(crate) fn hash(&self, key: &FlowKey) -> FlowHash {
        self.hasher.flow_hash(key)
    }

    /// Hashes and ranks a flow once for all that is asked of it next; gives what others may learn of that.
    pub(crate) fn know(&self, key: &FlowKey) -> (FlowHash, &Ranking) {
        let flow = self.hash(key);
        self.ranking.prepare(flow);
        self.with_me.learn(&self.ranking);
        (flow, &self.ranking)
    }

    pub(crate) fn ranks(&self, flow: FlowHash) -> Ranks {
        self.ranking.ranks(flow)
    }

    /// Whether this tracker is one of the flow's top two, by its own view.
    pub(crate) fn is_in_top_two(&self, key: &FlowKey) -> bool {
        self.ranking.is_in_top_two_of(self.me, || self.hash(key))
    }

    /// The ranks as if one tracker, which does not act, were not ranked.
    pub(crate) fn ranks_without(&self, flow: FlowHash, without: Option<NodeNumber>) -> Ranks {
        self.ranking.ranks_without(flow, without)
    }

    /// The tracker that this one works through when it leads: the best other one of its view.
    pub(crate) fn partner(&self, ranks: Ranks) -> Option<NodeNumber> {
        if ranks.primary == Some(self.me) {
            ranks.secondary
        } else {
            ranks.primary
        }
    }

    /// This tracker's own state; `None` if its view does not have it.
    pub(crate) fn own_state(&self) -> Option<MemberState> {
        self.view.member(self.me).map(|member| member.state)
    }

    /// R10, R11: whether this tracker may choose hosts. One that joins, or was paused and joins
    /// again, may not; one that drains answers who still asks it.
    pub(crate) fn acts(&self) -> bool {
        match self.own_state() {
            Some(MemberState::Active | MemberState::Draining) => true,
            Some(MemberState::Joining | MemberState::Down) | None => false,
        }
    }

    /// Whether this tracker's record of the flow binds (R1): outside the top two it is a hint. One
    /// that drains was ranked until a moment ago, and knows what the trackers then agreed on.
    pub(crate) fn binds(&self, flow: FlowHash) -> bool {
        self.acts() && self.with_me.is_in_top_two(self.me, flow)
    }

    /// The trackers that are ranked, with this one, and their fingerprint: what hosts fill it
    /// for (R10).
    pub(crate) const fn with_me(&self) -> (u64, &Ranking) {
        (self.fingerprint, &self.with_me)
    }

    /// This tracker's place among the active ones, and how many they are.
    pub(crate) fn place(&self) -> (u32, u32) {
        let trackers = self.ranking.trackers();
        let place = trackers.iter().position(|&it| it == self.me);
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        place.map_or((0, 1), |place| (count(place), count(trackers.len())))
    }

    /// The same as [`Self::with_me`], to be kept.
    pub(crate) fn ranked(&self) -> Ranked {
        Ranked {
            me: self.me,
            hasher: self.hasher.clone(),
            fingerprint: self.fingerprint,
            ranking: self.with_me.clone(),
        }
    }

    /// The fingerprint of the trackers that are ranked by a node that does not rank this one yet.
    pub(crate) fn fingerprint_without_me(&self) -> u64 {
        let others = self.view.members().iter().filter(|it| it.node != self.me);
        View::new(others.copied().collect()).ranked_fingerprint(None)
    }

    /// The role of a member, whatever its state.
    pub(crate) fn role(&self, node: NodeNumber) -> Option<Role> {
        self.view.member(node).map(|member| member.role)
    }

    /// The node that a path names for a role, if it is a member with that role.
    pub(crate) fn named(
        &self,
        node: Option<NodeNumber>,
        role: Role,
    ) -> Result<NodeNumber, DropReason> {
        let node = node.ok_or(DropReason::WrongNode)?;
        match self.role(node) {
            Some(actual) if actual == role => Ok(node),
            Some(_) => Err(DropReason::WrongRole),
            None => Err(DropReason::WrongNode),
        }
    }

    /// All hosts of the view, whatever their state, by number.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &Member> {
        let members = self.view.members().iter();
        members.filter(|member| member.role == Role::HostAgent)
    }

    /// Whether the view has other trackers, whatever their state.
    pub(crate) fn has_other_trackers(&self) -> bool {
        let mut members = self.view.members().iter();
        members.any(|it| it.role == Role::FlowTracker && it.node != self.me)
    }

    /// Whether the view has hosts, and none of them is believed alive.
    pub(crate) fn hears_no_host(&self) -> bool {
        let mut live = self.hosts().map(|member| is_live(member.state)).peekable();
        live.peek().is_some() && !live.any(|live| live)
    }

    /// Whether new flows may be offered to the host.
    pub(crate) fn is_active_host(&self, node: NodeNumber) -> bool {
        self.host_state(node) == Some(MemberState::Active)
    }

    /// The life of a host, where it is known.
    pub(crate) fn incarnation(&self, host: NodeNumber) -> Option<u32> {
        let member = self.view.member(host)?;
        Some(member.incarnation).filter(|&incarnation| incarnation != 0)
    }

    /// Whether the host is believed alive.
    pub(crate) fn is_live_host(&self, node: NodeNumber) -> bool {
        self.host_state(node).is_some_and(is_live)
    }

    /// Whether the host has been down for so long that its flows are given up (R4).
    pub(crate) fn is_dead_host(&self, now: Time, node: NodeNumber) -> bool {
        let since = self.down_since.get(&node).copied();
        since
            .zip(self.dead_host)
            .is_some_and(|(since, span)| now.since(since) >= span)
    }

    /// Whether the host is down, and may still come back with its flows.
    pub(crate) fn may_come_back(&self, now: Time, node: NodeNumber) -> bool {
        self.down_since.contains_key(&node) && !self.is_dead_host(now, node)
    }

    fn host_state(&self, node: NodeNumber) -> Option<MemberState> {
        let member = self.view.member(node)?;
        (member.role == Role::HostAgent).then_some(member.state)
    }
}

/// Whether a node in this state is believed alive.
pub(crate) const fn is_live(state: MemberState) -> bool {
    match state {
        MemberState::Joining | MemberState::Active | MemberState::Draining => true,
        MemberState::Down => false,
    }
}

#[cfg(test)]
mod tests;
