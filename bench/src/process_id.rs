//! Which process is meant, even after its number was given to another one.

use std::fs;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// A process: its number and when it started. The pair never comes again until the machine
/// starts anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// The number.
    pub pid: u32,
    /// Clock ticks from the start of the machine to the start of the process.
    pub started: u64,
}

/// A hold on a process that cannot slip to another one.
#[derive(Debug)]
pub(crate) struct Grip(OwnedFd);

impl ProcessId {
    /// The calling process.
    pub fn own() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// The process that has this number now; `None` if none has, or it has ended.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before it may contain anything, also ')' and blanks.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?;
        // proc_pid_stat(5): the state is field 3, starttime is field 22.
        let started = fields.nth(18)?.parse().ok()?;
        (!matches!(state, "Z" | "X")).then_some(Self { pid, started })
    }

    /// Whether it still runs.
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Takes hold of it; `None` when it has ended.
    pub(crate) fn grip(self) -> Option<Grip> {
        let pid = Pid::from_raw(i32::try_from(self.pid).ok()?)?;
        let grip = Grip(pidfd_open(pid, PidfdFlags::empty()).ok()?);
        // Checked after it is held: now the number cannot change hands unnoticed.
        self.is_alive().then_some(grip)
    }
}

impl Grip {
    /// Sends a signal; a process that has ended takes none, and that is fine.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(&self.0, signal);
    }

    /// Readable once the process has ended.
    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.0
    }
}

#[cfg(test)]
mod tests;
