//! The way to one tracker or ingress: a queue, and one State on its way at a time.

use super::queue::Queue;
use crate::post::Post;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::message::{Control, FlowStatement, List, Listed};
use jlb_protocol::planted::{self, Bug};
use jlb_protocol::{NodeNumber, Time};

/// How long statements are gathered, and until what was not acknowledged is repeated; and how many
/// one message has at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pace {
    pub(super) delay: Duration,
    pub(super) retry: Duration,
    pub(super) batch: usize,
}

/// A State message on its way.
#[derive(Clone, Debug)]
pub(super) struct InFlight {
    pub(super) sequence: u64,
    pub(super) filled: Option<u64>,
    pub(super) listed: Option<Listed>,
    pub(super) flows: Vec<FlowStatement>,
    pub(super) sent: Time,
    pub(super) repeats: u32,
}

/// R10: all that is owed by the ranking with this fingerprint was queued. A tracker that is not
/// ranked yet, or takes the mark for the first time, knows every flow that was owed to it when the
/// message was made that carries it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Mark {
    pub(super) fingerprint: u64,
    /// It was queued before the queue's next age was this.
    pub(super) age: u64,
    /// The last message carried it.
    pub(super) said: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Channel {
    /// The tracker or ingress.
    pub(super) to: NodeNumber,
    /// The number of the last State message. Numbers only rise, also over lives of this host, so
    /// that no answer to one is taken for another's.
    pub(super) sequence: u64,
    pub(super) in_flight: Option<InFlight>,
    /// What the next message's statements are gathered in.
    pub(super) spare: Vec<FlowStatement>,
    pub(super) queue: Queue,
    pub(super) mark: Option<Mark>,
    /// Lists of buckets that are complete with what was queued before the age (R9), in order.
    pub(super) listed: VecDeque<(u64, Listed)>,
    /// What was put in before this age goes without being gathered for.
    pub(super) urgent: u64,
    /// When the next message is gathered, if there is something to say.
    pub(super) due: Option<Time>,
}

impl Channel {
    /// A channel whose first message is numbered one more than `sequence`.
    pub(super) fn new(to: NodeNumber, sequence: u64) -> Self {
        Self {
            to,
            sequence,
            in_flight: None,
            spare: Vec::new(),
            queue: Queue::default(),
            mark: None,
            listed: VecDeque::new(),
            urgent: 0,
            due: None,
        }
    }

    /// Forgets what was to be said, and what is on its way.
    pub(super) fn clear(&mut self) {
        self.in_flight = None;
        self.queue.clear();
        self.mark = None;
        self.listed.clear();
        self.due = None;
    }

    pub(super) fn deadline(&self, pace: Pace) -> Option<Time> {
        match &self.in_flight {
            Some(in_flight) => Some(in_flight.sent + pace.retry),
            None => self.due.filter(|_| self.has_news()),
        }
    }

    /// Whether something is still to be said.
    pub(super) fn has_news(&self) -> bool {
        let unsaid = self.mark.is_some_and(|mark| !mark.said);
        unsaid || self.queue.len() > 0 || !self.listed.is_empty()
    }

    /// Queues a statement; false if there is no room.
    pub(super) fn put(
        &mut self,
        now: Time,
        flow: FlowHash,
        statement: FlowStatement,
        max: usize,
        pace: Pace,
    ) -> bool {
        if !self.has_news() {
            self.due = Some(now + pace.delay);
        }
        self.queue.put(flow, statement, max)
    }

    /// Sends what is queued now as soon as it can go.
    pub(super) fn hurry(&mut self, now: Time, pace: Pace, post: &mut Post) {
        if self.queue.len() == 0 {
            return;
        }
        self.urgent = self.queue.next_age();
        self.due = Some(now);
        if self.in_flight.is_none() {
            let delay = Duration::ZERO;
            self.gather_and_send(now, Pace { delay, ..pace }, post);
        }
    }

    /// All that is owed by this ranking is queued: the message that ends it says so, and each later
    /// one.
    pub(super) fn set_mark(&mut self, now: Time, fingerprint: u64) {
        self.mark = Some(Mark {
            fingerprint,
            age: self.queue.next_age(),
            said: false,
        });
        self.due = Some(now);
    }

    /// What waits, and what is queued next, tells of flows gained after the mark was given. A mark
    /// that was not said yet waits for these: a backlog may last until the tracker is ranked, and it
    /// would be believed to know the flows. For one that is `joining` no State carries it until
    /// then, for it may be ranked at any time; others go on having it.
    pub(super) fn put_off_mark(&mut self, joining: bool) {
        let next = self.queue.next_age() + 1;
        if let Some(mark) = &mut self.mark
            && (joining || !mark.said)
        {
            mark.age = next;
            // What carried it may be lost, and its repeats carry it no more.
            mark.said = false;
            if joining && let Some(in_flight) = &mut self.in_flight {
                in_flight.filled = None;
            }
        }
    }

