//! How many connections each service has, and whether the trackers know.

use super::Flows;
use jlb_protocol::ServiceNumber;

impl Flows {
    /// Accepted and established flows of a service.
    pub(crate) fn connections(&self, service: ServiceNumber) -> u32 {
        let at = self.open.binary_search_by_key(&service, |open| open.0);
        at.ok()
            .and_then(|at| self.open.get(at))
            .map_or(0, |open| open.1)
    }

    /// Whether any service has another number of connections than the trackers were told last.
    pub(crate) fn has_news(&self) -> bool {
        self.open != self.told
    }

    /// The trackers are told the numbers of connections.
    pub(crate) fn tell(&mut self) {
        self.told.clone_from(&self.open);
    }

    /// The numbers of connections that the trackers were told last.
    pub(crate) fn told(&self) -> &[(ServiceNumber, u32)] {
        &self.told
    }
}
