//! The flows of this host, with the indexes and deadlines that belong to them.

use crate::config::Timers;
use crate::life::{Ending, Event, State, Step, step};
use alloc::vec::Vec;
use core::time::Duration;
use jlb_flow_table::{FlowTable, Full, Handle};
use jlb_protocol::message::{FlowState, FlowStatement};
use jlb_protocol::{Birth, FlowKey, NodeNumber, Protocol, ServiceNumber, Time};

/// Deadlines are rounded up to this.
const TICK: Duration = Duration::from_millis(10);

/// One flow.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    /// Which life of the flow.
    pub(crate) birth: Birth,
    /// The id of the attempt that was accepted; `None` if the flow came from the kernel's list.
    pub(crate) isn: Option<u32>,
    pub(crate) protocol: Protocol,
    pub(crate) state: State,
    /// The kernel's name for the socket, once a dump has shown it.
    pub(crate) cookie: Option<u64>,
    /// When it came into its state, or its latest SYN was delivered: dumps begun before that say
    /// nothing of it.
    pub(crate) since: Time,
    /// When the dump began that first did not list it; `None` if the last one did.
    absent_since: Option<Time>,
    last_packet: Time,
    /// The ingress through which the client's last packet came, which has an entry for the flow;
    /// `None` if none came since the flow was taken from the kernel's list.
    pub(crate) ingress: Option<NodeNumber>,
    /// End of the handshake's time or of the linger. A UDP flow's end follows from `last_packet`.
    ends_at: Option<Time>,
    refresh_at: Time,
    /// The number of the last dump that listed it.
    dump: u32,
}

impl Flow {
    /// Whether the kernel has a socket that would take a SYN as the flow's own (R7); false for a
    /// flow that is closing, or half-open and without a socket for at least `socketless`.
    pub(crate) fn has_socket(&self, now: Time, socketless: Duration) -> bool {
        match self.state {
            State::Accepted | State::Established => self
                .absent_since
                .is_none_or(|absent| now.since(absent) < socketless),
            State::Closing | State::Released => false,
        }
    }

    /// What the trackers are told of it; `None` if it is not owned.
    pub(crate) fn statement(&self, key: FlowKey) -> Option<FlowStatement> {
        let state = match self.state {
            State::Accepted => FlowState::Accepted,
            State::Established => FlowState::Established,
            State::Closing => FlowState::Closing,
            State::Released => return None,
        };
        Some(self.stating(key, state))
    }

    /// The statement that it is over.
    pub(crate) fn closed_statement(&self, key: FlowKey) -> FlowStatement {
        self.stating(key, FlowState::Closed)
    }

