//! Direct hunts (R6): an Offer that this host rejects goes straight to the next candidate.

use crate::agent::HostAgent;
use alloc::collections::BTreeSet;
use jlb_protocol::message::{FlowMessage, HuntHost, Intent};
use jlb_protocol::{NodeNumber, OfferNumber, View};

/// Nodes that are known to answer, at most.
const MAX_HEARD: usize = 4_096;

/// What of other nodes matters to hunts.
#[derive(Clone, Debug)]
pub(crate) struct Hunts {
    /// This life of this host.
    pub(crate) life: u32,
    /// The nodes that have answered, among them those hosts that Offers can be passed to.
    pub(crate) heard: BTreeSet<NodeNumber>,
}

impl Hunts {
    pub(crate) const fn new(life: u32) -> Self {
        Self {
            life,
            heard: BTreeSet::new(),
        }
    }

    /// There is a session with this node.
    pub(crate) fn heard(&mut self, node: NodeNumber) {
        if self.heard.len() < MAX_HEARD {
            self.heard.insert(node);
        }
    }

    /// After a pause this host is in another life, as its own view says (R11).
    pub(crate) fn set_view(&mut self, me: NodeNumber, view: &View) {
        if let Some(own) = view.member(me).filter(|own| own.incarnation != 0) {
            self.life = own.incarnation;
        }
    }
}

impl HostAgent {
    /// What the Offer says of this host in a hunt.
    fn hunted(&self, message: &FlowMessage<'_>) -> Option<HuntHost> {
        let of_search = message.intent == Intent::Syn && message.path.host == Some(self.node);
        let hunt = message.hunt.naming(self.node, message.offer.step);
        hunt.find(self.node).filter(|_| of_search)
    }

    /// Whether the Offer came from the host that is asked before this one.
    pub(crate) fn was_passed_by(&self, from: NodeNumber, message: &FlowMessage<'_>) -> bool {
        let before = message.hunt.before(self.node);
        let is_from = before.is_some_and(|before| before.host == from);
        is_from && message.hunt.passes() && self.hunted(message).is_some()
    }

    /// Whether a former life of this host was asked, which may have rejected the Offer: another host may
    /// have taken it since.
    pub(crate) fn is_after_a_restart(&self, message: &FlowMessage<'_>) -> bool {
        let mine = self.hunted(message);
        mine.is_some_and(|mine| mine.incarnation != self.hunts.life)
    }

    /// Passes the Offer on to the next candidate, under its number; false if there is none, or no way to
    /// it.
    pub(crate) fn pass_to_next(&mut self, message: &FlowMessage<'_>) -> bool {
        let next = message.hunt.after(self.node);
        let Some(HuntHost { host, step, .. }) = next.filter(|_| message.hunt.passes()) else {
            return false;
        };
        let mut tried = message.tried;
        let can = self.hunted(message).is_some() && self.hunts.heard.contains(&host);
        if !can || !tried.push(self.node) {
            return false;
        }
        let mut offer = FlowMessage {
            offer: OfferNumber {
                step,
                ..message.offer
            },
            tried,
            ..*message
        };
        offer.path.host = Some(host);
        let sent = self.post.send_flow(host, &offer);
        self.post.counters.hunted_on += u64::from(sent);
        sent
    }
}

#[cfg(test)]
mod tests;
