//! Where a received packet is put.

use jlb_protocol::PacketBuf;

/// A buffer that one packet is received into.
pub trait Slot {
    /// The room for a packet; whatever was held is given up.
    fn space(&mut self) -> &mut [u8];

    /// Says that the first `len` bytes of [`Slot::space`] are the packet now.
    fn set_len(&mut self, len: usize);
}

impl Slot for PacketBuf {
    fn space(&mut self) -> &mut [u8] {
        PacketBuf::space(self)
    }

    fn set_len(&mut self, len: usize) {
        PacketBuf::set_len(self, len);
    }
}
