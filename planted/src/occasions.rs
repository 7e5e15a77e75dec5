//! For each bug what has to happen for it to show.

use jlb_protocol::planted::Bug;
use jlb_sim::{Plan, Span};

/// Where a bug has to show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Occasion {
    /// In the simulator's worlds of this plan.
    Worlds {
        /// What happens in them.
        name: &'static str,
        /// Its bounds.
        plan: Box<Plan>,
    },
    /// In the exploration's case of this name.
    Case(&'static str),
}

impl Occasion {
    /// What happens.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Worlds { name, .. } | Self::Case(name) => name,
        }
    }
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

/// What is said of a flow's former life arrives while the next one begins.
fn late_words() -> Plan {
    Plan {
        tcp_clients: Span::just(120),
        hosts: Span::just(3),
        lives: Span::just(4),
        scatter: 500,
        duplication: Span::new(400, 500),
        straggling: Span::new(400, 500),
        straggle_ms: 1_000,
        think_ms: 50,
        limited: 0,
        load_min_ms: Span::just(1_000),
        loss: none(),
        ..rough()
    }
}

/// Hosts have so much to tell that it takes them a while.
fn much_to_tell() -> Plan {
    Plan {
        hosts: Span::just(2),
        tcp_clients: Span::just(3000),
        lives: Span::just(1),
        hold_ms: 15_000,
        think_ms: 3_000,
        begin_within_ms: 3_000,
        faults_within_ms: 8_000,
        tracker_restarts: Span::just(1),
        down_ms: Span::new(500, 1000),
        loss: none(),
        duplication: none(),
        straggling: Span::new(600, 800),
        straggle_ms: 250,
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

/// Much is lost.
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

/// Hosts run out of room.
fn full() -> Plan {
    Plan {
        limited: 1000,
        loss: none(),
        hosts: Span::new(3, 5),
        ..rough()
    }
}

/// Hosts run out of room, and clients use their ports again and again.
fn full_and_again() -> Plan {
    Plan {
        tcp_clients: Span::just(120),
        lives: Span::just(4),
        think_ms: 50,
        ..full()
    }
}

/// The same, and offers come twice, the second time late.
fn full_and_late_copies() -> Plan {
    Plan {
        duplication: Span::new(100, 200),
        straggling: Span::new(100, 200),
        straggle_ms: 200,
        ..full_and_again()
    }
}

/// Trackers fail a rack at a time.
fn racks_fail() -> Plan {
    Plan {
        racks: 1000,
        trackers: Span::new(4, 6),
        rack_restarts: Span::new(3, 4),
        tracker_restarts: none(),
        ..trackers_fail()
    }
}

/// The same, and each of these Offers is one of a direct hunt.
fn full_and_hunted() -> Plan {
    Plan {
        hunts: 1000,
        hosts: Span::new(4, 6),
        loss: Span::new(50, 100),
        ..full_and_again()
    }
}

/// All kinds of nodes restart or are paused.
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

/// Floods, and tables that are too small for them.
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

/// Floods, and a small quota for flows that are not established.
fn floods_and_little_room() -> Plan {
    Plan {
        narrow: 1000,
        spare_flows: 10_000,
        ..floods()
    }
}

/// Floods, and ingress nodes that can let few packets wait.
fn floods_and_few_bytes() -> Plan {
    Plan {
        pending_bytes: 1000,
        spare_flows: 10_000,
        ..floods()
    }
}

/// Where the bug shows, if it is known to show anywhere.
#[must_use]
pub fn occasion(bug: Bug) -> Option<Occasion> {
    let in_worlds = |name, plan| {
        let plan = Box::new(plan);
        Some(Occasion::Worlds { name, plan })
    };
    match bug {
        Bug::SecondaryDoesNotBind => Some(Occasion::Case("views-host")),
        Bug::MidFlowIsAChoice => Some(Occasion::Case("crash-host")),
        Bug::OfferPastTheSecondary => in_worlds("trackers fail", trackers_fail()),
        Bug::RankedUnfilled | Bug::MarksBeforeTheWalkEnds => {
            in_worlds("much to tell", much_to_tell())
        }
        Bug::RanksInOneDomain => in_worlds("racks fail", racks_fail()),
        Bug::MissIsAlwaysAuthoritative | Bug::ActsWhileJoining => {
            Some(Occasion::Case("two-trackers"))
        }
        Bug::ResetBeforeAllSaidNo => Some(Occasion::Case("views-primary")),
        Bug::EvictsEstablished => in_worlds("floods", floods()),
        Bug::UntrustedWithoutQuota => in_worlds("floods, little room", floods_and_little_room()),
        Bug::UnboundedPending => in_worlds("floods, few bytes", floods_and_few_bytes()),
        Bug::ListedRemovesAll => in_worlds("late words", late_words()),
        Bug::AnybodyCloses => in_worlds("full hosts, ports again", full_and_again()),
        Bug::ResetsWithoutAsking => in_worlds("all trackers fail", all_trackers_fail()),
        Bug::NeverRepeats => in_worlds("losses", losses()),
        Bug::ForgetsRejects => in_worlds("full hosts, late copies", full_and_late_copies()),
        Bug::LeavesHuntUnasked | Bug::PassesOnWhatItTook => {
            in_worlds("full hosts, hunts", full_and_hunted())
        }
        Bug::AnswersForItsFormerLife => Some(Occasion::Case("hunt-crash-host")),
        Bug::AsksRejectedHostAgain | Bug::RefusesInSilence => in_worlds("full hosts", full()),
        Bug::SynAsData
        | Bug::SynNotOfferedToOwner
        | Bug::EventEndsFlowAtOnce
        | Bug::OneLookUpProves
        | Bug::CountsTwice => in_worlds("rough", rough()),
        Bug::PausedHostTakesOldOffers | Bug::AcceptsReplays | Bug::IgnoresReceiverIncarnation => {
            in_worlds("restarts", restarts())
        }
        Bug::WaitSpendsNoStep => Some(Occasion::Case("queue")),
        Bug::HostTakesTrackerlessOffer => Some(Occasion::Case("cut-off")),
    }
}
