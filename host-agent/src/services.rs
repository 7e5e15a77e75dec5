//! The services that have this host in their pool.

use crate::admission::{Cause, FULL, Gate};
use crate::config;
use crate::signals::{AcceptQueue, Machine, Readings, Server, Signals};
use alloc::vec::Vec;
use core::net::IpAddr;
use jlb_protocol::digest::{Digest, Digester};
use jlb_protocol::message::ServiceLoad;
use jlb_protocol::packet::Plain;
use jlb_protocol::services::ServiceMap;
use jlb_protocol::{Protocol, ServiceNumber};

#[derive(Clone, Debug)]
struct Entry {
    number: ServiceNumber,
    vip: IpAddr,
    gate: Gate,
    must_accept: bool,
    readings: Readings,
    /// Whether its server answers the health check.
    healthy: bool,
}

/// The configured services: what their packets look like, and whether one more flow is taken.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    map: ServiceMap,
    /// Sorted by number.
    entries: Vec<Entry>,
    machine: Machine,
}

impl Services {
    pub(crate) fn new(services: &[config::Service]) -> Self {
        let matches: Vec<_> = services.iter().map(|service| service.matching).collect();
        let mut entries: Vec<_> = services
            .iter()
            .map(|service| Entry {
                number: service.number,
                vip: service.matching.vip,
                gate: Gate::new(&service.admission),
                must_accept: service.must_accept,
                readings: Readings::default(),
                healthy: true,
            })
            .collect();
        entries.sort_by_key(|entry| entry.number);
        entries.dedup_by_key(|entry| entry.number);
        Self {
            map: ServiceMap::new(&matches),
            entries,
            machine: Machine::default(),
        }
    }

    /// Takes another configuration. What is known of services that stay is kept.
    pub(crate) fn replace(&mut self, services: &[config::Service]) {
        let before = core::mem::replace(self, Self::new(services));
        self.machine = before.machine;
        for entry in &mut self.entries {
            let Some(known) = before.entry(entry.number) else {
                continue;
            };
            entry.gate.learn(&known.gate);
            entry.readings = known.readings;
            entry.healthy = known.healthy;
        }
    }

    /// Notes whether the service's server answers its health check; false if that was known, or
    /// there is no such service.
    pub(crate) fn set_health(&mut self, service: ServiceNumber, healthy: bool) -> bool {
        let Some(entry) = self.entry_mut(service) else {
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

    /// The same, of a plain packet.
    #[inline]
    pub(crate) fn find_plain(&self, packet: &Plain) -> Option<ServiceNumber> {
        self.map
            .find_mapped(packet.vip, packet.protocol, packet.vip_port)
    }

    /// The address of a service.
    pub(crate) fn vip(&self, service: ServiceNumber) -> Option<IpAddr> {
        self.entry(service).map(|entry| entry.vip)
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
        let entry = self.entry(service)?;
        let signals = self.signals(entry, connections);
        let room = entry.gate.room(&signals);
        let admitted = table_room > 0 && room > 0;
        Some(ServiceLoad {
            service,
            connections,
            room: match room {
                _ if !admitted => 0,
                u32::MAX => u32::MAX,
                room => room.min(table_room),
            },
            load: if admitted {
                entry.gate.load(&signals)
            } else {
                FULL
            },
            healthy: entry.healthy,
        })
    }

    /// Why a service that has so many connections takes no more; `None` if it does, or is unknown.
    pub(crate) fn refusal(&self, service: ServiceNumber, connections: u32) -> Option<Cause> {
        let entry = self.entry(service)?;
        entry.gate.refusal(&self.signals(entry, connections))
    }

    /// Whether a search that ends here, at this step, finds room here whatever the admission says.
    pub(crate) fn must_accept(&self, service: ServiceNumber, step: u8) -> bool {
        step == 0 && self.entry(service).is_some_and(|entry| entry.must_accept)
    }

    /// The admission was asked for a new flow of the service, and would take it or not; whether it
    /// `was_taken` is another thing where it must be.
    pub(crate) fn decided(&mut self, service: ServiceNumber, would_take: bool, was_taken: bool) {
        if let Some(entry) = self.entry_mut(service) {
            entry.gate.decided(would_take);
            let accepted = &mut entry.readings.accepted;
            *accepted = accepted.saturating_add(u32::from(was_taken));
        }
    }

    pub(crate) const fn machine_read(&mut self, machine: Machine) {
        self.machine = machine;
    }

    pub(crate) fn queue_read(&mut self, service: ServiceNumber, queue: Option<AcceptQueue>) {
        if let Some(entry) = self.entry_mut(service) {
            entry.readings.queue = queue;
            entry.readings.accepted = 0;
        }
    }

    /// The server of a service that has so many connections was asked.
    pub(crate) fn server_read(&mut self, service: ServiceNumber, server: Server, connections: u32) {
        let machine = self.machine;
        if let Some(entry) = self.entry_mut(service) {
            entry.readings.server = server;
            let signals = Signals {
                connections,
                machine,
                readings: entry.readings,
            };
            entry.gate.server_read(&signals);
        }
    }

    /// What was read last of the machine.
    pub(crate) const fn machine(&self) -> Machine {
        self.machine
    }

    /// What was read last of a service.
    pub(crate) fn readings(&self, service: ServiceNumber) -> Readings {
        let entry = self.entry(service);
        entry.map_or_else(Readings::default, |entry| entry.readings)
    }

    const fn signals(&self, entry: &Entry, connections: u32) -> Signals {
        Signals {
            connections,
            machine: self.machine,
            readings: entry.readings,
        }
    }

    fn entry_mut(&mut self, service: ServiceNumber) -> Option<&mut Entry> {
        let found = self
            .entries
            .binary_search_by_key(&service, |entry| entry.number);
        self.entries.get_mut(found.ok()?)
    }

    fn entry(&self, service: ServiceNumber) -> Option<&Entry> {
        let at = self
            .entries
            .binary_search_by_key(&service, |entry| entry.number)
            .ok()?;
        self.entries.get(at)
    }
}

impl Digest for Services {
    fn digest(&self, into: &mut Digester<'_>) {
        let Self {
            map: _,
            entries,
            machine,
        } = self;
        into.value(machine);
        for entry in entries {
            let Entry {
                number,
                vip: _,
                gate,
                must_accept: _,
                readings,
                healthy,
            } = entry;
            into.value(&(number, readings, healthy));
            gate.digest(into);
        }
    }
}
