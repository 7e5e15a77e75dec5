//! What the kernel says of its sockets: complete dumps, and destroy events (R7, R8).

use crate::agent::HostAgent;
use crate::flows::NewFlow;
use crate::life::{Ending, Event, State};
use core::net::SocketAddr;
use core::time::Duration;
use jlb_flow_table::Handle;
use jlb_protocol::planted::{self, Bug};
use jlb_protocol::{FlowKey, Protocol, Time};

mod digest;

/// Between the beginnings of two dumps while some flow waits for one to prove something.
const DUMP_SOON: Duration = Duration::from_secs(1);

/// Between the beginnings of two dumps otherwise: they only find what events have missed.
const DUMP_LATER: Duration = Duration::from_secs(10);

/// The same where single flows are looked up instead of what waits for a proof.
const DUMP_LATEST: Duration = Duration::from_secs(30);

/// After a dump the next waits for this many times as long as its making took of a processor. What that costs others is
/// more, for a walk of the kernel's table leaves nothing else in the processor's caches, ...
const DUMP_REST: u32 = 499;

/// ... but no longer than this, so that the kernel's word on live flows comes in time, ...
const LONGEST_REST: Duration = Duration::from_secs(2);

/// ... unless it took longer than a tenth of that.
const LONG_DUMP_REST: u32 = 9;

/// After a dump of everything the next of that kind also waits for this many times as long, ...
const DUMP_OF_ALL_REST: u32 = 99;

/// ... but for that no longer than this, so that flows that are over go in time (S5). A kernel lists a hundred thousand entries of
/// TIME_WAIT in a quarter of a second.
const LONGEST_REST_OF_ALL: Duration = Duration::from_secs(5);

/// What the kernel holds for a TCP connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SocketState {
    /// A request that waits for the client's part of the handshake (SYN_RECV).
    HalfOpen,
    /// A full socket, also while it closes.
    Open,
    /// What is left of a connection whose socket is given up: TIME_WAIT, or FIN_WAIT2 without a
    /// full socket, which sock_diag tells by the timer that it names (3).
    TimeWait,
}

/// What a list of the kernel's TCP connections has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DumpScope {
    /// What is left of connections, too: only that proves a flow to be over.
    All,
    /// Sockets alone. Where connections are short, there are a hundred times as many entries of TIME_WAIT.
    Sockets,
}

/// A line of the kernel's list of TCP connections. An IPv4 address may be given as mapped to IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Socket {
    /// This end.
    pub local: SocketAddr,
    /// The client's end.
    pub remote: SocketAddr,
    /// The kernel's name for the socket. A half-open and an open socket of one connection have
    /// the same; a TIME_WAIT entry has the same or one of its own, by the kernel's version.
    pub cookie: u64,
    /// What it is.
    pub state: SocketState,
}

/// Dumps before the agent may say of a flow that it is not its own (R4): the kernel walks its table
/// while sockets come and go, so that one dump may step over a socket that is there.
const DUMPS_TO_LOAD: u32 = 2;

/// When dumps were made and when the next is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Dumps {
    number: u32,
    /// When the last one began; the start before the first.
    started: Time,
    /// Before this there is none of sockets alone.
    rested: Time,
    /// Before this there is none of everything.
    all_rested: Time,
    /// When destroy events were lost, or services came, if no dump of everything has begun since.
    wanted: Option<Time>,
    /// The last one showed connections for which there was no room.
    left_out: bool,
    /// The last one of everything was the first that did not list some flow, or one of sockets since did not list an
    /// open one.
    missing: bool,
    /// The one that is being handed in.
    listing: Option<Listing>,
}

/// A dump of which some is handed in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct Listing {
    number: u32,
    started: Time,
    scope: DumpScope,
    /// It is one of the first.
    loading: bool,
}

impl Dumps {
    pub(crate) const fn new(now: Time) -> Self {
        Self {
            number: 0,
            started: now,
            rested: now,
            all_rested: now,
            wanted: None,
            left_out: false,
            missing: false,
            listing: None,
        }
    }

    /// Whether there were enough to load the flows.
    pub(crate) const fn have_loaded(&self) -> bool {
        self.number >= DUMPS_TO_LOAD
    }
}

impl HostAgent {
    /// Takes a complete list of the kernel's TCP connections, whose making began at `started` and has lasted until now.
    ///
    /// The first two make the agent ready: every connection of a service that either of them shows
    /// becomes a flow. Later ones prove which flows have a socket, end those of which all is gone, and find open
    /// connections that are not known: the table was full when they came, or an event was taken for theirs.
    pub fn handle_sockets(
        &mut self,
        now: Time,
        started: Time,
        scope: DumpScope,
        sockets: &[Socket],
    ) {
        self.begin_sockets(now, started, scope);
        self.handle_part(now, sockets);
        self.end_sockets(now, now.since(started.min(now)));
    }

