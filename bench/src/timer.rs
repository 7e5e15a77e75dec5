//! Waits to the microsecond: the runtime's own timers know milliseconds only, which is much of a short job.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::error::{Doing, Result};

/// A timer of the kernel (timerfd_create(2)), for one waiter at a time.
#[derive(Debug)]
pub(crate) struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    /// One for the runtime that this runs on.
    pub(crate) fn new() -> Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let made = timerfd_create(TimerfdClockId::Monotonic, flags);
        let made = made.map_err(io::Error::from).and_then(on_tokio);
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
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec {
                tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: span.subsec_nanos().into(),
            },
        };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
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
    reason = "what took its place is for descriptors that may change, as an OwnedFd does not"
)]
fn on_tokio(timer: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(timer, Interest::READABLE)
}

#[cfg(test)]
mod tests;
