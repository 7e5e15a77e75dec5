//! `jlb lab chaos`: nodes die, stop, pause, come and go under thousands of real connections, and
//! none of these may break.

mod clients;
mod cluster;
pub(crate) mod detect;
mod detection;
mod gaps;
mod outcome;
mod paths;
mod scenario;
mod script;
mod shares;

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::args::{ChaosOptions, LabOptions, PacketIo, Underlay, Web};
use crate::error::{Doing, LabError, Result};
use crate::lab::{Lab, Setting};
use crate::netns::Namespace;
use crate::plan::{Addresses, Counts, Plan, VIP_V4, VIP_V6};
use crate::run::say;
use crate::topology::CLIENT;
use clients::{Board, Crowd, Phase, Stage};
use cluster::Cluster;
use detection::{DOWN, detection, findings, wall_clock};
use outcome::{Facts, Outcome, text::heading};
use paths::Paths;
use scenario::Scenario;
use script::{Cast, How, Step};
use shares::{Ranker, Shares, changed_ingress, trackers};

/// Long-lived connections opened a second: two processors should not be the limit.
const OPENING_RATE: f64 = 600.0;
/// How long all of them may take to be there, beyond what that rate makes.
const OPENING_DEADLINE: Duration = Duration::from_secs(60);
/// How long they move before the fault.
const BEFORE: Duration = Duration::from_secs(2);
/// How long they move, at least, when all is well again.
const AFTER: Duration = Duration::from_secs(3);
/// How long the end of a connection may take, and an open.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two scenarios: idle flows of the router's groups find their places anew.
const SETTLE: Duration = Duration::from_secs(2);
/// How often is looked how far the clients are.
const INTERVAL: Duration = Duration::from_millis(50);

