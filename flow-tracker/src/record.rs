//! The record of a flow: what a tracker holds of it, and how that changes.
//!
//! ```text
//!              Ask          Reject        Refuse      Accept, Own    Closed
//! Offered      Offered      Rejected      Refused     Owned *        .
//! Rejected     Offered      .             Refused     Owned *        .
//! Refused      Offered      .             Refused     Owned *        .
//! Owned        Owned *      Rejected 1    =           Owned *        (none) 2
//! ```
//!
//! `=` keeps the state, `.` is stale. `*`: for the record's own host and a birth that is not
//! older; another host's claim decides. Without a record, Ask, Refuse, Accept and Own make one.
//! Offered, Rejected and Refused end by the `offered` timer, Owned by the lease.
//!
//! In (1) a mid-flow Reject ends the record, where no attempt waits; where one does, a life that is
//! only accepted becomes Offered at the primary. In (2) the record becomes Offered, if any attempt waits.
//!
//! The record's attempt is the latest one, by the order of initial sequence numbers. Where one
//! came over another that was not answered, the record is marked (`several`): the earlier one's
//! Offer may still be under way to its host, which could take it. So it is never offered to
//! another one (S1): it is dropped for as long as the record is not owned. That is why a Reject of
//! the latest attempt may free the flow, though an earlier one is unanswered.

use core::cmp::Ordering;
use jlb_protocol::message::{Intent, Reason};
use jlb_protocol::planted::{self, Bug};
use jlb_protocol::{Birth, NodeNumber};

mod attempts;

/// How far the life of an owned flow has come; later ones are greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Life {
    /// The host took it; the client's part of the handshake was not seen yet: untrusted (R3).
    Accepted,
    /// Established.
    Established,
    /// The socket is given up, the flow is still delivered (R8).
    Closing,
}

/// What an owned flow's host was asked and has not answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Waits {
    /// Nothing.
    Nothing,
    /// A mid-flow packet: never a choice (R4).
    MidFlow,
    /// A SYN or datagram.
    Attempt,
    /// Attempts, of which the record's is the latest.
    Several,
}

/// The host was asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Offered {
    pub(crate) host: NodeNumber,
    pub(crate) step: u8,
    /// Whether a host may still answer an earlier attempt than the record's.
    pub(crate) several: bool,
    /// This tracker has been outside the flow's top two since: another host may have taken an attempt of
    /// which it was not told (R1).
    pub(crate) hint: bool,
}

/// The host has the flow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Owned {
    pub(crate) life: Life,
    pub(crate) host: NodeNumber,
    pub(crate) birth: Birth,
    /// The step of the last Offer to it.
    pub(crate) step: u8,
    pub(crate) waits: Waits,
    /// Which attempt the client has left for this life, see [`trace_of`].
    pub(crate) left: u16,
    /// This tracker has been outside the flow's top two since the host last said so, and may have
    /// missed its end: a record that yields to every statement, and releases nobody (R1).
    pub(crate) hint: bool,
}

/// An attempt as a record remembers that it was left: its id folded to 16 bits; 0 is none, and an
/// unknown one.
pub(crate) const fn trace_of(isn: u32) -> u16 {
    (isn >> 16) as u16 ^ isn as u16
}

/// What is known of a flow's host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum State {
    /// The host was asked.
    Offered(Offered),
    /// The host that was asked at this step said no; free for the next proposal (R1).
    Rejected { step: u8, several: bool },
    /// The attempt is over; repeats are answered, not searched again (R6).
    Refused { reason: Reason, several: bool },
    /// The host has the flow.
    Owned(Owned),
}

/// A flow's record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Record {
    /// The id of the attempt that was asked for last.
    pub(crate) isn: u32,
    /// Of an owned flow: the id of the attempt that its host took, 0 if unknown. Else: the id of the
    /// attempt before the record's, or the same where none is known.
    pub(crate) former: u32,
    pub(crate) state: State,
}

