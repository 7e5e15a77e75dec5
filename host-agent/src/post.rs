//! What the agent sends, and its books.

use crate::stats::Counters;
use jlb_protocol::keyed_hash::{FlowHash, FlowHasher, HashKey};
use jlb_protocol::message::{Control, FlowMessage};
use jlb_protocol::packet::{self, Segment};
use jlb_protocol::wire;
use jlb_protocol::{
    Destination, DropReason, FlowKey, Ledger, NodeNumber, Outbox, PacketBuf, Transmit,
};

/// The outbox, and the ledger that counts each message into it (R14).
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) ledger: Ledger,
    pub(crate) counters: Counters,
    outbox: Outbox,
    hasher: FlowHasher,
}

impl Post {
    pub(crate) fn new(max_outbox: usize, hash_key: HashKey) -> Self {
        Self {
            ledger: Ledger::default(),
            counters: Counters::default(),
            outbox: Outbox::new(max_outbox),
            hasher: FlowHasher::new(hash_key),
        }
    }

    /// Lets so many messages wait from now on.
    pub(crate) const fn set_max_outbox(&mut self, max_outbox: usize) {
        self.outbox.set_max(max_outbox);
    }

    /// The flow's hash, which ranks its trackers.
    pub(crate) fn flow_hash(&self, key: &FlowKey) -> FlowHash {
        self.hasher.flow_hash(key)
    }

    /// Sends a message about one flow; false if it was dropped, which is counted.
    pub(crate) fn send_flow(&mut self, to: NodeNumber, message: &FlowMessage<'_>) -> bool {
        let flow = self.hasher.flow_hash(&message.key);
        let mut buf = self.outbox.buffer();
        let encoded = wire::encode_flow(message, &mut buf);
        self.send(to, flow, buf, encoded)
    }

    /// Sends a message about no single flow; false if it was dropped, which is counted.
    pub(crate) fn send_control(&mut self, to: NodeNumber, control: &Control<'_>) -> bool {
        let mut buf = self.outbox.buffer();
        let encoded = wire::encode_control(control, &mut buf);
        self.send(to, FlowHash::NONE, buf, encoded)
    }

    /// Hands a segment in a client's name to this machine's stack; false if it was dropped, which is
    /// counted.
    pub(crate) fn inject(&mut self, segment: &Segment) -> bool {
        let mut buf = self.outbox.buffer();
        self.ledger.created += 1;
        let written = packet::write_segment(segment, &mut buf);
        let pushed = written.and_then(|()| {
            let transmit = Transmit {
                to: Destination::Stack,
                flow: FlowHash::NONE,
                buf: core::mem::take(&mut buf),
            };
            self.outbox.push(transmit).map_err(|full| {
                buf = full;
                DropReason::OutboxFull
            })
        });
        match pushed {
            Ok(()) => self.ledger.delivered += 1,
            Err(reason) => {
                self.ledger.drop_for(reason);
                self.outbox.recycle(buf);
            }
        }
        pushed.is_ok()
    }

    /// The next message to send; it was counted as sent when it was queued.
    pub(crate) fn poll(&mut self) -> Option<Transmit> {
        self.outbox.poll()
    }

    /// Takes a buffer back.
    pub(crate) fn recycle(&mut self, buf: PacketBuf) {
        self.outbox.recycle(buf);
    }

    fn send(
        &mut self,
        to: NodeNumber,
        flow: FlowHash,
        buf: PacketBuf,
        encoded: Result<(), DropReason>,
    ) -> bool {
        self.ledger.created += 1;
        if let Err(reason) = encoded {
            self.ledger.drop_for(reason);
            self.outbox.recycle(buf);
            return false;
        }
        let transmit = Transmit {
            to: Destination::Node(to),
            flow,
            buf,
        };
        match self.outbox.push(transmit) {
            Ok(()) => {
                self.ledger.sent += 1;
                true
            }
            Err(buf) => {
                self.ledger.drop_for(DropReason::OutboxFull);
                self.outbox.recycle(buf);
                false
            }
        }
    }
}
