//! What is owed to which tracker: every flow for which it is among the top two of the active
//! trackers and itself (R10).
//!
//! So a tracker that joins is told of what it will rank for before it is ranked, and one that
//! drains of what it still answers for. For an active tracker it is what it ranks for.

use jlb_protocol::keyed_hash::{FlowHash, HashKey};
use jlb_protocol::rank::{Ranking, Ranks};
use jlb_protocol::{NodeNumber, View};

/// The ranking of one view.
#[derive(Clone, Debug)]
pub(crate) struct Owed {
    key: HashKey,
    ranking: Ranking,
}

impl Owed {
    pub(crate) fn new(key: HashKey, view: &View) -> Self {
        Self {
            key,
            ranking: Ranking::new(key, view),
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
        match ranks.secondary {
            None => true,
            Some(_) if self.ranking.trackers().binary_search(&tracker).is_ok() => false,
            Some(second) => self.beats(flow, tracker, second),
        }
    }

    /// Whether the flow would be owed to the tracker if these others were active. It is then owed
    /// to it too if only some of them are.
    pub(crate) fn is_owed_among(
        &self,
        flow: FlowHash,
        tracker: NodeNumber,
        others: &[NodeNumber],
    ) -> bool {
        let better = others
            .iter()
            .filter(|&&other| other != tracker && self.beats(flow, other, tracker));
        better.take(2).count() < 2
    }

    /// Whether one tracker ranks before another.
    fn beats(&self, flow: FlowHash, one: NodeNumber, other: NodeNumber) -> bool {
        let score = |node| (self.key.score(flow, node), node);
        score(one) > score(other)
    }
}

#[cfg(test)]
mod tests;
