//! The fingerprint of the cluster-wide settings, for nodes and operators to compare.

use crate::cluster::{
    Admission, ClusterConfig, DEFAULT_MIN_LIFE_PERCENT, Membership, Node, Service, ServiceHost,
};
use crate::health::{HealthCheck, HealthKind};
use jlb_flow_tracker::config::Overload;
use jlb_protocol::services::Ports;
use siphasher::sip::SipHasher24;
use std::hash::Hasher;
use std::net::IpAddr;
use std::time::Duration;

impl ClusterConfig {
    /// A hash of the cluster-wide settings: SipHash-2-4 under the cluster's hash secret, so it also
    /// differs where that secret does.
    ///
    /// It does not depend on comments or the order of tables, nor on what concerns one node alone
    /// (its admin address, device, log level and how long its connections may go on when it drains) or
    /// on where the key file lies. Where membership is
    /// dynamic it does not depend on the nodes either, but on those that services list.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Canonical(SipHasher24::new_with_key(self.keys.hash_bytes()));
        hash.text("jlb cluster 1");
        hash.text(&self.name);
        hash.number(u64::from(self.underlay_mtu));
        hash.number(u64::from(self.port));
        for (name, limit) in self.limits.entries() {
            hash.text(name);
            hash.number(u64::from(limit));
        }
        for (name, span) in self.timers.entries() {
            hash.text(name);
            let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
            // No span is 0.
            hash.number(span.map_or(0, nanos));
        }
        hash.text(self.membership.as_str());
        // Who joins or leaves does not change what the others run.
        let nodes: &[Node] = match self.membership {
            Membership::Static => &self.nodes,
            Membership::Dynamic => &[],
        };
        hash.number(nodes.len() as u64);
        for node in nodes {
            hash.number(u64::from(node.number.get()));
            hash.text(&node.name);
            hash.text(node.role.as_str());
            hash.number(node.underlay.addresses().count() as u64);
            for address in node.underlay.addresses() {
                hash.address(address);
            }
            // A file without it has the fingerprint that it had before there was such a setting.
            if node.drain {
                hash.text("drain");
            }
        }
        // All must agree on who holds a flow. A file without it has the fingerprint that it had before.
        for node in &self.nodes {
            if let Some(label) = &node.failure_domain {
                hash.text("failure domain");
                hash.number(u64::from(node.number.get()));
                hash.text(label);
            }
        }
        hash.number(self.services.len() as u64);
        for service in &self.services {
            hash.service(service, |host| self.weight(host));
        }
        hash.0.finish()
    }
}

/// Every field with its length or in a fixed width, so that no two settings give the same bytes.
struct Canonical(SipHasher24);

impl Canonical {
    fn number(&mut self, number: u64) {
        self.0.write(&number.to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.write(text.as_bytes());
    }

    fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => {
                self.number(4);
                self.0.write(&v4.octets());
            }
            IpAddr::V6(v6) => {
                self.number(6);
                self.0.write(&v6.octets());
            }
        }
    }

    fn service(&mut self, service: &Service, weight: impl Fn(&ServiceHost) -> u16) {
        self.number(u64::from(service.number.get()));
        self.text(&service.name);
        self.address(service.vip);
        self.number(u64::from(service.protocol.ip_number()));
        let (first, last) = match service.ports {
            // Port 0 is in no range.
            Ports::Any => (0, 0),
            Ports::Range(first, last) => (first, last),
        };
        self.number(u64::from(first));
        self.number(u64::from(last));
        self.text(service.policy.name());
        if let Some(shadow) = service.shadow_policy {
            self.text("shadow");
            self.text(shadow.name());
        }
        self.number(u64::from(service.search_ttl));
        self.text(overload_name(service.overload));
        if let Overload::Queue(longest) = service.overload {
            self.number(u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX));
        }
        self.number(u64::from(service.max_unhealthy_percent));
        // A file without one of these has the fingerprint that it had before there was such a setting.
        if service.min_life_percent != DEFAULT_MIN_LIFE_PERCENT {
            self.text("life");
            self.number(u64::from(service.min_life_percent));
        }
        if let Some(span) = service.slow_start {
            self.text("slow start");
            self.number(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
        }
        if service.direct_hunt {
            self.text("direct hunt");
        }
        if service.admission != Admission::default() {
            self.text("admission");
            self.admission(&service.admission);
        }
        match &service.health {
            None => self.text(""),
            Some(check) => self.health(check),
        }
        if service.any_host {
            // Which hosts those are is no setting; their limit is, and it is alike.
            self.number(u64::MAX);
            let limit = service.max_connections;
            self.number(u64::from(limit.unwrap_or(0)));
            return;
        }
        let mut hosts = service.hosts.clone();
        hosts.sort_by_key(|host| host.node);
        self.number(hosts.len() as u64);
        for host in hosts {
            self.number(u64::from(host.node.get()));
            self.number(u64::from(weight(&host)));
            // A limit is at least 1.
            self.number(u64::from(host.max_connections.unwrap_or(0)));
            if service.overload == Overload::Pool {
                self.number(u64::from(host.overflow));
            }
        }
    }
}

impl Canonical {
    fn admission(&mut self, admission: &Admission) {
        let Admission {
            accept_queue,
            load_percent,
            cpu_percent,
            memory_percent,
            latency,
            adaptive,
        } = *admission;
        // No limit is 0.
        self.number(u64::from(accept_queue.unwrap_or(0)));
        for percent in [load_percent, cpu_percent, memory_percent] {
            self.number(u64::from(percent.unwrap_or(0)));
        }
        let nanos = latency.map_or(0, |span| span.as_nanos());
        self.number(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.number(u64::from(adaptive));
    }

    fn health(&mut self, check: &HealthCheck) {
        self.text(check.kind.as_str());
        match &check.kind {
            HealthKind::Tcp => {}
            HealthKind::Http { path } => self.text(path),
        }
        self.address(check.address.ip());
        self.number(u64::from(check.address.port()));
        for span in [check.interval, check.timeout] {
            self.number(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
        }
        self.number(u64::from(check.rise));
        self.number(u64::from(check.fall));
    }
}

/// The overload policy's name in the file.
pub(crate) const fn overload_name(overload: Overload) -> &'static str {
    match overload {
        Overload::Refuse => "refuse",
        Overload::MustAccept => "must-accept",
        Overload::Pool => "pool",
        Overload::Queue(_) => "queue",
    }
}

#[cfg(test)]
mod tests;
