//! A packet's bytes with room in front for headers.

use alloc::vec;
use alloc::vec::Vec;

/// Room in front of a packet: enough for every header that a node puts there.
pub const HEADROOM: usize = 192;

/// The largest packet that a buffer holds behind its headroom.
pub const MAX_PACKET: usize = 9216 - HEADROOM;

/// A packet that headers are put in front of in place, wherever its bytes are kept.
pub trait Buffer {
    /// The bytes.
    fn as_slice(&self) -> &[u8];

    /// The bytes, to change in place.
    fn as_mut_slice(&mut self) -> &mut [u8];

    /// Makes room for `len` bytes in front and returns it; `None` if there is no such room.
    fn prepend(&mut self, len: usize) -> Option<&mut [u8]>;

    /// Takes `len` bytes off the front, cut to what there is.
    fn strip(&mut self, len: usize);
}

impl Buffer for PacketBuf {
    #[inline]
    fn as_slice(&self) -> &[u8] {
        Self::as_slice(self)
    }

    #[inline]
    fn as_mut_slice(&mut self) -> &mut [u8] {
        Self::as_mut_slice(self)
    }

    #[inline]
    fn prepend(&mut self, len: usize) -> Option<&mut [u8]> {
        Self::prepend(self, len)
    }

    #[inline]
    fn strip(&mut self, len: usize) {
        Self::strip(self, len);
    }
}

/// A packet with headroom: headers are put in front in place, without a copy of the packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PacketBuf {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Default for PacketBuf {
    fn default() -> Self {
        Self::new(2048)
    }
}

impl PacketBuf {
    /// An empty buffer for packets of up to `capacity` bytes, cut to [`MAX_PACKET`].
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let bytes = vec![0; HEADROOM + capacity.min(MAX_PACKET)];
        Self {
            bytes,
            start: HEADROOM,
            end: HEADROOM,
        }
    }

    /// A buffer that holds `packet`; bytes past [`MAX_PACKET`] are cut off.
    #[must_use]
    pub fn from_packet(packet: &[u8]) -> Self {
        let mut buf = Self::new(packet.len());
        buf.fill(packet);
        buf
    }

    /// The bytes.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The bytes, to change in place.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// Number of bytes held.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether no bytes are held.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Forgets the bytes and restores the headroom.
    #[inline]
    pub fn clear(&mut self) {
        self.start = HEADROOM;
        self.end = HEADROOM;
    }

    /// Replaces the bytes by a copy of `packet`, growing up to [`MAX_PACKET`]; false if it was cut.
    pub fn fill(&mut self, packet: &[u8]) -> bool {
        let len = packet.len().min(MAX_PACKET);
        if self.bytes.len() < HEADROOM + len {
            self.bytes.resize(HEADROOM + len, 0);
        }
        self.start = HEADROOM;
        self.end = HEADROOM + len;
        self.bytes[self.start..self.end].copy_from_slice(&packet[..len]);
        len == packet.len()
    }

    /// Makes room for packets of up to `capacity` bytes, cut to [`MAX_PACKET`].
    pub fn reserve(&mut self, capacity: usize) {
        let len = HEADROOM + capacity.min(MAX_PACKET);
        if self.bytes.len() < len {
            self.bytes.resize(len, 0);
        }
    }

    /// All the room behind the headroom, for a read from a device; say how much with
    /// [`Self::set_len`].
    pub fn space(&mut self) -> &mut [u8] {
        self.start = HEADROOM;
        self.end = HEADROOM;
        &mut self.bytes[HEADROOM..]
    }

    /// Says that `len` bytes were written into [`Self::space`], cut to what there is.
    pub fn set_len(&mut self, len: usize) {
        self.start = HEADROOM;
        self.end = HEADROOM.saturating_add(len).min(self.bytes.len());
    }

    /// Makes room for `len` bytes in front and returns it; `None` if there is no such room.
    #[inline(always)]
    pub fn prepend(&mut self, len: usize) -> Option<&mut [u8]> {
        let start = self.start.checked_sub(len)?;
        self.start = start;
        Some(&mut self.bytes[start..start + len])
    }

    /// Takes `len` bytes off the front, cut to what there is.
    pub fn strip(&mut self, len: usize) {
        self.start = self.start.saturating_add(len).min(self.end);
    }
}

#[cfg(test)]
mod tests;
