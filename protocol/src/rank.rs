//! Which trackers hold a flow: rendezvous hashing (Thaler and Ravishankar, 1998).

use crate::keyed_hash::{FlowHash, HashKey};
use crate::number::{NodeNumber, Role};
use crate::view::View;
use alloc::vec::Vec;
use core::cell::Cell;

/// The active flow trackers of a view, ready to be ranked for a flow.
#[derive(Clone, Debug)]
pub struct Ranking {
    key: HashKey,
    trackers: Vec<NodeNumber>,
    /// The last flow that was ranked: what handles a message needs its ranks again and again.
    last: Cell<Option<(FlowHash, Ranks)>>,
}

/// The trackers that hold a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ranks {
    /// Rank 0; `None` if the view has no active tracker.
    pub primary: Option<NodeNumber>,
    /// Rank 1; `None` if the view has fewer than two active trackers.
    pub secondary: Option<NodeNumber>,
}

impl Ranking {
    /// The ranking of the active trackers of `view`.
    #[must_use]
    pub fn new(key: HashKey, view: &View) -> Self {
        Self {
            key,
            trackers: view.active(Role::FlowTracker).collect(),
            last: Cell::new(None),
        }
    }

    /// The active trackers, sorted by number.
    #[must_use]
    pub fn trackers(&self) -> &[NodeNumber] {
        &self.trackers
    }

    /// The two highest scores. Losing a tracker promotes the rest in order and moves no other
    /// flow.
    #[must_use]
    pub fn ranks(&self, flow: FlowHash) -> Ranks {
        match self.last.get() {
            Some((last, ranks)) if last == flow => ranks,
            _ => {
                let ranks = self.rank(flow);
                self.last.set(Some((flow, ranks)));
                ranks
            }
        }
    }

    /// Takes over what a ranking under the same key knows of its last flow, if it is of the same trackers.
    pub fn learn(&self, other: &Self) {
        if self.trackers == other.trackers {
            self.last.set(other.last.get());
        }
    }

    fn rank(&self, flow: FlowHash) -> Ranks {
        let scores = self.key.scores(flow);
        let mut best: Option<(u64, NodeNumber)> = None;
        let mut second = None;
        for &tracker in &self.trackers {
            let scored = Some((scores.of(tracker), tracker));
            if scored > best {
                second = best;
                best = scored;
            } else if scored > second {
                second = scored;
            }
        }
        Ranks {
            primary: best.map(|(_, node)| node),
            secondary: second.map(|(_, node)| node),
        }
    }

    /// The tracker of rank `rank` (0 is the primary); `None` if there are not that many. Looks
    /// through all trackers once for each rank up to it, and allocates nothing.
    #[must_use]
    pub fn at_rank(&self, flow: FlowHash, rank: usize) -> Option<NodeNumber> {
        let mut above = None;
        for _ in 0..=rank.min(self.trackers.len()) {
            let scored = self
                .trackers
                .iter()
                .map(|&node| (self.key.score(flow, node), node));
            above = Some(
                scored
                    .filter(|&it| above.is_none_or(|above| it < above))
                    .max()?,
            );
        }
        above.map(|(_, node)| node)
    }
}

#[cfg(test)]
mod tests;
