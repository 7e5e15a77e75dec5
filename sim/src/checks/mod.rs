//! What must hold. Each checker is a module of its own and looks at what a machine does to the world
//! around it; into its tables only where `docs/verification.md` says so.

use core::fmt;
use jlb_protocol::Time;

pub(crate) mod books;
pub(crate) mod bounds;
pub(crate) mod consistency;
pub(crate) mod leaks;
pub(crate) mod opens;
pub(crate) mod quiet;
pub(crate) mod resets;
pub(crate) mod searches;
pub(crate) mod sessions;

/// A guarantee of `docs/protocol.md`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// S1: one connection, one host.
    Consistency,
    /// S2: a search ends.
    Termination,
    /// S3: a client that repeats its SYN connects.
    NoLostOpen,
    /// S4: no live flow is reset by us or cut off.
    NoLostFlow,
    /// S5: all tables are empty at the end.
    NoLeak,
    /// S6: the books balance.
    Conservation,
    /// S7: quiet and consistent some time after all faults have healed.
    QuietAfterHealing,
    /// R12 and R11: what is let in was sealed for this life, and is let in once.
    Sessions,
    /// R10: a tracker that is ranked knows what it is to know.
    Filled,
    /// R14 and R3: no table holds more than it may.
    Bounds,
    /// Nothing panics.
    Panics,
}

impl Rule {
    /// How `docs/` call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Consistency => "S1",
            Self::Termination => "S2",
            Self::NoLostOpen => "S3",
            Self::NoLostFlow => "S4",
            Self::NoLeak => "S5",
            Self::Conservation => "S6",
            Self::QuietAfterHealing => "S7",
            Self::Sessions => "sessions",
            Self::Filled => "filled",
            Self::Bounds => "bounds",
            Self::Panics => "panics",
        }
    }
}

/// Something that must not be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// What was violated.
    pub rule: Rule,
    /// When, in the world's time.
    pub at: Time,
    /// The client whose flow it was.
    pub client: Option<usize>,
    /// What was seen.
    pub words: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.at.as_nanos() / 1_000_000;
        write!(f, "{:?} violated at {millis} ms", self.rule)?;
        if let Some(client) = self.client {
            write!(f, " by the flow of client {client}")?;
        }
        write!(f, ": {}", self.words)
    }
}

#[cfg(test)]
mod tests;