    /// Says the mark again, if it holds and nothing else is said that carries it.
    pub(super) fn repeat_mark(&mut self, now: Time) {
        if let Some(mark) = &mut self.mark {
            mark.said = false;
            self.due = Some(now);
        }
    }

    /// The mark holds no more. What is on its way may not have arrived: its repeats say nothing of
    /// it.
    pub(super) const fn withdraw_mark(&mut self) {
        self.mark = None;
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.filled = None;
        }
    }

    /// The list of a bucket is complete with what is queued now.
    pub(super) fn end_list(&mut self, now: Time, listed: Listed) {
        self.listed.push_back((self.queue.next_age(), listed));
        self.due = Some(now);
    }

    /// The message on its way has arrived: the next one goes, if it has waited for long enough.
    pub(super) fn arrived(&mut self, now: Time, pace: Pace, post: &mut Post) {
        if let Some(in_flight) = self.in_flight.take() {
            self.spare = in_flight.flows;
        }
        let due = self.deadline(pace).is_some_and(|due| due <= now);
        if self.queue.len() >= pace.batch || due {
            self.gather_and_send(now, pace, post);
        }
    }

    /// Sends what was gathered for long enough, or repeats what was not acknowledged in time.
    pub(super) fn handle_timeout(&mut self, now: Time, pace: Pace, post: &mut Post) {
        if self.deadline(pace).is_none_or(|due| due > now) {
            return;
        }
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.repeats = in_flight.repeats.saturating_add(1);
            post.counters.states_repeated += 1;
            self.send(now, post);
        } else {
            self.gather_and_send(now, pace, post);
        }
    }

    /// Whether the next repeat would be one too many, where `max` are made.
    pub(super) fn is_deaf(&self, now: Time, pace: Pace, max: u32) -> bool {
        self.in_flight
            .as_ref()
            .is_some_and(|sent| sent.repeats >= max && sent.sent + pace.retry <= now)
    }

    /// Statements waiting or on their way.
    pub(super) fn pending(&self) -> usize {
        self.queue.len() + self.in_flight.as_ref().map_or(0, |sent| sent.flows.len())
    }

    /// What waits and what is on its way.
    pub(super) fn unheard(&self) -> impl Iterator<Item = &FlowStatement> {
        let in_flight = self.in_flight.iter().flat_map(|sent| &sent.flows);
        self.queue.iter().chain(in_flight)
    }

    /// Numbers the message on its way anew: the tracker remembers a greater number.
    pub(super) fn renumber(&mut self, now: Time, sequence: u64, post: &mut Post) {
        self.sequence = sequence;
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.sequence = sequence;
        }
        self.send(now, post);
    }

    /// Makes the next message of what waits, and sends it. What is left over waits for the
    /// delay once more, unless it is urgent.
    fn gather_and_send(&mut self, now: Time, pace: Pace, post: &mut Post) {
        let mut flows = core::mem::take(&mut self.spare);
        flows.clear();
        self.queue.take_many(pace.batch, &mut flows);
        let mut filled = None;
        if let Some(mark) = &mut self.mark {
            mark.said = planted::is(Bug::MarksBeforeTheWalkEnds) || self.queue.is_past(mark.age);
            filled = mark.said.then_some(mark.fingerprint);
        }
        let complete = |&mut (age, _): &mut (u64, Listed)| self.queue.is_past(age);
        let listed = self.listed.pop_front_if(complete).map(|(_, listed)| listed);
        let unsaid = self.mark.is_some_and(|mark| !mark.said) || !self.listed.is_empty();
        let urgent = unsaid || !self.queue.is_past(self.urgent);
        self.due = Some(if urgent { now } else { now + pace.delay });
        self.sequence = self.sequence.saturating_add(1);
        self.in_flight = Some(InFlight {
            sequence: self.sequence,
            filled,
            listed,
            flows,
            sent: now,
            repeats: 0,
        });
        self.send(now, post);
    }

    fn send(&mut self, now: Time, post: &mut Post) {
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.sent = now;
            let state = Control::State {
                sequence: in_flight.sequence,
                filled: in_flight.filled,
                listed: in_flight.listed,
                flows: List::Values(&in_flight.flows),
            };
            if post.send_control(self.to, &state) {
                post.counters.states_sent += 1;
            }
        }
    }
}
