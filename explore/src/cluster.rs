//! The one cluster that is explored: two ingress nodes, three trackers, two hosts.
//!
//! All short time spans are multiples of [`UNIT`], which the grains of all tables with short deadlines
//! divide, and clocks only show multiples of it. So no short deadline is ever rounded, and two states
//! whose distances in time are equal have the same future, whatever their clocks show.

use crate::case::Case;
use crate::packet::{CLIENT, VIP, VIP_PORT};
use core::net::IpAddr;
use core::time::Duration;
use jlb_flow_tracker::config as tracker;
use jlb_host_agent::config as host;
use jlb_ingress::config as ingress;
use jlb_protocol::digest::Horizon;
use jlb_protocol::keyed_hash::HashKey;
use jlb_protocol::rank::Ranking;
use jlb_protocol::services::{Ports, ServiceMatch};
use jlb_protocol::view::Member;
use jlb_protocol::{FlowKey, MemberState, NodeNumber, Protocol, Role, ServiceNumber, Time, View};

/// The grain of everything.
pub(crate) const UNIT: Duration = Duration::from_millis(10);

/// A deadline that is further ahead than this is a long one: the configuration promises that it
/// outlives what is under way, and it does not pass.
pub(crate) const LONG: Duration = Duration::from_secs(1);

/// Moments alike. What lies further back than `past` has outlasted every short time span. What lies
/// further ahead than `future` is a long deadline, at least four seconds at first; no case's short
/// deadlines take a clock so far that one comes near.
pub(crate) const HORIZON: Horizon = Horizon {
    past: Duration::from_millis(50),
    future: Duration::from_secs(2),
};

const fn units(count: u32) -> Duration {
    match UNIT.checked_mul(count) {
        Some(span) => span,
        None => Duration::MAX,
    }
}

/// A node's place in the cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Place(pub(crate) u8);

pub(crate) const NODES: usize = 7;
pub(crate) const INGRESSES: [Place; 2] = [Place(0), Place(1)];
/// In the order of their ranks for the flow.
pub(crate) const TRACKERS: [Place; 3] = [Place(2), Place(3), Place(4)];
pub(crate) const HOSTS: [Place; 2] = [Place(5), Place(6)];

impl Place {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..7).map(Self)
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    pub(crate) const fn role(self) -> Role {
        match self.0 {
            0 | 1 => Role::Ingress,
            2..=4 => Role::FlowTracker,
            _ => Role::HostAgent,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self.0 {
            0 => "ingress 1",
            1 => "ingress 2",
            2 => "tracker 11 (rank 0)",
            3 => "tracker 12 (rank 1)",
            4 => "tracker 13 (rank 2)",
            5 => "host 21",
            _ => "host 22",
        }
    }

    const fn number(self) -> u16 {
        match self.0 {
            0 | 1 => 1 + self.0 as u16,
            2..=4 => 9 + self.0 as u16,
            _ => 16 + self.0 as u16,
        }
    }

    /// Which host it is.
    pub(crate) const fn host_index(self) -> usize {
        self.index().saturating_sub(HOSTS[0].index())
    }
}

/// What a node believes of the case's subject; the subject itself, what it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Belief {
    pub(crate) state: MemberState,
    /// Which life of it, from 1.
    pub(crate) life: u8,
}

impl Belief {
    /// What is so in the beginning.
    pub(crate) const FIRST: Self = Self {
        state: MemberState::Active,
        life: 1,
    };

    /// What is believed of a node that is heard of in a new life.
    pub(crate) const fn of_new_life(place: Place, life: u8) -> Self {
        // R10: a tracker that starts has to be filled before it is ranked.
        let state = match place.role() {
            Role::FlowTracker => MemberState::Joining,
            Role::Ingress | Role::HostAgent => MemberState::Active,
        };
        Self { state, life }
    }
}

/// The cluster of a case.
pub(crate) struct Cluster {
    pub(crate) case: Case,
    hash_key: HashKey,
    service: ServiceNumber,
    pub(crate) client_port: u16,
    pub(crate) key: FlowKey,
    numbers: [NodeNumber; NODES],
}

impl Cluster {
    /// `None` only if a constant above is not a number of a node or service.
    pub(crate) fn new(case: Case) -> Option<Self> {
        let service = ServiceNumber::new(1)?;
        let mut numbers = [NodeNumber::new(1)?; NODES];
        for place in Place::all() {
            numbers[place.index()] = NodeNumber::new(place.number())?;
        }
        let mut cluster = Self {
            case,
            hash_key: HashKey::new([7; 16]),
            service,
            client_port: 0,
            key: FlowKey::new(IpAddr::V4(CLIENT), 0, service, VIP_PORT),
            numbers,
        };
        let ranking = Ranking::new(cluster.hash_key, &cluster.view(Belief::FIRST));
        cluster.client_port = (1024..u16::MAX).find(|&port| {
            let key = FlowKey::new(IpAddr::V4(CLIENT), port, service, VIP_PORT);
            let flow = cluster.hash_key.flow_hash(&key);
            let ranked = |(rank, place): (usize, Place)| {
                ranking.at_rank(flow, rank) == Some(cluster.number(place))
            };
            TRACKERS.into_iter().enumerate().all(ranked)
        })?;
        cluster.key = FlowKey::new(IpAddr::V4(CLIENT), cluster.client_port, service, VIP_PORT);
        Some(cluster)
    }

