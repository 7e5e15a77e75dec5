//! Where the kernel puts what it received.

use jlb_packet_io::Slot;

/// Room for all datagrams that one read may give at once.
const ROOM: usize = 65_535;

/// The bytes of a page, which large allocations begin with.
const PAGE: usize = 4_096;

/// Some more than what a message without a packet, or with a short one, takes: so far apart are the
/// beginnings of slots within their pages, for a processor's cache has few places for what lies at the same
/// place of each page.
const STEP: usize = 192;

/// Room for one datagram, or several of one sender.
pub(super) struct RunSlot {
    bytes: Box<[u8]>,
    start: usize,
    len: usize,
}

impl RunSlot {
    /// The slot with this number.
    pub(super) fn new(number: usize) -> Self {
        let start = number * STEP % PAGE;
        Self {
            bytes: vec![0; start + ROOM].into(),
            start,
            len: 0,
        }
    }

    /// What was received.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }
}

impl Slot for RunSlot {
    fn space(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }

    fn set_len(&mut self, len: usize) {
        self.len = len.min(self.bytes.len() - self.start);
    }
}
