//! Waiting for files with a deadline, and waking a thread that waits.

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// Most events that one wait reports; the rest comes with the next.
const MAX_EVENTS: usize = 64;

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interest {
    /// That something can be read.
    Readable,
    /// That something can be written.
    Writable,
    /// Either.
    Both,
}

impl Interest {
    const fn flags(self) -> EventFlags {
        match self {
            Self::Readable => EventFlags::IN,
            Self::Writable => EventFlags::OUT,
            Self::Both => EventFlags::IN.union(EventFlags::OUT),
        }
    }
}

/// A file that is ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ready {
    /// The number that the file was added under.
    pub token: u64,
    /// A read will not block: there is something to read, or an error to be told.
    pub readable: bool,
    /// A write will not block, or has an error to tell.
    pub writable: bool,
}

/// Waits for several files at once. Level-triggered: a file is reported as long as it is ready.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl std::fmt::Debug for Poller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poller")
            .field("epoll", &self.epoll)
            .finish_non_exhaustive()
    }
}

impl Poller {
    /// A poller without files.
    ///
    /// # Errors
    /// Those of `epoll_create(2)`: no file descriptors left.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(MAX_EVENTS),
        })
    }

    /// Adds a file, which is reported as `token`. It leaves by itself when it is closed.
    ///
    /// # Errors
    /// `AlreadyExists` if it was added before.
    pub fn add(&self, file: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        let data = EventData::new_u64(token);
        Ok(epoll::add(&self.epoll, file, data, interest.flags())?)
    }

    /// Changes what is waited for.
    ///
    /// # Errors
    /// `NotFound` if the file was not added.
    pub fn modify(&self, file: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        let data = EventData::new_u64(token);
        Ok(epoll::modify(&self.epoll, file, data, interest.flags())?)
    }

    /// Takes a file out.
    ///
    /// # Errors
    /// `NotFound` if the file was not added.
    pub fn remove(&self, file: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, file)?)
    }

    /// Waits until a file is ready or `timeout` has passed (`None`: for ever; else in milliseconds, rounded up) and
    /// gives the ready files; none after the timeout, or after a signal.
    ///
    /// # Errors
    /// Those of `epoll_wait(2)`, none of which happens in practice.
    pub fn wait(
        &mut self,
        timeout: Option<Duration>,
    ) -> io::Result<impl Iterator<Item = Ready> + '_> {
        // A span that overflows is for ever.
        let timeout = timeout.and_then(|span| Timespec::try_from(span).ok());
        self.events.clear();
        match epoll::wait(
            &self.epoll,
            spare_capacity(&mut self.events),
            timeout.as_ref(),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.events.iter().map(|event| {
            let flags = event.flags;
            let failed = flags.intersects(EventFlags::ERR.union(EventFlags::HUP));
            Ready {
                token: event.data.u64(),
                readable: failed || flags.contains(EventFlags::IN),
                writable: failed || flags.contains(EventFlags::OUT),
            }
        }))
    }
}

/// Has the calling thread sleep for about so long, whatever comes meanwhile; a signal may end it.
pub fn hold_still(span: Duration) {
    if let Ok(span) = Timespec::try_from(span) {
        let _ = rustix::thread::nanosleep(&span);
    }
}

/// Wakes a thread that waits in a [`Poller`] which the waker was added to. Clones wake the same
/// thread.
#[derive(Clone, Debug)]
pub struct Waker {
    event: Arc<OwnedFd>,
}

impl Waker {
    /// A waker that nobody has used yet.
    ///
    /// # Errors
    /// Those of `eventfd(2)`: no file descriptors left.
    pub fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            event: Arc::new(event),
        })
    }

    /// Ends the wait; wakes before [`Waker::clear`] count as one.
    pub fn wake(&self) {
        // The only error is a counter at its limit, and then a wake is pending anyhow.
        let _ = rustix::io::write(&*self.event, &1_u64.to_ne_bytes());
    }

    /// Takes the wake back: call it when the poller reports the waker, before looking for work.
    pub fn clear(&self) {
        let mut count = [0; 8];
        // The only error is that there was no wake.
        let _ = rustix::io::read(&*self.event, &mut count);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
