//! The life of a flow on its host: which event takes it from which state to which.
//!
//! ```text
//!             client's ACK,                kernel gave the socket
//!             open socket                  up, or TIME_WAIT
//!  accepted ───────────────► Established ─────────────────► Closing
//!  Accepted ─── socket destroyed (by cookie) ─────────────►   │
//!     ▲                          ▲                            │
//!     └── half-open socket ──────┴── open socket ─────────────┤
//!     │                          │                            │ no socket in two answers;
//!     │ handshake timer          │ no socket; UDP idle        │ TIME_WAIT after the linger
//!     ▼                          ▼                            ▼
//!   ended                      ended                        ended
//!
//!  Accepted, Established, Closing ── Release ──► Released ── no socket, socket destroyed ──► ended
//! ```
//!
//! A TCP flow that was established ends by what the kernel's answers (dumps and look-ups) show, never by a timer or an event alone:
//! either may be about the life before this one.
//!
//! When a SYN of another attempt is delivered to an established flow, the kernel may have the old
//! connection still, or begin the next one: the flow is *in doubt* until the kernel's word shows
//! which ([`step_in_doubt`]). If it is the next, the flow gets a birth of its own.
//!
//! A released flow is not owned: its record only keeps a socket that the kernel still has from
//! being taken for a flow that the agent missed.

/// Where a flow is in its life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum State {
    /// Accepted; the client's part of the handshake was not seen yet (R3).
    Accepted,
    /// The client's part of the handshake was seen.
    Established,
    /// The kernel gave the socket up; owned and delivered until nothing is left of it (R8).
    Closing,
    /// Another host's, but this kernel may still have a socket.
    Released,
}

impl State {
    /// Number of states.
    pub(crate) const COUNT: usize = 4;

    /// Whether the flow is this host's.
    pub(crate) const fn is_owned(self) -> bool {
        match self {
            Self::Accepted | Self::Established | Self::Closing => true,
            Self::Released => false,
        }
    }

    /// Whether the flow counts as a connection of its service: admission looks at what takes the
    /// server's room, which a flow that only lingers does not.
    pub(crate) const fn is_open(self) -> bool {
        match self {
            Self::Accepted | Self::Established => true,
            Self::Closing | Self::Released => false,
        }
    }
}

/// What happens to a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// The client's part of the handshake passed by.
    Handshake,
    /// The kernel shows its half-open socket.
    SeenHalfOpen,
    /// The kernel shows its open socket.
    SeenOpen,
    /// The kernel shows a half-open socket that is not the one that the flow had.
    OtherHalfOpen,
    /// The kernel shows an open socket that is not the one that the flow had.
    OtherOpen,
    /// The kernel shows its TIME_WAIT entry.
    SeenTimeWait,
    /// An answer that was asked for after the linger shows its TIME_WAIT entry.
    LingerOver,
    /// Two answers in a row show nothing of it.
    Absent,
    /// The kernel destroyed its socket, known by the cookie.
    Destroyed,
    /// The kernel destroyed a socket of its addresses, whose cookie the agent never learnt.
    DestroyedByAddress,
    /// Its deadline has come: handshake, or idle for UDP.
    Expired,
    /// A tracker says that another host owns it.
    Release,
}

/// Why a flow ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Ending {
    /// The client did not finish the handshake in time.
    NoHandshake,
    /// It closed, and the kernel has nothing left of it.
    Closed,
    /// It closed, and the linger passed.
    Lingered,
    /// The kernel has no socket of it, though no close was reported.
    Vanished,
    /// No packets for as long as a UDP flow may be idle.
    Idle,
    /// It was another host's.
    Disowned,
    /// The client began a new life of it (R7).
    Renewed,
    /// Its service is not configured any more.
    NoService,
    /// It had no socket, and the time that a drain gave it was over.
    Drained,
}

/// What an event does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Nothing.
    Stay,
    /// The flow is in this state now.
    Become(State),
    /// It is the flow's next life, in this state.
    Renew(State),
    /// The flow is over.
    End(Ending),
}

