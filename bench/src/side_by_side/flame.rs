//! Where a balancer's processes spend their time: samples of their stacks by perf, as a flame graph.

mod picture;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::sample::Groups;
use crate::error::{Doing, LabError, Result};
use crate::nginx::find_program;

/// Samples a second of each processor; a prime, so that nothing that comes regularly is always or never met.
const FREQUENCY: &str = "997";
/// What has less than this share of all samples is left out.
const LEAST: f64 = 0.002;
/// Calls of calls that are told.
const DEEPEST: usize = 34;
/// Where addresses of the kernel begin on 64-bit machines.
const KERNEL: u64 = 1 << 63;

/// A function, and how often it or what it called was met.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) is_kernel: bool,
    pub(crate) samples: u64,
    pub(crate) calls: Vec<Call>,
}

/// What one turn showed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Flame {
    pub(crate) row: String,
    pub(crate) workload: String,
    /// All samples; below it a call for each kind of process.
    pub(crate) root: Call,
}

/// A perf that records.
pub(super) struct Recording {
    child: Child,
    perf: PathBuf,
    file: PathBuf,
    groups: BTreeMap<u32, &'static str>,
}

/// The perf of this machine.
///
/// # Errors
/// That there is none.
pub(super) fn find() -> Result<PathBuf> {
    find_program("perf").ok_or_else(|| {
        LabError::new("there is no perf on this machine")
            .mend("`apt install linux-perf`, or leave --flame out")
    })
}

impl Recording {
    /// Starts to sample processes; goes on for `span`.
    pub(super) fn start(
        perf: &Path,
        file: PathBuf,
        groups: &Groups,
        span: Duration,
    ) -> Result<Self> {
        let pids: Vec<String> = groups.iter().map(|(_, pid)| pid.to_string()).collect();
        let child = Command::new(perf)
            .args(["record", "-q", "-g", "-F", FREQUENCY, "-o"])
            .arg(&file)
            .args(["-p", &pids.join(","), "--", "sleep"])
            .arg(format!("{:.3}", span.as_secs_f64()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .doing("run perf")?;
        Ok(Self {
            child,
            perf: perf.to_owned(),
            file,
            groups: groups.iter().map(|&(group, pid)| (pid, group)).collect(),
        })
    }

    /// Waits for its end, and reads what it has.
    pub(super) fn finish(self, row: &str, workload: &str) -> Result<Flame> {
        let output = self.child.wait_with_output().doing("wait for perf")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(LabError::new(format!("perf fails: {}", said.trim())));
        }
        let output = Command::new(&self.perf)
            .args(["script", "-F", "pid,ip,sym", "-i"])
            .arg(&self.file)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .doing("run perf script")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut root = fold(&text, &self.groups);
        let least = (root.samples as f64 * LEAST).ceil() as u64;
        root.tidy(least);
        Ok(Flame {
            row: row.to_owned(),
            workload: workload.to_owned(),
            root,
        })
    }
}

/// Adds up the samples of `perf script -F pid,ip,sym`: a line with the process, a line for each call, the innermost
/// first, and an empty line.
fn fold(text: &str, groups: &BTreeMap<u32, &'static str>) -> Call {
    let mut root = Call {
        name: "all".to_owned(),
        ..Call::default()
    };
    for sample in text.split("\n\n") {
        let mut lines = sample.lines().map(str::trim).filter(|it| !it.is_empty());
        let pid = lines.next().and_then(|line| line.parse().ok());
        let Some(pid) = pid else { continue };
        let group = groups.get(&pid).copied().unwrap_or("others");
        let mut stack: Vec<(&str, bool)> = lines.filter_map(call).collect();
        stack.push((group, false));
        root.add(stack.iter().rev().take(DEEPEST).copied());
    }
    root
}

/// A call of a line; `None` where perf found no name, which says nothing.
fn call(line: &str) -> Option<(&str, bool)> {
    let (address, name) = line.split_once(' ')?;
    let address = u64::from_str_radix(address, 16).ok()?;
    let is_name = !name.starts_with("[unknown]") && !name.starts_with("0x");
    // Unwinding through code without frame pointers gives addresses that are none.
    let is_some = is_name && !name.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_some.then_some((name.trim(), address >= KERNEL))
}

impl Call {
    fn add<'a>(&mut self, stack: impl Iterator<Item = (&'a str, bool)>) {
        self.samples += 1;
        let mut at = self;
        for (name, is_kernel) in stack {
            let known = at.calls.iter().position(|call| call.name == name);
            let place = known.unwrap_or_else(|| {
                at.calls.push(Call {
                    name: name.to_owned(),
                    is_kernel,
                    ..Call::default()
                });
                at.calls.len() - 1
            });
            at = &mut at.calls[place];
            at.samples += 1;
        }
    }

    /// Leaves out what is rare, and sorts the rest by how often it was met.
    fn tidy(&mut self, least: u64) {
        self.calls.retain(|call| call.samples >= least);
        self.calls.sort_by(|a, b| {
            let by_samples = b.samples.cmp(&a.samples);
            by_samples.then_with(|| a.name.cmp(&b.name))
        });
        for call in &mut self.calls {
            call.tidy(least);
        }
    }

    /// How many calls there are below each other, this one included.
    fn depth(&self) -> usize {
        1 + self.calls.iter().map(Self::depth).max().unwrap_or(0)
    }
}

impl Flame {
    /// As SVG that takes its colours from the page.
    pub(super) fn svg(&self) -> String {
        picture::svg(
            &format!("{}: time of {}'s processes", self.workload, self.row),
            &self.root,
        )
    }
}

#[cfg(test)]
mod tests;
