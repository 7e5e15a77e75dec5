//! What a worker beside the first does with client packets: those of connections under way that it has a
//! shortcut for it forwards, all others are the first worker's.
//!
//! To the rest of the cluster a forwarder is what another ingress with a slightly old cache is (R4). It decides nothing:
//! it learns of no flow but by shortcuts, which end soon, and whatever may change a flow's way ends its shortcut
//! before the first worker sees it.

use crate::ingress::Packet;
use crate::matching::Target;
use crate::shortcut::{Rules, Shortcut};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use jlb_flow_table::{FlowTable, Handle, Lines};
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::message::Intent;
use jlb_protocol::wire;
use jlb_protocol::{Birth, Buffer, FlowKey, NodeNumber, Time};

/// The grain of leases, as a power of two of nanoseconds: 67 ms. In 32 bits nine years fit; after that no
/// shortcut holds.
const TICK_SHIFT: u32 = 26;

/// Packets whose flows are looked up at the same time, as in [`crate::Ingress::process`].
const AT_ONCE: usize = 32;

/// Places for the numbers of what was handed on: a power of two. Flows that share one have their shortcuts later, at worst.
const MARKS: usize = 4_096;

/// How long shortcuts are refused since more of their flow is on its way: longer than a burst takes to be answered.
const PATIENCE: Duration = Duration::from_millis(2);

/// What was refused so long ago was of another burst.
const FORGOTTEN: Duration = Duration::from_secs(1);

/// Shortcuts looked at in one call of [`Forwarder::expire`].
const EXPIRIES_PER_CALL: usize = 256;

/// What is to be done with a packet after [`Forwarder::process`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The buffer holds a Data message: seal it and send it.
    Forward {
        /// The flow's host.
        to: NodeNumber,
        /// The flow's hash, from which the outer source port is derived.
        flow: FlowHash,
        /// The lease is half over: ask the first worker for another one, under this number.
        renew: Option<(FlowKey, u64)>,
    },
    /// The packet is as it was, and the first worker's.
    HandOn(HandOn),
}

/// A packet for the first worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HandOn {
    /// The first worker answers under this number.
    pub number: u64,
    /// Of the packet's flow, if it is of one.
    pub key: Option<FlowKey>,
    /// It begins a life of its flow, or is of no flow: where room is short, what goes on comes first.
    pub opens: bool,
    /// It may begin or end a life of its flow.
    turns: bool,
    mark: u16,
}

/// What was handed on of the flows that share a place: numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    /// The last packet.
    last: u64,
    /// The last one that may have begun or ended a life.
    turned: u64,
    /// Since when answers are refused for the sake of later packets.
    refusing: Option<Time>,
}

/// A shortcut in the table: with its key and the table's links less than a cache line.
#[derive(Clone, Copy, Debug)]
struct Lent {
    birth: Birth,
    flow: u32,
    /// Ticks.
    until: u32,
    generation: u32,
    host: NodeNumber,
    /// Another lease was asked for.
    asked: bool,
}

/// Where a packet's flow is.
#[derive(Clone, Copy)]
struct Aim {
    key: Option<FlowKey>,
    hash: u64,
    entry: Option<Handle>,
}

/// Counters (they only grow) and gauges of a forwarder.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ForwarderStats {
    /// Packets forwarded.
    pub forwarded: u64,
    /// Packets that were the first worker's.
    pub handed_on: u64,
    /// Leases asked for before the last one was over.
    pub renewals: u64,
    /// Shortcuts for which there was no room.
    pub no_room: u64,
    /// Gauge: shortcuts in the table.
    pub shortcuts: u64,
}

/// A worker's shortcuts, and nothing else of the flows.
pub struct Forwarder {
    rules: Arc<Rules>,
    /// Shortcuts of others are over.
    generation: u32,
    table: FlowTable<FlowKey, Lent, Lines>,
    /// By a part of the hash.
    marks: Box<[Mark]>,
    number: u64,
    aims: Vec<Aim>,
    stats: ForwarderStats,
}

impl Forwarder {
    /// A forwarder without shortcuts, which never has more than `max_shortcuts`. For `seed` see
    /// [`crate::Ingress::new`].
    #[must_use]
    pub fn new(rules: Arc<Rules>, generation: u32, max_shortcuts: u32, seed: u64) -> Self {
        Self {
            rules,
            generation,
            table: FlowTable::in_lines(max_shortcuts, Duration::from_nanos(1 << TICK_SHIFT), seed),
            marks: vec![Mark::default(); MARKS].into(),
            number: 0,
            aims: Vec::with_capacity(AT_ONCE),
            stats: ForwarderStats::default(),
        }
    }

