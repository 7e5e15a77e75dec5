//! What came of a run.

use crate::checks::Violation;
use core::fmt;

/// How much happened in a run, so that a run that tests nothing can be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Events handled.
    pub events: u64,
    /// TCP connections that clients tried to open.
    pub attempts: u64,
    /// Those that opened.
    pub connected: u64,
    /// Those that were refused.
    pub refused: u64,
    /// Those that the client gave up on.
    pub timed_out: u64,
    /// Open connections that a host's stack reset.
    pub reset_by_stack: u64,
    /// Packets delivered to a host's stack.
    pub delivered: u64,
    /// Offers that hosts rejected.
    pub rejected: u64,
    /// Searches for an owner among all hosts.
    pub who_has: u64,
    /// Releases that trackers sent.
    pub releases: u64,
    /// Host agents killed and started again.
    pub agent_restarts: u64,
    /// Ingress nodes killed and started again.
    pub ingress_restarts: u64,
    /// Milliseconds of simulated time.
    pub millis: u64,
}

/// The end of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What happened.
    pub tally: Tally,
    /// The first thing that was wrong.
    pub violation: Option<Violation>,
    /// What happened to the flow concerned.
    pub trace: Vec<String>,
}

impl Outcome {
    /// Whether nothing was wrong.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.violation.is_none()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        match &self.violation {
            Some(violation) => write!(f, "seed {}: {violation}", self.seed),
            None => write!(f, "seed {}: clean, {:?}", self.seed, self.tally),
        }
    }
}

impl Tally {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.attempts += other.attempts;
        self.connected += other.connected;
        self.refused += other.refused;
        self.timed_out += other.timed_out;
        self.reset_by_stack += other.reset_by_stack;
        self.delivered += other.delivered;
        self.rejected += other.rejected;
        self.who_has += other.who_has;
        self.releases += other.releases;
        self.agent_restarts += other.agent_restarts;
        self.ingress_restarts += other.ingress_restarts;
        self.millis += other.millis;
    }
}
