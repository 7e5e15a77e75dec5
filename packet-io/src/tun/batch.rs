//! Many packets to a device in one system call.
//!
//! The kernel has a call for one packet at a time only. What a packet brings about there, such as a connection that
//! ends, may wake others, and on the way back from the call they come first: a batch would be torn to pieces, each of
//! which finds its caches cold. So the calls of a batch are handed over together, by `io_uring`, which makes them one
//! after the other: a TUN device takes each at once or not at all, since its file has no bound on what waits
//! (`TUNSETSNDBUF`) unless somebody sets one.

use super::{Tun, vnet};
use io_uring::{IoUring, Probe, opcode, types};
use jlb_protocol::packet::offload::Offload;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Packets at a time, at most.
const MAX_PACKETS: usize = 64;

/// Bytes of packets and their headers at a time.
const ROOM: usize = 128 << 10;

/// Packets that wait to be handed over together. Each is one that the device would take by [`Tun::write`].
pub struct Batch {
    /// Headers and packets, one behind the other. The kernel reads them during [`Batch::flush`].
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    /// What the kernel said of each of the last ones: bytes, or a negative error number.
    results: Vec<i32>,
    ring: Option<IoUring>,
    /// Why there is no ring any more.
    failure: Option<io::Error>,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("packets", &self.ends.len())
            .field("in_one_call", &self.ring.is_some())
            .finish_non_exhaustive()
    }
}

impl Batch {
    /// One whose packets go a call each.
    #[must_use]
    pub fn one_by_one() -> Self {
        Self {
            bytes: Vec::with_capacity(ROOM),
            ends: Vec::with_capacity(MAX_PACKETS),
            results: Vec::with_capacity(MAX_PACKETS),
            ring: None,
            failure: None,
        }
    }

    /// One whose packets go together. Belongs to the calling thread.
    ///
    /// # Errors
    /// If the kernel has no `io_uring` (Linux 5.6), or the process may not use it (`kernel.io_uring_disabled`,
    /// seccomp).
    pub fn together() -> io::Result<Self> {
        let mut ring = IoUring::new(MAX_PACKETS as u32)?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        if !probe.is_supported(opcode::Write::CODE) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        // That it may be made does not say that it may be used.
        // SAFETY: it touches no memory.
        let pushed = unsafe { ring.submission().push(&opcode::Nop::new().build()) };
        pushed.map_err(io::Error::other)?;
        ring.submit_and_wait(1)?;
        ring.completion().for_each(drop);
        Ok(Self {
            ring: Some(ring),
            ..Self::one_by_one()
        })
    }

    /// Packets that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Adds a packet for this device. False if there is no room: [`Batch::flush`] makes some, unless the packet is of
    /// more than 64 KiB.
    #[must_use]
    pub fn push(&mut self, tun: &Tun, packet: &[u8]) -> bool {
        let header = vnet::write(&Offload::NONE);
        let header = if tun.offload { &header[..] } else { &[] };
        let room = ROOM.min(self.bytes.capacity());
        if self.ends.len() >= MAX_PACKETS || self.bytes.len() + header.len() + packet.len() > room {
            return false;
        }
        self.bytes.extend_from_slice(header);
        self.bytes.extend_from_slice(packet);
        self.ends.push(self.bytes.len());
        true
    }

    /// Why packets go a call each from now on, if that is so since the last time: of those that were just handed
    /// over, some may have been lost.
    pub fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Forgets all that wait.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Hands over all that wait, in order, and gives what came of each, as [`Tun::write`] does.
    pub fn flush(&mut self, tun: &Tun) -> impl Iterator<Item = io::Result<usize>> {
        self.results.clear();
        self.results.resize(self.ends.len(), UNKNOWN);
        match &mut self.ring {
            // Of one packet a plain call is cheaper.
            Some(ring) if self.ends.len() > 1 => {
                let written = write_all(ring, tun, &self.bytes, &self.ends, &mut self.results);
                if let Err(error) = written {
                    let code = error.raw_os_error().unwrap_or(libc::EIO);
                    for result in self.results.iter_mut().filter(|it| **it == UNKNOWN) {
                        *result = code.saturating_neg();
                    }
                    self.failure = Some(error);
                    // The kernel may still have calls of it, and so these bytes. It happens once at most.
                    let fresh = Self::one_by_one();
                    std::mem::forget(std::mem::replace(&mut self.bytes, fresh.bytes));
                    std::mem::forget(self.ring.take());
                }
            }
            Some(_) | None => {
                let mut start = 0;
                for (&end, result) in self.ends.iter().zip(&mut self.results) {
                    let written = rustix::io::write(&tun.file, &self.bytes[start..end]);
                    *result = match written {
                        Ok(written) => i32::try_from(written).unwrap_or(i32::MAX),
                        Err(error) => error.raw_os_error().saturating_neg(),
                    };
                    start = end;
                }
            }
        }
        self.clear();
        let header = if tun.offload { vnet::LEN } else { 0 };
        self.results
            .iter()
            .map(move |&result| match usize::try_from(result) {
                Ok(written) => Ok(written.saturating_sub(header)),
                Err(_) => Err(io::Error::from_raw_os_error(result.saturating_neg())),
            })
    }
}

/// Of a packet of which is not known whether it was taken.
const UNKNOWN: i32 = i32::MIN;

/// Has the kernel make a call for each packet, and waits until all are made. After an error some may not be.
fn write_all(
    ring: &mut IoUring,
    tun: &Tun,
    bytes: &[u8],
    ends: &[usize],
    results: &mut [i32],
) -> io::Result<()> {
    let file = types::Fd(tun.as_fd().as_raw_fd());
    let mut start = 0;
    for (number, &end) in ends.iter().enumerate() {
        let packet = &bytes[start..end];
        let entry = opcode::Write::new(file, packet.as_ptr(), packet.len() as u32)
            .build()
            .user_data(number as u64);
        // SAFETY: the file and the bytes are borrowed until this returns, and it returns when all calls are made;
        // otherwise with an error, upon which the caller gives the bytes up for good.
        let pushed = unsafe { ring.submission().push(&entry) };
        pushed.map_err(io::Error::other)?;
        start = end;
    }
    let mut left = ends.len();
    while left > 0 {
        match ring.submit_and_wait(left) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        for made in ring.completion() {
            if let Some(place) = results.get_mut(made.user_data() as usize) {
                *place = made.result();
            }
            left = left.saturating_sub(1);
        }
    }
    Ok(())
}
