//! Draining: this host, or one service of it, gets no new flows, and the flows that it has go on until
//! they close or a deadline comes.
//!
//! After the deadline a UDP flow is forgotten. A TCP flow is the kernel's: it is given a reset in its
//! client's name, which ends the socket, and then an acknowledgment of a connection that is not there
//! any more, which the kernel answers with a reset to the client. Both need the client's place in the
//! flow. It is known from its packets; where the kernel does not heed it, since some of them were lost,
//! or none came since this agent started, the flow's next packet tells it. What ends a flow in the
//! agent's books is, as ever, what the kernel says of its socket (R8).

use crate::agent::HostAgent;
use crate::config;
use crate::flows::Point;
use crate::life::Ending;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use jlb_flow_table::{Handle, Place};
use jlb_protocol::digest::{Digest, Digester};
use jlb_protocol::packet::{Packet, Segment, TcpFlags};
use jlb_protocol::{FlowKey, Protocol, ServiceNumber, Time};

/// How long the flows of a host that drains may go on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Until {
    /// Until they close.
    Closed,
    /// Until this moment: then they are closed.
    Deadline(Time),
}

impl Until {
    const fn deadline(self) -> Option<Time> {
        match self {
            Self::Closed => None,
            Self::Deadline(time) => Some(time),
        }
    }
}

/// Flows that are looked at in one go once a deadline has passed: two packets each at most.
const STEP_FLOWS: u32 = 128;

/// Between two goes: a million flows take eight seconds, and packets have their turn meanwhile.
const STEP: Duration = Duration::from_millis(1);

/// Vacant places of the table that are looked at in one go, and how many flows that stands for.
const VACANT: u32 = 1_024;
const VACANT_COSTS: u32 = 16;

/// After a walk over all flows the next begins: some of them did not heed their reset.
const ROUND: Duration = Duration::from_secs(1);

/// What of this host drains.
#[derive(Clone, Debug)]
pub(crate) struct Draining {
    /// The view says so of this host: it is about to stop.
    by_view: bool,
    /// The operator does.
    by_order: Option<Until>,
    /// The services of which it takes no new flows, each with the moment from which on; sorted.
    services: Vec<(ServiceNumber, Time)>,
    /// How long flows of these may go on.
    timeout: Option<Duration>,
    /// The last flow that was looked at since its time is over.
    after: Option<Handle>,
    /// When the next are.
    next: Time,
}

impl Draining {
    pub(crate) fn new(now: Time, by_view: bool, file: &config::Drain) -> Self {
        let mut draining = Self {
            by_view,
            by_order: None,
            services: Vec::new(),
            timeout: None,
            after: None,
            next: now,
        };
        draining.set_file(now, file);
        draining
    }

    /// Takes what the file says; a service that drains already keeps its beginning.
    fn set_file(&mut self, now: Time, file: &config::Drain) {
        let mut services: Vec<_> = file.services.clone();
        services.sort_unstable();
        services.dedup();
        let since = |service| self.since(service).unwrap_or(now);
        let services = services.into_iter();
        let services = services.map(|service| (service, since(service)));
        self.services = services.collect();
        self.timeout = file.timeout;
    }

    fn since(&self, service: ServiceNumber) -> Option<Time> {
        let at = self.services.binary_search_by_key(&service, |it| it.0);
        at.ok().and_then(|at| self.services.get(at)).map(|it| it.1)
    }

    /// Whether the whole host drains.
    pub(crate) const fn is_total(&self) -> bool {
        self.by_view || self.by_order.is_some()
    }

    /// Whether no new flow of the service is taken.
    pub(crate) fn is_of(&self, service: ServiceNumber) -> bool {
        self.is_total() || self.since(service).is_some()
    }

    /// When the time of the service's flows is over, if ever. On the path of each packet: two comparisons
    /// while nothing drains.
    fn deadline(&self, service: ServiceNumber) -> Option<Time> {
        let ordered = self.by_order.and_then(Until::deadline);
        if self.services.is_empty() {
            return ordered;
        }
        let own = self.since(service).zip(self.timeout);
        let own = own.map(|(since, timeout)| since + timeout);
        ordered.into_iter().chain(own).min()
    }

    fn is_over(&self, now: Time, service: ServiceNumber) -> bool {
        let deadline = self.deadline(service);
        deadline.is_some_and(|deadline| deadline <= now)
    }
}

/// What becomes of a packet whose flow's time may be over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cut {
    /// It is not.
    No,
    /// It is: the flow is reset, and the packet goes nowhere.
    Reset,
    /// It is: the flow is forgotten.
    Forgotten,
}

impl HostAgent {
    /// An operator has this host drain, or takes that back with `None`. It may be said again, with another
    /// deadline.
    pub fn handle_drain(&mut self, now: Time, order: Option<Until>) {
        let before = self.draining.is_total();
        self.draining.by_order = order;
        self.draining.next = now;
        if before != self.draining.is_total() {
            self.load_at = now;
            // Where the clients of these flows are is to be known when their time is over.
            self.flows.strip_anew();
        }
    }

