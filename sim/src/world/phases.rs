//! After the faults: healing, and the time in which the cluster must be quiet and consistent (S7).

use super::{Event, World};
use crate::checks::Rule;
use crate::checks::quiet;
use crate::disturbances::SETTLES;
use crate::machine::Machine;
use core::time::Duration;
use jlb_protocol::{MemberState, NodeNumber, Protocol, Time};
use std::collections::BTreeSet;

/// For this long nothing may be repeated once the cluster is quiet.
const QUIET: Duration = Duration::from_secs(2);

/// Connections that changed later than this before the end are not looked at: news of them may be
/// on its way.
const FRESH: Duration = Duration::from_secs(1);

impl World {
    /// Everything is well again.
    pub(super) fn heal(&mut self) {
        self.trace
            .note_all(self.now, || "all faults heal".to_owned());
        self.network.heal();
        let numbers: Vec<_> = self.topology.nodes().collect();
        for number in numbers {
            self.start(number);
            self.resume(number);
            let lied_to = self.nodes.get(&number).and_then(|node| node.life.as_ref());
            if lied_to.is_some_and(|life| life.lie.is_some()) {
                self.tell_lie(number, None);
            }
            if !self.gone.contains(&number) {
                self.disturbances.end_of(self.now, number);
            }
        }
        let within = Duration::from_millis(self.plan.quiet_within_ms);
        self.schedule(self.now + within, Event::QuietBegins);
    }

    pub(super) fn begin_quiet(&mut self) {
        self.quiet.begin();
        self.schedule(self.now + QUIET, Event::QuietEnds);
    }

    pub(super) fn end_quiet(&mut self) {
        let wrong = self.quiet.end();
        self.violate(Rule::QuietAfterHealing, None, wrong);
        self.check_views();
        self.check_records(Rule::QuietAfterHealing, self.now);
    }

    /// Each node believes what is so, and every tracker is active.
    fn check_views(&mut self) {
        if self.topology.fixed_views {
            return;
        }
        let truth = self.truth();
        let wrong = self.nodes.values().find_map(|node| {
            let life = node.life.as_ref()?;
            truth.check_view(node.number, life.membership.view())
        });
        self.violate(Rule::QuietAfterHealing, None, wrong);
        let mut states = truth.states();
        let joining = states.find(|(_, state)| *state == MemberState::Joining);
        let wrong = joining.map(|(node, _)| format!("tracker {node} is still not filled"));
        self.violate(Rule::QuietAfterHealing, None, wrong);
    }

    /// A flood has made nobody forget a connection that was open before it (R3).
    pub(super) fn check_after_flood(&mut self, began: Time) {
        let changed = self.epoch + SETTLES >= began;
        if !self.topology.narrow && !changed && self.disturbances.none_since(began) {
            self.check_records(Rule::Bounds, began);
        }
    }

    /// The two trackers of each connection that has been open since some time before `at` know its
    /// host: a reference that only asks kernels.
    fn check_records(&mut self, rule: Rule, at: Time) {
        let ranking = self.true_ranking();
        for client in 0..self.clients.len() {
            let Some(owner) = self.old_connection(client, at) else {
                continue;
            };
            let key = self.clients[client].key;
            self.tally.compared += 1;
            let ranks = ranking.ranks(self.topology.hash_key.flow_hash(&key));
            for tracker in [ranks.primary, ranks.secondary].into_iter().flatten() {
                self.check_record(rule, client, tracker, owner);
            }
            self.check_apart(client, owner);
        }
    }

    /// Where trackers that do not fail together are active, two such know the connection: a reference that looks at
    /// all their records, and knows nothing of ranks.
    fn check_apart(&mut self, client: usize, owner: NodeNumber) {
        let key = self.clients[client].key;
        let (mut active, mut knowing) = (BTreeSet::new(), BTreeSet::new());
        for &node in &self.topology.trackers {
            let Some(life) = self.nodes.get(&node).and_then(|node| node.life.as_ref()) else {
                continue;
            };
            let Machine::Tracker(machine) = &life.machine else {
                continue;
            };
            if life.membership.state() != MemberState::Active {
                continue;
            }
            let unit = self.topology.racks.fails_with(node);
            active.insert(unit);
            if machine.owner(&key) == Some(owner) {
                knowing.insert(unit);
            }
        }
        let wrong = (active.len() > 1 && knowing.len() < 2)
            .then(|| format!("all trackers that know the flow of host {owner} fail together"));
        self.violate(Rule::Filled, Some(client), wrong);
    }

