//! Hosts: their kernels, what agents learn of them, and nodes that are killed and started again.

use super::{Event, World};
use crate::checks::{Rule, consistency};
use crate::client::Origin;
use crate::kernel::{Effect, Kernel, Phase, Segment};
use crate::node::Machine;
use crate::segment::{self, Kind, belongs};
use core::net::SocketAddr;
use core::time::Duration;
use jlb_host_agent::{HostAgent, Socket, SocketState};
use jlb_ingress::Ingress;
use jlb_protocol::packet::TcpFlags;
use jlb_protocol::{FlowKey, NodeNumber, Time};
use std::collections::BTreeSet;

impl World {
    /// The kernels, for the checkers.
    pub(super) fn kernels(&self) -> impl Iterator<Item = (NodeNumber, &Kernel)> {
        self.hosts.iter().map(|(&host, side)| (host, &side.kernel))
    }

    /// A client's packet goes to the stack of `host`.
    pub(super) fn hand_to_stack(&mut self, host: NodeNumber, packet: &[u8]) {
        let Some(read) = segment::read(packet) else {
            return;
        };
        let Some(&client) = self.by_address.get(&read.src) else {
            return;
        };
        self.tally.delivered += 1;
        let key = self.clients[client].key;
        self.trace.note(self.now, client, || {
            format!("host {host} delivers {}", segment::describe(read.kind))
        });
        let (seq, ack, flags, payload) = match read.kind {
            Kind::Tcp {
                seq,
                ack,
                flags,
                payload,
            } => (seq, ack, flags, payload),
            Kind::Udp => {
                let before = self.dossiers[client].udp;
                let wrong = consistency::check_udp(self.now, before, host);
                self.violate(Rule::Consistency, Some(client), wrong);
                self.dossiers[client].udp = Some((host, self.now));
                return;
            }
            Kind::Other => return,
        };
        let lives = &self.dossiers[client].lives;
        let Some(&isn) = lives.iter().rev().find(|&&isn| belongs(seq, isn)) else {
            return;
        };
        let is_left = lives.last() != Some(&isn);
        if flags.contains(TcpFlags::SYN) && !is_left {
            self.dossiers[client].attempt.at_stack = true;
        }
        let wrong = consistency::check_tcp(self.kernels(), &key, isn, is_left, host);
        self.violate(Rule::Consistency, Some(client), wrong);
        let now = self.now;
        let Some(side) = self.hosts.get_mut(&host) else {
            return;
        };
        let segment = Segment {
            seq,
            ack,
            flags,
            payload,
            isn,
        };
        let effects = side.kernel.segment(now, key, segment);
        self.effects(host, key, effects);
    }

    pub(super) fn socket_timer(&mut self, host: NodeNumber, key: FlowKey, cookie: u64) {
        let now = self.now;
        if let Some(side) = self.hosts.get_mut(&host) {
            let effects = side.kernel.timer(now, key, cookie);
            self.effects(host, key, effects);
        }
    }

    fn effects(&mut self, host: NodeNumber, key: FlowKey, effects: Vec<Effect>) {
        let Some(&client) = self.by_key.get(&key) else {
            return;
        };
        for effect in effects {
            match effect {
                Effect::Say(answer) => {
                    self.trace.note(self.now, client, || {
                        format!(
                            "kernel {host} says {:?} of isn {:#010x}",
                            answer.reply, answer.isn
                        )
                    });
                    // Direct return: no node of ours sees it.
                    for delay in self.network.copies().into_iter().flatten() {
                        let event = Event::Answer {
                            client,
                            answer,
                            origin: Origin::Stack,
                        };
                        self.schedule(self.now + delay, event);
                    }
                }
                Effect::Wake { cookie, at } => {
                    self.schedule(at, Event::SocketTimer { host, key, cookie });
                }
                Effect::Destroyed { cookie, aborted } => {
                    let lost = self.rng.chance(self.lost_events);
                    // Of an event that was lost the agent may at least be told that one was.
                    if lost && self.rng.chance(500) {
                        continue;
                    }
                    let delay = self.rng.span(Duration::ZERO, Duration::from_millis(3));
                    let event = Event::Destroyed {
                        host,
                        life: self.life(host),
                        key,
                        cookie,
                        aborted,
                        lost,
                    };
                    self.schedule(self.now + delay, event);
                }
            }
        }
    }

