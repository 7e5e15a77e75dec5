//! Exhaustive exploration of small clusters: every order in which messages arrive, arrive twice or
//! never, deadlines pass, nodes crash and beliefs differ, within the bounds of a [`Case`].
//!
//! The state machines are the production ones. A state of the cluster is the state of each of its
//! seven nodes, compared by [`jlb_protocol::digest`], the messages under way, two kernels and the
//! client.
//!
//! What is left out, and why nothing is missed by it:
//!
//! - *Losses.* Nothing has to arrive: in every state, each message under way may stay there for
//!   ever. Only what is true of a cluster at rest needs losses that are counted.
//! - *The way from and to the client.* Its packets arrive in any order and as often as the case says,
//!   and it hears answers when it likes.
//! - *Copies.* A message that is sent again while its like is under way joins it. Two are under way
//!   after [`Case`]'s duplicates only.
//! - *Clocks.* Each node has its own, which jumps to its next deadline when that passes, at any moment
//!   (R9: clocks are not compared). Distances are whole multiples of one unit, so nothing is rounded.
//! - *Long deadlines* (record lifetimes, leases, lingers) do not pass: the configuration's check
//!   promises that they outlive what is under way. Distances beyond the horizon that only they could
//!   tell apart are alike.
//! - *Fresh lives* stay fresh: no case's clocks go on for the four seconds after which a host no longer says
//!   so. A claim that is not fresh changes less.
//! - *The dead.* What is under way from or to a node that crashes is gone: it was sealed for, or in, a life
//!   that is over (R12).
//! - *Beliefs* change without heartbeats, as often as a case says, and with no more nodes wrong at a time
//!   than it allows. Cases that say so let a tier (ingress nodes, trackers, hosts) change as one: what
//!   they are about, a start or the loss of several nodes, has more steps than single beliefs leave
//!   room for; `views-*`, `crash-views` and `cut-off` have single ones.
//! - *Patience*. In the cases that say that messages are faster than repeats, where the end of a run is
//!   looked at or a fill has many steps, deadlines pass only when nothing is under way; in `deadlines` at
//!   any moment. Where a case says that Acks arrive at once: they decide only whether a State is
//!   repeated.
//! - *S2* is not asked of a case with crashes or beliefs: another tracker may begin the search again.
//! - *Loads* sway which host is asked first and, but for the surge queue, nothing else: cases have each order
//!   by which host is full. Reports keep trackers' counts at zero. In cases with a queue they are
//!   messages as all others. How a wait ends at an ingress is left to the simulator: here clocks are not
//!   compared, and that it ends before the ingress gives up is a matter of time.
//!
//! No crate for model checking is used: one step of the production code costs as much as a thousand
//! look-ups, so each pair of node state and input is run once and remembered, which those that own
//! the search do not let a model do; and the best known one needs a version of `rand` that this
//! workspace bans.

mod atlas;
mod case;
mod checks;
mod client;
mod cluster;
mod command;
mod guide;
mod kernel;
mod machine;
mod packet;
mod page;
mod search;
mod walk;
mod words;
mod world;

pub use case::Case;
pub use command::{ExploreArgs, explore};
pub use search::Reached;
pub use walk::{Station, Walk};

/// Bounds of the search itself, not of the case.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Threads that search.
    pub threads: usize,
    /// States after which it is given up: about 100 bytes each.
    pub max_states: u64,
}

/// What a search has found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How far it got.
    pub reached: Reached,
    /// Node states, messages and steps of nodes that were met.
    pub met: Met,
    /// The way to what is wrong, if anything is.
    pub walk: Option<Walk>,
}

/// What the states are made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Met {
    /// Different states of single nodes.
    pub nodes: usize,
    /// Different messages.
    pub letters: usize,
    /// Different steps of a node: runs of the production code.
    pub steps: usize,
}

/// Searches a case; `progress` hears of each depth and how many states are on the edge.
///
/// `None` only if the cluster can't be built, which no case brings about.
pub fn search(
    case: Case,
    effort: Effort,
    progress: &mut dyn FnMut(&Reached, usize),
) -> Option<Outcome> {
    let atlas = atlas::Atlas::new(cluster::Cluster::new(case)?);
    let (reached, found) = search::search(&atlas, effort, progress);
    Some(Outcome {
        reached,
        met: atlas.met(),
        walk: found.map(|found| Walk::of(&atlas, &found)),
    })
}