    /// The same in parts, between which all else may be handed in: a list of a hundred thousand takes its time.
    /// This begins it; one that was begun before and has not ended ends no flow.
    pub fn begin_sockets(&mut self, now: Time, started: Time, scope: DumpScope) {
        self.dumps.listing = Some(Listing {
            number: self.dumps.number.checked_add(1).unwrap_or(DUMPS_TO_LOAD),
            started: started.min(now),
            scope,
            loading: !self.is_ready(),
        });
        self.dumps.left_out = false;
    }

    /// A part of the list that was begun last.
    pub fn handle_part(&mut self, now: Time, sockets: &[Socket]) {
        if let Some(listing) = self.dumps.listing {
            for socket in sockets {
                self.handle_socket(now, listing, socket);
            }
        }
    }

    /// The list that was begun last is complete; its making took so long of a processor.
    pub fn end_sockets(&mut self, now: Time, cost: Duration) {
        let Some(listing) = self.dumps.listing.take() else {
            return;
        };
        let Listing {
            number,
            started,
            scope,
            loading,
        } = listing;
        self.dumps.number = number;
        self.dumps.started = started;
        let rested = now + rest_after(cost);
        self.dumps.rested = rested;
        if scope == DumpScope::All {
            let of_all = cost.saturating_mul(DUMP_OF_ALL_REST);
            self.dumps.all_rested = rested.max(now + of_all.min(LONGEST_REST_OF_ALL));
        }
        self.post.counters.dumps += 1;
        self.dumps.missing = match scope {
            DumpScope::All => {
                self.dumps.wanted.take_if(|since| *since < started);
                self.look_ups.listed();
                let (gone, missing) = self.flows.unlisted(now, number, started);
                for handle in gone {
                    self.advance(now, handle, Event::Absent);
                }
                missing
            }
            DumpScope::Sockets => self.dumps.missing || self.flows.has_unlisted(number, started),
        };
        if loading {
            self.load_at = now;
        }
    }

    /// Takes a destroy event: the kernel gave the socket up. `remote` has port 0 if the
    /// connection was aborted.
    ///
    /// The socket is known by its cookie, or else by its addresses, if no dump or look-up has shown the
    /// flow's cookie yet. An event whose cookie is not the flow's is about a former life of it.
    /// One that comes so late that it hits the next life before a dump has shown that one's
    /// cookie makes a live flow look closing: it is delivered all the same until dumps prove that
    /// it is over, and the next dump puts it right.
    pub fn handle_socket_closed(
        &mut self,
        now: Time,
        local: SocketAddr,
        remote: SocketAddr,
        cookie: u64,
    ) {
        if let Some(handle) = self.flows.by_cookie(cookie) {
            self.post.counters.destroyed += 1;
            if planted::is(Bug::EventEndsFlowAtOnce) {
                self.end(now, handle, Ending::Closed);
            }
            self.advance(now, handle, Event::Destroyed);
            return;
        }
        let by_address = self
            .flow_of(local, remote)
            .and_then(|key| self.flows.find(&key));
        match by_address {
            Some(handle) if self.cookie_unknown(handle) => {
                self.post.counters.destroyed += 1;
                self.advance(now, handle, Event::DestroyedByAddress);
            }
            Some(_) | None => self.post.counters.destroyed_unknown += 1,
        }
    }

    /// Destroy events were lost: a dump has to find what they said.
    pub fn handle_events_lost(&mut self, now: Time) {
        self.post.counters.destroyed_lost += 1;
        self.dumps.wanted = Some(now);
    }

    /// There may be connections of services that were not this host's before.
    pub(crate) const fn want_dump(&mut self, now: Time) {
        self.dumps.wanted = Some(now);
    }

    /// When the next dump should begin: at once before the first two, soon while flows wait for
    /// proof of their socket or of its end, else later. It stays in the past until a complete dump
    /// is handed in: the caller waits a while itself after one that failed.
    #[must_use]
    pub fn poll_dump(&self) -> Option<Time> {
        let Dumps {
            started,
            rested,
            all_rested,
            wanted,
            left_out,
            missing,
            ..
        } = self.dumps;
        if !self.is_ready() {
            return Some(started);
        }
        let look_ups = self.look_ups.do_work();
        let waits = missing
            || self.flows.unproven() > 0
            || self.flows.in_doubt() > 0
            || self.flows.in_state(State::Accepted) > 0;
        let closes = missing
            || self.flows.in_state(State::Closing) > 0
            || self.flows.in_state(State::Released) > 0;
        let to_show = waits && !look_ups;
        let to_end = wanted.is_some() || (closes && !look_ups);
        let soon = started + DUMP_SOON;
        let show = to_show.then(|| soon.max(rested.min(all_rested)));
        let end = to_end.then(|| soon.max(all_rested));
        let later = if look_ups && !left_out {
            DUMP_LATEST
        } else {
            DUMP_LATER
        };
        let later = (started + later).max(all_rested);
        Some([show, end].into_iter().flatten().fold(later, Time::min))
    }

