//! The lives of a node: one for each start, and one for each time that it notices it was paused
//! (R11).

use crate::error::Error;
use jlb_protocol::{Time, View};

/// Makes the role's state machine anew.
pub(crate) type Fresh<M> = Box<dyn Fn(Time, View) -> M + Send>;

/// What it takes to begin a new life.
pub(crate) struct Life<M> {
    next: Box<dyn FnMut() -> Result<u32, Error> + Send>,
    fresh: Option<Fresh<M>>,
}

impl<M> Life<M> {
    /// `next` stores and gives the next incarnation. `fresh` makes a new state machine for a role
    /// that must forget what it knew; without it the role keeps its state.
    pub(crate) fn new(
        next: impl FnMut() -> Result<u32, Error> + Send + 'static,
        fresh: Option<Fresh<M>>,
    ) -> Self {
        Self {
            next: Box::new(next),
            fresh,
        }
    }

    /// The incarnation of the life that begins now.
    ///
    /// # Errors
    /// If it can't be stored.
    pub(super) fn next(&mut self) -> Result<u32, Error> {
        (self.next)()
    }

    /// A new state machine, if the role is not to keep its state.
    pub(super) fn fresh(&self, now: Time, view: View) -> Option<M> {
        self.fresh.as_ref().map(|fresh| fresh(now, view))
    }
}
