//! One socket on one queue.

use super::Queue;
use super::frame::{Frame, Pool, Region};
use super::ring::{Incoming, Outgoing};
use super::system;
use crate::ebpf::Map;
use rustix::io::Errno;
use rustix::net::sockopt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// `XDP_MAX_TX_SKB_BUDGET`: frames that one call sends in copy mode, 32 in kernels without it.
const SEND_BUDGET: i32 = 9;

/// The room for frames that the device has not let go of yet, in bytes of the kernel's own count.
const SEND_BUFFER: usize = 64 << 20;

/// How a socket is bound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding {
    pub(super) queue: Queue,
    pub(super) ring: u32,
    pub(super) send_ring: u32,
    pub(super) copy: bool,
}

/// What became of frames that were to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kick {
    /// The kernel has taken all.
    Done,
    /// Some wait in the ring, since the device or the kernel's buffer is full: kick again.
    Waiting(u32),
}

/// What the kernel counted for a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// Packets lost since there was no free frame for them, or they were too long for one.
    pub dropped: u64,
    /// Packets lost since the ring of received frames was full.
    pub ring_full: u64,
    /// Times that the kernel found no free frame. Where packets are copied each is a packet, which is
    /// among the dropped ones.
    pub no_frame: u64,
    /// Free frames that the kernel did not accept.
    pub invalid_free: u64,
    /// Frames to send that the kernel did not accept, and did not send.
    pub invalid_sent: u64,
}

/// A socket on a queue of an interface. What one worker writes here lies on other cache lines than what another does.
///
/// To the kernel it is two: for each frame that was sent it wakes whoever waits for anything of the socket that
/// sent it, and nobody waits for the sending one.
#[derive(Debug)]
#[repr(align(128))]
pub struct Socket {
    sender: OwnedFd,
    receiver: OwnedFd,
    queue: Queue,
    region: Arc<Region>,
    fill: Outgoing<u64>,
    completed: Incoming<u64>,
    received: Incoming<libc::xdp_desc>,
    to_send: Outgoing<libc::xdp_desc>,
    /// Frames that are in the kernel's hands or in rings.
    lent: usize,
    /// Free frames that the kernel is to have.
    wanted: u32,
    filled: u32,
}

impl Socket {
    /// Binds a socket; `first` is the one that brought the memory, if this is another.
    pub(super) fn bind(
        region: &Arc<Region>,
        pool: &mut Pool,
        binding: Binding,
        first: Option<&Self>,
    ) -> io::Result<Self> {
        let (sender, receiver) = (system::socket()?, system::socket()?);
        let file = sender.as_fd();
        if first.is_none() {
            // SAFETY: integers; all zeroes is a value. There are fields that not every libc knows.
            let mut memory: libc::xdp_umem_reg = unsafe { std::mem::zeroed() };
            memory.addr = region.start().as_ptr().addr() as u64;
            memory.len = region.len() as u64;
            memory.chunk_size = region.frame_size() as u32;
            system::set_option(file, libc::XDP_UMEM_REG, memory)?;
        }
        let ring = binding.ring;
        let send_ring = binding.send_ring;
        for (name, size) in [
            (libc::XDP_UMEM_FILL_RING, ring),
            (libc::XDP_UMEM_COMPLETION_RING, ring),
            (libc::XDP_TX_RING, send_ring),
        ] {
            system::set_option(file, name, size)?;
        }
        system::set_option(receiver.as_fd(), libc::XDP_RX_RING, ring)?;
        // An older kernel sends 32 frames a call: `kick` goes on until it is done.
        let _ = system::set_option(file, SEND_BUDGET, send_ring);
        if sockopt::set_socket_send_buffer_size_force(file, SEND_BUFFER).is_err() {
            sockopt::set_socket_send_buffer_size(file, SEND_BUFFER)?;
        }
        let places: libc::xdp_mmap_offsets = system::option(file, libc::XDP_MMAP_OFFSETS)?;
        let (fill, completed) = (
            libc::XDP_UMEM_PGOFF_FILL_RING,
            libc::XDP_UMEM_PGOFF_COMPLETION_RING,
        );
        let (received, to_send) = (
            libc::XDP_PGOFF_RX_RING as u64,
            libc::XDP_PGOFF_TX_RING as u64,
        );
        let mut socket = Self {
            fill: Outgoing::map(file, fill, &places.fr, ring)?,
            completed: Incoming::map(file, completed, &places.cr, ring)?,
            received: Incoming::map(receiver.as_fd(), received, &places.rx, ring)?,
            to_send: Outgoing::map(file, to_send, &places.tx, send_ring)?,
            queue: binding.queue,
            region: Arc::clone(region),
            lent: 0,
            // Half of them stay for sending, however few there are.
            wanted: ring.min(u32::try_from(pool.len() / 2).unwrap_or(u32::MAX)),
            filled: 0,
            sender,
            receiver,
        };
        // Before the bind, or some drivers find nothing to begin with.
        socket.refill(pool);
        let mode = if binding.copy { libc::XDP_COPY } else { 0 };
        // A socket that shares memory takes over how the first one is bound.
        let (flags, shares) = match first {
            None => (libc::XDP_USE_NEED_WAKEUP | mode, None),
            Some(first) => (libc::XDP_SHARED_UMEM, Some(&first.sender)),
        };
        if let Err(error) = bind(&socket.sender, binding.queue, flags, shares) {
            // What was never bound has touched no frame.
            socket.take_back_fill(pool);
            return Err(error);
        }
        // The receiver has the sender's rings of free frames.
        let shares = Some(&socket.sender);
        bind(
            &socket.receiver,
            binding.queue,
            libc::XDP_SHARED_UMEM,
            shares,
        )?;
        Ok(socket)
    }