/// The table under the diagram above.
pub(crate) const fn step(state: State, event: Event) -> Step {
    match (state, event) {
        (State::Accepted, Event::Handshake | Event::SeenOpen | Event::OtherOpen) => {
            Step::Become(State::Established)
        }
        // No socket is no proof here: with SYN cookies the kernel has none yet. A TIME_WAIT entry
        // is the former life's, and so is a destroyed socket whose cookie is unknown: a half-open
        // one is destroyed without an event.
        (
            State::Accepted,
            Event::SeenHalfOpen
            | Event::OtherHalfOpen
            | Event::SeenTimeWait
            | Event::LingerOver
            | Event::Absent
            | Event::DestroyedByAddress,
        ) => Step::Stay,
        (State::Accepted, Event::Destroyed) => Step::Become(State::Closing),
        (State::Accepted, Event::Expired) => Step::End(Ending::NoHandshake),

        // Half-open still: the server's accept queue was full when the client's ACK came.
        (State::Established, Event::Handshake | Event::SeenHalfOpen | Event::SeenOpen) => {
            Step::Stay
        }
        (
            State::Established,
            Event::SeenTimeWait | Event::LingerOver | Event::Destroyed | Event::DestroyedByAddress,
        ) => Step::Become(State::Closing),
        (State::Established | State::Closing, Event::OtherHalfOpen) => Step::Renew(State::Accepted),
        (State::Established | State::Closing, Event::OtherOpen) => Step::Renew(State::Established),
        (State::Established, Event::Absent) => Step::End(Ending::Vanished),
        (State::Established, Event::Expired) => Step::End(Ending::Idle),

        // The close was of the life before this one: the kernel has the socket after all.
        (State::Closing, Event::SeenHalfOpen) => Step::Become(State::Accepted),
        (State::Closing, Event::SeenOpen) => Step::Become(State::Established),
        (
            State::Closing,
            Event::Handshake
            | Event::SeenTimeWait
            | Event::Destroyed
            | Event::DestroyedByAddress
            | Event::Expired,
        ) => Step::Stay,
        (State::Closing, Event::Absent) => Step::End(Ending::Closed),
        (State::Closing, Event::LingerOver) => Step::End(Ending::Lingered),

        (State::Accepted | State::Established | State::Closing, Event::Release) => {
            Step::Become(State::Released)
        }

        (
            State::Released,
            Event::Handshake
            | Event::SeenHalfOpen
            | Event::SeenOpen
            | Event::OtherHalfOpen
            | Event::OtherOpen
            | Event::DestroyedByAddress
            | Event::Expired
            | Event::Release,
        ) => Step::Stay,
        // Only open sockets are taken for flows that the agent missed: the rest needs no guard.
        (
            State::Released,
            Event::SeenTimeWait | Event::LingerOver | Event::Absent | Event::Destroyed,
        ) => Step::End(Ending::Disowned),
    }
}

/// The step of an established flow to which a SYN of another attempt was delivered, before an answer
/// that was asked for later has shown its socket. `answered`: the client has sent an ACK since that SYN,
/// which may belong to either life.
pub(crate) const fn step_in_doubt(answered: bool, event: Event) -> Step {
    match event {
        // The old socket is there: the stack answers the SYN for it. And an event whose cookie is
        // not known may be of any life: the answer that this waits for tells.
        Event::Handshake
        | Event::SeenHalfOpen
        | Event::SeenOpen
        | Event::DestroyedByAddress
        | Event::Expired => Step::Stay,
        // The old life is over. The new one has no socket before the client's ACK, if the kernel
        // sends SYN cookies: that there is none ends it by its handshake's timer only.
        Event::SeenTimeWait | Event::LingerOver if answered => Step::Become(State::Closing),
        Event::Absent if answered => Step::End(Ending::Vanished),
        Event::Destroyed if answered => Step::Renew(State::Established),
        Event::OtherOpen => Step::Renew(State::Established),
        Event::OtherHalfOpen
        | Event::SeenTimeWait
        | Event::LingerOver
        | Event::Absent
        | Event::Destroyed => Step::Renew(State::Accepted),
        Event::Release => Step::Become(State::Released),
    }
}

#[cfg(test)]
mod tests;