/// Prints the scenarios.
pub(crate) fn list() -> Result<ExitCode> {
    for scenario in Scenario::ALL {
        say(format_args!(
            "{:<26}  {}\n",
            scenario.name(),
            scenario.what()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is printed with `--json`.
#[derive(Debug, Serialize)]
struct Document<'a> {
    ok: bool,
    scenarios: &'a [Outcome],
}

/// Runs the scenarios that are asked for.
pub(crate) async fn run(options: &ChaosOptions) -> Result<ExitCode> {
    let how = How {
        detect: Duration::from_millis(options.detect_ms),
        away: Duration::from_millis(options.away_ms),
        agent_away: Duration::from_millis(options.agent_away_ms),
        pause: Duration::from_millis(options.pause_ms),
        // Another program may know neither strangers nor services of any host.
        newcomers: options.program.is_none(),
        older: options.older.clone(),
    };
    let scenarios = chosen(&options.scenario, &how)?;
    // With --json there is nothing else on standard output.
    let tell = |words: &str| {
        if options.json {
            eprintln!("{words}");
            Ok(())
        } else {
            say(format_args!("{words}\n"))
        }
    };
    let mut chaos = None;
    let mut outcomes = Vec::new();
    tell(&heading())?;
    for scenario in scenarios {
        let ready = match chaos.take() {
            Some(chaos) => chaos,
            None => Chaos::build(options, &how).await?,
        };
        let (outcome, left) = ready.play(scenario).await;
        tell(&outcome.to_string())?;
        outcomes.push(outcome);
        chaos = left;
    }
    if let Some(chaos) = chaos {
        chaos.cluster.take_down()?;
    }
    let ok = outcomes.iter().all(|outcome| outcome.problems.is_empty());
    if options.json {
        let document = Document {
            ok,
            scenarios: &outcomes,
        };
        let text = serde_json::to_string_pretty(&document).doing("write the report")?;
        say(format_args!("{text}\n"))?;
    }
    Ok(if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The scenarios of these names, or all that can run.
fn chosen(names: &[String], how: &How) -> Result<Vec<Scenario>> {
    if names.is_empty() {
        let possible = Scenario::ALL.into_iter();
        return Ok(possible
            .filter(|scenario| scenario.is_possible(how))
            .collect());
    }
    let find = |name: &String| {
        let found = Scenario::ALL
            .into_iter()
            .find(|scenario| scenario.name() == name);
        let found = found.ok_or_else(|| {
            LabError::new(format!("there is no scenario {name}"))
                .mend("`jlb lab chaos --list` lists them")
        })?;
        if found.is_possible(how) {
            Ok(found)
        } else {
            let mend = if found == Scenario::Upgrade {
                "name an older program with --older"
            } else {
                "leave --program out"
            };
            Err(LabError::new(format!("{name} cannot run so")).mend(mend))
        }
    };
    names.iter().map(find).collect()
}

/// A lab in which things happen.
struct Chaos<'a> {
    options: &'a ChaosOptions,
    how: &'a How,
    cluster: Cluster,
    cast: Cast,
    paths: Paths,
    ranker: Ranker,
}

impl<'a> Chaos<'a> {
    async fn build(options: &'a ChaosOptions, how: &'a How) -> Result<Self> {
        let spares = Counts {
            ingress: 1,
            trackers: 1,
            hosts: 2,
        };
        let setting = Setting {
            spares: if how.newcomers {
                spares
            } else {
                Setting::USUAL.spares
            },
            // The router has noticed by then.
            stop_delay: how.detect * 2 + Duration::from_millis(300),
            program: options.program.clone(),
        };
        let counts = Counts {
            ingress: options.ingress,
            trackers: options.trackers,
            hosts: options.hosts,
        };
        let mut lab = Lab::build(&lab_options(counts), setting)?;
        lab.ready().await?;
        Ok(Self {
            options,
            how,
            cast: Cast::of(lab.plan()),
            paths: Paths::watch(lab.plan())?,
            ranker: Ranker::of(lab.plan())?,
            cluster: Cluster::new(lab),
        })
    }

    /// Plays one scenario. The lab is only used again if all in it is as before.
    async fn play(mut self, scenario: Scenario) -> (Outcome, Option<Self>) {
        match self.try_play(scenario).await {
            Ok((outcome, None)) => (outcome, Some(self)),
            Ok((mut outcome, Some(not_restored))) => {
                outcome.problems.push(not_restored.to_string());
                (outcome, None)
            }
            Err(error) => (Outcome::failed(scenario.name(), error.to_string()), None),
        }
    }

    /// The outcome, and why the lab is not as it was, if it isn't.
    async fn try_play(&mut self, scenario: Scenario) -> Result<(Outcome, Option<LabError>)> {
        for step in scenario.prelude(&self.cast, self.how) {
            self.cluster.perform(&step).await?;
        }
        self.cluster.set_group(scenario.group())?;
        sleep(SETTLE).await;
        self.paths.forget();

        let begun = Instant::now();
        let (stage, course) = watch::channel(Stage::now(Phase::Before));
        let board = Arc::new(Board::default());
        let clients = self.clients(course, &board);
        let clients = tokio::spawn(clients);
        self.opened(&board).await?;
        sleep(BEFORE).await;

        let live = board.live();
        let before = self.paths.now();
        let plan = self.cluster.lab().plan();
        let active = trackers(plan.nodes.iter());
        let shares = Shares::of(plan, &live, &before, &self.ranker, &active)?;
        let script = scenario
            .script(&shares, &self.cast, self.how)
            .ok_or_else(|| LabError::new("there is nobody to whom it could happen"))?;

        let mut changed = None;
        // What is seen from now on is seen after the fault.
        self.paths.forget();
        let (fault, wall) = (Instant::now(), wall_clock());
        stage.send_replace(Stage::now(Phase::During));
        for step in &script.fault {
            if *step == Step::Look {
                changed = Some(changed_ingress(&before, &self.paths.now(), &live));
            } else {
                self.cluster.perform(step).await?;
            }
        }
        if script.after.is_empty() {
            self.cluster.healthy().await?;
        }
        let restored = fault.elapsed();
        stage.send_replace(Stage::now(Phase::After));
        let budget = fault + Duration::from_secs(self.options.seconds);
        sleep_until(budget.max(Instant::now() + AFTER)).await;
        stage.send_replace(Stage::now(Phase::End));
        let seen = clients.await.doing("run the clients")??;

        let found = findings(self.cluster.lab().plan(), DOWN, wall);
        let facts = Facts {
            script: &script,
            begun,
            fault,
            restored,
            changed_ingress: changed,
            most_stall: Duration::from_millis(self.options.most_stall_ms),
            detection: detection(self.cluster.lab().plan(), &found, &script.lost(), wall),
        };
        let outcome = Outcome::of(scenario.name(), &facts, &seen)?;
        let restored = self.restore(&script.after).await;
        Ok((outcome, restored.err()))
    }

    /// Makes everything as it was.
    async fn restore(&mut self, steps: &[Step]) -> Result<()> {
        for step in steps {
            self.cluster.perform(step).await?;
        }
        self.cluster.healthy().await
    }

    /// The clients, in their namespace.
    fn clients(
        &self,
        course: watch::Receiver<Stage>,
        board: &Arc<Board>,
    ) -> impl Future<Output = Result<clients::Seen>> + Send + use<> {
        let sources: Vec<IpAddr> = Plan::client()
            .flat_map(Addresses::with_prefixes)
            .map(|(address, _)| address)
            .collect();
        let crowd = Crowd {
            targets: [IpAddr::from(VIP_V4), VIP_V6.into()]
                .map(|vip| SocketAddr::new(vip, 80))
                .to_vec(),
            sources,
            connections: self.options.connections,
            opening_rate: OPENING_RATE,
            new_rate: f64::from(self.options.new_rate),
            patience: PATIENCE,
        };
        let client = Namespace::existing(&self.cluster.lab().plan().namespace(CLIENT));
        let board = Arc::clone(board);
        async move {
            let work = move || clients::run_here(&crowd, course, &board);
            client.start(work).await
        }
    }

    /// Waits until every connection works, or has failed.
    async fn opened(&mut self, board: &Board) -> Result<()> {
        let wanted = self.options.connections;
        let time = Duration::from_secs_f64(f64::from(wanted) / OPENING_RATE);
        let deadline = Instant::now() + time + OPENING_DEADLINE;
        while board.settled() < wanted {
            if Instant::now() >= deadline {
                let settled = board.settled();
                return Err(LabError::new(format!(
                    "only {settled} of {wanted} connections were made"
                )));
            }
            self.cluster.lab_mut().check()?;
            sleep(INTERVAL).await;
        }
        match board.broken() {
            failed if failed == wanted => Err(LabError::new("no connection can be made")),
            _ => Ok(()),
        }
    }
}

/// A lab of the usual kind, with so many nodes.
pub(crate) fn lab_options(counts: Counts) -> LabOptions {
    LabOptions {
        seconds: 0,
        connections: 1,
        rate: None,
        web: Web::Embedded,
        keep: false,
        json: false,
        ingress: counts.ingress,
        trackers: counts.trackers,
        hosts: counts.hosts,
        underlay: Underlay::Ipv4,
        packet_io: PacketIo::Tun,
        xdp_strip: false,
        policy: "round-robin".to_owned(),
        tcp_service: Vec::new(),
        ingress_line: Vec::new(),
    }
}
