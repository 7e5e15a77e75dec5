//! S2: termination. Each search ends after at most `search_ttl` offers, asks no host twice, and
//! repeats start no new one, while nothing changes that decides who leads a search.

use crate::topology::{OFFERED, Topology};
use core::time::Duration;
use jlb_protocol::message::{FlowMessage, HuntHost};
use jlb_protocol::{FlowKey, NodeNumber, Role, Time};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug)]
struct Search {
    offers: Vec<(u8, NodeNumber)>,
    /// Those that were made while another may have led the search: they are no part of it, but may be repeated (R6: a
    /// hunt whose answer is lost is asked for from its first host on).
    older: Vec<(u8, NodeNumber)>,
    accepted: Option<NodeNumber>,
    /// When the last Offer was made that repeats none.
    last: Time,
    /// When the last one came, repeats and all.
    shown: Time,
    /// Whether a tracker led it, and not an ingress that sees no tracker (R13).
    by_tracker: bool,
}

/// From a tracker's making of a record to the Offer's passing the last tracker, at most.
const CLIMB: Duration = Duration::from_millis(400);

/// The Offers that hosts were sent.
#[derive(Clone, Default, Debug)]
pub(crate) struct Searches {
    by_attempt: BTreeMap<(FlowKey, u32), Search>,
    /// The host that accepted each attempt last, whoever asked it.
    takers: BTreeMap<(FlowKey, u32), NodeNumber>,
    /// The last Offer of each attempt that went where it proves nothing, and since when.
    missed: BTreeMap<(FlowKey, u32), (Time, (u8, NodeNumber))>,
    /// The attempt of each flow that was offered last.
    latest: BTreeMap<FlowKey, u32>,
    /// The direct hunts that trackers let each host begin.
    hunts: BTreeSet<(NodeNumber, FlowKey, u32, Vec<HuntHost>)>,
    /// Of each flow the times that it was asked for, and Offers between trackers.
    moves: BTreeMap<FlowKey, (u64, u64)>,
}

/// Offers that go between trackers for one Open, at most: one for each host of the longest search, and
/// as many back with another host.
const MOVES: u64 = 2 * 16;

impl Searches {
    /// What is wrong with an Offer that goes from this node to a host. One that names a secondary comes from
    /// it, or a host could get a flow that only one tracker has heard of (R2); or from the host before it in
    /// a hunt that the last tracker on the path has let begin.
    pub(crate) fn check_chain(
        &mut self,
        from: NodeNumber,
        to: NodeNumber,
        message: &FlowMessage<'_>,
    ) -> Option<String> {
        let path = &message.path;
        let last = path.secondary.or(path.primary);
        let attempt = (message.key, message.offer.isn);
        let listed = |tracker| {
            let hosts: Vec<_> = message.hunt.iter().collect();
            (tracker, attempt.0, attempt.1, hosts)
        };
        if Topology::role(from) != Role::HostAgent {
            let secondary = path.secondary.filter(|&secondary| secondary != from);
            if message.hunt.passes() {
                self.hunts.insert(listed(from));
            }
            return secondary.map(|secondary| {
                format!("{from} sends a host an offer past its secondary {secondary}")
            });
        }
        let before = message.hunt.before(to).map(|before| before.host);
        let is_next = before == Some(from) && message.hunt.passes();
        let began = last.is_some_and(|tracker| self.hunts.contains(&listed(tracker)));
        (!is_next || !began).then(|| {
            format!("host {from} passes an offer on to {to}, which no tracker has let it do")
        })
    }

    /// Somebody asks for the flow's host.
    pub(crate) fn asked(&mut self, key: FlowKey) {
        self.moves.entry(key).or_default().0 += 1;
    }

    /// An Offer goes from tracker to tracker.
    pub(crate) fn moved(&mut self, key: FlowKey) -> Option<String> {
        let (asked, moved) = self.moves.entry(key).or_default();
        *moved += 1;
        (*moved > MOVES * (*asked + 1))
            .then(|| format!("trackers have sent each other {moved} offers for {asked} questions"))
    }

