//! What is owed to which tracker: every flow for which it is among the top two of the active
//! trackers and itself (R10).
//!
//! So a tracker that joins is told of what it will rank for before it is ranked, and one that
//! drains of what it still answers for. For an active tracker it is what it ranks for.

use alloc::vec::Vec;
use jlb_protocol::keyed_hash::{FlowHash, HashKey};
use jlb_protocol::planted::{self, Bug};
use jlb_protocol::rank::{Ranking, Ranks};
use jlb_protocol::view::FailureDomain;
use jlb_protocol::{NodeNumber, Role, View};

/// The ranking of one view.
#[derive(Clone, Debug)]
pub(crate) struct Owed {
    key: HashKey,
    ranking: Ranking,
    /// Of all trackers of the view that have one, sorted by number.
    domains: Vec<(NodeNumber, FailureDomain)>,
}

impl Owed {
    pub(crate) fn new(key: HashKey, view: &View) -> Self {
        let trackers = view.members().iter();
        let trackers = trackers.filter(|member| {
            member.role == Role::FlowTracker && !planted::is(Bug::RanksInOneDomain)
        });
        let domains = trackers.filter_map(|member| Some((member.node, member.domain?)));
        Self {
            key,
            ranking: Ranking::new(key, view),
            domains: domains.collect(),
        }
    }

    /// The active trackers, sorted.
    pub(crate) fn active(&self) -> &[NodeNumber] {
        self.ranking.trackers()
    }

    /// The flow's top two active trackers.
    pub(crate) fn ranks(&self, flow: FlowHash) -> Ranks {
        self.ranking.ranks(flow)
    }

    /// Whether the flow is owed to the tracker.
    pub(crate) fn is_owed(&self, flow: FlowHash, tracker: NodeNumber) -> bool {
        // Those that are active need no scores where there are no others.
        match *self.ranking.trackers() {
            [] | [_] => return true,
            [first, second] if first == tracker || second == tracker => return true,
            _ => {}
        }
        let ranks = self.ranks(flow);
        if ranks.primary == Some(tracker) || ranks.secondary == Some(tracker) {
            return true;
        }
        let active = self.ranking.trackers();
        active.binary_search(&tracker).is_err() && self.is_owed_among(flow, tracker, active)
    }

    /// Whether the flow would be owed to the tracker if these others were active. It is then owed
    /// to it too if only some of them are.
    pub(crate) fn is_owed_among(
        &self,
        flow: FlowHash,
        tracker: NodeNumber,
        others: &[NodeNumber],
    ) -> bool {
        let others = || others.iter().copied().filter(|&other| other != tracker);
        let own = self.score(flow, tracker);
        let beats = |other: NodeNumber| self.score(flow, other) > own;
        if self.domains.is_empty() {
            return others().filter(|&other| beats(other)).take(2).count() < 2;
        }
        let best = others().map(|other| self.score(flow, other)).max();
        let Some((_, first)) = best.filter(|&best| best > own) else {
            return true;
        };
        let rest = || others().filter(|&other| other != first);
        let is_apart = |other: &NodeNumber| !self.shared(*other, first);
        if is_apart(&tracker) {
            !rest().filter(is_apart).any(beats)
        } else {
            !rest().any(|other| is_apart(&other) || beats(other))
        }
    }

    fn score(&self, flow: FlowHash, tracker: NodeNumber) -> (u64, NodeNumber) {
        (self.key.score(flow, tracker), tracker)
    }

    /// What a tracker fails together with.
    pub(crate) fn domain(&self, tracker: NodeNumber) -> Option<FailureDomain> {
        let at = self
            .domains
            .binary_search_by_key(&tracker, |&(node, _)| node);
        Some(self.domains.get(at.ok()?)?.1)
    }

    /// Whether these trackers fail together.
    fn shared(&self, one: NodeNumber, other: NodeNumber) -> bool {
        FailureDomain::is_shared(self.domain(one), self.domain(other))
    }
}

#[cfg(test)]
mod tests;