    fn stating(&self, key: FlowKey, state: FlowState) -> FlowStatement {
        FlowStatement {
            key,
            birth: self.birth,
            isn: self.isn.unwrap_or(0),
            state,
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
    /// The flow was removed, in the state that it was in.
    Ended(FlowKey, Flow, Ending),
}

/// Why a flow's deadline has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    /// Its time is over.
    Expired,
    /// Its trackers are to be told of it again.
    Refresh,
    /// Nothing: a UDP flow had packets meanwhile.
    Later,
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
    tcp: u32,
    /// Accepted and established flows of each service that has any, sorted by service.
    open: Vec<(ServiceNumber, u32)>,
}

impl Flows {
    pub(crate) fn new(max: u32, timers: Timers, seed: u64) -> Self {
        Self {
            table: FlowTable::new(max, TICK, seed),
            by_cookie: FlowTable::new(max, TICK, seed),
            timers,
            in_state: [0; State::COUNT],
            tcp: 0,
            open: Vec::new(),
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

    /// TCP flows whose socket no dump has shown yet.
    pub(crate) fn unproven(&self) -> u32 {
        self.tcp.saturating_sub(self.by_cookie.len())
    }

    /// Accepted and established flows of a service.
    pub(crate) fn connections(&self, service: ServiceNumber) -> u32 {
        let at = self.open.binary_search_by_key(&service, |open| open.0);
        at.ok()
            .and_then(|at| self.open.get(at))
            .map_or(0, |open| open.1)
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

    pub(crate) fn get(&self, handle: Handle) -> Option<&Flow> {
        self.table.get(handle)
    }

    /// What the trackers are told of a flow, if it is this host's.
    pub(crate) fn statement(&self, handle: Handle) -> Option<FlowStatement> {
        let key = *self.table.key(handle)?;
        self.table.get(handle)?.statement(key)
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
        let flow = Flow {
            birth: new.birth,
            isn: new.isn,
            protocol: new.protocol,
            state: new.state,
            cookie: None,
            since: new.since,
            absent_since: None,
            last_packet: now,
            ingress: new.ingress,
            ends_at: self.end_of(new.protocol, new.state, now),
            refresh_at: now + self.first_refresh(&new.key),
            dump: 0,
        };
        let handle = self.table.insert(new.key, flow)?;
        self.tcp += u32::from(new.protocol == Protocol::Tcp);
        self.count_in(new.key.service(), new.state);
        self.arm(handle);
        Ok(handle)
    }

    /// Removes a flow.
    pub(crate) fn remove(&mut self, handle: Handle) -> Option<(FlowKey, Flow)> {
        self.forget_cookie(handle);
        let (key, flow) = self.table.remove(handle)?;
        self.tcp -= u32::from(flow.protocol == Protocol::Tcp);
        self.count_out(key.service(), flow.state);
        Some((key, flow))
    }

    /// Lets an event happen to a flow.
    pub(crate) fn apply(&mut self, now: Time, handle: Handle, event: Event) -> Outcome {
        let Some(state) = self.table.get(handle).map(|flow| flow.state) else {
            return Outcome::Same;
        };
        match step(state, event) {
            Step::Stay => Outcome::Same,
            Step::Become(next) => {
                self.become_state(now, handle, next);
                Outcome::Changed(next)
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
        {
            flow.ingress = ingress;
        }
    }

    /// A SYN of the flow is delivered: the kernel may make a half-open socket anew. What dumps did
    /// not list before says nothing of that one, also if the flow seemed established: its close may
    /// have been missed, and the client may have begun its next life.
    pub(crate) fn syn_delivered(&mut self, now: Time, handle: Handle) {
        let Some(flow) = self.table.get_mut(handle) else {
            return;
        };
        if !flow.state.is_open() {
            return;
        }
        flow.since = now;
        flow.absent_since = None;
        if flow.state == State::Accepted {
            flow.ends_at = Some(now + self.timers.handshake);
            self.arm(handle);
        }
    }

    /// A dump lists a socket of the flow's addresses. Returns whether that counts: not if the dump
    /// began before the flow came into its state.
    pub(crate) fn listed(&mut self, handle: Handle, dump: u32, started: Time) -> bool {
        let Some(flow) = self.table.get_mut(handle) else {
            return false;
        };
        flow.dump = dump;
        if started <= flow.since {
            return false;
        }
        flow.absent_since = None;
        true
    }

    /// The flow's socket has this cookie.
    pub(crate) fn learn_cookie(&mut self, handle: Handle, cookie: u64) {
        if self.by_cookie(cookie) == Some(handle) || self.get(handle).is_none() {
            return;
        }
        if let Some(other) = self.by_cookie(cookie) {
            self.forget_cookie(other);
        }
        self.forget_cookie(handle);
        if self.by_cookie.insert(cookie, handle).is_ok()
            && let Some(flow) = self.table.get_mut(handle)
        {
            flow.cookie = Some(cookie);
        }
    }

    /// The TCP flows that this dump and one before it did not list though they would have. One
    /// dump proves nothing: the kernel walks its table while sockets come and go, and may step
    /// over one that is there. For an open flow a dump must have begun `socketless` after it came
    /// into its state, for the packet that makes the socket may have been on its way to the stack.
    pub(crate) fn unlisted(&mut self, dump: u32, started: Time) -> Vec<Handle> {
        let margin = self.timers.socketless;
        let mut missing: Vec<_> = self
            .table
            .iter()
            .filter(|(_, _, flow)| flow.protocol == Protocol::Tcp && flow.dump != dump)
            .filter(|(_, _, flow)| {
                if flow.state.is_open() {
                    started >= flow.since + margin
                } else {
                    started > flow.since
                }
            })
            .map(|(handle, _, _)| handle)
            .collect();
        missing.retain(|&handle| match self.table.get_mut(handle) {
            Some(flow) if flow.absent_since.is_none() => {
                flow.absent_since = Some(started);
                false
            }
            Some(_) => true,
            None => false,
        });
        missing
    }

    /// A flow whose deadline has come; to be called until `None`.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<(Handle, Due)> {
        let handle = self.table.pop_expired(now.as_nanos())?;
        let refresh = self.timers.refresh;
        let udp_idle = self.timers.udp_idle;
        let flow = self.table.get_mut(handle)?;
        let due = if end(flow, udp_idle).is_some_and(|end| end <= now) {
            Due::Expired
        } else if flow.refresh_at <= now {
            flow.refresh_at = now + refresh;
            Due::Refresh
        } else {
            Due::Later
        };
        if due != Due::Expired {
            self.arm(handle);
        }
        Some((handle, due))
    }

    /// When [`Self::pop_due`] is worth calling next.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.table.next_deadline().map(Time::from_nanos)
    }

    fn become_state(&mut self, now: Time, handle: Handle, next: State) {
        let Some(key) = self.table.key(handle).copied() else {
            return;
        };
        let Some(flow) = self.table.get_mut(handle) else {
            return;
        };
        let before = core::mem::replace(&mut flow.state, next);
        let protocol = flow.protocol;
        flow.since = now;
        flow.absent_since = None;
        let ends_at = self.end_of(protocol, next, now);
        if let Some(flow) = self.table.get_mut(handle) {
            flow.ends_at = ends_at;
        }
        self.count_out(key.service(), before);
        self.count_in(key.service(), next);
        self.arm(handle);
    }

    fn end_of(&self, protocol: Protocol, state: State, now: Time) -> Option<Time> {
        match (protocol, state) {
            (Protocol::Tcp, State::Accepted) => Some(now + self.timers.handshake),
            (Protocol::Tcp, State::Closing) => Some(now + self.timers.linger),
            (Protocol::Tcp, State::Established | State::Released) => None,
            (
                Protocol::Udp,
                State::Accepted | State::Established | State::Closing | State::Released,
            ) => None,
        }
    }

    /// Between one half and the whole of the interval, by the flow's hash: what came at once is
    /// not refreshed at once.
    fn first_refresh(&self, key: &FlowKey) -> Duration {
        let half = u64::try_from(self.timers.refresh.as_nanos() / 2).unwrap_or(u64::MAX / 2);
        Duration::from_nanos(half.saturating_add(self.table.hash_of(key) % half.max(1)))
    }

    fn arm(&mut self, handle: Handle) {
        let Some(flow) = self.table.get(handle) else {
            return;
        };
        if !flow.state.is_owned() {
            self.table.clear_deadline(handle);
            return;
        }
        let end = end(flow, self.timers.udp_idle);
        let next = end.map_or(flow.refresh_at, |end| end.min(flow.refresh_at));
        self.table.set_deadline(handle, next.as_nanos());
    }

    fn forget_cookie(&mut self, handle: Handle) {
        let cookie = self
            .table
            .get_mut(handle)
            .and_then(|flow| flow.cookie.take());
        if let Some(entry) = cookie.and_then(|cookie| self.by_cookie.find(&cookie)) {
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

fn end(flow: &Flow, udp_idle: Duration) -> Option<Time> {
    match flow.protocol {
        Protocol::Tcp => flow.ends_at,
        Protocol::Udp => Some(flow.last_packet + udp_idle),
    }
}

#[cfg(test)]
mod tests;
