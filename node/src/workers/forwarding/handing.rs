//! A forwarder's end of the rings, and the buffers that go through them.

use crate::workers::{Answer, HANDED, Handed, Upward};
use jlb_packet_io::wait::Waker;
use jlb_protocol::{FlowKey, PacketBuf};

/// What may be under way when one more packet is handed on: what opens flows leaves room for those that are, and
/// all packets leave some for leases.
const OPENINGS: usize = HANDED / 2;
pub(super) const PACKETS: usize = HANDED - HANDED / 8;

/// What goes to the first worker and comes from it.
pub(super) struct Handing {
    pub(super) rings: Upward,
    pub(super) first: Waker,
    /// What was handed on and not answered.
    pub(super) under_way: usize,
    /// Something was handed on since the first worker was woken.
    pub(super) wakes: bool,
    /// Free buffers: as many as may be under way, wait to be sent, or were just read.
    pub(super) spare: Vec<PacketBuf>,
}

impl Handing {
    /// Hands something on; `false` if there is no room.
    pub(super) fn hand(&mut self, handed: Handed) -> bool {
        if self.under_way >= HANDED || self.rings.handed.push(handed).is_err() {
            return false;
        }
        self.under_way += 1;
        self.wakes = true;
        true
    }

    /// Hands a packet on and leaves a free buffer; `false` if there is no room.
    pub(super) fn hand_packet(
        &mut self,
        number: u64,
        key: Option<FlowKey>,
        opens: bool,
        buf: &mut PacketBuf,
    ) -> bool {
        let most = if opens { OPENINGS } else { PACKETS };
        if self.under_way >= most {
            return false;
        }
        let Some(fresh) = self.spare.pop() else {
            return false;
        };
        let buf = std::mem::replace(buf, fresh);
        self.hand(Handed::Packet { number, key, buf })
    }

    /// The first worker's next answer, whose buffer is free.
    pub(super) fn next_answer(&mut self) -> Option<Answer> {
        let mut answer = self.rings.answers.pop().ok()?;
        self.under_way -= 1;
        self.spare.extend(answer.buf.take());
        Some(answer)
    }

    pub(super) fn wake(&mut self) {
        if std::mem::take(&mut self.wakes) {
            self.first.wake();
        }
    }
}
