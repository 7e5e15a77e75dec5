//! The walk over the flow table for the trackers that lack some of what is owed to them (R10), or
//! want buckets listed (R9).
//!
//! Each of them has a place in the table. Those at the same place walk together, so that the ranks of
//! a flow are computed once for all of them; one whose queue is too full stays behind, and goes on
//! when there is room.

use super::{Statements, Tracker};
use crate::flows::Flows;
use crate::post::Post;
use jlb_flow_table::{Handle, Place};
use jlb_protocol::{Birth, Time};

/// Flows visited in one call.
pub(crate) const MAX_VISITS: usize = 1_024;

/// Vacant places of the table that are looked at in one go, and how many visits that stands for.
const VACANT: u32 = 4_096;
const VACANT_COSTS: usize = 64;

impl Statements {
    /// Walks on by a bounded number of flows. Lists that begin now are of births up to
    /// `high_water`.
    pub(crate) fn walk(&mut self, now: Time, flows: &Flows, high_water: Birth, post: &mut Post) {
        for tracker in self.trackers.iter_mut().filter(|one| one.wants_list()) {
            tracker.begin_list(high_water);
        }
        let mut visits = 0;
        while visits < MAX_VISITS {
            let walking = self.trackers.iter().filter(|one| one.can_walk(self.max));
            let places = walking.filter_map(|one| one.walk.map(|walk| walk.after));
            let Some(place) = places.min() else {
                return;
            };
            match flows.after(place, VACANT) {
                Place::Occupied(handle) => {
                    self.visit(now, flows, handle, post);
                    visits += 1;
                }
                Place::Vacant(handle) => {
                    self.visit(now, flows, handle, post);
                    visits += VACANT_COSTS;
                }
                Place::End => {
                    self.end_walks(now, place);
                    visits += 1;
                }
            }
        }
    }

    /// When [`Self::walk`] has something to do.
    pub(crate) fn next_walk(&self) -> Option<Time> {
        let due = self
            .trackers
            .iter()
            .filter(|one| one.can_walk(self.max) || one.wants_list());
        due.map(|one| one.walk_since).min()
    }

    fn visit(&mut self, now: Time, flows: &Flows, handle: Handle, post: &mut Post) {
        let statement = flows.statement(now, handle);
        let hash = statement.map(|statement| post.flow_hash(&statement.key));
        let (owed, max, pace) = (&self.owed, self.max, self.pace);
        for tracker in &mut self.trackers {
            let comes_by =
                tracker.can_walk(max) && tracker.walk.is_some_and(|walk| walk.after < Some(handle));
            if !comes_by {
                continue;
            }
            // A vacant place has no flow, and one that was released is not this host's.
            let (Some(statement), Some(hash)) = (&statement, hash) else {
                tracker.pass(handle);
                continue;
            };
            let is_owed = owed.is_owed(hash, tracker.node());
            if tracker.visit(handle, hash, statement, is_owed, owed)
                && tracker.channel.put(now, hash, *statement, max, pace)
            {
                post.counters.walked += 1;
            }
        }
    }

    /// Nothing comes after this place.
    fn end_walks(&mut self, now: Time, place: Option<Handle>) {
        let (owed, max) = (&self.owed, self.max);
        let at_end = |tracker: &&mut Tracker| {
            tracker.can_walk(max) && tracker.walk.is_some_and(|walk| walk.after >= place)
        };
        for tracker in self.trackers.iter_mut().filter(at_end) {
            tracker.end_walk(now, owed.active());
        }
    }
}
