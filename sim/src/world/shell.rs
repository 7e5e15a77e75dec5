//! What a shell does: datagrams in and out, timers, and what follows each call into a machine.

use super::{Event, GRAIN, World};
use crate::checks::sessions::Sealed;
use crate::checks::{Rule, books};
use crate::node::{Received, Waiting};
use crate::planted::Planted;
use crate::topology::Topology;
use jlb_protocol::message::Control;
use jlb_protocol::{Destination, Message, NodeNumber, PacketBuf, wire};

impl World {
    /// A sealed message arrives at a machine.
    pub(super) fn datagram(
        &mut self,
        from: NodeNumber,
        to: NodeNumber,
        port: u16,
        bytes: Vec<u8>,
        sealed: Sealed,
    ) {
        let life = self.nodes.get_mut(&to).and_then(|node| node.life.as_mut());
        let Some(life) = life else {
            self.network.arrived(false);
            self.trace_message(&bytes, || format!("{from} -> {to} finds nobody"));
            return;
        };
        if life.paused.is_some() {
            // What waits is neither delivered nor lost yet.
            let waiting = Waiting::Datagram {
                from,
                port,
                bytes,
                sealed,
            };
            if !life.wait(waiting) {
                self.network.arrived(false);
            }
            return;
        }
        self.network.arrived(true);
        self.receive(from, to, port, &bytes, sealed);
        self.recycle(bytes);
    }

