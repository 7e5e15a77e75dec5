//! The statements that wait for one node.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use jlb_protocol::FlowKey;
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::message::FlowStatement;

/// No place, in the index.
const EMPTY: u64 = u64::MAX;

/// Slots of the smallest index, and of the largest that an empty queue keeps.
const LEAST_SLOTS: usize = 64;
const MOST_IDLE_SLOTS: usize = 1 << 12;

/// An index with at most so many slots for each statement that waits is rather emptied as a whole than slot by slot.
const SLOTS_A_STATEMENT: usize = 32;

/// A place in the line.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    age: u64,
    flow: FlowHash,
    /// `None` if it was taken back.
    statement: Option<FlowStatement>,
}

/// The statements that wait for one node, oldest first. A flow has one at most, the latest: it
/// keeps the place of the first, so that a flow that changes often is not put off for ever.
#[derive(Clone, Default, Debug)]
pub(super) struct Queue {
    /// By age. The first one was not taken back.
    line: VecDeque<Waiting>,
    /// The number of the first place; the others follow.
    first: u64,
    /// Those that were not taken back.
    len: usize,
    /// The places of all those, open addressing by the flow's hash: that is a keyed one. A power of two of slots, or
    /// none; half of them are empty at least.
    index: Vec<u64>,
    next: u64,
}

impl Queue {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Puts the statement of the flow with this hash in place of the flow's former one, or at the end; false if
    /// there is no room.
    pub(super) fn put(&mut self, flow: FlowHash, statement: FlowStatement, max: usize) -> bool {
        if let Some((_, at)) = self.find(flow, &statement.key) {
            self.line[at].statement = Some(statement);
            return true;
        }
        if self.len >= max {
            return false;
        }
        let age = self.next;
        self.next += 1;
        self.len += 1;
        self.line.push_back(Waiting {
            age,
            flow,
            statement: Some(statement),
        });
        if 2 * self.line.len() > self.index.len() {
            self.rebuild();
        } else {
            self.enter(self.line.len() - 1, flow);
        }
        true
    }

    /// Takes back what waits of a flow.
    pub(super) fn remove(&mut self, flow: FlowHash, key: &FlowKey) {
        if let Some((slot, at)) = self.find(flow, key) {
            self.vacate(slot);
            self.line[at].statement = None;
            self.len -= 1;
            self.pass_gaps();
        }
    }

    /// Moves what waits, oldest first, into `taken`, up to so many.
    pub(super) fn take_many(&mut self, most: usize, taken: &mut Vec<FlowStatement>) {
        if self.len <= most && self.index.len() <= SLOTS_A_STATEMENT * self.len {
            let line = self.line.drain(..);
            taken.extend(line.filter_map(|waiting| waiting.statement));
            self.first = 0;
            self.len = 0;
            self.index.fill(EMPTY);
            return;
        }
        for _ in 0..most {
            let Some(statement) = self.take() else {
                return;
            };
            taken.push(statement);
        }
    }

    pub(super) fn take(&mut self) -> Option<FlowStatement> {
        let oldest = self.line.front()?;
        let flow = oldest.flow;
        let statement = oldest.statement?;
        if let Some((slot, _)) = self.find(flow, &statement.key) {
            self.vacate(slot);
        }
        self.line.pop_front();
        self.first += 1;
        self.len -= 1;
        self.pass_gaps();
        Some(statement)
    }

    /// Forgets all that waits.
    pub(super) fn clear(&mut self) {
        *self = Self {
            next: self.next,
            ..Self::default()
        };
    }

    /// The age that the next new statement gets: all that waits now is younger.
    pub(super) const fn next_age(&self) -> u64 {
        self.next
    }

    /// Whether nothing waits that was put in before that age was the next.
    pub(super) fn is_past(&self, age: u64) -> bool {
        self.line.front().is_none_or(|oldest| oldest.age >= age)
    }

    /// What waits, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &FlowStatement> {
        self.line.iter().filter_map(|it| it.statement.as_ref())
    }

    /// How much of what waits is older than this age.
    pub(super) fn older(&self, age: u64) -> usize {
        let older = self.line.iter().take_while(|it| it.age < age);
        older.filter(|it| it.statement.is_some()).count()
    }

    /// The flow's slot in the index, and where it stands in the line.
    fn find(&self, flow: FlowHash, key: &FlowKey) -> Option<(usize, usize)> {
        let mut slot = self.home(flow)?;
        loop {
            let place = self.index[slot];
            if place == EMPTY {
                return None;
            }
            let at = self.at(place);
            let waiting = &self.line[at];
            if waiting.flow == flow && waiting.statement.as_ref().is_some_and(|it| it.key == *key) {
                return Some((slot, at));
            }
            slot = self.after(slot);
        }
    }

    /// Enters what stands there in the line into the index.
    fn enter(&mut self, at: usize, flow: FlowHash) {
        if let Some(mut slot) = self.home(flow) {
            while self.index[slot] != EMPTY {
                slot = self.after(slot);
            }
            self.index[slot] = self.first + at as u64;
        }
    }

    /// Empties a slot of the index. Those behind it move back into the gap (Knuth, TAOCP vol. 3, 6.4, algorithm R).
    fn vacate(&mut self, slot: usize) {
        let mask = self.index.len().wrapping_sub(1);
        let (mut gap, mut slot) = (slot, self.after(slot));
        while self.index[slot] != EMPTY {
            let flow = self.line[self.at(self.index[slot])].flow;
            let home = self.home(flow).unwrap_or(slot);
            if slot.wrapping_sub(home) & mask >= slot.wrapping_sub(gap) & mask {
                self.index[gap] = self.index[slot];
                gap = slot;
            }
            slot = self.after(slot);
        }
        self.index[gap] = EMPTY;
    }

    /// The line closes up where statements were taken back, and gets an index that has room for twice as many.
    fn rebuild(&mut self) {
        self.line.retain(|waiting| waiting.statement.is_some());
        self.first = 0;
        let slots = (4 * self.line.len()).next_power_of_two().max(LEAST_SLOTS);
        self.index = vec![EMPTY; slots];
        for at in 0..self.line.len() {
            self.enter(at, self.line[at].flow);
        }
    }

    /// Goes on to the first in the line that was not taken back.
    fn pass_gaps(&mut self) {
        while self.line.front().is_some_and(|it| it.statement.is_none()) {
            self.line.pop_front();
            self.first += 1;
        }
        if self.len == 0 && self.index.len() > MOST_IDLE_SLOTS {
            self.clear();
        }
    }

    fn home(&self, flow: FlowHash) -> Option<usize> {
        let last = self.index.len().checked_sub(1)?;
        Some(flow.0 as usize & last)
    }

    fn after(&self, slot: usize) -> usize {
        (slot + 1) & (self.index.len() - 1)
    }

    /// Where the place stands in the line.
    fn at(&self, place: u64) -> usize {
        (place - self.first) as usize
    }
}

#[cfg(test)]
mod tests;
