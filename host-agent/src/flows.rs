//! The flows of this host, with the indexes and deadlines that belong to them.

use crate::config::Timers;
use crate::life::{Ending, Event, State, Step, step, step_in_doubt};
use alloc::vec::Vec;
use core::num::NonZeroU64;
use core::time::Duration;
use jlb_flow_table::{FlowTable, Full, Handle, Place};
use jlb_protocol::message::{FlowState, FlowStatement};
use jlb_protocol::{Birth, FlowKey, NodeNumber, Protocol, ServiceNumber, Time};

/// Deadlines are rounded up to this.
const TICK: Duration = Duration::from_millis(10);

mod began;
mod coarse;
mod connections;
mod deadlines;
mod digest;
mod listing;
mod looking;
mod stripping;
mod trail;

use began::Began;
use coarse::Coarse;
pub(crate) use deadlines::Due;
use looking::LOOK_SOON;
pub(crate) use looking::{LOOK_AGAIN, LOOK_LATER};
pub(crate) use stripping::Change;
use stripping::{Mark, Stripping};
pub(crate) use trail::Point;
use trail::{Doubt, Holds};

/// Not absent from the last answer.
const PRESENT: Time = Time::from_nanos(u64::MAX);

/// One flow.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    /// Which life of the flow.
    pub(crate) birth: Birth,
    /// The attempt that was accepted; not known if the flow came from the kernel's list.
    began: Began,
    pub(crate) protocol: Protocol,
    pub(crate) state: State,
    /// The kernel's name for the socket, once it has shown it.
    cookie: Option<NonZeroU64>,
    /// The flow's doubt, its trail, or what a driver was told, never two of them: a million flows count each byte.
    numbers: [u32; 2],
    /// What these are.
    holds: Holds,
    /// Whether it was reset since the time that a drain gave it was over, or the kernel may decapsulate its
    /// packets.
    mark: Mark,
    /// When it came into its state, or its latest SYN was delivered: answers asked for before that say
    /// nothing of it.
    pub(crate) since: Time,
    /// When the dump of everything, or the look-up, began that first did not show it; [`PRESENT`] if any has since.
    absent_since: Time,
    last_packet: Time,
    /// The ingress through which the client's last packet came, which has an entry for the flow;
    /// `None` if none came since the flow was taken from the kernel's list.
    pub(crate) ingress: Option<NodeNumber>,
    refresh_at: Coarse,
    /// The number of the last dump that listed it, its low bits: no flow outlives so many dumps that
    /// do not list it.
    dump: u16,
    /// When the kernel is to be asked for it alone.
    look_at: Coarse,
}

impl Flow {
    /// The id of the attempt that was accepted, if known.
    pub(crate) const fn isn(&self) -> Option<u32> {
        self.began.isn()
    }

    /// Whether the kernel has shown the socket's cookie.
    pub(crate) const fn has_cookie(&self) -> bool {
        self.cookie.is_some()
    }

    /// Whether a socket with this cookie can't be the one that the flow had: where that one's
    /// cookie is not known, whether it need not be.
    pub(crate) fn is_other_socket(&self, cookie: u64) -> bool {
        match self.cookie {
            Some(known) => known.get() != cookie,
            None => self.doubt().is_some(),
        }
    }

    /// Whether it is closing and one answer has not shown it: most likely over, and its client's port in
    /// use again, elsewhere.
    pub(crate) fn is_vanishing(&self) -> bool {
        match self.state {
            State::Closing => self.absent_since != PRESENT,
            State::Accepted | State::Established | State::Released => false,
        }
    }

    /// Whether nothing has shown yet that the kernel knows of this TCP connection: no packet of its
    /// client but SYNs, and no socket.
    pub(crate) fn is_unheard(&self) -> bool {
        match (self.protocol, self.state) {
            (Protocol::Tcp, State::Accepted) => self.cookie.is_none(),
            (Protocol::Tcp, State::Established | State::Closing | State::Released)
            | (
                Protocol::Udp,
                State::Accepted | State::Established | State::Closing | State::Released,
            ) => false,
        }
    }

    /// Whether the kernel has a socket that would take a SYN as the flow's own (R7); false for a
    /// flow that is closing, or half-open and without a socket for at least `socketless`.
    pub(crate) fn has_socket(&self, now: Time, socketless: Duration) -> bool {
        match self.state {
            State::Accepted | State::Established => {
                self.absent_since == PRESENT || now.since(self.absent_since) < socketless
            }
            State::Closing | State::Released => false,
        }
    }

