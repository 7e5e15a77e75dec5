//! The state machine itself: what it is told, and what it tells.

use crate::command::{Command, Pending};
use crate::config::{Config, Known, speak};
use crate::pace::{Pace, Paces, is_fast};
use crate::peer::{Change, Origin, Peer, Said, Standing};
use crate::stats::Stats;
use alloc::vec::Vec;
use jlb_protocol::link::Event;
use jlb_protocol::message::{List, MemberEntry};
use jlb_protocol::planted::{self, Bug};
use jlb_protocol::view::{FailureDomain, Member};
use jlb_protocol::{MemberState, NodeNumber, Role, Time, View};

/// Who is there, as far as this node can tell.
///
/// Order of calls: whenever the shell wakes it calls [`Self::handle_timeout`] *first*, before it
/// opens anything that waits in its sockets, since a pause is noticed there (R11). Then
/// [`Self::handle_event`] with each event of the link, and so on; [`Self::poll_command`] until
/// there is nothing more after each of them, or after a batch of them; and again at
/// [`Self::poll_timeout`]. `now` never goes back, and goes on while the machine is suspended.
#[derive(Clone, Debug)]
pub struct Membership {
    pub(crate) config: Config,
    /// This node's own, as its file says.
    pub(crate) domain: Option<FailureDomain>,
    state: MemberState,
    /// Whether this node gets nothing new: [`MemberState::Draining`], once it would be active.
    drains: bool,
    /// Nodes that speak with this one, sorted by number.
    pub(crate) peers: Vec<Peer>,
    pub(crate) paces: Paces,
    view: View,
    pub(crate) pending: Pending,
    pub(crate) stats: Stats,
    /// When the clock was last looked at.
    pub(crate) looked: Time,
    /// When [`Self::handle_timeout`] is due.
    pub(crate) wake: Time,
    /// This life's beginning.
    pub(crate) began: Time,
    /// A new life is wanted and has not begun.
    pub(crate) paused: bool,
    /// Probes that may be sent now.
    pub(crate) probe_credit: u32,
    /// Since when credit for probes is due.
    pub(crate) credited: Time,
    /// When somebody is next told who is there.
    pub(crate) next_letter: Time,
    /// Who was told last.
    pub(crate) told: Option<NodeNumber>,
    /// Of whom was told last.
    pub(crate) told_of: Option<NodeNumber>,
}

impl Membership {
    /// The membership of a node that just started, which knows the nodes of its file; itself may be
    /// among them. The link has those with whom this node [speaks](speak) as peers already.
    ///
    /// A tracker begins [`MemberState::Joining`], others [`MemberState::Active`].
    #[must_use]
    pub fn new(config: Config, known: Vec<Known>, now: Time) -> Self {
        let domain = own_domain(&known, config.node);
        let mut peers: Vec<_> = known
            .into_iter()
            .filter(|known| known.node != config.node)
            .filter(|known| config.fixed || speak(config.role, known.role))
            .map(|known| Peer::of_file(known, now))
            .collect();
        peers.sort_by_key(|peer| peer.known.node);
        peers.dedup_by_key(|peer| peer.known.node);
        let state = match config.role {
            Role::FlowTracker if !config.fixed && !planted::is(Bug::ActsWhileJoining) => {
                MemberState::Joining
            }
            Role::FlowTracker | Role::Ingress | Role::HostAgent => MemberState::Active,
        };
        let mut membership = Self {
            paces: Paces::new(&config, 0, 0),
            config,
            domain,
            state,
            drains: false,
            peers,
            view: View::default(),
            pending: Pending::default(),
            stats: Stats::default(),
            looked: now,
            wake: now,
            began: now,
            paused: false,
            probe_credit: 0,
            credited: now,
            next_letter: now,
            told: None,
            told_of: None,
        };
        membership.pending.view = true;
        if !membership.config.fixed {
            membership.repace();
            for peer in &membership.peers {
                let interval = membership.paces.with(peer.known.role).interval;
                membership.pending.interval(peer.known.node, interval);
            }
        }
        membership.review();
        membership
    }

    /// This node's own state.
    #[must_use]
    pub const fn state(&self) -> MemberState {
        self.state
    }

    /// This life's incarnation.
    #[must_use]
    pub const fn incarnation(&self) -> u32 {
        self.config.incarnation
    }

    /// Who is there, this node included, sorted by number. Nodes outside the file are in it from
    /// their first answer until they are forgotten; those of the file always.
    #[must_use]
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// Counters.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// How often nodes of that role are greeted, and how long they may be silent, with as many
    /// nodes as there are now.
    #[must_use]
    pub fn pace(&self, role: Role) -> Pace {
        self.paces.with(role)
    }

    /// The node's name and addresses as they are known; `None` if it is no peer.
    #[must_use]
    pub fn known(&self, node: NodeNumber) -> Option<&Known> {
        let at = self.find(node).ok()?;
        Some(&self.peers.get(at)?.known)
    }

