//! A host of the random runs, much simpler than a real one.

use crate::testbed::FlowSent;
use crate::testbed::{birth, statement, tracker};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use jlb_protocol::message::{FlowState, FlowStatement, Intent, Reason};
use jlb_protocol::{Birth, FlowKey, NodeNumber, OfferNumber};

/// A flow as its host has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owned {
    pub(super) isn: u32,
    pub(super) birth: Birth,
    pub(super) state: FlowState,
}

/// The statements to one tracker: one State on its way at a time.
#[derive(Clone, Default, Debug)]
pub(super) struct Channel {
    pub(super) sequence: u64,
    pub(super) in_flight: Option<Vec<FlowStatement>>,
    pub(super) closed: Vec<FlowStatement>,
}

#[derive(Clone, Default, Debug)]
pub(super) struct Host {
    pub(super) owned: BTreeMap<FlowKey, Owned>,
    /// Offer numbers that it said no to: for ever (R5).
    pub(super) rejected: BTreeSet<(FlowKey, OfferNumber)>,
    /// Attempts that were its own and are over.
    pub(super) over: BTreeSet<(FlowKey, u32)>,
    /// Offer numbers that it was asked with.
    pub(super) asked: BTreeSet<(FlowKey, OfferNumber)>,
    pub(super) channels: BTreeMap<NodeNumber, Channel>,
    pub(super) births: u32,
    pub(super) full: bool,
    /// Whether its kernel answers a SYN to a flow that it has (R7).
    pub(super) sockets: bool,
}

impl Host {
    pub(super) fn answer(&mut self, offer: &FlowSent, must: bool) -> Result<Birth, Reason> {
        let key = offer.key;
        if offer.intent == Intent::MidFlow {
            let owned = self.owned.get(&key).ok_or(Reason::NotOwner)?;
            return Ok(owned.birth);
        }
        self.asked.insert((key, offer.offer));
        if let Some(owned) = self.owned.get(&key) {
            if owned.isn == offer.offer.isn || self.sockets {
                return Ok(owned.birth);
            }
            self.end(key);
        }
        let number = (key, offer.offer);
        let over = self.over.contains(&(key, offer.offer.isn));
        if (self.full && !must) || over || self.rejected.contains(&number) {
            self.rejected.insert(number);
            return Err(Reason::Load);
        }
        self.births += 1;
        let owned = Owned {
            isn: offer.offer.isn,
            birth: birth(self.births),
            state: FlowState::Accepted,
        };
        self.owned.insert(key, owned);
        Ok(owned.birth)
    }

    pub(super) fn end(&mut self, key: FlowKey) {
        if let Some(owned) = self.owned.remove(&key) {
            self.over.insert((key, owned.isn));
            let closed = statement(&key, owned.birth, owned.isn, FlowState::Closed);
            for to in [tracker(1), tracker(2)] {
                self.channels.entry(to).or_default().closed.push(closed);
            }
        }
    }
}
