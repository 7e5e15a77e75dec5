//! The surge queue (R6): flows that no host took wait here until one reports room, first come, first
//! served. Bounded by their number, the bytes of their packets and their age; what finds no room, or
//! waits too long, is refused.
//!
//! The record of such a flow says that it is refused, with the reason that it waits: repeats are
//! answered with Wait, and another attempt takes its place.

use crate::primary::{Done, Ended, Question};
use crate::record::Record;
use crate::tracker::FlowTracker;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;
use jlb_flow_table::FlowTable;
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::message::{Hunt, Intent, Reason, Tried};
use jlb_protocol::planted::{self, Bug};
use jlb_protocol::{DropReason, FlowKey, NodeNumber, OfferNumber, PacketBuf, ServiceNumber, Time};

mod digest;

/// Deadlines are rounded up to this.
const TICK: Duration = Duration::from_millis(1);

/// The time that a tracker has for its part of a host's room before the next one may take what is left: longer
/// than a host takes to report that it has fewer.
const TURN: Duration = Duration::from_millis(20);

/// How long it is remembered that a wait is over.
const OVER: Duration = Duration::from_secs(1);

/// Turns that are waited for at most.
const MAX_TURNS: u32 = 5;

/// Flows that one report of room releases at most; the next report goes on.
const RELEASES_PER_CALL: usize = 256;

/// A flow that waits, or was released and may come back to its place.
#[derive(Clone, Debug)]
struct Waiting {
    isn: u32,
    intent: Intent,
    /// Offers that may still be made.
    steps: u8,
    ingress: NodeNumber,
    /// A tracker that comes before this one, and that does not act (R11).
    without: Option<NodeNumber>,
    tried: Tried,
    /// When it is refused.
    ends: Time,
    /// Its place in the line.
    place: u64,
    /// What the host gets; `None` while a host is asked.
    packet: Option<PacketBuf>,
}

/// The line of one service, by place; what has left it otherwise is in it until its turn comes.
#[derive(Clone, Debug)]
struct Line {
    service: ServiceNumber,
    flows: VecDeque<(u64, FlowKey)>,
}

/// All flows that wait.
#[derive(Clone, Debug)]
pub(crate) struct Surge {
    table: FlowTable<FlowKey, Waiting>,
    lines: Vec<Line>,
    waiting: u32,
    bytes: usize,
    max_bytes: usize,
    last_place: u64,
    /// When what other trackers have left of hosts' room may be taken.
    turn_at: Option<Time>,
}