    pub(super) fn destroyed(
        &mut self,
        host: NodeNumber,
        life: u32,
        key: &FlowKey,
        cookie: u64,
        aborted: bool,
        lost: bool,
    ) {
        let now = self.now;
        let (local, mut remote) = self.addresses(key);
        if aborted {
            remote.set_port(0);
        }
        if let Some(&client) = self.by_key.get(key) {
            self.trace.note(now, client, || {
                format!("agent {host}: destroyed, cookie {cookie}, aborted {aborted}, lost {lost}")
            });
        }
        let Some(clock) = self.agent_clock(host, life) else {
            return;
        };
        if let Some(agent) = self.agent(host) {
            if lost {
                agent.handle_events_lost(clock);
            } else {
                agent.handle_socket_closed(clock, local, remote, cookie);
            }
        }
        self.settle(host);
    }

    /// Sees to a host's next dump, and notes whether the host has room (S3).
    pub(super) fn watch_host(&mut self, host: NodeNumber) {
        let now = self.now;
        let Some(node) = self.nodes.get(&host) else {
            return;
        };
        let (due, life) = (node.poll_dump(), node.life);
        let stats = match &node.machine {
            Some(Machine::Host(agent)) => Some(agent.stats()),
            Some(Machine::Ingress(_) | Machine::Tracker(_)) | None => None,
        };
        let Some(side) = self.hosts.get_mut(&host) else {
            return;
        };
        match stats.filter(|stats| stats.ready) {
            Some(stats) => {
                for service in stats.services.iter().filter(|service| service.room == 0) {
                    side.closed_at.insert(service.service, now);
                }
            }
            None => {
                for service in &self.topology.services {
                    side.closed_at.insert(service.number, now);
                }
            }
        }
        let Some(due) = due else {
            return;
        };
        let due = due.max(now);
        if side.dump_armed.is_none_or(|armed| due < armed) {
            side.dump_armed = Some(due);
            self.schedule(due, Event::DumpBegins { host, life });
        }
    }

    /// A dump takes a while; what it lists is as of its beginning or of its end.
    pub(super) fn begin_dump(&mut self, host: NodeNumber, life: u32) {
        let now = self.now;
        if self.life(host) != life {
            return;
        }
        let Some(side) = self.hosts.get_mut(&host) else {
            return;
        };
        if side.dump_armed != Some(now) {
            return;
        }
        // Nothing else is armed until this dump is handed in.
        side.dump_armed = Some(Time::ZERO);
        let sockets = self.rng.chance(500).then(|| self.list(host));
        let takes = self.rng.span(Duration::ZERO, Duration::from_millis(30));
        let event = Event::DumpEnds {
            host,
            life,
            started: now,
            sockets,
        };
        self.schedule(now + takes, event);
    }

    pub(super) fn end_dump(
        &mut self,
        host: NodeNumber,
        life: u32,
        started: Time,
        sockets: Option<Vec<Socket>>,
    ) {
        let Some(clock) = self.agent_clock(host, life) else {
            return;
        };
        let sockets = sockets.unwrap_or_else(|| self.list(host));
        let took = self.now.since(started);
        let begun = Time::from_nanos(
            clock
                .as_nanos()
                .saturating_sub(u64::try_from(took.as_nanos()).unwrap_or(0)),
        );
        self.trace_dump(host, &sockets);
        if let Some(agent) = self.agent(host) {
            agent.handle_sockets(clock, begun, &sockets);
        }
        if let Some(side) = self.hosts.get_mut(&host) {
            side.dump_armed = None;
        }
        self.settle(host);
    }

    fn trace_dump(&mut self, host: NodeNumber, sockets: &[Socket]) {
        if !self.trace.is_on() {
            return;
        }
        for client in 0..self.clients.len() {
            let (_, remote) = self.addresses(&self.clients[client].key);
            let listed = sockets.iter().find(|socket| socket.remote == remote);
            let state = listed.map(|socket| socket.state);
            self.trace.note(self.now, client, || {
                format!("agent {host}: a dump lists {state:?}")
            });
        }
    }

