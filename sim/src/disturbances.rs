//! Which nodes faults have struck, and when: what a checker excuses is told from this alone.

use crate::topology::{Racks, Topology};
use core::time::Duration;
use jlb_protocol::{NodeNumber, Role, Time};
use std::collections::BTreeSet;

/// After a fault has healed, a node is as good as before within this time: it is heard of again,
/// joins and is filled.
pub(crate) const SETTLES: Duration = Duration::from_secs(2);

/// How a fault concerns a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// It is the node that fails.
    Struck,
    /// It is up and in order, but cut off from one that is struck.
    Touched,
    /// It drains, and will stop.
    Leaves,
}

#[derive(Clone, Debug)]
struct Disturbance {
    node: NodeNumber,
    part: Part,
    from: Time,
    until: Option<Time>,
    /// It is not the node's own: a start of the node does not end it.
    is_outside: bool,
}

/// The number of a disturbance, by which it is ended.
pub(crate) type Number = usize;

/// All disturbances of a run.
#[derive(Clone, Default, Debug)]
pub(crate) struct Disturbances {
    all: Vec<Disturbance>,
    /// Of trackers that fail together.
    racks: Racks,
}

impl Disturbances {
    /// None so far, where trackers stand in these racks.
    pub(crate) fn new(racks: Racks) -> Self {
        Self {
            all: Vec::new(),
            racks,
        }
    }

    pub(crate) fn begin(&mut self, now: Time, node: NodeNumber, part: Part) -> Number {
        self.all.push(Disturbance {
            node,
            part,
            from: now,
            until: None,
            is_outside: false,
        });
        self.all.len() - 1
    }

    /// One that lasts whatever becomes of the node: a cut, a lie about it.
    pub(crate) fn begin_outside(&mut self, now: Time, node: NodeNumber, part: Part) -> Number {
        let number = self.begin(now, node, part);
        if let Some(begun) = self.all.last_mut() {
            begun.is_outside = true;
        }
        number
    }

    /// The node has started: what was wrong with it is over.
    pub(crate) fn started(&mut self, now: Time, node: NodeNumber) {
        for disturbance in &mut self.all {
            if disturbance.node == node && !disturbance.is_outside {
                disturbance.until.get_or_insert(now);
            }
        }
    }

    pub(crate) fn end(&mut self, now: Time, number: Number) {
        if let Some(disturbance) = self.all.get_mut(number) {
            disturbance.until.get_or_insert(now);
        }
    }

    /// All end that concern the node.
    pub(crate) fn end_of(&mut self, now: Time, node: NodeNumber) {
        for disturbance in &mut self.all {
            if disturbance.node == node {
                disturbance.until.get_or_insert(now);
            }
        }
    }

    /// Those that overlap the time since `begin`, the time to settle included.
    fn since(&self, begin: Time) -> impl Iterator<Item = &Disturbance> {
        self.all
            .iter()
            .filter(move |one| one.until.is_none_or(|until| until + SETTLES >= begin))
    }

    /// How many trackers, all of a rack as one, failed at any time since `begin`.
    pub(crate) fn trackers_since(&self, begin: Time) -> usize {
        self.trackers(begin, &[Part::Struck])
    }

    /// How many trackers, all of a rack as one, failed or began to leave at any time since `begin`.
    pub(crate) fn trackers_lost_since(&self, begin: Time) -> usize {
        self.trackers(begin, &[Part::Struck, Part::Leaves])
    }

    fn trackers(&self, begin: Time, parts: &[Part]) -> usize {
        let some = self.since(begin).filter(|one| {
            parts.contains(&one.part) && Topology::role(one.node) == Role::FlowTracker
        });
        let apart = some.map(|one| self.racks.fails_with(one.node));
        apart.collect::<BTreeSet<_>>().len()
    }

    /// Whether all nodes were in order at any time since `begin`.
    pub(crate) fn none_since(&self, begin: Time) -> bool {
        self.since(begin).next().is_none()
    }

    /// Those that overlap the time from `begin` to `end`, without the time to settle.
    pub(crate) fn between(&self, begin: Time, end: Time) -> Self {
        let within = self
            .all
            .iter()
            .filter(|one| one.from <= end && one.until.is_none_or(|until| until >= begin));
        Self {
            all: within.cloned().collect(),
            racks: self.racks.clone(),
        }
    }

    /// Whether the node was struck at any time since `begin`.
    pub(crate) fn struck_since(&self, node: NodeNumber, begin: Time) -> bool {
        self.since(begin)
            .any(|one| one.node == node && one.part == Part::Struck)
    }

    /// Whether the node had part in any disturbance since `begin`.
    pub(crate) fn concerned_since(&self, node: NodeNumber, begin: Time) -> bool {
        self.since(begin).any(|one| one.node == node)
    }

    /// Until when the node was last concerned; `now` if it is.
    pub(crate) fn last(&self, now: Time, node: NodeNumber) -> Option<Time> {
        let of_node = self.all.iter().filter(|one| one.node == node);
        let until = of_node.map(|one| one.until.map_or(now, |until| until + SETTLES));
        until.max()
    }
}

#[cfg(test)]
mod tests;
