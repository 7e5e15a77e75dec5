//! The world: events in order of time, and what each of them does.

use crate::checks::opens::{Attempt, Chances};
use crate::checks::searches::Searches;
use crate::checks::{Rule, Violation, books, leaks};
use crate::client::{Client, Origin};
use crate::conversation::Answer;
use crate::kernel::Kernel;
use crate::network::Network;
use crate::node::{Machine, Node, Sums};
use crate::outcome::{Outcome, Tally};
use crate::plan::Plan;
use crate::rng::Rng;
use crate::topology::{LONGEST_MEMORY, Topology};
use crate::trace::Trace;
use core::net::IpAddr;
use core::time::Duration;
use jlb_flow_tracker::FlowTracker;
use jlb_host_agent::{HostAgent, Socket};
use jlb_ingress::Ingress;
use jlb_protocol::{FlowKey, NodeNumber, Protocol, ServiceNumber, Time};
use std::collections::{BTreeMap, BTreeSet};

mod clients;
mod delivery;
mod hosts;

/// A run ends at the latest after this much simulated time, the memory of the nodes added.
const LONGEST_RUN: Duration = Duration::from_secs(600);

/// The cluster's sums are compared every so many events.
const SUMS_EVERY: u64 = 256;

/// The least time between a node's timeout and its next.
const GRAIN: Duration = Duration::from_micros(20);

/// Something that will happen.
#[derive(Clone, Debug)]
enum Event {
    /// A message arrives, sealed for one life of its addressee.
    Message {
        from: NodeNumber,
        to: NodeNumber,
        life: u32,
        bytes: Vec<u8>,
    },
    /// A client's packet arrives at the router's ECMP choice.
    ClientPacket {
        client: usize,
        packet: Vec<u8>,
    },
    /// An answer arrives at a client.
    Answer {
        client: usize,
        answer: Answer,
        origin: Origin,
    },
    NodeTimer(NodeNumber),
    ClientTimer(usize),
    SocketTimer {
        host: NodeNumber,
        key: FlowKey,
        cookie: u64,
    },
    /// A destroy event reaches the agent that listened when it was made.
    Destroyed {
        host: NodeNumber,
        life: u32,
        key: FlowKey,
        cookie: u64,
        aborted: bool,
        lost: bool,
    },
    DumpBegins {
        host: NodeNumber,
        life: u32,
    },
    DumpEnds {
        host: NodeNumber,
        life: u32,
        started: Time,
        sockets: Option<Vec<Socket>>,
    },
    Kill(NodeNumber),
    Start(NodeNumber),
    Reshuffle,
}

/// What a host has besides its agent.
#[derive(Clone, Default, Debug)]
struct HostSide {
    kernel: Kernel,
    /// When the host was last seen without room for a service, or down.
    closed_at: BTreeMap<ServiceNumber, Time>,
    dump_armed: Option<Time>,
    /// The cookies of the sockets that the last dump missed: none is missed twice in a row.
    missed: BTreeSet<u64>,
}

/// What the checkers know of a client.
#[derive(Clone, Default, Debug)]
struct Dossier {
    /// The initial sequence numbers of its lives.
    lives: Vec<u32>,
    attempt: Attempt,
    /// The host of a UDP flow's last delivery, and its time.
    udp: Option<(NodeNumber, Time)>,
}

/// A cluster, its network, kernels and clients, from one seed.
pub struct World {
    seed: u64,
    plan: Plan,
    topology: Topology,
    rng: Rng,
    now: Time,
    events: BTreeMap<(Time, u64), Event>,
    scheduled: u64,
    network: Network,
    nodes: BTreeMap<NodeNumber, Node>,
    hosts: BTreeMap<NodeNumber, HostSide>,
    clients: Vec<Client>,
    dossiers: Vec<Dossier>,
    by_address: BTreeMap<IpAddr, usize>,
    by_key: BTreeMap<FlowKey, usize>,
    /// Decides which ingress each flow's packets go to.
    spread: u64,
    lost_events: u64,
    missed_sockets: u64,
    from_clients: u64,
    searches: Searches,
    tally: Tally,
    violation: Option<Violation>,
    trace: Trace,
}