/// How an attempt stands to the record's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// It is the record's.
    Same,
    /// It began later, or this cannot be told.
    Later,
    /// It began before the record's.
    Earlier,
}

impl Order {
    /// The order of the attempts that two lives on different hosts began with; 0 is unknown. A host
    /// that does not know it has found the flow after a restart: one that knows has accepted it since.
    pub(crate) const fn of_lives(claimed: u32, recorded: u32) -> Self {
        if claimed == recorded {
            Self::Same
        } else if claimed == 0 {
            Self::Earlier
        } else if recorded == 0 {
            Self::Later
        } else {
            Self::of(Intent::Syn, claimed, recorded)
        }
    }

    /// The order of two attempts with the ids `isn` and `of_record`. A client's initial sequence
    /// numbers for one pair of endpoints grow with time, modulo 2^32 (RFC 9293 3.4.1, RFC 6528). Of
    /// a client whose numbers do not, an attempt waits for the answer to the one before.
    pub(crate) const fn of(intent: Intent, isn: u32, of_record: u32) -> Self {
        let behind = of_record.wrapping_sub(isn);
        match intent {
            _ if behind == 0 => Self::Same,
            Intent::Syn if behind < 1 << 31 => Self::Earlier,
            Intent::Syn | Intent::MidFlow | Intent::Datagram => Self::Later,
        }
    }
}

/// The flow is offered to the host. Only a host that is gone, or a record that binds nobody,
/// loses an owned flow by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ask {
    pub(crate) host: NodeNumber,
    pub(crate) step: u8,
    pub(crate) intent: Intent,
    pub(crate) order: Order,
}

/// In which right a host's Accept comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Claim {
    /// It answers the record's attempt, and the secondary whose record binds has passed it, or
    /// this record binds nobody (R1).
    Overriding,
    /// It answers the Offer of a SYN or datagram.
    Offered,
    /// It answers a mid-flow Offer, which only the owner accepts (R4).
    Owner,
}

/// The host took the flow, or has it already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Accept {
    pub(crate) host: NodeNumber,
    pub(crate) step: u8,
    pub(crate) birth: Birth,
    pub(crate) claim: Claim,
    /// Whether it answers the record's attempt, not another.
    pub(crate) answers: bool,
}

/// The host states that it has the flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Own {
    pub(crate) life: Life,
    pub(crate) host: NodeNumber,
    pub(crate) birth: Birth,
    /// The step to assume, for no Offer tells it.
    pub(crate) step: u8,
    /// Whether the flow began with the record's attempt, so that this answers it.
    pub(crate) answers: bool,
    /// How the attempt that it began with stands to that of the record's life, or to the one under
    /// way; `Same` where this cannot be told. Initial sequence numbers of one client may go round in a few minutes (Linux
    /// counts them in 64 ns), so this says something of attempts that are as young as a handshake.
    pub(crate) order: Order,
    /// Whether the client is known to have left this life for the record's.
    pub(crate) left: bool,
    /// Whether the client is known to have left the record's life for this one.
    pub(crate) overtakes: bool,
}

/// What happens to a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// The flow is offered.
    Ask(Ask),
    /// The host said no to the record's offer number, or the secondary's to a lower step.
    Reject { host: NodeNumber, step: u8 },
    /// The search is over.
    Refuse { reason: Reason },
    /// A host accepted.
    Accept(Accept),
    /// A host states that it has the flow.
    Own(Own),
    /// The host states that this life is over.
    Closed { host: NodeNumber, birth: Birth },
    /// The host said no to a mid-flow packet while it was asked for an attempt too.
    Unowned { host: NodeNumber },
}

