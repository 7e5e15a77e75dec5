//! The flow cache: which host has a flow, as far as this ingress was told.
//!
//! The cache is an index and never the truth (R4): forgetting an entry costs the flow's next packet
//! one question to the trackers, and nothing else.

use crate::stats::HostFlows;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;
use jlb_flow_table::{FlowTable, Handle, Lines};
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::{Birth, FlowKey, NodeNumber, ServiceNumber, Time};

mod digest;

/// The grain of last use and of deadlines, as a power of two of nanoseconds: 134 ms.
const TICK_SHIFT: u32 = 27;

/// After this long without packets an entry is forgotten if its flow is not known to live: the
/// client has not answered yet, or has said that it is done. `cache_idle` where that is shorter.
pub(crate) const SHORT_IDLE: Duration = Duration::from_secs(4);

/// Entries looked at in one call of [`Cache::expire`], so that no call takes long.
const EXPIRIES_PER_CALL: usize = 4096;

/// What is known of the flow's client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Accepted, and nothing heard from the client since: perhaps a forged SYN (R3).
    Unproven,
    /// The client has gone on.
    Proven,
    /// The client has sent a FIN or RST.
    Ending,
}

/// What a packet about to be forwarded says of its client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hint {
    /// Nothing: it is an ICMP error, which a router sends.
    Nothing,
    /// The client goes on.
    Alive,
    /// The client is done.
    Done,
}

impl Hint {
    pub(crate) fn is_end(self) -> bool {
        self == Self::Done
    }
}

/// A flow's entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// The life of the flow that the host accepted.
    pub(crate) birth: Birth,
    /// The low half of the flow's hash, so that it is not computed for each packet: 4 bytes less an
    /// entry, and the outer source port is derived from them.
    flow: u32,
    last_used: u32,
    /// The flow's host.
    pub(crate) host: NodeNumber,
    phase: Phase,
    /// A SYN of another life was asked for since: until that is answered, packets may be of either.
    pub(crate) contested: bool,
}

impl Entry {
    /// The part of the flow's hash that tells where its messages leave from; ranks need all of it.
    pub(crate) fn flow(&self) -> FlowHash {
        FlowHash(u64::from(self.flow))
    }

    pub(crate) const fn low_hash(&self) -> u32 {
        self.flow
    }

    pub(crate) const fn phase(&self) -> Phase {
        self.phase
    }

    /// Notes that the flow has packets until then.
    pub(crate) fn use_at(&mut self, time: Time) {
        self.last_used = self.last_used.max(tick_of(time));
    }
}

/// How long entries stay without packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    proven: Duration,
    short: Duration,
}

impl Idle {
    pub(crate) fn new(cache_idle: Duration) -> Self {
        Self {
            proven: cache_idle,
            short: cache_idle.min(SHORT_IDLE),
        }
    }

    fn of(self, phase: Phase) -> Duration {
        match phase {
            Phase::Proven => self.proven,
            Phase::Unproven | Phase::Ending => self.short,
        }
    }
}

/// The flow cache.
#[derive(Clone)]
pub(crate) struct Cache {
    table: FlowTable<FlowKey, Entry, Lines>,
    idle: Idle,
    unproven: u32,
    spread: BTreeMap<(ServiceNumber, NodeNumber), HostFlows>,
}

impl Cache {
    pub(crate) fn new(max_flows: u32, idle: Idle, seed: u64) -> Self {
        Self {
            table: FlowTable::in_lines(max_flows, Duration::from_nanos(1 << TICK_SHIFT), seed),
            idle,
            unproven: 0,
            spread: BTreeMap::new(),
        }
    }

    pub(crate) fn set_idle(&mut self, idle: Idle) {
        self.idle = idle;
    }

    pub(crate) fn len(&self) -> u32 {
        self.table.len()
    }

    pub(crate) fn unproven(&self) -> u32 {
        self.unproven
    }

    pub(crate) fn allocated_bytes(&self) -> usize {
        self.table.allocated_bytes()
    }

    pub(crate) fn spread(&self) -> Vec<HostFlows> {
        self.spread.values().copied().collect()
    }

    pub(crate) fn get(&self, key: &FlowKey) -> Option<Entry> {
        self.table.get(self.table.find(key)?).copied()
    }

    pub(crate) fn entry_mut(&mut self, key: &FlowKey) -> Option<&mut Entry> {
        let handle = self.table.find(key)?;
        self.table.get_mut(handle)
    }

    /// How long an entry stays without packets at least.
    pub(crate) const fn shortest_idle(&self) -> Duration {
        self.idle.short
    }

    /// For several packets at once, see [`FlowTable::guess`].
    #[inline]
    pub(crate) fn hash_of(&self, key: &FlowKey) -> u64 {
        self.table.hash_of(key)
    }

    /// See [`FlowTable::guess`].
    #[inline]
    pub(crate) fn guess(&self, hash: u64) -> Option<Handle> {
        self.table.guess(hash)
    }

    /// See [`FlowTable::find_at`].
    #[inline]
    pub(crate) fn find_at(
        &self,
        guess: Option<Handle>,
        hash: u64,
        key: &FlowKey,
    ) -> Option<Handle> {
        self.table.find_at(guess, hash, key)
    }

