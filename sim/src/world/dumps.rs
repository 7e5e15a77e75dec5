//! What an agent learns of its host's kernel: destroy events and dumps.

use super::{Event, Told, World};
use crate::machine::Machine;
use core::net::SocketAddr;
use core::time::Duration;
use jlb_host_agent::{DumpScope, HostAgent, Socket, SocketState};
use jlb_protocol::{FlowKey, NodeNumber, Time};
use std::collections::BTreeSet;

impl World {
    /// A destroy event is read. One that a paused agent is to read waits for it.
    pub(super) fn destroyed(&mut self, host: NodeNumber, life: u32, told: Box<Told>) {
        let now = self.now;
        if self.nodes.get(&host).is_some_and(|node| node.is_paused()) {
            let again = now + Duration::from_millis(10);
            self.schedule(again, Event::Destroyed { host, life, told });
            return;
        }
        let (local, mut remote) = self.addresses(&told.key);
        if told.aborted {
            remote.set_port(0);
        }
        if let Some(client) = self.client_of(&told.key) {
            self.trace
                .note(now, client, || format!("agent {host}: destroyed, {told:?}"));
        }
        let Some(clock) = self.agent_clock(host, life) else {
            return;
        };
        if let Some(agent) = self.agent(host) {
            if told.lost {
                agent.handle_events_lost(clock);
            } else {
                agent.handle_socket_closed(clock, local, remote, told.cookie);
            }
        }
        self.settle(host);
    }

