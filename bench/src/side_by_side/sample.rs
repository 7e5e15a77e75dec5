//! What processors, processes and interfaces have done so far.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::error::{Doing, LabError, Result};
use crate::generator::now;

/// Nanoseconds of a tick of /proc/stat: Linux tells a hundred a second on every machine.
const TICK: u64 = 10_000_000;

/// Processes that are counted together, by what they are.
pub(super) type Groups = Vec<(&'static str, u32)>;

/// A moment.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    at: Instant,
    processors: u32,
    /// Nanoseconds that processors had nothing to do, added up.
    idle: u64,
    /// Nanoseconds that the processes of a group ran.
    ran: BTreeMap<&'static str, u64>,
    /// Packets that a node received and sent.
    packets: BTreeMap<String, [u64; 2]>,
}

/// What was done between two moments.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) seconds: f64,
    processors: u32,
    /// Seconds that processors were busy, added up.
    pub(super) busy: f64,
    /// Seconds that the processes of a group ran.
    pub(super) ran: BTreeMap<&'static str, f64>,
    /// Packets that a node received and sent.
    pub(super) packets: BTreeMap<String, [u64; 2]>,
}

impl Sample {
    /// Now. To be taken in the router's namespace, which has the other end of every node's cable.
    pub(super) fn take(groups: &Groups) -> Result<Self> {
        let stat = read(Path::new("/proc/stat"))?;
        let net = read(Path::new("/proc/thread-self/net/dev"))?;
        let mut ran: BTreeMap<&'static str, u64> = BTreeMap::new();
        for &(group, pid) in groups {
            *ran.entry(group).or_default() += tree(pid);
        }
        let (processors, idle) =
            idle(&stat).ok_or_else(|| LabError::new("cannot find the idle time in /proc/stat"))?;
        Ok(Self {
            at: now(),
            processors,
            idle,
            ran,
            packets: packets(&net),
        })
    }

    /// What was done until a later moment.
    pub(super) fn until(&self, later: &Self) -> Work {
        let seconds = later.at.duration_since(self.at).as_secs_f64();
        let idle = seconds_of(later.idle.saturating_sub(self.idle));
        let ran = later.ran.iter().map(|(&group, &after)| {
            let before = self.ran.get(group).copied().unwrap_or(0);
            (group, seconds_of(after.saturating_sub(before)))
        });
        let packets = later.packets.iter().map(|(name, after)| {
            let before = self.packets.get(name).copied().unwrap_or_default();
            let both = [0, 1].map(|at| after[at].saturating_sub(before[at]));
            (name.clone(), both)
        });
        Work {
            seconds,
            processors: later.processors,
            busy: (seconds * f64::from(later.processors) - idle).max(0.0),
            ran: ran.collect(),
            packets: packets.collect(),
        }
    }
}

impl Work {
    /// How much of all processors was busy: 1 is all of them.
    pub(super) fn busy_share(&self) -> f64 {
        self.busy / (self.seconds * f64::from(self.processors))
    }
}

fn seconds_of(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).doing(format_args!("read {}", path.display()))
}

/// The number of processors, and what they idled together. All else in that file is sampled by ticks; this is not.
fn idle(stat: &str) -> Option<(u32, u64)> {
    let is_one = |line: &&str| {
        let rest = line.strip_prefix("cpu");
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let count = stat.lines().filter(is_one).count();
    let all = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let mut columns = all.split_whitespace().skip(3);
    // To wait for a disk is to idle, too.
    let idle: u64 = columns.next()?.parse().ok()?;
    let waiting: u64 = columns.next()?.parse().ok()?;
    Some((u32::try_from(count).ok()?, (idle + waiting) * TICK))
}

/// Nanoseconds that a process and its children ran; nothing of those that have ended.
fn tree(pid: u32) -> u64 {
    let own = Path::new("/proc").join(pid.to_string());
    let mut ran = 0;
    let Ok(tasks) = fs::read_dir(own.join("task")) else {
        return 0;
    };
    for task in tasks.flatten() {
        let task = task.path();
        // schedstat: time on a processor, time waited for one, times it got one.
        let stat = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
        let first = stat.split_whitespace().next();
        ran += first.and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        // All that a lab runs are children of this process, and counted by themselves.
        if pid == std::process::id() {
            continue;
        }
        let children = fs::read_to_string(task.join("children")).unwrap_or_default();
        let children = children.split_whitespace();
        ran += children
            .filter_map(|word| word.parse().ok())
            .map(tree)
            .sum::<u64>();
    }
    ran
}

/// Packets by node, as the node has received and sent them: what the router's end has sent and received.
fn packets(dev: &str) -> BTreeMap<String, [u64; 2]> {
    let of = |line: &str| {
        let (name, counts) = line.split_once(':')?;
        let mut counts = counts.split_whitespace();
        let received = counts.nth(1)?.parse().ok()?;
        let sent = counts.nth(7)?.parse().ok()?;
        Some((name.trim().to_owned(), [sent, received]))
    };
    dev.lines().filter_map(of).collect()
}

#[cfg(test)]
mod tests;