    /// What the trackers are told of it; `None` if it is not owned.
    pub(crate) fn statement(&self, now: Time, key: FlowKey) -> Option<FlowStatement> {
        let state = match self.state {
            State::Accepted => FlowState::Accepted,
            State::Established => FlowState::Established,
            State::Closing => FlowState::Closing,
            State::Released => return None,
        };
        Some(self.stating(key, state, self.began.is_fresh(now)))
    }

    /// The statement that it is over.
    pub(crate) fn closed_statement(&self, key: FlowKey) -> FlowStatement {
        self.stating(key, FlowState::Closed, false)
    }

    fn stating(&self, key: FlowKey, state: FlowState, fresh: bool) -> FlowStatement {
        FlowStatement {
            key,
            birth: self.birth,
            isn: self.isn().unwrap_or(0),
            state,
            fresh,
        }
    }
}

/// What is known of a flow when it becomes this host's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewFlow {
    pub(crate) key: FlowKey,
    pub(crate) birth: Birth,
    pub(crate) isn: Option<u32>,
    pub(crate) protocol: Protocol,
    pub(crate) state: State,
    pub(crate) since: Time,
    pub(crate) ingress: Option<NodeNumber>,
}

/// What an event did to a flow.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// Nothing.
    Same,
    /// The flow is in this state now.
    Changed(State),
    /// The flow is its next life now, and needs a birth of its own.
    Renewed,
    /// The flow was removed, in the state that it was in.
    Ended(FlowKey, Flow, Ending),
}

/// The flows, by key and by socket cookie.
///
/// The index of cookies holds each flow once at most, so the flow table's bound is its own too.
#[derive(Clone, Debug)]
pub(crate) struct Flows {
    table: FlowTable<FlowKey, Flow>,
    by_cookie: FlowTable<u64, Handle>,
    timers: Timers,
    in_state: [u32; State::COUNT],
    in_doubt: u32,
    tcp: u32,
    /// Accepted and established flows of each service that has any, sorted by service.
    open: Vec<(ServiceNumber, u32)>,
    /// The same when the trackers were told last.
    told: Vec<(ServiceNumber, u32)>,
    stripping: Stripping,
    /// Whether the kernel can be asked for single flows.
    is_looking: bool,
}

impl Flows {
    pub(crate) fn new(max: u32, timers: Timers, seed: u64) -> Self {
        Self {
            table: FlowTable::new(max, TICK, seed),
            by_cookie: FlowTable::new(max, TICK, seed),
            timers,
            in_state: [0; State::COUNT],
            in_doubt: 0,
            tcp: 0,
            open: Vec::new(),
            told: Vec::new(),
            stripping: Stripping::OFF,
            is_looking: false,
        }
    }

    /// Flows that still have room.
    pub(crate) fn room(&self) -> u32 {
        self.table.max_entries().saturating_sub(self.table.len())
    }

    /// Flows in a state.
    pub(crate) const fn in_state(&self, state: State) -> u32 {
        self.in_state[state as usize]
    }

    /// TCP flows whose socket the kernel has not shown yet.
    pub(crate) fn unproven(&self) -> u32 {
        self.tcp.saturating_sub(self.by_cookie.len())
    }

    /// Flows of which it is not known whether they are in their next life.
    pub(crate) const fn in_doubt(&self) -> u32 {
        self.in_doubt
    }

    /// Bytes that the tables have allocated.
    pub(crate) fn allocated_bytes(&self) -> usize {
        self.table.allocated_bytes() + self.by_cookie.allocated_bytes()
    }

    pub(crate) fn find(&self, key: &FlowKey) -> Option<Handle> {
        self.table.find(key)
    }

    /// The flow of this key, if it is this host's.
    pub(crate) fn owned(&self, key: &FlowKey) -> Option<(Handle, &Flow)> {
        let handle = self.table.find(key)?;
        let flow = self.table.get(handle)?;
        flow.state.is_owned().then_some((handle, flow))
    }

    pub(crate) fn by_cookie(&self, cookie: u64) -> Option<Handle> {
        let entry = self.by_cookie.find(&cookie)?;
        self.by_cookie.get(entry).copied()
    }

    pub(crate) fn key(&self, handle: Handle) -> Option<FlowKey> {
        self.table.key(handle).copied()
    }

    pub(crate) fn get(&self, handle: Handle) -> Option<&Flow> {
        self.table.get(handle)
    }

    /// What the trackers are told of a flow, if it is this host's.
    pub(crate) fn statement(&self, now: Time, handle: Handle) -> Option<FlowStatement> {
        let key = *self.table.key(handle)?;
        self.table.get(handle)?.statement(now, key)
    }

