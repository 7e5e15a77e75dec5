//! The statements that wait for one node.

use alloc::collections::BTreeMap;
use jlb_protocol::FlowKey;
use jlb_protocol::message::FlowStatement;

/// The statements that wait for one node, oldest first. A flow has one at most, the latest: it
/// keeps the place of the first, so that a flow that changes often is not put off for ever.
#[derive(Clone, Default, Debug)]
pub(super) struct Queue {
    pub(super) by_age: BTreeMap<u64, FlowStatement>,
    pub(super) by_flow: BTreeMap<FlowKey, u64>,
    pub(super) next: u64,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.by_age.len()
    }

    /// Puts the statement in place of the flow's former one, or at the end; false if there is no
    /// room.
    pub(super) fn put(&mut self, statement: FlowStatement, max: usize) -> bool {
        if let Some(age) = self.by_flow.get(&statement.key) {
            self.by_age.insert(*age, statement);
            return true;
        }
        if self.len() >= max {
            return false;
        }
        self.by_flow.insert(statement.key, self.next);
        self.by_age.insert(self.next, statement);
        self.next += 1;
        true
    }

    pub(super) fn remove(&mut self, key: &FlowKey) {
        if let Some(age) = self.by_flow.remove(key) {
            self.by_age.remove(&age);
        }
    }

    pub(super) fn take(&mut self) -> Option<FlowStatement> {
        let (_, statement) = self.by_age.pop_first()?;
        self.by_flow.remove(&statement.key);
        Some(statement)
    }

    /// Forgets all that waits.
    pub(super) fn clear(&mut self) {
        self.by_age.clear();
        self.by_flow.clear();
    }

    /// The age that the next new statement gets: all that waits now is younger.
    pub(super) const fn next_age(&self) -> u64 {
        self.next
    }

    /// Whether nothing waits that was put in before that age was the next.
    pub(super) fn is_past(&self, age: u64) -> bool {
        self.by_age
            .first_key_value()
            .is_none_or(|(&first, _)| first >= age)
    }

    /// What waits, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &FlowStatement> {
        self.by_age.values()
    }
}

#[cfg(test)]
mod tests;
