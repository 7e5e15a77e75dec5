//! The hosts of each service: what they reported, what was offered to them since, and the policy.

use crate::config::{PoolHost, Service};
use crate::nodes::Nodes;
use crate::policy::{Candidate, Chooser, Policy};
use alloc::vec::Vec;
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::message::{ServiceLoad, Tried};
use jlb_protocol::{NodeNumber, ServiceNumber};

/// What a tracker knows of one host of one service, for the metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostLoad {
    /// The service.
    pub service: ServiceNumber,
    /// The host.
    pub host: NodeNumber,
    /// Flows of the service that it reported last.
    pub connections: u32,
    /// Load that it reported last, 0 (idle) to 65,535 (full).
    pub load: u16,
    /// New flows that this tracker chose it for, ever.
    pub chosen: u64,
}

#[derive(Clone, Debug)]
struct Host {
    config: PoolHost,
    connections: u32,
    room: u32,
    load: u16,
    /// Flows offered since the last report.
    sent: u32,
    chosen: u64,
}

impl Host {
    const fn new(config: PoolHost) -> Self {
        Self {
            config,
            connections: 0,
            // Before its first report a host is asked, and answers for itself.
            room: u32::MAX,
            load: 0,
            sent: 0,
            chosen: 0,
        }
    }

    fn candidate(&self) -> Candidate {
        Candidate {
            host: self.config.node,
            weight: self.config.weight.max(1),
            connections: self.connections,
            sent: self.sent,
        }
    }

    /// Whether one more flow can be expected to be taken.
    fn has_room(&self) -> bool {
        let limit = self.config.max_connections.unwrap_or(u32::MAX);
        self.sent < self.room && self.candidate().assumed() < limit
    }
}

/// The hosts of one service.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) service: Service,
    hosts: Vec<Host>,
    chooser: Chooser,
    /// Kept between choices so that none allocates.
    candidates: Vec<Candidate>,
}

impl Pool {
    fn new(service: &Service, seed: u64) -> Self {
        Self {
            hosts: service.hosts.iter().copied().map(Host::new).collect(),
            chooser: Chooser::new(service.policy, seed),
            candidates: Vec::with_capacity(service.hosts.len()),
            service: service.clone(),
        }
    }

    /// The host to ask next: active, not tried (R6), and with room if any such host has.
    pub(crate) fn choose(
        &mut self,
        nodes: &Nodes,
        flow: FlowHash,
        tried: &Tried,
    ) -> Option<NodeNumber> {
        // R4: what is believed of a host's room is as old as its last report. A host believed full is
        // asked after all others, but it is asked: only its own word refuses a client (S3).
        for with_room in [true, false] {
            self.candidates.clear();
            for host in &self.hosts {
                let node = host.config.node;
                if host.has_room() == with_room
                    && nodes.is_active_host(node)
                    && !tried.contains(node)
                {
                    self.candidates.push(host.candidate());
                }
            }
            if !self.candidates.is_empty() {
                return self.chooser.choose(flow, &self.candidates);
            }
        }
        None
    }

    /// The host of the last [`Self::choose`] is offered the flow.
    pub(crate) fn assigned(&mut self, node: NodeNumber) {
        self.chooser.assigned(node, &self.candidates);
        if let Some(host) = self.hosts.iter_mut().find(|host| host.config.node == node) {
            host.sent = host.sent.saturating_add(1);
            host.chosen += 1;
        }
    }

    /// Whether the view has any host of the pool in service.
    pub(crate) fn has_active_host(&self, nodes: &Nodes) -> bool {
        self.hosts
            .iter()
            .any(|host| nodes.is_active_host(host.config.node))
    }

    /// The pool's hosts that are believed alive.
    pub(crate) fn live_hosts(&self, nodes: &Nodes) -> impl Iterator<Item = NodeNumber> {
        self.hosts
            .iter()
            .map(|host| host.config.node)
            .filter(|&node| nodes.is_live_host(node))
    }
}

/// The pools of all services, sorted by number.
#[derive(Clone, Debug)]
pub(crate) struct Pools {
    pools: Vec<Pool>,
    seed: u64,
}

impl Pools {
    pub(crate) fn new(services: &[Service], seed: u64) -> Self {
        let mut pools: Vec<_> = services
            .iter()
            .map(|service| Pool::new(service, seed ^ u64::from(service.number.get())))
            .collect();
        pools.sort_by_key(|pool| pool.service.number);
        pools.dedup_by_key(|pool| pool.service.number);
        Self { pools, seed }
    }

    /// Takes over new services; what is known of hosts that stay, stays, and a policy that is the
    /// same keeps its turns.
    pub(crate) fn reconfigure(&mut self, services: &[Service]) {
        let mut new = Self::new(services, self.seed);
        for pool in &mut new.pools {
            let Some(old) = self.get_mut(pool.service.number) else {
                continue;
            };
            for host in &mut pool.hosts {
                let known = |old: &&Host| old.config.node == host.config.node;
                if let Some(old) = old.hosts.iter().find(known) {
                    *host = Host {
                        config: host.config,
                        ..old.clone()
                    };
                }
            }
            if old.chooser.kind() == pool.chooser.kind() {
                pool.chooser = old.chooser.clone();
            }
        }
        *self = new;
    }

    pub(crate) fn get(&self, service: ServiceNumber) -> Option<&Pool> {
        let at = self.position(service)?;
        self.pools.get(at)
    }

    pub(crate) fn get_mut(&mut self, service: ServiceNumber) -> Option<&mut Pool> {
        let at = self.position(service)?;
        self.pools.get_mut(at)
    }

    fn position(&self, service: ServiceNumber) -> Option<usize> {
        self.pools
            .binary_search_by_key(&service, |pool| pool.service.number)
            .ok()
    }

    /// Takes a host's report; false if the host is not of that service's pool here.
    pub(crate) fn report(&mut self, node: NodeNumber, report: &ServiceLoad) -> bool {
        let Some(pool) = self.get_mut(report.service) else {
            return false;
        };
        let Some(host) = pool.hosts.iter_mut().find(|host| host.config.node == node) else {
            return false;
        };
        host.connections = report.connections;
        host.room = report.room;
        host.load = report.load;
        host.sent = 0;
        true
    }

    /// What is known of every host of every service, in order.
    pub(crate) fn loads(&self) -> impl Iterator<Item = HostLoad> {
        self.pools.iter().flat_map(|pool| {
            pool.hosts.iter().map(|host| HostLoad {
                service: pool.service.number,
                host: host.config.node,
                connections: host.connections,
                load: host.load,
                chosen: host.chosen,
            })
        })
    }
}

#[cfg(test)]
mod tests;