    /// The generation whose shortcuts hold.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// Ends all shortcuts, and reads packets by these rules from now on.
    pub fn begin(&mut self, generation: u32, rules: Arc<Rules>) {
        self.generation = generation;
        self.rules = rules;
    }

    /// Takes a shortcut that the first worker made in `generation`, as its answer to what it was handed under
    /// `number`; answers come in the order of their numbers.
    ///
    /// It never counts if something that may change the flow's way was handed on since. Nor does it for a while if
    /// more of the flow was, which is to come first; but a flow that never pauses can't wait for that.
    pub fn install(&mut self, now: Time, number: u64, generation: u32, shortcut: &Shortcut) {
        let present = tick_of(now);
        if tick_of(shortcut.until) <= present {
            return;
        }
        let hash = self.table.hash_of(&shortcut.key);
        let known = self.table.find_hashed(hash, &shortcut.key);
        // One that holds was made after all that might have changed the flow's way: that would have ended it.
        let holds = known
            .and_then(|handle| self.table.get(handle))
            .is_some_and(|lent| {
                let generations = [lent.generation, generation];
                generations == [self.generation; 2] && lent.until > present
            });
        if !holds && !self.marks[mark_of(hash)].admits(now, number) {
            return;
        }
        let lent = Lent {
            birth: shortcut.birth,
            flow: shortcut.flow,
            until: tick_of(shortcut.until),
            generation,
            host: shortcut.host,
            asked: false,
        };
        if let Some(handle) = known {
            // The wheel is touched when it fires.
            if let Some(known) = self.table.get_mut(handle) {
                *known = lent;
            }
            return;
        }
        match self.table.insert(shortcut.key, lent) {
            Ok(handle) => self.table.set_deadline(handle, end_of(lent.until)),
            Err(_) => self.stats.no_room += 1,
        }
    }

    /// Processes client packets in place and appends what is to be done with each. `reaches` says whether messages
    /// to a node can be sealed. Costs no allocation once `steps` has room.
    pub fn process<B: Buffer>(
        &mut self,
        now: Time,
        reaches: impl Fn(NodeNumber) -> bool,
        batch: &mut [Packet<B>],
        steps: &mut Vec<Step>,
    ) {
        let mut aims = core::mem::take(&mut self.aims);
        for part in batch.chunks_mut(AT_ONCE) {
            self.aim(part, &mut aims);
            for (packet, aim) in part.iter_mut().zip(&aims) {
                let forwarded = self.forward(now, &reaches, &mut packet.buf, aim);
                steps.push(match forwarded {
                    Some(step) => step,
                    None => self.hand_on(packet.buf.as_slice(), aim),
                });
            }
        }
        self.aims = aims;
    }

    /// Reads the packets and finds their flows, step by step for all, so that misses of the caches overlap.
    fn aim<B: Buffer>(&self, part: &[Packet<B>], aims: &mut Vec<Aim>) {
        aims.clear();
        aims.extend(part.iter().map(|packet| {
            let key = self.rules.matching.read_under_way(packet.buf.as_slice());
            Aim {
                hash: key.as_ref().map_or(0, |key| self.table.hash_of(key)),
                key,
                entry: None,
            }
        }));
        for aim in &mut *aims {
            aim.entry = self.table.guess(aim.hash).filter(|_| aim.key.is_some());
        }
        for aim in aims {
            if let Some(key) = &aim.key {
                aim.entry = self.table.find_at(aim.entry, aim.hash, key);
            }
        }
    }

