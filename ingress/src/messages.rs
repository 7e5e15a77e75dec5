//! What other nodes tell an ingress: answers to its Opens, and hosts that give packets back.

use crate::cache::{Hint, Phase};
use crate::ingress::Ingress;
use crate::matching::{Target, hint_of_bytes};
use crate::pending::{Asked, Attempt};
use jlb_flow_table::Handle;
use jlb_protocol::message::{FlowKind, FlowMessage, Intent, Reason};
use jlb_protocol::{DropReason, NodeNumber, Role, Time};

/// How a message ended that was not dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// It did its work.
    Consumed,
    /// Its packet is held.
    Held,
    /// Its packet was sent on.
    Sent,
}

/// What the packets that waited say of the client.
///
/// Only the owner accepts mid-flow (R4), and a client that has sent more than its first packet has
/// heard from the host. An ICMP error is not the client's.
fn phase_of(attempt: &Attempt) -> Phase {
    let mut heard = 0;
    for packet in attempt.packets() {
        match hint_of_bytes(packet) {
            Hint::Done => return Phase::Ending,
            Hint::Alive => heard += 1,
            Hint::Nothing => {}
        }
    }
    let first = match attempt.question.intent {
        Intent::Syn | Intent::Datagram => 1,
        Intent::MidFlow => 0,
    };
    if heard > first {
        Phase::Proven
    } else {
        Phase::Unproven
    }
}

impl Ingress {
    pub(crate) fn handle_flow(
        &mut self,
        now: Time,
        from: NodeNumber,
        message: &FlowMessage<'_>,
    ) -> Result<End, DropReason> {
        let role = self.view.member(from).map(|member| member.role);
        let is_senders = match message.kind {
            FlowKind::Accept => role == Some(Role::FlowTracker) || role == Some(Role::HostAgent),
            FlowKind::Refuse | FlowKind::Wait | FlowKind::NotActing => {
                role == Some(Role::FlowTracker)
            }
            FlowKind::Reject => role == Some(Role::HostAgent),
            FlowKind::Open
            | FlowKind::Offer
            | FlowKind::Data
            | FlowKind::WhoHas
            | FlowKind::Release => return Err(DropReason::WrongRole),
        };
        if !is_senders {
            return Err(DropReason::WrongRole);
        }
        if message.path.ingress != Some(self.config.node) {
            return Err(DropReason::WrongNode);
        }
        if self.matching.service(message.key.service()).is_none() {
            return Err(DropReason::UnknownService);
        }
        match message.kind {
            FlowKind::Accept if role == Some(Role::HostAgent) => {
                self.check_own_accept(from, message)?;
                self.handle_accept(now, message)
            }
            FlowKind::Accept => self.handle_accept(now, message),
            FlowKind::Reject => self.handle_reject(now, from, message),
            FlowKind::Refuse => {
                let handle = self.answered_by_tracker(message)?;
                self.stats.refusals += 1;
                if message.reason == Reason::Unknown && self.may_have_owner(handle, message.load) {
                    self.give_up(handle, DropReason::UnknownFlow);
                } else {
                    self.refuse(now, handle);
                }
                Ok(End::Consumed)
            }
            FlowKind::Wait => {
                let handle = self.answered_by_tracker(message)?;
                let slowly = self.config.timers.open_retry_max;
                if let Some(attempt) = self.pending.get_mut(handle) {
                    self.stats.waits += u64::from(!attempt.queued);
                    attempt.queued = true;
                    attempt.retry = slowly;
                }
                // One that is to ask anew by another view does so.
                let outdated = self.pending.get(handle).is_some_and(|(_, it)| it.outdated);
                if !outdated {
                    self.pending.arm(handle, now);
                }
                Ok(End::Consumed)
            }
            FlowKind::NotActing => {
                let handle = self.answered(message)?;
                // Of an attempt that has moved on to another rank, the answer is old news.
                match self.pending.get(handle).map(|(_, attempt)| attempt.asked) {
                    Some(Asked::Tracker { tracker, .. }) if tracker == from => {}
                    _ => return Err(DropReason::StaleAnswer),
                }
                self.stats.not_acting += 1;
                self.ask_next_rank(now, handle);
                Ok(End::Consumed)
            }
            FlowKind::Open
            | FlowKind::Offer
            | FlowKind::Data
            | FlowKind::WhoHas
            | FlowKind::Release => Err(DropReason::WrongRole),
        }
    }

    /// An Accept straight from a host answers only an Offer that this ingress itself sent to it (R13),
    /// also while a tracker has been asked since: that host has the flow.
    fn check_own_accept(
        &self,
        from: NodeNumber,
        message: &FlowMessage<'_>,
    ) -> Result<(), DropReason> {
        if message.path.host != Some(from) {
            return Err(DropReason::WrongNode);
        }
        let attempt = self.answered(message).ok();
        let attempt = attempt.and_then(|handle| self.pending.get(handle));
        match attempt {
            Some((_, attempt)) if attempt.offered() != Some(from) => Err(DropReason::WrongRole),
            Some(_) | None => Ok(()),
        }
    }

    /// The attempt that a tracker's Refuse or Wait is about, if it is to be heeded.
    fn answered_by_tracker(&self, message: &FlowMessage<'_>) -> Result<Handle, DropReason> {
        let handle = self.answered(message)?;
        match self.pending.get(handle) {
            Some((_, attempt)) if attempt.heeds_trackers() => Ok(handle),
            Some(_) | None => Err(DropReason::StaleAnswer),
        }
    }

