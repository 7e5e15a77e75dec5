//! What hosts say of their flows and of their load: the host is the authority, the records are an
//! index of its word (R4, R9).

use crate::primary::{Done, Ended};
use crate::record::{Event, Life, Next, Offered, Order, Own, Owned, Record, State};
use crate::tracker::FlowTracker;
use alloc::collections::BTreeMap;
use jlb_protocol::message::{Control, FlowState, FlowStatement, List, Listed, ServiceLoad};
use jlb_protocol::{Birth, DropReason, NodeNumber, OfferNumber, Protocol, Role, Time};

mod digest;

/// The number of the last State that was applied of each host; one entry for each host of the view at
/// most.
#[derive(Clone, Default, Debug)]
pub(crate) struct Sequences {
    last: BTreeMap<NodeNumber, u64>,
}

impl Sequences {
    /// Whether the State is to be applied, and the number to acknowledge.
    ///
    /// A host has one State under way at a time and sends it until it is acknowledged, so a
    /// number that is not newer is a repeat, or came late; one that leaves some out means that they
    /// were acknowledged before this tracker started, or given up when the host believed it down. A
    /// host's numbers rise over its restarts too; one whose numbers do not hears of the last that was
    /// applied, and numbers its message anew.
    fn admit(&mut self, host: NodeNumber, sequence: u64) -> (bool, u64) {
        let last = self.last.entry(host).or_insert(0);
        let apply = sequence > *last;
        *last = sequence.max(*last);
        (apply, *last)
    }

    /// The number of the last State that was applied; 0 if none was.
    pub(crate) fn last(&self, host: NodeNumber) -> u64 {
        self.last.get(&host).copied().unwrap_or(0)
    }

    /// Forgets hosts that are no members any more.
    pub(crate) fn retain(&mut self, is_member: impl Fn(NodeNumber) -> bool) {
        self.last.retain(|&host, _| is_member(host));
    }
}

/// What stands at the end of a State message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closing {
    /// R10: the trackers among which this one has been told all that it ranks for.
    pub(crate) filled: Option<u64>,
    /// R9: a bucket's list ends.
    pub(crate) listed: Option<Listed>,
}

/// What a statement did.
enum Applied {
    /// It became or confirmed the record.
    Yes,
    /// It is stale, or says nothing new of a flow without record.
    No,
    /// There is no room for it.
    Full,
}

impl FlowTracker {
    /// State: what a host owns, and its answers to WhoHas, which are not numbered.
    pub(crate) fn state(
        &mut self,
        now: Time,
        from: NodeNumber,
        sequence: u64,
        flows: &List<'_, FlowStatement>,
        closing: Closing,
    ) -> Ended {
        self.nodes.named(Some(from), Role::HostAgent)?;
        self.filling.heard(now, &self.nodes, from);
        if sequence == 0 {
            for flow in flows.iter() {
                self.statement(now, from, &flow);
            }
            return Ok(Done::Consumed);
        }
        let (apply, sequence) = self.sequences.admit(from, sequence);
        if apply {
            for flow in flows.iter() {
                self.statement(now, from, &flow);
            }
            self.filling.mark(now, &self.nodes, from, closing.filled);
            if let Some(listed) = closing.listed {
                self.listed(now, from, &listed);
            }
        } else {
            self.out.stats.states_repeated += 1;
        }
        self.out.send_control(from, &Control::Ack { sequence });
        Ok(Done::Consumed)
    }

    fn statement(&mut self, now: Time, from: NodeNumber, flow: &FlowStatement) {
        let owned = |life| (life, flow.birth);
        let applied = match flow.state {
            FlowState::Accepted => self.own(now, from, flow, owned(Life::Accepted)),
            FlowState::Established => self.own(now, from, flow, owned(Life::Established)),
            FlowState::Closing => self.own(now, from, flow, owned(Life::Closing)),
            FlowState::Closed => self.closed(now, from, flow),
            FlowState::NotMine => return self.not_mine(now, &flow.key, flow.isn, from),
        };
        match applied {
            Applied::Yes => self.out.stats.statements += 1,
            Applied::No => self.out.stats.statements_stale += 1,
            Applied::Full => self.out.stats.statements_turned_away += 1,
        }
    }

