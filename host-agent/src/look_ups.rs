//! Single connections, for which the kernel looks without walking its whole table (R7, R8).
//!
//! A complete list costs a walk of the kernel's table of connections, milliseconds of a processor however few there
//! are, and with each one everything that lingers in TIME_WAIT is told again. What waits for a proof is looked up alone
//! instead: when it may have become certain, and what is in TIME_WAIT when that is over. Lists find what nothing else
//! tells, and serve where look-ups do not answer.

use crate::agent::HostAgent;
use crate::flows::{LOOK_AGAIN, LOOK_LATER};
use crate::life::{Event, State};
use crate::sockets::{Socket, SocketState};
use crate::strip::Ends;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use jlb_flow_table::Handle;
use jlb_protocol::digest::{Digest, Digester};
use jlb_protocol::planted::{self, Bug};
use jlb_protocol::{FlowKey, Protocol, ServiceNumber, Time};

/// Look-ups that are asked for at a time.
const AT_ONCE: usize = 64;

/// Flows that wait for their look-up at most (R14). Those that find no room come again later.
const MAX_WAITING: usize = 8_192;

/// Lists in which a flow that is over is not: two, and one that may have begun before that was known.
const LISTS_TO_PROVE: u8 = 3;

/// After look-ups the next wait for this many times as long as these took of a processor.
const REST: u32 = 9;

/// A connection that the kernel is to be asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LookUp {
    /// This end.
    pub local: SocketAddr,
    /// The client's end.
    pub remote: SocketAddr,
}

/// What the kernel has of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// This.
    Socket {
        /// What a list would show.
        socket: Socket,
        /// How long the kernel is going to keep what is in TIME_WAIT, if it says so.
        rest: Option<Duration>,
    },
    /// Nothing but a socket that listens for others.
    Nothing,
    /// No word on it. What the kernel does not find at all may be there all the same, where its look-ups see
    /// other things than packets do.
    Unknown,
}

/// An answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LookedUp {
    /// To this.
    pub asked: LookUp,
    /// What there is.
    pub found: Found,
}

/// Which flows wait for a look-up, and whether those are any good.
#[derive(Clone, Debug)]
pub(crate) struct LookUps {
    waiting: VecDeque<Handle>,
    /// Before this there are none.
    rested: Time,
    /// Whether those that were made last were answered at all.
    work: bool,
    /// Lists that are to be made soon: of some flow the kernel had no word.
    lists: u8,
    /// The services of which a look-up has found some connection.
    found: Vec<ServiceNumber>,
}

impl LookUps {
    pub(crate) const fn new(now: Time) -> Self {
        Self {
            waiting: VecDeque::new(),
            rested: now,
            work: false,
            lists: 0,
            found: Vec::new(),
        }
    }

    /// Whether flows need no list to be proven.
    pub(crate) const fn do_work(&self) -> bool {
        self.work && self.lists == 0
    }

    /// A list of everything is complete.
    pub(crate) const fn listed(&mut self) {
        self.lists = self.lists.saturating_sub(1);
    }

    /// Of some flow there is no word: lists have to tell.
    const fn unknown(&mut self) {
        self.lists = LISTS_TO_PROVE;
    }

    /// A look-up has found a connection of the service.
    fn finds(&mut self, service: ServiceNumber) {
        if let Err(at) = self.found.binary_search(&service) {
            self.found.insert(at, service);
        }
    }
}

impl HostAgent {
    /// A flow's look-up is due.
    pub(crate) fn look_up(&mut self, now: Time, handle: Handle) {
        if self.look_ups.waiting.len() < MAX_WAITING {
            self.look_ups.waiting.push_back(handle);
        } else {
            self.flows.look_at(handle, now + LOOK_AGAIN);
            self.look_ups.unknown();
        }
    }

    /// The driver can look single connections up: lists are wanted less often. To be called before the first list.
    pub fn expect_look_ups(&mut self) {
        self.flows.start_looking();
        self.look_ups.work = true;
    }

    /// When [`Self::take_look_ups`] is worth calling; `None` if no flow waits for that.
    #[must_use]
    pub fn poll_look_ups(&self) -> Option<Time> {
        let LookUps {
            waiting, rested, ..
        } = &self.look_ups;
        (self.is_ready() && !waiting.is_empty()).then_some(*rested)
    }

