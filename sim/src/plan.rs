//! What a run may contain: bounds that the seed draws from.

use crate::planted::Planted;
use core::fmt;
use serde::Deserialize;

mod span;

pub use span::Span;

/// What a run may contain. Chances are in thousandths; where a span of chances is given, a run
/// draws one and keeps to it, so that calm and rough runs both occur. Times are in milliseconds.
/// A plan file is TOML with these names as keys; what it leaves out is as in the default plan.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// Ingress nodes, 1 to 100.
    pub ingresses: Span,
    /// Flow trackers, 1 to 100.
    pub trackers: Span,
    /// Chance that the trackers of a run stand in two or three racks, which are their failure domains.
    pub racks: u64,
    /// Hosts, 1 to 2,000.
    pub hosts: Span,
    /// Clients with a TCP flow, of one or more lives.
    pub tcp_clients: Span,
    /// Lives of each of them.
    pub lives: Span,
    /// Chance that the initial sequence number of a client's next life does not lie ahead of the last
    /// one's, against RFC 6528: then no tracker can tell which life came later, and S1 and S4 are not
    /// expected of it.
    pub random_isns: u64,
    /// A measure of how long a client does nothing between two things that it does: mostly a sixth
    /// of it, often five times, now and then thirty times, at most.
    pub think_ms: u64,
    /// Clients hold their connections for this long, and send something each time after half of
    /// `think_ms` to all of it; 0 for connections as they come.
    pub hold_ms: u64,
    /// How long hosts keep a closed flow; a kernel's TIME_WAIT lasts 2,000.
    pub linger_ms: Span,
    /// Clients with a UDP flow.
    pub udp_clients: Span,
    /// Clients begin within this time.
    pub begin_within_ms: u64,
    /// Chance that a packet or message is lost.
    pub loss: Span,
    /// Chance that one arrives twice.
    pub duplication: Span,
    /// Chance that one takes much longer than the others, and is overtaken.
    pub straggling: Span,
    /// The longest that a straggler takes.
    pub straggle_ms: u64,
    /// Heartbeats between ingress nodes and trackers; a peer is down after four without a word.
    pub heartbeat_ms: Span,
    /// Heartbeats of hosts.
    pub host_heartbeat_ms: Span,
    /// Chance that the views are fixed: no membership.
    pub fixed_views: u64,
    /// How often flows are spread over the ingress nodes anew.
    pub reshuffles: Span,
    /// How often a host agent is killed and started again.
    pub agent_restarts: Span,
    /// How often an ingress is killed and started again.
    pub ingress_restarts: Span,
    /// How often a tracker is killed and started again, without its state.
    pub tracker_restarts: Span,
    /// How often an ingress and a tracker, or two nodes of any roles, are killed in one instant.
    pub double_restarts: Span,
    /// How often the trackers of a rack are killed in one instant.
    pub rack_restarts: Span,
    /// Chance that all trackers are killed in one instant, once.
    pub all_trackers: u64,
    /// How long a killed node is down.
    pub down_ms: Span,
    /// How often a node is cut off from another one or from several, both ways or one way.
    pub cuts: Span,
    /// How long a cut lasts.
    pub cut_ms: Span,
    /// How often a node is paused: its messages wait, as far as they have room.
    pub pauses: Span,
    /// How long a pause lasts.
    pub pause_ms: Span,
    /// How often one node is told for a while that another one, which is up, is down.
    pub lies: Span,
    /// How long a lie is kept up.
    pub lie_ms: Span,
    /// Chance that clocks run at rates of their own.
    pub clock_rates: u64,
    /// Rates of clocks, in thousandths of the world's.
    pub clock_rate: Span,
    /// Trackers that are started while the clients are at work.
    pub tracker_joins: Span,
    /// Trackers that are drained and stopped for ever.
    pub tracker_leaves: Span,
    /// Hosts that are started while the clients are at work.
    pub host_joins: Span,
    /// Hosts that are drained and stopped for ever.
    pub host_leaves: Span,
    /// Hosts that die for ever with all their connections.
    pub host_deaths: Span,
    /// Ingress nodes that are drained and stopped for ever.
    pub ingress_leaves: Span,
    /// Share of each tier that is lost in one instant, in thousandths; of the hosts, agents alone.
    pub tier_loss: u64,
    /// How often the configuration of all nodes changes.
    pub config_changes: Span,
    /// How often packets with made-up senders come in masses.
    pub floods: Span,
    /// How many come at a time.
    pub flood_packets: Span,
    /// ICMP errors about clients' flows.
    pub icmp_errors: Span,
    /// Chance that a packet of a client goes to any ingress, not to its flow's.
    pub scatter: u64,
    /// Until the router stops sending to an ingress that is down.
    pub router_ms: Span,
    /// Chance that a run's hosts have an admission limit.
    pub limited: u64,
    /// Chance that a limited service's hosts go by what is measured, not by a number of connections.
    pub measured: u64,
    /// The least time between a host's report of its load and the next, 1,000 ms at most.
    pub load_min_ms: Span,
    /// Chance that a TCP service's searches are direct hunts.
    pub hunts: u64,
    /// Chance that a destroy event is lost.
    pub lost_events: Span,
    /// Chance that a dump misses a live socket; none is missed twice in a row.
    pub missed_sockets: Span,
    /// Chance that a run's trackers have little room.
    pub narrow: u64,
    /// Flows that every node has room for, the clients' own not counted.
    pub spare_flows: u64,
    /// Bytes of packets that may wait at an ingress for its trackers' answers.
    pub pending_bytes: u64,
    /// Faults happen within this time from the start, and last no longer than half of it after.
    pub faults_within_ms: u64,
    /// After all faults have healed the cluster is quiet and consistent within this time (S7).
    pub quiet_within_ms: u64,
    /// Whether a run goes on until every table is empty (S5).
    pub drain: bool,
    /// A fault put in on purpose, that a checker has to find.
    #[serde(skip)]
    pub planted: Option<Planted>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            ingresses: Span::new(1, 3),
            trackers: Span::new(1, 4),
            racks: 0,
            hosts: Span::new(1, 6),
            tcp_clients: Span::new(4, 60),
            lives: Span::new(1, 4),
            random_isns: 50,
            think_ms: 300,
            hold_ms: 0,
            linger_ms: Span::new(500, 6_000),
            udp_clients: Span::new(0, 6),
            begin_within_ms: 40_000,
            loss: Span::new(0, 80),
            duplication: Span::new(0, 50),
            straggling: Span::new(0, 60),
            straggle_ms: 150,
            heartbeat_ms: Span::just(100),
            host_heartbeat_ms: Span::just(200),
            fixed_views: 100,
            reshuffles: Span::new(0, 3),
            agent_restarts: Span::new(0, 2),
            ingress_restarts: Span::new(0, 1),
            tracker_restarts: Span::new(0, 2),
            double_restarts: Span::new(0, 1),
            rack_restarts: Span::just(0),
            all_trackers: 100,
            down_ms: Span::new(20, 3_000),
            cuts: Span::new(0, 2),
            cut_ms: Span::new(100, 4_000),
            pauses: Span::new(0, 2),
            pause_ms: Span::new(100, 4_000),
            lies: Span::new(0, 1),
            lie_ms: Span::new(100, 2_000),
            clock_rates: 500,
            clock_rate: Span::new(950, 1_050),
            tracker_joins: Span::new(0, 1),
            tracker_leaves: Span::new(0, 1),
            host_joins: Span::new(0, 1),
            host_leaves: Span::new(0, 1),
            host_deaths: Span::new(0, 1),
            ingress_leaves: Span::new(0, 1),
            tier_loss: 0,
            config_changes: Span::new(0, 2),
            floods: Span::new(0, 1),
            flood_packets: Span::new(10, 200),
            icmp_errors: Span::new(0, 10),
            scatter: 0,
            router_ms: Span::new(50, 500),
            limited: 600,
            measured: 300,
            load_min_ms: Span::new(10, 1_000),
            hunts: 0,
            lost_events: Span::new(0, 200),
            missed_sockets: Span::new(0, 30),
            narrow: 150,
            spare_flows: 10_000,
            pending_bytes: 1 << 27,
            faults_within_ms: 20_000,
            quiet_within_ms: 8_000,
            drain: true,
            planted: None,
        }
    }
}

