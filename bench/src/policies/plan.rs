//! Which experiments are made: sections of lines, each a combination in a setting.

use jlb_flow_tracker::policy::PolicyKind;
use jlb_queueing::{Admits, Cluster, Fault, Hears, Host, Overload, Reports, Work};

use super::args::PoliciesOptions;
use super::combination::{Combination, Who};

/// One line of a table: a combination in a setting, run with every seed.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) combination: Combination,
    /// The setting's name, where a section has several.
    pub(crate) setting: String,
    pub(crate) cluster: Cluster,
    /// What theory or a paper says that the mean is.
    pub(crate) expected: Option<f64>,
}

/// Experiments that belong together.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) title: String,
    pub(crate) lines: Vec<Line>,
}

/// Jobs that are timed in each run of a fact, at least: a model that is wrong should be seen.
const FACT_JOBS: u32 = 150_000;

/// The name of the large table.
pub(crate) const GRID: &str = "grid";
/// The name of the sweep over reports.
pub(crate) const REPORTS: &str = "reports";
/// The name of the sweep over numbers of trackers.
pub(crate) const TRACKERS: &str = "trackers";

/// Everything.
pub(crate) fn sections(options: &PoliciesOptions) -> Vec<Section> {
    let plan = Plan { options };
    vec![
        plan.facts(),
        plan.grid(),
        plan.reports(),
        plan.trackers(),
        plan.others(),
        plan.failing(),
        plan.tried(),
    ]
}

/// What the experiments have in common.
pub(crate) struct Plan<'a> {
    pub(crate) options: &'a PoliciesOptions,
}