impl World {
    /// The world of this seed.
    #[must_use]
    pub fn new(seed: u64, plan: Plan) -> Self {
        let mut rng = Rng::new(seed);
        let topology = Topology::new(&plan, rng.fork());
        let network = Network::new(&plan, rng.fork());
        let mut world = Self {
            lost_events: rng.within(plan.lost_events.low, plan.lost_events.high),
            missed_sockets: rng.within(plan.missed_sockets.low, plan.missed_sockets.high),
            seed,
            topology,
            network,
            now: Time::from_millis(1_000),
            events: BTreeMap::new(),
            scheduled: 0,
            nodes: BTreeMap::new(),
            hosts: BTreeMap::new(),
            clients: Vec::new(),
            dossiers: Vec::new(),
            by_address: BTreeMap::new(),
            by_key: BTreeMap::new(),
            spread: rng.next(),
            from_clients: 0,
            searches: Searches::default(),
            tally: Tally::default(),
            violation: None,
            trace: Trace::default(),
            rng,
            plan,
        };
        world.add_nodes();
        world.add_clients();
        world.add_faults();
        world
    }

    /// Runs to the end, or to the first violation; then once more from the start, to trace the flow
    /// concerned.
    #[must_use]
    pub fn run(self) -> Outcome {
        let (seed, plan) = (self.seed, self.plan.clone());
        let outcome = self.play();
        let client = outcome.violation.as_ref().and_then(|found| found.client);
        match client {
            Some(client) => Self::new(seed, plan).traced(client).play(),
            None => outcome,
        }
    }

    fn traced(mut self, client: usize) -> Self {
        self.trace = Trace::of(client);
        self
    }

    fn play(mut self) -> Outcome {
        let begin = self.now;
        let mut end = begin + LONGEST_RUN;
        let mut clients_over = false;
        while self.violation.is_none() {
            let Some(((at, _), event)) = self.events.pop_first() else {
                break;
            };
            if at > end {
                break;
            }
            self.now = at;
            self.tally.events += 1;
            self.handle(event);
            if self.tally.events.is_multiple_of(SUMS_EVERY) {
                self.check_sums();
            }
            if !clients_over && self.clients.iter().all(Client::is_over) {
                clients_over = true;
                end = self.now + LONGEST_MEMORY;
            }
        }
        self.check_sums();
        if self.violation.is_none() {
            self.check_leaks();
        }
        self.tally.millis = u64::try_from(self.now.since(begin).as_millis()).unwrap_or(0);
        self.tally_nodes();
        Outcome {
            seed: self.seed,
            tally: self.tally,
            violation: self.violation,
            trace: self.trace.into_lines(),
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Message {
                from,
                to,
                life,
                bytes,
            } => self.message(from, to, life, &bytes),
            Event::ClientPacket { client, packet } => self.client_packet(client, packet),
            Event::Answer {
                client,
                answer,
                origin,
            } => self.answer(client, answer, origin),
            Event::NodeTimer(node) => self.node_timer(node),
            Event::ClientTimer(client) => self.client_timer(client),
            Event::SocketTimer { host, key, cookie } => self.socket_timer(host, key, cookie),
            Event::Destroyed {
                host,
                life,
                key,
                cookie,
                aborted,
                lost,
            } => self.destroyed(host, life, &key, cookie, aborted, lost),
            Event::DumpBegins { host, life } => self.begin_dump(host, life),
            Event::DumpEnds {
                host,
                life,
                started,
                sockets,
            } => self.end_dump(host, life, started, sockets),
            Event::Kill(node) => self.kill(node),
            Event::Start(node) => self.start(node),
            Event::Reshuffle => {
                self.spread = self.rng.next();
                self.trace
                    .note_all(self.now, || "ECMP is reshuffled".to_owned());
            }
        }
    }

    fn schedule(&mut self, at: Time, event: Event) {
        self.scheduled += 1;
        self.events
            .insert((at.max(self.now), self.scheduled), event);
    }

    fn violate(&mut self, rule: Rule, client: Option<usize>, words: Option<String>) {
        let Some(words) = words else {
            return;
        };
        if self.violation.is_none() {
            self.violation = Some(Violation {
                rule,
                at: self.now,
                client,
                words,
            });
        }
    }

    fn add_nodes(&mut self) {
        let view = self.topology.view.clone();
        for node in self.topology.ingresses.clone() {
            self.add_node(node, |world, seed, now| {
                let config = world.topology.ingress_config(node);
                Machine::Ingress(Box::new(Ingress::new(config, view.clone(), seed, now)))
            });
        }
        for node in self.topology.trackers.clone() {
            self.add_node(node, |world, seed, now| {
                let config = world.topology.tracker_config(node);
                Machine::Tracker(Box::new(FlowTracker::new(config, view.clone(), seed, now)))
            });
        }
        for node in self.topology.hosts.clone() {
            self.hosts.insert(node, HostSide::default());
            self.add_node(node, |world, seed, now| {
                let config = world.topology.host_config(node, 1);
                Machine::Host(Box::new(HostAgent::new(config, view.clone(), seed, now)))
            });
        }
    }

