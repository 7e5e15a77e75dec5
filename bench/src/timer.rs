//! Waits to the microsecond: the runtime's own timers know milliseconds only, which is much of a short job.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::error::{Doing, Result};

/// A timer of the kernel (timerfd_create(2)): a file that can be read once the time has come.
#[derive(Debug)]
pub(crate) struct Alarm(OwnedFd);

impl Alarm {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let made = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self(made))
    }

    /// Has it go off after a span that is not zero; what it was set to before is forgotten, and also that it went off.
    pub(crate) fn set(&self, span: Duration) -> io::Result<()> {
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec {
                tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: span.subsec_nanos().into(),
            },
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Alarm {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// An alarm for one waiter at a time.
#[derive(Debug)]
pub(crate) struct Timer(AsyncFd<Alarm>);

impl Timer {
    /// One for the runtime that this runs on.
    pub(crate) fn new() -> Result<Self> {
        let made = Alarm::new().and_then(on_tokio);
        made.doing("make a timer").map(Self)
    }

    /// Waits; may be dropped before it ends and called again.
    pub(crate) async fn wait(&self, span: Duration) -> Result<()> {
        if span.is_zero() {
            return Ok(());
        }
        self.try_wait(span).await.doing("wait for a timer")
    }

    async fn try_wait(&self, span: Duration) -> io::Result<()> {
        self.0.get_ref().set(span)?;
        loop {
            let mut ready = self.0.readable().await?;
            let mut count = [0; 8];
            let read = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut count)?));
            // Otherwise it was what an earlier wait left.
            if let Ok(read) = read {
                return read.map(|_| ());
            }
        }
    }
}

#[allow(
    deprecated,
    reason = "what took its place is for descriptors that may change, as that of an alarm does not"
)]
fn on_tokio(timer: Alarm) -> io::Result<AsyncFd<Alarm>> {
    AsyncFd::with_interest(timer, Interest::READABLE)
}

#[cfg(test)]
mod tests;
