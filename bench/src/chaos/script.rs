//! What happens in a scenario, step by step. Nothing here touches the machine.

use std::path::PathBuf;
use std::time::Duration;

use super::shares::Shares;
use crate::lab::server_name;
use crate::plan::{Plan, Role};

/// How long packets get to show where they go after the router changed its mind.
const TO_BE_SEEN: Duration = Duration::from_secs(2);
/// A host that leaves serves its connections for so long.
pub(super) const LEAVE: Duration = Duration::from_secs(60);
/// A dead host's clients are told within this; see the lab's cluster file.
const TOLD: Duration = Duration::from_secs(8);
/// The share of connections that a fault must concern.
pub(super) const ENOUGH: f64 = 0.3;

/// One thing that is done to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// SIGKILL to all of them at once.
    Kill(Vec<String>),
    /// SIGTERM to all of them at once.
    Terminate(Vec<String>),
    /// SIGSTOP.
    Pause(Vec<String>),
    /// SIGCONT.
    Resume(Vec<String>),
    /// Waits until their processes have ended.
    Ended(Vec<String>),
    /// Starts nodes.
    Start(Vec<String>),
    /// Starts a node that will go on for so long when it is told to stop.
    StartFor(String, Duration),
    /// Starts the web server of a host.
    StartServer(String),
    /// Waits until nodes say that they are ready.
    Ready(Vec<String>),
    /// The router no longer sends packets to these ingress nodes.
    Withdraw(Vec<String>),
    /// The router sends packets to these ingress nodes, too.
    Admit(Vec<String>),
    /// Pulls a node's cable out.
    Unplug(String),
    /// Puts it back.
    Plug(String),
    /// From now on nodes run this program when they are started; `None`: the running one.
    Program(Option<PathBuf>),
    /// Takes note of the ingress that connections pass through now.
    Look,
    /// Waits.
    Wait(Duration),
}

/// Who there is.
#[derive(Clone, Debug)]
pub(crate) struct Cast {
    ingress: Vec<String>,
    pub(super) trackers: Vec<String>,
    pub(super) hosts: Vec<String>,
    spare_ingress: Option<String>,
    spare_tracker: Option<String>,
    pub(super) spare_hosts: Vec<String>,
}

impl Cast {
    /// The nodes of a plan.
    pub(crate) fn of(plan: &Plan) -> Self {
        let nodes = |role| plan.of(role).map(|node| node.name.clone()).collect();
        let spares = |role| {
            let of_role = plan.spares.iter().filter(move |node| node.role == role);
            of_role.map(|node| node.name.clone())
        };
        Self {
            ingress: nodes(Role::Ingress),
            trackers: nodes(Role::Tracker),
            hosts: nodes(Role::Host),
            spare_ingress: spares(Role::Ingress).next(),
            spare_tracker: spares(Role::Tracker).next(),
            spare_hosts: spares(Role::Host).collect(),
        }
    }
}

/// How things happen.
#[derive(Clone, Debug)]
pub(crate) struct How {
    /// From the death of an ingress until the router sends it nothing any more.
    pub(crate) detect: Duration,
    /// From the end of an ingress or a tracker until it is started again.
    pub(crate) away: Duration,
    /// The same of a host agent.
    pub(crate) agent_away: Duration,
    /// For how long a node is stopped in its tracks.
    pub(crate) pause: Duration,
    /// Whether nodes can come that the others have not in their file.
    pub(crate) newcomers: bool,
    /// An older program that nodes run first.
    pub(crate) older: Option<PathBuf>,
}

/// What happens in one scenario, once its connections are there.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Script {
    /// What happens.
    pub(crate) fault: Vec<Step>,
    /// What makes everything as it was, when the connections are over.
    pub(crate) after: Vec<Step>,
    /// Who is hit.
    pub(crate) hit: Vec<String>,
    /// The share of connections that pass through those.
    pub(crate) share: f64,
    /// The least that this share must be.
    pub(crate) least_share: f64,
    /// Hosts that take their connections with them.
    pub(crate) dead_hosts: Vec<String>,
    /// The share of connections that must change their ingress.
    pub(crate) least_changed: f64,
}

impl Script {
    /// Nodes that go without a word.
    pub(crate) fn lost(&self) -> Vec<String> {
        let lost = self.fault.iter().flat_map(|step| match step {
            Step::Kill(names) | Step::Pause(names) => names.as_slice(),
            _ => &[],
        });
        lost.cloned().collect()
    }
}

impl Cast {
    pub(super) fn everybody(&self) -> Vec<String> {
        let everybody = self.trackers.iter().chain(&self.hosts).chain(&self.ingress);
        everybody.cloned().collect()
    }

    /// How long these stay away: host agents come back at once.
    fn away(&self, names: &[String], how: &How) -> Duration {
        if names.iter().all(|name| self.hosts.contains(name)) {
            how.agent_away
        } else {
            how.away
        }
    }

    pub(super) fn kill(&self, victims: Vec<String>, shares: &Shares, how: &How) -> Script {
        let back = [
            Step::Ended(victims.clone()),
            Step::Wait(self.away(&victims, how)),
            Step::Start(victims.clone()),
            Step::Ready(victims.clone()),
        ];
        let fault = self.rerouted(&victims, Step::Kill(victims.clone()), back, how);
        Script {
            fault,
            share: shares.through(&victims),
            hit: victims,
            least_share: ENOUGH,
            ..Script::default()
        }
    }

