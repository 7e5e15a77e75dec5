//! Who belongs to the cluster, and who of them is alive, as the data thread acts on it.

use super::{Notice, Turn};
use crate::clock;
use crate::machine::Machine;
use crate::report::Report;
use crate::start::FELLOW_INTERVAL;
use jlb_config::Underlay;
use jlb_membership::{Command, Known, Membership};
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::link::{Event, Link, PeerAddress};
use jlb_protocol::message::{Control, List, MemberEntry};
use jlb_protocol::{Destination, MemberState, NodeNumber, Role, Time, Transmit, View, wire};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const ROLES: [Role; 3] = [Role::Ingress, Role::FlowTracker, Role::HostAgent];

const STATES: [MemberState; 4] = [
    MemberState::Joining,
    MemberState::Active,
    MemberState::Draining,
    MemberState::Down,
];

/// The membership under the data path.
pub(crate) struct Members {
    membership: Membership,
    node: NodeNumber,
    role: Role,
    underlay: Underlay,
    /// Hosts that are peers of the link since Offers may be passed on to them.
    fellows: BTreeSet<NodeNumber>,
    /// Whom a message was taken from last, and when: more of them in one turn tell nothing new.
    heard: Option<(NodeNumber, Time)>,
    /// The state of each node that the control plane was told last.
    told: BTreeMap<NodeNumber, MemberState>,
    /// The roles of which some node has answered since this start.
    answered: BTreeSet<Role>,
    /// Whether the role was told that this life has lasted long enough to know who is alive.
    settled: Option<bool>,
    changes: u64,
}

impl Members {
    /// Of the node of this number and role, which has these addresses.
    pub(crate) fn new(
        membership: Membership,
        node: NodeNumber,
        role: Role,
        underlay: Underlay,
        fellows: BTreeSet<NodeNumber>,
    ) -> Self {
        let view = membership.view().members();
        Self {
            node,
            role,
            underlay,
            fellows,
            heard: None,
            told: view
                .iter()
                .map(|member| (member.node, member.state))
                .collect(),
            answered: BTreeSet::new(),
            settled: None,
            changes: 0,
            membership,
        }
    }

    /// Whom this node believes alive.
    pub(crate) fn view(&self) -> &View {
        self.membership.view()
    }

    /// This node's own state.
    pub(crate) fn state(&self) -> MemberState {
        self.membership.state()
    }

    /// This node's role.
    pub(super) const fn role(&self) -> Role {
        self.role
    }

    /// Whether everybody of the file counts as active, whatever they say.
    pub(super) const fn is_fixed(&self) -> bool {
        self.membership.poll_timeout().is_none()
    }

    /// Whether this node is ranked only once it is filled (R10).
    pub(super) fn has_to_be_filled(&self) -> bool {
        self.role == Role::FlowTracker && !self.is_fixed()
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.membership.poll_timeout()
    }

    /// A verified message came from this node.
    pub(super) fn handle_heard(&mut self, now: Time, node: NodeNumber) {
        if self.heard != Some((node, now)) {
            self.heard = Some((node, now));
            self.membership.handle_heard(now, node);
        }
    }

    /// What another node tells of the members.
    pub(super) fn handle_members(
        &mut self,
        now: Time,
        from: NodeNumber,
        members: &List<'_, MemberEntry>,
    ) {
        self.membership.handle_members(now, from, members);
    }

    /// Another configuration, and the nodes of its file.
    pub(super) fn handle_config(
        &mut self,
        now: Time,
        config: &jlb_membership::Config,
        known: &[Known],
    ) {
        self.membership.handle_config(now, config);
        self.membership.handle_file(now, known);
    }

    /// Hosts that Offers may be passed on to are peers of the link alone: whether they live is the trackers'
    /// business.
    pub(super) fn meet_fellows(
        &mut self,
        now: Time,
        link: &mut Link,
        fellows: &BTreeSet<NodeNumber>,
        known: &[Known],
    ) {
        for &former in self.fellows.difference(fellows) {
            link.remove_peer(former);
        }
        for fellow in known.iter().filter(|known| fellows.contains(&known.node)) {
            if let Some(address) = self.address(fellow.node, fellow.v4, fellow.v6) {
                link.add_peer(now, address);
                link.set_interval(fellow.node, FELLOW_INTERVAL);
            }
        }
        self.fellows.clone_from(fellows);
    }

    /// This node is to get nothing new, or takes new work again.
    pub(super) fn set_drains(&mut self, now: Time, drains: bool) {
        self.membership.set_drains(now, drains);
    }

    /// This node leaves.
    pub(super) fn leave(&mut self, now: Time) {
        self.membership.leave(now);
    }