    /// The queue that the socket is on.
    #[must_use]
    pub const fn queue(&self) -> Queue {
        self.queue
    }

    /// Whether the driver uses the memory itself.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn is_zero_copy(&self) -> io::Result<bool> {
        let options: libc::xdp_options = system::option(self.sender.as_fd(), libc::XDP_OPTIONS)?;
        Ok(options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0)
    }

    /// Has XDP programs that use `map` by the queue's number send packets here.
    ///
    /// # Errors
    /// `ArgumentListTooLong` (E2BIG) if the map has no such queue.
    pub fn register(&self, map: &Map<u32, u32>) -> io::Result<()> {
        map.set(
            &self.queue.queue,
            &self.receiver.as_raw_fd().cast_unsigned(),
        )
    }

    /// Gives the kernel free frames for what arrives, as many as are missing; false if there were
    /// not enough.
    pub fn refill(&mut self, pool: &mut Pool) -> bool {
        let missing = self.wanted.saturating_sub(self.filled);
        let mut given = 0;
        while given < missing {
            let Some(frame) = pool.take() else { break };
            let place = self.region.offset_of(&frame);
            let Some(place) = place.filter(|_| self.fill.room() > 0) else {
                // The pool is another memory's, or the kernel has not taken what it has.
                let _ = pool.put(frame);
                break;
            };
            // The kernel puts the packet behind its own headroom, whatever the place in the frame.
            let size = self.region.frame_size() as u64;
            self.fill.push(place - place % size);
            given += 1;
        }
        if given > 0 {
            self.filled += given;
            self.lent += given as usize;
            self.fill.publish();
        }
        if self.fill.needs_wakeup() {
            // An error shows when frames are received.
            let _ = system::wake_receiver(self.receiver.as_fd());
        }
        given == missing
    }

    /// Before anything is bound: empties the ring that was just filled.
    fn take_back_fill(&mut self, pool: &mut Pool) {
        let size = self.region.frame_size() as u64;
        for place in self.fill.unpublish() {
            // SAFETY: the frame was given to a ring that the kernel has never read.
            let frame = unsafe { self.region.frame(place - place % size, 0) };
            if let Some(frame) = frame {
                self.lent -= 1;
                let _ = pool.put(frame);
            }
        }
    }

    /// Appends up to `max` frames that arrived, each from its Ethernet header on, and gives their
    /// number.
    pub fn receive(&mut self, frames: &mut Vec<Frame>, max: usize) -> usize {
        let mut count = 0;
        while count < max {
            let Some(one) = self.received.pop() else {
                break;
            };
            self.lent -= 1;
            self.filled = self.filled.saturating_sub(1);
            count += 1;
            // SAFETY: the kernel has given this frame back, which it had from the pool.
            let frame = unsafe { self.region.frame(one.addr, one.len as usize) };
            frames.extend(frame);
        }
        if count > 0 {
            self.received.release();
        }
        count
    }

    /// Puts a frame, from its Ethernet header on, into the ring of those to send; [`Self::kick`]
    /// has them sent.
    ///
    /// # Errors
    /// Gives back the frame if the ring is full, or it is of another memory.
    pub fn send(&mut self, frame: Frame) -> Result<(), Frame> {
        let Some(place) = self.region.offset_of(&frame) else {
            return Err(frame);
        };
        let entry = libc::xdp_desc {
            addr: place,
            len: frame.len() as u32,
            options: 0,
        };
        if !self.to_send.push(entry) {
            return Err(frame);
        }
        self.lent += 1;
        Ok(())
    }

    /// Has the kernel send what waits.
    ///
    /// # Errors
    /// That the interface is down or gone; what waits stays.
    pub fn kick(&mut self) -> io::Result<Kick> {
        self.to_send.publish();
        let mut waiting = self.to_send.waiting();
        while waiting > 0 && self.to_send.needs_wakeup() {
            match system::wake_sender(self.sender.as_fd()) {
                Ok(()) => {}
                Err(error) => match Errno::from_io_error(&error) {
                    // More than one call's budget, or no room now: below it shows which.
                    Some(Errno::AGAIN | Errno::BUSY | Errno::NOBUFS | Errno::INTR) => {}
                    _ => return Err(error),
                },
            }
            let left = self.to_send.waiting();
            if left == waiting {
                break;
            }
            waiting = left;
        }
        // A driver that needs no call is at it.
        Ok(if waiting == 0 || !self.to_send.needs_wakeup() {
            Kick::Done
        } else {
            Kick::Waiting(waiting)
        })
    }

    /// Takes back the frames that were sent, and gives their number.
    pub fn reclaim(&mut self, pool: &mut Pool) -> usize {
        let mut count = 0;
        while let Some(place) = self.completed.pop() {
            self.lent -= 1;
            count += 1;
            // SAFETY: the kernel is done with this frame, which `send` gave it.
            if let Some(frame) = unsafe { self.region.frame(place, 0) } {
                // It is of the region that the socket was opened with.
                if pool.put(frame).is_err() {
                    break;
                }
            }
        }
        if count > 0 {
            self.completed.release();
        }
        count
    }

    /// What the kernel counted since the socket was opened.
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn statistics(&self) -> io::Result<Statistics> {
        let told = |file: &OwnedFd| system::option(file.as_fd(), libc::XDP_STATISTICS);
        let received: libc::xdp_statistics = told(&self.receiver)?;
        let sent: libc::xdp_statistics = told(&self.sender)?;
        Ok(Statistics {
            dropped: received.rx_dropped,
            ring_full: received.rx_ring_full,
            no_frame: received.rx_fill_ring_empty_descs,
            invalid_free: received.rx_invalid_descs,
            invalid_sent: sent.tx_invalid_descs,
        })
    }
}

/// Readable when something has arrived.
impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receiver.as_fd()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.region.came_home(self.lent);
    }
}

/// Binds a file to a queue, with the memory of the one that it `shares` with, where there is one.
fn bind(file: &OwnedFd, queue: Queue, flags: u16, shares: Option<&OwnedFd>) -> io::Result<()> {
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: flags,
        sxdp_ifindex: queue.interface,
        sxdp_queue_id: queue.queue,
        sxdp_shared_umem_fd: shares.map_or(0, |other| other.as_raw_fd().cast_unsigned()),
    };
    system::bind(file.as_fd(), &address)
}
