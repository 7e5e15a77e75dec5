//! On what, and of what, the figures are.

use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// What they were measured on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    pub(crate) congestion_control: String,
    /// How much of all processors others kept busy before the first turn and after the last, while nothing was asked.
    pub(crate) others_busy: [f64; 2],
    /// Processes that wanted a processor on average in the minute before the end; the run's own are among them.
    pub(crate) load_average: String,
}

/// How much of all processors others may keep busy before it is said that figures suffer.
const QUIET: f64 = 0.05;

impl Machine {
    /// Words for people, if others kept the machine busy.
    pub(crate) fn disturbed(&self) -> Option<String> {
        let [before, after] = self.others_busy;
        (before.max(after) > QUIET).then(|| {
            format!(
                "other programs kept {:.0} % of all processors busy before the first turn and {:.0} % after the last: \
                 ratios are noisy, and latencies at a fixed rate and the processors' time are more than the rows' own",
                before * 100.0,
                after * 100.0
            )
        })
    }

    /// This one.
    pub(crate) fn here(congestion_control: String, others_busy: [f64; 2]) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let memory = read("/proc/meminfo");
        let memory = memory
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        let load = read("/proc/loadavg");
        Self {
            processor: processor(),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: memory.unwrap_or(0) / 1_024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            congestion_control,
            others_busy,
            load_average: load.split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

/// What the kernel calls the processor.
pub(crate) fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(": "));
    name.map_or_else(|| "unknown".to_owned(), |(_, name)| name.trim().to_owned())
}

/// The commit of the tree that this is run in; `None` outside of one, or without git.
pub(crate) fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    let and = if changed.is_empty() {
        ""
    } else {
        " and changes"
    };
    Some(format!("{commit}{and}"))
}
