//! Clients: their packets on the way in, answers on the way back, and what they tell the checkers.

use super::{Event, World};
use crate::checks::opens::Attempt;
use crate::checks::{Rule, consistency, resets};
use crate::client::{Act, News, Origin};
use crate::conversation::{Answer, Reply};
use crate::node::Machine;
use crate::segment::{self, Kind, belongs};
use jlb_ingress::{Packet, Verdict};
use jlb_protocol::packet::TcpFlags;
use jlb_protocol::{PacketBuf, Protocol};

impl World {
    pub(super) fn client_timer(&mut self, client: usize) {
        let now = self.now;
        let mut acts = Vec::new();
        if self.clients[client].wake == now {
            self.clients[client].timer(now, &mut acts);
            self.act(client, acts);
            self.wake_client(client);
        }
    }

    pub(super) fn answer(&mut self, client: usize, answer: Answer, origin: Origin) {
        let now = self.now;
        let mut acts = Vec::new();
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

    fn act(&mut self, client: usize, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::News(news) => self.news(client, news),
                Act::Send(packet) => self.client_sends(client, &packet),
            }
        }
    }

    fn client_sends(&mut self, client: usize, packet: &[u8]) {
        if let Some(Kind::Tcp { seq, flags, .. }) = segment::read(packet).map(|read| read.kind)
            && flags == TcpFlags::SYN
            && self.dossiers[client].lives.last() != Some(&seq)
        {
            self.dossiers[client].lives.push(seq);
        }
        let copies = self.network.copies();
        self.trace.note(self.now, client, || {
            let what = segment::read(packet).map(|read| segment::describe(read.kind));
            let fate = if copies[0].is_some() { "" } else { ", lost" };
            format!("client sends {}{fate}", what.unwrap_or_default())
        });
        for delay in copies.into_iter().flatten() {
            let packet = packet.to_vec();
            self.schedule(self.now + delay, Event::ClientPacket { client, packet });
        }
    }

    /// A client's packet arrives at the ingress that ECMP chooses.
    pub(super) fn client_packet(&mut self, client: usize, packet: Vec<u8>) {
        let now = self.now;
        let mut choice = crate::rng::Rng::new(self.spread ^ client as u64);
        let number = self.topology.ingresses[choice.place(self.topology.ingresses.len())];
        let Some(node) = self.nodes.get_mut(&number) else {
            return;
        };
        let clock = node.clock(now);
        let Some(Machine::Ingress(ingress)) = &mut node.machine else {
            self.trace.note(now, client, || {
                format!("{number} is down, the packet is lost")
            });
            return;
        };
        self.from_clients += 1;
        let mut batch = [Packet::new(PacketBuf::from_packet(&packet))];
        ingress.process(clock, &mut batch);
        let [done] = batch;
        self.trace.note(now, client, || {
            let what = segment::read(&packet).map(|read| segment::describe(read.kind));
            let (what, verdict) = (what.unwrap_or_default(), done.verdict);
            format!("ingress {number} gets {what}: {verdict:?}")
        });
        if let Some(Kind::Tcp { flags, .. }) = segment::read(&packet).map(|read| read.kind)
            && flags == TcpFlags::SYN
        {
            self.dossiers[client].attempt.at_ingress.push(now);
        }
        match done.verdict {
            Verdict::Forward { to, .. } => self.send(number, to, done.buf.as_slice()),
            Verdict::Inject => self.answer_client(done.buf.as_slice()),
            Verdict::Pending | Verdict::Held | Verdict::Dropped(_) => {}
        }
        self.settle(number);
    }

    /// A packet that an ingress sends to a client: a refusal.
    pub(super) fn answer_client(&mut self, packet: &[u8]) {
        let Some(read) = segment::read(packet) else {
            return;
        };
        let Some(&client) = self.by_address.get(&read.dst) else {
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
                if self.clients[client].protocol == Protocol::Udp && !self.topology.narrow {
                    let before = self.dossiers[client].udp;
                    let nobody = self.topology.ingresses[0];
                    let wrong = consistency::check_udp(self.now, before, nobody)
                        .map(|_| "an ingress calls a live UDP flow unreachable".to_owned());
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
            // Where trackers have little room, flows that are not established are turned away (R3).
            let owner = resets::owner(self.kernels(), &key, isn, self.topology.narrow);
            let wrong = resets::check_reset(owner, isn);
            self.violate(Rule::NoLostFlow, Some(client), wrong);
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
        let attempt = &self.dossiers[client].attempt;
        let chances = self.chances(key.service());
        match news {
            News::Begins => {
                self.tally.attempts += 1;
                self.dossiers[client].attempt = Attempt {
                    began: now,
                    ..Attempt::default()
                };
            }
            News::Connected => self.tally.connected += 1,
            News::Refused => {
                self.tally.refused += 1;
                let wrong = attempt.check_refusal(chances);
                self.violate(Rule::NoLostOpen, Some(client), wrong);
            }
            News::TimedOut => {
                self.tally.timed_out += 1;
                let wrong = attempt.check_silence(now, chances);
                self.violate(Rule::NoLostOpen, Some(client), wrong);
            }
            News::Reset(Origin::Stack) => self.tally.reset_by_stack += 1,
            News::Reset(Origin::Ingress) => {}
            News::Stalled => {
                let isn = self.dossiers[client].lives.last().copied().unwrap_or(0);
                debug_assert!(belongs(isn, isn));
                let owner = resets::owner(self.kernels(), &key, isn, false);
                self.violate(
                    Rule::NoLostFlow,
                    Some(client),
                    resets::check_stall(owner, isn),
                );
            }
        }
    }
}
