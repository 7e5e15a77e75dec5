//! One run, event by event.

use super::agent::Agent;
use super::arrivals::{Arrival, Arrivals};
use super::timeline::{Event, Search, Timeline};
use super::trackers::{SERVICE, Trackers, node};
use super::{Chooses, Cluster, Mistake, Overload};
use crate::events::Departures;
use crate::measured::{Measured, variation};
use crate::server::Server;
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::message::{ServiceLoad, Tried};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// The work that an error costs.
const ERROR: f64 = 0.001;
/// What rounding may take from a time.
const HAIR: f64 = 1e-9;

pub(super) struct Run<'c, 'o> {
    cluster: &'c Cluster,
    chooses: Chooses<'o>,
    servers: Vec<Server>,
    agents: Vec<Agent>,
    trackers: Trackers,
    departures: Departures,
    timeline: Timeline,
    arrivals: Arrivals,
    /// Who leads which search, and the oracles' lots.
    lots: SmallRng,
    now: f64,
    /// When measuring began.
    begun: Option<f64>,
    /// How long was measured, from the first arrival that counts to the last.
    lasted: f64,
    /// Jobs that have not ended.
    open: u64,
    reports: u64,
    /// Moments at which the spread was looked at.
    looks: u32,
    responses: Vec<f64>,
    measured: Measured,
}

impl<'c, 'o> Run<'c, 'o> {
    pub(super) fn new(cluster: &'c Cluster, chooses: Chooses<'o>) -> Self {
        let arrivals = cluster.arrivals();
        let mut lots = SmallRng::seed_from_u64(arrivals.lots);
        let hosts = &cluster.hosts;
        let mut timeline = Timeline::default();
        let mut agents = Vec::new();
        for (host, it) in hosts.iter().enumerate() {
            // Hosts do not start in step.
            let first = cluster.reports.interval * lots.random::<f64>();
            agents.push(Agent::new(it, cluster.admits, cluster.reports, first));
            timeline.plan(first, Event::Due { host, plan: 0 });
        }
        Self {
            cluster,
            servers: hosts.iter().map(super::Host::server).collect(),
            agents,
            trackers: Trackers::new(cluster, &chooses, lots.random()),
            chooses,
            departures: Departures::new(hosts.len()),
            timeline,
            arrivals,
            lots,
            now: 0.0,
            begun: None,
            lasted: 0.0,
            open: 0,
            reports: 0,
            looks: 0,
            responses: Vec::new(),
            measured: Measured {
                given: vec![0; hosts.len()],
                ..Measured::default()
            },
        }
    }

    pub(super) fn measure(mut self) -> Measured {
        let all = u64::from(self.cluster.warm_up) + u64::from(self.cluster.jobs);
        let mut arrived = 0;
        while arrived < all {
            let planned = self.timeline.next_at().unwrap_or(f64::INFINITY);
            let next_arrival = self.arrivals.next_at();
            let done = self.departures.next();
            match done {
                Some((at, host)) if at <= planned && at <= next_arrival => {
                    self.now = at;
                    self.departs(host);
                }
                _ if planned <= next_arrival => {
                    self.now = planned;
                    self.happens();
                }
                _ => {
                    let arrival = self.arrivals.draw();
                    self.now = arrival.at;
                    if arrived == u64::from(self.cluster.warm_up) {
                        self.begun = Some(self.now);
                    }
                    arrived += 1;
                    self.arrives(arrived, arrival);
                }
            }
        }
        // What the last arrival brought about at once.
        while self.timeline.next_at().is_some_and(|at| at <= self.now) {
            self.happens();
        }
        self.lasted = self.now - self.begun.unwrap_or(self.now);
        if self.cluster.to_the_end {
            self.follow();
        }
        self.result()
    }

    /// Follows all jobs that there are to their ends.
    fn follow(&mut self) {
        while self.open > 0 {
            let planned = self.timeline.next_at().unwrap_or(f64::INFINITY);
            match self.departures.next() {
                Some((at, host)) if at <= planned => {
                    self.now = at;
                    self.departs(host);
                }
                _ if planned.is_finite() => {
                    self.now = planned;
                    self.happens();
                }
                _ => break,
            }
        }
    }

