//! Which attempts a record knows of: its own, the one before, and the one that began its life.

use super::{Offered, Order, Owned, Record, State, Waits, trace_of};
use crate::record::Life;
use jlb_protocol::message::Intent;
use jlb_protocol::{Birth, NodeNumber, OfferNumber};

impl Record {
    /// The first record of a flow.
    pub(crate) const fn new(isn: u32, state: State) -> Self {
        Self {
            isn,
            former: isn,
            state,
        }
    }

    /// The record turned to this attempt, which may be its own, and state.
    pub(crate) const fn turned(self, isn: u32, state: State) -> Self {
        let former = match self.state {
            State::Owned(_) => self.former,
            State::Offered(_) | State::Rejected { .. } | State::Refused { .. } => {
                if isn == self.isn {
                    self.former
                } else {
                    self.isn
                }
            }
        };
        Self { isn, former, state }
    }

    /// The record of a flow whose host took the attempt `began`, after what was recorded `before`.
    pub(crate) const fn begun_by(self, began: u32, before: Option<Self>) -> Self {
        let state = match (self.state, before) {
            (State::Owned(owned), Some(before)) => {
                let left = before.left_for(owned.host, began);
                State::Owned(Owned { left, ..owned })
            }
            (state, _) => state,
        };
        Self {
            former: began,
            state,
            ..self
        }
    }

    /// The attempt that the client has left, when `host` has a life that began with `began`.
    const fn left_for(&self, host: NodeNumber, began: u32) -> u16 {
        match self.state {
            State::Owned(owned) if owned.host.get() == host.get() => owned.left,
            State::Owned(_) if self.former == began => 0,
            State::Owned(_) => trace_of(self.former),
            State::Offered(_) | State::Rejected { .. } | State::Refused { .. } => {
                if self.former != self.isn {
                    trace_of(self.former)
                } else if self.isn != began {
                    trace_of(self.isn)
                } else {
                    0
                }
            }
        }
    }

    /// Whether a life that another host claims, which began with `claimed`, is known to be one that
    /// the client has left: it was recorded before this one, or its host found it after a restart
    /// and does not know how it began, while this one was accepted since.
    pub(crate) const fn has_left(&self, claimed: u32) -> bool {
        match self.state {
            State::Owned(Owned { left, life, .. }) => {
                if claimed == 0 {
                    self.former != 0 && !matches!(life, Life::Closing)
                } else {
                    claimed != self.former && trace_of(claimed) == left
                }
            }
            State::Offered(_) | State::Rejected { .. } | State::Refused { .. } => false,
        }
    }

    /// Whether it says that nobody took a datagram. Attempts of datagrams are not told apart, so
    /// outside the top two, where it is not told who takes the next, that is soon wrong.
    pub(crate) const fn is_spent_datagram(&self) -> bool {
        match self.state {
            State::Rejected { .. } | State::Refused { .. } => self.isn == 0,
            State::Offered(_) | State::Owned(_) => false,
        }
    }

    /// Whether it names a host of which this tracker may have missed that it is no longer the flow's.
    pub(crate) const fn is_hint(&self) -> bool {
        match self.state {
            State::Owned(owned) => owned.hint,
            State::Offered(offered) => offered.hint,
            State::Rejected { .. } | State::Refused { .. } => false,
        }
    }

    /// Whether it was made for this very attempt: then it is no hint, whatever this tracker's rank is.
    /// The attempts of datagrams are told apart only while one is under way.
    pub(crate) const fn is_of(&self, intent: Intent, isn: u32) -> bool {
        match intent {
            Intent::Syn => self.isn == isn || self.has_taken(isn),
            Intent::Datagram => matches!(self.state, State::Offered(_)),
            Intent::MidFlow => false,
        }
    }

    /// Takes the record's host for the flow's, or for one that may be outdated.
    #[inline]
    pub(crate) const fn set_hint(&mut self, is_hint: bool) {
        match &mut self.state {
            State::Owned(Owned { hint, .. }) | State::Offered(Offered { hint, .. }) => {
                *hint = is_hint;
            }
            State::Rejected { .. } | State::Refused { .. } => {}
        }
    }

    /// Whether the record's host has the flow by this attempt, whatever it was asked since.
    pub(crate) const fn has_taken(&self, isn: u32) -> bool {
        match self.state {
            State::Owned(_) => self.former == isn && isn != 0,
            State::Offered(_) | State::Rejected { .. } | State::Refused { .. } => false,
        }
    }

    /// The attempt that the record's host took, or is asked for.
    pub(crate) const fn began(&self) -> u32 {
        match self.state {
            State::Owned(_) => self.former,
            State::Offered(_) | State::Rejected { .. } | State::Refused { .. } => self.isn,
        }
    }

    /// Whether the host has this life of the flow by this record.
    pub(crate) fn is_life(&self, host: NodeNumber, birth: Birth) -> bool {
        match self.state {
            State::Owned(owned) => (owned.host, owned.birth) == (host, birth),
            State::Offered(_) | State::Rejected { .. } | State::Refused { .. } => false,
        }
    }

    /// The record with the state that an event has made of its own, where the event is about the
    /// attempt `isn`: one that waits for its answer stays the record's.
    pub(crate) const fn with(self, state: State, isn: u32) -> Self {
        let isn = match state {
            State::Owned(Owned { waits, .. }) => match waits {
                Waits::Nothing => isn,
                Waits::MidFlow | Waits::Attempt | Waits::Several => self.isn,
            },
            State::Offered(_) | State::Rejected { .. } | State::Refused { .. } => isn,
        };
        self.turned(isn, state)
    }

    /// Whether the attempt is an earlier one that is over for its client, and may not be offered
    /// to anybody: this record's is under way, or one was left unanswered before. An owner is
    /// always asked (R7). The first Offer of an attempt may be of a client whose numbers do not
    /// grow; one that `goes_on` with a search which this record knows nothing of is a straggler, and
    /// so is one of the attempt before the record's.
    pub(crate) const fn supersedes(&self, intent: Intent, isn: u32, goes_on: bool) -> bool {
        let was_here = isn == self.former;
        let drops = match self.state {
            State::Offered(_) => true,
            State::Rejected { several, .. } => several || goes_on || was_here,
            State::Refused { several, .. } => several || was_here,
            State::Owned(_) => false,
        };
        drops && matches!(Order::of(intent, isn, self.isn), Order::Earlier)
    }

    /// Whether this is the offer number that the record's host was asked with last, and has not
    /// answered.
    pub(crate) fn is_asked(&self, offer: OfferNumber) -> bool {
        self.isn == offer.isn && self.asked_step() == Some(offer.step)
    }

    /// Whether the record's attempt has come to this number: the step asked with, or a lower one
    /// to which the secondary has taken it.
    pub(crate) fn is_asked_by(&self, offer: OfferNumber) -> bool {
        self.isn == offer.isn && self.asked_step() >= Some(offer.step)
    }

    const fn asked_step(&self) -> Option<u8> {
        match self.state {
            State::Offered(Offered { step, .. }) => Some(step),
            State::Owned(Owned { step, waits, .. }) => match waits {
                Waits::Nothing => None,
                Waits::MidFlow | Waits::Attempt | Waits::Several => Some(step),
            },
            State::Rejected { .. } | State::Refused { .. } => None,
        }
    }
}
