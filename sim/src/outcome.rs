//! What came of a run.

use crate::checks::Violation;
use core::fmt;

/// Declares the sums of a run, and how the sums of two runs are added.
macro_rules! tally {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// How much happened in a run, so that a run that tests nothing can be told.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct Tally {
            $($(#[$doc])* pub $name: u64,)*
            /// The most connections that were open at once.
            pub most_live: u64,
        }

        impl Tally {
            /// Adds another run's.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
                self.most_live = self.most_live.max(other.most_live);
            }
        }
    };
}

tally! {
    /// Events handled.
    events,
    /// Flows: TCP connections that clients tried to open, and UDP flows.
    flows,
    /// Flows of runs in which a node was killed, and a view changed, while a hundred connections
    /// or more were open.
    flows_in_crowds,
    /// TCP connections that clients tried to open.
    attempts,
    /// Those that opened.
    connected,
    /// Those that were refused.
    refused,
    /// Those that the client gave up on.
    timed_out,
    /// Open connections that a host's stack reset.
    reset_by_stack,
    /// Open connections that an ingress reset.
    reset_by_ingress,
    /// Open connections that clients gave up on.
    stalled,
    /// What would have been violations, had no faults beyond the guarantees excused them.
    excused,
    /// Packets delivered to a host's stack.
    delivered,
    /// Offers that hosts rejected.
    rejected,
    /// Searches for an owner among all hosts.
    who_has,
    /// Releases that trackers sent.
    releases,
    /// Host agents killed and started again.
    agent_restarts,
    /// Ingress nodes killed and started again.
    ingress_restarts,
    /// Trackers killed and started again.
    tracker_restarts,
    /// Hosts that died, with their connections.
    host_deaths,
    /// Nodes that drained and left.
    leaves,
    /// Cuts between nodes.
    cuts,
    /// Pauses of nodes.
    pauses,
    /// Pauses that were long enough for their nodes to begin new lives.
    new_lives,
    /// Times that ECMP moved flows to other ingress nodes.
    reshuffles,
    /// Views handed to roles after the first.
    view_changes,
    /// Changes of the configuration.
    config_changes,
    /// Floods.
    floods,
    /// Connections whose records were compared with the kernels' sockets when all was quiet.
    compared,
    /// Milliseconds of simulated time.
    millis,
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
    /// What recovery took, if the run lost a share of each tier.
    pub recovery: Option<Recovery>,
}

/// What it took to recover from the loss of a share of all nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Recovery {
    /// Connections that were open at the loss.
    pub live: u64,
    /// Nodes lost.
    pub nodes: u64,
    /// Simulated milliseconds until all nodes were up and knew it of each other, all trackers were
    /// filled, and no host had anything left to tell.
    pub millis: u64,
    /// Messages that the nodes sent until then, heartbeats and clients' data among them.
    pub messages: u64,
    /// Bytes of these messages.
    pub bytes: u64,
    /// Bytes that the tables of all trackers had allocated before.
    pub tracker_bytes_before: u64,
    /// The most that they had allocated meanwhile.
    pub most_tracker_bytes: u64,
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