    /// What to do next.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.pending.next()
    }

    /// When [`Self::handle_timeout`] is due; at least once a heartbeat, unless the list is fixed.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Time> {
        if self.config.fixed {
            None
        } else {
            Some(self.wake)
        }
    }

    /// Takes note of what the link learnt.
    pub fn handle_event(&mut self, now: Time, event: &Event) {
        self.look(now);
        if self.paused {
            return;
        }
        if self.config.fixed {
            // What a node remembers ends with its life, whatever the list says of it.
            if let Event::PeerStarted { node, incarnation } = *event
                && let Ok(at) = self.find(node)
            {
                self.peers[at].incarnation = incarnation;
                self.review();
            }
            return;
        }
        match *event {
            Event::PeerStarted { node, incarnation } => {
                let Ok(at) = self.find(node) else {
                    return;
                };
                let change = self.peers[at].started(now, incarnation);
                self.changed(now, change);
                self.ask_soon(now, at);
            }
            Event::PeerConfig { .. } => {}
            Event::PeerSaid {
                node,
                incarnation,
                state,
                answer,
                role,
                ..
            } => {
                let Ok(at) = self.find(node) else {
                    return;
                };
                self.correct_role(at, role);
                let said = Said {
                    incarnation,
                    state,
                    answer,
                };
                let change = self.peers[at].said(now, said);
                self.changed(now, change);
                if !answer && state != MemberState::Down {
                    self.ask_soon(now, at);
                }
            }
            Event::Stranger {
                node,
                role,
                address,
                incarnation,
                ..
            } => self.handle_stranger(now, Known::at(node, role, address), incarnation),
        }
    }

    /// A verified message of any kind came from this node. Cheap enough for each message, but once a
    /// batch is as good.
    pub fn handle_heard(&mut self, now: Time, node: NodeNumber) {
        self.look(now);
        if self.paused {
            return;
        }
        if let Ok(at) = self.find(node) {
            self.peers[at].heard(now);
        }
    }

    /// Another node told of nodes that it reaches.
    pub fn handle_members(&mut self, now: Time, from: NodeNumber, members: &List<'_, MemberEntry>) {
        self.look(now);
        let trusted = self.find(from).is_ok_and(|at| self.peers[at].is_up());
        if self.config.fixed || self.paused || !trusted {
            return;
        }
        for entry in members.iter() {
            self.handle_hearsay(now, &entry);
        }
    }

    /// This node is to get nothing new, or takes new work again. Peers hear of it at once, and again
    /// with each heartbeat. A tracker that is not filled yet is [`MemberState::Joining`] for as long as
    /// it isn't (R10): one that drains answers those who still rank it, by what it knows.
    pub fn set_drains(&mut self, now: Time, drains: bool) {
        self.look(now);
        self.drains = drains;
        match self.state {
            MemberState::Active | MemberState::Draining => self.set_state(now, self.working()),
            MemberState::Joining | MemberState::Down => {}
        }
    }

    /// A tracker knows what it has to know to be ranked (R10).
    pub fn set_filled(&mut self, now: Time) {
        self.look(now);
        if self.state == MemberState::Joining {
            self.set_state(now, self.working());
        }
    }

    /// This node leaves: it is [`MemberState::Down`] from now on.
    pub fn leave(&mut self, now: Time) {
        self.set_state(now, MemberState::Down);
    }

    /// The state of this node once it has joined.
    const fn working(&self) -> MemberState {
        if self.drains {
            MemberState::Draining
        } else {
            MemberState::Active
        }
    }

    pub(crate) fn set_state(&mut self, now: Time, state: MemberState) {
        self.look(now);
        if self.state != state {
            self.state = state;
            self.pending.announce = true;
            self.review();
        }
    }

    /// Takes another configuration: heartbeats, timeouts, and how many nodes may be known. Number, role
    /// and incarnation stay, and so does whether the list is fixed. Since each Hello is answered, peers
    /// that still have another heartbeat are heard as often as this one asks.
    pub fn handle_config(&mut self, now: Time, config: &Config) {
        self.look(now);
        self.config.heartbeat = config.heartbeat;
        self.config.failure_timeout = config.failure_timeout;
        self.config.host_heartbeat = config.host_heartbeat;
        self.config.host_timeout = config.host_timeout;
        self.config.max_nodes = config.max_nodes;
        if self.config.fixed {
            self.paces = Paces::new(&self.config, 0, 0);
            for peer in &self.peers {
                let interval = self.paces.with(peer.known.role).interval;
                self.pending.interval(peer.known.node, interval);
            }
        } else {
            self.repace();
            self.wake = self.wake.min(now + self.paces.pulse());
        }
    }

    /// The new life that [`Command::Paused`] wanted begins; also for any other reason to begin one.
    /// A tracker is [`MemberState::Joining`] again, also if it drains, and everybody down until they
    /// answer.
    pub fn renew(&mut self, now: Time, incarnation: u32) {
        self.looked = now;
        self.paused = false;
        self.began = now;
        self.wake = now;
        self.config.incarnation = incarnation.max(self.config.incarnation);
        self.pending.renew();
        if self.config.fixed {
            self.review();
            return;
        }
        self.lose_everybody(now);
        let acts = planted::is(Bug::ActsWhileJoining);
        let worked = matches!(self.state, MemberState::Active | MemberState::Draining);
        if self.config.role == Role::FlowTracker && worked && !acts {
            self.state = MemberState::Joining;
        }
        self.pending.announce = true;
        self.review();
    }

    /// Whether this life has lasted long enough to know who is there: before that nobody's absence
    /// means anything. A joining tracker is not filled before, an ingress does not conclude that
    /// there is no tracker (R13), and nobody that nobody answers (R11).
    #[must_use]
    pub fn may_settle(&self, now: Time) -> bool {
        if self.config.fixed {
            return true;
        }
        let enough = self.paces.acquaintance();
        let age = now.since(self.began);
        // Whom we heard of only now may be alive as well; but not for ever, since anybody's old
        // Hellos could be replayed.
        let waits = |peer: &Peer| matches!(peer.standing, Standing::Asked { since } if now.since(since) < enough);
        !self.paused && age >= enough && (age >= enough * 4 || !self.peers.iter().any(waits))
    }

    pub(crate) fn find(&self, node: NodeNumber) -> Result<usize, usize> {
        self.peers
            .binary_search_by_key(&node, |peer| peer.known.node)
    }

    /// Takes note of what became of a peer.
    fn changed(&mut self, now: Time, change: Change) {
        match change {
            Change::None => return,
            Change::State => {}
            Change::Left => self.stats.left += 1,
            Change::Restarted { up } => {
                self.stats.restarted += 1;
                self.stats.came += u64::from(up);
            }
            Change::Came { first } => {
                self.stats.came += 1;
                if first {
                    self.stats.learnt += 1;
                    // It is told who is there.
                    self.wake = now;
                }
            }
        }
        self.review();
    }

    /// A node outside the file may come back in another role; the file is right about the others.
    fn correct_role(&mut self, at: usize, role: Role) {
        let peer = &mut self.peers[at];
        let outside = peer.origin != Origin::File;
        if outside && peer.known.role != role && speak(self.config.role, role) {
            peer.known.role = role;
            let node = peer.known.node;
            self.repace();
            self.pending.interval(node, self.paces.with(role).interval);
        }
    }

    /// Everybody is down until they answer to something sent from now on.
    pub(crate) fn lose_everybody(&mut self, now: Time) {
        for peer in &mut self.peers {
            if peer.is_up() {
                peer.lose(now);
            }
        }
    }

    /// Makes the paces for as many peers as there are now.
    pub(crate) fn repace(&mut self) {
        let own = self.config.role;
        let fast = self
            .peers
            .iter()
            .filter(|peer| is_fast(own, peer.known.role))
            .count();
        let paces = Paces::new(&self.config, fast, self.peers.len() - fast);
        let before = core::mem::replace(&mut self.paces, paces);
        for peer in &self.peers {
            let pace = paces.with(peer.known.role);
            if pace != before.with(peer.known.role) {
                self.pending.interval(peer.known.node, pace.interval);
            }
        }
    }

    /// Makes the view anew, and says so if it changed.
    pub(crate) fn review(&mut self) {
        let fixed = self.config.fixed;
        let everybody = |member: Member| Member {
            state: MemberState::Active,
            ..member
        };
        let own = Member {
            node: self.config.node,
            role: self.config.role,
            state: self.state,
            incarnation: self.config.incarnation,
            domain: self.domain,
        };
        let members = self
            .peers
            .iter()
            .filter_map(Peer::member)
            .chain(core::iter::once(own))
            .map(|member| if fixed { everybody(member) } else { member })
            .collect();
        let view = View::new(members);
        if view != self.view {
            self.view = view;
            self.pending.view = true;
        }
        let (mut up, mut down, mut asked) = (0, 0, 0);
        for peer in &self.peers {
            match peer.standing {
                Standing::Asked { .. } => asked += 1,
                Standing::Down { .. } => down += 1,
                Standing::Up { .. } => up += 1,
            }
        }
        (self.stats.up, self.stats.down, self.stats.asked) = (up, down, asked);
    }
}

/// What a file says of one node.
pub(crate) fn own_domain(known: &[Known], own: NodeNumber) -> Option<FailureDomain> {
    let own = known.iter().find(|known| known.node == own)?;
    own.domain
}

#[cfg(test)]
mod tests;
