//! All records: the table, the quota of untrusted ones (R3), and how long each lives.

use crate::buckets::Buckets;
use crate::config::{Limits, Timers};
use crate::record::{Ask, Event, Next, Offered, Order, Owned, Record, State};
use alloc::vec::Vec;
use core::time::Duration;
use jlb_flow_table::{FlowTable, Handle};
use jlb_protocol::message::Intent;
use jlb_protocol::planted::{self, Bug};
use jlb_protocol::{Birth, DropReason, FlowKey, NodeNumber, OfferNumber, Time};

mod digest;
mod walk;

pub(crate) use walk::Ranked;
use walk::Walk;

/// Deadlines of records are rounded up to this.
const TICK: Duration = Duration::from_millis(10);

/// The records of a tracker.
#[derive(Clone, Debug)]
pub(crate) struct Records {
    table: FlowTable<FlowKey, Record>,
    untrusted: u32,
    max_untrusted: u32,
    offered: Duration,
    lease: Duration,
    /// What is recorded of each host, for its digests (R9).
    pub(crate) buckets: Buckets,
    /// Which flows count in the buckets.
    ranked: Ranked,
    /// The rankings before, as far as records are not known yet to have been outside their top two.
    passed: Vec<Ranked>,
    /// The walk over all records that is under way.
    walk: Option<Walk>,
}

/// What became of a record whose time was over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Expiry {
    /// It has ended.
    Over(FlowKey),
    /// Its host has confirmed it by a digest since.
    Confirmed,
}

impl Records {
    pub(crate) fn new(limits: &Limits, timers: &Timers, ranked: Ranked, seed: u64) -> Self {
        Self {
            buckets: Buckets::default(),
            ranked,
            passed: Vec::new(),
            walk: None,
            table: FlowTable::new(limits.max_flows, TICK, seed),
            untrusted: 0,
            max_untrusted: limits.max_untrusted,
            offered: timers.offered,
            lease: timers.lease,
        }
    }

    /// Takes over what can change while running: the table keeps its size.
    pub(crate) fn reconfigure(&mut self, limits: &Limits, timers: &Timers) {
        self.max_untrusted = limits.max_untrusted;
        self.offered = timers.offered;
        if self.lease != timers.lease {
            self.buckets.forget_lists();
            self.lease = timers.lease;
        }
    }

    pub(crate) fn find(&self, key: &FlowKey) -> Option<(Handle, Record)> {
        let handle = self.table.find(key)?;
        Some((handle, *self.table.get(handle)?))
    }

    /// Puts a flow's record, new or in place of the one it has, and begins its time anew.
    ///
    /// # Errors
    /// [`DropReason::OfferedQuota`] or [`DropReason::TableFull`] if there is no room for it;
    /// nothing has changed. An established flow is never evicted to make room (R3).
    pub(crate) fn put(
        &mut self,
        now: Time,
        key: FlowKey,
        place: Option<Handle>,
        record: Record,
    ) -> Result<(), DropReason> {
        let place = place.and_then(|handle| Some((handle, *self.table.get(handle)?)));
        let before = place.map(|(_, before)| before);
        let was_untrusted = before.is_some_and(|before| !before.state.is_trusted());
        let is_untrusted = !record.state.is_trusted();
        // The quota is for flows that are new to this table. A trusted one has its room already: if
        // its host's Accept of the next life were turned away for that, this record would end with
        // the old life's lease, and a second host could be asked for a flow that one has (S1).
        let quota_is_used_up = self.untrusted >= self.max_untrusted;
        let is_limited = is_untrusted && before.is_none();
        if is_limited && quota_is_used_up && !planted::is(Bug::UntrustedWithoutQuota) {
            return Err(DropReason::OfferedQuota);
        }
        let mut record = record;
        record.set_hint(self.is_told_elsewhere(&key, &record));
        let handle = match place {
            Some((handle, _)) => {
                if let Some(value) = self.table.get_mut(handle) {
                    *value = record;
                }
                handle
            }
            None => {
                if planted::is(Bug::EvictsEstablished) {
                    self.evict_established();
                }
                self.table
                    .insert(key, record)
                    .map_err(|_| DropReason::TableFull)?
            }
        };
        self.recount(handle, &key, before.and_then(owner), owner(record));
        self.untrusted += u32::from(is_untrusted);
        self.untrusted -= u32::from(was_untrusted);
        let life = match record.state {
            State::Offered(_) | State::Rejected { .. } | State::Refused { .. } => self.offered,
            State::Owned(_) => self.lease,
        };
        self.table.set_deadline(handle, (now + life).as_nanos());
        Ok(())
    }

    /// Whether the flow has an owner, as far as is known.
    pub(crate) fn is_owned(&self, key: &FlowKey) -> bool {
        let found = self.find(key);
        found.is_some_and(|(_, record)| matches!(record.state, State::Owned(_)))
    }