    /// The entry for a packet that is forwarded now. The wheel is touched at most twice in an
    /// entry's life: it is re-armed by what was used since, when it fires.
    #[inline]
    pub(crate) fn hit(&mut self, handle: Handle, hint: Hint, now: Time) -> Option<Entry> {
        let entry = self.table.get_mut(handle)?;
        let tick = tick_of(now);
        if entry.last_used < tick {
            entry.last_used = tick;
        }
        match (entry.phase, hint) {
            (Phase::Unproven, Hint::Alive) => {
                entry.phase = Phase::Proven;
                self.unproven = self.unproven.saturating_sub(1);
            }
            (Phase::Unproven | Phase::Proven, Hint::Done) => {
                if entry.phase == Phase::Unproven {
                    self.unproven = self.unproven.saturating_sub(1);
                }
                entry.phase = Phase::Ending;
                let deadline = deadline(tick, self.idle.short);
                let entry = *entry;
                self.table.set_deadline(handle, deadline);
                return Some(entry);
            }
            (_, Hint::Nothing) | (Phase::Proven, Hint::Alive) | (Phase::Ending, _) => {}
        }
        Some(*entry)
    }

    /// Notes that a SYN asks for another life of the flow, or that the question is over.
    pub(crate) fn contest(&mut self, key: &FlowKey, contested: bool) {
        let entry = self.table.find(key);
        if let Some(entry) = entry.and_then(|handle| self.table.get_mut(handle)) {
            entry.contested = contested;
        }
    }

    /// Notes that `host` accepted the flow; false if there is no room to remember it.
    ///
    /// Entries whose client has not answered yet take at most half of the table: a flood of forged
    /// SYNs that hosts accept leaves room for flows that are known to live. No entry is evicted to
    /// make room (R3).
    pub(crate) fn install(
        &mut self,
        key: FlowKey,
        flow: FlowHash,
        host: NodeNumber,
        birth: Birth,
        mut phase: Phase,
        now: Time,
    ) -> bool {
        let last_used = tick_of(now);
        let flow = (flow.0 & u64::from(u32::MAX)) as u32;
        let handle = if let Some(handle) = self.table.find(&key) {
            let Some(entry) = self.table.get_mut(handle) else {
                return false;
            };
            let old = *entry;
            if old.host == host && old.birth == birth && phase == Phase::Unproven {
                // The same life: a repeated SYN tells nothing new about the client (R7).
                phase = old.phase;
            }
            *entry = Entry {
                birth,
                flow,
                last_used,
                host,
                phase,
                contested: false,
            };
            self.forgotten(&key, &old);
            handle
        } else {
            if phase == Phase::Unproven && self.unproven >= self.table.max_entries().div_ceil(2) {
                return false;
            }
            let entry = Entry {
                birth,
                flow,
                last_used,
                host,
                phase,
                contested: false,
            };
            let Ok(handle) = self.table.insert(key, entry) else {
                return false;
            };
            handle
        };
        if phase == Phase::Unproven {
            self.unproven += 1;
        }
        self.table
            .set_deadline(handle, deadline(last_used, self.idle.of(phase)));
        let service = key.service();
        let spread = self.spread.entry((service, host)).or_insert(HostFlows {
            service,
            host,
            flows: 0,
            accepted: 0,
        });
        spread.flows += 1;
        spread.accepted += 1;
        true
    }

    pub(crate) fn remove(&mut self, key: &FlowKey) {
        if let Some(handle) = self.table.find(key) {
            self.remove_at(handle);
        }
    }

    /// Forgets entries that were idle for too long, and returns how many. What is left over stays
    /// due: [`Self::next_deadline`] says so.
    pub(crate) fn expire(&mut self, now: Time) -> u64 {
        let mut forgotten = 0;
        for _ in 0..EXPIRIES_PER_CALL {
            let Some(handle) = self.table.pop_expired(now.as_nanos()) else {
                break;
            };
            let Some(entry) = self.table.get(handle) else {
                continue;
            };
            let due = deadline(entry.last_used, self.idle.of(entry.phase));
            if due > now.as_nanos() {
                self.table.set_deadline(handle, due);
            } else {
                self.remove_at(handle);
                forgotten += 1;
            }
        }
        forgotten
    }

    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.table.next_deadline()
    }

    /// Forgets every flow of services that `keep` does not hold. Walks the whole table: for changes
    /// of the configuration only.
    pub(crate) fn retain_services(&mut self, keep: impl Fn(ServiceNumber) -> bool) {
        self.retain(|service, _| keep(service));
    }

    /// Forgets every flow of hosts that `keep` does not hold. Walks the whole table: for hosts that
    /// are taken out of the cluster only.
    pub(crate) fn retain_hosts(&mut self, keep: impl Fn(NodeNumber) -> bool) {
        self.retain(|_, host| keep(host));
    }

    fn retain(&mut self, keep: impl Fn(ServiceNumber, NodeNumber) -> bool) {
        let gone: Vec<Handle> = self
            .table
            .iter()
            .filter(|(_, key, entry)| !keep(key.service(), entry.host))
            .map(|(handle, _, _)| handle)
            .collect();
        for handle in gone {
            self.remove_at(handle);
        }
        self.spread
            .retain(|&(service, host), _| keep(service, host));
    }

    fn remove_at(&mut self, handle: Handle) {
        if let Some((key, entry)) = self.table.remove(handle) {
            self.forgotten(&key, &entry);
        }
    }

    fn forgotten(&mut self, key: &FlowKey, entry: &Entry) {
        if entry.phase == Phase::Unproven {
            self.unproven = self.unproven.saturating_sub(1);
        }
        if let Some(spread) = self.spread.get_mut(&(key.service(), entry.host)) {
            spread.flows = spread.flows.saturating_sub(1);
        }
    }
}

/// The tick in which `now` lies. 32 bits of ticks are 18 years of a machine's running.
fn tick_of(now: Time) -> u32 {
    u32::try_from(now.as_nanos() >> TICK_SHIFT).unwrap_or(u32::MAX)
}

/// When an entry last used in `tick` was idle for `idle`, counted from the tick's end: never early.
fn deadline(tick: u32, idle: Duration) -> u64 {
    let end = (u64::from(tick) + 1) << TICK_SHIFT;
    end.saturating_add(u64::try_from(idle.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