    /// Forwards a packet if its flow has a shortcut that holds. No entry is added by that.
    #[inline]
    fn forward(
        &mut self,
        now: Time,
        reaches: &impl Fn(NodeNumber) -> bool,
        buf: &mut impl Buffer,
        aim: &Aim,
    ) -> Option<Step> {
        let (key, handle) = aim.key.as_ref().zip(aim.entry)?;
        let lent = self.table.get_mut(handle)?;
        let present = tick_of(now);
        if lent.generation != self.generation
            || lent.until <= present
            || buf.as_slice().len() > usize::from(self.rules.max_inner)
            || !reaches(lent.host)
        {
            return None;
        }
        wire::encapsulate_data(buf, key.service(), Some(lent.birth)).ok()?;
        let half = tick_of(now + self.rules.lease / 2);
        let mut renew = None;
        if half >= lent.until && !lent.asked {
            lent.asked = true;
            self.number += 1;
            self.stats.renewals += 1;
            renew = Some((*key, self.number));
        }
        let (to, flow) = (lent.host, FlowHash(u64::from(lent.flow)));
        self.stats.forwarded += 1;
        Some(Step::Forward { to, flow, renew })
    }

    /// The packet is on its way to the first worker: answers to what came before it may be too old now. To be called
    /// before the next [`Self::install`], and not for what there was no room for.
    pub fn handed_on(&mut self, packet: &HandOn) {
        if packet.key.is_none() {
            return;
        }
        if let Some(mark) = self.marks.get_mut(usize::from(packet.mark)) {
            mark.last = packet.number;
            if packet.turns {
                mark.turned = packet.number;
            }
        }
    }

    /// There was no room to ask for the flow's next lease: its next packet asks again.
    pub fn not_asked(&mut self, key: &FlowKey) {
        let handle = self.table.find_hashed(self.table.hash_of(key), key);
        if let Some(lent) = handle.and_then(|handle| self.table.get_mut(handle)) {
            lent.asked = false;
            self.stats.renewals = self.stats.renewals.saturating_sub(1);
        }
    }

    /// A packet is the first worker's. If it may begin or end a life of its flow, the shortcut ends before.
    fn hand_on(&mut self, bytes: &[u8], aim: &Aim) -> Step {
        self.number += 1;
        self.stats.handed_on += 1;
        let mut key = aim.key;
        let mut hash = aim.hash;
        let (mut opens, mut turns) = (false, false);
        if key.is_none()
            && let Ok(Target::Flow {
                key: read,
                question,
                hint,
            }) = self.rules.matching.classify(bytes)
        {
            hash = self.table.hash_of(&read);
            key = Some(read);
            opens = question.intent == Intent::Syn;
            turns = opens || hint.is_end();
            if turns && let Some(handle) = self.table.find_hashed(hash, &read) {
                self.table.remove(handle);
            }
        }
        Step::HandOn(HandOn {
            number: self.number,
            key,
            opens: opens || key.is_none(),
            turns,
            mark: mark_of(hash) as u16,
        })
    }

    /// Counts packets that went the way of one that was forwarded: see [`crate::Ingress::count_forwarded`].
    pub const fn count_forwarded(&mut self, packets: u64) {
        self.stats.forwarded += packets;
    }

    /// Forgets shortcuts that are over, some at a time.
    pub fn expire(&mut self, now: Time) {
        for _ in 0..EXPIRIES_PER_CALL {
            let Some(handle) = self.table.pop_expired(now.as_nanos()) else {
                return;
            };
            match self.table.get(handle) {
                Some(lent) if lent.until > tick_of(now) => {
                    let end = end_of(lent.until);
                    self.table.set_deadline(handle, end);
                }
                _ => drop(self.table.remove(handle)),
            }
        }
    }

    /// Counters and gauges as of now.
    #[must_use]
    pub fn stats(&self) -> ForwarderStats {
        ForwarderStats {
            shortcuts: u64::from(self.table.len()),
            ..self.stats
        }
    }
}

impl Mark {
    /// Whether the answer to what has this number counts.
    fn admits(&mut self, now: Time, number: u64) -> bool {
        if self.turned > number {
            return false;
        }
        if self.last > number {
            let since = self.refusing.filter(|&since| now.since(since) < FORGOTTEN);
            let since = *self.refusing.insert(since.unwrap_or(now));
            if now.since(since) < PATIENCE {
                return false;
            }
        }
        self.refusing = None;
        true
    }
}

const fn mark_of(hash: u64) -> usize {
    hash as usize % MARKS
}

/// The tick in which `time` lies.
fn tick_of(time: Time) -> u32 {
    u32::try_from(time.as_nanos() >> TICK_SHIFT).unwrap_or(u32::MAX)
}

/// When a tick begins.
const fn end_of(tick: u32) -> u64 {
    (tick as u64) << TICK_SHIFT
}

#[cfg(test)]
mod tests;
