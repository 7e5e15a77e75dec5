//! R13, first part: asking all hosts of a pool which of them has a flow.

use crate::config::{Limits, Timers};
use crate::ingress::Ingress;
use crate::messages::End;
use crate::pending::Asked;
use crate::pool;
use alloc::vec::Vec;
use jlb_flow_table::Handle;
use jlb_protocol::digest::{Digest, Digester};
use jlb_protocol::message::{FlowKind, FlowState, FlowStatement, Intent, List};
use jlb_protocol::planted::{self, Bug};
use jlb_protocol::rate::Rate;
use jlb_protocol::{DropReason, MemberState, NodeNumber, Time};

/// A question to more hosts than this counts more than once: it is the messages that cost, and an
/// ingress that does nothing but ask forwards nothing.
const HOSTS_PER_PERMISSION: usize = 64;

/// How often all hosts of a pool may be asked. Flows that may be new and flows that should exist
/// have half of it each, so that a flood of one kind leaves room for the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct WhoHasRate {
    beginning: Rate,
    existing: Rate,
}

impl WhoHasRate {
    fn take(
        &mut self,
        intent: Intent,
        hosts: usize,
        now: Time,
        limits: &Limits,
        timers: &Timers,
    ) -> bool {
        let rate = match intent {
            Intent::Syn | Intent::Datagram => &mut self.beginning,
            Intent::MidFlow => &mut self.existing,
        };
        let cost = u32::try_from(hosts.div_ceil(HOSTS_PER_PERMISSION)).unwrap_or(u32::MAX);
        let burst = limits.max_who_has.div_ceil(2);
        rate.take_many(now, cost.max(1), burst, timers.who_has)
    }
}

impl Digest for WhoHasRate {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self {
            beginning,
            existing,
        } = self;
        beginning.digest(into);
        existing.digest(into);
    }
}

impl Ingress {
    /// The hosts of the pool that may have the flow, sorted by number.
    pub(crate) fn hosts_to_ask(&self, handle: Handle) -> Vec<NodeNumber> {
        let Some((key, attempt)) = self.pending.get(handle) else {
            return Vec::new();
        };
        let intent = attempt.question.intent;
        if intent == Intent::MidFlow && planted::is(Bug::ResetsWithoutAsking) {
            return Vec::new();
        }
        let Some(service) = self.matching.service(key.service()) else {
            return Vec::new();
        };
        let mut hosts: Vec<_> = pool::members(service, &self.view)
            .map(|host| host.node)
            .filter(|&host| self.may_have_flows(host, intent))
            .collect();
        hosts.sort_unstable();
        hosts
    }

    /// Whether the host's silence must be taken for a yes. A new flow does not wait for a host that
    /// is believed down; a reset does (R4), until the host is dead.
    pub(crate) fn may_have_flows(&self, host: NodeNumber, intent: Intent) -> bool {
        let Some(member) = self.view.member(host) else {
            return false;
        };
        match intent {
            Intent::Syn | Intent::Datagram => member.state != MemberState::Down,
            Intent::MidFlow => !self.hosts.is_dead(host),
        }
    }

    /// R4: whether a host of the pool may have the flow of a mid-flow packet, though so many said to a
    /// tracker that they have not: one that is down and may come back, or one that is up here and was
    /// not asked there. The tracker may not know it yet, or be cut off from it.
    pub(crate) fn may_have_owner(&self, handle: Handle, said_no: u16) -> bool {
        let Some((key, attempt)) = self.pending.get(handle) else {
            return false;
        };
        let Some(service) = self.matching.service(key.service()) else {
            return false;
        };
        let waits = |host| self.hosts.is_down(host) && !self.hosts.is_dead(host);
        let listed = service.hosts.iter();
        let up = listed.filter(|host| {
            let member = self.view.member(host.node);
            member.is_some_and(|member| member.state != MemberState::Down)
        });
        attempt.question.intent == Intent::MidFlow
            && (up.count() > usize::from(said_no)
                || pool::members(service, &self.view).any(|host| waits(host.node)))
    }

    /// Whether all hosts, so many, may be asked once more, and if so, counts it.
    pub(crate) fn may_ask_all(&mut self, now: Time, handle: Handle, hosts: usize) -> bool {
        let Some((_, attempt)) = self.pending.get(handle) else {
            return false;
        };
        let (limits, timers) = (&self.config.limits, &self.config.timers);
        let may = self
            .who_has
            .take(attempt.question.intent, hosts, now, limits, timers);
        self.stats.who_has_limited += u64::from(!may);
        may
    }

