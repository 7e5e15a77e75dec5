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

fn silent() -> Plan {
    Plan {
        loss: Span::new(300, 400),
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
        tracker_restarts: Span::new(2, 4),
        pauses: Span::new(2, 4),
        down_ms: Span::new(20, 200),
        pause_ms: Span::new(900, 3000),
        limited: 0,
        ..rough()
    }
}

fn floods() -> Plan {
    Plan {
        floods: Span::just(2),
        flood_packets: Span::just(8000),
        limited: 0,
        loss: none(),
        ..rough()
    }
}

fn cut_ingress() -> Plan {
    Plan {
        cuts: Span::new(3, 5),
        cut_ms: Span::new(1000, 3000),
        reshuffles: Span::new(20, 40),
        ..rough()
    }
}

/// Where the bug shows.
#[must_use]
pub fn occasion(bug: Bug) -> Occasion {
    let (name, plan) = match bug {
        Bug::SecondaryDoesNotBind
        | Bug::OfferPastTheSecondary
        | Bug::RankedUnfilled
        | Bug::MarksBeforeTheWalkEnds
        | Bug::MissIsAlwaysAuthoritative
        | Bug::ActsWhileJoining => ("trackers fail", trackers_fail()),
        Bug::UntrustedWithoutQuota | Bug::EvictsEstablished => ("floods", floods()),
        Bug::MidFlowIsAChoice | Bug::ResetBeforeAllSaidNo | Bug::ResetsWithoutAsking => {
            ("all trackers fail", all_trackers_fail())
        }
        Bug::NeverRepeats => ("losses", silent()),
        Bug::ForgetsRejects | Bug::AsksRejectedHostAgain | Bug::RefusesInSilence => {
            ("full hosts", full())
        }
        Bug::SynAsData
        | Bug::SynNotOfferedToOwner
        | Bug::EventEndsFlowAtOnce
        | Bug::OlderBirthCounts
        | Bug::ListedRemovesNewer => ("rough", rough()),
        Bug::PausedHostTakesOldOffers | Bug::AcceptsReplays | Bug::IgnoresReceiverIncarnation => {
            ("restarts", restarts())
        }
        Bug::HostTakesTrackerlessOffer => ("an ingress is cut off", cut_ingress()),
        Bug::CountsTwice | Bug::UnboundedPending => ("restarts", restarts()),
    };
    Occasion { name, plan }
}