    /// The statement that a flow is over, whether or not it is this host's.
    pub(crate) fn last_word(&self, handle: Handle) -> Option<FlowStatement> {
        let key = *self.table.key(handle)?;
        Some(self.table.get(handle)?.closed_statement(key))
    }

    /// The place after this one, in the order of the table; the first after `None`. Flows that come
    /// and go meanwhile do not move the others. Looks at `most` places.
    pub(crate) fn after(&self, handle: Option<Handle>, most: u32) -> Place {
        self.table.next_place(handle, most)
    }

    /// The handles of the flows of services that `keep` does not want.
    pub(crate) fn of_other_services(&self, keep: impl Fn(ServiceNumber) -> bool) -> Vec<Handle> {
        let others = self.table.iter().filter(|(_, key, _)| !keep(key.service()));
        others.map(|(handle, _, _)| handle).collect()
    }

    /// Takes other time spans for what happens from now on.
    pub(crate) fn set_timers(&mut self, timers: Timers) {
        self.timers = timers;
    }

    /// Adds a flow whose key is not in the table.
    pub(crate) fn insert(&mut self, now: Time, new: NewFlow) -> Result<Handle, Full> {
        let mut flow = Flow {
            birth: new.birth,
            began: new.isn.map_or(Began::UNKNOWN, |isn| Began::now(now, isn)),
            protocol: new.protocol,
            state: new.state,
            cookie: None,
            numbers: [0; 2],
            holds: Holds::Nothing,
            mark: Mark::NONE,
            since: new.since,
            absent_since: PRESENT,
            last_packet: now,
            ingress: new.ingress,
            refresh_at: Coarse::not_before(now + self.first_refresh(&new.key)),
            dump: 0,
            look_at: Coarse::NEVER,
        };
        flow.plan_look(self.is_looking, now + LOOK_SOON);
        let handle = self.table.insert(new.key, flow)?;
        self.tcp += u32::from(new.protocol == Protocol::Tcp);
        self.count_in(new.key.service(), new.state);
        self.arm(handle);
        Ok(handle)
    }

    /// Removes a flow.
    pub(crate) fn remove(&mut self, handle: Handle) -> Option<(FlowKey, Flow)> {
        self.forget_cookie(handle);
        self.settle(handle);
        self.take_back(handle);
        let (key, flow) = self.table.remove(handle)?;
        self.tcp -= u32::from(flow.protocol == Protocol::Tcp);
        self.count_out(key.service(), flow.state);
        Some((key, flow))
    }

    /// Lets an event happen to a flow.
    pub(crate) fn apply(&mut self, now: Time, handle: Handle, event: Event) -> Outcome {
        let Some(flow) = self.table.get_mut(handle) else {
            return Outcome::Same;
        };
        let step = match flow.doubt() {
            None => step(flow.state, event),
            Some(Doubt { isn, answered }) => {
                let answered = answered || event == Event::Handshake;
                flow.set_doubt(Some(Doubt { isn, answered }));
                step_in_doubt(answered, event)
            }
        };
        match step {
            Step::Stay => {
                if matches!(event, Event::SeenHalfOpen | Event::SeenOpen) {
                    self.settle(handle);
                }
                Outcome::Same
            }
            Step::Become(next) => {
                self.settle(handle);
                self.become_state(now, handle, next);
                Outcome::Changed(next)
            }
            Step::Renew(next) => {
                if let Some(doubt) = flow.doubt() {
                    flow.began = Began::now(now, doubt.isn);
                }
                self.settle(handle);
                self.forget_cookie(handle);
                self.become_state(now, handle, next);
                Outcome::Renewed
            }
            Step::End(ending) => match self.remove(handle) {
                Some((key, flow)) => Outcome::Ended(key, flow, ending),
                None => Outcome::Same,
            },
        }
    }

    /// A packet of the client is delivered.
    pub(crate) fn touch(&mut self, now: Time, handle: Handle) {
        if let Some(flow) = self.table.get_mut(handle) {
            flow.last_packet = now;
        }
    }

    /// A packet of the client came through this ingress.
    pub(crate) fn came_through(&mut self, handle: Handle, ingress: Option<NodeNumber>) {
        if let Some(flow) = self.table.get_mut(handle)
            && ingress.is_some()
            && flow.ingress != ingress
        {
            flow.ingress = ingress;
            self.take_back(handle);
        }
    }