    /// A running node reads a datagram.
    pub(super) fn receive(
        &mut self,
        from: NodeNumber,
        to: NodeNumber,
        port: u16,
        bytes: &[u8],
        sealed: Sealed,
    ) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&to) else {
            return;
        };
        node.look_at_clock(now);
        self.tend_views(to);
        let Some(node) = self.nodes.get_mut(&to) else {
            return;
        };
        let clock = node.clock.shows(now);
        let Some(life) = &mut node.life else {
            return;
        };
        match life.open(clock, to, from, port, bytes) {
            Received::Done => {}
            Received::Dropped(reason) => {
                self.trace_message(bytes, || {
                    format!("{from} -> {to} is not let in ({reason:?})")
                });
            }
            Received::Message(sender) => match wire::decode(bytes) {
                Ok(message) => {
                    let wrong = self.sessions.check_let_in(to, sealed);
                    self.violate(Rule::Sessions, None, wrong);
                    self.trace_message(bytes, || format!("{from} -> {to} arrives"));
                    self.hand_in(sender, to, &message);
                }
                Err(reason) => {
                    let words = format!("{from} sent {to} what cannot be read: {reason:?}");
                    self.violate(Rule::Conservation, None, Some(words));
                }
            },
        }
        self.settle(to);
    }

    /// A role gets a message.
    fn hand_in(&mut self, from: NodeNumber, to: NodeNumber, message: &Message<'_>) {
        let now = self.now;
        if let Message::Control(Control::Members { members }) = message {
            let Some(node) = self.nodes.get_mut(&to) else {
                return;
            };
            let clock = node.clock.shows(now);
            if let Some(life) = &mut node.life {
                life.own_got += 1;
                life.membership.handle_members(clock, from, members);
            }
            return;
        }
        self.plant_before(to, message);
        let Some(node) = self.nodes.get_mut(&to) else {
            return;
        };
        let clock = node.clock.shows(now);
        let Some(life) = &mut node.life else {
            return;
        };
        let deliver = life.machine.handle_message(clock, from, message);
        if self.plan.planted == Some(Planted::CountsOnce) && self.rng.chance(20) {
            life.machine.handle_message(clock, from, message);
        }
        if deliver && let Message::Flow(flow) = message {
            self.deliver(to, flow);
        }
    }

    pub(super) fn node_timer(&mut self, number: NodeNumber) {
        let now = self.now;
        let never_forgets = self.plan.planted == Some(Planted::NeverForgets)
            && self.topology.ingresses.contains(&number)
            && now >= self.heals_at;
        let Some(node) = self.nodes.get_mut(&number) else {
            return;
        };
        if node.armed != Some(now) {
            return;
        }
        node.armed = None;
        if node.is_paused() {
            return;
        }
        node.look_at_clock(now);
        self.tend_views(number);
        if let Some(node) = self.nodes.get_mut(&number) {
            node.handle_timeout(now, !never_forgets);
        }
        self.settle(number);
    }

    /// After each call into a machine: sends what it wants sent, checks its books, and sets its
    /// timer.
    pub(super) fn settle(&mut self, number: NodeNumber) {
        self.tend_views(number);
        while let Some((route, buf)) = self.life(number).and_then(|life| life.link.poll_hello()) {
            if let Some(to) = Topology::node_at(route.remote.ip()) {
                self.transmit(number, to, wire::UDP_PORT, buf.as_slice());
            }
        }
        while let Some(mut transmit) = self
            .life(number)
            .and_then(|life| life.machine.poll_transmit())
        {
            match transmit.to {
                Destination::Node(to) => {
                    let port = source_port(transmit.flow.0);
                    self.send(number, to, port, &mut transmit.buf);
                }
                Destination::Stack => self.answer_client(transmit.buf.as_slice()),
            }
            if let Some(life) = self.life(number) {
                life.machine.recycle(transmit.buf);
            }
        }
        self.check_books(number);
        self.arm(number);
        self.watch_host(number);
    }

    fn life(&mut self, number: NodeNumber) -> Option<&mut crate::node::Life> {
        self.nodes.get_mut(&number)?.life.as_mut()
    }

    fn check_books(&mut self, number: NodeNumber) {
        let Some(life) = self.nodes.get(&number).and_then(|node| node.life.as_ref()) else {
            return;
        };
        let wrong = books::check_node(life.machine.ledger())
            .or_else(|| books::check_node(life.link.ledger()));
        let wrong = wrong.map(|words| format!("node {number}: {words}"));
        self.violate(Rule::Conservation, None, wrong);
    }

    fn arm(&mut self, number: NodeNumber) {
        let Some(node) = self.nodes.get_mut(&number) else {
            return;
        };
        if node.is_paused() {
            return;
        }
        let Some(due) = node.poll_timeout() else {
            return;
        };
        let due = due.max(self.now + GRAIN);
        if node.armed.is_none_or(|armed| due < armed) {
            node.armed = Some(due);
            self.schedule(due, Event::NodeTimer(number));
        }
    }

    /// Seals a message of a role and sends it.
    pub(super) fn send(
        &mut self,
        from: NodeNumber,
        to: NodeNumber,
        port: u16,
        buf: &mut PacketBuf,
    ) {
        let tampered = match self.plan.planted {
            Some(fault) => fault.tamper(&mut self.rng, to, buf.as_slice()),
            None => None,
        };
        let to = match &tampered {
            Some((to, bytes)) => {
                buf.clear();
                buf.fill(bytes);
                *to
            }
            None => to,
        };
        self.observe(from, to, buf.as_slice());
        let Some(life) = self.life(from) else {
            return;
        };
        match life.seal(to, port, buf) {
            Ok(_) => self.transmit(from, to, port, buf.as_slice()),
            Err(reason) => {
                self.trace_message(buf.as_slice(), || {
                    format!("{from} -> {to} is not sent ({reason:?})")
                });
            }
        }
    }

    /// Hands a sealed message to the network.
    fn transmit(&mut self, from: NodeNumber, to: NodeNumber, port: u16, bytes: &[u8]) {
        let copies = self.network.message(from, to);
        self.network.bytes += bytes.len() as u64;
        if copies == [None, None] {
            self.trace_message(bytes, || format!("{from} -> {to} is lost"));
        }
        let sealed = self.sessions.sealed(self.now, copies[1].is_some());
        for delay in copies.into_iter().flatten() {
            let mut copy = self.spare.pop().unwrap_or_default();
            copy.extend_from_slice(bytes);
            let event = Event::Datagram {
                from,
                to,
                port,
                bytes: copy,
                sealed,
            };
            self.schedule(self.now + delay, event);
        }
    }

    /// Keeps a buffer for the next message.
    fn recycle(&mut self, mut bytes: Vec<u8>) {
        bytes.clear();
        self.spare.push(bytes);
    }
}

/// Eight ports stand for the shares of the flow hashes, as in the shell of a node.
pub(super) const fn source_port(flow: u64) -> u16 {
    49_152 + (flow >> 61) as u16
}
