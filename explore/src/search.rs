//! Breadth first through all states, so that what is found is as short as can be.
//!
//! States are told apart by digests of 128 bits: of ten million, two are taken for one with a
//! probability of 10^-25. For the way back to a state its predecessor and the action are kept.

use crate::Effort;
use crate::atlas::Atlas;
use crate::checks;
use crate::guide::{Guide, Mixer};
use crate::world::{Action, World};
use core::hash::BuildHasherDefault;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

const SHARDS: usize = 256;

/// Where the search got to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reached {
    /// Different states.
    pub states: u64,
    /// Actions that led to a state.
    pub transitions: u64,
    /// Actions from the first state to the farthest.
    pub depth: u32,
    /// States in which nothing can happen any more.
    pub at_rest: u64,
    /// States in which only a deadline could pass that the bounds do not let pass.
    pub cut_off: u64,
    /// Whether every state within the bounds was seen.
    pub complete: bool,
}

/// What is wrong, and the way there.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) words: String,
    pub(crate) actions: Vec<Action>,
}

/// Fingerprints are spread already.
type Shard = HashSet<u128, BuildHasherDefault<Mixer>>;

struct Visited {
    shards: Vec<Mutex<Shard>>,
}

impl Visited {
    fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    fn insert(&self, fingerprint: u128) -> bool {
        let shard = &self.shards[(fingerprint >> 64) as usize % SHARDS];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.insert(fingerprint)
    }
}

/// A state on the edge of what was seen.
type Edge = (u32, World);

#[derive(Default)]
struct Share {
    new: Vec<(u32, Action, World)>,
    reached: Reached,
    found: Option<(u32, Option<Action>, String)>,
}

/// Searches the case of the atlas; `progress` hears of each depth.
pub(crate) fn search(
    atlas: &Atlas,
    effort: Effort,
    progress: &mut dyn FnMut(&Reached, usize),
) -> (Reached, Option<Found>) {
    let begin = World::begin(&Guide::new(atlas));
    let visited = Visited::new();
    visited.insert(begin.fingerprint());
    let mut log: Vec<(u32, Option<Action>)> = vec![(0, None)];
    let mut edge: Vec<Edge> = vec![(0, begin)];
    let mut reached = Reached {
        states: 1,
        ..Reached::default()
    };
    while !edge.is_empty() {
        let size = edge.len().div_ceil(effort.threads.max(1));
        let shares: Vec<Share> = std::thread::scope(|scope| {
            let workers: Vec<_> = edge
                .chunks(size)
                .map(|part| scope.spawn(|| expand(atlas, &visited, part)))
                .collect();
            let shares = workers.into_iter().map(|worker| worker.join());
            // What a worker panics of is found, too.
            shares
                .map(|share| share.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        edge.clear();
        let mut found = None;
        for share in shares {
            reached.states += share.reached.states;
            reached.transitions += share.reached.transitions;
            reached.at_rest += share.reached.at_rest;
            reached.cut_off += share.reached.cut_off;
            found = found.or(share.found);
            for (parent, action, world) in share.new {
                let id = u32::try_from(log.len()).unwrap_or(u32::MAX);
                log.push((parent, Some(action)));
                edge.push((id, world));
            }
        }
        if let Some((parent, action, words)) = found {
            let mut actions = way(&log, parent);
            actions.extend(action);
            return (reached, Some(Found { words, actions }));
        }
        if !edge.is_empty() {
            reached.depth += 1;
        }
        progress(&reached, edge.len());
        if reached.states > effort.max_states {
            return (reached, None);
        }
    }
    reached.complete = true;
    (reached, None)
}

fn expand(atlas: &Atlas, visited: &Visited, part: &[Edge]) -> Share {
    let guide = Guide::new(atlas);
    let mut share = Share::default();
    let mut actions = Vec::new();
    let case = &atlas.cluster.case;
    for (id, world) in part {
        world.actions(case, &mut actions);
        let mut is_at_rest = true;
        for &action in &actions {
            let Some(step) = world.next(&guide, action) else {
                continue;
            };
            is_at_rest = false;
            share.reached.transitions += 1;
            if let Some(words) = step.wrong {
                share.found = share.found.or(Some((*id, Some(action), words)));
                return share;
            }
            if visited.insert(step.world.fingerprint()) {
                share.reached.states += 1;
                share.new.push((*id, action, step.world));
            }
        }
        if is_at_rest {
            if world.is_cut_off(&guide, case) {
                share.reached.cut_off += 1;
            } else {
                share.reached.at_rest += 1;
                if case.must_serve
                    && let Some(words) = checks::check_rest(world)
                {
                    share.found = Some((*id, None, words));
                    return share;
                }
            }
        }
    }
    share
}

fn way(log: &[(u32, Option<Action>)], mut at: u32) -> Vec<Action> {
    let mut actions = Vec::new();
    while let Some(&(parent, Some(action))) = log.get(at as usize) {
        actions.push(action);
        at = parent;
    }
    actions.reverse();
    actions
}

#[cfg(test)]
mod tests;
