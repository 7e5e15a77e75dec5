//! What goes wrong, and how it heals.

use super::{CROWD, Event, World};
use crate::disturbances::Part;
use crate::faults::{Fault, Ways};
use crate::machine::Machine;
use crate::node::Waiting;
use crate::topology::Topology;
use core::time::Duration;
use jlb_protocol::{NodeNumber, Role};
use std::collections::VecDeque;

/// A node that drains is stopped after this long.
const DRAINS: Duration = Duration::from_secs(4);

impl World {
    pub(super) fn fault(&mut self, at: usize) {
        let now = self.now;
        let fault = self.faults[at].1.clone();
        self.trace.note_all(now, || format!("fault: {fault:?}"));
        match fault {
            Fault::Restart(nodes) => {
                if self.plan.tier_loss > 0 && nodes.len() > 2 {
                    self.watch_recovery(nodes.len());
                }
                for (node, down) in nodes {
                    self.kill(node, down);
                }
            }
            Fault::Death(node) => self.die(node),
            Fault::Join(node) => {
                // A tracker that joins is one of which nothing is known yet.
                self.disturb(node, Part::Struck);
                self.start(node);
            }
            Fault::Leave(node) => self.leave(node),
            Fault::Cut {
                node,
                others,
                ways,
                lasts,
            } => self.cut(node, others, ways, lasts),
            Fault::Pause { node, lasts } => self.pause(node, lasts),
            Fault::Lie { node, about, lasts } => {
                let disturbance = self.disturbances.begin_outside(now, about, Part::Struck);
                self.tell_lie(node, Some(about));
                self.schedule(now + lasts, Event::Truth { node, disturbance });
            }
            Fault::Reshuffle => {
                self.spread = self.rng.next();
                self.tally.reshuffles += 1;
            }
            Fault::Reconfigure => self.reconfigure(),
            Fault::Flood(packets) => self.flood(packets),
            Fault::IcmpError => self.icmp_error(),
        }
    }

    fn disturb(&mut self, node: NodeNumber, part: Part) -> usize {
        self.epoch = self.now;
        self.disturbances.begin(self.now, node, part)
    }

    fn disturb_outside(&mut self, node: NodeNumber, part: Part) -> usize {
        self.epoch = self.now;
        self.disturbances.begin_outside(self.now, node, part)
    }

    /// Kills a node's process without a word; it starts again after a time.
    fn kill(&mut self, number: NodeNumber, down: Duration) {
        let Some(node) = self.nodes.get_mut(&number).filter(|node| node.is_up()) else {
            return;
        };
        let waited = node.kill().and_then(|life| life.paused);
        for waiting in waited.unwrap_or_default() {
            if let Waiting::Datagram { .. } = waiting {
                self.network.arrived(false);
            }
        }
        self.crash_in_crowd |= self.live >= CROWD;
        match Topology::role(number) {
            Role::Ingress => self.tally.ingress_restarts += 1,
            Role::FlowTracker => self.tally.tracker_restarts += 1,
            Role::HostAgent => self.tally.agent_restarts += 1,
        }
        self.disturb(number, Part::Struck);
        if let Some(side) = self.hosts.get_mut(&number) {
            side.dump_armed = None;
            side.look_ups_armed = None;
            // The next agent finds what the kernel has, whatever this one has said.
            for dossier in &mut self.dossiers {
                if dossier.sockets.contains(&number) && !dossier.got_syns.contains(&number) {
                    dossier.got_syns.push(number);
                }
            }
            // A UDP flow has no socket that its host could take it back from.
            for dossier in &mut self.dossiers {
                if dossier.udp.is_some_and(|(host, _)| host == number) {
                    dossier.udp = None;
                }
            }
        }
        self.watch_host(number);
        self.look_at_router();
        self.schedule(self.now + down, Event::Start(number));
    }

    /// A machine is gone for ever.
    fn die(&mut self, number: NodeNumber) {
        self.gone.insert(number);
        self.kill(number, Duration::ZERO);
        let Some(side) = self.hosts.get_mut(&number) else {
            return;
        };
        side.kernel = crate::kernel::Kernel::default();
        self.tally.host_deaths += 1;
        for dossier in &mut self.dossiers {
            dossier.sockets.retain(|&host| host != number);
        }
    }

    fn leave(&mut self, number: NodeNumber) {
        if !self.nodes.get(&number).is_some_and(|node| node.is_up()) {
            return;
        }
        self.tally.leaves += 1;
        self.draining.insert(number);
        self.epoch = self.now;
        self.look_at_router();
        if Topology::role(number) == Role::FlowTracker {
            self.disturb(number, Part::Leaves);
        }
        self.drain(number);
        self.schedule(self.now + DRAINS, Event::Stop(number));
    }

    /// A node that has drained is stopped. What a host still has goes with it.
    pub(super) fn stop(&mut self, number: NodeNumber) {
        self.die(number);
    }