    /// The view has this host draining, or not.
    pub(crate) fn drain_by_view(&mut self, now: Time, by_view: bool) {
        if core::mem::replace(&mut self.draining.by_view, by_view) != by_view {
            self.load_at = now;
            self.flows.strip_anew();
        }
    }

    /// The file says what of this host drains.
    pub(crate) fn drain_by_file(&mut self, now: Time, file: &config::Drain) {
        let before = self.draining.services.clone();
        self.draining.set_file(now, file);
        self.draining.next = now;
        if before != self.draining.services {
            self.load_at = now;
            self.flows.strip_anew();
        }
    }

    /// When flows are closed next since their time is over.
    pub(crate) fn next_cut(&self) -> Option<Time> {
        let draining = &self.draining;
        if draining.by_order.is_none() && draining.services.is_empty() {
            return None;
        }
        let services = self.services.numbers();
        let left = services.filter(|&service| self.flows.connections(service) > 0);
        let due = left
            .filter_map(|service| draining.deadline(service))
            .min()?;
        Some(due.max(draining.next))
    }

    /// Closes flows whose time is over, a bounded number of them.
    pub(crate) fn cut_on(&mut self, now: Time) {
        if self.next_cut().is_none_or(|due| due > now) {
            return;
        }
        let mut looked = 0;
        while looked < STEP_FLOWS {
            match self.flows.after(self.draining.after, VACANT) {
                Place::Occupied(handle) => {
                    self.draining.after = Some(handle);
                    self.cut_if_over(now, handle);
                    looked += 1;
                }
                Place::Vacant(handle) => {
                    self.draining.after = Some(handle);
                    looked += VACANT_COSTS;
                }
                Place::End => {
                    self.draining.after = None;
                    self.draining.next = now + ROUND;
                    return;
                }
            }
        }
        self.draining.next = now + STEP;
    }

    /// Looks whether the time of the flow that a packet belongs to is over, and closes it then.
    pub(crate) fn cut_off(
        &mut self,
        now: Time,
        handle: Handle,
        key: &FlowKey,
        packet: &Packet,
    ) -> Cut {
        if !self.draining.is_over(now, key.service()) {
            return Cut::No;
        }
        let Some(flow) = self.flows.get(handle).filter(|it| it.state.is_open()) else {
            // The kernel has given its socket up, and answers what comes.
            return Cut::No;
        };
        match flow.protocol {
            Protocol::Udp => {
                self.forget(now, handle);
                Cut::Forgotten
            }
            Protocol::Tcp => match Point::before(packet) {
                Some(point) => {
                    // Of an idle connection nothing may have been seen but keepalives.
                    let trail = self.flows.trail(handle);
                    let no_more = trail.is_none_or(|trail| trail.seq == point.seq);
                    let keepalive = Point::of_keepalive(packet).filter(|_| no_more);
                    self.reset(handle, key, point, keepalive);
                    Cut::Reset
                }
                // A reset of the client's, a SYN or an ICMP error ends nothing that should go on.
                None => Cut::No,
            },
        }
    }

    fn cut_if_over(&mut self, now: Time, handle: Handle) {
        let Some(key) = self.flows.key(handle) else {
            return;
        };
        let Some(flow) = self.flows.get(handle).filter(|it| it.state.is_open()) else {
            return;
        };
        if !self.draining.is_over(now, key.service()) {
            return;
        }
        match flow.protocol {
            Protocol::Udp => self.forget(now, handle),
            Protocol::Tcp => {
                if let Some(point) = self.flows.trail(handle) {
                    self.reset(handle, &key, point, None);
                }
            }
        }
    }

    fn forget(&mut self, now: Time, handle: Handle) {
        self.post.counters.drained += 1;
        self.end(now, handle, Ending::Drained);
    }

    /// Has the kernel end a flow's socket and reset its client, if the client is at one of these places.
    fn reset(&mut self, handle: Handle, key: &FlowKey, point: Point, or: Option<Point>) {
        let Some(vip) = self.services.vip(key.service()) else {
            return;
        };
        let segment = Segment {
            from: SocketAddr::new(key.client(), key.client_port()),
            to: SocketAddr::new(vip, key.vip_port()),
            seq: point.seq,
            ack: point.ack,
            flags: TcpFlags::RST,
        };
        let unknown = Segment {
            flags: TcpFlags::ACK,
            ..segment
        };
        let mut sent = self.post.inject(&segment);
        if let Some(Point { seq, ack }) = or {
            let segment = Segment {
                seq,
                ack,
                ..segment
            };
            sent |= self.post.inject(&segment);
        }
        if sent && self.flows.cut(handle) {
            self.post.counters.drained += 1;
        }
        self.post.inject(&unknown);
    }
}

impl Digest for Draining {
    fn digest(&self, into: &mut Digester<'_>) {
        // The walk starts anew in each round, and what it does may be done twice.
        let Self {
            by_view,
            by_order,
            services,
            timeout,
            after: _,
            next: _,
        } = self;
        into.value(&(by_view, by_order.is_some(), timeout));
        let deadline = by_order.and_then(Until::deadline);
        into.deadline(deadline.map(Time::as_nanos));
        for (service, since) in services {
            into.value(service);
            into.time(*since);
        }
    }
}

#[cfg(test)]
mod tests;