    /// An Offer goes to a host that is not there, or not like others, and proves nothing.
    pub(crate) fn missed(&mut self, now: Time, attempt: (FlowKey, u32), offer: (u8, NodeNumber)) {
        let missed = self.missed.entry(attempt).or_insert((now, offer));
        if missed.1 != offer {
            *missed = (now, offer);
        }
    }

    /// An Offer of `step` goes to `host`. `has_flow` says whether a host has the flow of the
    /// attempt, `waits` whether the service has flows wait for room. Since `changed` nothing has changed that decides who leads a search: before, another may
    /// have led it, and its messages may still be under way.
    pub(crate) fn offered(
        &mut self,
        now: Time,
        (changed, by_tracker): (Time, bool),
        (key, isn): (FlowKey, u32),
        (ttl, waits): (u8, bool),
        (step, host): (u8, NodeNumber),
        has_flow: impl Fn(NodeNumber) -> bool,
    ) -> Option<String> {
        let attempt = (key, isn);
        let taker = self.takers.get(&attempt).copied();
        let new = Search {
            offers: Vec::new(),
            older: Vec::new(),
            accepted: None,
            last: now,
            shown: now,
            by_tracker,
        };
        let search = self
            .by_attempt
            .entry(attempt)
            .or_insert_with(|| new.clone());
        // A flow has one record: another attempt, once an old one's at another ingress, takes its
        // place.
        let before = self.latest.insert(key, isn);
        if before.is_some_and(|before| before != isn) {
            *search = new.clone();
        }
        // The last that came, too, may be of a record from before the change, if its host did not take it.
        let may_be_old = search.accepted.is_none() && search.shown <= changed + CLIMB;
        let restless = search.last <= changed || now.since(changed) < CLIMB || may_be_old;
        search.shown = now;
        // What repeats an Offer of before is of a record that is as old as that.
        let missed = self.missed.get(&attempt).copied();
        let mut made = missed
            .filter(|&(at, offer)| offer == (step, host) && now.since(at) < OFFERED + CLIMB)
            .map_or(now, |(at, _)| at);
        if restless || search.by_tracker != by_tracker {
            if search.offers.contains(&(step, host)) {
                made = search.last;
            }
            let mut older = core::mem::take(&mut search.older);
            older.append(&mut search.offers);
            *search = Search {
                older,
                ..new.clone()
            };
        }
        if search.offers.contains(&(step, host)) {
            return None;
        }
        // A record that nobody answered, or that says that nobody took the flow, is forgotten.
        if now.since(search.last) + CLIMB >= OFFERED {
            *search = new;
        }
        if let Some(owner) = search.accepted {
            if owner == host || search.older.contains(&(step, host)) {
                return None;
            }
            if has_flow(owner) {
                return Some(format!(
                    "host {host} is asked for isn {isn:#010x}, which host {owner} has accepted"
                ));
            }
            search.offers.clear();
            search.accepted = None;
        }
        // A life of the attempt that has ended at its host ended the search as well: the client's SYN,
        // if it comes again, begins another.
        let has_ended = |&(_, other): &(u8, NodeNumber)| {
            other != host && taker == Some(other) && !has_flow(other)
        };
        if search.offers.last().is_some_and(has_ended) {
            search.offers.clear();
        }
        for &(other_step, other) in &search.offers {
            // R6: a flow that has waited is offered anew, with lower steps.
            if other == host && !(waits && step < other_step) {
                return Some(format!(
                    "host {host} is asked for isn {isn:#010x} at step {step} and at {other_step}"
                ));
            }
            if other_step == step {
                return Some(format!(
                    "hosts {other} and {host} are asked for isn {isn:#010x} at step {step}"
                ));
            }
        }
        search.offers.push((step, host));
        // It has said so before the search was looked at.
        if has_flow(host) {
            search.accepted = Some(host);
        }
        search.last = made;
        let made = search.offers.len();
        (made > usize::from(ttl)).then(|| {
            format!("{made} offers were made for isn {isn:#010x}, more than the {ttl} allowed")
        })
    }

    /// The host has accepted the attempt.
    pub(crate) fn accepted(&mut self, attempt: (FlowKey, u32), host: NodeNumber) {
        if let Some(search) = self.by_attempt.get_mut(&attempt) {
            search.accepted = Some(host);
        }
        self.takers.insert(attempt, host);
    }
}
