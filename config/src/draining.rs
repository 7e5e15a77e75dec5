//! What the file says of nodes and hosts that get nothing new.

use crate::cluster::{ClusterConfig, Node, ServiceHost};
use jlb_host_agent::config::Drain;
use jlb_protocol::ServiceNumber;
use std::collections::BTreeSet;

impl ClusterConfig {
    /// A host's share of new connections of a service: its weight, or 0 while its node drains. Other
    /// nodes go by this even where they do not hear the host say so itself.
    #[must_use]
    pub fn weight(&self, host: &ServiceHost) -> u16 {
        match self.node_numbered(host.node) {
            Some(node) if node.drain => 0,
            Some(_) | None => host.weight,
        }
    }

    /// What a host drains of, by the file: of all services, of those where its weight is 0, and of those
    /// that it has left since it started.
    pub(crate) fn drain(&self, node: &Node, left: &BTreeSet<ServiceNumber>) -> Drain {
        let services = self.services().iter().filter(|service| {
            let host = service.host(node.number);
            host.map_or(left.contains(&service.number), |host| host.weight == 0)
        });
        Drain {
            all: node.drain,
            services: services.map(|service| service.number).collect(),
            timeout: node.drain_timeout,
        }
    }
}

#[cfg(test)]
mod tests;