    const fn is_measured(&self) -> bool {
        self.begun.is_some()
    }

    /// Whether what becomes now of a job that arrived then counts.
    fn is_timed(&self, arrived: f64) -> bool {
        self.begun
            .is_some_and(|begun| arrived >= begun || !self.cluster.to_the_end)
    }

    fn arrives(&mut self, number: u64, Arrival { work, .. }: Arrival) {
        self.open += 1;
        let trackers = self.cluster.trackers.max(1);
        let tracker = self.lots.random_range(0..trackers);
        let further = self.lots.random_range(1..trackers.max(2));
        let search = Search {
            arrived: self.now,
            work,
            flow: FlowHash(self.lots.random()),
            tracker,
            secondary: (tracker + further) % trackers,
            tried: Tried::NONE,
            steps: self.cluster.search_ttl,
        };
        self.measured.arrived += u64::from(self.is_measured());
        let hosts = u64::try_from(self.servers.len()).unwrap_or(u64::MAX);
        if self.is_measured() && number.is_multiple_of(hosts.max(1)) {
            self.look();
        }
        match &mut self.chooses {
            Chooses::Oracle(oracle) => {
                let host = oracle.place(&self.servers, &mut self.lots);
                self.takes(host, &search);
            }
            Chooses::Trackers(_) | Chooses::OwnConnections => self.ask(search),
        }
    }

    /// The spread of the connections over the hosts at this moment.
    fn look(&mut self) {
        let spread = variation(self.servers.iter().map(|server| {
            f64::from(u32::try_from(server.jobs()).unwrap_or(u32::MAX)) / server.capacity()
        }));
        self.measured.spread += spread;
        self.measured.fairness += 1.0 / (1.0 + spread * spread);
        self.looks += 1;
    }

    /// How long a message takes between a search's tracker and a host: with another tracker between them,
    /// the secondary, if there is one.
    fn way(&self) -> f64 {
        let hops = if self.cluster.trackers > 1 { 2.0 } else { 1.0 };
        hops * self.cluster.delay
    }

    /// The next step of a search.
    fn ask(&mut self, mut search: Search) {
        let hosts = &self.cluster.hosts;
        let chosen = search.steps.checked_sub(1).and_then(|left| {
            search.steps = left;
            let Search { tracker, flow, .. } = search;
            self.trackers.choose(tracker, flow, &search.tried, hosts)
        });
        match chosen {
            Some(host) => {
                let at = self.now + self.way();
                self.timeline.plan(at, Event::Offered { host, search });
                let Search {
                    tracker, secondary, ..
                } = search;
                if self.cluster.hears.offers && secondary != tracker {
                    let at = self.now + self.cluster.delay;
                    self.timeline.plan(at, Event::Passed { host, secondary });
                }
            }
            None => {
                self.measured.refused += u64::from(self.is_timed(search.arrived));
                self.open = self.open.saturating_sub(1);
            }
        }
    }

    fn happens(&mut self) {
        match self.timeline.pop() {
            Some(Event::Offered { host, search }) => self.offered(host, search),
            Some(Event::Passed { host, secondary }) => self.trackers.passed(secondary, host),
            Some(Event::Accepted { host, search, load }) => self.tell(host, &search, &load),
            Some(Event::Rejected {
                host,
                mut search,
                load,
            }) => {
                if self.cluster.hears.rejects {
                    self.tell(host, &search, &load);
                }
                self.measured.rejects += u64::from(self.is_timed(search.arrived));
                self.trackers.ended(search.tracker, host);
                let forgets = self.cluster.planted == Some(Mistake::ForgetsTried);
                if let Some(node) = node(host).filter(|_| !forgets) {
                    search.tried.push(node);
                }
                self.ask(search);
            }
            Some(Event::Reported { host, load }) => self.trackers.report(host, &load),
            Some(Event::Due { host, plan }) => {
                let is_next = |agent: &&mut Agent| agent.plan == plan;
                if let Some(agent) = self.agents.get_mut(host).filter(is_next) {
                    let next = agent.reports_now(self.now);
                    let plan = agent.plan;
                    self.timeline.plan(next, Event::Due { host, plan });
                    self.report(host);
                }
            }
            None => {}
        }
    }