    /// A tracker that has become active knows every connection that it ranks for now and that was there
    /// when it began (R10), if the
    /// connection's host and the other trackers have been in order.
    pub(super) fn check_filled(&mut self, tracker: NodeNumber) {
        let in_order = |node: NodeNumber| {
            let last = self.disturbances.last(self.now, node);
            last.is_none_or(|until| until < self.now) && !self.draining.contains(&node)
        };
        let mut others = self.topology.trackers.iter();
        if !others.all(|&other| other == tracker || in_order(other)) {
            // Hosts may rank others still, or already.
            return;
        }
        let ranking = self.true_ranking();
        let clients = 0..self.clients.len();
        // What is accepted meanwhile it may hear of a little later.
        let begin = self.sessions.began(tracker) + FRESH;
        let owned = clients.filter_map(|it| Some((it, self.old_connection(it, begin)?)));
        let owned: Vec<_> = owned.filter(|&(_, host)| in_order(host)).collect();
        for (client, owner) in owned {
            let key = self.clients[client].key;
            let ranks = ranking.ranks(self.topology.hash_key.flow_hash(&key));
            if ranks.primary == Some(tracker) || ranks.secondary == Some(tracker) {
                self.check_record(Rule::Filled, client, tracker, owner);
            }
        }
    }

    /// The host of a client's connection that is established, and has been there since some time
    /// before `at`.
    fn old_connection(&self, client: usize, at: Time) -> Option<NodeNumber> {
        // What is left of a life that its client has left is nobody's connection.
        let isn = self.clients[client].living()?;
        // One that seems older than a former life may be released for that (R1).
        if self.is_out_of_order(client) {
            return None;
        }
        let (key, dossier) = (self.clients[client].key, &self.dossiers[client]);
        let &[owner] = dossier.sockets.as_slice() else {
            return None;
        };
        let socket = self.hosts.get(&owner)?.kernel.socket(&key)?;
        let established = socket.isn == isn && socket.is_established();
        // A host's next life takes the place of the one before in its list of sockets.
        let settled = dossier.changed.max(dossier.attempt.began) + FRESH < at;
        (established && settled && !self.draining.contains(&owner)).then_some(owner)
    }

    fn check_record(&mut self, rule: Rule, client: usize, tracker: NodeNumber, owner: NodeNumber) {
        let key = self.clients[client].key;
        let life = self.nodes.get(&tracker).and_then(|node| node.life.as_ref());
        if let Some(Machine::Tracker(machine)) = life.map(|life| &life.machine) {
            let wrong = quiet::check_record(tracker, owner, machine.owner(&key));
            self.violate(rule, Some(client), wrong);
        }
    }

    pub(super) fn tally_nodes(&mut self) {
        let lives = self.nodes.values().filter_map(|node| node.life.as_ref());
        for life in lives {
            match &life.machine {
                Machine::Tracker(tracker) => {
                    let stats = tracker.stats();
                    self.tally.who_has += stats.who_has_asked;
                    self.tally.releases += stats.releases;
                }
                Machine::Host(agent) => {
                    let counters = agent.stats().counters;
                    self.tally.rejected += counters.rejected_by_policy() + counters.rejected_again;
                }
                Machine::Ingress(_) => {}
            }
        }
        let udp = |client: &&crate::client::Client| client.protocol == Protocol::Udp;
        let udp = self.clients.iter().filter(udp).count() as u64;
        self.tally.flows = self.tally.attempts + udp;
        if self.crash_in_crowd && self.change_in_crowd {
            self.tally.flows_in_crowds = self.tally.flows;
        }
    }
}