    /// Sees to a host's next dump and look-ups, and notes whether the host has room (S3).
    pub(super) fn watch_host(&mut self, host: NodeNumber) {
        let now = self.now;
        self.watch_look_ups(host);
        let Some(node) = self.nodes.get(&host) else {
            return;
        };
        let (due, life) = (node.poll_dump(), node.incarnation);
        let due = due.filter(|_| !node.is_paused());
        let stats = match node.life.as_ref().map(|life| &life.machine) {
            Some(Machine::Host(agent)) => Some(agent.stats()),
            Some(Machine::Ingress(_) | Machine::Tracker(_)) | None => None,
        };
        let Some(side) = self.hosts.get_mut(&host) else {
            return;
        };
        let stats = stats.filter(|stats| stats.ready);
        for service in &self.topology.services {
            let mut services = stats.iter().flat_map(|stats| &stats.services);
            let own = services.find(|own| own.service == service.number);
            let is_closed = own.is_none_or(|own| own.room == 0);
            // Nothing is seen between two looks: what was closed was so until now.
            let was_closed = if is_closed {
                !side.closed.insert(service.number)
            } else {
                side.closed.remove(&service.number)
            };
            if is_closed || was_closed {
                side.closed_at.insert(service.number, now);
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
        let Some(clock) = self.agent_clock(host, life) else {
            return;
        };
        let Some(scope) = self.agent(host).map(|agent| agent.dump_scope(clock)) else {
            return;
        };
        let Some(side) = self.hosts.get_mut(&host) else {
            return;
        };
        if side.dump_armed != Some(now) {
            return;
        }
        // Nothing else is armed until this dump is handed in.
        side.dump_armed = Some(Time::ZERO);
        let sockets = self.rng.chance(500).then(|| self.list(host, scope));
        // With many entries of TIME_WAIT it takes long, and the next has to rest.
        let longest = if self.rng.chance(100) { 500 } else { 30 };
        let takes = self
            .rng
            .span(Duration::ZERO, Duration::from_millis(longest));
        let event = Event::DumpEnds {
            host,
            life,
            started: now,
            scope,
            sockets,
        };
        self.schedule(now + takes, event);
    }

    pub(super) fn end_dump(
        &mut self,
        host: NodeNumber,
        life: u32,
        started: Time,
        scope: DumpScope,
        sockets: Option<Vec<Socket>>,
    ) {
        if self.nodes.get(&host).is_some_and(|node| node.is_paused()) {
            // It reads what the kernel wrote before once it goes on.
            let again = self.now + Duration::from_millis(10);
            let event = Event::DumpEnds {
                host,
                life,
                started,
                scope,
                sockets,
            };
            self.schedule(again, event);
            return;
        }
        let Some(clock) = self.agent_clock(host, life) else {
            return;
        };
        let sockets = sockets.unwrap_or_else(|| self.list(host, scope));
        let begun = self.shows(host, started).unwrap_or(clock);
        self.trace_dump(host, &sockets);
        if let Some(agent) = self.agent(host) {
            agent.begin_sockets(clock, begun, scope);
        }
        self.hand_listed(host, life, begun, sockets);
    }

    /// A list is handed in by and by, while all else goes on.
    pub(super) fn hand_listed(
        &mut self,
        host: NodeNumber,
        life: u32,
        begun: Time,
        mut sockets: Vec<Socket>,
    ) {
        let again = if self.nodes.get(&host).is_some_and(|node| node.is_paused()) {
            Duration::from_millis(10)
        } else {
            let Some(clock) = self.agent_clock(host, life) else {
                return;
            };
            let count = self.rng.within(0, sockets.len() as u64) as usize;
            let rest = sockets.split_off(count);
            let part = std::mem::replace(&mut sockets, rest);
            let is_complete = sockets.is_empty();
            if let Some(agent) = self.agent(host) {
                agent.handle_part(clock, &part);
                if is_complete {
                    agent.end_sockets(clock, clock.since(begun));
                }
            }
            if is_complete {
                if let Some(side) = self.hosts.get_mut(&host) {
                    side.dump_armed = None;
                }
                self.settle(host);
                return;
            }
            self.settle(host);
            self.rng.span(Duration::ZERO, Duration::from_millis(5))
        };
        let event = Event::DumpPart {
            host,
            life,
            begun,
            sockets,
        };
        self.schedule(self.now + again, event);
    }

    fn trace_dump(&mut self, host: NodeNumber, sockets: &[Socket]) {
        if !self.trace.is_on() {
            return;
        }
        let Some(client) = self.trace.client() else {
            return;
        };
        let (_, remote) = self.addresses(&self.clients[client].key);
        let listed = sockets.iter().find(|socket| socket.remote == remote);
        let state = listed.map(|socket| socket.state);
        self.trace.note(self.now, client, || {
            format!("agent {host}: a dump lists {state:?}")
        });
    }

    fn list(&mut self, host: NodeNumber, scope: DumpScope) -> Vec<Socket> {
        let mut sockets = Vec::new();
        let mut missed = BTreeSet::new();
        let Some(side) = self.hosts.get(&host) else {
            return sockets;
        };
        for (key, sock) in side.kernel.sockets() {
            if scope == DumpScope::Sockets && sock.state() == SocketState::TimeWait {
                continue;
            }
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
                state: sock.state(),
            });
        }
        if let Some(side) = self.hosts.get_mut(&host) {
            side.missed = missed;
        }
        sockets
    }

    pub(super) fn agent(&mut self, host: NodeNumber) -> Option<&mut HostAgent> {
        match &mut self.nodes.get_mut(&host)?.life.as_mut()?.machine {
            Machine::Host(agent) => Some(agent),
            Machine::Ingress(_) | Machine::Tracker(_) => None,
        }
    }

    /// The time on the clock of a host whose agent is up, not paused, and in this life.
    pub(super) fn agent_clock(&self, host: NodeNumber, life: u32) -> Option<Time> {
        let node = self.nodes.get(&host)?;
        let runs = node.is_up() && !node.is_paused() && node.incarnation == life;
        runs.then(|| node.clock.shows(self.now))
    }

    pub(super) fn shows(&self, host: NodeNumber, world: Time) -> Option<Time> {
        Some(self.nodes.get(&host)?.clock.shows(world))
    }

    /// The local and the remote address of a flow's socket.
    pub(super) fn addresses(&self, key: &FlowKey) -> (SocketAddr, SocketAddr) {
        let service = self.topology.service(key.service());
        let vip = service.map_or(key.client(), |service| service.matching.vip);
        (
            SocketAddr::new(vip, key.vip_port()),
            SocketAddr::new(key.client(), key.client_port()),
        )
    }
}