    /// Whom an ingress needs to have heard before it can do anything: a tracker, or it is sure that there is
    /// none and searches itself (R13). It stays ready when they fall
    /// silent: if all ingress nodes took themselves out whenever the trackers are away, the flows
    /// that are established would be lost as well.
    pub(super) fn not_ready(&self) -> Option<&'static str> {
        let missing = |role| !self.answered.contains(&role);
        match self.role {
            Role::Ingress if missing(Role::HostAgent) => Some("waiting for a host to answer"),
            Role::Ingress if missing(Role::FlowTracker) && self.settled != Some(true) => {
                Some("waiting for a flow tracker to answer")
            }
            Role::FlowTracker if self.state() == MemberState::Joining => {
                Some("waiting for the hosts to tell of their connections")
            }
            Role::Ingress | Role::FlowTracker | Role::HostAgent => None,
        }
    }

    /// The way to a node that has these addresses, by a family that both have.
    pub(crate) fn address(
        &self,
        node: NodeNumber,
        v4: Option<Ipv4Addr>,
        v6: Option<Ipv6Addr>,
    ) -> Option<PeerAddress> {
        let v4 = self.underlay.v4.zip(v4);
        let v6 = self.underlay.v6.zip(v6);
        let (local, remote) = v4
            .map(|(own, peer)| (IpAddr::V4(own), IpAddr::V4(peer)))
            .or(v6.map(|(own, peer)| (IpAddr::V6(own), IpAddr::V6(peer))))?;
        Some(PeerAddress {
            node,
            local,
            remote,
        })
    }

    /// Adds what is known of the members.
    pub(super) fn report(&self, report: &mut Report) {
        for role in ROLES {
            for state in STATES {
                let members = self.view().members().iter();
                let count = members
                    .filter(|member| member.role == role && member.state == state)
                    .count();
                report.gauge(
                    "jlb_members",
                    "Nodes in this node's view, itself included, by role and state.",
                    &[("role", &role.as_str()), ("state", &word(state))],
                    count as u64,
                );
            }
        }
        let stats = self.membership.stats();
        report.gauge(
            "jlb_longest_silence_seconds",
            "The longest silence after which a peer was believed down.",
            &[],
            stats.longest_silence.as_secs_f64(),
        );
        report.counters(&[
            (
                "jlb_view_changes_total",
                "Times that the node's view changed.",
                self.changes,
            ),
            (
                "jlb_late_total",
                "Times that this node itself was late by more than a heartbeat, and excused all silence.",
                stats.excused,
            ),
            (
                "jlb_pauses_total",
                "Times that this node noticed it had been paused, and began a new life.",
                stats.pauses,
            ),
            (
                "jlb_peers_probed_total",
                "Hellos beyond the heartbeat, to peers that were silent.",
                stats.probes,
            ),
            (
                "jlb_peers_restarted_total",
                "Restarts of peers that had not been noticed to be gone.",
                stats.restarted,
            ),
        ]);
        report.counter_by(
            "jlb_peers_down_total",
            "Times that a peer was believed down, by why.",
            "why",
            &[
                ("silent", stats.silent),
                ("deaf", stats.deaf),
                ("left", stats.left),
            ],
        );
        report.counter(
            "jlb_peers_up_total",
            "Times that a peer came up, returns included.",
            &[],
            stats.came,
        );
        report.counter_by(
            "jlb_strangers_total",
            "Nodes outside the configuration that were heard of, by what became of them.",
            "what",
            &[
                ("learnt", stats.learnt),
                ("forgotten", stats.forgotten),
                ("refused", stats.refused),
            ],
        );
    }
}

/// A state as people read it.
pub(crate) const fn word(state: MemberState) -> &'static str {
    match state {
        MemberState::Joining => "joining",
        MemberState::Active => "active",
        MemberState::Draining => "draining",
        MemberState::Down => "down",
    }
}

impl<M: Machine> Turn<M> {
    /// What the link learnt of peers: the membership, the role and the control plane hear of it.
    pub(super) fn handle_link_events(&mut self, now: Time) {
        while let Some(event) = self.path.link.poll_event() {
            self.path.members.membership.handle_event(now, &event);
            match event {
                Event::PeerStarted { node, .. } => {
                    self.path.machine.handle_peer_started(now, node);
                    self.notify(Notice::Peer(event));
                }
                Event::PeerConfig { .. } => self.notify(Notice::Peer(event)),
                Event::PeerSaid {
                    node,
                    role,
                    view,
                    wire,
                    ..
                } => {
                    self.path.members.answered.insert(role);
                    self.path.machine.handle_peer_wire(now, node, wire);
                    self.path.machine.handle_peer_view(now, node, view);
                }
                Event::Stranger { .. } => {}
            }
        }
    }

