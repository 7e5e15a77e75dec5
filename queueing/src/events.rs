//! Which server has a job done next.

use crate::server::Server;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

#[derive(Clone, Copy, Debug)]
struct Due {
    at: f64,
    server: usize,
    /// Which of the server's predictions it is: a later one makes it void.
    version: u64,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    /// Greatest is the earliest; of equal ones the server in front.
    fn cmp(&self, other: &Self) -> Ordering {
        let times = other.at.total_cmp(&self.at);
        times.then(other.server.cmp(&self.server))
    }
}

/// The departures that are predicted, one of each server that has a job.
#[derive(Clone, Debug, Default)]
pub(crate) struct Departures {
    due: BinaryHeap<Due>,
    versions: Vec<u64>,
}

impl Departures {
    pub(crate) fn new(servers: usize) -> Self {
        Self {
            due: BinaryHeap::new(),
            versions: vec![0; servers],
        }
    }

    /// The server's jobs have changed: its next departure is another one.
    pub(crate) fn predict(&mut self, server: usize, state: &Server) {
        let Some(version) = self.versions.get_mut(server) else {
            return;
        };
        *version += 1;
        if let Some(at) = state.next_done() {
            self.due.push(Due {
                at,
                server,
                version: *version,
            });
        }
    }

    /// The next departure, and from which server.
    pub(crate) fn next(&mut self) -> Option<(f64, usize)> {
        loop {
            let due = self.due.peek()?;
            if self.versions.get(due.server) == Some(&due.version) {
                return Some((due.at, due.server));
            }
            self.due.pop();
        }
    }
}
