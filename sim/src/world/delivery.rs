//! What becomes of messages in the eyes of checkers, stacks and traces.

use super::World;
use crate::checks::Rule;
use crate::machine::Machine;
use crate::node::Node;
use crate::planted::Planted;
use crate::topology::{Topology, UDP_IDLE};
use jlb_flow_tracker::FlowTracker;
use jlb_flow_tracker::config::Overload;
use jlb_protocol::message::{FlowKind, FlowMessage, Intent, Reason};
use jlb_protocol::{Message, NodeNumber, Role, wire};

/// Where a message has its type: behind the Geneve header, the option header and the version of the
/// seal, which comes first.
const KIND_AT: usize = 8 + 4 + 1;

impl World {
    /// The packet of a message goes to the stack of `host`.
    pub(super) fn deliver(&mut self, host: NodeNumber, message: &FlowMessage<'_>) {
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
    pub(super) fn plant_before(&mut self, to: NodeNumber, message: &Message<'_>) {
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
        let seed = self.rng.next();
        let view = self.shown_view(to);
        let now = self.now;
        if let Some(node) = self.nodes.get_mut(&to) {
            let clock = node.clock.shows(now);
            node.retire_role();
            if let Some(life) = &mut node.life {
                // Only its memory is gone: its sessions go on.
                let tracker = FlowTracker::new(config, view, seed, clock);
                life.machine = Machine::Tracker(Box::new(tracker));
            }
        }
    }

    /// Shows a message to the checkers that look at what nodes say.
    pub(super) fn observe(&mut self, from: NodeNumber, to: NodeNumber, bytes: &[u8]) {
        let to_host = Topology::role(to) == Role::HostAgent;
        let from_host = Topology::role(from) == Role::HostAgent;
        let kind = bytes.get(KIND_AT).copied().unwrap_or(0);
        let offer = to_host && kind == FlowKind::Offer as u8;
        let answer =
            from_host && (kind == FlowKind::Accept as u8 || kind == FlowKind::Reject as u8);
        let asks = kind == FlowKind::Open as u8;
        let moves = !to_host && kind == FlowKind::Offer as u8;
        if !offer && !answer && !asks && !moves && !self.quiet.is_watching() {
            return;
        }
        let Ok(decoded) = wire::decode(bytes) else {
            return;
        };
        self.quiet.sent(from, to, &decoded);
        let Message::Flow(message) = decoded else {
            return;
        };
        let attempt = (message.key, message.offer.isn);
        if from_host && message.reason == Reason::NotOwner {
            self.disowned(from, &message);
        }
        if asks {
            self.searches.asked(message.key);
        } else if moves {
            let client = self.client_of(&message.key);
            let wrong = self.searches.moved(message.key);
            self.violate(Rule::Termination, client, wrong);
        } else if offer {
            let wrong = self.searches.check_chain(from, to, &message);
            let client = self.client_of(&message.key);
            self.violate(Rule::Consistency, client, wrong);
            self.observe_offer(to, &message);
        } else if from_host && message.kind == FlowKind::Accept {
            self.searches.accepted(attempt, from);
        } else if from_host
            && message.kind == FlowKind::Reject
            && message.reason == Reason::Load
            && self.plan.planted == Some(Planted::DeliversRejected)
        {
            self.hand_to_stack(from, message.packet);
        }
    }

    /// A host says that a connection is not its own. Data that it gives back is of the birth that it
    /// names: it may have a later life.
    fn disowned(&mut self, host: NodeNumber, message: &FlowMessage<'_>) {
        let life = self.nodes.get(&host).and_then(|node| node.life.as_ref());
        if let Some(Machine::Host(agent)) = life.map(|life| &life.machine)
            && message.birth.is_some()
            && agent.birth(&message.key) > message.birth
        {
            return;
        }
        if let Some(client) = self.client_of(&message.key) {
            let known = &mut self.dossiers[client].got_syns;
            known.retain(|&other| other != host);
        }
    }

    /// A host is asked (S2).
    fn observe_offer(&mut self, to: NodeNumber, message: &FlowMessage<'_>) {
        // A tracker without room for the record of a refusal answers a repeat with a new search.
        if message.intent == Intent::MidFlow || self.topology.narrow {
            return;
        }
        let service = self.topology.service(message.key.service());
        let ttl = service.map_or(16, |service| service.most_ttl);
        let waits = service.is_some_and(|it| matches!(it.overload, Overload::Queue(_)));
        let client = self.client_of(&message.key);
        let (now, isn) = (self.now, message.offer.isn);
        let hosts = &self.hosts;
        let dossier = client.map(|client| &self.dossiers[client]);
        let is_datagram = message.intent == Intent::Datagram;
        let has_flow = |host: NodeNumber| {
            if is_datagram {
                let last = dossier.and_then(|dossier| dossier.udp);
                return last.is_some_and(|(owner, last)| {
                    owner == host && now.since(last) * 10 < UDP_IDLE * 9
                });
            }
            let socket = hosts
                .get(&host)
                .and_then(|side| side.kernel.socket(&message.key));
            socket.is_some_and(|sock| sock.isn == isn && sock.is_live())
        };
        // R7: the host of an earlier life is asked at any step, what it says decides.
        let other_life = hosts
            .get(&to)
            .and_then(|side| side.kernel.socket(&message.key))
            .is_some_and(|sock| sock.isn != isn && sock.is_live());
        if other_life {
            return;
        }
        // Nobody is asked where nobody is: the record's host goes on to another one at the same step.
        let there = self.nodes.get(&to).is_some_and(Node::is_up);
        let offer = (message.offer.step, to);
        let attempt = (message.key, isn);
        if !there || self.disturbances.concerned_since(to, now) {
            self.searches.missed(now, attempt, offer);
            return;
        }
        let by_tracker = message.path.primary.is_some();
        let change = (self.epoch, by_tracker);
        let wrong = self
            .searches
            .offered(now, change, attempt, (ttl, waits), offer, has_flow);
        // What straggles of an attempt that was refused cannot be told from a new one.
        if wrong.is_some() && client.is_some_and(|client| self.is_out_of_order(client)) {
            self.tally.excused += 1;
            return;
        }
        self.violate(Rule::Termination, client, wrong);
    }

    /// Notes a message in the trace if it concerns the traced flow.
    pub(super) fn trace_message(&mut self, bytes: &[u8], words: impl FnOnce() -> String) {
        if !self.trace.is_on() {
            return;
        }
        let Ok(message) = wire::decode(bytes) else {
            return;
        };
        match message {
            Message::Flow(flow) => {
                if let Some(client) = self.client_of(&flow.key) {
                    let said = crate::trace::flow_words(&flow);
                    let words = words();
                    self.trace
                        .note(self.now, client, || format!("{words}: {said}"));
                }
            }
            Message::Control(control) => {
                for (key, said) in crate::trace::statement_words(&control) {
                    if let Some(client) = self.client_of(&key)
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

#[cfg(test)]
mod tests;
