//! How busy the machine is, from `/proc`.

use jlb_protocol::Time;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

/// How the use of the processors is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    /// The share of time in which something that could run had to wait (PSI).
    Pressure,
    /// The share of time in which the processors were not idle.
    Busy,
}

/// The use of the processors since it was last asked for.
pub(crate) struct Cpu {
    file: File,
    source: Source,
    last: Option<Spent>,
}

/// Time that was spent, of how much, in any unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Spent {
    used: u64,
    all: u64,
}

impl Cpu {
    /// By pressure where the kernel tells it (`/proc/pressure/cpu`), else by `/proc/stat`.
    pub(crate) fn open() -> io::Result<Self> {
        let (file, source) = match File::open("/proc/pressure/cpu") {
            Ok(file) => (file, Source::Pressure),
            Err(_) => (File::open("/proc/stat")?, Source::Busy),
        };
        Ok(Self {
            file,
            source,
            last: None,
        })
    }

    /// The share since the last call, 0 to 65,535; `None` at first, and where no time has passed.
    pub(crate) fn share(&mut self, now: Time) -> io::Result<Option<u16>> {
        let text = whole(&mut self.file)?;
        let spent = match self.source {
            Source::Pressure => waited(&text).map(|used| Spent {
                used,
                all: now
                    .since(Time::ZERO)
                    .as_micros()
                    .try_into()
                    .unwrap_or(u64::MAX),
            }),
            Source::Busy => busy(&text),
        };
        let spent =
            spent.ok_or_else(|| io::Error::other("it is written otherwise than expected"))?;
        let before = self.last.replace(spent);
        Ok(before.and_then(|before| {
            share(
                spent.used.saturating_sub(before.used),
                spent.all.saturating_sub(before.all),
            )
        }))
    }
}

/// The use of the memory.
pub(crate) struct Memory {
    file: File,
}

impl Memory {
    pub(crate) fn open() -> io::Result<Self> {
        let file = File::open("/proc/meminfo")?;
        Ok(Self { file })
    }

    /// The share that is not available to new work, 0 to 65,535.
    pub(crate) fn share(&mut self) -> io::Result<Option<u16>> {
        let text = whole(&mut self.file)?;
        Ok(in_use(&text))
    }
}

/// The kernel makes the text anew when it is read from the beginning.
fn whole(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// The microseconds in which something waited for a processor: `some ... total=`.
fn waited(pressure: &str) -> Option<u64> {
    let some = pressure.lines().find(|line| line.starts_with("some "))?;
    let total = some.split(' ').find_map(|word| word.strip_prefix("total="));
    total?.parse().ok()
}

/// The first line of `/proc/stat`: `cpu`, user, nice, system, idle, iowait, irq, softirq, steal; what
/// follows is part of user and nice.
fn busy(stat: &str) -> Option<Spent> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .take(8)
        .map_while(|word| word.parse().ok())
        .collect();
    let all = ticks.iter().sum();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some(Spent {
        used: all - idle,
        all,
    })
}

fn in_use(meminfo: &str) -> Option<u16> {
    let value = |key| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let (total, available) = (value("MemTotal:")?, value("MemAvailable:")?);
    share(total.saturating_sub(available), total)
}

fn share(used: u64, all: u64) -> Option<u16> {
    let share = used.saturating_mul(u64::from(u16::MAX)).checked_div(all)?;
    Some(u16::try_from(share).unwrap_or(u16::MAX))
}

/// How long the processors' use is measured at least; a tick of `/proc/stat` is 10 ms.
pub(crate) const CPU_SPAN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