    fn cut(&mut self, node: NodeNumber, others: Vec<NodeNumber>, ways: Ways, lasts: Duration) {
        self.cuts += 1;
        self.tally.cuts += 1;
        let number = self.cuts;
        let mut disturbances = vec![self.disturb_outside(node, Part::Struck)];
        for &other in &others {
            disturbances.push(self.disturb_outside(other, Part::Touched));
        }
        if ways != Ways::In {
            self.network.cut(number, vec![node], others.clone());
        }
        if ways != Ways::Out {
            self.network.cut(number, others, vec![node]);
        }
        let event = Event::Mend {
            number,
            disturbances,
        };
        self.schedule(self.now + lasts, event);
    }

    pub(super) fn mend(&mut self, number: u32, disturbances: &[usize]) {
        self.network.mend(number);
        self.epoch = self.now;
        for &disturbance in disturbances {
            self.disturbances.end(self.now, disturbance);
        }
        self.trace
            .note_all(self.now, || format!("cut {number} is mended"));
    }

    fn pause(&mut self, number: NodeNumber, lasts: Duration) {
        let Some(life) = self.nodes.get_mut(&number).and_then(|node| node.running()) else {
            return;
        };
        life.paused = Some(VecDeque::new());
        self.sessions.pauses(self.now, number);
        self.tally.pauses += 1;
        self.disturb(number, Part::Struck);
        self.watch_host(number);
        self.look_at_router();
        self.schedule(self.now + lasts, Event::Resume(number));
    }

    /// The process goes on: first it sees to what is due, then to what waits.
    pub(super) fn resume(&mut self, number: NodeNumber) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&number) else {
            return;
        };
        let Some(waiting) = node.life.as_mut().and_then(|life| life.paused.take()) else {
            return;
        };
        self.trace.note_all(now, || {
            format!("{number} goes on, {} things wait for it", waiting.len())
        });
        self.epoch = self.now;
        self.disturbances.end_of(now, number);
        if !self.topology.fixed_views {
            let noticed = self.topology.noticed_pause();
            self.sessions.resumes(now, number, noticed);
        }
        node.armed = None;
        node.look_at_clock(now);
        self.tend_views(number);
        if let Some(node) = self.nodes.get_mut(&number) {
            node.handle_timeout(now, true);
        }
        self.settle(number);
        for waiting in waiting {
            match waiting {
                Waiting::Datagram {
                    from,
                    port,
                    bytes,
                    sealed,
                } => {
                    self.network.arrived(true);
                    self.receive(from, number, port, &bytes, sealed);
                }
                Waiting::Packet { client, packet } => self.process(number, client, packet),
            }
        }
        if let Some(side) = self.hosts.get_mut(&number) {
            side.dump_armed = None;
            side.look_ups_armed = None;
        }
        self.watch_host(number);
        self.look_at_router();
    }

    /// Every node gets the next configuration at once.
    fn reconfigure(&mut self) {
        let now = self.now;
        self.topology.reconfigure(&mut self.rng);
        self.epoch = self.now;
        self.tally.config_changes += 1;
        let numbers: Vec<_> = self.topology.nodes().collect();
        for number in numbers {
            let Some(node) = self.nodes.get_mut(&number) else {
                continue;
            };
            let (clock, incarnation) = (node.clock.shows(now), node.incarnation);
            let Some(life) = node.running() else {
                continue;
            };
            match &mut life.machine {
                Machine::Ingress(ingress) => {
                    ingress.handle_config(clock, self.topology.ingress_config(number));
                }
                Machine::Tracker(tracker) => {
                    tracker.handle_config(clock, self.topology.tracker_config(number));
                }
                Machine::Host(agent) => {
                    agent.handle_config(clock, self.topology.host_config(number, incarnation));
                }
            }
            self.settle(number);
        }
    }

    /// The router notices after its time what has become of the ingress nodes.
    pub(super) fn look_at_router(&mut self) {
        self.schedule(self.now + self.router_takes, Event::RouterLooks);
    }

    pub(super) fn router_looks(&mut self) {
        let serves = |number: &NodeNumber| {
            let node = self.nodes.get(number);
            node.is_some_and(|node| node.is_up() && !node.is_paused())
                && !self.draining.contains(number)
        };
        let all = self.topology.ingresses.iter().copied();
        let up: Vec<_> = all.filter(serves).collect();
        if !up.is_empty() && up != self.router {
            self.trace
                .note_all(self.now, || format!("the router sends to {up:?}"));
            self.router = up;
            self.tally.reshuffles += 1;
        }
    }

    /// The ingress that the router sends a flow's packets to.
    pub(super) fn ingress_of(&self, flow: u64) -> Option<NodeNumber> {
        if self.resilient {
            let score = |number: &&NodeNumber| {
                let seed = self.spread ^ flow ^ u64::from(number.get()) << 48;
                crate::rng::Rng::new(seed).next()
            };
            return self.router.iter().max_by_key(score).copied();
        }
        let mut choice = crate::rng::Rng::new(self.spread ^ flow);
        self.router.get(choice.place(self.router.len())).copied()
    }
}