    /// A node that stands still for a while, and does not know it.
    pub(super) fn pause(&self, node: String, shares: &Shares, how: &How) -> Script {
        let one = vec![node];
        let back = [
            Step::Wait(how.pause),
            Step::Resume(one.clone()),
            Step::Ready(one.clone()),
        ];
        let mut fault = self.rerouted(&one, Step::Pause(one.clone()), back, how);
        fault.push(Step::Wait(TO_BE_SEEN));
        Script {
            fault,
            share: shares.through(&one),
            hit: one,
            least_share: ENOUGH,
            ..Script::default()
        }
    }

    pub(super) fn kill_host(&self, host: String, shares: &Shares) -> Script {
        let all = vec![host.clone(), server_name(&host)];
        Script {
            fault: vec![
                // First the cable: the kernel of a dead machine says no good-bye.
                Step::Unplug(host.clone()),
                Step::Kill(all.clone()),
                Step::Ended(all),
                Step::Wait(TOLD),
            ],
            after: vec![
                Step::Plug(host.clone()),
                Step::StartServer(host.clone()),
                Step::Start(vec![host.clone()]),
                Step::Ready(vec![host.clone()]),
            ],
            share: shares.through(std::slice::from_ref(&host)),
            hit: vec![host.clone()],
            dead_hosts: vec![host],
            ..Script::default()
        }
    }

    pub(super) fn stop(&self, victim: String, shares: &Shares, how: &How) -> Script {
        Script {
            fault: self.restart(&victim, self.away(std::slice::from_ref(&victim), how), how),
            share: shares.through(std::slice::from_ref(&victim)),
            hit: vec![victim],
            least_share: ENOUGH,
            ..Script::default()
        }
    }

    /// A stop and a start as a careful operator does them.
    fn restart(&self, name: &str, away: Duration, how: &How) -> Vec<Step> {
        let one = vec![name.to_owned()];
        let back = [
            Step::Ended(one.clone()),
            Step::Wait(away),
            Step::Start(one.clone()),
            Step::Ready(one.clone()),
        ];
        self.rerouted(&one, Step::Terminate(one.clone()), back, how)
    }

    /// What makes these nodes go, and what brings them `back`; between the two the router sends nothing
    /// to those of them that are ingress nodes, once it has noticed.
    fn rerouted(
        &self,
        names: &[String],
        go: Step,
        back: impl IntoIterator<Item = Step>,
        how: &How,
    ) -> Vec<Step> {
        let among = names.iter().filter(|name| self.ingress.contains(name));
        let routed: Vec<String> = among.cloned().collect();
        let mut steps = vec![go];
        if !routed.is_empty() {
            steps.extend([Step::Wait(how.detect), Step::Withdraw(routed.clone())]);
        }
        steps.extend(back);
        if !routed.is_empty() {
            steps.push(Step::Admit(routed));
        }
        steps
    }

    pub(super) fn restart_all(&self, how: &How) -> Vec<Step> {
        let everybody = self.everybody();
        let steps = everybody
            .iter()
            .flat_map(|name| self.restart(name, Duration::ZERO, how));
        steps.collect()
    }

    pub(super) fn reshuffle(&self, shares: &Shares) -> Option<Script> {
        // In a plain group, flows of all members move when the first one goes.
        let ingress = self.ingress.first()?.clone();
        let [leaving, coming, ..] = self.spare_hosts.as_slice() else {
            return None;
        };
        let (leaving, coming) = (leaving.clone(), coming.clone());
        let hit = vec![ingress.clone(), leaving.clone()];
        Some(Script {
            fault: vec![
                Step::Withdraw(vec![ingress.clone()]),
                Step::Terminate(vec![leaving.clone()]),
                Step::StartFor(coming.clone(), LEAVE),
                Step::Wait(TO_BE_SEEN),
                Step::Look,
                Step::Ready(vec![coming.clone()]),
                Step::Admit(vec![ingress]),
                Step::Wait(TO_BE_SEEN),
            ],
            after: vec![
                // A second signal ends the wait for connections.
                Step::Terminate(vec![leaving.clone(), coming.clone()]),
                Step::Wait(Duration::from_millis(200)),
                Step::Terminate(vec![leaving.clone(), coming.clone()]),
                Step::Ended(vec![leaving, coming]),
            ],
            share: shares.through(&hit),
            hit,
            least_share: ENOUGH,
            ..Script::default()
        })
    }

    pub(super) fn add_ingress(&self) -> Option<Script> {
        let new = vec![self.spare_ingress.clone()?];
        Some(Script {
            fault: vec![
                Step::Start(new.clone()),
                Step::Ready(new.clone()),
                Step::Admit(new.clone()),
                Step::Wait(TO_BE_SEEN),
                Step::Look,
            ],
            after: vec![
                Step::Withdraw(new.clone()),
                Step::Terminate(new.clone()),
                Step::Ended(new.clone()),
            ],
            least_changed: ENOUGH,
            ..Script::default()
        })
    }

    pub(super) fn add_tracker(&self) -> Option<Script> {
        let new = vec![self.spare_tracker.clone()?];
        Some(Script {
            fault: vec![
                Step::Start(new.clone()),
                Step::Ready(new.clone()),
                Step::Wait(TO_BE_SEEN),
            ],
            after: vec![Step::Terminate(new.clone()), Step::Ended(new)],
            ..Script::default()
        })
    }
}
