//! Every state of every node and every message that was ever met, each kept once.
//!
//! A node's step depends on its state and on what happens to it alone, so each pair is run through
//! the production code once; a state of the cluster is then a few numbers.

use crate::Met;
use crate::checks::Offer;
use crate::cluster::{Belief, Cluster, Place};
use crate::machine::{Deeds, Input, Letter, Machine};
use crate::packet::{Life, Packet};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// A state of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct NodeId(u32);

/// A message, by its number, and what decides whether it is taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Route {
    pub(crate) id: u32,
    pub(crate) from: Place,
    pub(crate) to: Place,
    /// The sender's life.
    pub(crate) life: u8,
}

/// A message that was sent, and what the world wants to know of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) route: Route,
    /// The Offer of a SYN to a host that it is.
    pub(crate) offer: Option<Offer>,
    /// Whether it acknowledges a State.
    pub(crate) is_ack: bool,
}

/// What became of a step.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) node: NodeId,
    pub(crate) letters: Vec<Sent>,
    /// Whether the node is a tracker that may be ranked now.
    pub(crate) is_filled: bool,
    pub(crate) delivered: Option<Packet>,
    pub(crate) resets: Vec<Life>,
    pub(crate) was_long: bool,
    pub(crate) wrong: Option<String>,
}

#[derive(Default)]
struct Tables {
    /// Behind locks, since a role remembers its last sums while it is only looked at.
    nodes: Vec<Mutex<Machine>>,
    by_fingerprint: HashMap<u128, NodeId>,
    letters: Vec<Arc<Letter>>,
    by_letter: HashMap<Arc<Letter>, u32>,
    steps: HashMap<(NodeId, Input), Arc<Outcome>>,
}

/// All states, messages and steps.
pub(crate) struct Atlas {
    pub(crate) cluster: Cluster,
    tables: RwLock<Tables>,
}

impl Atlas {
    pub(crate) fn new(cluster: Cluster) -> Self {
        Self {
            cluster,
            tables: RwLock::default(),
        }
    }

    /// The number of a node's first state.
    pub(crate) fn begin(&self, place: Place) -> NodeId {
        let machine = Machine::new(&self.cluster, place);
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        tables.node(machine)
    }

    /// A copy of a node's state.
    pub(crate) fn node(&self, id: NodeId) -> Option<Machine> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.copy_of(id)
    }

    pub(crate) fn letter(&self, id: u32) -> Option<Arc<Letter>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.letters.get(id as usize).cloned()
    }

    /// Whom a host with this belief ranks, as its Hello says it.
    pub(crate) fn ranked(&self, belief: Belief) -> u64 {
        self.cluster.view(belief).ranked_fingerprint(None)
    }

    /// What happens to a node in this state.
    pub(crate) fn step(&self, id: NodeId, input: Input) -> Option<Arc<Outcome>> {
        let (mut machine, letter) = {
            let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(outcome) = tables.steps.get(&(id, input)) {
                return Some(outcome.clone());
            }
            let letter = match input {
                Input::Message(letter) => tables.letters.get(letter as usize).cloned(),
                Input::Packet(_)
                | Input::Timer
                | Input::Belief(_)
                | Input::Dump(_)
                | Input::Destroyed(_)
                | Input::Hello(..)
                | Input::Restart(_)
                | Input::Room => None,
            };
            (tables.copy_of(id)?, letter)
        };
        let deeds = machine.handle(&self.cluster, input, letter.as_deref());
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let outcome = Arc::new(tables.outcome(machine, deeds));
        tables.steps.insert((id, input), outcome.clone());
        Some(outcome)
    }

    pub(crate) fn met(&self) -> Met {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        Met {
            nodes: tables.nodes.len(),
            letters: tables.letters.len(),
            steps: tables.steps.len(),
        }
    }
}

impl Tables {
    fn outcome(&mut self, machine: Machine, deeds: Deeds) -> Outcome {
        let Deeds {
            letters,
            delivered,
            resets,
            was_long,
            wrong,
        } = deeds;
        let letters = letters.into_iter().map(|letter| Sent {
            offer: letter.offer(),
            is_ack: letter.is_ack(),
            route: self.letter(letter),
        });
        Outcome {
            letters: letters.collect(),
            is_filled: machine.is_filled(),
            node: self.node(machine),
            delivered,
            resets,
            was_long,
            wrong,
        }
    }

    fn node(&mut self, machine: Machine) -> NodeId {
        let fingerprint = machine.fingerprint();
        if let Some(&id) = self.by_fingerprint.get(&fingerprint) {
            return id;
        }
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Mutex::new(machine));
        self.by_fingerprint.insert(fingerprint, id);
        id
    }

    fn copy_of(&self, id: NodeId) -> Option<Machine> {
        let node = self.nodes.get(id.0 as usize)?;
        Some(node.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn letter(&mut self, letter: Letter) -> Route {
        let Letter { from, to, life, .. } = letter;
        let route = |id| Route { id, from, to, life };
        if let Some(&id) = self.by_letter.get(&letter) {
            return route(id);
        }
        let id = u32::try_from(self.letters.len()).unwrap_or(u32::MAX);
        let letter = Arc::new(letter);
        self.letters.push(letter.clone());
        self.by_letter.insert(letter, id);
        route(id)
    }
}
