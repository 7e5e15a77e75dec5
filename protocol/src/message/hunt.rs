//! The hosts of a direct hunt: a host that rejects passes the Offer straight to the next one (R6).

use crate::number::NodeNumber;

/// The most hosts of one hunt, the first one included.
pub const MAX_HUNT: usize = 4;

/// A host of a hunt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HuntHost {
    /// The host.
    pub host: NodeNumber,
    /// The step that it is asked with, by whomever.
    pub step: u8,
    /// The life of it that may take the flow: a later one does not know what this one has answered.
    pub incarnation: u32,
}

/// The hosts that are asked one after the other, and with which steps; at most [`MAX_HUNT`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Hunt {
    hosts: [Option<HuntHost>; MAX_HUNT],
    passes: bool,
}

impl Hunt {
    /// No hunt: the search is plain.
    pub const NONE: Self = Self {
        hosts: [None; MAX_HUNT],
        passes: false,
    };

    /// Adds the host that is asked next; false if it is listed already, its step is not lower than the
    /// last one's, or the list is full.
    pub fn push(&mut self, next: HuntHost) -> bool {
        let is_listed = self.find(next.host).is_some();
        if is_listed || self.last().is_some_and(|last| next.step >= last.step) {
            return false;
        }
        let free = self.hosts.iter_mut().find(|slot| slot.is_none());
        let Some(slot) = free else {
            return false;
        };
        *slot = Some(next);
        true
    }

    /// The hosts, in order.
    pub fn iter(&self) -> impl Iterator<Item = HuntHost> + '_ {
        self.hosts.iter().flatten().copied()
    }

    /// Number of hosts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether no host is listed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.hosts[0].is_none()
    }

    /// What is said of this host.
    #[must_use]
    pub fn find(&self, host: NodeNumber) -> Option<HuntHost> {
        self.iter().find(|listed| listed.host == host)
    }

    /// The host that is asked last.
    #[must_use]
    pub fn last(&self) -> Option<HuntHost> {
        self.iter().last()
    }

    /// The host that is asked after this one.
    #[must_use]
    pub fn after(&self, host: NodeNumber) -> Option<HuntHost> {
        let mut rest = self.iter().skip_while(|listed| listed.host != host);
        rest.nth(1)
    }

    /// The host that is asked before this one.
    #[must_use]
    pub fn before(&self, host: NodeNumber) -> Option<HuntHost> {
        self.iter().find(|listed| {
            self.after(listed.host)
                .is_some_and(|next| next.host == host)
        })
    }

    /// Whether a host that rejects may pass the Offer on; else it answers up the path.
    #[must_use]
    pub const fn passes(&self) -> bool {
        self.passes
    }

    /// The same hosts, and whether the Offer may be passed on.
    #[must_use]
    pub const fn passing(self, passes: bool) -> Self {
        Self { passes, ..self }
    }

    /// The same if it names the host with this step, else none.
    #[must_use]
    pub fn naming(self, host: NodeNumber, step: u8) -> Self {
        let is_named = self.find(host).is_some_and(|it| it.step == step);
        if is_named { self } else { Self::NONE }
    }

    /// Whether the same hosts are asked with the same steps.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.hosts == other.hosts
    }
}

#[cfg(test)]
mod tests;