impl Surge {
    pub(crate) fn new(max: u32, max_bytes: usize, seed: u64) -> Self {
        Self {
            table: FlowTable::new(max, TICK, seed),
            lines: Vec::new(),
            waiting: 0,
            bytes: 0,
            max_bytes,
            last_place: 0,
            turn_at: None,
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let turn = self.turn_at.map(Time::as_nanos);
        self.table.next_deadline().into_iter().chain(turn).min()
    }

    fn get(&self, key: &FlowKey) -> Option<&Waiting> {
        self.table.get(self.table.find(key)?)
    }

    fn get_mut(&mut self, key: &FlowKey) -> Option<&mut Waiting> {
        self.table.get_mut(self.table.find(key)?)
    }

    /// The flow has a host now: nothing is left of its place.
    pub(crate) fn forget(&mut self, key: &FlowKey) {
        if self.table.is_empty() {
            return;
        }
        if let Some(handle) = self.table.find(key)
            && let Some(waiting) = self.table.get(handle)
            && waiting.packet.is_none()
        {
            self.table.remove(handle);
        }
    }

    /// Flows that wait.
    pub(crate) const fn waiting(&self) -> u32 {
        self.waiting
    }

    pub(crate) fn allocated_bytes(&self) -> usize {
        let places = self.lines.iter().map(|line| line.flows.capacity());
        self.table.allocated_bytes() + places.sum::<usize>() * size_of::<(u64, FlowKey)>()
    }

    /// Whether this attempt waits.
    pub(crate) fn has(&self, key: &FlowKey, isn: u32) -> bool {
        let found = self.get(key);
        found.is_some_and(|it| it.isn == isn && it.packet.is_some())
    }

    /// Whether this attempt has waited for as long as it may.
    pub(crate) fn is_over(&self, now: Time, key: &FlowKey, isn: u32) -> bool {
        let found = self.get(key);
        found.is_some_and(|it| it.isn == isn && it.ends <= now)
    }

    /// Whether any flow of the service waits.
    pub(crate) fn has_line(&mut self, service: ServiceNumber) -> bool {
        self.first(service).is_some()
    }

    /// Puts a flow that waits into its service's line, by its place; false if there is no room.
    fn put(&mut self, key: FlowKey, waiting: Waiting) -> bool {
        let size = waiting.size();
        if self.bytes.saturating_add(size) > self.max_bytes {
            return false;
        }
        let (place, ends) = (waiting.place, waiting.ends);
        let Ok(handle) = self.table.insert(key, waiting) else {
            return false;
        };
        self.table.set_deadline(handle, ends.as_nanos());
        self.bytes += size;
        self.waiting += 1;
        let service = key.service();
        let found = self.lines.binary_search_by_key(&service, |it| it.service);
        let at = found.unwrap_or_else(|at| {
            let flows = VecDeque::new();
            self.lines.insert(at, Line { service, flows });
            at
        });
        let most = 2 * usize::try_from(self.table.max_entries()).unwrap_or(usize::MAX / 2);
        let table = &self.table;
        if let Some(line) = self.lines.get_mut(at) {
            if line.flows.len() >= most {
                line.flows.retain(|place| waits_at(table, place));
            }
            let after = line.flows.partition_point(|&(other, _)| other < place);
            line.flows.insert(after, (place, key));
        }
        true
    }

    /// The flow of a service whose turn it is.
    fn first(&mut self, service: ServiceNumber) -> Option<FlowKey> {
        let at = self.lines.binary_search_by_key(&service, |it| it.service);
        let line = self.lines.get_mut(at.ok()?)?;
        loop {
            let front = line.flows.front()?;
            if waits_at(&self.table, front) {
                return Some(front.1);
            }
            line.flows.pop_front();
        }
    }

    /// Takes the packet of a flow that waits; its place is kept until its time is over.
    fn take_packet(&mut self, key: &FlowKey) -> Option<PacketBuf> {
        let waiting = self.get_mut(key)?;
        let size = waiting.size();
        let packet = waiting.packet.take()?;
        self.bytes = self.bytes.saturating_sub(size);
        self.waiting = self.waiting.saturating_sub(1);
        Some(packet)
    }

    fn remove(&mut self, key: &FlowKey) -> Option<Waiting> {
        let packet = self.take_packet(key);
        let (_, waiting) = self.table.remove(self.table.find(key)?)?;
        Some(Waiting { packet, ..waiting })
    }
}

/// Whether the flow still waits at this place.
fn waits_at(table: &FlowTable<FlowKey, Waiting>, (place, key): &(u64, FlowKey)) -> bool {
    let found = table.find(key).and_then(|handle| table.get(handle));
    found.is_some_and(|it| it.place == *place && it.packet.is_some())
}

impl Waiting {
    /// Bytes of its packet.
    fn size(&self) -> usize {
        let packet = self.packet.as_ref();
        packet.map_or(0, |packet| packet.as_slice().len())
    }

    /// What it asks, where Offers go through `partner`. A new search begins, in which a host that rejected before
    /// may be asked again (R6): that it is in the list tells the secondary that it is meant.
    fn question<'a>(
        &self,
        key: FlowKey,
        flow: FlowHash,
        partner: Option<NodeNumber>,
        packet: &'a PacketBuf,
    ) -> Question<'a> {
        Question {
            key,
            flow,
            isn: self.isn,
            steps: self.steps,
            intent: self.intent,
            ingress: self.ingress,
            partner,
            tried: self.tried,
            hunt: Hunt::NONE,
            first: None,
            without: self.without,
            packet: packet.as_slice(),
        }
    }

    /// Whether the record is still that of this wait.
    fn is_of(&self, record: Option<&Record>) -> bool {
        record.is_some_and(|record| record.isn == self.isn && record.state.is_queued())
    }
}

