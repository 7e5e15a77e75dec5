//! Which hosts are dead: believed down for so long that their flows are given up.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::digest::{Digest, Digester};
use jlb_protocol::{MemberState, NodeNumber, Role, Time, View};

/// Since when hosts are down.
///
/// A host that is believed down may be alive (R4), and a flow that the cache has there may be elsewhere
/// by now: its packets are asked for. One that has been down for `after` is dead: the client hears
/// so instead of nothing.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    after: Option<Duration>,
    down: BTreeMap<NodeNumber, Time>,
    /// Sorted; nearly always empty.
    dead: Vec<NodeNumber>,
    next: Option<Time>,
}

impl Hosts {
    pub(crate) fn new(after: Option<Duration>, view: &View, now: Time) -> Self {
        let mut hosts = Self {
            after,
            down: BTreeMap::new(),
            dead: Vec::new(),
            next: None,
        };
        hosts.set_view(view, now);
        hosts
    }

    pub(crate) fn set_after(&mut self, after: Option<Duration>, now: Time) {
        self.after = after;
        self.settle(now);
    }

    pub(crate) fn set_view(&mut self, view: &View, now: Time) {
        let before = core::mem::take(&mut self.down);
        let down = view
            .members()
            .iter()
            .filter(|member| member.role == Role::HostAgent && member.state == MemberState::Down);
        for member in down {
            let since = before.get(&member.node).copied().unwrap_or(now);
            self.down.insert(member.node, since);
        }
        self.settle(now);
    }

    /// Whether the host is down. On the path of every packet: one comparison while no host is.
    #[inline]
    pub(crate) fn is_down(&self, host: NodeNumber) -> bool {
        !self.down.is_empty() && self.down.contains_key(&host)
    }

    /// Whether the host is dead.
    pub(crate) fn is_dead(&self, host: NodeNumber) -> bool {
        !self.dead.is_empty() && self.dead.binary_search(&host).is_ok()
    }

    pub(crate) fn dead(&self) -> usize {
        self.dead.len()
    }

    /// When the next host dies.
    pub(crate) const fn next_deadline(&self) -> Option<Time> {
        self.next
    }

    /// Notes who has died by now.
    pub(crate) fn settle(&mut self, now: Time) {
        self.dead.clear();
        self.next = None;
        let Some(after) = self.after else {
            return;
        };
        for (&host, &since) in &self.down {
            let dies = since + after;
            if dies <= now {
                self.dead.push(host);
            } else if self.next.is_none_or(|next| dies < next) {
                self.next = Some(dies);
            }
        }
    }
}

impl Digest for Hosts {
    fn digest(&self, into: &mut Digester<'_>) {
        // Who is dead follows from since when they are down, as far as that was looked at.
        let Self {
            after: _,
            down,
            dead,
            next: _,
        } = self;
        into.value(dead);
        into.value(&down.len());
        for (host, &since) in down {
            into.value(host);
            into.time(since);
        }
    }
}

#[cfg(test)]
mod tests;
