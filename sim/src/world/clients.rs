//! Clients: their packets on the way in, answers on the way back, and what they tell the checkers.

use super::{Event, World, shell};
use crate::checks::opens::Attempt;
use crate::checks::{Rule, consistency, resets};
use crate::client::{Act, News, Origin};
use crate::conversation::{Answer, Reply};
use crate::machine::Machine;
use crate::node::Waiting;
use crate::segment::{self, Kind};
use jlb_ingress::{Packet, Verdict};
use jlb_protocol::{NodeNumber, Protocol, Time};

impl World {
    pub(super) fn client_timer(&mut self, client: usize) {
        let now = self.now;
        if self.clients[client].wake == now {
            let mut acts = core::mem::take(&mut self.acts);
            self.clients[client].timer(now, &mut acts);
            self.act(client, acts);
            self.wake_client(client);
        }
    }

    pub(super) fn answer(&mut self, client: usize, answer: Answer, origin: Origin) {
        let now = self.now;
        let mut acts = core::mem::take(&mut self.acts);
        let before = self.clients[client].wake;
        self.clients[client].answered(now, answer, origin, &mut acts);
        self.act(client, acts);
        if self.clients[client].wake != before {
            self.wake_client(client);
        }
    }

    fn wake_client(&mut self, client: usize) {
        if !self.clients[client].is_over() {
            let at = self.clients[client].wake;
            self.schedule(at, Event::ClientTimer(client));
        }
    }

    fn act(&mut self, client: usize, mut acts: Vec<Act>) {
        for act in acts.drain(..) {
            match act {
                Act::News(news) => self.news(client, news),
                Act::Send(packet) => self.client_sends(client, packet),
            }
        }
        self.acts = acts;
        let (is_live, is_over) = {
            let client = &self.clients[client];
            (client.is_open(), client.is_over())
        };
        let dossier = &mut self.dossiers[client];
        if dossier.is_live != is_live {
            dossier.is_live = is_live;
            self.live = if is_live {
                self.live + 1
            } else {
                self.live - 1
            };
            self.tally.most_live = self.tally.most_live.max(self.live);
        }
        if is_over && !dossier.is_over {
            dossier.is_over = true;
            self.clients_over += 1;
        }
    }

    fn client_sends(&mut self, client: usize, packet: Vec<u8>) {
        let life = self.clients[client].life();
        let dossier = &mut self.dossiers[client];
        if life.is_some() && dossier.lives.last().copied() != life {
            dossier.lives.extend(life);
        }
        let copies = self.network.copies();
        self.trace.note(self.now, client, || {
            let what = segment::read(&packet).map(|read| segment::describe(read.kind));
            let fate = if copies[0].is_some() { "" } else { ", lost" };
            format!("client sends {}{fate}", what.unwrap_or_default())
        });
        let [Some(first), second] = copies else {
            return;
        };
        if let Some(second) = second {
            let packet = packet.clone();
            self.schedule(self.now + second, Event::ClientPacket { client, packet });
        }
        self.schedule(self.now + first, Event::ClientPacket { client, packet });
    }

    /// A packet arrives at the router, which chooses the ingress.
    pub(super) fn client_packet(&mut self, client: Option<usize>, packet: Vec<u8>) {
        let now = self.now;
        let flow = match client {
            Some(client) => client as u64,
            None => self.rng.next(),
        };
        let scatter = self.plan.scatter;
        let number = if scatter > 0 && self.rng.chance(scatter) {
            self.router.get(self.rng.place(self.router.len())).copied()
        } else {
            self.ingress_of(flow)
        };
        let Some(number) = number else {
            return;
        };
        let Some(life) = self
            .nodes
            .get_mut(&number)
            .and_then(|node| node.life.as_mut())
        else {
            if let Some(client) = client {
                self.trace.note(now, client, || {
                    format!("{number} is down, the packet is lost")
                });
            }
            return;
        };
        if life.paused.is_some() {
            life.wait(Waiting::Packet { client, packet });
            return;
        }
        self.process(number, client, packet);
    }

