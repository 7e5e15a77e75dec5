//! Which experiments are made in the lab: a choice of the simulator's, each short enough to be repeated.

use jlb_flow_tracker::policy::PolicyKind;
use jlb_queueing::{Admits, Cluster, Fault, Work};

use crate::policies::args::{Part, PoliciesOptions};
use crate::policies::combination::{Combination, Who};
use crate::policies::plan::{Plan, Section};

/// The name of the section of a few policies at every load.
pub(crate) const ORDER: &str = "lab-order";
/// The name of the section of all pairs.
pub(crate) const PAIRS: &str = "lab-pairs";
/// The name of the section of other hosts and other work.
pub(crate) const HOSTS: &str = "lab-hosts";

/// How long hosts are filled at least before jobs are timed, in units of the mean work.
const FILLING: f64 = 20.0;

/// Milliseconds between two health checks where there are any, of which so many must fail.
pub(crate) const CHECK_MS: u32 = 200;
/// See [`CHECK_MS`].
pub(crate) const CHECK_FALL: u32 = 2;

/// All that is run. `options` are [`PoliciesOptions::in_lab`]'s.
pub(crate) fn sections(options: &PoliciesOptions) -> Vec<Section> {
    let plan = Lab {
        plan: Plan { options },
    };
    let mut sections = Vec::new();
    if options.has_part(Part::Order) {
        sections.push(plan.order());
    }
    if options.has_part(Part::Pairs) {
        sections.push(plan.pairs());
    }
    if options.has_part(Part::Hosts) {
        sections.push(plan.hosts());
    }
    sections
}

struct Lab<'a> {
    plan: Plan<'a>,
}

impl Lab<'_> {
    /// A run that is as long as the options say, each of whose jobs is followed to its end.
    fn setting(&self, load: f64) -> Cluster {
        let options = self.plan.options;
        let cluster = self.plan.setting(load);
        let milliseconds = f64::from(options.lab_seconds()) * 1_000.0;
        let jobs = load * cluster.capacity() * options.units(milliseconds);
        let filling = (milliseconds / 4.0).max(FILLING * f64::from(options.work_ms)) / milliseconds;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive number of jobs that a machine can have"
        )]
        let count = |jobs: f64| jobs.ceil() as u32;
        Cluster {
            jobs: count(jobs),
            warm_up: count(jobs * filling),
            to_the_end: true,
            ..cluster
        }
    }

    /// A policy with reports on change, as nodes send them, whose secondaries count, as nodes' do.
    fn policy(&self, policy: PolicyKind) -> Combination {
        Combination::tracker(policy, self.plan.on_change()).passing()
    }

    /// Those whose order is known.
    fn few(&self) -> Vec<Combination> {
        let few = [
            Combination::known(Who::JoinShortest),
            self.plan.recommended(),
            Combination::known(Who::OwnConnections),
            self.policy(PolicyKind::RoundRobin),
            self.policy(PolicyKind::Random),
        ];
        let mut few = few.to_vec();
        if !self.plan.options.quick {
            let last_of_three = self.plan.recommended().admitting(Admits::Threshold(1.0), 3);
            few.insert(1, last_of_three);
            few.push(self.policy(PolicyKind::TwoChoices));
        }
        few
    }

    fn order(&self) -> Section {
        let loads = self.plan.options.lab_loads();
        let few = self.few();
        let lines = loads
            .iter()
            .flat_map(|&load| self.plan.lines(&few, "", &self.setting(load)));
        Section {
            name: ORDER,
            title: "By load".to_owned(),
            lines: lines.collect(),
        }
    }

    /// Every policy and admission, but for those that are in the other table anyway.
    fn pairs(&self) -> Section {
        let options = self.plan.options;
        let mut pairs = Vec::new();
        for &(_, policy) in PolicyKind::ALL {
            let always = self.policy(policy);
            pairs.push(always);
            pairs.push(always.admitting(Admits::Threshold(2.0), 2));
            pairs.push(always.admitting(Admits::Adaptive, 2));
        }
        let late = self.plan.each_interval();
        pairs.push(Combination::tracker(PolicyKind::LeastConnections, late).passing());
        pairs.push(self.plan.recommended().admitting(Admits::Threshold(1.5), 3));
        if options.has_part(Part::Order) {
            let few = self.few();
            pairs.retain(|pair| !few.contains(pair));
        }
        let loads = if options.loads.is_empty() {
            vec![options.at]
        } else {
            options.lab_loads()
        };
        let lines = loads
            .iter()
            .flat_map(|&load| self.plan.lines(&pairs, "", &self.setting(load)));
        Section {
            name: PAIRS,
            title: "Every other policy and admission".to_owned(),
            lines: lines.collect(),
        }
    }

    /// Other hosts and other work.
    fn hosts(&self) -> Section {
        let options = self.plan.options;
        let base = self.setting(options.at);
        let mut unequal = base.clone();
        for (at, host) in unequal.hosts.iter_mut().enumerate() {
            (host.speed, host.weight) = [(0.5, 1), (1.0, 2), (2.0, 4)][at % 3];
        }
        let as_many = |cluster: Cluster| {
            // As many jobs a second as before are another load.
            let load = base.load * base.capacity() / cluster.capacity();
            Cluster {
                load: load.min(base.load),
                ..cluster
            }
        };
        let mut slow = base.clone();
        slow.hosts[0].speed = 0.25;
        let heavy = Cluster {
            work: Work::BoundedPareto {
                exponent: 1.5,
                span: 100.0,
            },
            ..base.clone()
        };
        let failing = |noticed: Option<u32>| {
            let mut cluster = self.setting(0.6);
            cluster.hosts[0].fault = Some(Fault {
                from: 0.0,
                noticed: noticed.map(|after| options.units(f64::from(after))),
            });
            cluster
        };
        let usual = [
            Combination::known(Who::OwnConnections),
            self.policy(PolicyKind::RoundRobin),
            self.policy(PolicyKind::LeastConnections),
        ];
        let two = self.policy(PolicyKind::TwoChoices);
        let mut lines = Vec::new();
        if !options.quick {
            for (name, cluster) in [
                ("hosts of speed 1/2, 1 and 2, weighted so", as_many(unequal)),
                ("one host at a quarter of its speed", slow),
                ("bounded Pareto work", heavy),
            ] {
                lines.extend(self.plan.lines(&usual, name, &cluster));
            }
        }
        let mut drawing = usual.to_vec();
        drawing.push(two);
        let never = "one fails at once, nobody notices";
        let soon = "one fails at once, a health check notices";
        let after = CHECK_MS * CHECK_FALL;
        if options.quick {
            drawing.truncate(3);
            lines.extend(self.plan.lines(&drawing, never, &failing(None)));
        } else {
            lines.extend(self.plan.lines(&drawing, never, &failing(None)));
            lines.extend(self.plan.lines(&drawing, soon, &failing(Some(after))));
        }
        Section {
            name: HOSTS,
            title: "Other hosts and other work".to_owned(),
            lines,
        }
    }
}

#[cfg(test)]
mod tests;