    /// Asks all that are waited for. Returns how many messages that took.
    pub(crate) fn send_who_has(&mut self, handle: Handle) -> usize {
        let Some(own) = self.own_search(handle) else {
            return 0;
        };
        let waiting = core::mem::take(&mut own.waiting);
        self.stats.who_has_asked += 1;
        for &host in &waiting {
            self.send_alone(handle, FlowKind::WhoHas, host);
        }
        let sent = waiting.len();
        if let Some(own) = self.own_search(handle) {
            own.waiting = waiting;
        }
        sent
    }

    /// Asks those that have not said yet whether they have the flow, unless too much was asked just
    /// now. Returns how many messages that took.
    pub(crate) fn ask_who_has_again(&mut self, now: Time, handle: Handle) -> usize {
        let hosts = self.own_search(handle).map_or(0, |own| own.waiting.len());
        if self.may_ask_all(now, handle, hosts) {
            self.send_who_has(handle)
        } else {
            1
        }
    }

    /// While all hosts are asked, waits for those of the present view: no longer for those that were
    /// lost, and also for those that are new. Returns how many messages that took.
    pub(crate) fn review_waiting(&mut self, now: Time, handle: Handle) -> usize {
        let hosts = self.hosts_to_ask(handle);
        let Some(own) = self.own_search(handle) else {
            return 0;
        };
        // All are sorted: a pool may have a thousand hosts, and many attempts wait for them.
        own.waiting
            .retain(|waiting| hosts.binary_search(waiting).is_ok());
        let is_new = |host: &NodeNumber| {
            own.waiting.binary_search(host).is_err() && own.without.binary_search(host).is_err()
        };
        let new: Vec<_> = hosts.into_iter().filter(is_new).collect();
        own.waiting.extend(&new);
        own.waiting.sort_unstable();
        if own.waiting.is_empty() {
            self.nobody_has_it(now, handle);
            return 1;
        }
        for &host in &new {
            self.send_alone(handle, FlowKind::WhoHas, host);
        }
        new.len()
    }

    /// What hosts say that were asked who has a flow.
    pub(crate) fn handle_who_has_answers(
        &mut self,
        now: Time,
        from: NodeNumber,
        flows: &List<'_, FlowStatement>,
    ) -> Result<End, DropReason> {
        let mut counts = false;
        for statement in flows.iter() {
            counts |= self.handle_who_has_answer(now, from, &statement);
        }
        if counts {
            Ok(End::Consumed)
        } else {
            Err(DropReason::StaleState)
        }
    }

    /// False if the answer was not asked for, or says nothing of now.
    fn handle_who_has_answer(
        &mut self,
        now: Time,
        from: NodeNumber,
        statement: &FlowStatement,
    ) -> bool {
        let Some(handle) = self.pending.find(&statement.key) else {
            return false;
        };
        let Some(attempt) = self.pending.get_mut(handle) else {
            return false;
        };
        if attempt.asked != Asked::AllHosts {
            return false;
        }
        let (isn, disowned) = (attempt.question.isn, attempt.disowned);
        let Some(own) = &mut attempt.own else {
            return false;
        };
        let Ok(at) = own.waiting.binary_search(&from) else {
            return false;
        };
        match statement.state {
            FlowState::Accepted | FlowState::Established | FlowState::Closing => {
                // What was said before the host rejected the flow or disowned this life of it.
                if own.tried.contains(from)
                    || disowned.is_some_and(|(by, life)| by == from && statement.birth <= life)
                {
                    return false;
                }
                own.waiting.clear();
                self.stats.who_has_found += 1;
                self.offer_to(now, handle, from);
            }
            FlowState::Closed | FlowState::NotMine => {
                // An answer to an earlier question; 0 is of a host that does not echo its id.
                if statement.isn != 0 && statement.isn != isn {
                    return false;
                }
                own.waiting.remove(at);
                if let Err(at) = own.without.binary_search(&from) {
                    own.without.insert(at, from);
                }
                if own.waiting.is_empty() {
                    self.nobody_has_it(now, handle);
                }
            }
        }
        true
    }
}
