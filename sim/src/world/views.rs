//! What nodes believe of each other: what the shell does for membership.

use super::{CROWD, World};
use crate::checks::quiet::Truth;
use crate::node::Life;
use jlb_membership::Command;
use jlb_protocol::link::Event;
use jlb_protocol::message::{Control, List};
use jlb_protocol::rank::Ranking;
use jlb_protocol::view::Member;
use jlb_protocol::{MemberState, NodeNumber, PacketBuf, Role, Time, View, wire};

impl World {
    /// Takes what a node's link has learnt to its membership, and does what that wants done.
    pub(super) fn tend_views(&mut self, number: NodeNumber) {
        loop {
            let now = self.now;
            let Some(node) = self.nodes.get_mut(&number) else {
                return;
            };
            let clock = node.clock.shows(now);
            let Some(life) = node.running() else {
                return;
            };
            while let Some(event) = life.link.poll_event() {
                life.membership.handle_event(clock, &event);
                if let Event::PeerSaid {
                    node, view, wire, ..
                } = event
                {
                    life.machine.handle_peer(clock, node, view, wire);
                }
            }
            if life.membership.state() == MemberState::Joining
                && life.membership.may_settle(clock)
                && life.machine.is_filled()
            {
                life.membership.set_filled(clock);
                let state = life.membership.state();
                self.trace
                    .note_all(now, || format!("{number} is filled, and {state:?}"));
                self.check_filled(number);
                continue;
            }
            let Some(command) = life.membership.poll_command() else {
                let settled = life.membership.may_settle(clock);
                life.machine.handle_settled(clock, settled);
                return;
            };
            self.obey(number, clock, command);
        }
    }

    fn obey(&mut self, number: NodeNumber, clock: Time, command: Command) {
        let Some(life) = self
            .nodes
            .get_mut(&number)
            .and_then(|node| node.life.as_mut())
        else {
            return;
        };
        match command {
            Command::Paused => self.begin_new_life(number, clock),
            Command::RemovePeer(peer) => life.link.remove_peer(peer),
            Command::AddPeer(known) => {
                let address = crate::topology::Topology::peer(number, known.node);
                life.link.add_peer(clock, address);
            }
            Command::SetInterval { node, interval } => life.link.set_interval(node, interval),
            Command::View => self.show_view(number),
            Command::Announce => {
                life.link.set_state(life.membership.state());
                life.link.announce(clock);
            }
            Command::Probe(peer) => life.link.probe(clock, peer),
            Command::SendMembers { to, entries } => {
                let mut buf = PacketBuf::default();
                let control = Control::Members {
                    members: List::Values(&entries),
                };
                if wire::encode_control(&control, &mut buf).is_ok() {
                    life.own_sent += 1;
                    self.send(number, to, wire::UDP_PORT, &mut buf);
                }
            }
        }
    }

    /// The node was paused (R11): its sessions are made anew, and a tracker has to be filled again.
    fn begin_new_life(&mut self, number: NodeNumber, clock: Time) {
        let seed = self.rng.next();
        let view = self.shown_view(number);
        let Some(node) = self.nodes.get_mut(&number) else {
            return;
        };
        node.incarnation += 1;
        let incarnation = node.incarnation;
        let is_tracker = crate::topology::Topology::role(number) == Role::FlowTracker;
        if is_tracker {
            node.retire_role();
        }
        let Some(life) = &mut node.life else {
            return;
        };
        life.link.renew(clock, incarnation);
        if is_tracker {
            life.machine = Self::machine(&self.topology, number, incarnation, view, seed, clock);
        }
        life.membership.renew(clock, incarnation);
        self.trace.note_all(self.now, || {
            format!("{number} noticed a pause: life {incarnation}")
        });
        self.tally.new_lives += 1;
    }

    /// A node's view with the lie that it is told.
    pub(super) fn shown_view(&self, number: NodeNumber) -> View {
        let Some(life) = self.nodes.get(&number).and_then(|node| node.life.as_ref()) else {
            return View::default();
        };
        match life.lie {
            None => life.membership.view().clone(),
            Some(about) => without(life.membership.view(), about),
        }
    }

    /// Hands a node's view to its role, with the lie that the node is told.
    fn show_view(&mut self, number: NodeNumber) {
        let now = self.now;
        let view = self.shown_view(number);
        let Some(node) = self.nodes.get_mut(&number) else {
            return;
        };
        let clock = node.clock.shows(now);
        let Some(life) = &mut node.life else {
            return;
        };
        let ranked = view.ranked_fingerprint(None);
        if self.trace.is_on() {
            let words = words(&view);
            self.trace
                .note_all(now, || format!("{number} sees {words}"));
        }
        life.link.set_view(ranked);
        life.machine.handle_view(clock, view);
        self.epoch = self.now;
        self.tally.view_changes += 1;
        self.change_in_crowd |= self.live >= CROWD;
    }

    /// Begins to tell a node that another one is down, or ends it.
    pub(super) fn tell_lie(&mut self, number: NodeNumber, about: Option<NodeNumber>) {
        let Some(life) = self.nodes.get_mut(&number).and_then(|node| node.running()) else {
            return;
        };
        life.lie = about;
        self.trace.note_all(self.now, || match about {
            Some(about) => format!("{number} is told that {about} is down"),
            None => format!("{number} is told the truth again"),
        });
        self.show_view(number);
        self.settle(number);
    }

    pub(super) fn tell_truth(&mut self, number: NodeNumber, disturbance: usize) {
        self.disturbances.end(self.now, disturbance);
        self.tell_lie(number, None);
    }

    /// The node drains.
    pub(super) fn drain(&mut self, number: NodeNumber) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&number) else {
            return;
        };
        let clock = node.clock.shows(now);
        if let Some(life) = &mut node.life {
            life.membership.set_drains(clock, true);
        }
        self.settle(number);
    }

    /// What is so: what each node's view should say of each other one.
    pub(super) fn truth(&self) -> Truth {
        let mut truth = Truth::default();
        for node in self.nodes.values() {
            let life = node.life.as_ref();
            truth.add(
                node.number,
                life.map(|life| (life.membership.state(), life.membership.incarnation())),
            );
        }
        truth
    }

    /// The ranking of the trackers that are there.
    pub(super) fn true_ranking(&self) -> Ranking {
        let is_active = |life: &&Life| life.membership.state() == MemberState::Active;
        let active = self.topology.trackers.iter().filter_map(|&node| {
            let life = self.nodes.get(&node)?.life.as_ref().filter(is_active)?;
            Some(Member {
                node,
                role: Role::FlowTracker,
                state: MemberState::Active,
                incarnation: life.membership.incarnation(),
                domain: self.topology.domain(node),
            })
        });
        Ranking::new(self.topology.hash_key, &View::new(active.collect()))
    }
}

/// The same view, with one node down.
fn without(view: &View, node: NodeNumber) -> View {
    let members = view.members().iter().map(|member| Member {
        state: if member.node == node {
            MemberState::Down
        } else {
            member.state
        },
        ..*member
    });
    View::new(members.collect())
}

/// The members of a view with their states, in short.
fn words(view: &View) -> String {
    let of = |wanted: MemberState| {
        let members = view.members().iter();
        let members = members.filter(move |member| member.state == wanted);
        let numbers: Vec<_> = members.map(|member| member.node.to_string()).collect();
        numbers.join(",")
    };
    format!(
        "active {}; joining {}; draining {}; down {}",
        of(MemberState::Active),
        of(MemberState::Joining),
        of(MemberState::Draining),
        of(MemberState::Down)
    )
}