    /// An ingress takes a packet from its device.
    pub(super) fn process(&mut self, number: NodeNumber, client: Option<usize>, packet: Vec<u8>) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&number) else {
            return;
        };
        let clock = node.clock.shows(now);
        let Some(Machine::Ingress(ingress)) = node.life.as_mut().map(|life| &mut life.machine)
        else {
            return;
        };
        self.from_clients += 1;
        let mut buf = self.packets.pop().unwrap_or_default();
        buf.fill(&packet);
        let mut batch = [Packet::new(buf)];
        ingress.process(clock, &mut batch);
        let [done] = batch;
        if let Some(client) = client {
            self.trace.note(now, client, || {
                let what = segment::read(&packet).map(|read| segment::describe(read.kind));
                let (what, verdict) = (what.unwrap_or_default(), done.verdict);
                format!("ingress {number} gets {what}: {verdict:?}")
            });
            if self.clients[client].is_connecting() && segment::is_syn(&packet) {
                let at = &mut self.dossiers[client].attempt.at_ingress;
                at.push((now, number));
            }
        }
        let mut buf = done.buf;
        match done.verdict {
            Verdict::Forward { to, .. } => {
                let port = shell::source_port(flow_share(&packet));
                self.send(number, to, port, &mut buf);
            }
            Verdict::Inject => self.answer_client(buf.as_slice()),
            Verdict::Pending | Verdict::Held | Verdict::Dropped(_) => {}
        }
        // What is held stays with the ingress: then this is another, empty one.
        buf.clear();
        self.packets.push(buf);
        self.settle(number);
    }

    /// A packet that an ingress sends to a client: a refusal.
    pub(super) fn answer_client(&mut self, packet: &[u8]) {
        let Some(read) = segment::read(packet) else {
            return;
        };
        let client = crate::topology::Topology::client_at(read.dst);
        let Some(client) = client.filter(|&client| client < self.clients.len()) else {
            return;
        };
        let key = self.clients[client].key;
        let (seq, ack, flags) = match read.kind {
            Kind::Tcp {
                seq, ack, flags, ..
            } => (seq, ack, flags),
            Kind::Udp | Kind::Other => {
                // Port unreachable, though a host answers: as bad as another host's answer.
                // Where trackers have little room, new flows are turned away (R3), and each datagram
                // after a pause may begin one.
                if self.clients[client].protocol == Protocol::Udp && !self.topology.tight {
                    let before = self.dossiers[client].udp;
                    let nobody = self.topology.ingresses[0];
                    let wrong = consistency::check_udp(self.now, before, nobody)
                        .map(|_| "an ingress calls a live UDP flow unreachable".to_owned());
                    let owner = before.map_or(nobody, |(owner, _)| owner);
                    let since = self.dossiers[client].udp_began;
                    if wrong.is_some() && self.is_excused(since, &[owner]) {
                        self.tally.excused += 1;
                        return;
                    }
                    self.violate(Rule::NoLostFlow, Some(client), wrong);
                }
                return;
            }
        };
        let lives = &self.dossiers[client].lives;
        let isn = lives
            .iter()
            .rev()
            .copied()
            .find(|&isn| segment::resets(seq, ack, flags, isn));
        let Some(isn) = isn else {
            return;
        };
        self.trace.note(self.now, client, || {
            format!("an ingress sends a reset of isn {isn:#010x}")
        });
        if self.clients[client].living() == Some(isn) {
            self.dossiers[client].attempt.refused |= self.clients[client].is_connecting();
            // Where trackers have little room, flows that are not established are turned away (R3).
            let began = self.dossiers[client].attempt.began;
            let sure = self.topology.tight;
            let owner = resets::owner(self.kernels(client), &key, isn, sure);
            let wrong = resets::check_reset(owner, isn);
            let half_open = || resets::owner(self.kernels(client), &key, isn, true).is_none();
            let hosts: Vec<_> = owner.into_iter().collect();
            let excused = (half_open() && self.is_excused(began, &hosts))
                || self.is_never_published(client, &hosts)
                || self.is_out_of_order(client);
            if wrong.is_some() && excused {
                self.tally.excused += 1;
            } else {
                self.violate(Rule::NoLostFlow, Some(client), wrong);
            }
        }
        let answer = Answer {
            isn,
            reply: Reply::Reset,
            received: 0,
        };
        for delay in self.network.copies().into_iter().flatten() {
            let event = Event::Answer {
                client,
                answer,
                origin: Origin::Ingress,
            };
            self.schedule(self.now + delay, event);
        }
    }

    fn news(&mut self, client: usize, news: News) {
        let now = self.now;
        self.trace.note(now, client, || format!("client: {news:?}"));
        let key = self.clients[client].key;
        match news {
            News::Begins => {
                self.tally.attempts += 1;
                self.dossiers[client].attempt = Attempt {
                    began: now,
                    ..Attempt::default()
                };
            }
            News::Connected => {
                self.tally.connected += 1;
                self.dossiers[client].attempt.connected = Some(self.now);
            }
            News::Refused => {
                self.tally.refused += 1;
                let attempt = &self.dossiers[client].attempt;
                let wrong = attempt.check_refusal(self.chances(key.service(), attempt));
                self.violate(Rule::NoLostOpen, Some(client), wrong);
            }
            News::TimedOut => {
                self.tally.timed_out += 1;
                let attempt = &self.dossiers[client].attempt;
                let chances = self.chances(key.service(), attempt);
                let works = |at: Time, ingress| !self.disturbances.struck_since(ingress, at);
                let wrong = attempt.check_silence(now, chances, works);
                let is_calm = !self.topology.tight && self.disturbances.none_since(attempt.began);
                let no_end = attempt.check_no_end(now).filter(|_| is_calm);
                self.violate(Rule::NoLostOpen, Some(client), wrong);
                self.violate(Rule::Termination, Some(client), no_end);
            }
            News::Reset(Origin::Stack) => self.tally.reset_by_stack += 1,
            News::Reset(Origin::Ingress) => self.tally.reset_by_ingress += 1,
            News::Stalled => {
                self.tally.stalled += 1;
                let dossier = &self.dossiers[client];
                let isn = dossier.lives.last().copied().unwrap_or(0);
                let owner = resets::owner(self.kernels(client), &key, isn, false);
                let wrong = resets::check_stall(owner, isn);
                let hosts: Vec<_> = owner.into_iter().collect();
                let excused =
                    self.is_never_published(client, &hosts) || self.is_out_of_order(client);
                if wrong.is_some() && excused {
                    self.tally.excused += 1;
                } else {
                    self.violate(Rule::NoLostFlow, Some(client), wrong);
                }
            }
        }
    }
}

/// A number that stands for the flow of a client's packet: its ports.
fn flow_share(packet: &[u8]) -> u64 {
    let at = if packet.first().is_some_and(|byte| byte >> 4 == 4) {
        12
    } else {
        20
    };
    let bytes = packet.get(at..at + 4).unwrap_or(&[]);
    let sum = bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
    sum << 61
}
