//! Frames of the shared memory, and who has them.

use super::system::Mapping;
use jlb_protocol::Buffer;
use std::io;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes in front of a received packet, for headers to be put there in place
/// (`XDP_PACKET_HEADROOM`).
pub const HEADROOM: usize = 256;

/// The memory, as long as anybody may have a frame of it.
#[derive(Debug)]
pub(super) struct Region {
    memory: ManuallyDrop<Mapping>,
    frame_size: usize,
    count: usize,
    /// Frames that were with the pool or the kernel when these let go of the memory.
    home: AtomicUsize,
}

impl Region {
    pub(super) fn new(count: usize, frame_size: usize) -> io::Result<Self> {
        let len = count.checked_mul(frame_size).filter(|&len| len > 0);
        let len = len.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self {
            memory: ManuallyDrop::new(Mapping::anonymous(len)?),
            frame_size,
            count,
            home: AtomicUsize::new(0),
        })
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.memory.start()
    }

    pub(super) fn len(&self) -> usize {
        self.memory.len()
    }

    pub(super) const fn frame_size(&self) -> usize {
        self.frame_size
    }

    pub(super) fn came_home(&self, frames: usize) {
        self.home.fetch_add(frames, Ordering::Relaxed);
    }

    /// The frame that holds `offset`, with its packet from there on. `None` if that is no place in
    /// the memory, or the packet would end behind its frame.
    ///
    /// # Safety
    /// The frame is neither free nor anybody's.
    pub(super) unsafe fn frame(&self, offset: u64, len: usize) -> Option<Frame> {
        let offset = usize::try_from(offset).ok().filter(|&at| at < self.len())?;
        let start = offset % self.frame_size;
        let end = start
            .checked_add(len)
            .filter(|&end| end <= self.frame_size)?;
        // SAFETY: within the mapping.
        let chunk = unsafe { self.memory.start().add(offset - start) };
        Some(Frame {
            chunk,
            size: self.frame_size as u32,
            start: start as u32,
            end: end as u32,
        })
    }

    /// Where the frame's packet is in this memory; `None` if it is another's frame.
    pub(super) fn offset_of(&self, frame: &Frame) -> Option<u64> {
        let at = frame
            .chunk
            .addr()
            .get()
            .checked_sub(self.memory.start().addr().get())?;
        (at < self.len()).then_some(at as u64 + u64::from(frame.start))
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // A frame that somebody still has, or forgot, keeps the memory for good.
        if *self.home.get_mut() == self.count {
            // SAFETY: all frames are accounted for and this is the end: nobody uses the memory again.
            // The kernel has pages of its own hold of until its sockets are gone.
            unsafe { ManuallyDrop::drop(&mut self.memory) };
        }
    }
}

/// A frame in the caller's hands: a packet, with room in front of it.
///
/// Give it to [`Socket::send`](super::Socket::send) or back to [`Pool::put`]: one that is dropped is
/// lost for the memory's lifetime.
#[must_use = "a frame that is dropped is lost"]
#[derive(Debug)]
pub struct Frame {
    chunk: NonNull<u8>,
    size: u32,
    /// The packet, within the frame: start <= end <= size.
    start: u32,
    end: u32,
}

// SAFETY: whoever has the value is the only one who has the frame's bytes, see `Region::frame`.
unsafe impl Send for Frame {}
// SAFETY: a shared reference only reads.
unsafe impl Sync for Frame {}

impl Frame {
    /// The packet.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: within the frame, which is this value's alone and stays mapped while it exists.
        unsafe {
            std::slice::from_raw_parts(self.chunk.as_ptr().add(self.start as usize), self.len())
        }
    }

    /// The packet, to change in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let len = self.len();
        // SAFETY: as in `as_slice`, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.chunk.as_ptr().add(self.start as usize), len) }
    }

    /// Bytes of the packet.
    #[must_use]
    pub const fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether there is no packet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Makes room for `len` bytes in front of the packet and gives it; `None` if there is no such
    /// room.
    pub fn prepend(&mut self, len: usize) -> Option<&mut [u8]> {
        let start = u32::try_from(len)
            .ok()
            .and_then(|len| self.start.checked_sub(len))?;
        self.start = start;
        Some(&mut self.as_mut_slice()[..len])
    }

    /// Takes `len` bytes off the front, cut to what there is.
    pub fn strip(&mut self, len: usize) {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.start = self.start.saturating_add(len).min(self.end);
    }

    /// Keeps the first `len` bytes at most.
    pub fn truncate(&mut self, len: usize) {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.end = self.end.min(self.start.saturating_add(len));
    }

    /// Replaces the packet by a copy of `packet` behind the whole [`HEADROOM`]; false, and nothing
    /// changed, if it is longer than the frame has room for.
    pub fn fill(&mut self, packet: &[u8]) -> bool {
        let end = HEADROOM + packet.len();
        if end > self.size as usize {
            return false;
        }
        self.start = HEADROOM as u32;
        self.end = end as u32;
        self.as_mut_slice().copy_from_slice(packet);
        true
    }
}

/// The free frames.
#[derive(Debug)]
pub struct Pool {
    region: Arc<Region>,
    free: Vec<Frame>,
}

impl Pool {
    /// All frames of a new memory.
    pub(super) fn new(region: &Arc<Region>) -> Self {
        let size = region.frame_size();
        // The last ones first, so that they are taken in the order of the memory.
        let offsets = (0..region.count).rev().map(|at| (at * size) as u64);
        let free = offsets
            // SAFETY: nobody has a frame of a new memory.
            .filter_map(|offset| unsafe { region.frame(offset, 0) })
            .collect();
        Self {
            region: Arc::clone(region),
            free,
        }
    }

    /// A free frame, its packet empty behind the whole headroom; `None` if there is none.
    pub fn take(&mut self) -> Option<Frame> {
        let mut frame = self.free.pop()?;
        frame.start = (HEADROOM as u32).min(frame.size);
        frame.end = frame.start;
        Some(frame)
    }

    /// Takes a frame back.
    ///
    /// # Errors
    /// Gives back a frame of another memory.
    pub fn put(&mut self, frame: Frame) -> Result<(), Frame> {
        if self.region.offset_of(&frame).is_none() {
            return Err(frame);
        }
        self.free.push(frame);
        Ok(())
    }

    /// Free frames.
    #[must_use]
    pub fn len(&self) -> usize {
        self.free.len()
    }

    /// Whether no frame is free.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.free.is_empty()
    }

    /// The largest packet that a frame holds behind its headroom, in bytes.
    #[must_use]
    pub fn largest_packet(&self) -> usize {
        self.region.frame_size() - HEADROOM
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.region.came_home(self.free.len());
    }
}

impl Buffer for Frame {
    fn as_slice(&self) -> &[u8] {
        Self::as_slice(self)
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        Self::as_mut_slice(self)
    }

    fn prepend(&mut self, len: usize) -> Option<&mut [u8]> {
        Self::prepend(self, len)
    }

    fn strip(&mut self, len: usize) {
        Self::strip(self, len);
    }
}
