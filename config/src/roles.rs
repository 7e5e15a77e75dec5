//! From the cluster to what one role's state machine is told.

use crate::cluster::{self, ClusterConfig, Node};
use crate::problem::{did_you_mean, quoted};
use jlb_flow_tracker::config::Overload;
use jlb_host_agent::config::Admission;
use jlb_protocol::{Role, ServiceNumber};
use std::collections::BTreeSet;
use std::fmt;

/// Why a node cannot be started under a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RoleError {
    /// The file has no node of that name.
    UnknownNode {
        /// The name asked for.
        name: String,
        /// Which name was probably meant, or which there are.
        help: String,
    },
    /// The node has another role.
    OtherRole {
        /// The node's name.
        name: String,
        /// Its role in the file.
        is: Role,
        /// The role asked for.
        wanted: Role,
    },
}

impl fmt::Display for RoleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownNode { name, help } => {
                write!(f, "the cluster file has no node {}; {help}", quoted(name))
            }
            Self::OtherRole { name, is, wanted } => write!(
                f,
                "node {} has the role {}, not {}; start it with `jlb {}`",
                quoted(name),
                is.as_str(),
                wanted.as_str(),
                is.as_str()
            ),
        }
    }
}

impl std::error::Error for RoleError {}

impl ClusterConfig {
    /// The node of this name, which must have this role.
    ///
    /// # Errors
    /// If there is no such node, or it has another role; the text says what would be right.
    pub fn node_as(&self, name: &str, role: Role) -> Result<&Node, RoleError> {
        let Some(node) = self.node(name) else {
            let known: Vec<&str> = self
                .nodes
                .iter()
                .filter(|node| node.role == role)
                .map(|node| node.name.as_str())
                .collect();
            let what = format!("nodes with the role {}", role.as_str());
            return Err(RoleError::UnknownNode {
                name: name.to_owned(),
                help: did_you_mean(name, &known, &what),
            });
        };
        if node.role != role {
            return Err(RoleError::OtherRole {
                name: name.to_owned(),
                is: node.role,
                wanted: role,
            });
        }
        Ok(node)
    }

    /// The configuration of the ingress of this name.
    ///
    /// # Errors
    /// If there is no such node, or it has another role.
    pub fn ingress(&self, name: &str) -> Result<jlb_ingress::Config, RoleError> {
        use jlb_ingress::config::{Config, Limits, PoolHost, Service, Timers};
        let node = self.node_as(name, Role::Ingress)?;
        let services = self.services.iter().map(|service| Service {
            number: service.number,
            matching: service.matching(),
            search_ttl: service.all_steps(),
            hosts: service
                .hosts
                .iter()
                .map(|host| PoolHost {
                    node: host.node,
                    weight: self.weight(host),
                    overflow: host.overflow,
                })
                .collect(),
            any_host: service.any_host,
        });
        let (limits, timers) = (&self.limits, &self.timers);
        Ok(Config {
            node: node.number,
            hash_key: self.keys.hash_key(),
            services: services.collect(),
            max_inner: self.max_inner(),
            limits: Limits {
                max_flows: limits.max_flows,
                max_pending: limits.max_pending,
                max_pending_packets_per_flow: u16::try_from(limits.max_pending_packets_per_flow)
                    .unwrap_or(u16::MAX),
                max_pending_bytes: limits.max_pending_bytes as usize,
                max_who_has: limits.max_who_has,
                max_outbox: limits.max_outbox as usize,
            },
            timers: Timers {
                open_retry: timers.open_retry,
                open_retry_max: timers.open_retry_max,
                open_timeout: timers.open_timeout,
                cache_idle: timers.cache_idle,
                who_has: timers.who_has,
            },
            dead_host: timers.dead_host_reset,
        })
    }

