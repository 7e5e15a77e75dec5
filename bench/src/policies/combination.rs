//! What is compared: who chooses, what hosts say to it, and what trackers know.

use jlb_flow_tracker::policy::PolicyKind;
use jlb_queueing::{
    Admits, Chooses, Cluster, Hears, JoinShortest, Measured, Overload, Policy, Random, Reports,
    SegmentRouting, TwoChoices,
};

/// Who chooses hosts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Who {
    /// Fewest jobs, known perfectly.
    JoinShortest,
    /// Fewer jobs of two, known perfectly.
    TwoChoices,
    /// `SRc` of the SRLB paper, with two hosts drawn by lot and no delay.
    SegmentRouting(usize),
    /// Any host.
    Random,
    /// A policy of ours that knows all connections at every moment.
    Knowing(PolicyKind),
    /// Fewest jobs of the tracker's own.
    OwnConnections,
    /// A policy of ours, with what trackers really know.
    Tracker(PolicyKind),
}

/// One way of choosing hosts.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Combination {
    pub(crate) who: Who,
    pub(crate) admits: Admits,
    pub(crate) ttl: u8,
    pub(crate) overload: Overload,
    pub(crate) reports: Reports,
    pub(crate) hears: Hears,
    /// Whether trackers compare how long hosts' jobs last.
    pub(crate) compares: bool,
}

impl Combination {
    /// The trackers' policy, without a say of the hosts.
    pub(crate) fn tracker(policy: PolicyKind, reports: Reports) -> Self {
        Self {
            who: Who::Tracker(policy),
            reports,
            ..Self::known(Who::JoinShortest)
        }
    }

    /// Somebody who needs no reports.
    pub(crate) fn known(who: Who) -> Self {
        Self {
            who,
            admits: Admits::Always,
            ttl: 4,
            overload: Overload::Refuse,
            reports: Reports {
                interval: 1e12,
                on_change: None,
            },
            hears: Hears::default(),
            compares: true,
        }
    }

    /// Where trackers do not compare how long hosts' jobs last: `min_life_percent = 0`.
    pub(crate) const fn not_comparing(self) -> Self {
        Self {
            compares: false,
            ..self
        }
    }

    /// With a say of the hosts: so many are asked, and the last must accept.
    pub(crate) const fn admitting(self, admits: Admits, ttl: u8) -> Self {
        Self {
            admits,
            ttl,
            overload: Overload::MustAccept,
            ..self
        }
    }

    /// Where secondaries count the Offers that they pass on.
    pub(crate) const fn passing(self) -> Self {
        let hears = Hears {
            offers: true,
            ..self.hears
        };
        Self { hears, ..self }
    }

    /// Whether it knows no more than trackers really do, and asks hosts by Offers.
    pub(crate) const fn is_ours(&self) -> bool {
        matches!(self.who, Who::Tracker(_))
    }

    /// Whether the last host of a search must take what it would reject.
    pub(crate) fn must_accept(&self) -> bool {
        self.admits != Admits::Always && self.overload == Overload::MustAccept
    }

    /// Who chooses, in words.
    pub(crate) fn policy(&self) -> String {
        match self.who {
            Who::JoinShortest => "join the shortest queue, all known".to_owned(),
            Who::TwoChoices => "two choices, all known".to_owned(),
            Who::SegmentRouting(threshold) => format!("SR{threshold} of the SRLB paper"),
            Who::Random => "random".to_owned(),
            Who::Knowing(policy) => format!("{}, all known", policy.name()),
            Who::OwnConnections => "least connections of its own".to_owned(),
            Who::Tracker(policy) if self.compares => policy.name().to_owned(),
            Who::Tracker(policy) => format!("{}, lives not compared", policy.name()),
        }
    }

    /// The hosts' say, in words.
    pub(crate) fn admission(&self) -> String {
        if !self.is_ours() {
            return String::new();
        }
        let admits = match self.admits {
            Admits::Always => return "always".to_owned(),
            Admits::Threshold(each) => format!("< {each} a core"),
            Admits::Adaptive => "SRdyn".to_owned(),
        };
        match self.overload {
            Overload::Refuse => format!("{admits}, TTL {}, refuse", self.ttl),
            Overload::MustAccept => format!("{admits}, TTL {}", self.ttl),
        }
    }

    /// What trackers hear, in words; `unit` is the mean work in milliseconds.
    pub(crate) fn knowledge(&self, unit: f64) -> String {
        if !self.is_ours() {
            return String::new();
        }
        let milliseconds = |units: f64| (units * unit * 1_000.0).round() / 1_000.0;
        let mut words = match self.reports.on_change {
            None => format!("{} ms", milliseconds(self.reports.interval)),
            Some(gap) => format!("on change, {} ms", milliseconds(gap)),
        };
        for (is, what) in [
            (self.hears.offers, " +passed"),
            (self.hears.rejects, " +rejects"),
            (self.hears.accepts, " +accepts"),
        ] {
            if is {
                words.push_str(what);
            }
        }
        words
    }

    /// Runs it in this setting.
    pub(crate) fn run(&self, setting: &Cluster) -> Measured {
        let cluster = Cluster {
            admits: self.admits,
            search_ttl: self.ttl,
            overload: self.overload,
            reports: self.reports,
            hears: self.hears,
            min_life_percent: if self.compares {
                setting.min_life_percent
            } else {
                0
            },
            ..setting.clone()
        };
        match self.who {
            Who::JoinShortest => cluster.run(Chooses::Oracle(&mut JoinShortest)),
            Who::TwoChoices => cluster.run(Chooses::Oracle(&mut TwoChoices)),
            Who::SegmentRouting(threshold) => {
                cluster.run(Chooses::Oracle(&mut SegmentRouting { threshold }))
            }
            Who::Random => cluster.run(Chooses::Oracle(&mut Random)),
            Who::Knowing(policy) => {
                let hosts = u16::try_from(cluster.hosts.len()).unwrap_or(u16::MAX);
                let knowing = &mut Policy::new(policy, hosts, cluster.seed);
                cluster.run(Chooses::Oracle(knowing))
            }
            Who::OwnConnections => cluster.run(Chooses::OwnConnections),
            Who::Tracker(policy) => cluster.run(Chooses::Trackers(policy)),
        }
    }
}
