//! The services that have this host in their pool.

use crate::admission::{Admission, FULL, Policy, Signals};
use crate::config;
use alloc::vec::Vec;
use core::net::IpAddr;
use jlb_protocol::message::ServiceLoad;
use jlb_protocol::services::ServiceMap;
use jlb_protocol::{Protocol, ServiceNumber};

#[derive(Clone, Debug)]
struct Entry {
    number: ServiceNumber,
    policy: Policy,
    /// Whether its server answers the health check.
    healthy: bool,
}

/// The configured services: what their packets look like, and whether one more flow is taken.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    map: ServiceMap,
    /// Sorted by number.
    entries: Vec<Entry>,
}

impl Services {
    pub(crate) fn new(services: &[config::Service]) -> Self {
        let matches: Vec<_> = services.iter().map(|service| service.matching).collect();
        let mut entries: Vec<_> = services
            .iter()
            .map(|service| Entry {
                number: service.number,
                policy: Policy::new(service.admission),
                healthy: true,
            })
            .collect();
        entries.sort_by_key(|entry| entry.number);
        entries.dedup_by_key(|entry| entry.number);
        Self {
            map: ServiceMap::new(&matches),
            entries,
        }
    }

    /// Takes another configuration. What is known of the health of services that stay is kept.
    pub(crate) fn replace(&mut self, services: &[config::Service]) {
        let before = core::mem::replace(self, Self::new(services));
        for entry in &mut self.entries {
            let known = before.entry(entry.number);
            entry.healthy = known.is_none_or(|known| known.healthy);
        }
    }

    /// Notes whether the service's server answers its health check; false if that was known, or
    /// there is no such service.
    pub(crate) fn set_health(&mut self, service: ServiceNumber, healthy: bool) -> bool {
        let found = self
            .entries
            .binary_search_by_key(&service, |entry| entry.number);
        let Some(entry) = found.ok().and_then(|at| self.entries.get_mut(at)) else {
            return false;
        };
        core::mem::replace(&mut entry.healthy, healthy) != healthy
    }

    /// Whether the service is configured.
    pub(crate) fn has(&self, service: ServiceNumber) -> bool {
        self.entry(service).is_some()
    }

    /// The service that has this address, protocol and port.
    pub(crate) fn find(&self, vip: IpAddr, protocol: Protocol, port: u16) -> Option<ServiceNumber> {
        self.map.find(vip, protocol, port)
    }

    /// Whether the address is a VIP.
    pub(crate) fn is_vip(&self, address: IpAddr) -> bool {
        self.map.is_vip(address)
    }

    /// All of them, sorted.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = ServiceNumber> + '_ {
        self.entries.iter().map(|entry| entry.number)
    }

    /// The state of a service that has so many connections, where the flow table has room for
    /// `table_room` more flows.
    pub(crate) fn load(
        &self,
        service: ServiceNumber,
        connections: u32,
        table_room: u32,
    ) -> Option<ServiceLoad> {
        let &Entry {
            policy, healthy, ..
        } = self.entry(service)?;
        let signals = Signals { connections };
        let admitted = table_room > 0 && policy.admits(signals);
        let room = match policy.room(signals) {
            _ if !admitted => 0,
            u32::MAX => u32::MAX,
            room => room.min(table_room),
        };
        Some(ServiceLoad {
            service,
            connections,
            room,
            load: if admitted { policy.load(signals) } else { FULL },
            healthy,
        })
    }

    fn entry(&self, service: ServiceNumber) -> Option<&Entry> {
        let at = self
            .entries
            .binary_search_by_key(&service, |entry| entry.number)
            .ok()?;
        self.entries.get(at)
    }
}
