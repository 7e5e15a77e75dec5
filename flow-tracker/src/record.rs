//! The record of a flow: what a tracker holds of it, and how that changes.
//!
//! ```text
//!              Ask          Reject     Refuse    Accept, State         Closed
//! (none)     > Offered         .          > Refused    > Owned             .
//! Offered    > Offered     > Rejected     > Refused    > Owned *           .
//! Rejected   > Offered         .          > Refused    > Owned *           .
//! Refused    > Offered         .          > Refused    > Owned *           .
//! Owned      = (its host)  > Rejected *      =         = or > Owned *   > (none) *
//! ```
//!
//! `=` keeps the state, `.` is stale, `*` is decided by host, birth and claim, below. Offered,
//! Rejected and Refused end by the `offered` timer, Owned by the lease.

use core::cmp::Ordering;
use jlb_protocol::message::Reason;
use jlb_protocol::{Birth, NodeNumber, OfferNumber};

/// How far the life of an owned flow has come; later ones are greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Life {
    /// The host took it; the client's part of the handshake was not seen yet: untrusted (R3).
    Accepted,
    /// Established.
    Established,
    /// The socket is given up, the flow is still delivered (R8).
    Closing,
}

/// What is known of a flow's host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// The host was asked.
    Offered { host: NodeNumber, step: u8 },
    /// The host that was asked at this step said no; free for the next proposal (R1).
    Rejected { step: u8 },
    /// The attempt is over; repeats are answered, not searched again (R6).
    Refused { reason: Reason },
    /// The host has it. The step is that of the last Offer to it.
    Owned {
        life: Life,
        step: u8,
        host: NodeNumber,
        birth: Birth,
    },
}

/// A flow's record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    /// The id of the attempt that was asked for last.
    pub(crate) isn: u32,
    pub(crate) state: State,
}

/// In which right a host's Accept comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Claim {
    /// It answers the record's attempt, and the secondary whose record binds has passed it, or
    /// this record binds nobody (R1).
    Overriding,
    /// It answers the record's attempt.
    ThisAttempt,
    /// It answers another attempt.
    OtherAttempt,
    /// It answers a mid-flow Offer, which only the owner accepts (R4).
    Owner,
}

/// What happens to a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// The flow is offered to the host. Only a host that is gone, or a record that binds nobody,
    /// loses an owned flow by it.
    Ask { host: NodeNumber, step: u8 },
    /// The host said no to the record's offer number.
    Reject { host: NodeNumber, step: u8 },
    /// The search is over.
    Refuse { reason: Reason },
    /// The host took the flow.
    Accept {
        host: NodeNumber,
        step: u8,
        birth: Birth,
        claim: Claim,
    },
    /// The host states that it has the flow. The step is the one to assume without an Offer.
    Own {
        life: Life,
        step: u8,
        host: NodeNumber,
        birth: Birth,
    },
    /// The host states that this life is over.
    Closed { host: NodeNumber, birth: Birth },
}

/// What an event makes of a state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// The new state.
    Become(State),
    /// The event confirms the state.
    Confirm,
    /// The record ends.
    End,
    /// The event is older than the state, or of another host: ignored.
    Stale,
    /// Another host has the flow: the event's host is to be released (R1).
    Conflict,
}

impl State {
    /// The host that was asked or that has the flow.
    pub(crate) const fn host(self) -> Option<NodeNumber> {
        match self {
            Self::Offered { host, .. } | Self::Owned { host, .. } => Some(host),
            Self::Rejected { .. } | Self::Refused { .. } => None,
        }
    }

    /// Whether the flow is known to be established (R3): only such records are never limited.
    pub(crate) const fn is_trusted(self) -> bool {
        match self {
            Self::Owned { life, .. } => match life {
                Life::Accepted => false,
                Life::Established | Life::Closing => true,
            },
            Self::Offered { .. } | Self::Rejected { .. } | Self::Refused { .. } => false,
        }
    }

