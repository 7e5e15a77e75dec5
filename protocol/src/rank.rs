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
    #[inline]
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

    /// Ranks a flow, of which [`Self::is_in_top_two`] will be asked, and for others to learn.
    #[inline]
    pub fn prepare(&self, flow: FlowHash) {
        if self.trackers.len() > 2 {
            let _ranks = self.ranks(flow);
        }
    }

    /// Takes over what a ranking under the same key knows of its last flow, if it is of the same trackers and would
    /// have to rank it.
    #[inline]
    pub fn learn(&self, other: &Self) {
        if self.trackers.len() > 2 && self.trackers == other.trackers {
            self.last.set(other.last.get());
        }
    }

    /// Whether the node is one of the two trackers with the highest scores: [`Self::ranks`] has it. Where there
    /// are no more than two trackers, no score is needed.
    #[must_use]
    #[inline]
    pub fn is_in_top_two(&self, node: NodeNumber, flow: FlowHash) -> bool {
        self.is_in_top_two_of(node, || flow)
    }

    /// The same of a flow that is hashed only where its hash is needed.
    #[must_use]
    #[inline]
    pub fn is_in_top_two_of(&self, node: NodeNumber, flow: impl FnOnce() -> FlowHash) -> bool {
        match *self.trackers {
            [] => false,
            [only] => only == node,
            [first, second] => first == node || second == node,
            _ => {
                let ranks = self.ranks(flow());
                ranks.primary == Some(node) || ranks.secondary == Some(node)
            }
        }
    }

    fn rank(&self, flow: FlowHash) -> Ranks {
        if let [only] = *self.trackers {
            return Ranks {
                primary: Some(only),
                secondary: None,
            };
        }
        let scores = self.key.scores(flow);
        // They come by number: of equal scores the later one is the higher.
        if let [first, second] = *self.trackers {
            let in_order = scores.of(first) > scores.of(second);
            return Ranks {
                primary: Some(if in_order { first } else { second }),
                secondary: Some(if in_order { second } else { first }),
            };
        }
        let mut best = (0, None);
        let mut second = (0, None);
        for &tracker in &self.trackers {
            let scored = (scores.of(tracker), Some(tracker));
            if best.1.is_none() || scored.0 >= best.0 {
                second = best;
                best = scored;
            } else if second.1.is_none() || scored.0 >= second.0 {
                second = scored;
            }
        }
        Ranks {
            primary: best.1,
            secondary: second.1,
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