    /// The attempt that an answer is about. The step is the search's own, and that may have begun at
    /// another ingress, or under another configuration.
    pub(crate) fn answered(&self, message: &FlowMessage<'_>) -> Result<Handle, DropReason> {
        let handle = self
            .pending
            .find(&message.key)
            .ok_or(DropReason::StaleAnswer)?;
        let (_, attempt) = self.pending.get(handle).ok_or(DropReason::StaleAnswer)?;
        let question = attempt.question;
        if question.isn == message.offer.isn && question.intent == message.intent {
            Ok(handle)
        } else {
            Err(DropReason::StaleAnswer)
        }
    }

    /// A host has taken the flow.
    ///
    /// An Accept counts if it answers the attempt under way. One for an attempt that is over tells
    /// at most that the host which the entry names has taken a newer life of the flow; an entry is
    /// never made or turned to another host by it. So whatever was delayed or doubled on its way,
    /// it can't lead packets to a host that has disowned the flow meanwhile (S1); the price is one
    /// more question if all answers took longer than `open_timeout`.
    fn handle_accept(&mut self, now: Time, message: &FlowMessage<'_>) -> Result<End, DropReason> {
        let host = message.path.host.ok_or(DropReason::BadField)?;
        let birth = message.birth.ok_or(DropReason::BadField)?;
        match self.view.member(host).map(|member| member.role) {
            Some(Role::HostAgent) => {}
            Some(_) => return Err(DropReason::WrongRole),
            None => return Err(DropReason::UnknownSender),
        }
        let key = message.key;
        let entry = self.cache.get(&key);
        // R9: births of one host are in order; those of two hosts can't be compared.
        if entry.is_some_and(|entry| entry.host == host && birth < entry.birth) {
            return Err(DropReason::StaleAccept);
        }
        let Ok(handle) = self.answered(message) else {
            return match entry {
                Some(entry) if entry.host == host && birth > entry.birth => {
                    let phase = Phase::Unproven;
                    self.cache
                        .install(key, entry.flow(), host, birth, phase, now);
                    // A later SYN is asked for still.
                    self.cache.contest(&key, entry.contested);
                    Ok(End::Consumed)
                }
                Some(entry) if entry.host != host => Err(DropReason::StaleAccept),
                // The same answer again: there was no need to repeat the question.
                Some(entry) if entry.birth == birth => {
                    self.pace.answered_again();
                    Err(DropReason::StaleAnswer)
                }
                Some(_) | None => Err(DropReason::StaleAnswer),
            };
        };
        let Some((_, attempt)) = self.pending.get(handle) else {
            return Err(DropReason::StaleAnswer);
        };
        if attempt
            .disowned
            .is_some_and(|(by, life)| by == host && birth <= life)
        {
            // The host has disowned this life since.
            return Err(DropReason::StaleAccept);
        }
        let phase = phase_of(attempt);
        let flow = attempt.flow;
        self.pace.answered(attempt.repeats);
        self.stats.accepts += 1;
        if !self.cache.install(key, flow, host, birth, phase, now) {
            // The flow works all the same: its next packet asks again, mid-flow.
            self.stats.uncached += 1;
        }
        self.release(handle, host, birth);
        Ok(End::Consumed)
    }

    /// A host does not take a flow that this ingress offered to it, or gives back a packet of a flow
    /// that it does not own.
    fn handle_reject(
        &mut self,
        now: Time,
        from: NodeNumber,
        message: &FlowMessage<'_>,
    ) -> Result<End, DropReason> {
        if message.path.host != Some(from) {
            return Err(DropReason::WrongNode);
        }
        if let Some(handle) = self.own_offer(from, message) {
            self.handle_own_reject(now, from, handle);
            return Ok(End::Consumed);
        }
        if message.reason != Reason::NotOwner {
            return Err(DropReason::StaleReject);
        }
        let (key, question) = match self.matching.classify(message.packet)? {
            Target::Flow { key, question, .. } if key == message.key => (key, question),
            Target::Flow { .. } | Target::Echo => return Err(DropReason::FlowMismatch),
        };
        if question.intent == Intent::Syn {
            return Err(DropReason::SynAsData);
        }
        // Without a birth nobody can say which life the host means.
        let birth = message.birth.ok_or(DropReason::StaleReject)?;
        let entry = self.cache.get(&key);
        if let Some(entry) = entry {
            let other = entry.host != from && !self.hosts.is_dead(entry.host);
            if other || (entry.host == from && birth < entry.birth) {
                // The packet went by an older entry. This can't go round in circles: a Reject of
                // the life that the entry names is never sent on.
                self.send_data(&key, entry.flow(), entry.host, entry.birth, message.packet)?;
                self.stats.rerouted += 1;
                return Ok(End::Sent);
            }
            // R4: the entry names that host, and that life or one before it (R9): were a later
            // one not believed, the entry would lead all packets astray until it is idle.
            if entry.host == from {
                self.cache.remove(&key);
                self.stats.disowned += 1;
            }
        }
        let opening = self
            .pending
            .find(&key)
            .and_then(|handle| self.pending.get(handle))
            .is_some_and(|(_, attempt)| attempt.question.intent == Intent::Syn);
        if opening {
            // A packet of the old life must not go to the host of the new one.
            return entry.map(|_| End::Consumed).ok_or(DropReason::StaleReject);
        }
        // Without an entry (the flow's close has come first, or there was no room for one) the
        // packet is one of a flow that the cache does not have, as if it came from the client.
        self.ask(now, key, question, Some((from, birth)), message.packet)?;
        Ok(End::Held)
    }
}

#[cfg(test)]
mod tests;
