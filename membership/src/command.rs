//! What membership wants done, each thing at most once in the queue.

use crate::config::Known;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::NodeNumber;
use jlb_protocol::message::MemberEntry;

/// What the shell is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// This node was paused (R11). A new life is wanted: give the link a new incarnation
    /// ([`jlb_protocol::link::Link::renew`]), a tracker a fresh state machine, and then tell
    /// [`crate::Membership::renew`]. Until then nothing that is heard counts.
    Paused,
    /// [`jlb_protocol::link::Link::remove_peer`].
    RemovePeer(NodeNumber),
    /// [`jlb_protocol::link::Link::add_peer`], with the addresses of a family that both have.
    AddPeer(Known),
    /// [`jlb_protocol::link::Link::set_interval`].
    SetInterval {
        /// The peer.
        node: NodeNumber,
        /// How often it is greeted.
        interval: Duration,
    },
    /// The view changed: hand [`crate::Membership::view`] to the role, and its
    /// [`jlb_protocol::View::ranked_fingerprint`] to [`jlb_protocol::link::Link::set_view`].
    View,
    /// This node's own state changed: [`jlb_protocol::link::Link::set_state`] with
    /// [`crate::Membership::state`], then [`jlb_protocol::link::Link::announce`].
    Announce,
    /// [`jlb_protocol::link::Link::probe`].
    Probe(NodeNumber),
    /// Send [`jlb_protocol::message::Control::Members`]: it fits one message.
    SendMembers {
        /// To whom.
        to: NodeNumber,
        /// What it says.
        entries: Vec<MemberEntry>,
    },
}

/// Most messages with members that wait at a time; what does not fit is sent by a later round.
const MAX_LETTERS: usize = 32;

/// The commands that wait; bounded, since one thing waits once, and by the number of nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pending {
    pub(crate) paused: bool,
    pub(crate) view: bool,
    pub(crate) announce: bool,
    remove: BTreeSet<NodeNumber>,
    add: BTreeMap<NodeNumber, Known>,
    interval: BTreeMap<NodeNumber, Duration>,
    probe: BTreeSet<NodeNumber>,
    letters: VecDeque<(NodeNumber, Vec<MemberEntry>)>,
}

impl Pending {
    pub(crate) fn add(&mut self, known: Known) {
        self.add.insert(known.node, known);
    }

    /// The peer goes, and with it all that was to be done for it.
    pub(crate) fn remove(&mut self, node: NodeNumber) {
        self.add.remove(&node);
        self.interval.remove(&node);
        self.probe.remove(&node);
        self.letters.retain(|(to, _)| *to != node);
        self.remove.insert(node);
    }

    pub(crate) fn interval(&mut self, node: NodeNumber, interval: Duration) {
        self.interval.insert(node, interval);
    }

    pub(crate) fn probe(&mut self, node: NodeNumber) {
        self.probe.insert(node);
    }

    pub(crate) fn letter(&mut self, to: NodeNumber, entries: Vec<MemberEntry>) {
        let waits = self.letters.iter().any(|(other, _)| *other == to);
        if !waits && self.letters.len() < MAX_LETTERS {
            self.letters.push_back((to, entries));
        }
    }

    /// What was to be said in the last life is not said any more.
    pub(crate) fn renew(&mut self) {
        self.probe.clear();
        self.letters.clear();
    }

    /// The next, in the order in which they are to be done.
    pub(crate) fn next(&mut self) -> Option<Command> {
        if core::mem::take(&mut self.paused) {
            return Some(Command::Paused);
        }
        if let Some(node) = self.remove.pop_first() {
            return Some(Command::RemovePeer(node));
        }
        if let Some((_, known)) = self.add.pop_first() {
            return Some(Command::AddPeer(known));
        }
        if let Some((node, interval)) = self.interval.pop_first() {
            return Some(Command::SetInterval { node, interval });
        }
        if core::mem::take(&mut self.view) {
            return Some(Command::View);
        }
        if core::mem::take(&mut self.announce) {
            return Some(Command::Announce);
        }
        if let Some(node) = self.probe.pop_first() {
            return Some(Command::Probe(node));
        }
        let (to, entries) = self.letters.pop_front()?;
        Some(Command::SendMembers { to, entries })
    }
}

#[cfg(test)]
mod tests;