    /// The host has the flow.
    fn own(
        &mut self,
        now: Time,
        host: NodeNumber,
        flow: &FlowStatement,
        (life, birth): (Life, Birth),
    ) -> Applied {
        let Some(pool) = self.pools.get(flow.key.service()) else {
            return Applied::No;
        };
        // No Offer tells the step of a life that only its host tells of: as if asked first.
        let first_step = pool.service.search_ttl.saturating_sub(1);
        let hunted = self.searches.hunt(&flow.key, flow.isn).find(host);
        let first_step = hunted.map_or(first_step, |hunted| hunted.step);
        let found = self.records.find(&flow.key);
        let dead = found
            .and_then(|(_, record)| record.state.host())
            .is_some_and(|host| self.nodes.is_dead_host(now, host));
        // A record that may have missed its flow's end holds nothing against a host that states one.
        let outdated =
            found.is_some_and(|(_, record)| record.is_hint() && record.state.host() != Some(host));
        // The attempts of datagrams are not told apart.
        let is_tcp = pool.service.protocol == Protocol::Tcp;
        let answers = is_tcp && found.is_some_and(|(_, record)| record.isn == flow.isn);
        let rival = found.filter(|_| is_tcp).map(|(_, record)| record);
        let order = rival.map_or(Order::Same, |it| Order::of_lives(flow.isn, it.began()));
        // Nothing began later than a fresh life but by seconds, and numbers go half round in minutes: of two
        // that are known the order is true.
        let is_known = rival.is_some_and(|it| it.began() != 0);
        let own = Own {
            life,
            host,
            birth,
            step: first_step,
            answers,
            order,
            left: rival.is_some_and(|it| it.has_left(flow.isn)),
            overtakes: flow.fresh && is_known && order == Order::Later,
        };
        let record = match found {
            None => Record::new(flow.isn, own.state()),
            // A host that is given up holds nothing against one that is there.
            Some((_, record)) if dead || outdated => record.turned(flow.isn, own.state()),
            Some((handle, record)) => {
                if record.state.host() != Some(host) && self.searches.has_refused(&flow.key, host) {
                    // It said so before it rejected, or was away when the search began.
                    if own.left && record.state.is_trusted() {
                        self.release_claimer(host, flow, first_step);
                    }
                    return Applied::No;
                }
                let step = match record.state {
                    State::Owned(Owned { step, .. }) if record.isn == flow.isn => step,
                    State::Owned(_)
                    | State::Offered(_)
                    | State::Rejected { .. }
                    | State::Refused { .. } => first_step,
                };
                match record.state.next(Event::Own(Own { step, ..own })) {
                    Next::Become(state) => record.with(state, flow.isn),
                    Next::Stay => {
                        self.records.renew(now, handle);
                        return Applied::Yes;
                    }
                    Next::Conflict => {
                        self.release_claimer(host, flow, first_step);
                        return Applied::No;
                    }
                    Next::Stale | Next::End => return Applied::No,
                }
            }
        };
        let known = found.filter(|(_, before)| flow.isn == 0 && before.is_life(host, birth));
        let began = known.map_or(flow.isn, |(_, before)| before.former);
        // What a hint says of whom the client has left is as outdated as the hint.
        let before = found.map(|(_, before)| before).filter(|_| !outdated);
        let record = record.begun_by(began, before);
        let place = found.map(|(handle, _)| handle);
        if self.records.put(now, flow.key, place, record).is_err() {
            return Applied::Full;
        }
        self.searches.end(now, &flow.key);
        // A host that has found a connection after a restart cannot tell when it began: that is reason
        // to believe it there, none to end another's.
        let tells = !is_tcp || flow.isn != 0;
        if let Some(before) = before.filter(|_| tells) {
            self.release_loser(&before, host, flow, own.overtakes);
        }
        self.owner_found(now, &flow.key);
        Applied::Yes
    }

    /// The claim of a life that its client has left for the record's: its host is told, each time
    /// that it claims it.
    fn release_claimer(&mut self, host: NodeNumber, flow: &FlowStatement, step: u8) {
        if self.nodes.is_in_top_two(&flow.key) {
            let isn = flow.isn;
            let offer = OfferNumber { isn, step };
            self.release(host, &flow.key, offer, Some(flow.birth));
        }
    }

    /// Established beats accepted beats offered, and a later life an earlier one: the record's former host
    /// is told.
    fn release_loser(
        &mut self,
        before: &Record,
        winner: NodeNumber,
        flow: &FlowStatement,
        overtaken: bool,
    ) {
        let (loser, step, birth) = match before.state {
            State::Offered(Offered { host, step, .. }) => (host, step, None),
            State::Owned(Owned {
                life,
                host,
                step,
                birth,
                ..
            }) => match life {
                Life::Accepted => (host, step, Some(birth)),
                Life::Established if overtaken => (host, step, Some(birth)),
                // A flow that is closing only lingers.
                Life::Established | Life::Closing => return,
            },
            State::Rejected { .. } | State::Refused { .. } => return,
        };
        if loser == winner {
            return;
        }
        // R1: outside the top two this record was a hint, and says nothing of who has lost.
        if self.nodes.is_in_top_two(&flow.key) {
            let offer = OfferNumber {
                isn: before.isn,
                step,
            };
            self.release(loser, &flow.key, offer, birth);
        }
    }

    /// The life is over.
    fn closed(&mut self, now: Time, host: NodeNumber, flow: &FlowStatement) -> Applied {
        let Some((handle, record)) = self.records.find(&flow.key) else {
            return Applied::No;
        };
        let event = Event::Closed {
            host,
            birth: flow.birth,
        };
        match record.state.next(event) {
            Next::End => {
                self.records.remove(handle);
            }
            Next::Become(state) => {
                let next = record.with(state, record.isn);
                self.records.put_or_remove(now, flow.key, handle, next);
            }
            Next::Stay | Next::Stale | Next::Conflict => return Applied::No,
        }
        self.out.stats.records_closed += 1;
        Applied::Yes
    }

    /// Load: what policies act on.
    pub(crate) fn load(
        &mut self,
        now: Time,
        from: NodeNumber,
        services: &List<'_, ServiceLoad>,
    ) -> Ended {
        match self.nodes.role(from) {
            Some(Role::HostAgent) => {}
            Some(Role::Ingress | Role::FlowTracker) => return Err(DropReason::WrongRole),
            None => return Err(DropReason::WrongNode),
        }
        for report in services.iter() {
            if self.pools.report(now, from, &report) {
                self.share_room(now, from, report.service);
                self.serve_waiting(now, report.service);
            } else {
                self.out.stats.loads_unknown += 1;
            }
        }
        Ok(Done::Consumed)
    }
}

#[cfg(test)]
mod tests;