impl FlowTracker {
    /// No host takes the flow now: it waits for one, for `longest` from the first time on.
    pub(crate) fn wait_for_room(
        &mut self,
        now: Time,
        q: &Question<'_>,
        longest: Duration,
    ) -> Ended {
        let former = self.surge.remove(&q.key);
        let again = former.as_ref().filter(|former| former.isn == q.isn);
        let (place, ends) = again.map_or_else(
            || {
                self.surge.last_place += 1;
                (self.surge.last_place, now + longest)
            },
            |former| (former.place, former.ends),
        );
        if let Some(packet) = former.and_then(|former| former.packet) {
            self.let_go(packet, Err(DropReason::Superseded));
        }
        self.out.stats.queue_expired += u64::from(ends <= now);
        if q.steps == 0 || ends <= now {
            return self.refuse(now, q, Reason::Exhausted);
        }
        let mut packet = self.out.outbox.buffer();
        packet.fill(q.packet);
        let waiting = Waiting {
            isn: q.isn,
            intent: q.intent,
            steps: q.steps,
            ingress: q.ingress,
            without: q.without,
            tried: q.tried,
            ends,
            place,
            packet: Some(packet),
        };
        if !self.surge.put(q.key, waiting) {
            self.out.stats.queue_full += 1;
            return self.refuse(now, q, Reason::Exhausted);
        }
        if let Err(full) = self.note_refused(now, q, Reason::Queued) {
            self.surge.remove(&q.key);
            return self.turn_away(now, q, full);
        }
        self.out.stats.queued += 1;
        self.send_wait(q);
        Ok(Done::Held)
    }

    /// An attempt that waits was asked for again.
    pub(crate) fn still_waits(&mut self, now: Time, q: Question<'_>) -> Ended {
        if !self.surge.has(&q.key, q.isn) {
            // It was given up here, since another tracker led it for a while.
            return self.begin(now, q);
        }
        if let Some(waiting) = self.surge.get_mut(&q.key) {
            waiting.ingress = q.ingress;
            waiting.without = q.without;
        }
        self.out.stats.opens_repeated += 1;
        self.send_wait(&q);
        Ok(Done::Consumed)
    }

    /// A host has reported its room: this tracker takes its part, and later what others leave.
    pub(crate) fn share_room(&mut self, now: Time, host: NodeNumber, service: ServiceNumber) {
        let waits = self.surge.waiting() > 0;
        let pool = self.pools.get_mut(service);
        let Some(pool) = pool.filter(|pool| waits || pool.queues()) else {
            return;
        };
        let distance = pool.share(host, self.nodes.place());
        if distance > 0 && waits {
            let at = now + TURN * distance.min(MAX_TURNS);
            let before = self.surge.turn_at.unwrap_or(at);
            self.surge.turn_at = Some(before.min(at));
        }
    }

    /// Takes what other trackers have left of hosts' room, when it is time.
    pub(crate) fn take_turn(&mut self, now: Time) {
        if self.surge.turn_at.is_none_or(|at| now < at) {
            return;
        }
        self.surge.turn_at = None;
        let services: Vec<_> = self.surge.lines.iter().map(|line| line.service).collect();
        for service in services {
            if let Some(pool) = self.pools.get_mut(service) {
                pool.take_shares();
            }
            self.serve_waiting(now, service);
        }
    }

    /// Whether this tracker still answers for a flow that waits here.
    fn leads(&self, waiting: &Waiting, flow: FlowHash) -> bool {
        let cut_off = self.nodes.has_other_trackers() && self.nodes.hears_no_host();
        let ranks = self.nodes.ranks_without(flow, waiting.without);
        // The last tracker leads even while it drains.
        let primary = ranks.primary.unwrap_or(self.nodes.me);
        self.nodes.acts() && !cut_off && primary == self.nodes.me
    }

