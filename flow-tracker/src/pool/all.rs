//! The pools of all services.

use super::{Beside, Host, HostLoad, Pool, Shadow, Warmth};
use crate::config::Service;
use crate::nodes::Nodes;
use alloc::vec::Vec;
use jlb_protocol::message::ServiceLoad;
use jlb_protocol::{NodeNumber, ServiceNumber, Time};

/// The pools of all services, sorted by number.
#[derive(Clone, Debug)]
pub(crate) struct Pools {
    pub(super) pools: Vec<Pool>,
    pub(super) seed: u64,
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
    /// same keeps its turns. A host that is new in a pool is asked after all others until its first
    /// report: it may not have heard yet that it has the service, and would not answer.
    pub(crate) fn reconfigure(&mut self, services: &[Service]) {
        let mut new = Self::new(services, self.seed);
        for pool in &mut new.pools {
            let Some(old) = self.get_mut(pool.service.number) else {
                continue;
            };
            for host in &mut pool.hosts {
                let known = |old: &&Host| old.config.node == host.config.node;
                if let Some(old) = old.hosts.iter().find(known) {
                    // One that was drained comes into service again.
                    let is_back = old.config.weight == 0 && host.config.weight > 0;
                    *host = Host {
                        config: host.config,
                        warmth: if is_back { Warmth::Unheard } else { old.warmth },
                        ..old.clone()
                    };
                } else {
                    host.room = 0;
                    host.warmth = Warmth::Unheard;
                }
            }
            if pool.service.any_host {
                for host in &old.hosts {
                    if !pool.has(host.config.node) {
                        let config = super::joined(host.config.node);
                        pool.hosts.push(Host {
                            config,
                            ..host.clone()
                        });
                    }
                }
            }
            if old.chooser.kind() == pool.chooser.kind() {
                pool.chooser = old.chooser.clone();
            }
            let kind = |shadow: &Beside| shadow.chooser.kind();
            if old.shadow.as_ref().map(kind) == pool.shadow.as_ref().map(kind) {
                pool.shadow = old.shadow.clone();
            } else {
                // What another shadow would have done is not told of this one.
                pool.hosts
                    .iter_mut()
                    .for_each(|host| host.shadow_chosen = 0);
            }
            pool.tell_policy();
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
    pub(crate) fn report(&mut self, now: Time, node: NodeNumber, report: &ServiceLoad) -> bool {
        self.get_mut(report.service)
            .is_some_and(|pool| pool.report(now, node, report))
    }

    /// These hosts are in service now, and were not before.
    pub(crate) fn returned(&mut self, now: Time, hosts: &[NodeNumber]) {
        for pool in &mut self.pools {
            for &host in hosts {
                pool.returned(now, host);
            }
        }
    }

    /// Forgets hosts that are no members of the view any more.
    pub(crate) fn retain(&mut self, nodes: &Nodes) {
        for pool in &mut self.pools {
            pool.retain(nodes);
        }
    }

    /// What the shadow policies would have done, in order of services.
    pub(crate) fn shadows(&self) -> impl Iterator<Item = Shadow> {
        self.pools.iter().filter_map(|pool| {
            let shadow = pool.shadow.as_ref()?;
            Some(Shadow {
                service: pool.service.number,
                policy: shadow.chooser.kind(),
                choices: shadow.choices,
                same: shadow.same,
            })
        })
    }

    /// What is known of every host of every service, in order.
    pub(crate) fn loads(&self, now: Time) -> impl Iterator<Item = HostLoad> {
        self.pools.iter().flat_map(move |pool| pool.loads(now))
    }
}
