//! Hosts: their stacks.

use super::{Event, Told, World};
use crate::checks::{Rule, consistency};
use crate::client::Origin;
use crate::kernel::{Effect, Kernel, Phase, Segment};
use crate::segment::{self, Kind, belongs};
use core::time::Duration;
use jlb_protocol::packet::TcpFlags;
use jlb_protocol::{FlowKey, NodeNumber};

impl World {
    /// The kernels that have a socket of a client's flow, for the checkers.
    pub(super) fn kernels(&self, client: usize) -> impl Iterator<Item = (NodeNumber, &Kernel)> {
        let holders = self.dossiers[client].sockets.iter();
        holders.filter_map(|&host| Some((host, &self.hosts.get(&host)?.kernel)))
    }

    /// A packet goes to the stack of `host`.
    pub(super) fn hand_to_stack(&mut self, host: NodeNumber, packet: &[u8]) {
        let Some(read) = segment::read(packet) else {
            return;
        };
        self.tally.delivered += 1;
        let client = crate::topology::Topology::client_at(read.src)
            .filter(|&client| client < self.clients.len());
        if let Some(client) = client {
            self.trace.note(self.now, client, || {
                format!("host {host} delivers {}", segment::describe(read.kind))
            });
        }
        let (seq, ack, flags, payload) = match read.kind {
            Kind::Tcp {
                seq,
                ack,
                flags,
                payload,
            } => (seq, ack, flags, payload),
            Kind::Udp => {
                if let Some(client) = client {
                    self.datagram_at_stack(host, client);
                }
                return;
            }
            Kind::Other => return,
        };
        let Some(key) = self.key_of(packet) else {
            return;
        };
        let isn = match client {
            Some(client) => match self.check_segment(host, client, key, seq, flags) {
                Some(isn) => isn,
                None => return,
            },
            // A made-up sender has one life, of which nothing is expected.
            None => seq,
        };
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
        let mut effects = core::mem::take(&mut self.effects);
        side.kernel.segment(now, key, segment, &mut effects);
        self.effects = effects;
        self.effects(host, key);
    }

    fn datagram_at_stack(&mut self, host: NodeNumber, client: usize) {
        let now = self.now;
        let dossier = &self.dossiers[client];
        let wrong = consistency::check_udp(now, dossier.udp, host);
        if let Some((other, last)) = dossier.udp.filter(|_| wrong.is_some()) {
            // Until the first host has answered, the flow is as little a connection as a half-open
            // one.
            let young = now.since(dossier.udp_began) < crate::disturbances::SETTLES;
            let began = if young { dossier.udp_began } else { last };
            let hosts = [other, host, dossier.udp_before.unwrap_or(host)];
            if !self.is_excused(began, &hosts) {
                self.violate(Rule::Consistency, Some(client), wrong);
            } else {
                self.tally.excused += 1;
            }
        }
        let dossier = &mut self.dossiers[client];
        if dossier.udp.is_none_or(|(other, _)| other != host) {
            // The host that had it may have been away, and be back.
            dossier.udp_before = dossier.udp.map(|(other, _)| other);
            dossier.udp_began = now;
            dossier.changed = now;
        }
        dossier.udp = Some((host, now));
    }

    /// Checks the delivery of a client's segment; gives the life that it belongs to.
    fn check_segment(
        &mut self,
        host: NodeNumber,
        client: usize,
        key: FlowKey,
        seq: u32,
        flags: TcpFlags,
    ) -> Option<u32> {
        let dossier = &mut self.dossiers[client];
        let lives = &dossier.lives;
        let isn = *lives.iter().rev().find(|&&isn| belongs(seq, isn))?;
        let is_left = lives.last() != Some(&isn);
        let is_syn = flags.contains(TcpFlags::SYN);
        if is_syn && !is_left {
            dossier.attempt.at_stack = true;
        }
        if is_syn && !dossier.got_syns.contains(&host) {
            dossier.got_syns.push(host);
        }
        let began = dossier.attempt.began;
        let never = consistency::check_mid_flow(&dossier.got_syns, host);
        self.violate(Rule::Consistency, Some(client), never);
        let found = consistency::check_tcp(self.kernels(client), &key, isn, is_left, host);
        if let Some((other, phase, words)) = found {
            let handshake = is_syn || phase == Phase::HalfOpen;
            let hosts = [other, host];
            if (handshake && self.is_excused(began, &hosts))
                || self.is_never_published(client, &hosts)
                || self.is_out_of_order(client)
            {
                self.tally.excused += 1;
            } else {
                self.violate(Rule::Consistency, Some(client), Some(words));
            }
        }
        Some(isn)
    }

    pub(super) fn socket_timer(&mut self, host: NodeNumber, key: FlowKey, cookie: u64) {
        let now = self.now;
        if let Some(side) = self.hosts.get_mut(&host) {
            side.kernel.timer(now, key, cookie, &mut self.effects);
            self.effects(host, key);
        }
    }

    /// Does what the kernel of `host` wants done.
    fn effects(&mut self, host: NodeNumber, key: FlowKey) {
        let client = self.client_of(&key);
        if let Some(client) = client {
            self.note_socket(host, client, &key);
        }
        let mut effects = core::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Say(answer) => {
                    // Nobody is there to hear what is said to a made-up sender.
                    let Some(client) = client else {
                        continue;
                    };
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
                    let key = Box::new(key);
                    self.schedule(at, Event::SocketTimer { host, key, cookie });
                }
                Effect::Destroyed { cookie, aborted } => {
                    self.tell_destroyed(host, key, cookie, aborted);
                }
            }
        }
        self.effects = effects;
    }

    /// Keeps the list of the hosts that have a socket of a client's flow.
    fn note_socket(&mut self, host: NodeNumber, client: usize, key: &FlowKey) {
        let has = self
            .hosts
            .get(&host)
            .is_some_and(|side| side.kernel.socket(key).is_some());
        let dossier = &mut self.dossiers[client];
        let listed = dossier.sockets.iter().position(|&other| other == host);
        match (has, listed) {
            (true, None) => dossier.sockets.push(host),
            (false, Some(at)) => {
                dossier.sockets.swap_remove(at);
            }
            (true, Some(_)) | (false, None) => return,
        }
        dossier.changed = self.now;
    }

    fn tell_destroyed(&mut self, host: NodeNumber, key: FlowKey, cookie: u64, aborted: bool) {
        let lost = self.rng.chance(self.lost_events);
        // Of an event that was lost the agent may at least be told that one was.
        if lost && self.rng.chance(500) {
            return;
        }
        let delay = self.rng.span(Duration::ZERO, Duration::from_millis(3));
        let life = self.nodes.get(&host).map_or(0, |node| node.incarnation);
        let told = Box::new(Told {
            key,
            cookie,
            aborted,
            lost,
        });
        self.schedule(self.now + delay, Event::Destroyed { host, life, told });
    }
}
