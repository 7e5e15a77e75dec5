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
            })
            .collect();
        entries.sort_by_key(|entry| entry.number);
        entries.dedup_by_key(|entry| entry.number);
        Self {
            map: ServiceMap::new(&matches),
            entries,
        }
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
        let policy = self.entry(service)?.policy;
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
            healthy: true,
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