    /// The configuration of the flow tracker of this name.
    ///
    /// # Errors
    /// If there is no such node, or it has another role.
    pub fn flow_tracker(&self, name: &str) -> Result<jlb_flow_tracker::Config, RoleError> {
        use jlb_flow_tracker::config::{Config, Limits, PoolHost, Service, Timers};
        let node = self.node_as(name, Role::FlowTracker)?;
        let services = self.services.iter().map(|service| Service {
            number: service.number,
            protocol: service.protocol,
            hosts: service
                .hosts
                .iter()
                .map(|host| PoolHost {
                    node: host.node,
                    weight: self.weight(host),
                    max_connections: host.max_connections,
                    overflow: host.overflow,
                })
                .collect(),
            any_host: service.any_host,
            max_unhealthy_percent: service.max_unhealthy_percent,
            min_life_percent: service.min_life_percent,
            slow_start: service.slow_start,
            policy: service.policy,
            shadow: service.shadow_policy,
            search_ttl: service.all_steps(),
            overload: service.overload,
            overload_steps: service.overload_steps(),
            direct_hunt: service.direct_hunt,
        });
        let (limits, timers) = (&self.limits, &self.timers);
        Ok(Config {
            node: node.number,
            hash_key: self.keys.hash_key(),
            services: services.collect(),
            limits: Limits {
                max_flows: limits.max_flows,
                max_untrusted: limits.max_untrusted,
                max_searches: limits.max_searches,
                max_who_has: limits.max_who_has,
                max_queued: limits.max_queued,
                max_queued_bytes: limits.max_queued_bytes as usize,
                max_outbox: limits.max_outbox as usize,
            },
            timers: Timers {
                offered: timers.offered,
                lease: timers.lease,
                who_has: timers.who_has,
            },
            dead_host: timers.dead_host_reset,
        })
    }

    /// The configuration of the host agent of this name, in this start of it.
    ///
    /// # Errors
    /// If there is no such node, or it has another role.
    pub fn host_agent(
        &self,
        name: &str,
        incarnation: u32,
    ) -> Result<jlb_host_agent::Config, RoleError> {
        self.host_agent_after(name, incarnation, &BTreeSet::new())
    }

    /// The configuration of a host agent that has left these services since it started: it takes no
    /// new connections of them, and those that it has go on.
    ///
    /// # Errors
    /// If there is no such node, or it has another role.
    pub fn host_agent_after(
        &self,
        name: &str,
        incarnation: u32,
        left: &BTreeSet<ServiceNumber>,
    ) -> Result<jlb_host_agent::Config, RoleError> {
        use jlb_host_agent::config::{Config, Limits, Service, Timers};
        let node = self.node_as(name, Role::HostAgent)?;
        let services = self.services.iter().filter_map(|service| {
            let host = service.host(node.number);
            let admission = match host {
                Some(host) => admission(host.max_connections, &service.admission),
                None if left.contains(&service.number) => Admission::max_connections(0),
                None => return None,
            };
            Some(Service {
                number: service.number,
                matching: service.matching(),
                admission,
                must_accept: host.is_some() && service.overload == Overload::MustAccept,
            })
        });
        let (limits, timers) = (&self.limits, &self.timers);
        Ok(Config {
            node: node.number,
            incarnation,
            hash_key: self.keys.hash_key(),
            services: services.collect(),
            drain: self.drain(node, left),
            limits: Limits {
                max_flows: limits.max_flows,
                max_rejects: limits.max_rejects,
                max_statements: limits.max_statements,
                max_outbox: limits.max_outbox as usize,
            },
            timers: Timers {
                handshake: timers.handshake,
                linger: timers.linger,
                udp_idle: timers.udp_idle,
                refresh: timers.refresh,
                state_delay: timers.state_delay,
                state_retry: timers.state_retry,
                load_interval: timers.load_interval,
                load_interval_min: timers.load_interval_min,
                socketless: timers.socketless,
                reject_rotation: timers.reject_rotation,
            },
        })
    }
}

/// What a host with this limit looks at.
fn admission(max_connections: Option<u32>, of: &cluster::Admission) -> Admission {
    let share = |percent: u8| {
        let share = u32::from(u16::MAX) * u32::from(percent) / 100;
        u16::try_from(share).unwrap_or(u16::MAX)
    };
    Admission {
        max_connections,
        adaptive: of.adaptive,
        accept_queue: of.accept_queue,
        cpu: of.cpu_percent.map(share),
        memory: of.memory_percent.map(share),
        load: of.load_percent.map(share),
        latency: of.latency,
    }
}

#[cfg(test)]
mod tests;