    /// A SYN of the flow is delivered: the kernel may make a half-open socket anew. What dumps did
    /// not list before says nothing of that one, also if the flow seemed established or closing:
    /// its close may have been missed, and the client may have begun its next life.
    pub(crate) fn syn_delivered(&mut self, now: Time, handle: Handle, isn: u32) {
        self.take_back(handle);
        let Some(flow) = self.table.get_mut(handle) else {
            return;
        };
        flow.since = now;
        flow.absent_since = PRESENT;
        let other = flow.isn() != Some(isn);
        match flow.state {
            State::Accepted => {
                if other {
                    flow.began = Began::now(now, isn);
                    flow.forget_trail();
                    self.forget_cookie(handle);
                }
                self.arm(handle);
            }
            State::Established if other => {
                let same = flow.doubt().filter(|doubt| doubt.isn == isn);
                let answered = same.is_some_and(|doubt| doubt.answered);
                self.in_doubt += u32::from(flow.doubt().is_none());
                flow.set_doubt(Some(Doubt { isn, answered }));
            }
            State::Established | State::Closing | State::Released => {}
        }
        self.look_soon(now, handle);
    }

    /// The flow's life is this one.
    pub(crate) fn set_birth(&mut self, handle: Handle, birth: Birth) {
        self.take_back(handle);
        if let Some(flow) = self.table.get_mut(handle) {
            flow.birth = birth;
            flow.forget_trail();
        }
    }

    /// A dump lists a socket of the flow's addresses. Returns whether that counts: not if the dump
    /// began before the flow came into its state.
    pub(crate) fn listed(&mut self, handle: Handle, dump: u32, started: Time) -> bool {
        let Some(flow) = self.table.get_mut(handle) else {
            return false;
        };
        flow.dump = dump as u16;
        self.looked(handle, started)
    }

    /// The flow's socket has this cookie.
    pub(crate) fn learn_cookie(&mut self, now: Time, handle: Handle, cookie: u64) {
        let known = cookie == 0 || self.by_cookie(cookie) == Some(handle);
        if known || self.get(handle).is_none() {
            return;
        }
        if let Some(other) = self.by_cookie(cookie) {
            self.forget_cookie(other);
            self.look_soon(now, other);
        }
        self.forget_cookie(handle);
        if self.by_cookie.insert(cookie, handle).is_ok()
            && let Some(flow) = self.table.get_mut(handle)
        {
            flow.cookie = NonZeroU64::new(cookie);
            if !flow.wants_look() {
                flow.look_at = Coarse::NEVER;
            }
        }
    }

    fn become_state(&mut self, now: Time, handle: Handle, next: State) {
        let Some(key) = self.table.key(handle).copied() else {
            return;
        };
        let is_looking = self.is_looking;
        let Some(flow) = self.table.get_mut(handle) else {
            return;
        };
        self.stripping.take_back(&key, flow);
        let before = core::mem::replace(&mut flow.state, next);
        flow.since = now;
        flow.absent_since = PRESENT;
        flow.plan_look(is_looking, now + LOOK_SOON);
        self.count_out(key.service(), before);
        self.count_in(key.service(), next);
        self.arm(handle);
    }

    /// The flow is in doubt no more.
    fn settle(&mut self, handle: Handle) {
        if let Some(flow) = self.table.get_mut(handle)
            && flow.doubt().is_some()
        {
            flow.set_doubt(None);
            self.in_doubt -= 1;
        }
    }

    /// The flow's socket is not known by a cookie any more.
    pub(crate) fn forget_cookie(&mut self, handle: Handle) {
        let cookie = self
            .table
            .get_mut(handle)
            .and_then(|flow| flow.cookie.take());
        if let Some(entry) = cookie.and_then(|cookie| self.by_cookie.find(&cookie.get())) {
            self.by_cookie.remove(entry);
        }
    }

    fn count_in(&mut self, service: ServiceNumber, state: State) {
        self.in_state[state as usize] += 1;
        if !state.is_open() {
            return;
        }
        match self.open.binary_search_by_key(&service, |open| open.0) {
            Ok(at) => self.open[at].1 += 1,
            Err(at) => self.open.insert(at, (service, 1)),
        }
    }

    fn count_out(&mut self, service: ServiceNumber, state: State) {
        self.in_state[state as usize] -= 1;
        if !state.is_open() {
            return;
        }
        if let Ok(at) = self.open.binary_search_by_key(&service, |open| open.0) {
            self.open[at].1 -= 1;
            if self.open[at].1 == 0 {
                self.open.remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests;