/// What an event makes of a state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// The new state.
    Become(State),
    /// The state stays as it is.
    Stay,
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
            Self::Offered(Offered { host, .. }) | Self::Owned(Owned { host, .. }) => Some(host),
            Self::Rejected { .. } | Self::Refused { .. } => None,
        }
    }

    /// Whether the flow waits for a host to report room (R6).
    pub(crate) const fn is_queued(self) -> bool {
        match self {
            Self::Refused {
                reason: Reason::Queued,
                ..
            } => true,
            Self::Offered(_) | Self::Rejected { .. } | Self::Refused { .. } | Self::Owned(_) => {
                false
            }
        }
    }

    /// Whether the flow is known to be established (R3): only such records are never limited.
    pub(crate) const fn is_trusted(self) -> bool {
        match self {
            Self::Owned(Owned { life, .. }) => match life {
                Life::Accepted => false,
                Life::Established | Life::Closing => true,
            },
            Self::Offered(_) | Self::Rejected { .. } | Self::Refused { .. } => false,
        }
    }

    /// The state after an event.
    pub(crate) fn next(self, event: Event) -> Next {
        match (self, event) {
            (Self::Offered(offered), Event::Ask(ask)) => offered.asked(ask),
            (Self::Rejected { several, .. } | Self::Refused { several, .. }, Event::Ask(ask)) => {
                ask.first(several)
            }
            (Self::Owned(owned), Event::Ask(ask)) => owned.asked(ask),

            (Self::Offered(offered), Event::Reject { step, .. }) => offered.rejected(step),
            (Self::Rejected { .. } | Self::Refused { .. }, Event::Reject { .. }) => Next::Stale,
            (Self::Owned(owned), Event::Reject { host, step }) => owned.rejected(host, step),

            (
                Self::Offered(Offered { several, .. })
                | Self::Rejected { several, .. }
                | Self::Refused { several, .. },
                Event::Refuse { reason },
            ) => Next::Become(Self::Refused { reason, several }),
            (Self::Owned(_), Event::Refuse { .. }) => Next::Stay,

            (Self::Offered(offered), Event::Accept(accept)) => offered.accepted(accept),
            (Self::Rejected { .. } | Self::Refused { .. }, Event::Accept(accept)) => {
                match accept.claim {
                    Claim::Offered if !accept.answers => Next::Conflict,
                    Claim::Overriding | Claim::Offered | Claim::Owner => accept.new_life(),
                }
            }
            (Self::Owned(owned), Event::Accept(accept)) => owned.accepted(accept),

            (Self::Offered(offered), Event::Own(own)) => offered.owned(own),
            (Self::Rejected { .. } | Self::Refused { .. }, Event::Own(own)) => own.new_life(),
            (Self::Owned(owned), Event::Own(own)) => owned.owned(own),

            (
                Self::Offered(_) | Self::Rejected { .. } | Self::Refused { .. },
                Event::Closed { .. },
            ) => Next::Stale,
            (Self::Owned(owned), Event::Closed { host, birth }) => owned.closed(host, birth),

            (
                Self::Offered(_) | Self::Rejected { .. } | Self::Refused { .. },
                Event::Unowned { .. },
            ) => Next::Stale,
            (Self::Owned(owned), Event::Unowned { host }) => owned.unowned(host),
        }
    }
}

impl Ask {
    const fn first(self, several: bool) -> Next {
        Next::Become(State::Offered(Offered {
            host: self.host,
            step: self.step,
            several,
            hint: false,
        }))
    }
}

impl Accept {
    const fn new_life(self) -> Next {
        Next::Become(State::Owned(Owned {
            life: Life::Accepted,
            host: self.host,
            birth: self.birth,
            step: self.step,
            waits: Waits::Nothing,
            left: 0,
            hint: false,
        }))
    }
}

impl Own {
    /// The state of a flow of which nothing else is known.
    pub(crate) const fn state(self) -> State {
        State::Owned(Owned {
            life: self.life,
            host: self.host,
            birth: self.birth,
            step: self.step,
            waits: Waits::Nothing,
            left: 0,
            hint: false,
        })
    }

    const fn new_life(self) -> Next {
        Next::Become(self.state())
    }
}

