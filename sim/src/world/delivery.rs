//! Messages between nodes, and what follows each call into a machine.

use super::{Event, GRAIN, World};
use crate::checks::{Rule, books};
use crate::node::Machine;
use crate::planted::Planted;
use jlb_flow_tracker::FlowTracker;
use jlb_protocol::message::{FlowKind, FlowMessage, Intent, Reason};
use jlb_protocol::{Destination, Message, NodeNumber, wire};

impl World {
    /// A message arrives.
    pub(super) fn message(&mut self, from: NodeNumber, to: NodeNumber, life: u32, bytes: &[u8]) {
        let now = self.now;
        let up = |node: &&mut crate::node::Node| node.machine.is_some() && node.life == life;
        if self
            .nodes
            .get_mut(&to)
            .as_ref()
            .is_none_or(|node| !up(node))
        {
            self.network.arrived(false);
            self.trace_message(bytes, || format!("{from} -> {to} finds nobody"));
            return;
        }
        self.network.arrived(true);
        let Ok(message) = wire::decode(bytes) else {
            let words = format!("{from} sent {to} what cannot be read");
            self.violate(Rule::Conservation, None, Some(words));
            return;
        };
        self.trace_message(bytes, || format!("{from} -> {to} arrives"));
        self.plant_before(to, &message);
        let Some(node) = self.nodes.get_mut(&to) else {
            return;
        };
        let deliver = node.handle_message(now, from, &message);
        if self.plan.planted == Some(Planted::CountsOnce) && self.rng.chance(20) {
            node.handle_message(now, from, &message);
        }
        if deliver && let Message::Flow(flow) = &message {
            self.deliver(to, flow);
        }
        self.settle(to);
    }

    /// The packet of a message goes to the stack of `host`.
    fn deliver(&mut self, host: NodeNumber, message: &FlowMessage<'_>) {
        let planted = self.plan.planted;
        if planted == Some(Planted::DropsData) && message.kind == FlowKind::Data {
            return;
        }
        self.hand_to_stack(host, message.packet);
        if planted == Some(Planted::SecondHost) && self.rng.chance(50) {
            let other = self.topology.hosts[self.rng.place(self.topology.hosts.len())];
            self.hand_to_stack(other, message.packet);
        }
    }

    /// What a planted fault does before a message is handed in.
    fn plant_before(&mut self, to: NodeNumber, message: &Message<'_>) {
        let Message::Flow(flow) = message else {
            return;
        };
        let forgets = self.plan.planted == Some(Planted::ForgetsSearches)
            && flow.kind == FlowKind::Reject
            && self.topology.trackers.contains(&to)
            && self.rng.chance(500);
        if !forgets {
            return;
        }
        let config = self.topology.tracker_config(to);
        let view = self.topology.view.clone();
        let seed = self.rng.next();
        let now = self.now;
        if let Some(node) = self.nodes.get_mut(&to) {
            node.kill();
            // Only its memory is gone: what is on its way to it still arrives.
            node.life -= 1;
            let tracker = FlowTracker::new(config, view, seed, node.clock(now));
            node.machine = Some(Machine::Tracker(Box::new(tracker)));
        }
    }

    pub(super) fn node_timer(&mut self, number: NodeNumber) {
        let now = self.now;
        let planted = self.plan.planted;
        let Some(node) = self.nodes.get_mut(&number) else {
            return;
        };
        if node.armed != Some(now) {
            return;
        }
        node.armed = None;
        let forgets = planted != Some(Planted::NeverForgets)
            || !matches!(node.machine, Some(Machine::Ingress(_)));
        if forgets || self.clients.iter().any(|client| !client.is_over()) {
            node.handle_timeout(now);
        }
        self.settle(number);
    }

    /// After each call into a machine: sends what it wants sent, checks its books, and sets its
    /// timer.
    pub(super) fn settle(&mut self, number: NodeNumber) {
        while let Some(transmit) = self
            .nodes
            .get_mut(&number)
            .and_then(crate::node::Node::poll_transmit)
        {
            match transmit.to {
                Destination::Node(to) => self.send(number, to, transmit.buf.as_slice()),
                Destination::Stack => self.answer_client(transmit.buf.as_slice()),
            }
            if let Some(node) = self.nodes.get_mut(&number) {
                node.recycle(transmit.buf);
            }
        }
        let Some(node) = self.nodes.get(&number) else {
            return;
        };
        let wrong = node.ledger().and_then(|ledger| books::check_node(&ledger));
        let wrong = wrong.map(|words| format!("node {number}: {words}"));
        self.violate(Rule::Conservation, None, wrong);
        self.arm(number);
        self.watch_host(number);
    }

