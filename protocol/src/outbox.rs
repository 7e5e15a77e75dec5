//! What a role wants sent: a bounded queue with its own store of buffers.

use crate::buffer::PacketBuf;
use crate::keyed_hash::FlowHash;
use crate::number::NodeNumber;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Where a packet goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Destination {
    /// To a node, as a Geneve message; still to be sealed by the link.
    Node(NodeNumber),
    /// Into the machine's own IP stack, as a plain IP packet.
    Stack,
}

/// One packet or message to send.
#[derive(Clone, Debug)]
pub struct Transmit {
    /// Where to.
    pub to: Destination,
    /// The flow's hash, from which the outer source port is derived.
    pub flow: FlowHash,
    /// A message from its Geneve header on, or an IP packet.
    pub buf: PacketBuf,
}

/// A bounded queue of packets and messages to send. Buffers come back with [`Self::recycle`], so
/// that none are allocated once warm.
#[derive(Clone, Debug)]
pub struct Outbox {
    queue: VecDeque<Transmit>,
    spare: Vec<PacketBuf>,
    max: usize,
}

impl Outbox {
    /// An outbox of at most `max` waiting packets.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            spare: Vec::new(),
            max,
        }
    }

    /// Lets so many packets wait from now on. What waits already stays.
    pub const fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// An empty buffer to build a packet in.
    #[inline]
    pub fn buffer(&mut self) -> PacketBuf {
        self.spare.pop().unwrap_or_default()
    }

    /// Queues a packet; gives it back if the queue is full, for the caller to count.
    ///
    /// # Errors
    /// The packet itself, when `max` are waiting already.
    #[inline]
    pub fn push(&mut self, transmit: Transmit) -> Result<(), PacketBuf> {
        if self.queue.len() >= self.max {
            return Err(transmit.buf);
        }
        self.queue.push_back(transmit);
        Ok(())
    }

    /// The next packet to send.
    #[inline]
    pub fn poll(&mut self) -> Option<Transmit> {
        self.queue.pop_front()
    }

    /// Takes a buffer back; keeps as many as may wait.
    #[inline]
    pub fn recycle(&mut self, mut buf: PacketBuf) {
        if self.spare.len() < self.max {
            buf.clear();
            self.spare.push(buf);
        }
    }

    /// Number of packets waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests;
