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

/// The same, and every packet may come to any ingress.
fn scattered() -> Plan {
    Plan {
        scatter: 500,
        limited: 0,
        lives: Span::new(3, 4),
        duplication: Span::new(200, 400),
        straggling: Span::new(200, 400),
        ..rough()
    }
}

/// Trackers of a fixed list restart so fast that nobody believes them down.
fn fixed_list() -> Plan {
    Plan {
        trackers: Span::just(1),
        fixed_views: 1000,
        tracker_restarts: Span::new(6, 8),
        down_ms: Span::new(20, 60),
        duplication: Span::new(300, 500),
        straggling: Span::new(300, 500),
        loss: none(),
        limited: 0,
        ..rough()
    }
}

/// Hosts have so much to tell that it takes them a while.
fn much_to_tell() -> Plan {
    Plan {
        hosts: Span::just(2),
        tcp_clients: Span::just(1500),
        lives: Span::just(1),
        hold_ms: 15_000,
        think_ms: 3_000,
        begin_within_ms: 3_000,
        faults_within_ms: 6_000,
        tracker_restarts: Span::new(2, 3),
        down_ms: Span::new(500, 1000),
        loss: Span::new(100, 150),
        limited: 0,
        drain: false,
        ..rough()
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
        Bug::OfferPastTheSecondary => ("trackers fail", trackers_fail()),
        Bug::RankedUnfilled | Bug::MarksBeforeTheWalkEnds => ("much to tell", much_to_tell()),
        Bug::MissIsAlwaysAuthoritative | Bug::ActsWhileJoining => ("fixed list", fixed_list()),
        Bug::EvictsEstablished => ("floods", floods()),
        Bug::UntrustedWithoutQuota => ("floods and little room", floods_and_little_room()),
        Bug::UnboundedPending => ("floods and few bytes", floods_and_few_bytes()),
        Bug::ResetBeforeAllSaidNo => ("two trackers fail", two_trackers_fail()),
        Bug::ResetsWithoutAsking => ("all trackers fail", all_trackers_fail()),
        Bug::NeverRepeats => ("losses", losses()),
        Bug::ForgetsRejects | Bug::AsksRejectedHostAgain | Bug::RefusesInSilence => {
            ("full hosts", full())
        }
        Bug::OlderBirthCounts | Bug::MidFlowIsAChoice => ("scattered", scattered()),
        Bug::SynAsData
        | Bug::SynNotOfferedToOwner
        | Bug::EventEndsFlowAtOnce
        | Bug::CountsTwice
        | Bug::ListedRemovesNewer => ("rough", rough()),
        Bug::PausedHostTakesOldOffers | Bug::AcceptsReplays | Bug::IgnoresReceiverIncarnation => {
            ("restarts", restarts())
        }
        Bug::HostTakesTrackerlessOffer => ("an ingress is cut off", cut_ingress()),
    };
    Occasion { name, plan }
}
