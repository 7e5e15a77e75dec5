//! A server that shares its cores evenly among its jobs.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A job in service: it is done when the server has given each of its jobs so much work.
#[derive(Clone, Copy, Debug)]
struct Job {
    done_at: f64,
    arrived: f64,
    from: u16,
}

/// A job that is done.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Done {
    /// From its arrival in the cluster to its end.
    pub(crate) response: f64,
    /// Who sent it here.
    pub(crate) from: u16,
}

impl PartialEq for Job {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Job {}

impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Job {
    /// Greatest is who is done first: heaps give the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.done_at.total_cmp(&self.done_at)
    }
}

/// A server under processor sharing: of `n` jobs on `cores` cores each gets `min(1, cores / n)` of a core.
///
/// Every job in service gets the same, so one sum of what each was given says when any of them is done: an
/// arrival or departure costs the logarithm of their number.
#[derive(Clone, Debug)]
pub struct Server {
    cores: f64,
    /// Work that a core does in a unit of time.
    speed: f64,
    jobs: BinaryHeap<Job>,
    /// The work that a job in service since the beginning would have been given.
    given: f64,
    /// When `given` was true.
    at: f64,
}

impl Server {
    /// An idle server with so many cores, each so fast (1 is as the work is measured).
    #[must_use]
    pub const fn new(cores: f64, speed: f64) -> Self {
        Self {
            cores,
            speed,
            jobs: BinaryHeap::new(),
            given: 0.0,
            at: 0.0,
        }
    }

    /// The work that it can do in a unit of time.
    #[must_use]
    pub fn capacity(&self) -> f64 {
        self.cores * self.speed
    }

    /// Jobs in service.
    #[must_use]
    pub fn jobs(&self) -> usize {
        self.jobs.len()
    }

    /// What each job gets in a unit of time.
    fn rate(&self) -> f64 {
        let jobs = u32::try_from(self.jobs.len()).unwrap_or(u32::MAX);
        self.speed * (self.cores / f64::from(jobs.max(1))).min(1.0)
    }

    fn advance(&mut self, now: f64) {
        self.given += (now - self.at) * self.rate();
        self.at = now;
    }

    /// A job arrives.
    pub fn arrive(&mut self, now: f64, work: f64) {
        self.take(now, work, now, 0);
    }

    /// A job arrives that `from` sent here, and that came into the cluster at `arrived`.
    pub(crate) fn take(&mut self, now: f64, work: f64, arrived: f64, from: u16) {
        self.advance(now);
        self.jobs.push(Job {
            done_at: self.given + work,
            arrived,
            from,
        });
    }

    /// When the next job is done, if none arrives before; `None` without jobs.
    #[must_use]
    pub fn next_done(&self) -> Option<f64> {
        let left = self.jobs.peek()?.done_at - self.given;
        Some(self.at + left.max(0.0) / self.rate())
    }

    /// The next job is done now; gives how long it was here.
    pub fn finish(&mut self, now: f64) -> Option<f64> {
        self.complete(now).map(|done| done.response)
    }

    /// The next job is done now.
    pub(crate) fn complete(&mut self, now: f64) -> Option<Done> {
        self.advance(now);
        let job = self.jobs.pop()?;
        Some(Done {
            response: now - job.arrived,
            from: job.from,
        })
    }
}

#[cfg(test)]
mod tests;