/// The plans that are known by name.
const NAMED: [(&str, &str); 7] = [
    ("default", include_str!("../plans/default.toml")),
    ("calm", include_str!("../plans/calm.toml")),
    ("rough", include_str!("../plans/rough.toml")),
    ("hunts", include_str!("../plans/hunts.toml")),
    ("racks", include_str!("../plans/racks.toml")),
    ("many-flows", include_str!("../plans/many-flows.toml")),
    (
        "recovery-large",
        include_str!("../plans/recovery-large.toml"),
    ),
];

/// What is wrong with a plan file, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlanError(String);

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Plan {
    /// A network without faults and nodes that stay up.
    #[must_use]
    pub fn calm() -> Self {
        let none = Span::just(0);
        Self {
            loss: none,
            duplication: none,
            straggling: none,
            reshuffles: none,
            agent_restarts: none,
            ingress_restarts: none,
            tracker_restarts: none,
            double_restarts: none,
            rack_restarts: none,
            all_trackers: 0,
            cuts: none,
            pauses: none,
            lies: none,
            clock_rates: 0,
            tracker_joins: none,
            tracker_leaves: none,
            host_joins: none,
            host_leaves: none,
            host_deaths: none,
            ingress_leaves: none,
            config_changes: none,
            floods: none,
            icmp_errors: none,
            lost_events: none,
            missed_sockets: none,
            narrow: 0,
            ..Self::default()
        }
    }

    /// The same, with a fault put in.
    #[must_use]
    pub fn planted(self, fault: Planted) -> Self {
        Self {
            planted: Some(fault),
            ..self
        }
    }

    /// The names of the plans that come with the program.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMED.into_iter().map(|(name, _)| name)
    }

    /// The plan with this name, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<Result<Self, PlanError>> {
        let (_, text) = NAMED.into_iter().find(|(known, _)| *known == name)?;
        Some(Self::parse(text))
    }

    /// The plan that a file's text describes.
    ///
    /// # Errors
    /// What is wrong with it, and in which line.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let plan: Self = toml::from_str(text).map_err(|error| PlanError(error.to_string()))?;
        match plan.check() {
            None => Ok(plan),
            Some((key, words)) => {
                let line = text.lines().position(|line| {
                    let rest = line.trim_start().strip_prefix(key);
                    rest.is_some_and(|rest| rest.trim_start().starts_with('='))
                });
                let place = line.map_or(String::new(), |line| format!("line {}: ", line + 1));
                Err(PlanError(format!("{place}{key} {words}")))
            }
        }
    }

    /// The first key whose value can't be, and what it must be.
    fn check(&self) -> Option<(&'static str, &'static str)> {
        let counts = [
            ("ingresses", self.ingresses, 1, 100),
            ("trackers", self.trackers, 1, 100),
            ("hosts", self.hosts, 1, 2_000),
        ];
        for (key, span, least, most) in counts {
            if span.low < least || span.high > most {
                return Some((key, "must be 1 to 100, of hosts 1 to 2,000"));
            }
        }
        if self.tcp_clients.high + self.udp_clients.high > 2_000_000 {
            return Some(("tcp_clients", "and udp_clients must be 2,000,000 at most"));
        }
        let chances = [
            ("loss", self.loss),
            ("duplication", self.duplication),
            ("straggling", self.straggling),
            ("lost_events", self.lost_events),
            ("missed_sockets", self.missed_sockets),
            ("fixed_views", Span::just(self.fixed_views)),
            ("all_trackers", Span::just(self.all_trackers)),
            ("clock_rates", Span::just(self.clock_rates)),
            ("tier_loss", Span::just(self.tier_loss)),
            ("random_isns", Span::just(self.random_isns)),
            ("limited", Span::just(self.limited)),
            ("measured", Span::just(self.measured)),
            ("hunts", Span::just(self.hunts)),
            ("racks", Span::just(self.racks)),
            ("narrow", Span::just(self.narrow)),
            ("scatter", Span::just(self.scatter)),
        ];
        for (key, span) in chances {
            if span.high > 1_000 {
                return Some((key, "is in thousandths: 0 to 1000"));
            }
        }
        if self.clock_rate.low < 500 || self.clock_rate.high > 2_000 {
            return Some(("clock_rate", "must be 500 to 2000 thousandths"));
        }
        if self.load_min_ms.low == 0 || self.load_min_ms.high > 1_000 {
            return Some(("load_min_ms", "must be 1 to 1000"));
        }
        if self.lives.low == 0 {
            return Some(("lives", "must be 1 or more"));
        }
        let beats = [
            ("heartbeat_ms", self.heartbeat_ms),
            ("host_heartbeat_ms", self.host_heartbeat_ms),
        ];
        for (key, span) in beats {
            if span.low < 10 {
                return Some((key, "must be 10 or more"));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