    fn list(&mut self, host: NodeNumber) -> Vec<Socket> {
        let mut sockets = Vec::new();
        let mut missed = BTreeSet::new();
        let Some(side) = self.hosts.get(&host) else {
            return sockets;
        };
        for (key, sock) in side.kernel.sockets() {
            let again = side.missed.contains(&sock.cookie);
            if !again && self.rng.chance(self.missed_sockets) {
                missed.insert(sock.cookie);
                continue;
            }
            let (local, remote) = self.addresses(key);
            sockets.push(Socket {
                local,
                remote,
                cookie: sock.cookie,
                state: match sock.phase {
                    Phase::HalfOpen => SocketState::HalfOpen,
                    Phase::Open | Phase::CloseWait | Phase::FinWait | Phase::LastAck => {
                        SocketState::Open
                    }
                    Phase::TimeWait => SocketState::TimeWait,
                },
            });
        }
        if let Some(side) = self.hosts.get_mut(&host) {
            side.missed = missed;
        }
        sockets
    }

    /// Kills a node without a word; it starts again soon.
    pub(super) fn kill(&mut self, number: NodeNumber) {
        let Some(node) = self.nodes.get_mut(&number) else {
            return;
        };
        if node.machine.is_none() {
            return;
        }
        if self.topology.hosts.contains(&number) {
            self.tally.agent_restarts += 1;
        } else {
            self.tally.ingress_restarts += 1;
        }
        node.kill();
        self.trace
            .note_all(self.now, || format!("{number} is killed"));
        if let Some(side) = self.hosts.get_mut(&number) {
            side.dump_armed = None;
            // A UDP flow has no socket that its host could take it back from.
            for dossier in &mut self.dossiers {
                if dossier.udp.is_some_and(|(host, _)| host == number) {
                    dossier.udp = None;
                }
            }
        }
        self.watch_host(number);
        let down = self
            .rng
            .span(Duration::from_millis(20), Duration::from_millis(1500));
        self.schedule(self.now + down, Event::Start(number));
    }

    pub(super) fn start(&mut self, number: NodeNumber) {
        let now = self.now;
        let view = self.topology.view.clone();
        let seed = self.rng.next();
        let Some(node) = self.nodes.get_mut(&number) else {
            return;
        };
        let (life, clock) = (node.life, node.clock(now));
        let machine = if self.hosts.contains_key(&number) {
            let config = self.topology.host_config(number, life);
            Machine::Host(Box::new(HostAgent::new(config, view, seed, clock)))
        } else {
            let config = self.topology.ingress_config(number);
            Machine::Ingress(Box::new(Ingress::new(config, view, seed, clock)))
        };
        node.machine = Some(machine);
        self.trace
            .note_all(now, || format!("{number} starts, life {life}"));
        self.settle(number);
    }

    fn agent(&mut self, host: NodeNumber) -> Option<&mut HostAgent> {
        match &mut self.nodes.get_mut(&host)?.machine {
            Some(Machine::Host(agent)) => Some(agent),
            Some(Machine::Ingress(_) | Machine::Tracker(_)) | None => None,
        }
    }

    /// The time on the clock of a host whose agent is up and in this life.
    fn agent_clock(&self, host: NodeNumber, life: u32) -> Option<Time> {
        let node = self.nodes.get(&host)?;
        (node.machine.is_some() && node.life == life).then(|| node.clock(self.now))
    }

    fn life(&self, host: NodeNumber) -> u32 {
        self.nodes.get(&host).map_or(0, |node| node.life)
    }

    /// The local and the remote address of a flow's socket.
    fn addresses(&self, key: &FlowKey) -> (SocketAddr, SocketAddr) {
        let service = self.topology.service(key.service());
        let vip = service.map_or(key.client(), |service| service.matching.vip);
        (
            SocketAddr::new(vip, key.vip_port()),
            SocketAddr::new(key.client(), key.client_port()),
        )
    }
}