    fn offered(&mut self, host: usize, search: Search) {
        let connections = self.connections(host);
        let must = search.steps == 0 && self.cluster.overload == Overload::MustAccept;
        let admits = self
            .agents
            .get_mut(host)
            .is_some_and(|agent| agent.admits(connections));
        let at = self.now + self.way();
        if !admits && !must {
            if let Some(load) = self.load(host) {
                self.timeline
                    .plan(at, Event::Rejected { host, search, load });
            }
            return;
        }
        self.takes(host, &search);
        if self.cluster.hears.accepts
            && let Some(load) = self.load(host)
        {
            self.timeline
                .plan(at, Event::Accepted { host, search, load });
        }
    }

    /// Both trackers of a search learn a host's load.
    fn tell(&mut self, host: usize, search: &Search, load: &ServiceLoad) {
        self.trackers.told(search.tracker, host, load);
        if search.secondary != search.tracker {
            self.trackers.told(search.secondary, host, load);
        }
    }

    fn connections(&self, host: usize) -> u32 {
        let jobs = self.servers.get(host).map_or(0, Server::jobs);
        u32::try_from(jobs).unwrap_or(u32::MAX)
    }

    /// How long ago the host's server began to fail; `None` if it does not.
    fn failing(&self, host: usize) -> Option<f64> {
        let fault = self.cluster.hosts.get(host)?.fault?;
        let since = self.now - (self.begun? + fault.from);
        (since >= 0.0).then_some(since)
    }

    fn takes(&mut self, host: usize, search: &Search) {
        let fails = self.failing(host).is_some();
        let Some(server) = self.servers.get_mut(host) else {
            return;
        };
        let work = if fails { ERROR } else { search.work };
        server.take(self.now, work, search.arrived, search.tracker);
        self.departures.predict(host, server);
        if self.is_timed(search.arrived) {
            self.measured.failed += u64::from(fails);
            if let Some(given) = self.measured.given.get_mut(host) {
                *given += 1;
            }
        }
        self.changed(host);
    }

    fn departs(&mut self, host: usize) {
        let Some(server) = self.servers.get_mut(host) else {
            return;
        };
        let done = server.complete(self.now);
        self.departures.predict(host, server);
        if let Some(done) = done {
            self.trackers.ended(done.mark, host);
            self.open = self.open.saturating_sub(1);
            // By a hair it may be earlier than the first arrival that counts.
            let arrived = self.now - done.response + HAIR;
            if self.is_timed(arrived) && self.failing(host).is_none() {
                self.responses.push(done.response);
            }
        }
        self.changed(host);
    }

    /// The host's connections have changed.
    fn changed(&mut self, host: usize) {
        let Some(agent) = self.agents.get_mut(host) else {
            return;
        };
        if let Some(due) = agent.changed(self.now) {
            let plan = agent.plan;
            self.timeline.plan(due, Event::Due { host, plan });
        }
    }

    /// What the host says of itself now.
    fn load(&self, host: usize) -> Option<ServiceLoad> {
        let fault = self.cluster.hosts.get(host).and_then(|host| host.fault);
        let noticed = fault.and_then(|fault| fault.noticed);
        let ill = noticed
            .zip(self.failing(host))
            .is_some_and(|(noticed, since)| since >= noticed);
        let agent = self.agents.get(host)?;
        Some(agent.load(SERVICE, self.connections(host), !ill))
    }

    /// The host tells all trackers of its load.
    fn report(&mut self, host: usize) {
        if let Some(load) = self.load(host) {
            self.reports += u64::from(self.is_measured() && self.lasted == 0.0);
            let at = self.now + self.cluster.delay;
            self.timeline.plan(at, Event::Reported { host, load });
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    fn result(mut self) -> Measured {
        let hosts = self.servers.len().max(1) as f64;
        self.measured.reports = self.reports as f64 / (self.lasted * hosts);
        let looks = f64::from(self.looks.max(1));
        self.measured.spread /= looks;
        self.measured.fairness /= looks;
        let capacities = self.servers.iter().map(Server::capacity);
        let given = self.measured.given.iter().zip(capacities);
        self.measured.shares = variation(given.map(|(&given, capacity)| given as f64 / capacity));
        self.measured.set_responses(self.responses);
        self.measured
    }
}
