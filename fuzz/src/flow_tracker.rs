//! The flow tracker, with messages behind a verified seal.

use super::ingress::matches;
use super::role::{Driven, NODES, node, play, view};
use jlb_flow_tracker::FlowTracker;
use jlb_flow_tracker::config::{Config, Limits, Overload, PolicyKind, PoolHost, Service, Timers};
use jlb_protocol::keyed_hash::HashKey;
use jlb_protocol::{Message, NodeNumber, PacketBuf, Role, Time, Transmit, View};
use std::time::Duration;

impl Driven for FlowTracker {
    fn message(&mut self, now: Time, from: NodeNumber, message: &Message<'_>) {
        self.handle_message(now, from, message);
    }

    fn local(&mut self, _: Time, _: &[u8]) {}

    fn view(&mut self, now: Time, view: View) {
        self.handle_view(now, view);
    }

    fn timeout(&mut self, now: Time) {
        self.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Time> {
        FlowTracker::poll_timeout(self)
    }

    fn transmit(&mut self) -> Option<Transmit> {
        self.poll_transmit()
    }

    fn recycle(&mut self, buf: PacketBuf) {
        FlowTracker::recycle(self, buf);
    }

    fn imbalance(&self) -> i128 {
        self.stats().ledger.imbalance()
    }
}

/// Plays a script with a small tracker, whose bounds are soon reached. The first byte says which
/// of the three trackers it is.
pub fn run(bytes: &[u8]) {
    let Some((&place, script)) = bytes.split_first() else {
        return;
    };
    let hosts = NODES.iter().filter(|(_, role)| *role == Role::HostAgent);
    let hosts: Vec<_> = hosts
        .map(|&(number, _)| PoolHost {
            node: node(number),
            weight: 1,
            max_connections: Some(3),
            overflow: number % 2 == 0,
        })
        .collect();
    let config = Config {
        node: node(11 + u16::from(place % 3)),
        hash_key: HashKey::new([3; 16]),
        services: [
            PolicyKind::TwoChoices,
            PolicyKind::LeastConnections,
            PolicyKind::ConsistentHash,
        ]
        .into_iter()
        .zip([
            Overload::Queue(Duration::from_millis(300)),
            Overload::Pool,
            Overload::MustAccept,
        ])
        .zip(matches())
        .map(|((policy, overload), matching)| Service {
            number: matching.service,
            protocol: matching.protocol,
            hosts: hosts.clone(),
            any_host: matching.service.get() == 1,
            max_unhealthy_percent: 50,
            min_life_percent: 15,
            slow_start: Some(Duration::from_secs(1)),
            policy,
            shadow: Some(PolicyKind::RoundRobin),
            search_ttl: 2,
            overload,
            overload_steps: 1,
            direct_hunt: true,
        })
        .collect(),
        limits: Limits {
            max_flows: 4,
            max_untrusted: 3,
            max_searches: 2,
            max_who_has: 2,
            max_queued: 2,
            max_queued_bytes: 200,
            max_outbox: 8,
        },
        timers: Timers {
            offered: Duration::from_secs(10),
            lease: Duration::from_secs(30),
            who_has: Duration::from_millis(200),
        },
        dead_host: Some(Duration::from_secs(5)),
    };
    play(
        &mut FlowTracker::new(config, view(0), 1, Time::from_millis(1)),
        script,
    );
}