    fn add_node(&mut self, node: NodeNumber, make: impl Fn(&Self, u64, Time) -> Machine) {
        let skew = self
            .rng
            .span(Duration::from_secs(100), Duration::from_secs(9000));
        let seed = self.rng.next();
        let machine = make(self, seed, self.now + skew);
        self.nodes.insert(node, Node::new(node, machine, skew));
        self.settle(node);
    }

    fn add_clients(&mut self) {
        let tcp = self.draw(self.plan.tcp_clients);
        let udp = self.draw(self.plan.udp_clients);
        for index in 0..tcp + udp {
            let protocol = if index < tcp {
                Protocol::Tcp
            } else {
                Protocol::Udp
            };
            let services: Vec<_> = self
                .topology
                .services
                .iter()
                .filter(|service| service.matching.protocol == protocol)
                .collect();
            let place = self.rng.place(services.len());
            let Some(service) = services.get(place) else {
                continue;
            };
            let (key, ends) = self.topology.flow(index, service);
            let after = self.rng.span(Duration::ZERO, self.plan.begin_within);
            let begins = self.now + Duration::from_millis(200) + after;
            let number = self.clients.len();
            let client = Client::new(key, protocol, ends, begins, self.rng.fork());
            self.clients.push(client);
            self.dossiers.push(Dossier::default());
            self.by_address.insert(ends.client, number);
            self.by_key.insert(key, number);
            self.schedule(begins, Event::ClientTimer(number));
        }
    }

    fn add_faults(&mut self) {
        let within = self.plan.begin_within + Duration::from_secs(8);
        for _ in 0..self.draw(self.plan.reshuffles) {
            let at = self.now + self.rng.span(Duration::ZERO, within);
            self.schedule(at, Event::Reshuffle);
        }
        let groups = [
            (self.plan.agent_restarts, self.topology.hosts.clone()),
            (self.plan.ingress_restarts, self.topology.ingresses.clone()),
        ];
        for (span, nodes) in groups {
            for _ in 0..self.draw(span) {
                let at = self.now + self.rng.span(Duration::ZERO, within);
                if let Some(&node) = nodes.get(self.rng.place(nodes.len())) {
                    self.schedule(at, Event::Kill(node));
                }
            }
        }
    }

    fn draw(&mut self, span: crate::plan::Span) -> usize {
        usize::try_from(self.rng.within(span.low, span.high)).unwrap_or(0)
    }

    /// What the cluster can do for a new flow of a service.
    fn chances(&self, service: ServiceNumber) -> Chances {
        let Some(service) = self.topology.service(service) else {
            return Chances {
                all_asked: false,
                open_since: None,
            };
        };
        let closed_at = |host: &NodeNumber| {
            let side = self.hosts.get(host)?;
            let closed = side.closed_at.get(&service.number).copied();
            Some(closed.unwrap_or(Time::ZERO))
        };
        Chances {
            all_asked: !self.topology.narrow
                && usize::from(service.search_ttl) >= service.hosts.len(),
            open_since: service.hosts.iter().filter_map(closed_at).min(),
        }
    }

    fn check_sums(&mut self) {
        let mut all = Sums::default();
        for node in self.nodes.values() {
            let sums = node.sums();
            all.received += sums.received;
            all.sent += sums.sent;
        }
        let wrong = books::check_cluster(all, &self.network, self.from_clients);
        self.violate(Rule::Conservation, None, wrong);
    }

    fn check_leaks(&mut self) {
        let wrong: Vec<_> = self
            .nodes
            .values()
            .filter_map(|node| leaks::check(node.number, &node.holdings()))
            .collect();
        let wrong = (!wrong.is_empty()).then(|| wrong.join("; "));
        self.violate(Rule::NoLeak, None, wrong);
    }

    fn tally_nodes(&mut self) {
        for node in self.nodes.values() {
            match &node.machine {
                Some(Machine::Tracker(tracker)) => {
                    let stats = tracker.stats();
                    self.tally.who_has += stats.who_has_asked;
                    self.tally.releases += stats.releases;
                }
                Some(Machine::Host(agent)) => {
                    let counters = agent.stats().counters;
                    self.tally.rejected += counters.rejected_load + counters.rejected_again;
                }
                Some(Machine::Ingress(_)) | None => {}
            }
        }
    }
}
