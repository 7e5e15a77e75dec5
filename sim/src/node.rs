//! A node: a production state machine, its clock, and what the simulation remembers of it.

use core::time::Duration;
use jlb_flow_tracker::FlowTracker;
use jlb_host_agent::HostAgent;
use jlb_ingress::Ingress;
use jlb_protocol::{Ledger, Message, NodeNumber, PacketBuf, Time, Transmit};

/// The state machine of a role.
#[derive(Clone)]
pub(crate) enum Machine {
    Ingress(Box<Ingress>),
    Tracker(Box<FlowTracker>),
    Host(Box<HostAgent>),
}

/// Sums of the books of the lives of a node that are over.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Sums {
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

/// A node; without a machine while it is down.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) number: NodeNumber,
    pub(crate) machine: Option<Machine>,
    /// Counts its starts: messages of or for an earlier one are never taken (R12).
    pub(crate) life: u32,
    /// What its clock shows more than the world's.
    skew: Duration,
    /// When the world will call its `handle_timeout`.
    pub(crate) armed: Option<Time>,
    retired: Sums,
}

/// Room for what [`Node::holdings`] counts.
pub(crate) type Holdings = Vec<(&'static str, u64)>;

impl Node {
    pub(crate) fn new(number: NodeNumber, machine: Machine, skew: Duration) -> Self {
        Self {
            number,
            machine: Some(machine),
            life: 1,
            skew,
            armed: None,
            retired: Sums::default(),
        }
    }

    /// The time that its clock shows.
    pub(crate) fn clock(&self, now: Time) -> Time {
        now + self.skew
    }

    fn world_time(&self, clock: Time) -> Time {
        let skew = u64::try_from(self.skew.as_nanos()).unwrap_or(u64::MAX);
        Time::from_nanos(clock.as_nanos().saturating_sub(skew))
    }

    /// Takes a message; true if its packet is to be delivered to the stack.
    pub(crate) fn handle_message(
        &mut self,
        now: Time,
        from: NodeNumber,
        message: &Message<'_>,
    ) -> bool {
        let clock = self.clock(now);
        match &mut self.machine {
            Some(Machine::Ingress(ingress)) => ingress.handle_message(clock, from, message),
            Some(Machine::Tracker(tracker)) => tracker.handle_message(clock, from, message),
            Some(Machine::Host(agent)) => {
                let verdict = agent.handle_message(clock, from, message);
                return verdict == jlb_host_agent::Verdict::Deliver;
            }
            None => {}
        }
        false
    }

    pub(crate) fn handle_timeout(&mut self, now: Time) {
        let clock = self.clock(now);
        match &mut self.machine {
            Some(Machine::Ingress(ingress)) => ingress.handle_timeout(clock),
            Some(Machine::Tracker(tracker)) => tracker.handle_timeout(clock),
            Some(Machine::Host(agent)) => agent.handle_timeout(clock),
            None => {}
        }
    }

    /// When it wants [`Self::handle_timeout`] called, in the world's time.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let clock = match &self.machine {
            Some(Machine::Ingress(ingress)) => ingress.poll_timeout(),
            Some(Machine::Tracker(tracker)) => tracker.poll_timeout(),
            Some(Machine::Host(agent)) => agent.poll_timeout(),
            None => None,
        }?;
        Some(self.world_time(clock))
    }

    /// When a host agent wants a dump, in the world's time.
    pub(crate) fn poll_dump(&self) -> Option<Time> {
        match &self.machine {
            Some(Machine::Host(agent)) => agent.poll_dump().map(|clock| self.world_time(clock)),
            Some(Machine::Ingress(_) | Machine::Tracker(_)) | None => None,
        }
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        match &mut self.machine {
            Some(Machine::Ingress(ingress)) => ingress.poll_transmit(),
            Some(Machine::Tracker(tracker)) => tracker.poll_transmit(),
            Some(Machine::Host(agent)) => agent.poll_transmit(),
            None => None,
        }
    }

    pub(crate) fn recycle(&mut self, buf: PacketBuf) {
        match &mut self.machine {
            Some(Machine::Ingress(ingress)) => ingress.recycle(buf),
            Some(Machine::Tracker(tracker)) => tracker.recycle(buf),
            Some(Machine::Host(agent)) => agent.recycle(buf),
            None => {}
        }
    }

    /// The books of its present life.
    pub(crate) fn ledger(&self) -> Option<Ledger> {
        match self.machine.as_ref()? {
            Machine::Ingress(ingress) => Some(ingress.ledger().clone()),
            Machine::Tracker(tracker) => Some(tracker.stats().ledger),
            Machine::Host(agent) => Some(agent.stats().ledger),
        }
    }

    /// Received and sent in all its lives.
    pub(crate) fn sums(&self) -> Sums {
        let ledger = self.ledger().unwrap_or_default();
        Sums {
            received: self.retired.received + ledger.received,
            sent: self.retired.sent + ledger.sent,
        }
    }

    /// Ends its life without a word: kill -9.
    pub(crate) fn kill(&mut self) {
        self.retired = self.sums();
        self.machine = None;
        self.armed = None;
        self.life += 1;
    }

    /// What its tables hold (S5).
    pub(crate) fn holdings(&self) -> Holdings {
        match &self.machine {
            Some(Machine::Ingress(ingress)) => {
                let stats = ingress.stats();
                vec![
                    ("flows", stats.flows),
                    ("pending", stats.pending),
                    ("pending bytes", stats.pending_bytes),
                    ("outbox", stats.outbox),
                    ("held", stats.ledger.held),
                ]
            }
            Some(Machine::Tracker(tracker)) => {
                let stats = tracker.stats();
                vec![
                    ("records", stats.flows),
                    ("untrusted", stats.untrusted),
                    ("searches", stats.searches),
                    ("who has", stats.who_has),
                    ("held", stats.ledger.held),
                ]
            }
            Some(Machine::Host(agent)) => {
                let stats = agent.stats();
                vec![
                    ("accepted", u64::from(stats.flows_accepted)),
                    ("established", u64::from(stats.flows_established)),
                    ("closing", u64::from(stats.flows_closing)),
                    ("released", u64::from(stats.flows_released)),
                    ("statements", stats.statements_pending as u64),
                    ("held", stats.ledger.held),
                ]
            }
            None => Vec::new(),
        }
    }
}
