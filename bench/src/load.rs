//! HTTP load on the VIPs, from the client's namespace.
//!
//! Half of the workers keep their connection alive for many requests, half open one for each.
//! They are spread over the VIPs and over the client's addresses. Every byte of every answer is
//! checked. Without a rate each worker sends as soon as it has its answer (closed loop); with
//! one, requests have a time at which they are due and the latency counts from then, so that a
//! stalled server is charged for all that it kept waiting (no coordinated omission).

mod connect;
mod request;
mod tally;
mod worker;

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

use crate::error::{Doing, LabError, Result};
pub(crate) use connect::connect;
pub use request::What;
pub(crate) use request::{Failure, ask};
pub use tally::{ErrorKind, Tally};
use worker::Worker;

/// What to send, where, from where, how much and for how long.
#[derive(Clone, Debug)]
pub struct Load {
    /// The services, each an address and port; workers take turns.
    pub targets: Vec<SocketAddr>,
    /// Addresses to connect from; each worker uses those of its target's family.
    pub sources: Vec<IpAddr>,
    /// Workers, each with one connection at a time.
    pub workers: u32,
    /// For how long new requests are sent.
    pub duration: Duration,
    /// After the end, and for each request, the longest to wait for an answer.
    pub patience: Duration,
    /// Requests a second of all workers together; `None`: as many as get answered.
    pub rate: Option<f64>,
    /// What a worker asks for, in turns.
    pub mix: Vec<What>,
}

/// How far a running load is; read by the progress bar.
#[derive(Debug, Default)]
pub struct Progress {
    answered: AtomicU64,
    failed: AtomicU64,
}

impl Progress {
    /// Requests that got their right answer.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Requests that did not.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// A runtime for the calling thread alone, which may be in any namespace.
///
/// # Errors
/// When the kernel has no room for it.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .doing("start tokio")
}

/// Runs the load in the namespace of the calling thread; blocks until it is over.
///
/// # Errors
/// When it cannot start. Failed requests are no error here: they are in the tally.
pub fn run_here(load: &Load, progress: &Arc<Progress>) -> Result<Tally> {
    LocalSet::new().block_on(&runtime()?, drive(load, Arc::clone(progress)))
}

async fn drive(load: &Load, progress: Arc<Progress>) -> Result<Tally> {
    if load.targets.is_empty() || load.mix.is_empty() {
        return Err(LabError::new(
            "a load needs a target and something to ask for",
        ));
    }
    let begin = Instant::now();
    let tally = Rc::new(RefCell::new(Tally::new()?));
    let mut workers = JoinSet::new();
    for number in 0..load.workers {
        let worker = Worker::new(
            load,
            number,
            begin,
            Rc::clone(&tally),
            Arc::clone(&progress),
        );
        workers.spawn_local(worker.run());
    }
    // A worker ends by itself once its last request has had its patience.
    while let Some(ended) = workers.join_next().await {
        // One that panicked counted no error.
        ended.doing("run a worker of the load")?;
    }
    drop(workers);
    let mut tally = Rc::into_inner(tally)
        .ok_or_else(|| LabError::new("a worker of the load outlived it"))?
        .into_inner();
    tally.elapsed = begin.elapsed();
    Ok(tally)
}

#[cfg(test)]
mod tests;
