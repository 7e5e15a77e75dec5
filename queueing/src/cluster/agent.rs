//! A host with its agent: its own say, and when it reports.

use super::{Host, Reports};
use crate::admission::Admits;
use jlb_host_agent::admission::Gate;
use jlb_host_agent::signals::Signals;
use jlb_protocol::ServiceNumber;
use jlb_protocol::message::ServiceLoad;

pub(super) struct Agent {
    admission: Gate,
    reports: Reports,
    /// When it reported last.
    reported: f64,
    /// When it reports next.
    due: f64,
    /// Counts the changes of `due`: an event of an earlier one is void.
    pub(super) plan: u64,
}

impl Agent {
    /// Its first report is due at `first`.
    pub(super) fn new(host: &Host, admits: Admits, reports: Reports, first: f64) -> Self {
        Self {
            admission: admits.host(host.cores * host.speed),
            reports,
            reported: f64::NEG_INFINITY,
            due: first,
            plan: 0,
        }
    }

    pub(super) fn admits(&mut self, connections: u32) -> bool {
        let taken = self.admission.room(&signals(connections)) > 0;
        self.admission.decided(taken);
        taken
    }

    pub(super) fn load(
        &self,
        service: ServiceNumber,
        connections: u32,
        healthy: bool,
    ) -> ServiceLoad {
        ServiceLoad {
            service,
            connections,
            room: self.admission.room(&signals(connections)),
            load: self.admission.load(&signals(connections)),
            healthy,
        }
    }

    /// Its connections have changed; gives when a report is due now that was not before.
    pub(super) fn changed(&mut self, now: f64) -> Option<f64> {
        let soonest = (self.reported + self.reports.on_change?).max(now);
        if soonest >= self.due {
            return None;
        }
        self.plan += 1;
        self.due = soonest;
        Some(soonest)
    }

    /// It reports now; gives when the next one is due.
    pub(super) fn reports_now(&mut self, now: f64) -> f64 {
        self.reported = now;
        self.plan += 1;
        self.due = now + self.reports.interval;
        self.due
    }
}

/// What a host's policies look at.
fn signals(connections: u32) -> Signals {
    Signals {
        connections,
        ..Signals::default()
    }
}
