//! The process itself: its parent, its processors, its clocks.

use rustix::process::{
    Signal, getppid, getpriority_process, set_parent_process_death_signal, setpriority_process,
};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Has the kernel kill this process when the thread that started it ends. `parent` is the process
/// id of the starter: if that is gone already, this fails at once.
///
/// # Errors
/// `NotFound` if the parent is another process by now.
pub fn die_with_parent(parent: u32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let now = getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    if u32::try_from(now) != Ok(parent) {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("the parent process {parent} has ended"),
        ));
    }
    Ok(())
}

/// The processors that the calling thread may run on, in order.
///
/// # Errors
/// Those of `sched_getaffinity(2)`.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .collect())
}

/// Keeps the calling thread on one processor.
///
/// # Errors
/// `InvalidInput` if the thread may not run there.
pub fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// Has the kernel prefer the calling thread to ordinary ones, so that it is not late when all
/// processors are busy. `nice` is -20 (most preferred) to 19; 0 is what processes begin with.
///
/// # Errors
/// `PermissionDenied` without CAP_SYS_NICE, if the thread is to be preferred more than now.
pub fn set_thread_nice(nice: i32) -> io::Result<()> {
    // Linux keeps the value for each thread, and no process id means the caller (setpriority(2)).
    Ok(setpriority_process(None, nice)?)
}

/// Tells the scheduler how long the calling thread may run at a time before others that wait
/// have their turn (0.1 to 100 ms; the kernel's own value is 0.7 to 3 ms, by the number of processors): whoever asks for less may cut in on whoever asks for more
/// (Linux 6.12; kernels before that take no notice). Its policy and its nice value stay.
///
/// # Errors
/// `InvalidInput` if the kernel does not know the call that way, or the thread has a real-time policy; `PermissionDenied` where
/// a filter of calls forbids it.
pub fn set_thread_slice(slice: Duration) -> io::Result<()> {
    let nice = thread_nice()?;
    /// SCHED_FLAG_KEEP_POLICY (Linux 5.3).
    const KEEP_POLICY: u64 = 8;
    // struct sched_attr, as its first version has it.
    #[repr(C)]
    struct SchedAttr {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    let attr = SchedAttr {
        size: 48,
        policy: 0,
        flags: KEEP_POLICY,
        nice,
        priority: 0,
        runtime: u64::try_from(slice.as_nanos()).unwrap_or(u64::MAX),
        deadline: 0,
        period: 0,
    };
    // SAFETY: the kernel reads `size` bytes of a structure that lives until the call returns; thread 0 is the caller.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The calling thread's nice value.
///
/// # Errors
/// None that happens in practice.
pub fn thread_nice() -> io::Result<i32> {
    Ok(getpriority_process(None)?)
}

/// How long the thread that opened this has been ready to run and had no processor.
#[derive(Debug)]
pub struct RunDelay {
    file: File,
}

/// What a thread has waited for processors since it began.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Waited {
    /// How long altogether.
    pub span: Duration,
    /// How often it got a processor.
    pub times: u64,
}

impl RunDelay {
    /// Of the calling thread, whichever thread reads it.
    ///
    /// # Errors
    /// `NotFound` where the kernel does not measure it (`CONFIG_SCHED_INFO`), or /proc is not there.
    pub fn open() -> io::Result<Self> {
        let file = File::open("/proc/thread-self/schedstat")?;
        Ok(Self { file })
    }

    /// Its waits until now.
    ///
    /// # Errors
    /// `NotFound` if the thread has ended, `InvalidData` if the kernel writes it otherwise than documented
    /// (Documentation/scheduler/sched-stats.rst).
    pub fn read(&self) -> io::Result<Waited> {
        let mut bytes = [0; 96];
        let len = self.file.read_at(&mut bytes, 0)?;
        let text = str::from_utf8(&bytes[..len]).unwrap_or_default();
        let mut numbers = text.split_ascii_whitespace().skip(1).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(nanos)), Some(Ok(times))) => Ok(Waited {
                span: Duration::from_nanos(nanos),
                times,
            }),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// How long the machine's processors have had nothing to do.
#[derive(Debug)]
pub struct IdleTime {
    file: File,
    processors: u32,
}

impl IdleTime {
    /// Of all processors that are online now.
    ///
    /// # Errors
    /// `NotFound` where /proc is not there.
    pub fn open() -> io::Result<Self> {
        let file = File::open("/proc/uptime")?;
        // SAFETY: it takes a number and touches no memory of ours.
        let online = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
        Ok(Self {
            file,
            processors: u32::try_from(online).unwrap_or(1).max(1),
        })
    }

    /// Idle time since the machine started, of a processor in the mean, to a hundredth of a second by the number of
    /// processors.
    ///
    /// # Errors
    /// `InvalidData` if the kernel writes it otherwise than documented (proc(5), `/proc/uptime`).
    pub fn read(&self) -> io::Result<Duration> {
        let mut bytes = [0; 64];
        let len = self.file.read_at(&mut bytes, 0)?;
        let text = str::from_utf8(&bytes[..len]).unwrap_or_default();
        let seconds = text.split_ascii_whitespace().nth(1).map(str::parse::<f64>);
        match seconds {
            Some(Ok(seconds)) => Duration::try_from_secs_f64(seconds)
                .map(|idle| idle / self.processors)
                .map_err(|_| io::ErrorKind::InvalidData.into()),
            Some(Err(_)) | None => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Nanoseconds since the machine started, time asleep included; never goes back. A gap in it shows
/// that the process was paused (R11).
#[must_use]
pub fn boot_time_nanos() -> u64 {
    nanos(ClockId::Boottime)
}

/// What the calling thread has had of processors since it began.
#[must_use]
pub fn thread_time() -> Duration {
    Duration::from_nanos(nanos(ClockId::ThreadCPUTime))
}

fn nanos(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// Seconds of the wall clock since 1970; may jump.
#[must_use]
pub fn wall_clock_secs() -> u64 {
    u64::try_from(clock_gettime(ClockId::Realtime).tv_sec).unwrap_or(0)
}

#[cfg(test)]
mod tests;
