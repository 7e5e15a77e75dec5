//! `AF_XDP` sockets: whole Ethernet frames to and from a queue of an interface, in memory that the
//! process and the kernel share.
//!
//! The memory is cut into *frames*. Each frame is somewhere at each moment: free in the [`Pool`],
//! with the kernel in one of a [`Socket`]'s rings, or in the caller's hands as a [`Frame`], which is
//! the only way to its bytes. So nobody can touch a frame that the kernel owns.
//!
//! ```text
//! open -> (Pool, sockets)
//! loop: socket.reclaim(pool)      frames that were sent
//!       socket.refill(pool)       room for what arrives
//!       socket.receive(frames)    what arrived
//!       socket.send(frame)        as many as wanted, then
//!       socket.kick()             has the kernel send them
//!       pool.put(frame)           what is not sent
//! ```
//!
//! An XDP program sends packets here by a map of [`Kind::Sockets`](crate::ebpf::Kind::Sockets), see
//! [`Socket::register`]. `CAP_NET_RAW` is needed, and memory that may be locked
//! (`RLIMIT_MEMLOCK` or `CAP_IPC_LOCK`).

mod frame;
mod ring;
mod socket;
mod system;

pub use frame::{Frame, HEADROOM, Pool};
pub use socket::{Kick, Socket, Statistics};

use crate::wait::Poller;
use frame::Region;
use rustix::io::Errno;
use socket::Binding;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// A queue of an interface.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Queue {
    /// The interface's index.
    pub interface: u32,
    /// The queue's number, from 0.
    pub queue: u32,
}

/// Sizes and choices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Frames of memory for each socket. Those that wait in rings, and those in the caller's hands,
    /// have to suffice.
    pub frames: usize,
    /// Bytes of a frame with its [`HEADROOM`]: 2,048 or 4,096.
    pub frame_size: usize,
    /// Frames that may have arrived: a power of two.
    pub ring: u32,
    /// Frames that may wait to be sent: a power of two, `ring` at most.
    pub send_ring: u32,
    /// Copies packets even where the driver could use the memory itself.
    pub copy: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            frames: 4_096,
            frame_size: 2_048,
            ring: 2_048,
            send_ring: 2_048,
            copy: false,
        }
    }
}

/// How a set of sockets came to be.
#[derive(Debug)]
pub struct Opened {
    /// The frames.
    pub pool: Pool,
    /// The sockets, in the order of their queues.
    pub sockets: Vec<Socket>,
    /// Whether the drivers use the memory themselves.
    pub zero_copy: bool,
}

/// A queue that was just given up stays busy for a moment.
const BUSY_TRIES: u32 = 100;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// Opens a socket on each of the queues, over one memory: a frame that one of them received may be
/// sent by any. Without copies if all the drivers can and `options` does not forbid it.
///
/// # Errors
/// `InvalidInput` without queues, for sizes that can't be and for a queue that the interface does not
/// have; `ResourceBusy` if another socket has a queue, after two seconds of trying; `NotFound` or
/// `NoSuchDevice` without the interface; `PermissionDenied` without the capabilities.
pub fn open(queues: &[Queue], options: &Options) -> io::Result<Opened> {
    if queues.is_empty() || !matches!(options.frame_size, 2_048 | 4_096) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if !options.copy {
        match open_as(queues, options, false) {
            // The first socket's driver can go without copies, another one's can't.
            Err(error)
                if queues.len() > 1
                    && matches!(
                        Errno::from_io_error(&error),
                        Some(Errno::OPNOTSUPP | Errno::INVAL)
                    ) => {}
            other => return other,
        }
    }
    open_as(queues, options, true)
}

fn open_as(queues: &[Queue], options: &Options, copy: bool) -> io::Result<Opened> {
    let region = Arc::new(Region::new(
        options.frames.saturating_mul(queues.len()),
        options.frame_size,
    )?);
    let mut pool = Pool::new(&region);
    let mut poller = Poller::new()?;
    let mut sockets: Vec<Socket> = Vec::with_capacity(queues.len());
    for &queue in queues {
        let first = sockets.first();
        let binding = Binding {
            queue,
            ring: options.ring,
            send_ring: options.send_ring.min(options.ring),
            copy,
        };
        let mut tries = 0;
        let socket = loop {
            match Socket::bind(&region, &mut pool, binding, first) {
                Err(error)
                    if tries < BUSY_TRIES && Errno::from_io_error(&error) == Some(Errno::BUSY) =>
                {
                    tries += 1;
                    poller.wait(Some(BUSY_PAUSE))?.for_each(drop);
                }
                other => break other?,
            }
        };
        sockets.push(socket);
    }
    let zero_copy = sockets
        .iter()
        .try_fold(true, |all, one| one.is_zero_copy().map(|zero| all && zero))?;
    Ok(Opened {
        pool,
        sockets,
        zero_copy,
    })
}