    /// The state after an event.
    pub(crate) fn next(self, event: Event) -> Next {
        match (self, event) {
            (
                Self::Offered { .. } | Self::Rejected { .. } | Self::Refused { .. },
                Event::Ask { host, step },
            ) => Next::Become(Self::Offered { host, step }),
            (
                Self::Owned {
                    life,
                    host: own,
                    birth,
                    ..
                },
                Event::Ask { host, step },
            ) => Next::Become(if own == host {
                Self::Owned {
                    life,
                    step,
                    host,
                    birth,
                }
            } else {
                Self::Offered { host, step }
            }),

            (Self::Offered { .. }, Event::Reject { step, .. }) => {
                Next::Become(Self::Rejected { step })
            }
            // R7: a host that rejects disowns the old life in the same step; another host's
            // reject says nothing of the owner.
            (Self::Owned { host: own, .. }, Event::Reject { host, step }) => {
                if own == host {
                    Next::Become(Self::Rejected { step })
                } else {
                    Next::Confirm
                }
            }
            (Self::Rejected { .. } | Self::Refused { .. }, Event::Reject { .. }) => Next::Stale,

            (
                Self::Offered { .. } | Self::Rejected { .. } | Self::Refused { .. },
                Event::Refuse { reason },
            ) => Next::Become(Self::Refused { reason }),
            (Self::Owned { .. }, Event::Refuse { .. }) => Next::Confirm,

            (
                Self::Offered { host: asked, .. },
                Event::Accept {
                    host,
                    step,
                    birth,
                    claim,
                },
            ) => match claim {
                Claim::OtherAttempt if asked == host => Next::Stale,
                Claim::ThisAttempt if asked != host => Next::Conflict,
                Claim::OtherAttempt => Next::Conflict,
                // Accepted beats offered: a mid-flow Offer is accepted by the owner alone.
                Claim::Overriding | Claim::ThisAttempt | Claim::Owner => {
                    Next::Become(accepted(host, step, birth))
                }
            },
            (
                Self::Rejected { .. } | Self::Refused { .. },
                Event::Accept {
                    host,
                    step,
                    birth,
                    claim,
                },
            ) => match claim {
                Claim::Overriding | Claim::ThisAttempt | Claim::Owner => {
                    Next::Become(accepted(host, step, birth))
                }
                Claim::OtherAttempt => Next::Conflict,
            },
            (
                Self::Owned {
                    host: own,
                    birth: known,
                    ..
                },
                Event::Accept {
                    host,
                    step,
                    birth,
                    claim,
                },
            ) => {
                if own == host {
                    return match birth.cmp(&known) {
                        Ordering::Less => Next::Stale,
                        Ordering::Equal => Next::Confirm,
                        Ordering::Greater => Next::Become(accepted(host, step, birth)),
                    };
                }
                match claim {
                    Claim::Overriding => Next::Become(accepted(host, step, birth)),
                    Claim::ThisAttempt | Claim::OtherAttempt => Next::Conflict,
                    // Never a conflict: the accepting host may have an established flow (S4).
                    Claim::Owner => Next::Stale,
                }
            }

            (
                Self::Offered {
                    host: asked,
                    step: current,
                },
                Event::Own {
                    life,
                    step,
                    host,
                    birth,
                },
            ) => {
                if asked == host {
                    // The Offer under way stays matchable.
                    return Next::Become(owned(life, current, host, birth));
                }
                match life {
                    Life::Accepted | Life::Established => {
                        Next::Become(owned(life, step, host, birth))
                    }
                    Life::Closing => Next::Stale,
                }
            }
            (
                Self::Rejected { .. } | Self::Refused { .. },
                Event::Own {
                    life,
                    step,
                    host,
                    birth,
                },
            ) => Next::Become(owned(life, step, host, birth)),
            (
                Self::Owned {
                    life: known_life,
                    step: current,
                    host: own,
                    birth: known,
                },
                Event::Own {
                    life,
                    step,
                    host,
                    birth,
                },
            ) => {
                if own == host {
                    // R9: an older birth is ignored; in one life the furthest stage counts.
                    return match birth.cmp(&known) {
                        Ordering::Less => Next::Stale,
                        Ordering::Equal if life > known_life => {
                            Next::Become(owned(life, current, host, birth))
                        }
                        Ordering::Equal => Next::Confirm,
                        Ordering::Greater => Next::Become(owned(life, step, host, birth)),
                    };
                }
                // Established beats accepted; a flow that is closing gives way to a live one.
                match (known_life, life) {
                    (Life::Accepted, Life::Established)
                    | (Life::Closing, Life::Accepted | Life::Established) => {
                        Next::Become(owned(life, step, host, birth))
                    }
                    (Life::Accepted, Life::Accepted | Life::Closing)
                    | (Life::Established, Life::Accepted | Life::Established | Life::Closing)
                    | (Life::Closing, Life::Closing) => Next::Stale,
                }
            }

            (
                Self::Offered { .. } | Self::Rejected { .. } | Self::Refused { .. },
                Event::Closed { .. },
            ) => Next::Stale,
            (
                Self::Owned {
                    host: own,
                    birth: known,
                    ..
                },
                Event::Closed { host, birth },
            ) => {
                // R9: births order everything.
                if own == host && birth >= known {
                    Next::End
                } else {
                    Next::Stale
                }
            }
        }
    }
}

impl Record {
    /// Whether this is the offer number that the record's host was asked with last.
    pub(crate) fn is_asked(&self, offer: OfferNumber) -> bool {
        let asked = match self.state {
            State::Offered { step, .. } | State::Owned { step, .. } => step,
            State::Rejected { .. } | State::Refused { .. } => return false,
        };
        self.isn == offer.isn && asked == offer.step
    }
}

const fn accepted(host: NodeNumber, step: u8, birth: Birth) -> State {
    owned(Life::Accepted, step, host, birth)
}

const fn owned(life: Life, step: u8, host: NodeNumber, birth: Birth) -> State {
    State::Owned {
        life,
        step,
        host,
        birth,
    }
}

#[cfg(test)]
mod tests;
