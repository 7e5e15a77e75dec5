//! What an ingress lets its other workers know of a flow, so that they forward its packets by themselves.

use crate::cache::{Cache, Entry, Phase};
use crate::ingress::Ingress;
use crate::matching::Matching;
use core::time::Duration;
use jlb_protocol::{Birth, FlowKey, NodeNumber, Time};

/// How long a shortcut holds at most.
const LONGEST_LEASE: Duration = Duration::from_secs(1);

/// How a flow's packets are forwarded for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shortcut {
    pub(crate) key: FlowKey,
    /// The life of the flow that the host accepted.
    pub(crate) birth: Birth,
    /// The low half of the flow's hash, see [`Entry::flow`].
    pub(crate) flow: u32,
    pub(crate) host: NodeNumber,
    /// When it ends.
    pub(crate) until: Time,
}

/// What packets are read by, as it was at a moment.
#[derive(Clone)]
pub struct Rules {
    pub(crate) matching: Matching,
    /// Largest inner packet in bytes.
    pub(crate) max_inner: u16,
    /// How long a shortcut holds.
    pub(crate) lease: Duration,
}

impl Ingress {
    /// What a [`crate::Forwarder`] reads packets by. Another view or configuration makes others.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules {
            matching: self.matching.clone(),
            max_inner: self.config.max_inner,
            lease: self.lease(),
        }
    }

    /// How a forwarder may treat the flow's next packets: as this ingress does now, if there is nothing to decide
    /// about them. The flow's entry counts as used until that ends.
    pub fn shortcut(&mut self, now: Time, key: &FlowKey) -> Option<Shortcut> {
        let lease = self.lease();
        let hosts = &self.hosts;
        let entry = self.cache.lend(key, now + lease, |entry| {
            entry.phase() == Phase::Proven && !entry.contested && !hosts.is_down(entry.host)
        })?;
        Some(Shortcut {
            key: *key,
            birth: entry.birth,
            flow: entry.low_hash(),
            host: entry.host,
            until: now + lease,
        })
    }

    /// Short against the idleness after which entries are forgotten, since nothing is known of a flow's packets
    /// meanwhile.
    fn lease(&self) -> Duration {
        (self.cache.shortest_idle() / 4).min(LONGEST_LEASE)
    }
}

impl Cache {
    /// The flow's entry, if `may_be` says so; it counts as used at `until`.
    fn lend(
        &mut self,
        key: &FlowKey,
        until: Time,
        may_be: impl FnOnce(&Entry) -> bool,
    ) -> Option<Entry> {
        let entry = self.entry_mut(key).filter(|entry| may_be(entry))?;
        entry.use_at(until);
        Some(*entry)
    }
}

#[cfg(test)]
mod tests;
