//! The way of client packets through the ingress.

use crate::cache::Hint;
use crate::ingress::{Ingress, Packet, Verdict};
use crate::matching::Target;
use crate::pending::Question;
use alloc::vec::Vec;
use jlb_flow_table::Handle;
use jlb_protocol::message::Intent;
use jlb_protocol::packet;
use jlb_protocol::planted::{self, Bug};
use jlb_protocol::wire;
use jlb_protocol::{Buffer, DropReason, FlowKey, Time};

/// How far behind its SYN a client's sequence number may be before anybody but the host has heard of
/// it: what fits a window that was not scaled yet (RFC 7323 section 2.2), in bytes.
const FIRST_FLIGHT: u32 = 65_536;

/// Packets whose flows are looked up at the same time: so many that memory has enough to do, so few that all that is
/// known of them stays in the first cache.
const AT_ONCE: usize = 32;

/// What a packet is, and where its flow's entry is.
#[derive(Clone, Copy)]
pub(crate) struct Aim {
    target: Result<Target, DropReason>,
    hash: u64,
    entry: Option<Handle>,
}

impl Ingress {
    /// Processes client packets in place, each to one verdict; what their verdicts were does not
    /// matter. Packets of cached flows cost no allocation.
    pub fn process<B: Buffer>(&mut self, now: Time, batch: &mut [Packet<B>]) {
        let mut aims = core::mem::take(&mut self.aims);
        for part in batch.chunks_mut(AT_ONCE) {
            self.aim(part, &mut aims);
            self.process_part(now, part, &aims);
        }
        self.aims = aims;
    }

    /// Reads the packets and finds their flows, step by step for all, so that misses of the caches overlap.
    fn aim<B: Buffer>(&self, part: &[Packet<B>], aims: &mut Vec<Aim>) {
        aims.clear();
        aims.extend(part.iter().map(|packet| {
            let target = self.matching.classify(packet.buf.as_slice());
            let hash = match &target {
                Ok(Target::Flow { key, .. }) => self.cache.hash_of(key),
                Ok(Target::Echo) | Err(_) => 0,
            };
            Aim {
                target,
                hash,
                entry: None,
            }
        }));
        for aim in &mut *aims {
            aim.entry = self.cache.guess(aim.hash);
        }
        for aim in aims {
            if let Ok(Target::Flow { key, .. }) = &aim.target {
                aim.entry = self.cache.find_at(aim.entry, aim.hash, key);
            }
        }
    }

    fn process_part<B: Buffer>(&mut self, now: Time, part: &mut [Packet<B>], aims: &[Aim]) {
        self.stats.packets += part.len() as u64;
        self.stats.ledger.received += part.len() as u64;
        for (packet, aim) in part.iter_mut().zip(aims) {
            packet.verdict = match self.process_one(now, &mut packet.buf, aim) {
                Ok(verdict) => verdict,
                Err(reason) => Verdict::Dropped(reason),
            };
            let ledger = &mut self.stats.ledger;
            match packet.verdict {
                Verdict::Forward { .. } => ledger.sent += 1,
                Verdict::Inject => ledger.delivered += 1,
                Verdict::Pending | Verdict::Held => ledger.held += 1,
                Verdict::Dropped(reason) => ledger.drop_for(reason),
            }
        }
    }

    /// Processes one packet. No entry is added or removed by that, so that the aims of others stay good.
    #[inline]
    fn process_one(
        &mut self,
        now: Time,
        buf: &mut impl Buffer,
        aim: &Aim,
    ) -> Result<Verdict, DropReason> {
        let (key, question, hint) = match &aim.target {
            Ok(Target::Flow {
                key,
                question,
                hint,
            }) => (key, *question, *hint),
            Ok(Target::Echo) => {
                packet::answer_echo(buf)?;
                self.stats.echoes += 1;
                return Ok(Verdict::Inject);
            }
            Err(reason) => return Err(*reason),
        };
        if buf.as_slice().len() > usize::from(self.config.max_inner) {
            return Err(DropReason::TooBig);
        }
        self.stats.icmp_errors += u64::from(hint == Hint::Nothing);
        if question.intent == Intent::Syn && !planted::is(Bug::SynAsData) {
            // R7: a SYN is never data. The entry of an earlier life stays until the Accept replaces
            // it: the SYN may be forged, and the old connection alive.
            self.stats.syns += 1;
        } else if let Some(entry) = aim.entry.and_then(|entry| self.cache.hit(entry, hint, now)) {
            if entry.contested && self.waits_for_new_life(key, question, buf.as_slice())? {
                return Ok(Verdict::Held);
            }
            if self.hosts.is_down(entry.host) {
                // R4: it may be alive, and the flow may have moved on since this entry was made: the
                // trackers know.
                self.stats.down_host_misses += 1;
                match self.ask(now, *key, question, None, buf.as_slice()) {
                    Ok(()) => return Ok(Verdict::Held),
                    Err(reason) if self.hosts.is_dead(entry.host) => return Err(reason),
                    // Nobody to ask, or no room to wait: as if the host were there.
                    Err(_) => {}
                }
            }
            wire::encapsulate_data(buf, key.service(), Some(entry.birth))?;
            self.stats.cache_hits += 1;
            return Ok(Verdict::Forward {
                to: entry.host,
                flow: entry.flow(),
            });
        } else {
            self.stats.cache_misses += 1;
        }
        if self.matching.is_forged_packet(buf.as_slice()) {
            return Err(DropReason::BadIpHeader);
        }
        let is_syn = question.intent == Intent::Syn;
        self.ask(now, *key, question, None, buf.as_slice())?;
        if is_syn {
            self.cache.contest(key, true);
        }
        Ok(Verdict::Held)
    }

    /// Holds a packet that follows a SYN which is still asked for. With direct return the client hears from
    /// the new life's host before this ingress does: by the old entry its ACK would reach another
    /// host (S1). `Ok(false)` if it is of the life that the entry names.
    fn waits_for_new_life(
        &mut self,
        key: &FlowKey,
        question: Question,
        packet: &[u8],
    ) -> Result<bool, DropReason> {
        let attempt = self.pending.find(key).and_then(|handle| {
            let (_, attempt) = self.pending.get(handle)?;
            (attempt.question.intent == Intent::Syn).then_some((handle, attempt.question.isn))
        });
        let Some((handle, isn)) = attempt else {
            self.cache.contest(key, false);
            return Ok(false);
        };
        if !(1..=FIRST_FLIGHT).contains(&question.isn.wrapping_sub(isn)) {
            return Ok(false);
        }
        self.pending.hold(handle, packet)?;
        Ok(true)
    }
}
