//! What an agent learns of its host's kernel by asking for single connections.

use super::{Event, World};
use core::time::Duration;
use jlb_host_agent::{Found, LookUp, LookedUp, Socket, SocketState};
use jlb_protocol::{FlowKey, NodeNumber, Protocol, Time};

/// Chances in a thousand that the kernel takes no look-ups, or has no word on one.
const FAILS: u64 = 20;
const UNKNOWN: u64 = 10;

impl World {
    /// Sees to a host's next look-ups.
    pub(super) fn watch_look_ups(&mut self, host: NodeNumber) {
        let now = self.now;
        let Some(node) = self.nodes.get(&host) else {
            return;
        };
        let (due, life) = (node.poll_look_ups(), node.incarnation);
        let due = due.filter(|_| !node.is_paused());
        let (Some(due), Some(side)) = (due, self.hosts.get_mut(&host)) else {
            return;
        };
        let due = due.max(now);
        if side.look_ups_armed.is_none_or(|armed| due < armed) {
            side.look_ups_armed = Some(due);
            self.schedule(due, Event::LookUpsBegin { host, life });
        }
    }

    /// Look-ups take a while; each is made some time in it.
    pub(super) fn begin_look_ups(&mut self, host: NodeNumber, life: u32) {
        let now = self.now;
        if self.agent_clock(host, life).is_none() {
            return;
        }
        let Some(side) = self.hosts.get_mut(&host) else {
            return;
        };
        if side.look_ups_armed != Some(now) {
            return;
        }
        // Nothing else is armed until these are handed in.
        side.look_ups_armed = Some(Time::ZERO);
        let asked = self.agent(host).map(|agent| agent.take_look_ups());
        let answers = asked.unwrap_or_default().into_iter().map(|asked| {
            let found = self.rng.chance(500).then(|| self.look_up(host, &asked));
            (asked, found)
        });
        let answers = answers.collect();
        let longest = if self.rng.chance(100) { 500 } else { 30 };
        let takes = self
            .rng
            .span(Duration::ZERO, Duration::from_millis(longest));
        let event = Event::LookUpsEnd {
            host,
            life,
            started: now,
            answers,
        };
        self.schedule(now + takes, event);
    }

    pub(super) fn end_look_ups(
        &mut self,
        host: NodeNumber,
        life: u32,
        started: Time,
        answers: Vec<(LookUp, Option<Found>)>,
    ) {
        if self.nodes.get(&host).is_some_and(|node| node.is_paused()) {
            let again = self.now + Duration::from_millis(10);
            let event = Event::LookUpsEnd {
                host,
                life,
                started,
                answers,
            };
            self.schedule(again, event);
            return;
        }
        let Some(clock) = self.agent_clock(host, life) else {
            return;
        };
        let begun = self.shows(host, started).unwrap_or(clock);
        let mut all = Vec::new();
        for (asked, found) in answers {
            let found = found.unwrap_or_else(|| self.look_up(host, &asked));
            self.trace_look_up(host, &asked, found);
            all.push(LookedUp { asked, found });
        }
        let fails = self.rng.chance(FAILS);
        if let Some(agent) = self.agent(host) {
            if fails {
                agent.handle_look_ups_failed();
            } else {
                agent.handle_looked_up(clock, begun, clock.since(begun) / 10, &all);
            }
        }
        if let Some(side) = self.hosts.get_mut(&host) {
            side.look_ups_armed = None;
        }
        self.settle(host);
    }

    fn trace_look_up(&mut self, host: NodeNumber, asked: &LookUp, found: Found) {
        let Some(client) = self.trace.client().filter(|_| self.trace.is_on()) else {
            return;
        };
        if self.addresses(&self.clients[client].key).1 == asked.remote {
            self.trace.note(self.now, client, || {
                format!("agent {host}: a look-up finds {found:?}")
            });
        }
    }

    /// What the kernel says now.
    fn look_up(&mut self, host: NodeNumber, asked: &LookUp) -> Found {
        if self.rng.chance(UNKNOWN) {
            return Found::Unknown;
        }
        let Some(key) = self.flow_between(asked) else {
            return Found::Unknown;
        };
        let now = self.now;
        let Some(side) = self.hosts.get_mut(&host) else {
            return Found::Unknown;
        };
        let Some(sock) = side.kernel.socket(&key) else {
            return Found::Nothing;
        };
        let state = sock.state();
        let rest = (state == SocketState::TimeWait).then(|| sock.rest(now));
        let cookie = sock.cookie;
        // As lists do: the kernel replaces one socket by another meanwhile.
        if !side.missed.remove(&cookie) && self.rng.chance(self.missed_sockets) {
            side.missed.insert(cookie);
            return Found::Nothing;
        }
        let socket = Socket {
            local: asked.local,
            remote: asked.remote,
            cookie,
            state,
        };
        Found::Socket { socket, rest }
    }

    /// The flow that has these ends.
    fn flow_between(&self, asked: &LookUp) -> Option<FlowKey> {
        let LookUp { local, remote } = asked;
        let service = self.topology.services.iter().find(|service| {
            let found = &service.matching;
            (found.vip, found.protocol) == (local.ip(), Protocol::Tcp)
        })?;
        let (client, port) = (remote.ip(), remote.port());
        Some(FlowKey::new(client, port, service.number, local.port()))
    }
}
