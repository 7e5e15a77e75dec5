//! When jobs arrive and what work they bring: the same for all that is compared, here and elsewhere.

use super::Cluster;
use crate::work::{Work, exponential};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// A job.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Arrival {
    /// When it arrives.
    pub at: f64,
    /// What it takes alone on a core of speed 1.
    pub work: f64,
}

/// Jobs one after the other: a Poisson process, of which the seed decides everything.
#[derive(Clone, Debug)]
pub struct Arrivals {
    chance: SmallRng,
    /// The seed of all that is not the same for all that is compared.
    pub(super) lots: u64,
    gap: f64,
    work: Work,
    next_at: f64,
}

impl Arrivals {
    pub(super) fn new(cluster: &Cluster) -> Self {
        let mut chance = SmallRng::seed_from_u64(cluster.seed);
        let lots = chance.random();
        let gap = 1.0 / (cluster.load * cluster.capacity());
        Self {
            lots,
            gap,
            work: cluster.work,
            next_at: gap * exponential(&mut chance),
            chance,
        }
    }

    /// When the next one arrives.
    pub(super) const fn next_at(&self) -> f64 {
        self.next_at
    }

    /// The next one.
    pub(super) fn draw(&mut self) -> Arrival {
        let arrival = Arrival {
            at: self.next_at,
            work: self.work.draw(&mut self.chance),
        };
        self.next_at += self.gap * exponential(&mut self.chance);
        arrival
    }
}

impl Iterator for Arrivals {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        Some(self.draw())
    }
}

#[cfg(test)]
mod tests;
