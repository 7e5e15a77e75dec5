//! Load: what policies and queues of the trackers act on.

use crate::agent::HostAgent;
use alloc::vec::Vec;
use jlb_protocol::Time;
use jlb_protocol::message::{Control, List, ServiceLoad};

/// The most services of one Load message: 1,024 bytes, within `wire::MAX_BODY`.
const BATCH: usize = 64;

impl HostAgent {
    /// When Load is due: each interval, and sooner where the number of connections has changed.
    pub(crate) fn load_due(&self) -> Time {
        if self.flows.has_news() {
            self.load_at.min(self.load_soonest)
        } else {
            self.load_at
        }
    }

    /// Sends the load of every service to every tracker that is not believed dead, when it is time. A host that is not
    /// ready says nothing: it must not be chosen.
    pub(crate) fn send_load(&mut self, now: Time) {
        if !self.is_ready() || now < self.load_due() {
            return;
        }
        self.load_at = now + self.timers.load_interval;
        self.load_soonest = now + self.timers.load_interval_min;
        self.flows.tell();
        let loads: Vec<ServiceLoad> = self.loads().collect();
        for tracker in self.statements.alive() {
            for services in loads.chunks(BATCH) {
                let load = Control::Load {
                    services: List::Values(services),
                };
                self.post.send_control(tracker, &load);
            }
        }
    }

    /// The state of every service. One that takes no new flows has no room for any.
    pub(crate) fn loads(&self) -> impl Iterator<Item = ServiceLoad> + '_ {
        let places = self.flows.room();
        self.services.numbers().filter_map(move |service| {
            let drains = self.draining.is_of(service);
            let room = if drains { 0 } else { places };
            let connections = self.flows.connections(service);
            self.services.load(service, connections, room)
        })
    }
}

#[cfg(test)]
mod tests;
