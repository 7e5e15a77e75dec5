//! `jlb drain` and `jlb undrain`: an operator speaks with a node of this machine.

use crate::control_socket;
use crate::error::Error;
use crate::survey::exchange;
use hyper::Method;
use hyper::body::Bytes;
use serde_json::{Value, json};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

/// How long a node may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a node that drains is asked how far it is.
const INTERVAL: Duration = Duration::from_millis(200);

/// The least time between two lines that say so.
const TELL_INTERVAL: Duration = Duration::from_secs(1);

/// How long after the deadline connections may be left: the kernel is asked each second what is left,
/// and a handshake that never ends has a time of its own.
const GRACE: Duration = Duration::from_secs(15);

/// How long connections may go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deadline {
    /// As long as `drain_timeout` of the node says in the cluster file; for ever without it.
    AsFile,
    /// For ever.
    Never,
    /// So long from now on.
    After(Duration),
}

/// Which node is drained, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Drain {
    /// The node's name.
    pub node: String,
    /// Where the node keeps its state, on this machine.
    pub state_dir: PathBuf,
    /// How long its connections may go on.
    pub deadline: Deadline,
    /// Whether to wait until none is left.
    pub wait: bool,
}

/// How far a node is that drains.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Progress {
    by: Vec<String>,
    since: Duration,
    /// Until what is left is closed; zero afterwards.
    deadline: Option<Duration>,
    /// Connections that are left.
    left: Option<u64>,
    /// Why there may be more, if there may.
    not_ready: Option<String>,
}

impl Progress {
    /// As a node's `/status` has it; `None` if it does not drain.
    pub(crate) fn read(page: &Value) -> Option<Self> {
        let value = &page["draining"];
        let by = value["by"].as_array()?.iter().filter_map(Value::as_str);
        let seconds = |key: &str| Duration::try_from_secs_f64(value[key].as_f64()?).ok();
        Some(Self {
            by: by
                .map(|word| word.chars().filter(|c| !c.is_control()).take(20).collect())
                .collect(),
            since: seconds("since_seconds")?,
            deadline: seconds("deadline_seconds"),
            left: value["connections_left"].as_u64(),
            not_ready: page["not_ready"]
                .as_str()
                .map(|why| why.chars().filter(|c| !c.is_control()).take(200).collect()),
        })
    }

    /// For machines.
    pub(crate) fn json(&self) -> Value {
        json!({
            "by": self.by,
            "since_seconds": self.since.as_secs_f64(),
            "deadline_seconds": self.deadline.map(|deadline| deadline.as_secs_f64()),
            "connections_left": self.left,
        })
    }

    /// Whether there is nothing more to wait for. Of a role without connections of its own only the
    /// deadline can be waited for. A host agent that has just started does not know all of its
    /// machine's.
    fn is_over(&self) -> bool {
        match self.left {
            Some(left) => left == 0 && self.not_ready.is_none(),
            None => self.deadline.is_none_or(|deadline| deadline.is_zero()),
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.since.as_secs();
        write!(f, "drains for {since} s by {}", self.by.join(" and "))?;
        match self.left {
            Some(1) => f.write_str(", 1 connection left")?,
            Some(left) => write!(f, ", {left} connections left")?,
            None => {}
        }
        if let Some(why) = &self.not_ready {
            write!(f, " ({why})")?;
        }
        match self.deadline {
            Some(deadline) if deadline.is_zero() => f.write_str(", its deadline has passed"),
            Some(deadline) => write!(f, ", {} s until its deadline", deadline.as_secs()),
            None => Ok(()),
        }
    }
}

/// Has a node of this machine drain; `tell` gets a line on how far it is, now and then.
///
/// # Errors
/// If the node does not run here, refuses, or has connections left well after the deadline.
pub fn drain(wanted: &Drain, mut tell: impl FnMut(&str)) -> Result<(), Error> {
    let node = Node::new(wanted.node.clone(), wanted.state_dir.clone());
    let deadline = match wanted.deadline {
        Deadline::AsFile => "file".to_owned(),
        Deadline::Never => "never".to_owned(),
        Deadline::After(span) => span.as_millis().to_string(),
    };
    block_on(async {
        let path = format!("/drain?deadline={deadline}");
        node.ask(Method::POST, &path).await?;
        let mut line = |progress: &Progress| tell(&format!("{}: {progress}", node.name));
        let first = node.progress().await?;
        line(&first);
        if wanted.wait {
            node.wait(first, line).await?;
        }
        Ok(())
    })
}

/// Has a node of this machine take new work again.
///
/// # Errors
/// If the node does not run here, or refuses.
pub fn undrain(node: &str, state_dir: PathBuf) -> Result<(), Error> {
    let node = Node::new(node.to_owned(), state_dir);
    block_on(async { node.ask(Method::POST, "/undrain").await.map(|_| ()) })
}

fn block_on(work: impl Future<Output = Result<(), String>>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::system("start asking"))?;
    runtime.block_on(work).map_err(Error::Control)
}

/// A node of this machine.
struct Node {
    name: String,
    socket: PathBuf,
}

impl Node {
    fn new(name: String, state_dir: PathBuf) -> Self {
        let socket = control_socket::path(&state_dir, &name);
        Self { name, socket }
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Bytes, String> {
        let asked = async {
            let stream = UnixStream::connect(&self.socket).await.map_err(|error| {
                let mend = match error.kind() {
                    std::io::ErrorKind::PermissionDenied => "run it as the node's user, or root",
                    _ => "does the node run on this machine, with this --state-dir?",
                };
                format!("{}: {error} ({mend})", self.socket.display())
            })?;
            exchange(stream, method, path, "localhost").await
        };
        let answer = timeout(PATIENCE, asked).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")));
        answer.map_err(|why| format!("{}: {why}", self.name))
    }

    async fn progress(&self) -> Result<Progress, String> {
        let body = self.ask(Method::GET, "/status").await?;
        let page: Value = serde_json::from_slice(&body)
            .map_err(|error| format!("{}: can't read its status: {error}", self.name))?;
        Progress::read(&page).ok_or_else(|| format!("{}: it does not drain any more", self.name))
    }

    /// Waits until nothing is left.
    async fn wait(&self, first: Progress, mut line: impl FnMut(&Progress)) -> Result<(), String> {
        let (mut progress, mut told, mut told_at) = (first.clone(), first, Instant::now());
        let mut passed_at = None;
        while !progress.is_over() {
            sleep(INTERVAL).await;
            progress = self.progress().await?;
            let now = Instant::now();
            let changed = progress.left != told.left || progress.not_ready != told.not_ready;
            if changed && (progress.is_over() || now - told_at >= TELL_INTERVAL) {
                line(&progress);
                (told, told_at) = (progress.clone(), now);
            }
            if progress.deadline.is_some_and(|deadline| deadline.is_zero()) {
                let passed_at = *passed_at.get_or_insert(now);
                if now - passed_at >= GRACE && !progress.is_over() {
                    let left = match (progress.left, progress.not_ready) {
                        (Some(0) | None, Some(why)) => why,
                        (left, _) => format!("{} connections are left", left.unwrap_or(0)),
                    };
                    return Err(format!(
                        "{}: {left}, {GRACE:?} after the deadline",
                        self.name
                    ));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
