//! A server: its cores, and how its jobs get them.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

/// Who is served when there are more jobs than cores.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Discipline {
    /// All, each as much as the others: processor sharing, as processes have it under an even scheduler.
    #[default]
    Sharing,
    /// Who came first; the others wait: as many workers as cores, each with one job at a time.
    Queue,
}

/// A job in service: it is done when the server has given each of its jobs so much work.
#[derive(Clone, Copy, Debug)]
struct Job {
    done_at: f64,
    arrived: f64,
    mark: u16,
}

/// A job that waits for a core.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    work: f64,
    arrived: f64,
    mark: u16,
}

/// A job that is done.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Done {
    /// From its arrival, as the caller said it, to its end.
    pub response: f64,
    /// The caller's mark.
    pub mark: u16,
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

/// A server. Under [`Discipline::Sharing`] each of `n` jobs on `cores` cores gets `min(1, cores / n)` of a core; under
/// [`Discipline::Queue`] no more than `cores` are in service, a core each.
///
/// Every job in service gets the same, so one sum of what each was given says when any of them is done: an
/// arrival or departure costs the logarithm of their number.
#[derive(Clone, Debug)]
pub struct Server {
    cores: f64,
    /// Work that a core does in a unit of time.
    speed: f64,
    discipline: Discipline,
    jobs: BinaryHeap<Job>,
    /// Who waits for a core, in order of arrival.
    waiting: VecDeque<Waiting>,
    /// The work that a job in service since the beginning would have been given.
    given: f64,
    /// When `given` was true.
    at: f64,
}

impl Server {
    /// An idle server under processor sharing with so many cores, each so fast (1 is as the work is measured).
    #[must_use]
    pub const fn new(cores: f64, speed: f64) -> Self {
        Self::of(Discipline::Sharing, cores, speed)
    }

    /// The same under any discipline; a queue wants a whole number of cores.
    #[must_use]
    pub const fn of(discipline: Discipline, cores: f64, speed: f64) -> Self {
        Self {
            cores,
            speed,
            discipline,
            jobs: BinaryHeap::new(),
            waiting: VecDeque::new(),
            given: 0.0,
            at: 0.0,
        }
    }

    /// The work that it can do in a unit of time.
    #[must_use]
    pub fn capacity(&self) -> f64 {
        self.cores * self.speed
    }

    /// Jobs in service, and those that wait for it.
    #[must_use]
    pub fn jobs(&self) -> usize {
        self.jobs.len() + self.waiting.len()
    }

    fn in_service(&self) -> f64 {
        f64::from(u32::try_from(self.jobs.len()).unwrap_or(u32::MAX))
    }

    /// What each job in service gets in a unit of time.
    fn rate(&self) -> f64 {
        self.speed * (self.cores / self.in_service().max(1.0)).min(1.0)
    }

    fn advance(&mut self, now: f64) {
        self.given += (now - self.at) * self.rate();
        self.at = now;
    }

    /// A job arrives.
    pub fn arrive(&mut self, now: f64, work: f64) {
        self.take(now, work, now, 0);
    }

    /// A job arrives of which the caller knows the mark, and whose response counts from `arrived`.
    pub fn take(&mut self, now: f64, work: f64, arrived: f64, mark: u16) {
        self.advance(now);
        let job = Waiting {
            work,
            arrived,
            mark,
        };
        if self.discipline == Discipline::Queue && self.in_service() >= self.cores {
            self.waiting.push_back(job);
        } else {
            self.serve(job);
        }
    }

    fn serve(&mut self, job: Waiting) {
        self.jobs.push(Job {
            done_at: self.given + job.work,
            arrived: job.arrived,
            mark: job.mark,
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
    pub fn complete(&mut self, now: f64) -> Option<Done> {
        self.advance(now);
        let job = self.jobs.pop()?;
        if let Some(next) = self.waiting.pop_front() {
            self.serve(next);
        }
        Some(Done {
            response: now - job.arrived,
            mark: job.mark,
        })
    }
}

#[cfg(test)]
mod tests;
