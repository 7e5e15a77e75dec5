//! The world: events in order of time, and what each of them does.

use crate::checks::opens::Attempt;
use crate::checks::quiet::Quiet;
use crate::checks::searches::Searches;
use crate::checks::sessions::{Sealed, Sessions};
use crate::checks::{Rule, Violation, books, bounds, leaks};
use crate::client::{Client, Origin};
use crate::conversation::Answer;
use crate::disturbances::Disturbances;
use crate::faults::Fault;
use crate::kernel::{Effect, Kernel};
use crate::network::Network;
use crate::node::{Node, Sums};
use crate::outcome::{Outcome, Tally};
use crate::plan::Plan;
use crate::queue::Queue;
use crate::rng::Rng;
use crate::topology::{LONGEST_MEMORY, Topology};
use crate::trace::Trace;
use core::time::Duration;
use jlb_host_agent::{DumpScope, Found, LookUp, Socket};
use jlb_protocol::{FlowKey, NodeNumber, PacketBuf, ServiceNumber, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

mod chances;
mod clients;
mod delivery;
mod dumps;
mod faults;
mod hosts;
mod look_ups;
mod phases;
mod recovery;
mod shell;
mod signals;
mod starts;
mod strays;
mod views;

/// A run ends at the latest after this much simulated time, the memory of the nodes added.
const LONGEST_RUN: Duration = Duration::from_secs(600);

/// The cluster's sums are compared every so many events.
const SUMS_EVERY: u64 = 4096;

/// What nodes hold is looked at every so many events a node.
const BOUNDS_EVERY: u64 = 32;

/// The least time between a node's timeout and its next.
const GRAIN: Duration = Duration::from_micros(20);

/// Something that will happen.
#[derive(Clone, Debug)]
enum Event {
    /// A sealed message arrives.
    Datagram {
        from: NodeNumber,
        to: NodeNumber,
        port: u16,
        bytes: Vec<u8>,
        sealed: Sealed,
    },
    /// A client's packet arrives at the router's ECMP choice.
    ClientPacket {
        client: usize,
        packet: Vec<u8>,
    },
    /// A packet that no client of ours has sent.
    Stray {
        packet: Vec<u8>,
    },
    /// An answer arrives at a client.
    Answer {
        client: usize,
        answer: Answer,
        origin: Origin,
    },
    NodeTimer(NodeNumber),
    /// A host's sampler reads.
    Sample(NodeNumber),
    ClientTimer(usize),
    SocketTimer {
        host: NodeNumber,
        key: Box<FlowKey>,
        cookie: u64,
    },
    /// A destroy event reaches the agent that listened when it was made.
    Destroyed {
        host: NodeNumber,
        life: u32,
        told: Box<Told>,
    },
    DumpBegins {
        host: NodeNumber,
        life: u32,
    },
    DumpEnds {
        host: NodeNumber,
        life: u32,
        started: Time,
        scope: DumpScope,
        sockets: Option<Vec<Socket>>,
    },
    /// What is left of a list that was begun at that time of the host's clock.
    DumpPart {
        host: NodeNumber,
        life: u32,
        begun: Time,
        sockets: Vec<Socket>,
    },
    LookUpsBegin {
        host: NodeNumber,
        life: u32,
    },
    /// What was asked for, with what is known of it already.
    LookUpsEnd {
        host: NodeNumber,
        life: u32,
        started: Time,
        answers: Vec<(LookUp, Option<Found>)>,
    },
    /// One of the faults that were drawn.
    Fault(usize),
    Start(NodeNumber),
    Stop(NodeNumber),
    Resume(NodeNumber),
    Mend {
        number: u32,
        disturbances: Vec<usize>,
    },
    Truth {
        node: NodeNumber,
        disturbance: usize,
    },
    RouterLooks,
    /// Some time after a flood: is what was known before it known still?
    AfterFlood {
        began: Time,
    },
    /// After the loss of a share of all nodes: is all well again?
    RecoveryLooks,
    Heal,
    QuietBegins,
    QuietEnds,
}

/// What sock_diag tells of a socket's end.
#[derive(Clone, Debug)]
struct Told {
    key: FlowKey,
    cookie: u64,
    aborted: bool,
    lost: bool,
}

/// What a host has besides its agent.
#[derive(Clone, Default, Debug)]
struct HostSide {
    kernel: Kernel,
    /// When the host was last seen without room for a service, or down.
    closed_at: BTreeMap<ServiceNumber, Time>,
    /// The services for which it was so at the last look.
    closed: BTreeSet<ServiceNumber>,
    dump_armed: Option<Time>,
    look_ups_armed: Option<Time>,
    /// The cookies of the sockets that the last dump missed, or a look-up since: none is missed twice in a row.
    missed: BTreeSet<u64>,
}

/// What the checkers know of a client.
#[derive(Clone, Default, Debug)]
struct Dossier {
    /// The initial sequence numbers of its lives.
    lives: Vec<u32>,
    attempt: Attempt,
    /// The hosts whose kernels have a socket of the flow.
    sockets: Vec<NodeNumber>,
    /// The hosts whose stacks have got a SYN of the flow, and have not disowned it since.
    got_syns: Vec<NodeNumber>,
    /// When that last changed, or a socket's state did.
    changed: Time,
    /// The host of a UDP flow's last delivery, and its time.
    udp: Option<(NodeNumber, Time)>,
    /// Since when it goes to that host, and the host before.
    udp_began: Time,
    udp_before: Option<NodeNumber>,
    is_live: bool,
    is_over: bool,
}

/// A cluster, its network, kernels and clients, from one seed.
pub struct World {
    seed: u64,
    plan: Plan,
    topology: Topology,
    rng: Rng,
    /// Decides what samplers read.
    readings: Rng,
    now: Time,
    events: Queue<Event>,
    network: Network,
    nodes: BTreeMap<NodeNumber, Node>,
    hosts: BTreeMap<NodeNumber, HostSide>,
    clients: Vec<Client>,
    dossiers: Vec<Dossier>,
    clients_over: usize,
    /// Connections that are open now.
    live: u64,
    /// Whether a node was killed, and a view changed, while [`CROWD`] were open.
    crash_in_crowd: bool,
    change_in_crowd: bool,
    /// Which ingress nodes the router sends to, how long it takes to notice that one is down, and
    /// whether only the flows of nodes that are lost or added move then.
    router: Vec<NodeNumber>,
    router_takes: Duration,
    resilient: bool,
    /// Decides which ingress each flow's packets go to.
    spread: u64,
    faults: Vec<(Time, Fault)>,
    disturbances: Disturbances,
    /// Nodes that are gone for ever, and those that are draining.
    gone: BTreeSet<NodeNumber>,
    draining: BTreeSet<NodeNumber>,
    cuts: u32,
    heals_at: Time,
    quiet: Quiet,
    recovery: Option<recovery::Watch>,
    /// When something last changed that decides who leads a search, and whom it may ask: views,
    /// configurations, faults.
    epoch: Time,
    lost_events: u64,
    missed_sockets: u64,
    from_clients: u64,
    searches: Searches,
    sessions: Sessions,
    tally: Tally,
    violation: Option<Violation>,
    trace: Trace,
    /// Where the clock can be read from outside, in milliseconds.
    clock: Arc<AtomicU64>,
    effects: Vec<Effect>,
    acts: Vec<crate::client::Act>,
    /// Buffers of messages that have arrived.
    spare: Vec<Vec<u8>>,
    packets: Vec<PacketBuf>,
}

/// Open connections that make a crowd.
const CROWD: u64 = 100;

impl World {
    /// The world of this seed.
    #[must_use]
    pub fn new(seed: u64, plan: Plan) -> Self {
        let mut rng = Rng::new(seed);
        let topology = Topology::new(&plan, rng.fork());
        let network = Network::new(&plan, rng.fork());
        let now = Time::from_millis(1_000);
        let faults_within = Duration::from_millis(plan.faults_within_ms);
        let mut world = Self {
            lost_events: rng.within(plan.lost_events.low, plan.lost_events.high),
            missed_sockets: rng.within(plan.missed_sockets.low, plan.missed_sockets.high),
            router_takes: Duration::from_millis(
                rng.within(plan.router_ms.low, plan.router_ms.high),
            ),
            resilient: rng.chance(500),
            seed,
            network,
            now,
            events: Queue::new(),
            nodes: BTreeMap::new(),
            hosts: BTreeMap::new(),
            clients: Vec::new(),
            dossiers: Vec::new(),
            clients_over: 0,
            live: 0,
            crash_in_crowd: false,
            change_in_crowd: false,
            router: topology.ingresses.clone(),
            spread: rng.next(),
            faults: Vec::new(),
            disturbances: Disturbances::new(topology.racks.clone()),
            gone: BTreeSet::new(),
            draining: BTreeSet::new(),
            cuts: 0,
            heals_at: now + topology.warm_up() + faults_within + faults_within / 2,
            quiet: Quiet::default(),
            recovery: None,
            epoch: now,
            from_clients: 0,
            searches: Searches::default(),
            sessions: Sessions::default(),
            tally: Tally::default(),
            violation: None,
            trace: Trace::default(),
            clock: Arc::default(),
            effects: Vec::new(),
            acts: Vec::new(),
            spare: Vec::new(),
            packets: Vec::new(),
            readings: Rng::new(!seed),
            topology,
            rng,
            plan,
        };
        world.add_nodes();
        world.add_signals();
        world.add_clients();
        world.add_faults();
        world
    }

    /// Runs to the end, or to the first violation; then once more from the start, to trace the flow
    /// concerned.
    #[must_use]
    pub fn run(self) -> Outcome {
        let (seed, plan, clock) = (self.seed, self.plan.clone(), Arc::clone(&self.clock));
        let outcome = self.play();
        match &outcome.violation {
            Some(found) => {
                let again = Self::new(seed, plan).clocked(clock);
                again.traced(found.client).play()
            }
            None => outcome,
        }
    }

    /// Lets the simulated time be read while it goes on.
    pub(crate) fn clocked(mut self, clock: Arc<AtomicU64>) -> Self {
        self.clock = clock;
        self
    }

    /// Milliseconds since the run began.
    fn millis_since(&self, begin: Time) -> u64 {
        u64::try_from(self.now.since(begin).as_millis()).unwrap_or(0)
    }

    fn traced(mut self, client: Option<usize>) -> Self {
        self.trace = Trace::of(client);
        self
    }

    fn play(mut self) -> Outcome {
        let begin = self.now;
        let mut end = begin + LONGEST_RUN;
        let mut drains = false;
        let bounds_every = BOUNDS_EVERY * self.nodes.len().max(1) as u64;
        while self.violation.is_none() {
            let Some((at, event)) = self.events.pop() else {
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
                self.clock
                    .store(self.millis_since(begin), Ordering::Relaxed);
            }
            if self.tally.events.is_multiple_of(bounds_every) {
                self.check_bounds();
            }
            if !drains && self.quiet.is_over() {
                if !self.plan.drain {
                    break;
                }
                if self.clients_over >= self.clients.len() {
                    drains = true;
                    end = self.now + LONGEST_MEMORY;
                }
            }
        }
        self.check_sums();
        self.check_ended(drains);
        if self.violation.is_none() && drains {
            self.check_leaks();
        }
        self.tally.millis = self.millis_since(begin);
        self.tally_nodes();
        Outcome {
            seed: self.seed,
            tally: self.tally,
            violation: self.violation,
            trace: self.trace.into_lines(),
            recovery: self.recovery.and_then(|watch| watch.done),
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Datagram {
                from,
                to,
                port,
                bytes,
                sealed,
            } => self.datagram(from, to, port, bytes, sealed),
            Event::ClientPacket { client, packet } => self.client_packet(Some(client), packet),
            Event::Stray { packet } => self.client_packet(None, packet),
            Event::Answer {
                client,
                answer,
                origin,
            } => self.answer(client, answer, origin),
            Event::NodeTimer(node) => self.node_timer(node),
            Event::Sample(host) => self.sample(host),
            Event::ClientTimer(client) => self.client_timer(client),
            Event::SocketTimer { host, key, cookie } => self.socket_timer(host, *key, cookie),
            Event::Destroyed { host, life, told } => self.destroyed(host, life, told),
            Event::DumpBegins { host, life } => self.begin_dump(host, life),
            Event::DumpEnds {
                host,
                life,
                started,
                scope,
                sockets,
            } => self.end_dump(host, life, started, scope, sockets),
            Event::DumpPart {
                host,
                life,
                begun,
                sockets,
            } => self.hand_listed(host, life, begun, sockets),
            Event::LookUpsBegin { host, life } => self.begin_look_ups(host, life),
            Event::LookUpsEnd {
                host,
                life,
                started,
                answers,
            } => self.end_look_ups(host, life, started, answers),
            Event::Fault(at) => self.fault(at),
            Event::Start(node) => self.start(node),
            Event::Stop(node) => self.stop(node),
            Event::Resume(node) => self.resume(node),
            Event::Mend {
                number,
                disturbances,
            } => self.mend(number, &disturbances),
            Event::Truth { node, disturbance } => self.tell_truth(node, disturbance),
            Event::RouterLooks => self.router_looks(),
            Event::AfterFlood { began } => self.check_after_flood(began),
            Event::RecoveryLooks => self.recovery_looks(),
            Event::Heal => self.heal(),
            Event::QuietBegins => self.begin_quiet(),
            Event::QuietEnds => self.end_quiet(),
        }
    }

    fn schedule(&mut self, at: Time, event: Event) {
        self.events.push(at.max(self.now), event);
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

    fn check_sums(&mut self) {
        let mut all = Sums::default();
        for node in self.nodes.values() {
            all.add(node.sums());
        }
        let wrong = books::check_cluster(all, &self.network, self.from_clients);
        self.violate(Rule::Conservation, None, wrong);
    }

    fn check_bounds(&mut self) {
        let wrong = self.nodes.values().find_map(|node| {
            let holdings = node.life.as_ref()?.machine.holdings();
            let limit = |name| self.topology.limit(node.number, name);
            bounds::check(node.number, &holdings, limit)
        });
        self.violate(Rule::Bounds, None, wrong);
    }

    /// A run that is cut short has not been checked for all that it was to show.
    fn check_ended(&mut self, drains: bool) {
        let recovers = self.recovery.as_ref();
        let wrong = if !self.quiet.is_over() || (self.plan.drain && !drains) {
            let (over, all) = (self.clients_over, self.clients.len());
            Some(format!(
                "the run is too long: {over} of {all} clients are done"
            ))
        } else if recovers.is_some_and(|watch| watch.done.is_none()) {
            Some("what a share of the nodes knew is not recovered".to_owned())
        } else {
            None
        };
        self.violate(Rule::QuietAfterHealing, None, wrong);
    }

    fn check_leaks(&mut self) {
        let wrong: Vec<_> = self
            .nodes
            .values()
            .filter_map(|node| {
                let holdings = node.life.as_ref()?.machine.holdings();
                leaks::check(node.number, &holdings)
            })
            .collect();
        let wrong = (!wrong.is_empty()).then(|| wrong.join("; "));
        self.violate(Rule::NoLeak, None, wrong);
    }
}
