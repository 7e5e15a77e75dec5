//! How many instructions a case takes. Unlike times these are the same on every machine that has the same
//! processor features and the same program, so that a change can be judged by them.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cases::Case;
use crate::error::{Doing, LabError, Result};

/// Packets or flows of the shorter of the two runs; the other has three times as many. Their difference has no
/// preparation in it.
const TIMES: u64 = 4_096;

/// Instructions that each packet or flow of the case took, by callgrind.
///
/// # Errors
/// If valgrind is missing or fails.
pub(crate) fn count(case: &Case) -> Result<f64> {
    let few = run(case, TIMES)?;
    let many = run(case, 3 * TIMES)?;
    Ok((many - few) as f64 / (2 * TIMES) as f64)
}

fn run(case: &Case, times: u64) -> Result<i64> {
    let program = std::env::current_exe().doing("find the running program")?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["bench", "micro", "--once", &case.name()])
        .args(["--times", &times.to_string()])
        .output()
        .map_err(|error| {
            let words = LabError::new(format!("cannot run valgrind: {error}"));
            if error.kind() == ErrorKind::NotFound {
                words.mend("apt-get install valgrind")
            } else {
                words
            }
        })?;
    let words = String::from_utf8_lossy(&output.stderr);
    let collected = collected(&words).filter(|_| output.status.success());
    collected.ok_or_else(|| {
        let last: Vec<_> = words.lines().rev().take(5).collect();
        let last = last.into_iter().rev().collect::<Vec<_>>().join("\n  ");
        LabError::new(format!("valgrind did not count {}:\n  {last}", case.name()))
    })
}

/// The number of instructions that callgrind says it has seen.
fn collected(words: &str) -> Option<i64> {
    let line = words.lines().find(|line| line.contains("Collected :"))?;
    let (_, number) = line.rsplit_once(':')?;
    number.trim().parse().ok()
}

/// Instructions by case, as they were once found good.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Baseline {
    path: PathBuf,
    by_case: BTreeMap<String, f64>,
}

/// How far above its baseline a case may be, as a part of it.
const TOLERANCE: f64 = 0.05;

impl Baseline {
    /// Reads a file that [`Self::write`] wrote.
    ///
    /// # Errors
    /// If it can't be read, or is something else.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .doing(format_args!("read the baseline {}", path.display()))?;
        let mut by_case = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let entry = line.split_once(' ').and_then(|(name, count)| {
                let count: f64 = count.trim().parse().ok()?;
                (count > 0.0).then(|| (name.to_owned(), count))
            });
            let Some((name, count)) = entry else {
                let place = format!("{}:{number}", path.display());
                let error = LabError::new(format!("{place}: not a case and its instructions"));
                return Err(error.mend("write lines like: parse 120.5"));
            };
            by_case.insert(name, count);
        }
        Ok(Self {
            path: path.to_owned(),
            by_case,
        })
    }

    /// Writes what was counted, to be compared with later.
    ///
    /// # Errors
    /// If the file can't be written.
    pub(crate) fn write(path: &Path, counted: &[(String, f64)]) -> Result<()> {
        let mut text = String::from(
            "# Instructions a packet, or a new flow, by callgrind. Written by:\n\
             # cargo run --release -- bench micro --instructions --flows 1,1000 --bless bench/instructions.txt\n",
        );
        for (name, count) in counted {
            text.push_str(&format!("{name} {count:.1}\n"));
        }
        std::fs::write(path, text).doing(format_args!("write {}", path.display()))
    }

    /// What is wrong with these counts: too many instructions, or a case that the baseline does not know.
    pub(crate) fn judge(&self, counted: &[(String, f64)]) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, count) in counted {
            match self.by_case.get(name) {
                None => wrong.push(format!("{name} is not in {}", self.path.display())),
                Some(before) if *count > before * (1.0 + TOLERANCE) => wrong.push(format!(
                    "{name} takes {count:.1} instructions, {:.1} % more than {before:.1}",
                    (count / before - 1.0) * 100.0
                )),
                Some(_) => {}
            }
        }
        wrong
    }

    /// By how much this count is more than before, in percent.
    pub(crate) fn change(&self, name: &str, count: f64) -> Option<f64> {
        let before = self.by_case.get(name)?;
        Some((count / before - 1.0) * 100.0)
    }
}

#[cfg(test)]
mod tests;
