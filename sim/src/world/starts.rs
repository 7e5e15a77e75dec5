//! How a world begins, and how a node does.

use super::{Dossier, Event, HostSide, World};
use crate::client::{Client, Habits};
use crate::clock::Clock;
use crate::faults;
use crate::machine::Machine;
use crate::node::{Life, Node};
use crate::plan::Span;
use crate::topology::Topology;
use core::time::Duration;
use jlb_flow_tracker::FlowTracker;
use jlb_host_agent::HostAgent;
use jlb_ingress::Ingress;
use jlb_membership::Membership;
use jlb_protocol::link::Link;
use jlb_protocol::{NodeNumber, Protocol, Role, View};

impl World {
    pub(super) fn add_nodes(&mut self) {
        let with_rates = self.rng.chance(self.plan.clock_rates);
        let nodes: Vec<_> = self.topology.nodes().collect();
        for &number in &nodes {
            let ahead = self
                .rng
                .span(Duration::from_secs(100), Duration::from_secs(9000));
            let rate = if with_rates {
                let rates = self.plan.clock_rate;
                self.rng.within(rates.low, rates.high)
            } else {
                1000
            };
            let node = Node::new(number, Clock::new(ahead, rate));
            self.nodes.insert(number, node);
            if Topology::role(number) == Role::HostAgent {
                self.hosts.insert(number, HostSide::default());
            }
        }
        for number in nodes {
            if self.topology.fixed_views || !self.topology.late.contains(&number) {
                self.start(number);
            }
        }
    }

    /// Starts a node's process, if its machine is there and it does not run.
    pub(super) fn start(&mut self, number: NodeNumber) {
        let now = self.now;
        if self.gone.contains(&number) || self.nodes.get(&number).is_none_or(Node::is_up) {
            return;
        }
        let seed = self.rng.next();
        let link_seed = self.rng.next();
        let Some(node) = self.nodes.get_mut(&number) else {
            return;
        };
        node.incarnation += 1;
        let (incarnation, clock) = (node.incarnation, node.clock.shows(now));
        let config = self.topology.membership_config(number, incarnation);
        let known = self.topology.known_to(number);
        let membership = Membership::new(config, known, clock);
        let view = membership.view().clone();
        let machine = Self::machine(&self.topology, number, incarnation, view, seed, clock);
        let config = self.topology.link_config(number, incarnation);
        let link = Link::new(config, link_seed, clock);
        node.life = Some(Life::new(machine, link, membership));
        self.trace
            .note_all(now, || format!("{number} starts, life {incarnation}"));
        self.disturbances.started(now, number);
        self.sessions.starts(now, number);
        self.look_at_router();
        self.settle(number);
    }

    /// A role's state machine as it is at a start.
    pub(super) fn machine(
        topology: &Topology,
        number: NodeNumber,
        incarnation: u32,
        view: View,
        seed: u64,
        clock: jlb_protocol::Time,
    ) -> Machine {
        match Topology::role(number) {
            Role::Ingress => {
                let config = topology.ingress_config(number);
                Machine::Ingress(Box::new(Ingress::new(config, view, seed, clock)))
            }
            Role::FlowTracker => {
                let config = topology.tracker_config(number);
                Machine::Tracker(Box::new(FlowTracker::new(config, view, seed, clock)))
            }
            Role::HostAgent => {
                let config = topology.host_config(number, incarnation);
                let mut agent = HostAgent::new(config, view, seed, clock);
                // One in four has nothing but lists.
                if !seed.is_multiple_of(4) {
                    agent.expect_look_ups();
                }
                Machine::Host(Box::new(agent))
            }
        }
    }

    pub(super) fn add_clients(&mut self) {
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
            let (key, ends) = Topology::flow(index, service);
            let within = Duration::from_millis(self.plan.begin_within_ms);
            let begins = self.now + self.topology.warm_up() + self.rng.span(Duration::ZERO, within);
            let number = self.clients.len();
            let lives = u32::try_from(self.rng.within(self.plan.lives.low, self.plan.lives.high));
            let habits = Habits {
                lives: lives.unwrap_or(1),
                think: Duration::from_millis(self.plan.think_ms),
                random_isns: self.plan.random_isns,
                hold: Duration::from_millis(self.plan.hold_ms),
            };
            let client = Client::new(key, protocol, ends, begins, habits, self.rng.fork());
            self.clients.push(client);
            self.dossiers.push(Dossier::default());
            self.schedule(begins, Event::ClientTimer(number));
        }
    }

    pub(super) fn add_faults(&mut self) {
        let begin = self.now + self.topology.warm_up();
        let mut rng = self.rng.fork();
        self.faults = faults::draw(&self.plan, &self.topology, begin, &mut rng);
        for at in 0..self.faults.len() {
            self.schedule(self.faults[at].0, Event::Fault(at));
        }
        self.schedule(self.heals_at, Event::Heal);
    }

    fn draw(&mut self, span: Span) -> u32 {
        u32::try_from(self.rng.within(span.low, span.high)).unwrap_or(0)
    }
}