impl Plan<'_> {
    /// The usual setting at a load.
    pub(crate) fn setting(&self, load: f64) -> Cluster {
        let options = self.options;
        let jobs = options.timed_jobs();
        let host = Host {
            discipline: options.serving.into(),
            ..Host::new(f64::from(options.cores))
        };
        Cluster {
            hosts: vec![host; usize::from(options.hosts)],
            trackers: options.trackers,
            delay: options.units(f64::from(options.delay_us) / 1_000.0),
            jobs,
            // Nearly full hosts take long to get there.
            warm_up: if load > 0.9 { jobs } else { jobs / 4 },
            ..Cluster::srlb(load)
        }
    }

    fn line(&self, combination: Combination, load: f64) -> Line {
        Line {
            combination,
            setting: String::new(),
            cluster: self.setting(load),
            expected: None,
        }
    }

    /// Reports each interval alone.
    pub(crate) fn each_interval(&self) -> Reports {
        self.each(f64::from(self.options.interval_ms), None)
    }

    /// Reports on change too.
    pub(crate) fn on_change(&self) -> Reports {
        let gap = f64::from(self.options.change_ms);
        self.each(f64::from(self.options.interval_ms), Some(gap))
    }

    fn each(&self, interval_ms: f64, gap_ms: Option<f64>) -> Reports {
        Reports {
            interval: self.options.units(interval_ms),
            on_change: gap_ms.map(|gap| self.options.units(gap)),
        }
    }

    /// What is known: the model has to find it again. Always in the paper's setting.
    fn facts(&self) -> Section {
        let jobs = self.options.timed_jobs().max(FACT_JOBS);
        let cluster = Cluster {
            trackers: 1,
            delay: 0.0,
            jobs,
            warm_up: jobs / 4,
            ..Cluster::srlb(0.88)
        };
        let fact = |who, setting: &str, expected: f64| Line {
            combination: Combination::known(who),
            setting: setting.to_owned(),
            cluster: cluster.clone(),
            expected: Some(expected),
        };
        let alone = Line {
            cluster: Cluster {
                hosts: vec![Host::new(1.0)],
                load: 0.8,
                ..cluster.clone()
            },
            ..fact(Who::Random, "one core, load 0.8: 1 / (1 - load)", 5.0)
        };
        let paper = "12 hosts of 2 cores, load 0.88";
        let random = "the same: 1 / (1 - load²)";
        Section {
            name: "facts",
            title: "What theory and the SRLB paper know, and what the model finds".to_owned(),
            lines: vec![
                alone,
                fact(Who::Random, random, 1.0 / (1.0 - 0.88_f64.powi(2))),
                fact(Who::Knowing(PolicyKind::RoundRobin), paper, 2.7),
                fact(Who::SegmentRouting(4), paper, 1.88),
                fact(Who::TwoChoices, paper, 1.64),
                fact(Who::JoinShortest, paper, 1.2),
            ],
        }
    }

    fn baselines(&self) -> Vec<Combination> {
        let sr4 = usize::from(self.options.cores) * 2;
        vec![
            Combination::known(Who::JoinShortest),
            Combination::known(Who::TwoChoices),
            Combination::known(Who::SegmentRouting(sr4)),
            Combination::known(Who::OwnConnections),
        ]
    }

    /// Least connections with reports on change, where secondaries count what they pass on.
    pub(crate) fn recommended(&self) -> Combination {
        Combination::tracker(PolicyKind::LeastConnections, self.on_change()).passing()
    }

    /// Every pair of policy and admission, with reports each interval and on change.
    fn grid(&self) -> Section {
        let mut combinations = self.baselines();
        for reports in [self.each_interval(), self.on_change()] {
            for &(_, policy) in PolicyKind::ALL {
                let always = Combination::tracker(policy, reports);
                combinations.push(always);
                combinations.push(always.admitting(Admits::Threshold(2.0), 2));
                combinations.push(always.admitting(Admits::Adaptive, 2));
            }
        }
        combinations.push(self.recommended());
        for each in [1.0, 1.5] {
            combinations.push(self.recommended().admitting(Admits::Threshold(each), 3));
        }
        let loads = self.options.grid_loads();
        let lines = loads.iter().flat_map(|&load| {
            let combinations = combinations.iter();
            combinations.map(move |&combination| self.line(combination, load))
        });
        Section {
            name: GRID,
            title: "Every policy and admission, by load".to_owned(),
            lines: lines.collect(),
        }
    }

    /// How late reports may be.
    fn reports(&self) -> Section {
        let intervals = [10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0];
        let gaps = [0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];
        let least = |reports| Combination::tracker(PolicyKind::LeastConnections, reports);
        let two = |reports| Combination::tracker(PolicyKind::TwoChoices, reports);
        let mut combinations = vec![Combination::known(Who::JoinShortest)];
        for &interval in &intervals {
            combinations.push(least(self.each(interval, None)));
        }
        for &interval in &intervals {
            combinations.push(two(self.each(interval, None)));
        }
        for &gap in &gaps {
            combinations.push(least(self.each(100.0, Some(gap))));
        }
        for &gap in &gaps {
            combinations.push(least(self.each(100.0, Some(gap))).passing());
        }
        Section {
            name: REPORTS,
            title: format!("How late reports may be, at load {}", self.options.at),
            lines: self.lines(&combinations, "", &self.setting(self.options.at)),
        }
    }

    /// These combinations in a setting.
    pub(crate) fn lines(
        &self,
        combinations: &[Combination],
        setting: &str,
        cluster: &Cluster,
    ) -> Vec<Line> {
        let line = |&combination: &Combination| Line {
            setting: setting.to_owned(),
            cluster: cluster.clone(),
            ..self.line(combination, cluster.load)
        };
        combinations.iter().map(line).collect()
    }

    /// How many trackers share the flows.
    fn trackers(&self) -> Section {
        let mut lines = Vec::new();
        for trackers in [1, 2, 4, 8, 16] {
            let cluster = Cluster {
                trackers,
                ..self.setting(self.options.at)
            };
            let today = Combination::tracker(PolicyKind::LeastConnections, self.each_interval());
            let changes = Combination::tracker(PolicyKind::LeastConnections, self.on_change());
            let combinations = [
                Combination::known(Who::JoinShortest),
                Combination::known(Who::OwnConnections),
                today,
                changes,
                self.recommended(),
            ];
            let named = format!("{trackers} trackers");
            lines.extend(self.lines(&combinations, &named, &cluster));
        }
        Section {
            name: TRACKERS,
            title: format!("By number of trackers, at load {}", self.options.at),
            lines,
        }
    }

    /// Other work, other hosts.
    fn others(&self) -> Section {
        let base = self.setting(self.options.at);
        let cores = f64::from(self.options.cores);
        let mut unequal = base.clone();
        for (at, host) in unequal.hosts.iter_mut().enumerate() {
            // A third each: half, as many, twice as many cores; weighted so.
            let (factor, weight) = [(0.5, 1), (1.0, 2), (2.0, 4)][at % 3];
            host.cores = cores * factor;
            host.weight = weight;
        }
        let mut unknown = unequal.clone();
        for host in &mut unknown.hosts {
            host.weight = 1;
        }
        let mut slow = base.clone();
        slow.hosts[0].speed = 0.25;
        let pareto = Work::BoundedPareto {
            exponent: 1.5,
            span: 1_000.0,
        };
        let hyper = Work::Hyperexponential {
            squared_variation: 10.0,
        };
        let many = Cluster {
            hosts: vec![base.hosts[0]; 100],
            ..base.clone()
        };
        let settings = [
            (
                "bounded Pareto work",
                Cluster {
                    work: pareto,
                    ..base.clone()
                },
            ),
            (
                "hyperexponential work",
                Cluster {
                    work: hyper,
                    ..base
                },
            ),
            ("hosts of 1, 2 and 4 times the cores, weighted", unequal),
            ("the same, weights all 1", unknown),
            ("one host at a quarter of its speed", slow),
            ("100 hosts", many),
        ];
        let policy = |policy| Combination::tracker(policy, self.each_interval());
        let mut combinations = self.baselines();
        combinations.extend([
            policy(PolicyKind::RoundRobin),
            policy(PolicyKind::LeastConnections),
            self.recommended().not_comparing(),
            self.recommended(),
            self.recommended().admitting(Admits::Threshold(1.0), 3),
        ]);
        let lines = settings
            .iter()
            .flat_map(|(name, cluster)| self.lines(&combinations, name, cluster));
        Section {
            name: "others",
            title: format!("Other work and other hosts, at load {}", self.options.at),
            lines: lines.collect(),
        }
    }

    /// A host that answers at once, with errors.
    fn failing(&self) -> Section {
        let mut lines = Vec::new();
        for (load, name, noticed) in [
            (0.6, "never noticed, load 0.6", None),
            (0.3, "never noticed, load 0.3", None),
            (0.88, "never noticed, load 0.88", None),
            (
                0.6,
                "health check notices after 3 s, load 0.6",
                Some(3_000.0),
            ),
        ] {
            let mut cluster = self.setting(load);
            cluster.hosts[0].fault = Some(Fault {
                from: 0.0,
                noticed: noticed.map(|after| self.options.units(after)),
            });
            let mut combinations = vec![Combination::known(Who::OwnConnections)];
            for policy in [PolicyKind::RoundRobin, PolicyKind::Random] {
                combinations.push(Combination::tracker(policy, self.each_interval()));
            }
            for policy in [
                PolicyKind::MaxConnections,
                PolicyKind::TwoChoices,
                PolicyKind::LeastConnections,
            ] {
                for reports in [self.each_interval(), self.on_change()] {
                    let now = Combination::tracker(policy, reports);
                    combinations.extend([now.not_comparing(), now]);
                }
            }
            combinations.extend([self.recommended().not_comparing(), self.recommended()]);
            lines.extend(self.lines(&combinations, name, &cluster));
        }
        Section {
            name: "failing",
            title: "One host fails at once whatever it is given".to_owned(),
            lines,
        }
    }

    /// What was tried beside, and is worth less than it costs.
    fn tried(&self) -> Section {
        let changes = Combination::tracker(PolicyKind::LeastConnections, self.on_change());
        let late = Combination::tracker(PolicyKind::LeastConnections, self.each_interval());
        let hearing = |combination: Combination, rejects, accepts| Combination {
            hears: Hears {
                rejects,
                accepts,
                ..combination.hears
            },
            ..combination
        };
        let refusing = |combination: Combination| Combination {
            overload: Overload::Refuse,
            ..combination
        };
        let mut combinations = Vec::new();
        for base in [late, changes] {
            let threshold = base.admitting(Admits::Threshold(1.5), 3);
            combinations.extend([
                base,
                base.passing(),
                hearing(base, false, true),
                hearing(base.passing(), true, true),
                threshold,
                threshold.passing(),
                hearing(threshold, true, false),
                hearing(threshold.passing(), true, true),
                base.admitting(Admits::Threshold(1.0), 2),
                base.admitting(Admits::Threshold(1.0), 4),
                base.admitting(Admits::Threshold(1.5), 12),
                refusing(base.admitting(Admits::Threshold(2.0), 4)),
                refusing(base.admitting(Admits::Threshold(2.0), 12)),
                base.admitting(Admits::Adaptive, 4),
            ]);
        }
        Section {
            name: "tried",
            title: format!("What else was tried, at load {}", self.options.at),
            lines: self.lines(&combinations, "", &self.setting(self.options.at)),
        }
    }
}
