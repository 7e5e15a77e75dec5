//! Jobs arrive at random, are given to servers, and are timed.

use crate::dispatch::Dispatch;
use crate::events::Departures;
use crate::server::Server;
use crate::work::exponential;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// What is run.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// The servers, idle.
    pub servers: Vec<Server>,
    /// How much of the servers' capacity is asked for, above 0 and below 1.
    pub load: f64,
    /// Jobs that are timed.
    pub jobs: u32,
    /// Jobs before these, which fill the servers.
    pub warm_up: u32,
    /// Decides all chance.
    pub seed: u64,
}

/// What came out, in units of the mean work of a job.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// From arrival to departure, of each job that was timed, in order of departure.
    pub responses: Vec<f64>,
    /// Jobs that each server was given, of as many as were timed.
    pub given: Vec<u32>,
}

impl Experiment {
    /// Runs it: Poisson arrivals of jobs with exponential work.
    #[must_use]
    pub fn run(&self, dispatch: &mut dyn Dispatch) -> Outcome {
        let mut chance = SmallRng::seed_from_u64(self.seed);
        // A stream of its own for whom is chosen, so that every policy has the same arrivals.
        let mut lots = SmallRng::seed_from_u64(chance.random());
        let mut servers = self.servers.clone();
        let capacity: f64 = servers.iter().map(Server::capacity).sum();
        let gap = 1.0 / (self.load * capacity);
        let mut departures = Departures::new(servers.len());
        let mut given = vec![0; servers.len()];
        let all = self.warm_up.saturating_add(self.jobs);
        let mut responses = Vec::new();
        let mut arrived = 0;
        let mut departed = 0;
        let mut next_arrival = gap * exponential(&mut chance);
        while departed < all {
            let departure = departures.next();
            match departure {
                Some((at, place)) if at <= next_arrival => {
                    let Some(server) = servers.get_mut(place) else {
                        break;
                    };
                    let response = server.finish(at);
                    departures.predict(place, server);
                    departed += 1;
                    if departed > self.warm_up {
                        responses.extend(response);
                    }
                }
                _ => {
                    let place = dispatch.place(&servers, &mut lots);
                    let work = exponential(&mut chance);
                    let Some(server) = servers.get_mut(place) else {
                        break;
                    };
                    server.arrive(next_arrival, work);
                    departures.predict(place, server);
                    let is_counted = (self.warm_up..all).contains(&arrived);
                    if let Some(given) = given.get_mut(place).filter(|_| is_counted) {
                        *given += 1;
                    }
                    arrived += 1;
                    next_arrival += gap * exponential(&mut chance);
                }
            }
        }
        Outcome { responses, given }
    }
}

impl Outcome {
    /// The mean response time.
    #[must_use]
    pub fn mean(&self) -> f64 {
        let count = u32::try_from(self.responses.len()).unwrap_or(u32::MAX);
        self.responses.iter().sum::<f64>() / f64::from(count.max(1))
    }
}