    fn arm(&mut self, number: NodeNumber) {
        let Some(node) = self.nodes.get_mut(&number) else {
            return;
        };
        let Some(due) = node.poll_timeout() else {
            return;
        };
        let due = due.max(self.now + GRAIN);
        if node.armed.is_none_or(|armed| due < armed) {
            node.armed = Some(due);
            self.schedule(due, Event::NodeTimer(number));
        }
    }

    /// Sends a message between nodes.
    pub(super) fn send(&mut self, from: NodeNumber, to: NodeNumber, bytes: &[u8]) {
        let tampered = match self.plan.planted {
            Some(fault) => fault.tamper(&mut self.rng, to, bytes),
            None => None,
        };
        let (to, bytes) = match &tampered {
            Some((to, bytes)) => (*to, bytes.as_slice()),
            None => (to, bytes),
        };
        self.observe(from, to, bytes);
        let copies = self.network.message();
        if copies == [None, None] {
            self.trace_message(bytes, || format!("{from} -> {to} is lost"));
        }
        // The link seals for the receiver's present life.
        let life = self.nodes.get(&to).map_or(0, |node| node.life);
        for delay in copies.into_iter().flatten() {
            let event = Event::Message {
                from,
                to,
                life,
                bytes: bytes.to_vec(),
            };
            self.schedule(self.now + delay, event);
        }
    }

    /// Shows a message to the checkers that look at what nodes say.
    fn observe(&mut self, from: NodeNumber, to: NodeNumber, bytes: &[u8]) {
        let Ok(Message::Flow(message)) = wire::decode(bytes) else {
            return;
        };
        let attempt = (message.key, message.offer.isn);
        let host_offer = message.kind == FlowKind::Offer && self.hosts.contains_key(&to);
        // A tracker without room for the record of a refusal answers a repeat with a new search.
        if host_offer && message.intent == Intent::Syn && !self.topology.narrow {
            let ttl = self.topology.service(message.key.service());
            let ttl = ttl.map_or(16, |service| service.search_ttl);
            let hosts = &self.hosts;
            let has_socket = |host: NodeNumber| {
                let socket = hosts
                    .get(&host)
                    .and_then(|side| side.kernel.socket(&message.key));
                socket.is_some_and(|sock| sock.isn == attempt.1 && sock.is_live())
            };
            let offer = (message.offer.step, to);
            let wrong = self
                .searches
                .offered(self.now, attempt, ttl, offer, has_socket);
            let client = self.by_key.get(&message.key).copied();
            self.violate(Rule::Termination, client, wrong);
        }
        if self.hosts.contains_key(&from) {
            match message.kind {
                FlowKind::Accept => self.searches.accepted(attempt, from),
                FlowKind::Reject
                    if self.plan.planted == Some(Planted::DeliversRejected)
                        && message.reason == Reason::Load =>
                {
                    self.hand_to_stack(from, message.packet);
                }
                FlowKind::Reject
                | FlowKind::Open
                | FlowKind::Offer
                | FlowKind::Refuse
                | FlowKind::Wait
                | FlowKind::NotActing
                | FlowKind::Data
                | FlowKind::WhoHas
                | FlowKind::Release => {}
            }
        }
    }

    /// Notes a message in the trace if it concerns the traced flow.
    fn trace_message(&mut self, bytes: &[u8], words: impl FnOnce() -> String) {
        if !self.trace.is_on() {
            return;
        }
        let Ok(message) = wire::decode(bytes) else {
            return;
        };
        match message {
            Message::Flow(flow) => {
                if let Some(&client) = self.by_key.get(&flow.key) {
                    let said = crate::trace::flow_words(&flow);
                    let words = words();
                    self.trace
                        .note(self.now, client, || format!("{words}: {said}"));
                }
            }
            Message::Control(control) => {
                for (key, said) in crate::trace::statement_words(&control) {
                    if let Some(&client) = self.by_key.get(&key)
                        && self.trace.wants(client)
                    {
                        let words = words();
                        self.trace
                            .note(self.now, client, || format!("{words}: {said}"));
                        return;
                    }
                }
            }
        }
    }
}