    /// Ends a wait here without a word: another attempt has taken its place, or another tracker leads now, whom
    /// the ingress asks.
    fn give_up_waiting(&mut self, key: &FlowKey, packet: PacketBuf) {
        let waiting = self.surge.remove(key);
        let found = self.records.find(key);
        if let (Some(waiting), Some((handle, record))) = (waiting, found)
            && waiting.is_of(Some(&record))
        {
            self.records.remove(handle);
        }
        self.let_go(packet, Err(DropReason::Superseded));
    }

    /// Flows of the service that wait go to hosts that have room.
    pub(crate) fn serve_waiting(&mut self, now: Time, service: ServiceNumber) {
        if self.surge.waiting() == 0 || !self.nodes.acts() {
            return;
        }
        for _ in 0..RELEASES_PER_CALL {
            let Some(key) = self.surge.first(service) else {
                return;
            };
            let flow = self.nodes.hash(&key);
            let is_active = |host| self.nodes.is_active_host(host);
            let pool = self.pools.get_mut(service);
            let host = pool.and_then(|pool| pool.for_waiting(now, is_active, flow));
            let Some(host) = host else {
                return;
            };
            self.offer_waiting(now, key, flow, host);
        }
    }

    fn offer_waiting(&mut self, now: Time, key: FlowKey, flow: FlowHash, host: NodeNumber) {
        let Some(packet) = self.surge.take_packet(&key) else {
            return;
        };
        let Some(waiting) = self.surge.get(&key) else {
            return;
        };
        let ranks = self.nodes.ranks_without(flow, waiting.without);
        let record = self.records.find(&key).map(|(_, record)| record);
        let cost = u8::from(!planted::is(Bug::WaitSpendsNoStep));
        let step = waiting.steps.checked_sub(cost);
        let is_over = !waiting.is_of(record.as_ref()) || !self.leads(waiting, flow);
        let (Some(step), false) = (step, is_over) else {
            self.give_up_waiting(&key, packet);
            return;
        };
        let q = waiting.question(key, flow, self.nodes.partner(ranks), &packet);
        // One untrusted record becomes another: there is room.
        let offer = OfferNumber { isn: q.isn, step };
        let asked = self.records.ask(now, key, host, offer, q.intent);
        if asked.is_ok() {
            // Without room a repeat names nobody, and the secondary rejects it in place: a step is lost.
            let _remembered = self.searches.remember(now, key, q.isn, q.tried);
            if let Some(pool) = self.pools.get_mut(key.service()) {
                pool.assigned(host);
            }
            self.out.stats.released += 1;
            self.send_offer(&q, host, step);
        }
        self.let_go(packet, asked.map(|()| Done::Consumed));
    }

    /// Ends the wait of one flow that has waited for too long; false if there is none. S3: only the hosts' own
    /// word refuses a client, so hosts are asked that may have room though they are believed full.
    pub(crate) fn expire_waiting(&mut self, now: Time) -> bool {
        let table = &mut self.surge.table;
        let Some(handle) = table.pop_expired(now.as_nanos()) else {
            return false;
        };
        let Some(&key) = table.key(handle) else {
            return false;
        };
        let Some(packet) = self.surge.take_packet(&key) else {
            self.surge.table.remove(handle);
            return true;
        };
        // It stays for a while, to tell that there is no wait any more.
        let over = (now + OVER).as_nanos();
        self.surge.table.set_deadline(handle, over);
        let Some(waiting) = self.surge.table.get(handle) else {
            return true;
        };
        let flow = self.nodes.hash(&key);
        let record = self.records.find(&key).map(|(_, record)| record);
        if !waiting.is_of(record.as_ref()) || !self.leads(waiting, flow) {
            // Who leads now tells the ingress how it ends.
            self.give_up_waiting(&key, packet);
            return true;
        }
        let ranks = self.nodes.ranks_without(flow, waiting.without);
        let q = waiting.question(key, flow, self.nodes.partner(ranks), &packet);
        let ended = self.ask_next(now, q);
        self.let_go(packet, ended);
        true
    }
}

#[cfg(test)]
mod tests;
