//! Load of small, known requests, for measuring: few threads that do nothing else, nonblocking sockets, buffers that are
//! there before the first request.
//!
//! A *closed* loop has a number of connections, each of which asks again as soon as it has its answer: it shows the
//! highest rate. An *open* loop has a rate: each request has a time at which it is due, whether or not earlier ones are
//! answered, and its latency counts from then. A server that stalls is so charged for all that would have been asked
//! meanwhile (no coordinated omission).
//!
//! Answers are checked for their status and their length, to the byte. Whatever goes wrong is counted by kind, also
//! before and after the span that is measured.

mod answer;
mod engine;
mod outcome;
mod socket;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{LabError, Result};
use engine::{Engine, Share};
pub(crate) use outcome::Outcome;

/// What to ask, whom, how often and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// The servers; connections take turns.
    pub(crate) targets: Vec<SocketAddr>,
    /// Where connections come from; without any the kernel chooses.
    pub(crate) sources: Sources,
    /// What is asked for: the path of a URL.
    pub(crate) path: &'static str,
    /// Bytes of the body of each answer.
    pub(crate) body: u64,
    /// Whether a connection serves many requests, or one.
    pub(crate) keep_alive: bool,
    /// Connections at a time, at most.
    pub(crate) connections: u32,
    /// Requests a second of all threads together; `None`: as many as get answered.
    pub(crate) rate: Option<f64>,
    /// Threads.
    pub(crate) threads: u32,
    /// How long requests are sent before any is counted.
    pub(crate) warm_up: Duration,
    /// How long they are sent and counted then.
    pub(crate) measured: Duration,
    /// The longest that an answer may take.
    pub(crate) patience: Duration,
}

impl Job {
    /// From the first request to the last.
    pub(crate) fn span(&self) -> Duration {
        self.warm_up + self.measured
    }
}

/// Addresses and ports to connect from. No pair comes again until all have had their turn, over all jobs that share
/// them: a server may remember a connection for a while after its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    addresses: Arc<[IpAddr]>,
    next: Arc<AtomicU64>,
}

/// Ports that are used: below are those of services.
const FIRST_PORT: u64 = 2_048;
const PORTS: u64 = 65_536 - FIRST_PORT;

impl Sources {
    /// Of these addresses.
    pub(crate) fn new(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self {
            addresses: addresses.into_iter().collect(),
            next: Arc::default(),
        }
    }

    /// Whose turn it is; `None` when the kernel is to choose.
    fn next(&self) -> Option<SocketAddr> {
        let count = self.addresses.len() as u64;
        if count == 0 {
            return None;
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let address = self.addresses.get(usize::try_from(turn % count).ok()?)?;
        let port = FIRST_PORT + (turn / count) % PORTS;
        Some(SocketAddr::new(*address, u16::try_from(port).ok()?))
    }
}

/// A moment from which a job's times count.
#[allow(
    clippy::disallowed_methods,
    reason = "a benchmark measures how long something really takes"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Runs a job in the namespace of the calling thread; returns when the last answer is there, or its patience is over.
///
/// # Errors
/// When it can't start. Requests that fail are no error here: they are in the outcome.
pub(crate) fn run_here(job: &Job, begin: Instant) -> Result<Outcome> {
    if job.targets.is_empty() || job.connections == 0 {
        return Err(LabError::new("a job needs a target and a connection"));
    }
    let threads = job.threads.clamp(1, job.connections);
    thread::scope(|scope| {
        // Threads begin in the namespace of the one that starts them.
        let running = (0..threads).map(|number| {
            let share = Share {
                number,
                of: threads,
            };
            scope.spawn(move || Engine::new(job, share, begin)?.run())
        });
        let running: Vec<_> = running.collect();
        let mut whole = Outcome::new()?;
        for thread in running {
            let part = thread.join();
            whole.add(&part.map_err(|_| LabError::new("a thread of the load panicked"))??)?;
        }
        Ok(whole)
    })
}

#[cfg(test)]
mod tests;
