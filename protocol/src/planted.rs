//! Bugs on purpose: for each rule R1..R14 one or two lines of production code that a test may have
//! break it, so that simulation and exploration show that they would notice.
//!
//! They exist only with the cargo feature `planted`. Without it [`is`] is a constant `false`, and
//! nothing of them is left in the program.

macro_rules! bugs {
    ($($(#[$doc:meta])+ $name:ident = $rule:literal, $sentence:literal;)+) => {
        /// A rule's obedience that can be switched off.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Bug {
            $($(#[$doc])+ $name,)+
        }

        impl Bug {
            /// Every bug, in the order of the rules.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The number of the rule that it breaks, 1 to 14.
            #[must_use]
            pub const fn rule(self) -> u8 {
                match self {
                    $(Self::$name => $rule,)+
                }
            }

            /// Its name, as in the source.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// What goes wrong.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self {
                    $(Self::$name => $sentence,)+
                }
            }
        }
    };
}

bugs! {
    /// R1, tracker.
    SecondaryDoesNotBind = 1,
        "A secondary that holds another host for the flow records the primary's proposal instead.";
    /// R2, tracker.
    OfferPastTheSecondary = 2,
        "A primary sends its Offer straight to the host though its view has a secondary.";
    /// R3, tracker.
    UntrustedWithoutQuota = 3,
        "Records that are not established count against no quota of their own.";
    /// R3, tracker.
    EvictsEstablished = 3,
        "A full table makes room for a new flow by forgetting an established one.";
    /// R4, host.
    MidFlowIsAChoice = 4,
        "A host accepts a mid-flow Offer of a flow that it does not own.";
    /// R4, tracker.
    ResetBeforeAllSaidNo = 4,
        "A mid-flow packet is refused as soon as one host has said that the flow is not its own.";
    /// R5, host.
    ForgetsRejects = 5,
        "A host does not remember what it rejected, and may accept the same offer number later.";
    /// R5, host.
    AnswersForItsFormerLife = 5,
        "A host that restarted accepts an Offer of a direct hunt that its former life may have rejected.";
    /// R5, ingress.
    NeverRepeats = 5,
        "An ingress does not repeat an unanswered Open.";
    /// R6, tracker.
    AsksRejectedHostAgain = 6,
        "A search offers the flow to hosts that rejected it in this search, and spends no step.";
    /// R6, host.
    PassesOnWhatItTook = 6,
        "A host passes the Offer of a direct hunt on to the next candidate although it has accepted it.";
    /// R6, tracker.
    LeavesHuntUnasked = 6,
        "A primary that knows of no answer to a direct hunt goes on without asking the rest of its hosts.";
    /// R6, ingress.
    RefusesInSilence = 6,
        "A refused flow's client gets no answer.";
    /// R6, tracker.
    WaitSpendsNoStep = 6,
        "A flow that has waited for room is offered with a step that was spent.";
    /// R7, ingress.
    SynAsData = 7,
        "A SYN of a flow that the cache has is sent to its host as data.";
    /// R7, tracker.
    SynNotOfferedToOwner = 7,
        "A SYN of a flow that an owner is recorded for is answered from the record.";
    /// R8, host.
    EventEndsFlowAtOnce = 8,
        "The kernel's destroy event ends a flow at once, without closing and linger.";
    /// R8, host.
    OneLookUpProves = 8,
        "One look-up that finds no socket of a flow ends it.";
    /// R9, ingress and tracker.
    AnybodyCloses = 9,
        "A flow ends by what another host, or an older life of it, says.";
    /// R9, tracker.
    ListedRemovesAll = 9,
        "The end of a bucket's list ends the records that it has confirmed, or that are younger, too.";
    /// R10, membership and tracker.
    RankedUnfilled = 10,
        "A joining tracker says that it is filled before any host has marked it.";
    /// R10, host.
    MarksBeforeTheWalkEnds = 10,
        "A host marks a tracker as filled with the first message of the walk.";
    /// R10, tracker.
    MissIsAlwaysAuthoritative = 10,
        "A tracker takes its having no record for a new flow's, whoever ranked before it.";
    /// R10, ranking.
    RanksInOneDomain = 10,
        "The two trackers of a flow may be of one failure domain though there are others.";
    /// R11, tracker.
    ActsWhileJoining = 11,
        "A tracker that joins or was paused chooses hosts.";
    /// R11, link.
    PausedHostTakesOldOffers = 11,
        "A node that was paused goes on in the same life, and takes what was sealed before.";
    /// R12, link.
    AcceptsReplays = 12,
        "A message that was received before is taken again.";
    /// R12, link.
    IgnoresReceiverIncarnation = 12,
        "A message that was sealed for an earlier life of its receiver is taken.";
    /// R13, host.
    HostTakesTrackerlessOffer = 13,
        "A host that sees an active tracker accepts a new flow that an ingress offers by itself.";
    /// R13, ingress.
    ResetsWithoutAsking = 13,
        "An ingress without trackers resets a mid-flow packet without asking the hosts.";
    /// R14, ingress.
    CountsTwice = 14,
        "A packet that is given up is counted as dropped twice.";
    /// R14, ingress.
    UnboundedPending = 14,
        "Packets wait for an answer in any number.";
}

#[cfg(feature = "planted")]
mod switch {
    use super::Bug;
    use core::sync::atomic::{AtomicU8, Ordering};

    const NONE: u8 = u8::MAX;
    static PLANTED: AtomicU8 = AtomicU8::new(NONE);

    /// Plants one bug in the whole process in place of what was planted before, or none.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.store(bug.map_or(NONE, |bug| bug as u8), Ordering::SeqCst);
    }

    /// Whether this bug is planted.
    #[must_use]
    pub fn is(bug: Bug) -> bool {
        PLANTED.load(Ordering::Relaxed) == bug as u8
    }
}

#[cfg(feature = "planted")]
pub use switch::{is, plant};

/// Whether this bug is planted: never, without the cargo feature `planted`.
#[cfg(not(feature = "planted"))]
#[must_use]
#[inline]
pub const fn is(_bug: Bug) -> bool {
    false
}

#[cfg(test)]
mod tests;
