//! What is known of one other node, and how that changes.
//!
//! ```text
//!            answers                 silent, deaf, leaves, next life
//!   Asked ------------>  Up  ----------------------------------------->  Down
//!     |                   ^                                               |
//!     | never answers     +---------------- answers ----------------------+
//!     v
//!  forgotten  <----------------- (outside the file) long down ------------+
//! ```

use crate::config::Known;
use crate::pace::Pace;
use core::time::Duration;
use jlb_protocol::view::Member;
use jlb_protocol::{MemberState, Time};

/// Where a node is known from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// This node's configuration.
    File,
    /// It came to us itself.
    Stranger,
    /// Another node told of it.
    Hearsay,
}

/// What is believed of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// A node outside the file that has not answered yet: no member of the view.
    Asked { since: Time },
    /// Not heard of, or not any more, or it said that it leaves.
    Down { since: Time },
    /// It answers.
    Up {
        /// What it says of itself.
        state: MemberState,
        /// When it was last heard.
        heard: Time,
        /// When it last answered a Hello: then both ways were open.
        answered: Time,
    },
}

/// What a Hello or its answer says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Said {
    pub(crate) incarnation: u32,
    pub(crate) state: MemberState,
    pub(crate) answer: bool,
}

/// What became of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// Nothing that others see.
    None,
    /// It is up now; `first` if it never was.
    Came { first: bool },
    /// It is up in another state.
    State,
    /// It said that it leaves.
    Left,
    /// Another life of it has begun; `up` if that one answered already.
    Restarted { up: bool },
}

/// What time has made of a peer that is up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Silence {
    /// It is heard and answers; look again then.
    Fine { until: Time },
    /// It has not been heard or not answered for long: it is to be asked, and down at that time.
    Suspect { until: Time },
    /// It was not heard for the timeout.
    Silent,
    /// It is heard, but does not answer us.
    Deaf,
}

#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) known: Known,
    pub(crate) origin: Origin,
    pub(crate) standing: Standing,
    /// Its latest life; 0 before it answered.
    pub(crate) incarnation: u32,
    /// When it was last asked outside the heartbeat.
    pub(crate) probed: Time,
    /// How many more times it is told of others soon, because it is new.
    pub(crate) introductions: u8,
}

/// A stranger that answered is told who is there so many times, each heartbeat: one may be lost.
const INTRODUCTIONS: u8 = 3;

impl Peer {
    pub(crate) const fn of_file(known: Known, now: Time) -> Self {
        Self {
            known,
            origin: Origin::File,
            standing: Standing::Down { since: now },
            incarnation: 0,
            probed: now,
            introductions: 0,
        }
    }

    pub(crate) const fn asked(known: Known, origin: Origin, now: Time) -> Self {
        Self {
            known,
            origin,
            standing: Standing::Asked { since: now },
            incarnation: 0,
            probed: now,
            introductions: 0,
        }
    }

    /// The file names it from now on, with these addresses.
    pub(crate) fn enter_file(&mut self, now: Time, known: Known) {
        self.known = known;
        self.origin = Origin::File;
        if matches!(self.standing, Standing::Asked { .. }) {
            self.standing = Standing::Down { since: now };
        }
    }

