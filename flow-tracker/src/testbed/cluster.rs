//! Who is in the cluster of these tests, and what its records and configurations look like.

use crate::config::{Config, Limits, Overload, PolicyKind, PoolHost, Service, Timers};
use crate::record::{Life, Offered, Owned, State, Waits};
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::keyed_hash::HashKey;
use jlb_protocol::view::Member;
use jlb_protocol::{Birth, MemberState, NodeNumber, Protocol, Role, ServiceNumber, View};

pub(crate) const HASH_KEY: HashKey = HashKey::new([7; 16]);
pub(crate) const TTL: u8 = 3;
pub(crate) const DEAD_HOST: Duration = Duration::from_secs(15);
pub(crate) fn node(number: u16) -> NodeNumber {
    NodeNumber::new(number).unwrap()
}

pub(crate) fn ingress() -> NodeNumber {
    node(1)
}

pub(crate) fn other_ingress() -> NodeNumber {
    node(2)
}

/// Trackers are 11, 12, 13.
pub(crate) fn tracker(number: u16) -> NodeNumber {
    node(10 + number)
}

/// Hosts are 101, 102, ...
pub(crate) fn host(number: u16) -> NodeNumber {
    node(100 + number)
}

pub(crate) fn web() -> ServiceNumber {
    ServiceNumber::new(1).unwrap()
}

pub(crate) fn dns() -> ServiceNumber {
    ServiceNumber::new(2).unwrap()
}

pub(crate) fn birth(counter: u32) -> Birth {
    Birth {
        incarnation: 1_000,
        counter,
    }
}

/// The state of a record whose host was asked.
pub(crate) fn offered(host: NodeNumber, step: u8) -> State {
    State::Offered(Offered {
        host,
        step,
        several: false,
        hint: false,
    })
}

/// The state of a record whose host has answered all that it was asked.
pub(crate) fn owned(life: Life, host: NodeNumber, birth: Birth, step: u8) -> State {
    State::Owned(Owned {
        life,
        host,
        birth,
        step,
        waits: Waits::Nothing,
        left: 0,
        hint: false,
    })
}

pub(crate) fn member(number: NodeNumber, role: Role) -> Member {
    Member {
        node: number,
        role,
        state: MemberState::Active,
        incarnation: u32::from(role == Role::HostAgent),
        domain: None,
    }
}

/// Two ingresses, `trackers` trackers and `hosts` hosts, all active.
pub(crate) fn view(trackers: u16, hosts: u16) -> View {
    let ingresses = [ingress(), other_ingress()].map(|number| member(number, Role::Ingress));
    let trackers = (1..=trackers).map(|number| member(tracker(number), Role::FlowTracker));
    let hosts = (1..=hosts).map(|number| member(host(number), Role::HostAgent));
    View::new(ingresses.into_iter().chain(trackers).chain(hosts).collect())
}

/// The view with one member in another state.
pub(crate) fn view_with(view: &View, number: NodeNumber, state: MemberState) -> View {
    let members = view.members().iter().map(|member| Member {
        state: if member.node == number {
            state
        } else {
            member.state
        },
        ..*member
    });
    View::new(members.collect())
}

pub(crate) fn config(me: NodeNumber, hosts: u16) -> Config {
    let hosts: Vec<_> = (1..=hosts)
        .map(|number| PoolHost {
            node: host(number),
            weight: 1,
            max_connections: None,
            overflow: false,
        })
        .collect();
    let service = |number, protocol| Service {
        number,
        protocol,
        hosts: hosts.clone(),
        any_host: false,
        max_unhealthy_percent: 50,
        min_life_percent: 15,
        slow_start: None,
        policy: PolicyKind::RoundRobin,
        shadow: None,
        search_ttl: TTL,
        overload: Overload::Refuse,
        overload_steps: 0,
        direct_hunt: false,
    };
    Config {
        node: me,
        hash_key: HASH_KEY,
        services: alloc::vec![service(web(), Protocol::Tcp), service(dns(), Protocol::Udp)],
        limits: Limits {
            max_flows: 1_000,
            max_untrusted: 100,
            max_searches: 100,
            max_who_has: 10,
            max_queued: 10,
            max_queued_bytes: 10_000,
            max_outbox: 1_000,
        },
        timers: Timers {
            offered: Duration::from_secs(5),
            lease: Duration::from_secs(60),
            who_has: Duration::from_millis(500),
        },
        dead_host: Some(DEAD_HOST),
    }
}
