//! The end of a search that found no host (R6): the client is told, and repeats are answered.

use crate::config::Overload;
use crate::primary::{Done, Ended, Question};
use crate::record::{Event, Next, Record, State};
use crate::tracker::FlowTracker;
use jlb_protocol::message::{FlowKind, FlowMessage, Hunt, Path, Reason};
use jlb_protocol::{DropReason, OfferNumber, Time};

impl FlowTracker {
    /// Nobody takes the flow: the service's overload policy decides.
    pub(crate) fn nobody(&mut self, now: Time, q: &Question<'_>, reason: Reason) -> Ended {
        let pool = self
            .pools
            .get(q.key.service())
            .ok_or(DropReason::UnknownService)?;
        match pool.service.overload {
            Overload::Queue(longest)
                if reason == Reason::Exhausted && !self.records.is_owned(&q.key) =>
            {
                self.wait_for_room(now, q, longest)
            }
            Overload::Refuse | Overload::MustAccept | Overload::Pool | Overload::Queue(_) => {
                self.refuse(now, q, reason)
            }
        }
    }

    /// Spillover: the client gets an error at once.
    pub(crate) fn refuse(&mut self, now: Time, q: &Question<'_>, reason: Reason) -> Ended {
        if let Err(full) = self.note_refused(now, q, reason) {
            return self.turn_away(now, q, full);
        }
        self.count_refusal(reason);
        self.send_refuse(q, reason);
        Ok(Done::Consumed)
    }

    /// There is no room for the flow: it is refused at once. `full` says what is full.
    pub(crate) fn turn_away(&mut self, now: Time, q: &Question<'_>, full: DropReason) -> Ended {
        if self.records.find(&q.key).is_some() {
            // No room is needed to turn one untrusted record into another; an established one
            // stays as it is.
            let _kept = self.note_refused(now, q, Reason::Quota);
        }
        self.count_refusal(Reason::Quota);
        self.send_refuse(q, Reason::Quota);
        Err(full)
    }

    /// Counts a refusal by its reason.
    pub(crate) fn count_refusal(&mut self, reason: Reason) {
        let stats = &mut self.out.stats;
        match reason {
            Reason::NoHost => stats.refused_no_host += 1,
            Reason::Quota => stats.refused_quota += 1,
            Reason::Unknown => stats.refused_unknown += 1,
            Reason::None
            | Reason::Load
            | Reason::NotOwner
            | Reason::Exhausted
            | Reason::NotFilled
            | Reason::Queued
            | Reason::Draining => stats.refused_exhausted += 1,
        }
    }

    pub(crate) fn note_refused(
        &mut self,
        now: Time,
        q: &Question<'_>,
        reason: Reason,
    ) -> Result<(), DropReason> {
        self.searches.end(now, &q.key);
        let found = self.records.find(&q.key);
        let several = false;
        let next = found.map_or(
            Next::Become(State::Refused { reason, several }),
            |(_, Record { state, .. })| state.next(Event::Refuse { reason }),
        );
        match next {
            Next::Become(state) => {
                let new = Record::new(q.isn, state);
                let record = found.map_or(new, |(_, before)| before.turned(q.isn, state));
                let place = found.map(|(handle, _)| handle);
                self.records.put(now, q.key, place, record)
            }
            Next::Stay | Next::End | Next::Stale | Next::Conflict => Ok(()),
        }
    }

    /// Tells the ingress that nobody takes the flow.
    pub(crate) fn send_refuse(&mut self, q: &Question<'_>, reason: Reason) {
        self.send_refuse_of(q, reason, 0);
    }

    /// The same, with how many hosts said that they do not have it.
    pub(crate) fn send_refuse_of(&mut self, q: &Question<'_>, reason: Reason, said_no: u16) {
        self.send_end(q, FlowKind::Refuse, reason, said_no);
    }

    /// Tells the ingress that the flow waits for a host.
    pub(crate) fn send_wait(&mut self, q: &Question<'_>) {
        self.send_end(q, FlowKind::Wait, Reason::Queued, 0);
    }

    fn send_end(&mut self, q: &Question<'_>, kind: FlowKind, reason: Reason, load: u16) {
        let end = FlowMessage {
            kind,
            key: q.key,
            offer: OfferNumber {
                isn: q.isn,
                step: q.steps,
            },
            intent: q.intent,
            path: Path {
                ingress: Some(q.ingress),
                primary: Some(self.nodes.me),
                secondary: q.partner,
                host: None,
            },
            birth: None,
            tried: q.tried,
            hunt: Hunt::NONE,
            reason,
            load,
            packet: &[],
        };
        self.out.send(q.ingress, q.flow, &end);
    }
}

#[cfg(test)]
mod tests;