    /// The file does not name it any more: from now on it counts how long it is down.
    pub(crate) fn leave_file(&mut self, now: Time) {
        self.origin = Origin::Hearsay;
        self.known.domain = None;
        if matches!(self.standing, Standing::Down { .. }) {
            self.standing = Standing::Down { since: now };
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        matches!(self.standing, Standing::Up { .. })
    }

    /// The peer as others may see it; `None` if it never answered and nobody vouches for it.
    pub(crate) fn member(&self) -> Option<Member> {
        let state = match self.standing {
            Standing::Asked { .. } => return None,
            Standing::Down { .. } => MemberState::Down,
            Standing::Up { state, .. } => state,
        };
        Some(Member {
            node: self.known.node,
            role: self.known.role,
            state,
            incarnation: self.incarnation,
            domain: self.known.domain,
        })
    }

    /// A session with this life of the peer began.
    pub(crate) fn started(&mut self, now: Time, incarnation: u32) -> Change {
        if incarnation == self.incarnation {
            return Change::None;
        }
        let earlier = incarnation < self.incarnation;
        match self.standing {
            // In one life of ours the link goes by rising lives only. This is our next one, and the
            // peer has lost its count: what it sealed for us proves that it is there.
            Standing::Down { .. } if earlier => {
                self.incarnation = incarnation;
                Change::State
            }
            Standing::Asked { .. } | Standing::Up { .. } if earlier => Change::None,
            // The life is known once it has answered.
            Standing::Asked { .. } => Change::None,
            Standing::Down { .. } => {
                self.incarnation = incarnation;
                Change::State
            }
            Standing::Up { .. } => {
                self.incarnation = incarnation;
                self.standing = Standing::Down { since: now };
                Change::Restarted { up: false }
            }
        }
    }

    /// The peer was heard, or what it says of itself was.
    pub(crate) fn said(&mut self, now: Time, said: Said) -> Change {
        if said.incarnation < self.incarnation {
            return Change::None;
        }
        match (self.standing, said.state) {
            (Standing::Asked { .. } | Standing::Down { .. }, MemberState::Down) => Change::None,
            (
                Standing::Asked { .. } | Standing::Down { .. },
                state @ (MemberState::Joining | MemberState::Active | MemberState::Draining),
            ) => {
                // One that we hear and that does not hear us is of no use to us.
                if !said.answer {
                    return Change::None;
                }
                let first = matches!(self.standing, Standing::Asked { .. });
                if first && self.origin == Origin::Stranger {
                    self.introductions = INTRODUCTIONS;
                }
                self.incarnation = said.incarnation;
                self.standing = Standing::Up {
                    state,
                    heard: now,
                    answered: now,
                };
                Change::Came { first }
            }
            (Standing::Up { .. }, MemberState::Down) => {
                self.incarnation = said.incarnation;
                self.standing = Standing::Down { since: now };
                Change::Left
            }
            (
                Standing::Up {
                    state: before,
                    answered,
                    ..
                },
                state @ (MemberState::Joining | MemberState::Active | MemberState::Draining),
            ) => {
                let next_life = said.incarnation > self.incarnation;
                self.incarnation = said.incarnation;
                if next_life && !said.answer {
                    self.standing = Standing::Down { since: now };
                    return Change::Restarted { up: false };
                }
                self.standing = Standing::Up {
                    state,
                    heard: now,
                    answered: if said.answer { now } else { answered },
                };
                if next_life {
                    Change::Restarted { up: true }
                } else if state == before {
                    Change::None
                } else {
                    Change::State
                }
            }
        }
    }

    /// Any message of the peer's present life came.
    pub(crate) const fn heard(&mut self, now: Time) {
        if let Standing::Up { heard, .. } = &mut self.standing {
            *heard = now;
        }
    }

    /// We did not listen for so long: that silence is not the peer's.
    pub(crate) fn excuse(&mut self, now: Time, lateness: Duration) {
        if let Standing::Up {
            heard, answered, ..
        } = &mut self.standing
        {
            *heard = (*heard + lateness).min(now);
            *answered = (*answered + lateness).min(now);
        }
    }

    /// How long the peer has been silent; nothing if it is not up.
    pub(crate) fn silent_for(&self, now: Time) -> Duration {
        match self.standing {
            Standing::Asked { .. } | Standing::Down { .. } => Duration::ZERO,
            Standing::Up { heard, .. } => now.since(heard),
        }
    }

    /// The peer is believed down.
    pub(crate) const fn lose(&mut self, now: Time) {
        self.standing = Standing::Down { since: now };
    }

    /// What silence makes of a peer; `None` if it is not up.
    pub(crate) fn silence(&self, now: Time, pace: Pace) -> Option<Silence> {
        let Standing::Up {
            heard, answered, ..
        } = self.standing
        else {
            return None;
        };
        let patience = pace.patience();
        // From when a peer that does not answer is asked: as long before the end as a silent one.
        let deaf_patience = pace.deaf_timeout() - (pace.timeout - patience);
        Some(if now.since(heard) >= pace.timeout {
            Silence::Silent
        } else if now.since(answered) >= pace.deaf_timeout() {
            Silence::Deaf
        } else if now.since(heard) >= patience || now.since(answered) >= deaf_patience {
            let until = (heard + pace.timeout).min(answered + pace.deaf_timeout());
            Silence::Suspect { until }
        } else {
            let until = (heard + patience).min(answered + deaf_patience);
            Silence::Fine { until }
        })
    }
}

#[cfg(test)]
mod tests;