    /// Notes that the host is asked with this number. It must be done before the Offer is sent, so
    /// that the answer finds its record (R2).
    ///
    /// # Errors
    /// As [`Self::put`].
    pub(crate) fn ask(
        &mut self,
        now: Time,
        key: FlowKey,
        host: NodeNumber,
        offer: OfferNumber,
        intent: Intent,
    ) -> Result<(), DropReason> {
        let found = self.find(&key);
        self.ask_by(now, key, found, host, offer, intent)
    }

    /// The same, where what [`Self::find`] gives is known.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub(crate) fn ask_by(
        &mut self,
        now: Time,
        key: FlowKey,
        found: Option<(Handle, Record)>,
        host: NodeNumber,
        offer: OfferNumber,
        intent: Intent,
    ) -> Result<(), DropReason> {
        let OfferNumber { isn, step } = offer;
        let Some((handle, record)) = found else {
            let state = State::Offered(Offered {
                host,
                step,
                several: false,
                hint: false,
            });
            return self.put(now, key, None, Record::new(isn, state));
        };
        let ask = Ask {
            host,
            step,
            intent,
            order: Order::of(intent, isn, record.isn),
        };
        let Next::Become(state) = record.state.next(Event::Ask(ask)) else {
            return Ok(());
        };
        let next = record.turned(isn, state);
        if next == record {
            // A repeat does not prolong the life of an unanswered Offer.
            return Ok(());
        }
        match (record.state, state) {
            // Only its own word renews the lease of the host that has the flow (R9).
            (State::Owned(_), State::Owned(_)) => {
                if let Some(value) = self.table.get_mut(handle) {
                    *value = next;
                }
                Ok(())
            }
            (
                State::Offered(_)
                | State::Rejected { .. }
                | State::Refused { .. }
                | State::Owned(_),
                State::Offered(_)
                | State::Rejected { .. }
                | State::Refused { .. }
                | State::Owned(_),
            ) => self.put(now, key, Some(handle), next),
        }
    }

    /// Puts a record in place of the one there, which its host has let go of. Without room for
    /// another untrusted record nothing is remembered.
    pub(crate) fn put_or_remove(
        &mut self,
        now: Time,
        key: FlowKey,
        handle: Handle,
        record: Record,
    ) {
        if self.put(now, key, Some(handle), record).is_err() {
            self.remove(handle);
        }
    }

    /// Begins the lease anew: the host has confirmed the record.
    pub(crate) fn renew(&mut self, now: Time, handle: Handle) {
        let place = self.table.key(handle).zip(self.table.get(handle));
        if let Some(hint) = place.map(|(key, record)| self.is_told_elsewhere(key, record)) {
            self.set_hint(handle, hint);
        }
        self.table
            .set_deadline(handle, (now + self.lease).as_nanos());
    }

    fn set_hint(&mut self, handle: Handle, hint: bool) {
        if let Some(record) = self.table.get_mut(handle) {
            record.set_hint(hint);
        }
    }

    /// Forgets one if the table is full, for [`Bug::EvictsEstablished`] alone.
    fn evict_established(&mut self) {
        let mut place = self.table.after(None);
        while let Some(handle) = place.filter(|_| self.table.len() >= self.table.max_entries()) {
            place = self.table.after(place);
            if self
                .table
                .get(handle)
                .is_some_and(|it| it.state.is_trusted())
            {
                self.remove(handle);
            }
        }
    }

    pub(crate) fn remove(&mut self, handle: Handle) -> Option<FlowKey> {
        let (key, record) = self.table.remove(handle)?;
        self.recount(handle, &key, owner(record), None);
        self.untrusted -= u32::from(!record.state.is_trusted());
        Some(key)
    }

    /// A record whose time is over, removed if its host has not confirmed it meanwhile (R9).
    pub(crate) fn expire(&mut self, now: Time) -> Option<Expiry> {
        let handle = self.table.pop_expired(now.as_nanos())?;
        if let Some(until) = self.confirmed_until(handle)
            && until > now
        {
            self.table.set_deadline(handle, until.as_nanos());
            return Some(Expiry::Confirmed);
        }
        self.remove(handle).map(Expiry::Over)
    }

    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let walk = self.walk.map(|walk| walk.due.as_nanos());
        self.table.next_deadline().into_iter().chain(walk).min()
    }

    pub(crate) fn len(&self) -> u32 {
        self.table.len()
    }

    pub(crate) const fn untrusted(&self) -> u32 {
        self.untrusted
    }

    pub(crate) fn allocated_bytes(&self) -> usize {
        self.table.allocated_bytes() + self.buckets.allocated_bytes()
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&FlowKey, &Record)> {
        self.table.iter().map(|(_, key, record)| (key, record))
    }
}

/// The host that has the flow, and in which life.
const fn owner(record: Record) -> Option<(NodeNumber, Birth)> {
    match record.state {
        State::Owned(Owned { host, birth, .. }) => Some((host, birth)),
        State::Offered(_) | State::Rejected { .. } | State::Refused { .. } => None,
    }
}

#[cfg(test)]
mod tests;
