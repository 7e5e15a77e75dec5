//! What can happen to a cluster. Nothing here touches the machine.

use super::script::{Cast, ENOUGH, How, LEAVE, Script, Step};
use super::shares::Shares;
use crate::topology::Group;

/// A scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    Baseline,
    KillIngress,
    KillTracker,
    KillIngressAndTracker,
    KillPair,
    KillAllTrackers,
    KillAllAgents,
    KillHost,
    PauseIngress,
    PauseTracker,
    ReshuffleResilient,
    ReshufflePlain,
    AddIngress,
    AddTracker,
    StopIngress,
    StopTracker,
    StopAgent,
    RollingRestart,
    Upgrade,
}

impl Scenario {
    /// All of them, in the order in which they run.
    pub(crate) const ALL: [Self; 19] = [
        Self::Baseline,
        Self::KillIngress,
        Self::KillTracker,
        Self::KillIngressAndTracker,
        Self::KillPair,
        Self::KillAllTrackers,
        Self::KillAllAgents,
        Self::KillHost,
        Self::PauseIngress,
        Self::PauseTracker,
        Self::ReshuffleResilient,
        Self::ReshufflePlain,
        Self::AddIngress,
        Self::AddTracker,
        Self::StopIngress,
        Self::StopTracker,
        Self::StopAgent,
        Self::RollingRestart,
        Self::Upgrade,
    ];

