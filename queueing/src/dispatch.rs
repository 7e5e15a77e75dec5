//! Who gets a job.

use crate::server::Server;
use jlb_flow_tracker::policy::{Candidate, Chooser, Policy as _, PolicyKind};
use jlb_protocol::NodeNumber;
use jlb_protocol::keyed_hash::FlowHash;
use rand::{RngExt, rngs::SmallRng};

/// A way of choosing a server for each job.
pub trait Dispatch {
    /// The place of the server that gets the job.
    fn place(&mut self, servers: &[Server], chance: &mut SmallRng) -> usize;
}

/// Two different places, drawn evenly.
fn two(servers: &[Server], chance: &mut SmallRng) -> (usize, usize) {
    let first = chance.random_range(0..servers.len());
    let second = chance.random_range(0..servers.len().saturating_sub(1).max(1));
    let second = second + usize::from(second >= first && servers.len() > 1);
    (first, second)
}

fn jobs(servers: &[Server], place: usize) -> usize {
    servers.get(place).map_or(usize::MAX, Server::jobs)
}

/// Any server.
#[derive(Clone, Copy, Debug)]
pub struct Random;

impl Dispatch for Random {
    fn place(&mut self, servers: &[Server], chance: &mut SmallRng) -> usize {
        chance.random_range(0..servers.len())
    }
}

/// Of two servers drawn by lot the one with fewer jobs, known perfectly.
#[derive(Clone, Copy, Debug)]
pub struct TwoChoices;

impl Dispatch for TwoChoices {
    fn place(&mut self, servers: &[Server], chance: &mut SmallRng) -> usize {
        let (first, second) = two(servers, chance);
        if jobs(servers, second) < jobs(servers, first) {
            second
        } else {
            first
        }
    }
}

/// An oracle: the server with the fewest jobs for its capacity, known perfectly; equal ones by lot.
#[derive(Clone, Copy, Debug)]
pub struct JoinShortest;

impl Dispatch for JoinShortest {
    fn place(&mut self, servers: &[Server], chance: &mut SmallRng) -> usize {
        let count = servers.len().max(1);
        let start = chance.random_range(0..count);
        let share = |place: &usize| {
            let jobs = u32::try_from(jobs(servers, *place)).unwrap_or(u32::MAX);
            let capacity = servers.get(*place).map_or(1.0, Server::capacity);
            (f64::from(jobs) + 1.0) / capacity
        };
        let places = (start..count).chain(0..start);
        places
            .min_by(|a, b| share(a).total_cmp(&share(b)))
            .unwrap_or(0)
    }
}

/// `SRc` of SRLB (Desmouceaux et al., ICDCS 2017): of two servers drawn by lot the first takes the job while it has
/// fewer than `threshold` of them; else the second must.
#[derive(Clone, Copy, Debug)]
pub struct SegmentRouting {
    /// Jobs from which the first server says no.
    pub threshold: usize,
}

impl Dispatch for SegmentRouting {
    fn place(&mut self, servers: &[Server], chance: &mut SmallRng) -> usize {
        let (first, second) = two(servers, chance);
        if jobs(servers, first) < self.threshold {
            first
        } else {
            second
        }
    }
}

/// A policy of the trackers, as it is in production, that knows all hosts' connections at every moment.
#[derive(Clone, Debug)]
pub struct Policy {
    chooser: Chooser,
    candidates: Vec<Candidate>,
}

impl Policy {
    /// The policy for so many hosts of one weight.
    #[must_use]
    pub fn new(kind: PolicyKind, hosts: u16, seed: u64) -> Self {
        let numbers = (1..=hosts).filter_map(NodeNumber::new);
        let candidates: Vec<_> = numbers
            .map(|host| Candidate {
                host,
                weight: 1,
                connections: 0,
                sent: 0,
                limit: None,
                load: 0,
                warmth: Candidate::WARM,
            })
            .collect();
        let mut chooser = Chooser::new(kind, seed);
        let pool: Vec<_> = candidates.iter().map(|it| (it.host, it.weight)).collect();
        chooser.pool_is(&pool);
        Self {
            chooser,
            candidates,
        }
    }
}

impl Dispatch for Policy {
    fn place(&mut self, servers: &[Server], chance: &mut SmallRng) -> usize {
        for (candidate, server) in self.candidates.iter_mut().zip(servers) {
            candidate.connections = u32::try_from(server.jobs()).unwrap_or(u32::MAX);
        }
        let flow = FlowHash(chance.random());
        let Some(host) = self.chooser.choose(flow, &self.candidates) else {
            return 0;
        };
        self.chooser.assigned(host, &self.candidates);
        usize::from(host.get() - 1)
    }
}
