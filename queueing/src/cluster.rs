//! A cluster with the information that it really has: several trackers that each see a part of the jobs, hosts that
//! report late and have a say of their own, and messages that take time.

mod agent;
mod arrivals;
mod run;
mod timeline;
mod trackers;

use crate::admission::Admits;
use crate::dispatch::Dispatch;
use crate::measured::Measured;
use crate::server::{Discipline, Server};
use crate::work::Work;
pub use arrivals::{Arrival, Arrivals};
use jlb_flow_tracker::policy::PolicyKind;

/// A host.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Host {
    /// Its cores.
    pub cores: f64,
    /// Work that a core does in a unit of time.
    pub speed: f64,
    /// Who is served when there are more jobs than cores.
    pub discipline: Discipline,
    /// Its weight in the pool.
    pub weight: u16,
    /// What is wrong with it.
    pub fault: Option<Fault>,
}

impl Host {
    /// A sound host with so many cores of speed 1, and weight 1.
    #[must_use]
    pub const fn new(cores: f64) -> Self {
        Self {
            cores,
            speed: 1.0,
            discipline: Discipline::Sharing,
            weight: 1,
            fault: None,
        }
    }

    pub(crate) fn server(&self) -> Server {
        Server::of(self.discipline, self.cores, self.speed)
    }
}

/// A fault of a host's server.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Fault {
    /// When it begins, in units after the warm-up. Each job ends at once from then on, with an error.
    pub from: f64,
    /// How long after that the host's health check notices it; `None` for never.
    pub noticed: Option<f64>,
}

/// When hosts report their load to the trackers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Reports {
    /// After the last report at the latest.
    pub interval: f64,
    /// When the connections have changed, so long after the last report at the soonest; `None`: changes do not
    /// hurry a report.
    pub on_change: Option<f64>,
}

/// What trackers learn from beside their own Offers and the reports. A search has two trackers: the one that leads
/// it, and the secondary, through which its Offers and answers go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Hears {
    /// The secondary counts the Offers that it passes on as sent.
    pub offers: bool,
    /// A Reject tells both the host's load.
    pub rejects: bool,
    /// So does an Accept.
    pub accepts: bool,
}

/// What happens to a job that was rejected as often as the search allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overload {
    /// Its client gets an error.
    Refuse,
    /// The last host that the search allows must take it, as in SRLB.
    MustAccept,
}

/// Who chooses the hosts.
pub enum Chooses<'a> {
    /// The trackers, by this policy of theirs, with what they know.
    Trackers(PolicyKind),
    /// Each tracker takes the host with the fewest jobs for its weight of those that it sent itself: least
    /// connections as balancers have it that hosts tell nothing.
    OwnConnections,
    /// Somebody who knows everything at every moment, and needs no time; hosts have no say.
    Oracle(&'a mut dyn Dispatch),
}

/// A bug on purpose, by which a test shows that it would be noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mistake {
    /// Trackers forget what they have sent since a host's report.
    ForgetsSent,
    /// Searches forget who said no.
    ForgetsTried,
}

/// What is run.
#[derive(Clone, PartialEq, Debug)]
pub struct Cluster {
    /// The hosts, idle.
    pub hosts: Vec<Host>,
    /// Trackers: each leads the search of an equal part of the jobs, drawn by lot.
    pub trackers: u16,
    /// The hosts' own say.
    pub admits: Admits,
    /// Offers that a search may make, 1 to 16.
    pub search_ttl: u8,
    /// What happens after these.
    pub overload: Overload,
    /// The part of what other hosts' jobs last below which trackers take a host for one that fails at once, in
    /// percent; 0 for never.
    pub min_life_percent: u8,
    /// What trackers hear of hosts.
    pub reports: Reports,
    /// What else they learn from.
    pub hears: Hears,
    /// How long a message takes from node to node.
    pub delay: f64,
    /// How work is distributed.
    pub work: Work,
    /// How much of the hosts' capacity is asked for, above 0 and below 1.
    pub load: f64,
    /// Jobs that arrive while it is measured.
    pub jobs: u32,
    /// Jobs before these, which fill the hosts.
    pub warm_up: u32,
    /// Which responses are timed. `false`: of the jobs that end while it is measured, as fits a long run. `true`: of
    /// those that arrive while it is, each followed to its end, as a client times them.
    pub to_the_end: bool,
    /// Decides all chance.
    pub seed: u64,
    /// What is wrong with the trackers.
    pub planted: Option<Mistake>,
}

impl Cluster {
    /// The SRLB paper's setting under our protocol's usual times, with a mean work of 100 ms: 12 hosts of 2 cores,
    /// messages of 0.25 ms, a report each 100 ms.
    #[must_use]
    pub fn srlb(load: f64) -> Self {
        Self {
            hosts: vec![Host::new(2.0); 12],
            trackers: 4,
            admits: Admits::Always,
            search_ttl: 4,
            overload: Overload::Refuse,
            min_life_percent: 15,
            reports: Reports {
                interval: 1.0,
                on_change: None,
            },
            delay: 0.0025,
            hears: Hears::default(),
            work: Work::Exponential,
            load,
            jobs: 200_000,
            warm_up: 20_000,
            to_the_end: false,
            seed: 1,
            planted: None,
        }
    }

    /// The hosts' capacity: the work that they can do in a unit of time.
    #[must_use]
    pub fn capacity(&self) -> f64 {
        let each = self.hosts.iter().map(|host| host.cores * host.speed);
        each.sum()
    }

    /// The jobs of a run, those of the warm-up first, without end.
    #[must_use]
    pub fn arrivals(&self) -> Arrivals {
        Arrivals::new(self)
    }

    /// Runs it: Poisson arrivals.
    #[must_use]
    pub fn run(&self, chooses: Chooses<'_>) -> Measured {
        run::Run::new(self, chooses).measure()
    }
}