    /// Does what the membership wants done, for as long as that has consequences. The time goes on
    /// only if a new life has begun meanwhile: it is then when that was.
    pub(super) fn handle_members(&mut self, mut now: Time) -> Time {
        let due = self.path.members.poll_timeout();
        if due.is_some_and(|due| due <= now) {
            self.path.members.membership.handle_timeout(now);
        }
        loop {
            // Before a view in which everybody is down: that means nothing yet.
            let members = &mut self.path.members;
            let settled = members.membership.may_settle(now);
            if members.settled.replace(settled) != Some(settled) {
                self.path.machine.handle_settled(now, settled);
            }
            while let Some(command) = self.path.members.membership.poll_command() {
                now = self.obey(now, command);
            }
            let members = &mut self.path.members;
            let fills =
                members.role == Role::FlowTracker && members.state() == MemberState::Joining;
            if !fills || !settled || !self.path.machine.is_filled() {
                return now;
            }
            members.membership.set_filled(now);
        }
    }

    fn obey(&mut self, now: Time, command: Command) -> Time {
        let (members, link) = (&mut self.path.members, &mut self.path.link);
        match command {
            Command::Paused => return self.renew(Notice::Paused),
            Command::RemovePeer(node) => link.remove_peer(node),
            Command::AddPeer(peer) => {
                if let Some(address) = members.address(peer.node, peer.v4, peer.v6) {
                    link.add_peer(now, address);
                }
            }
            Command::SetInterval { node, interval } => link.set_interval(node, interval),
            Command::Probe(node) => link.probe(now, node),
            Command::Announce => {
                link.set_state(members.state());
                link.announce(now);
                link.handle_timeout(now);
            }
            Command::View => {
                members.changes += 1;
                link.set_view(members.view().ranked_fingerprint(None));
                self.path.machine.handle_view(now, members.view());
                if let Some(forwarders) = &mut self.path.forwarders {
                    forwarders.see(members.view());
                }
                self.tell_states();
            }
            Command::SendMembers { to, entries } => self.write_members(to, &entries),
        }
        now
    }

    /// Tells the control plane of nodes that are in another state than before.
    fn tell_states(&mut self) {
        let members = &mut self.path.members;
        let mut news = Vec::new();
        let mut told = std::mem::take(&mut members.told);
        for member in members.view().members() {
            let before = told.insert(member.node, member.state);
            // Who is heard of for the first time, and is not there, is no news.
            let nobody = before.is_none() && member.state == MemberState::Down;
            if before != Some(member.state) && !nobody {
                news.push((member.node, member.state));
            }
        }
        told.retain(|&node, _| members.view().member(node).is_some());
        members.told = told;
        for (node, state) in news {
            self.notify(if node == self.path.members.node {
                Notice::OwnState(state)
            } else {
                Notice::State(node, state)
            });
        }
    }

    fn write_members(&mut self, to: NodeNumber, entries: &[MemberEntry]) {
        let mut buf = self.spare.pop().unwrap_or_default();
        let members = Control::Members {
            members: List::Values(entries),
        };
        // The membership makes them fit.
        if wire::encode_control(&members, &mut buf).is_ok() {
            self.letters.push(Transmit {
                to: Destination::Node(to),
                flow: FlowHash::NONE,
                buf,
            });
        }
    }

    /// Begins a new life, and says when: what the node was sent before, and what it knew, may be out of
    /// date (R11), since it was paused or was not ranked for a while. The notice tells which.
    pub(super) fn renew(&mut self, notice: impl Fn(u32) -> Notice) -> Time {
        self.drop_waiting();
        let present = self.path.link.incarnation();
        let incarnation = self.path.life.next().unwrap_or_else(|error| {
            // By the wall clock a later start has a larger one all the same, and a node that ends here
            // would not start again either.
            self.complain(clock::now(), "store that a new life begins", || {
                error.to_string()
            });
            present.saturating_add(1)
        });
        self.path
            .members
            .membership
            .renew(clock::now(), incarnation);
        let view = self.path.members.view().clone();
        if let Some(machine) = self.path.life.fresh(clock::now(), view) {
            self.path.machine = machine;
            if let Some(config) = &self.config {
                let config = config.clone();
                self.path.machine.handle_config(clock::now(), config);
            }
        }
        self.path.machine.handle_renewal();
        if let Some(forwarders) = &mut self.path.forwarders {
            forwarders.end_leases();
        }
        self.path
            .machine
            .handle_drain(clock::now(), self.path.draining.until());
        self.apply_strips(clock::now());
        // Writing to a disk, and making tables and giving up others, may take longer than the pause
        // did: it must not be taken for the next one.
        let now = clock::now();
        self.path.link.renew(now, incarnation);
        self.path.members.membership.renew(now, incarnation);
        self.path.members.heard = None;
        self.notify(notice(incarnation));
        now
    }
}
