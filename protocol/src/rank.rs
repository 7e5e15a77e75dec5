//! Which trackers hold a flow: rendezvous hashing (Thaler and Ravishankar, 1998), with the two of a flow in different failure
//! domains where there are such.

use crate::keyed_hash::{FlowHash, HashKey};
use crate::number::{NodeNumber, Role};
use crate::planted::{self, Bug};
use crate::view::{FailureDomain, MemberState, View, shared};
use alloc::vec::Vec;
use core::cell::Cell;

/// The active flow trackers of a view, ready to be ranked for a flow.
#[derive(Clone, Debug)]
pub struct Ranking {
    key: HashKey,
    trackers: Vec<NodeNumber>,
    /// The failure domains that some of them share, in the same order; empty where these make no difference.
    domains: Vec<Option<FailureDomain>>,
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
        let members = view.members().iter();
        let active =
            members.filter(|it| it.role == Role::FlowTracker && it.state == MemberState::Active);
        let (trackers, domains): (Vec<_>, Vec<_>) =
            active.map(|member| (member.node, member.domain)).unzip();
        Self {
            key,
            domains: if planted::is(Bug::RanksInOneDomain) {
                Vec::new()
            } else {
                shared(&domains)
            },
            trackers,
            last: Cell::new(None),
        }
    }

    /// The active trackers, sorted by number.
    #[must_use]
    pub fn trackers(&self) -> &[NodeNumber] {
        &self.trackers
    }

    /// The tracker with the highest score and, of those that do not fail together with it, the one with the next; where there
    /// is none, the next of all. Losing a tracker promotes the rest in order and moves no other flow's primary.
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
        if self.trackers.len() > 2
            && self.trackers == other.trackers
            && self.domains == other.domains
        {
            self.last.set(other.last.get());
        }
    }

    /// Whether the node is one of the two trackers that hold the flow: [`Self::ranks`] has it. Where there
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
        if !self.domains.is_empty() {
            return self.rank_apart(flow);
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

    fn rank_apart(&self, flow: FlowHash) -> Ranks {
        let primary = self.best_but(flow, &[], None);
        let secondary = primary.and_then(|primary| self.best_apart(flow, primary, &[primary]));
        Ranks { primary, secondary }
    }

    /// The highest score of all trackers but these, and of those that are not of this domain.
    fn best_but(
        &self,
        flow: FlowHash,
        but: &[NodeNumber],
        apart_from: Option<FailureDomain>,
    ) -> Option<NodeNumber> {
        let scores = self.key.scores(flow);
        let domains = self.domains.iter().copied().chain(core::iter::repeat(None));
        let trackers = self.trackers.iter().zip(domains);
        let left = trackers.filter(|&(tracker, domain)| {
            !but.contains(tracker) && !FailureDomain::is_shared(domain, apart_from)
        });
        let best = left.map(|(&tracker, _)| (scores.of(tracker), tracker));
        best.max().map(|(_, tracker)| tracker)
    }

    /// Who is best beside a tracker, but these.
    fn best_apart(
        &self,
        flow: FlowHash,
        beside: NodeNumber,
        but: &[NodeNumber],
    ) -> Option<NodeNumber> {
        let at = self.trackers.binary_search(&beside).ok();
        let domain = at.and_then(|at| self.domains.get(at).copied().flatten());
        self.best_but(flow, but, domain)
            .or_else(|| self.best_but(flow, but, None))
    }

    /// The ranks as if one tracker, which does not act, were not ranked: of the two that hold the flow the other leads, since it
    /// knows it.
    #[must_use]
    pub fn ranks_without(&self, flow: FlowHash, without: Option<NodeNumber>) -> Ranks {
        let ranks = self.ranks(flow);
        let (Some(primary), Some(secondary)) = (ranks.primary, ranks.secondary) else {
            let left = |tracker: &NodeNumber| Some(*tracker) != without;
            return Ranks {
                primary: ranks.primary.filter(left),
                secondary: None,
            };
        };
        let lead = match without {
            Some(without) if without == primary => secondary,
            Some(without) if without == secondary => primary,
            _ => return ranks,
        };
        Ranks {
            primary: Some(lead),
            secondary: self.best_apart(flow, lead, &[primary, secondary]),
        }
    }

    /// The tracker of rank `rank` (0 is the primary, 1 the secondary, the rest go by their scores); `None` if there are not that
    /// many. Looks through all trackers once for each rank up to it, and allocates nothing.
    #[must_use]
    pub fn at_rank(&self, flow: FlowHash, rank: usize) -> Option<NodeNumber> {
        let ranks = self.ranks(flow);
        let top = [ranks.primary, ranks.secondary];
        if let Some(&tracker) = top.get(rank) {
            return tracker;
        }
        let scores = self.key.scores(flow);
        let mut above = None;
        for _ in top.len()..=rank.min(self.trackers.len()) {
            let others = self.trackers.iter().copied();
            let scored = others
                .filter(|&node| !top.contains(&Some(node)))
                .map(|node| (scores.of(node), node));
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
