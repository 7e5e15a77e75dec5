//! The books of a node (R14, S6): in + created = out, by destination and reason, at every moment.

use crate::drop_reason::DropReason;

/// Counts of one layer of a node, in packets and messages.
///
/// What came in or was created was sent to a node, delivered to the machine's own IP stack,
/// consumed (it did its work here), dropped for a reason, or is held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ledger {
    /// Packets and messages that came in.
    pub received: u64,
    /// Packets and messages made here, copies included.
    pub created: u64,
    /// Sent to another node.
    pub sent: u64,
    /// Handed to the machine's own IP stack.
    pub delivered: u64,
    /// Did their work here and ended.
    pub consumed: u64,
    /// Held in a queue now.
    pub held: u64,
    dropped: [u64; DropReason::COUNT],
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            received: 0,
            created: 0,
            sent: 0,
            delivered: 0,
            consumed: 0,
            held: 0,
            dropped: [0; DropReason::COUNT],
        }
    }
}

impl Ledger {
    /// Counts one dropped packet or message.
    pub fn drop_for(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
    }

    /// Counts so many of them.
    pub const fn drop_many(&mut self, reason: DropReason, count: u64) {
        self.dropped[reason as usize] += count;
    }

    /// How many were dropped for `reason`.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// How many were dropped for any reason.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// What came in or was created and is not accounted for; 0 when the books balance (S6).
    #[must_use]
    pub fn imbalance(&self) -> i128 {
        let inward = i128::from(self.received) + i128::from(self.created);
        let outward = [
            self.sent,
            self.delivered,
            self.consumed,
            self.held,
            self.dropped_total(),
        ];
        inward - outward.into_iter().map(i128::from).sum::<i128>()
    }
}