    pub(crate) fn number(&self, place: Place) -> NodeNumber {
        self.numbers[place.index()]
    }

    pub(crate) fn place(&self, number: NodeNumber) -> Option<Place> {
        Place::all().find(|&place| self.number(place) == number)
    }

    /// The moment at which every clock begins.
    pub(crate) fn start() -> Time {
        Time::ZERO + UNIT * 10
    }

    pub(crate) fn view(&self, belief: Belief) -> View {
        let member = |place: Place| {
            let Belief { state, life } = if self.case.subjects.contains(&place) {
                belief
            } else {
                Belief::FIRST
            };
            Member {
                node: self.number(place),
                role: place.role(),
                state,
                incarnation: life.into(),
                domain: None,
            }
        };
        View::new(Place::all().map(member).collect())
    }

    fn matching(&self) -> ServiceMatch {
        ServiceMatch {
            service: self.service,
            vip: IpAddr::V4(VIP),
            protocol: Protocol::Tcp,
            ports: Ports::Range(VIP_PORT, VIP_PORT),
        }
    }

    pub(crate) fn service(&self) -> ServiceNumber {
        self.service
    }

    pub(crate) fn ingress_config(&self, place: Place) -> ingress::Config {
        let pool_host = |&host: &Place| ingress::PoolHost {
            node: self.number(host),
            weight: 1,
            overflow: false,
        };
        ingress::Config {
            node: self.number(place),
            hash_key: self.hash_key,
            services: vec![ingress::Service {
                number: self.service,
                matching: self.matching(),
                search_ttl: self.case.search_ttl,
                hosts: HOSTS.iter().map(pool_host).collect(),
                any_host: false,
            }],
            max_inner: 1388,
            limits: ingress::Limits {
                max_flows: 4,
                max_pending: 4,
                max_pending_packets_per_flow: 4,
                max_pending_bytes: 1024,
                max_who_has: 4,
                max_outbox: 64,
            },
            timers: ingress::Timers {
                open_retry: units(2),
                open_retry_max: units(4),
                open_timeout: units(8),
                cache_idle: Duration::from_secs(60),
                who_has: units(6),
            },
            dead_host: None,
        }
    }

    pub(crate) fn tracker_config(&self, place: Place) -> tracker::Config {
        let pool_host = |&host: &Place| tracker::PoolHost {
            node: self.number(host),
            weight: 1,
            max_connections: None,
            overflow: false,
        };
        tracker::Config {
            node: self.number(place),
            hash_key: self.hash_key,
            services: vec![tracker::Service {
                number: self.service,
                protocol: Protocol::Tcp,
                hosts: HOSTS.iter().map(pool_host).collect(),
                any_host: false,
                max_unhealthy_percent: 50,
                min_life_percent: 15,
                slow_start: None,
                policy: tracker::PolicyKind::RoundRobin,
                shadow: None,
                search_ttl: self.case.search_ttl,
                overload: if self.case.queue > 0 {
                    tracker::Overload::Queue(units(self.case.queue))
                } else {
                    tracker::Overload::Refuse
                },
                overload_steps: if self.case.queue > 0 { 2 } else { 0 },
                direct_hunt: self.case.hunts,
            }],
            limits: tracker::Limits {
                max_flows: 4,
                max_untrusted: 4,
                max_searches: 4,
                max_who_has: 4,
                max_queued: 4,
                max_queued_bytes: 1024,
                max_outbox: 64,
            },
            timers: tracker::Timers {
                offered: Duration::from_secs(10),
                lease: Duration::from_secs(90),
                who_has: units(6),
            },
            dead_host: None,
        }
    }

    pub(crate) fn host_config(
        &self,
        place: Place,
        incarnation: u32,
        is_freed: bool,
    ) -> host::Config {
        let is_listed = self.case.full_hosts.contains(&place);
        let is_full = is_listed && !is_freed && !(self.case.hunts && incarnation > 1);
        host::Config {
            node: self.number(place),
            incarnation,
            hash_key: self.hash_key,
            services: vec![host::Service {
                number: self.service,
                matching: self.matching(),
                admission: if is_full {
                    host::Admission::max_connections(0)
                } else {
                    host::Admission::default()
                },
                must_accept: false,
            }],
            drain: host::Drain::default(),
            limits: host::Limits {
                max_flows: 4,
                max_rejects: 8,
                max_statements: 8,
                max_outbox: 64,
            },
            timers: host::Timers {
                handshake: Duration::from_secs(20),
                linger: Duration::from_secs(10),
                udp_idle: Duration::from_secs(10),
                refresh: Duration::from_secs(30),
                state_delay: UNIT,
                state_retry: units(4),
                load_interval: Duration::from_secs(40),
                load_interval_min: if self.case.queue > 0 {
                    UNIT
                } else {
                    Duration::from_secs(40)
                },
                socketless: UNIT,
                reject_rotation: Duration::from_secs(100),
            },
        }
    }
}
