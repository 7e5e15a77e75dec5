//! R12 and R11: a node lets each message in once, and only in the life that it was sealed for.

use core::time::Duration;
use jlb_protocol::{NodeNumber, Time};
use std::collections::{BTreeMap, BTreeSet};

/// What the world knows of a datagram on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sealed {
    /// When it was sent.
    pub(crate) at: Time,
    /// The number that it has in common with its second copy, if there is one.
    pub(crate) twin: Option<u64>,
}

/// When the present lives of nodes began, and which doubled messages were let in.
#[derive(Clone, Default, Debug)]
pub(crate) struct Sessions {
    began: BTreeMap<NodeNumber, Time>,
    paused: BTreeMap<NodeNumber, Time>,
    twins: u64,
    let_in: BTreeSet<u64>,
}

impl Sessions {
    /// A message is sent, twice if `doubled`.
    pub(crate) fn sealed(&mut self, now: Time, doubled: bool) -> Sealed {
        self.twins += u64::from(doubled);
        Sealed {
            at: now,
            twin: doubled.then_some(self.twins),
        }
    }

    /// A node's process starts.
    pub(crate) fn starts(&mut self, now: Time, node: NodeNumber) {
        self.paused.remove(&node);
        self.began.insert(node, now);
    }

    /// When the node's present life began.
    pub(crate) fn began(&self, node: NodeNumber) -> Time {
        self.began.get(&node).copied().unwrap_or(Time::ZERO)
    }

    pub(crate) fn pauses(&mut self, now: Time, node: NodeNumber) {
        self.paused.insert(node, now);
    }

    /// The node goes on. A pause of `noticed` or more begins a new life.
    pub(crate) fn resumes(&mut self, now: Time, node: NodeNumber, noticed: Duration) {
        if let Some(since) = self.paused.remove(&node)
            && now.since(since) >= noticed
        {
            self.began.insert(node, now);
        }
    }

    /// What is wrong with a node's letting a message in.
    pub(crate) fn check_let_in(&mut self, node: NodeNumber, sealed: Sealed) -> Option<String> {
        let began = self.began(node);
        if sealed.at < began {
            let early = began.since(sealed.at).as_micros();
            return Some(format!(
                "node {node} lets in what was sealed {early} us before its present life began"
            ));
        }
        let twin = sealed.twin?;
        // There are two copies: nobody has to remember one that was seen twice.
        (!self.let_in.insert(twin)).then(|| format!("node {node} lets in one message twice"))
    }
}