impl Offered {
    fn asked(self, ask: Ask) -> Next {
        if ask.host != self.host {
            return ask.first(self.several);
        }
        Next::Become(State::Offered(Self {
            step: ask.step,
            several: self.several || ask.order != Order::Same,
            ..self
        }))
    }

    const fn rejected(self, step: u8) -> Next {
        let several = self.several;
        Next::Become(State::Rejected { step, several })
    }

    /// The offered host has the flow, while what it was asked waits for its answer.
    const fn taken(self, life: Life, birth: Birth) -> Next {
        Next::Become(State::Owned(Owned {
            life,
            host: self.host,
            birth,
            step: self.step,
            waits: if self.several {
                Waits::Several
            } else {
                Waits::Attempt
            },
            left: 0,
            hint: false,
        }))
    }

    fn accepted(self, accept: Accept) -> Next {
        if accept.host != self.host {
            return match accept.claim {
                Claim::Offered => Next::Conflict,
                // It may be late, and that life over: the attempt's number stays the offered host's. An
                // owner that lives says so in a State, which tells its life's attempt too.
                Claim::Owner => Next::Stay,
                Claim::Overriding => accept.new_life(),
            };
        }
        match accept.claim {
            Claim::Offered if !accept.answers && !self.several => Next::Stale,
            Claim::Overriding | Claim::Offered | Claim::Owner => {
                if accept.answers && !self.several {
                    accept.new_life()
                } else {
                    self.taken(Life::Accepted, accept.birth)
                }
            }
        }
    }

    fn owned(self, own: Own) -> Next {
        if own.host == self.host {
            if own.answers && !self.several {
                return Own {
                    step: self.step,
                    ..own
                }
                .new_life();
            }
            return self.taken(own.life, own.birth);
        }
        // Accepted and established beat offered, unless the client has begun the attempt that is under
        // way later: then it has left the other, and the offered host may have taken it already.
        match (own.life, own.order) {
            (Life::Accepted | Life::Established, Order::Same | Order::Later) => own.new_life(),
            (Life::Accepted | Life::Established, Order::Earlier) | (Life::Closing, _) => {
                Next::Stale
            }
        }
    }
}

impl Owned {
    fn asked(self, ask: Ask) -> Next {
        let several = self.waits == Waits::Several;
        if ask.host != self.host {
            return ask.first(several);
        }
        let waits = match (self.waits, ask.intent) {
            // The attempt under way keeps its number; its host is asked beside it.
            (Waits::Attempt | Waits::Several, Intent::MidFlow) => return Next::Stay,
            (Waits::Attempt | Waits::Several, Intent::Syn | Intent::Datagram) => match ask.order {
                Order::Same => self.waits,
                Order::Later => Waits::Several,
                Order::Earlier => return Next::Stay,
            },
            (Waits::Nothing | Waits::MidFlow, Intent::MidFlow) => Waits::MidFlow,
            (Waits::Nothing | Waits::MidFlow, Intent::Syn | Intent::Datagram) => Waits::Attempt,
        };
        Next::Become(State::Owned(Self {
            step: ask.step,
            waits,
            ..self
        }))
    }

    /// R7: a host that rejects a SYN disowns the old life in the same step. Another host's reject
    /// says nothing of the owner.
    fn rejected(self, host: NodeNumber, step: u8) -> Next {
        if host != self.host {
            return Next::Stay;
        }
        match self.waits {
            Waits::Nothing => Next::Stale,
            Waits::MidFlow => Next::End,
            Waits::Attempt | Waits::Several => Next::Become(State::Rejected {
                step,
                several: self.waits == Waits::Several,
            }),
        }
    }

    /// The life is over, and what the host was asked still waits.
    const fn disowned(self) -> Next {
        Next::Become(State::Offered(Offered {
            host: self.host,
            step: self.step,
            several: matches!(self.waits, Waits::Several),
            hint: false,
        }))
    }

