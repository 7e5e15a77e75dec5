//! Starts the programs of a lab, each in its namespace, and sees that they run.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use crate::error::{Doing, LabError, Result};
use crate::netns::Namespace;
use crate::process_id::{Grip, ProcessId};

/// Lines of a log that an error shows.
const SHOWN_LINES: usize = 12;

/// What to run, and where.
#[derive(Debug)]
pub struct Start {
    /// Names the process in errors, and its log file.
    pub name: String,
    /// Where it runs.
    pub namespace: Namespace,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Where what it says goes, after what is there already.
    pub log: PathBuf,
}

/// A program that was started.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

type Order = (Start, mpsc::Sender<Result<Process>>);

/// Starts programs from one thread that lives as long as this value: programs that ask to die
/// with their parent die with the *thread* that started them (prctl(2), PR_SET_PDEATHSIG).
#[derive(Debug)]
pub struct Starter {
    orders: mpsc::Sender<Order>,
}

impl Starter {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn new() -> Result<Self> {
        let (orders, incoming) = mpsc::channel::<Order>();
        thread::Builder::new()
            .name("lab-starter".into())
            .spawn(move || {
                for (order, reply) in incoming {
                    let _ = reply.send(start(order));
                }
            })
            .doing("start a thread")?;
        Ok(Self { orders })
    }

    /// Starts one program.
    ///
    /// # Errors
    /// When it is not there, or its log cannot be written.
    pub fn start(&self, start: Start) -> Result<Process> {
        let (reply, answer) = mpsc::channel();
        let gone = || LabError::new("the thread that starts programs is gone");
        self.orders.send((start, reply)).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }
}

fn start(start: Start) -> Result<Process> {
    let Start {
        name,
        namespace,
        program,
        arguments,
        log,
    } = start;
    let file = File::options()
        .create(true)
        .append(true)
        .open(&log)
        .doing(format_args!("write {}", log.display()))?;
    let copy = file
        .try_clone()
        .doing(format_args!("write {}", log.display()))?;
    // The thread goes from namespace to namespace: each program begins where it is.
    namespace.enter()?;
    let child = Command::new(&program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(copy)
        // The terminal's Ctrl-C is for the lab alone, which then stops them in order.
        .process_group(0)
        .spawn()
        .doing(format_args!("run {} for {name}", program.display()))?;
    Ok(Process { name, log, child })
}

impl Process {
    /// The number of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A hold on the process; `None` when it has ended.
    pub(crate) fn grip(&self) -> Option<Grip> {
        ProcessId::of(self.pid())?.grip()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        // An error: it is no child any more.
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Takes note of the end of a program that was ended, so that the system keeps nothing of it.
    /// Does not wait: one that still runs goes on.
    pub fn reap(&mut self) {
        let _ = self.child.try_wait();
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// An error with the end of its log if it has ended.
    ///
    /// # Errors
    /// That it ended.
    pub fn check(&mut self) -> Result<()> {
        let ended = self
            .child
            .try_wait()
            .doing(format_args!("look after {}", self.name))?;
        match ended {
            None => Ok(()),
            Some(status) => Err(self.complaint(&format!("ended with {status}"))),
        }
    }

    /// An error about this process with the end of its log.
    pub fn complaint(&self, what: &str) -> LabError {
        let tail = tail(&self.log);
        let said = if tail.is_empty() {
            "and said nothing".into()
        } else {
            format!("and said:\n{tail}")
        };
        LabError::new(format!("{} {what}, {said}", self.name))
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.len().saturating_sub(SHOWN_LINES);
    lines
        .iter()
        .skip(first)
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests;
