//! What it takes to recover from the loss of a share of all nodes.

use super::{Event, World};
use crate::machine::Machine;
use crate::outcome::Recovery;
use core::time::Duration;
use jlb_protocol::{MemberState, Time};

/// How often it is looked whether all is well again.
const EVERY: Duration = Duration::from_millis(50);

/// The state of things at the loss.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    began: Time,
    messages: u64,
    bytes: u64,
    recovery: Recovery,
    pub(super) done: Option<Recovery>,
}

impl World {
    /// Nodes are lost.
    pub(super) fn watch_recovery(&mut self, nodes: usize) {
        self.recovery = Some(Watch {
            began: self.now,
            messages: self.network.offered,
            bytes: self.network.bytes,
            recovery: Recovery {
                live: self.live,
                nodes: nodes as u64,
                tracker_bytes_before: self.tracker_bytes(),
                ..Recovery::default()
            },
            done: None,
        });
        self.schedule(self.now + EVERY, Event::RecoveryLooks);
    }

    /// All is well once every node is up and knows it of the others, every tracker is filled, and
    /// no host has anything left to tell.
    pub(super) fn recovery_looks(&mut self) {
        let well = self.is_recovered();
        let (now, bytes) = (self.now, self.tracker_bytes());
        let Some(watch) = self.recovery.as_mut() else {
            return;
        };
        let recovery = &mut watch.recovery;
        recovery.most_tracker_bytes = recovery.most_tracker_bytes.max(bytes);
        if !well {
            self.schedule(now + EVERY, Event::RecoveryLooks);
            return;
        }
        recovery.millis = u64::try_from(now.since(watch.began).as_millis()).unwrap_or(0);
        recovery.messages = self.network.offered - watch.messages;
        recovery.bytes = self.network.bytes - watch.bytes;
        watch.done = Some(*recovery);
    }

    fn is_recovered(&self) -> bool {
        let truth = self.truth();
        self.nodes.values().all(|node| {
            let Some(life) = &node.life else {
                return self.gone.contains(&node.number);
            };
            let told = match &life.machine {
                Machine::Host(agent) => agent.stats().statements_pending == 0,
                Machine::Tracker(_) | Machine::Ingress(_) => true,
            };
            let filled = life.membership.state() != MemberState::Joining;
            told && filled
                && truth
                    .check_view(node.number, life.membership.view())
                    .is_none()
        })
    }

    fn tracker_bytes(&self) -> u64 {
        let lives = self.nodes.values().filter_map(|node| node.life.as_ref());
        let bytes = lives.map(|life| match &life.machine {
            Machine::Tracker(tracker) => tracker.stats().table_bytes,
            Machine::Ingress(_) | Machine::Host(_) => 0,
        });
        bytes.sum()
    }
}
