//! What leaves the tracker: every message is counted as created, then as sent or dropped.

use crate::stats::Stats;
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::message::{Control, FlowMessage};
use jlb_protocol::{Destination, DropReason, NodeNumber, Outbox, PacketBuf, Transmit, wire};

/// The queue of messages to send, and the books.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub(crate) outbox: Outbox,
    pub(crate) stats: Stats,
}

impl Output {
    pub(crate) fn new(max_outbox: usize) -> Self {
        Self {
            outbox: Outbox::new(max_outbox),
            stats: Stats::default(),
        }
    }

    /// Sends a message about a flow.
    pub(crate) fn send(&mut self, to: NodeNumber, flow: FlowHash, message: &FlowMessage<'_>) {
        self.build(to, flow, |buf| wire::encode_flow(message, buf));
    }

    /// Sends a message that concerns no single flow.
    pub(crate) fn send_control(&mut self, to: NodeNumber, control: &Control<'_>) {
        self.build(to, FlowHash::NONE, |buf| wire::encode_control(control, buf));
    }

    fn build(
        &mut self,
        to: NodeNumber,
        flow: FlowHash,
        encode: impl FnOnce(&mut PacketBuf) -> Result<(), DropReason>,
    ) {
        self.stats.ledger.created += 1;
        let mut buf = self.outbox.buffer();
        if let Err(reason) = encode(&mut buf) {
            self.stats.ledger.drop_for(reason);
            self.outbox.recycle(buf);
            return;
        }
        let to = Destination::Node(to);
        match self.outbox.push(Transmit { to, flow, buf }) {
            Ok(()) => self.stats.ledger.sent += 1,
            Err(buf) => {
                self.stats.ledger.drop_for(DropReason::OutboxFull);
                self.outbox.recycle(buf);
            }
        }
    }
}
