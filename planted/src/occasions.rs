//! For each bug the plan of worlds in which it has its occasion.

use jlb_protocol::planted::Bug;
use jlb_sim::{Plan, Span};

/// Worlds in which a bug has to show.
#[derive(Clone, Debug)]
pub struct Occasion {
    /// Its name.
    pub name: &'static str,
    /// What may happen in them.
    pub plan: Plan,
}

const fn none() -> Span {
    Span::just(0)
}

/// A network that doubles and delays messages, and clients that use their ports again.
fn rough() -> Plan {
    Plan {
        ingresses: Span::just(2),
        trackers: Span::just(3),
        hosts: Span::new(3, 4),
        tcp_clients: Span::just(40),
        lives: Span::new(1, 4),
        udp_clients: none(),
        duplication: Span::new(50, 200),
        straggling: Span::new(50, 200),
        loss: Span::new(0, 50),
        limited: 500,
        fixed_views: 0,
        ..Plan::calm()
    }
}

/// Trackers come and go.
fn trackers_fail() -> Plan {
    Plan {
        tracker_restarts: Span::new(2, 4),
        down_ms: Span::new(20, 2000),
        reshuffles: Span::new(2, 5),
        limited: 0,
        ..rough()
    }
}

/// All trackers are killed at once.
fn all_trackers_fail() -> Plan {
    Plan {
        all_trackers: 1000,
        ingress_restarts: Span::new(1, 2),
        down_ms: Span::new(1000, 3000),
        limited: 0,
        loss: none(),
        ..rough()
    }
}

/// Two ingress nodes share each flow, and nodes are cut off from each other.
fn views_differ() -> Plan {
    Plan {
        scatter: 500,
        cuts: Span::new(4, 6),
        cut_ms: Span::new(1000, 5000),
        duplication: Span::new(200, 400),
        limited: 0,
        loss: none(),
        tcp_clients: Span::just(80),
        ..rough()
    }
}

fn two_trackers_fail() -> Plan {
    Plan {
        tracker_restarts: Span::new(8, 10),
        ingress_restarts: Span::new(2, 3),
        agent_restarts: Span::new(1, 2),
        down_ms: Span::new(1000, 3000),
        limited: 0,
        loss: none(),
        duplication: none(),
        straggling: none(),
        ..rough()
    }
}

fn losses() -> Plan {
    Plan {
        loss: Span::new(150, 180),
        duplication: none(),
        straggling: none(),
        limited: 0,
        fixed_views: 1000,
        ..rough()
    }
}

fn full() -> Plan {
    Plan {
        limited: 1000,
        loss: none(),
        hosts: Span::new(3, 5),
        ..rough()
    }
}

fn restarts() -> Plan {
    Plan {
        agent_restarts: Span::new(2, 4),
        ingress_restarts: Span::new(2, 4),
        tracker_restarts: Span::new(1, 2),
        pauses: Span::new(2, 4),
        down_ms: Span::new(20, 200),
        pause_ms: Span::new(900, 3000),
        limited: 0,
        ..rough()
    }
}

fn floods() -> Plan {
    Plan {
        floods: Span::just(3),
        flood_packets: Span::just(1000),
        spare_flows: 100,
        limited: 0,
        loss: none(),
        ..rough()
    }
}

fn floods_and_little_room() -> Plan {
    Plan {
        narrow: 1000,
        spare_flows: 10_000,
        ..floods()
    }
}

fn floods_and_few_bytes() -> Plan {
    Plan {
        pending_bytes: 1000,
        spare_flows: 10_000,
        ..floods()
    }
}

fn cut_ingress() -> Plan {
    Plan {
        trackers: Span::just(1),
        hosts: Span::just(2),
        scatter: 500,
        cuts: Span::new(4, 6),
        cut_ms: Span::new(2000, 5000),
        duplication: Span::new(200, 400),
        tcp_clients: Span::just(80),
        limited: 0,
        loss: none(),
        ..rough()
    }
}

/// Where the bug shows.
#[must_use]
pub fn occasion(bug: Bug) -> Occasion {
    let (name, plan) = match bug {
        Bug::SecondaryDoesNotBind => ("views differ", views_differ()),
        Bug::OfferPastTheSecondary
        | Bug::RankedUnfilled
        | Bug::MarksBeforeTheWalkEnds
        | Bug::MissIsAlwaysAuthoritative
        | Bug::ActsWhileJoining => ("trackers fail", trackers_fail()),
        Bug::EvictsEstablished => ("floods", floods()),
        Bug::UntrustedWithoutQuota => ("floods and little room", floods_and_little_room()),
        Bug::UnboundedPending => ("floods and few bytes", floods_and_few_bytes()),
        Bug::ResetBeforeAllSaidNo => ("two trackers fail", two_trackers_fail()),
        Bug::ResetsWithoutAsking => ("all trackers fail", all_trackers_fail()),
        Bug::NeverRepeats => ("losses", losses()),
        Bug::ForgetsRejects | Bug::AsksRejectedHostAgain | Bug::RefusesInSilence => {
            ("full hosts", full())
        }
        Bug::SynAsData
        | Bug::SynNotOfferedToOwner
        | Bug::EventEndsFlowAtOnce
        | Bug::OlderBirthCounts
        | Bug::MidFlowIsAChoice
        | Bug::CountsTwice
        | Bug::ListedRemovesNewer => ("rough", rough()),
        Bug::PausedHostTakesOldOffers | Bug::AcceptsReplays | Bug::IgnoresReceiverIncarnation => {
            ("restarts", restarts())
        }
        Bug::HostTakesTrackerlessOffer => ("an ingress is cut off", cut_ingress()),
    };
    Occasion { name, plan }
}