    /// R9: an older birth is ignored.
    fn accepted(self, accept: Accept) -> Next {
        if accept.host != self.host {
            return match accept.claim {
                Claim::Overriding => accept.new_life(),
                Claim::Offered => Next::Conflict,
                // Never a conflict: the accepting host may have an established flow (S4).
                Claim::Owner => Next::Stale,
            };
        }
        let waits = match self.waits {
            Waits::Several => Waits::Several,
            Waits::Nothing | Waits::MidFlow | Waits::Attempt if accept.answers => Waits::Nothing,
            waits @ (Waits::Nothing | Waits::MidFlow | Waits::Attempt) => waits,
        };
        match accept.birth.cmp(&self.birth) {
            Ordering::Less => Next::Stale,
            Ordering::Equal if waits == self.waits => Next::Stay,
            Ordering::Equal => Next::Become(State::Owned(Self { waits, ..self })),
            Ordering::Greater => Next::Become(State::Owned(Self {
                life: Life::Accepted,
                birth: accept.birth,
                step: if waits == Waits::Nothing {
                    accept.step
                } else {
                    self.step
                },
                waits,
                ..self
            })),
        }
    }

    /// R9: an older birth is ignored; in one life the furthest stage counts.
    fn owned(self, own: Own) -> Next {
        if own.host != self.host {
            // Established beats accepted, unless the client has begun the accepted one later: then it
            // has left the other, or this one ends by its handshake's timer. Of two that are
            // established the one counts that is known to be later: the other's host is released. Where
            // that is not known the record's stays, and the other is left alone, for one of the two is
            // live. A flow that is closing gives way to a live one.
            return match (self.life, own.life) {
                (Life::Accepted, Life::Established) => match own.order {
                    Order::Same | Order::Later if !own.left => own.new_life(),
                    Order::Same | Order::Later | Order::Earlier => Next::Stale,
                },
                (Life::Established | Life::Closing, Life::Established) if own.left => {
                    Next::Conflict
                }
                (Life::Established, Life::Established) if own.overtakes => own.new_life(),
                (Life::Established, Life::Established) => Next::Stale,
                (Life::Closing, Life::Accepted | Life::Established) => own.new_life(),
                (Life::Accepted, Life::Accepted | Life::Closing)
                | (Life::Established, Life::Accepted | Life::Closing)
                | (Life::Closing, Life::Closing) => Next::Stale,
            };
        }
        let waits = match self.waits {
            Waits::Attempt if own.answers => Waits::Nothing,
            waits @ (Waits::Nothing | Waits::MidFlow | Waits::Attempt | Waits::Several) => waits,
        };
        match own.birth.cmp(&self.birth) {
            Ordering::Less => Next::Stale,
            Ordering::Equal if own.life > self.life || waits != self.waits => {
                Next::Become(State::Owned(Self {
                    life: own.life.max(self.life),
                    waits,
                    ..self
                }))
            }
            Ordering::Equal => Next::Stay,
            Ordering::Greater if self.waits == Waits::Nothing => own.new_life(),
            Ordering::Greater => Next::Become(State::Owned(Self {
                life: own.life,
                birth: own.birth,
                waits,
                ..self
            })),
        }
    }

    fn closed(self, host: NodeNumber, birth: Birth) -> Next {
        let is_its = host == self.host && birth >= self.birth;
        if !is_its && !planted::is(Bug::AnybodyCloses) {
            return Next::Stale;
        }
        match self.waits {
            Waits::Nothing | Waits::MidFlow => Next::End,
            Waits::Attempt | Waits::Several => self.disowned(),
        }
    }

    /// An Accept that comes later than the word of its life's end makes a record that no statement ends.
    /// Established it can be only by a statement, and those come in order.
    fn unowned(self, host: NodeNumber) -> Next {
        match (self.life, self.waits) {
            (Life::Accepted, Waits::Attempt | Waits::Several) if host == self.host => {
                self.disowned()
            }
            (Life::Accepted | Life::Established | Life::Closing, _) => Next::Stale,
        }
    }
}

#[cfg(test)]
mod tests;
