//! One thread's own copy of the atlas's steps, so that threads wait for each other only where a step is
//! new to both.

use crate::atlas::{Atlas, NodeId, Outcome};
use crate::cluster::Place;
use crate::machine::Input;
use core::cell::RefCell;
use core::hash::{BuildHasherDefault, Hasher};
use std::collections::HashMap;
use std::sync::Arc;

type Steps = HashMap<(NodeId, Input), Arc<Outcome>, BuildHasherDefault<Mixer>>;

/// The atlas, as one thread reads it.
pub(crate) struct Guide<'a> {
    pub(crate) atlas: &'a Atlas,
    steps: RefCell<Steps>,
    /// Every step that was asked for, if anybody wants to know.
    #[cfg(test)]
    pub(crate) asked: RefCell<Vec<(NodeId, Input)>>,
}

impl<'a> Guide<'a> {
    pub(crate) fn new(atlas: &'a Atlas) -> Self {
        Self {
            atlas,
            steps: RefCell::default(),
            #[cfg(test)]
            asked: RefCell::default(),
        }
    }

    /// Whether it is one of the nodes that the case is about.
    pub(crate) fn is_subject(&self, place: Place) -> bool {
        self.atlas.cluster.case.subjects.contains(&place)
    }

    /// What happens to a node in this state.
    pub(crate) fn step(&self, id: NodeId, input: Input) -> Option<Arc<Outcome>> {
        #[cfg(test)]
        self.asked.borrow_mut().push((id, input));
        if let Some(outcome) = self.steps.borrow().get(&(id, input)) {
            return Some(outcome.clone());
        }
        let outcome = self.atlas.step(id, input)?;
        let mut steps = self.steps.borrow_mut();
        steps.insert((id, input), outcome.clone());
        Some(outcome)
    }
}

/// Spreads small numbers that nobody chose with bad intent (Fibonacci hashing: Knuth, TAOCP vol. 3,
/// 6.4); what is spread already stays so.
#[derive(Default)]
pub(crate) struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_u128(&mut self, value: u128) {
        self.0 ^= value as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