    /// Its name on the command line and in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::KillIngress => "kill-ingress",
            Self::KillTracker => "kill-tracker",
            Self::KillIngressAndTracker => "kill-ingress-and-tracker",
            Self::KillPair => "kill-primary-and-secondary",
            Self::KillAllTrackers => "kill-all-trackers",
            Self::KillAllAgents => "kill-all-host-agents",
            Self::KillHost => "kill-host",
            Self::PauseIngress => "pause-ingress",
            Self::PauseTracker => "pause-tracker",
            Self::ReshuffleResilient => "reshuffle-resilient",
            Self::ReshufflePlain => "reshuffle-plain",
            Self::AddIngress => "add-ingress",
            Self::AddTracker => "add-tracker",
            Self::StopIngress => "stop-ingress",
            Self::StopTracker => "stop-tracker",
            Self::StopAgent => "stop-host-agent",
            Self::RollingRestart => "rolling-restart",
            Self::Upgrade => "upgrade",
        }
    }

    /// What happens in it.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Baseline => "nothing happens",
            Self::KillIngress => {
                "kill -9 of the ingress with most connections, started again later"
            }
            Self::KillTracker => "kill -9 of the tracker that is primary of most connections",
            Self::KillIngressAndTracker => {
                "kill -9 of an ingress and a tracker in the same instant"
            }
            Self::KillPair => "kill -9 of the two trackers that most connections have in common",
            Self::KillAllTrackers => "kill -9 of every tracker in the same instant",
            Self::KillAllAgents => "kill -9 of every host agent in the same instant",
            Self::KillHost => "a host vanishes with its cable; its clients must be told",
            Self::PauseIngress => {
                "an ingress is stopped for a while and goes on (SIGSTOP, SIGCONT)"
            }
            Self::PauseTracker => "the same of a tracker",
            Self::ReshuffleResilient => {
                "an ingress leaves the router's resilient group and comes back, while a host joins \
                 and another leaves"
            }
            Self::ReshufflePlain => "the same with a plain multipath group",
            Self::AddIngress => "a new ingress joins a plain multipath group",
            Self::AddTracker => "a new tracker joins",
            Self::StopIngress => "SIGTERM to an ingress",
            Self::StopTracker => "SIGTERM to a tracker",
            Self::StopAgent => "SIGTERM to a host agent",
            Self::RollingRestart => "every node is stopped and started again, one after the other",
            Self::Upgrade => "the same from an older program to this one, and back (with --older)",
        }
    }

    /// Whether it can run.
    pub(crate) fn is_possible(self, how: &How) -> bool {
        match self {
            Self::Upgrade => how.older.is_some(),
            Self::ReshuffleResilient
            | Self::ReshufflePlain
            | Self::AddIngress
            | Self::AddTracker => how.newcomers,
            Self::Baseline
            | Self::KillIngress
            | Self::KillTracker
            | Self::KillIngressAndTracker
            | Self::KillPair
            | Self::KillAllTrackers
            | Self::KillAllAgents
            | Self::KillHost
            | Self::PauseIngress
            | Self::PauseTracker
            | Self::StopIngress
            | Self::StopTracker
            | Self::StopAgent
            | Self::RollingRestart => true,
        }
    }

    /// How the router spreads flows meanwhile.
    pub(crate) fn group(self) -> Group {
        match self {
            Self::ReshufflePlain | Self::AddIngress => Group::Plain,
            Self::Baseline
            | Self::KillIngress
            | Self::KillTracker
            | Self::KillIngressAndTracker
            | Self::KillPair
            | Self::KillAllTrackers
            | Self::KillAllAgents
            | Self::KillHost
            | Self::PauseIngress
            | Self::PauseTracker
            | Self::ReshuffleResilient
            | Self::AddTracker
            | Self::StopIngress
            | Self::StopTracker
            | Self::StopAgent
            | Self::RollingRestart
            | Self::Upgrade => Group::Resilient,
        }
    }

    /// What is done before the connections come.
    pub(crate) fn prelude(self, cast: &Cast, how: &How) -> Vec<Step> {
        match self {
            Self::ReshuffleResilient | Self::ReshufflePlain => {
                let Some(leaving) = cast.spare_hosts.first() else {
                    return Vec::new();
                };
                vec![
                    Step::StartFor(leaving.clone(), LEAVE),
                    Step::Ready(vec![leaving.clone()]),
                ]
            }
            Self::Upgrade => {
                let mut steps = vec![Step::Program(how.older.clone())];
                steps.extend(cast.restart_all(how));
                steps
            }
            Self::Baseline
            | Self::KillIngress
            | Self::KillTracker
            | Self::KillIngressAndTracker
            | Self::KillPair
            | Self::KillAllTrackers
            | Self::KillAllAgents
            | Self::KillHost
            | Self::PauseIngress
            | Self::PauseTracker
            | Self::AddIngress
            | Self::AddTracker
            | Self::StopIngress
            | Self::StopTracker
            | Self::StopAgent
            | Self::RollingRestart => Vec::new(),
        }
    }

    /// What happens, to whom most of these connections need; `None` if there is no such node.
    pub(crate) fn script(self, shares: &Shares, cast: &Cast, how: &How) -> Option<Script> {
        match self {
            Self::Baseline => Some(Script {
                fault: vec![Step::Wait(how.away)],
                ..Script::default()
            }),
            Self::KillIngress => Some(cast.kill(vec![shares.busiest_ingress()?], shares, how)),
            Self::KillTracker => Some(cast.kill(vec![shares.busiest_tracker()?], shares, how)),
            Self::KillIngressAndTracker => {
                let victims = shares.busiest_ingress_and_tracker()?;
                Some(cast.kill(victims.to_vec(), shares, how))
            }
            Self::KillPair => {
                let victims = shares.busiest_pair()?.to_vec();
                let share = shares.through_both(&victims);
                Some(Script {
                    share,
                    ..cast.kill(victims, shares, how)
                })
            }
            Self::KillAllTrackers => Some(cast.kill(cast.trackers.clone(), shares, how)),
            Self::KillAllAgents => Some(cast.kill(cast.hosts.clone(), shares, how)),
            Self::KillHost => Some(cast.kill_host(shares.busiest_host()?, shares)),
            Self::PauseIngress => Some(cast.pause(shares.busiest_ingress()?, shares, how)),
            Self::PauseTracker => Some(cast.pause(shares.busiest_tracker()?, shares, how)),
            Self::ReshuffleResilient | Self::ReshufflePlain => {
                let least_changed = match self.group() {
                    Group::Resilient => 0.0,
                    Group::Plain => ENOUGH,
                };
                Some(Script {
                    least_changed,
                    ..cast.reshuffle(shares)?
                })
            }
            Self::AddIngress => cast.add_ingress(),
            Self::AddTracker => cast.add_tracker(),
            Self::StopIngress => Some(cast.stop(shares.busiest_ingress()?, shares, how)),
            Self::StopTracker => Some(cast.stop(shares.busiest_tracker()?, shares, how)),
            Self::StopAgent => Some(Script {
                // A fourth of all has to do: there are four hosts.
                least_share: 0.2,
                ..cast.stop(shares.busiest_host()?, shares, how)
            }),
            Self::RollingRestart => Some(Script {
                fault: cast.restart_all(how),
                hit: cast.everybody(),
                share: 1.0,
                least_share: ENOUGH,
                ..Script::default()
            }),
            Self::Upgrade => {
                let mut fault = vec![Step::Program(None)];
                fault.extend(cast.restart_all(how));
                fault.push(Step::Program(how.older.clone()));
                fault.extend(cast.restart_all(how));
                let mut after = vec![Step::Program(None)];
                after.extend(cast.restart_all(how));
                Some(Script {
                    fault,
                    after,
                    hit: cast.everybody(),
                    share: 1.0,
                    least_share: ENOUGH,
                    ..Script::default()
                })
            }
        }
    }
}

#[cfg(test)]
mod tests;