    /// Connections that the kernel is to be asked for now; what it says goes to [`Self::handle_looked_up`]. If it
    /// never comes, they are asked for again.
    pub fn take_look_ups(&mut self) -> Vec<LookUp> {
        let count = self.look_ups.waiting.len().min(AT_ONCE);
        let taken: Vec<_> = self.look_ups.waiting.drain(..count).collect();
        let mut asked = Vec::with_capacity(count);
        let mut is_one_strange = false;
        for key in taken
            .into_iter()
            .filter_map(|handle| self.flows.key(handle))
        {
            match self.ends_of(&key) {
                Some(Ends { client, vip }) if self.is_service_of(&key, vip) => {
                    asked.push(LookUp {
                        local: vip,
                        remote: client,
                    });
                }
                // Its address is another service's now.
                Some(_) | None => is_one_strange = true,
            }
        }
        if is_one_strange {
            self.look_ups.unknown();
        }
        asked
    }

    /// Takes what the kernel said of connections for which it was asked from `started` on, which took so long of a
    /// processor. Of what an answer says nothing is listed.
    pub fn handle_looked_up(
        &mut self,
        now: Time,
        started: Time,
        cost: Duration,
        answers: &[LookedUp],
    ) {
        let started = started.min(now);
        self.look_ups.rested = now + cost.saturating_mul(REST);
        self.look_ups.work |= !answers.is_empty();
        for answer in answers {
            self.post.counters.look_ups += 1;
            let LookUp { local, remote } = answer.asked;
            let Some(key) = self.flow_of(local, remote) else {
                continue;
            };
            let Some(handle) = self.flows.find(&key) else {
                continue;
            };
            match answer.found {
                Found::Socket { socket, rest } => {
                    self.look_ups.finds(key.service());
                    self.looked(now, started, &key, handle, &socket, rest);
                }
                // A connection that is bound to a device, as all of a service may be, is not found so.
                Found::Nothing if !self.may_find(handle, &key) => {
                    self.look_ups.unknown();
                    self.flows.look_at(handle, now + LOOK_LATER);
                }
                Found::Nothing => {
                    let is_gone = self.flows.looked_in_vain(now, handle, started);
                    if is_gone || planted::is(Bug::OneLookUpProves) {
                        self.advance(now, handle, Event::Absent);
                    }
                }
                Found::Unknown => {
                    self.post.counters.look_ups_unknown += 1;
                    self.look_ups.unknown();
                    self.flows.look_at(handle, now + LOOK_LATER);
                }
            }
        }
    }

    /// The kernel could not be asked: what waits for a proof is listed, until it can.
    pub fn handle_look_ups_failed(&mut self) {
        self.look_ups.work = false;
    }

    fn is_service_of(&self, key: &FlowKey, vip: SocketAddr) -> bool {
        self.services.find(vip.ip(), Protocol::Tcp, vip.port()) == Some(key.service())
    }

    /// Whether a look-up would find the flow's connection if there is one. Not if it may take an open flow, of a service of which none
    /// has found any yet.
    fn may_find(&self, handle: Handle, key: &FlowKey) -> bool {
        let state = self.flows.get(handle).map(|flow| flow.state);
        let is_established = state == Some(State::Established);
        !is_established || self.look_ups.found.binary_search(&key.service()).is_ok()
    }

    /// The kernel has something of a flow.
    fn looked(
        &mut self,
        now: Time,
        started: Time,
        key: &FlowKey,
        handle: Handle,
        socket: &Socket,
        rest: Option<Duration>,
    ) {
        if !self.flows.looked(handle, started) {
            self.flows.look_at(handle, now + LOOK_AGAIN);
            return;
        }
        self.seen(now, handle, started, socket);
        let Some(handle) = self.flows.find(key) else {
            return;
        };
        let state = self.flows.get(handle).map(|flow| flow.state);
        let wait = match (socket.state, state) {
            (SocketState::TimeWait, Some(State::Closing)) => {
                let until = self.flows.lingers_until(handle);
                let linger = until.map_or(LOOK_AGAIN, |until| until.since(now));
                rest.unwrap_or(LOOK_AGAIN).min(linger)
            }
            // The server's accept queue is full.
            (SocketState::HalfOpen, Some(State::Established)) => LOOK_AGAIN,
            (SocketState::Open | SocketState::HalfOpen | SocketState::TimeWait, _) => LOOK_LATER,
        };
        self.flows.look_at(handle, now + wait.max(LOOK_AGAIN));
    }
}

impl Digest for LookUps {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self {
            waiting,
            rested,
            work,
            lists,
            found,
        } = self;
        into.value(&(waiting, work, lists, found));
        into.time(*rested);
    }
}

#[cfg(test)]
mod tests;
