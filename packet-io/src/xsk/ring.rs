//! One of the four rings between process and kernel: one side writes, the other reads.

use super::system::Mapping;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, Ordering};

/// What rings hold: the place of a frame, or that with its length.
///
/// # Safety
/// Plain integers, in the layout that the kernel has for the ring.
pub(super) unsafe trait Entry: Copy {}
// SAFETY: an integer, as fill and completion rings have.
unsafe impl Entry for u64 {}
// SAFETY: integers, as receive and send rings have.
unsafe impl Entry for libc::xdp_desc {}

/// A ring that is mapped as long as this lives. Numbers of entries run on for ever and wrap at 2^32.
struct Ring<T> {
    memory: Mapping,
    producer: usize,
    consumer: usize,
    flags: usize,
    entries: usize,
    size: u32,
    /// Our own side's number, not yet all told.
    own: u32,
    /// The other side's number when we looked last.
    other: u32,
    types: std::marker::PhantomData<T>,
}

impl<T: Entry> Ring<T> {
    fn map(
        file: BorrowedFd<'_>,
        place: u64,
        offsets: &libc::xdp_ring_offset,
        size: u32,
    ) -> io::Result<Self> {
        let len = offsets.desc as usize + size as usize * size_of::<T>();
        let ring = Self {
            memory: Mapping::of_file(file, len, place)?,
            producer: offsets.producer as usize,
            consumer: offsets.consumer as usize,
            flags: offsets.flags as usize,
            entries: offsets.desc as usize,
            size,
            own: 0,
            other: 0,
            types: std::marker::PhantomData,
        };
        let words = [ring.producer, ring.consumer, ring.flags];
        let fits = |&at: &usize| at % 4 == 0 && at + 4 <= ring.entries;
        if !size.is_power_of_two()
            || !words.iter().all(fits)
            || !ring.entries.is_multiple_of(align_of::<T>())
        {
            return Err(io::Error::other("the kernel's ring has an unknown layout"));
        }
        Ok(ring)
    }

    fn word(&self, at: usize) -> &AtomicU32 {
        // SAFETY: the place was checked when the ring was mapped, and the memory is only ever used as
        // an atomic there, by us and by the kernel.
        unsafe { AtomicU32::from_ptr(self.memory.start().as_ptr().add(at).cast()) }
    }

    fn entry(&self, number: u32) -> *mut T {
        let at = self.entries + (number & (self.size - 1)) as usize * size_of::<T>();
        // SAFETY: the masked number is below the size, for which the mapping has room.
        unsafe { self.memory.start().as_ptr().add(at).cast() }
    }

    fn needs_wakeup(&self) -> bool {
        self.word(self.flags).load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }
}

/// A ring that we write.
pub(super) struct Outgoing<T>(Ring<T>);

impl<T: Entry> Outgoing<T> {
    pub(super) fn map(
        file: BorrowedFd<'_>,
        place: u64,
        offsets: &libc::xdp_ring_offset,
        size: u32,
    ) -> io::Result<Self> {
        Ring::map(file, place, offsets, size).map(Self)
    }

    /// Entries for which there is room.
    pub(super) fn room(&mut self) -> u32 {
        let ring = &mut self.0;
        let free = ring.size - ring.own.wrapping_sub(ring.other);
        if free > 0 {
            return free;
        }
        // The kernel is done with what it passes by: our writes come after its reads.
        ring.other = ring.word(ring.consumer).load(Ordering::Acquire);
        ring.size - ring.own.wrapping_sub(ring.other)
    }

    /// Writes an entry, which the kernel sees after [`Self::publish`]; false if there is no room.
    pub(super) fn push(&mut self, entry: T) -> bool {
        if self.room() == 0 {
            return false;
        }
        // SAFETY: the kernel does not read entries from our published number on, and there is room
        // below its own.
        unsafe { self.0.entry(self.0.own).write(entry) };
        self.0.own = self.0.own.wrapping_add(1);
        true
    }

    pub(super) fn publish(&self) {
        // What was written to the entries, and to the frames they name, comes first.
        self.0
            .word(self.0.producer)
            .store(self.0.own, Ordering::Release);
    }

    /// Published entries that the kernel has not taken yet.
    pub(super) fn waiting(&mut self) -> u32 {
        let ring = &mut self.0;
        ring.other = ring.word(ring.consumer).load(Ordering::Acquire);
        ring.own.wrapping_sub(ring.other)
    }

    pub(super) fn needs_wakeup(&self) -> bool {
        self.0.needs_wakeup()
    }

    /// Takes back, from a ring that the kernel does not read yet, all that was pushed.
    pub(super) fn unpublish(&mut self) -> Vec<T> {
        let waiting = self.waiting();
        let ring = &mut self.0;
        let first = ring.own.wrapping_sub(waiting);
        let numbers = (0..waiting).map(|at| first.wrapping_add(at));
        // SAFETY: these entries were written, and nobody writes them now.
        let entries = numbers.map(|at| unsafe { ring.entry(at).read() }).collect();
        ring.own = first;
        self.publish();
        entries
    }
}

/// A ring that we read.
pub(super) struct Incoming<T>(Ring<T>);

impl<T: Entry> Incoming<T> {
    pub(super) fn map(
        file: BorrowedFd<'_>,
        place: u64,
        offsets: &libc::xdp_ring_offset,
        size: u32,
    ) -> io::Result<Self> {
        Ring::map(file, place, offsets, size).map(Self)
    }

    /// The next entry, if there is one. The kernel may use its place after [`Self::release`].
    pub(super) fn pop(&mut self) -> Option<T> {
        let ring = &mut self.0;
        if ring.own == ring.other {
            // What the kernel wrote to the entries, and to the frames they name, is seen from here.
            ring.other = ring.word(ring.producer).load(Ordering::Acquire);
            if ring.own == ring.other {
                return None;
            }
        }
        // SAFETY: the kernel has published this entry and does not write it again before it is
        // released.
        let entry = unsafe { ring.entry(ring.own).read() };
        ring.own = ring.own.wrapping_add(1);
        Some(entry)
    }

    pub(super) fn release(&self) {
        // Our reads of the entries come first.
        self.0
            .word(self.0.consumer)
            .store(self.0.own, Ordering::Release);
    }
}

impl<T> std::fmt::Debug for Outgoing<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing")
            .field("own", &self.0.own)
            .finish_non_exhaustive()
    }
}

impl<T> std::fmt::Debug for Incoming<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming")
            .field("own", &self.0.own)
            .finish_non_exhaustive()
    }
}