    /// What a dump that begins now is to list: everything, unless the last of that kind took so long that it has to
    /// rest.
    #[must_use]
    pub fn dump_scope(&self, now: Time) -> DumpScope {
        if self.is_ready() && now < self.dumps.all_rested {
            DumpScope::Sockets
        } else {
            DumpScope::All
        }
    }

    /// Whether a dump should begin now.
    #[must_use]
    pub fn wants_dump(&self, now: Time) -> bool {
        self.poll_dump().is_some_and(|due| due <= now)
    }

    fn handle_socket(&mut self, now: Time, listing: Listing, socket: &Socket) {
        let Listing {
            number,
            started,
            loading,
            ..
        } = listing;
        let Some(key) = self.flow_of(socket.local, socket.remote) else {
            return;
        };
        let Some(handle) = self.flows.find(&key) else {
            // What is half-open or over needs no adoption: it was given up on purpose.
            if loading || socket.state == SocketState::Open {
                self.adopt(now, listing, key, socket);
            }
            return;
        };
        if !self.flows.listed(handle, number, started) {
            return;
        }
        self.seen(now, handle, started, socket);
    }

    /// The kernel shows what it has of a flow, since that time.
    pub(crate) fn seen(&mut self, now: Time, handle: Handle, started: Time, socket: &Socket) {
        let flow = self.flows.get(handle);
        let other = flow.is_some_and(|flow| flow.is_other_socket(socket.cookie));
        let event = match socket.state {
            SocketState::HalfOpen if other => Event::OtherHalfOpen,
            SocketState::HalfOpen => Event::SeenHalfOpen,
            SocketState::Open if other => Event::OtherOpen,
            SocketState::Open => Event::SeenOpen,
            SocketState::TimeWait if self.flows.has_lingered(handle, started) => Event::LingerOver,
            SocketState::TimeWait => Event::SeenTimeWait,
        };
        self.advance(now, handle, event);
        self.learn_cookie(now, handle, socket);
    }

    fn adopt(&mut self, now: Time, listing: Listing, key: FlowKey, socket: &Socket) {
        let state = match socket.state {
            SocketState::HalfOpen => State::Accepted,
            SocketState::Open => State::Established,
            SocketState::TimeWait => State::Closing,
        };
        let new = NewFlow {
            key,
            birth: self.next_birth(),
            isn: None,
            protocol: Protocol::Tcp,
            state,
            since: listing.started,
            ingress: None,
        };
        let Ok(handle) = self.flows.insert(now, new) else {
            self.post.counters.sockets_without_room += 1;
            self.dumps.left_out = true;
            return;
        };
        if listing.loading {
            self.post.counters.loaded += 1;
        } else {
            self.post.counters.adopted += 1;
        }
        self.flows.listed(handle, listing.number, listing.started);
        self.learn_cookie(now, handle, socket);
        // A long first list is told by the walk that begins when it is complete.
        if !listing.loading {
            self.own(now, handle);
        }
    }

    fn learn_cookie(&mut self, now: Time, handle: Handle, socket: &Socket) {
        let state = self.flows.get(handle).map(|flow| flow.state);
        match (socket.state, state) {
            // That it expires is told by no event: without a cookie it is looked for again.
            (SocketState::HalfOpen, Some(State::Established)) => self.flows.forget_cookie(handle),
            (SocketState::HalfOpen | SocketState::Open, _) => {
                self.flows.learn_cookie(now, handle, socket.cookie);
            }
            (SocketState::TimeWait, _) => {}
        }
    }

    fn cookie_unknown(&self, handle: Handle) -> bool {
        let flow = self.flows.get(handle);
        flow.is_some_and(|flow| !flow.has_cookie())
    }

    /// The flow that a connection of this machine is, if it is a service's. One that the machine
    /// itself made to a VIP of its own did not come through the load balancer.
    pub(crate) fn flow_of(&self, local: SocketAddr, remote: SocketAddr) -> Option<FlowKey> {
        let (vip, client) = (local.ip().to_canonical(), remote.ip().to_canonical());
        if remote.port() == 0 || self.services.is_vip(client) {
            return None;
        }
        let service = self.services.find(vip, Protocol::Tcp, local.port())?;
        Some(FlowKey::new(client, remote.port(), service, local.port()))
    }
}

/// How long there is no other dump after one that cost so much.
fn rest_after(cost: Duration) -> Duration {
    let long = cost.saturating_mul(LONG_DUMP_REST).max(LONGEST_REST);
    cost.saturating_mul(DUMP_REST).min(long)
}

#[cfg(test)]
mod tests;
