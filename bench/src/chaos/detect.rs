//! `jlb lab detect`: how soon the death of a node is seen by those who need to know, and whether
//! nodes are ever taken for dead that are not.

use std::collections::BTreeSet;
use std::fmt;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::cluster::Cluster;
use super::detection::{ACTIVE, DOWN, Finding, findings, machine_pauses, wall_clock};
use super::gaps::Spread;
use super::lab_options;
use super::script::Step;
use crate::args::DetectOptions;
use crate::error::{Doing, LabError, Result};
use crate::lab::{Lab, Setting};
use crate::netns::Namespace;
use crate::plan::{Counts, Node, Plan, Role};
use crate::run::say;

/// The death of a tracker or an ingress must be seen by everybody within this.
const BOUND: Duration = Duration::from_millis(500);
/// After this it is not waited for any more.
const DEADLINE: Duration = Duration::from_secs(5);
/// How often logs are read.
const INTERVAL: Duration = Duration::from_millis(50);
/// What is found so soon before or after the machine stood still, in microseconds, is found of it.
const OF_A_PAUSE: i64 = 1_000_000;
/// The table of the rule that loses messages.
const TABLE: &str = "jlb_loss";
/// What a view needs to be quiet after a change.
const QUIET: Duration = Duration::from_millis(500);

/// What was measured; times in milliseconds.
#[derive(Debug, Default, Serialize)]
struct Report {
    ok: bool,
    kills: u32,
    /// Until an ingress or a tracker saw it, over all kills and all of these.
    detection_ms: Spread,
    /// Until the last of these saw it, over all kills.
    worst_of_kill_ms: Spread,
    /// Until a host saw it, over all kills and all hosts.
    detection_by_host_ms: Spread,
    /// Deaths that somebody did not see at all, in words.
    unseen: Vec<String>,
    watches: Vec<Watch>,
}

/// A time in which nobody died.
#[derive(Debug, Serialize)]
struct Watch {
    under: String,
    seconds: u64,
    /// Messages that were lost on purpose.
    lost: Option<u64>,
    /// Times that the whole machine stood still: every node noticed it, and had to take all others
    /// for dead until they answered (R11).
    machine_pauses: usize,
    /// Nodes taken for dead at other times, in words.
    false_alarms: Vec<String>,
}

/// Runs the measurement that is asked for.
pub(crate) async fn run(options: &DetectOptions) -> Result<ExitCode> {
    let counts = Counts {
        ingress: 3,
        trackers: 3,
        hosts: 4,
    };
    if options.loss > 0 && options.watch_seconds > 0 {
        // Better now than after all the kills.
        nft("list tables")?;
    }
    let mut lab = Lab::build(&lab_options(counts), Setting::USUAL)?;
    lab.ready().await?;
    sleep(QUIET).await;
    let mut cluster = Cluster::new(lab);
    let mut report = Report::default();
    kill(&mut cluster, options.kills, &mut report).await?;
    let time = Duration::from_secs(options.watch_seconds);
    if options.loss > 0 && !time.is_zero() {
        let watch = watch_losing(&mut cluster, options.loss, time).await?;
        report.watches.push(watch);
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let usual = u32::try_from(processors).unwrap_or(1).saturating_add(1);
    let spinning = options.spinning.unwrap_or(usual);
    if spinning > 0 && !time.is_zero() {
        let watch = watch_spinning(&mut cluster, spinning, time).await?;
        report.watches.push(watch);
    }
    cluster.take_down()?;
    report.judge();
    if options.json {
        let text = serde_json::to_string_pretty(&report).doing("write the report")?;
        say(format_args!("{text}\n"))?;
    } else {
        say(format_args!("{report}"))?;
    }
    Ok(if report.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Report {
    fn judge(&mut self) {
        self.ok = self.unseen.is_empty()
            && self.detection_ms.max < BOUND.as_secs_f64() * 1e3
            && self
                .watches
                .iter()
                .all(|watch| watch.false_alarms.is_empty());
    }
}

/// Kills ingress nodes and trackers in turns.
async fn kill(cluster: &mut Cluster, kills: u32, report: &mut Report) -> Result<()> {
    let plan = cluster.lab().plan().clone();
    let victims: Vec<&Node> = turns(&plan);
    let (mut all, mut worst, mut by_host) = (Vec::new(), Vec::new(), Vec::new());
    for victim in victims.iter().cycle().take(kills as usize) {
        let since = wall_clock();
        let one = vec![victim.name.clone()];
        cluster.perform(&Step::Kill(one.clone())).await?;
        let observers = observers(&plan, victim);
        let seen = wait_for(&plan, DOWN, since, victim, &observers).await;
        let time = |finding: &Finding| {
            let micros = finding.at.saturating_sub(since);
            Duration::from_micros(u64::try_from(micros).unwrap_or(0))
        };
        let (hosts, nodes): (Vec<&Finding>, Vec<&Finding>) = seen
            .iter()
            .partition(|finding| plan.of(Role::Host).any(|host| host.name == finding.by));
        let times: Vec<Duration> = nodes.into_iter().map(time).collect();
        worst.extend(times.iter().max());
        all.extend(times);
        by_host.extend(hosts.into_iter().map(time));
        let saw: BTreeSet<&str> = seen.iter().map(|finding| finding.by.as_str()).collect();
        let blind: Vec<&str> = observers.difference(&saw).copied().collect();
        if !blind.is_empty() {
            let (victim, blind) = (&victim.name, blind.join(", "));
            report.unseen.push(format!("{victim}, by {blind}"));
        }
        report.kills += 1;
        cluster.perform(&Step::Ended(one.clone())).await?;
        let since = wall_clock();
        cluster.perform(&Step::Start(one.clone())).await?;
        cluster.perform(&Step::Ready(one)).await?;
        wait_for(&plan, ACTIVE, since, victim, &observers).await;
        sleep(QUIET).await;
    }
    report.detection_ms = Spread::of(all)?;
    report.worst_of_kill_ms = Spread::of(worst)?;
    report.detection_by_host_ms = Spread::of(by_host)?;
    Ok(())
}

/// Trackers and ingress nodes, one of each in turns.
fn turns(plan: &Plan) -> Vec<&Node> {
    let (trackers, ingress) = (plan.of(Role::Tracker), plan.of(Role::Ingress));
    trackers
        .zip(ingress)
        .flat_map(|(tracker, ingress)| [tracker, ingress])
        .collect()
}

/// Who speaks with a node, and so must see its death: ingress nodes do not with each other.
fn observers<'a>(plan: &'a Plan, victim: &Node) -> BTreeSet<&'a str> {
    let others = plan.nodes.iter().filter(|node| {
        node.name != victim.name && (node.role != victim.role || node.role == Role::Tracker)
    });
    others.map(|node| node.name.as_str()).collect()
}

/// The first finding of each observer about `peer`; not waited for for ever.
async fn wait_for(
    plan: &Plan,
    what: &str,
    since: i64,
    peer: &Node,
    observers: &BTreeSet<&str>,
) -> Vec<Finding> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let found = firsts(findings(plan, what, since), &peer.name, observers);
        if found.len() >= observers.len() || Instant::now() >= deadline {
            return found;
        }
        sleep(INTERVAL).await;
    }
}

fn firsts(findings: Vec<Finding>, peer: &str, observers: &BTreeSet<&str>) -> Vec<Finding> {
    let mut firsts: Vec<Finding> = Vec::new();
    for finding in findings {
        let counts = finding.peer == peer && observers.contains(finding.by.as_str());
        if counts && !firsts.iter().any(|first| first.by == finding.by) {
            firsts.push(finding);
        }
    }
    firsts
}

/// Waits, and counts who is taken for dead.
async fn watch(cluster: &mut Cluster, under: String, time: Duration) -> Result<Watch> {
    let since = wall_clock();
    let end = Instant::now() + time;
    while Instant::now() < end {
        cluster.lab_mut().check()?;
        sleep(QUIET).await;
    }
    let plan = cluster.lab().plan();
    let pauses = machine_pauses(plan, since);
    let found = findings(plan, DOWN, since);
    let of_a_pause = |at: i64| pauses.iter().any(|pause| (at - pause).abs() <= OF_A_PAUSE);
    let alarms = found.iter().filter(|finding| !of_a_pause(finding.at));
    let alarms = alarms.map(|finding| {
        let millis = finding.at.saturating_sub(since) / 1_000;
        format!("{} by {} after {millis} ms", finding.peer, finding.by)
    });
    Ok(Watch {
        under,
        seconds: time.as_secs(),
        lost: None,
        machine_pauses: pauses.len(),
        false_alarms: alarms.collect(),
    })
}

/// Watches while this share of the messages between nodes is lost.
async fn watch_losing(cluster: &mut Cluster, percent: u32, time: Duration) -> Result<Watch> {
    let plan = cluster.lab().plan().clone();
    lose(&plan, percent)?;
    let watch = watch(cluster, format!("{percent} % loss"), time).await?;
    let lost = stop_losing(&plan)?;
    if lost == 0 {
        return Err(LabError::new("nft was to lose messages, and lost none"));
    }
    Ok(Watch {
        lost: Some(lost),
        ..watch
    })
}

/// Watches while so many processes take all the time that they get.
async fn watch_spinning(cluster: &mut Cluster, count: u32, time: Duration) -> Result<Watch> {
    let names = cluster.lab_mut().spin(count)?;
    let watch = watch(cluster, format!("{count} busy processes"), time).await?;
    cluster.perform(&Step::Kill(names.clone())).await?;
    cluster.perform(&Step::Ended(names)).await?;
    Ok(watch)
}

/// Has every node lose this share of the messages that reach it.
fn lose(plan: &Plan, percent: u32) -> Result<()> {
    let rules = format!(
        "add table inet {TABLE}\n\
         add chain inet {TABLE} in {{ type filter hook input priority 0; }}\n\
         add rule inet {TABLE} in udp dport 6081 numgen random mod 100 < {percent} counter drop\n"
    );
    for node in &plan.nodes {
        Namespace::existing(&plan.namespace(&node.name)).run(|| nft(&rules).map(|_| ()))?;
    }
    Ok(())
}

/// Has nobody lose any more; how many were lost.
fn stop_losing(plan: &Plan) -> Result<u64> {
    let mut lost = 0;
    for node in &plan.nodes {
        let listed = Namespace::existing(&plan.namespace(&node.name)).run(|| {
            let listed = nft(&format!("list table inet {TABLE}"))?;
            nft(&format!("delete table inet {TABLE}"))?;
            Ok(listed)
        })?;
        lost += counted(&listed);
    }
    Ok(lost)
}

/// What the counters of a table as nft lists it say.
fn counted(listed: &str) -> u64 {
    let counters = listed.split("counter packets ").skip(1);
    let counts = counters.filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    counts.sum()
}

/// Gives a command to nft in the namespace of the calling thread; returns what it says.
fn nft(command: &str) -> Result<String> {
    let output = Command::new("nft")
        .arg(command)
        .stdin(Stdio::null())
        .output()
        .doing("run nft")
        .map_err(|error| error.mend("install nftables, or leave the watch out"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(LabError::new(format!(
        "nft refuses to lose packets: {said}"
    )))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spread = |spread: &Spread| {
            let Spread { p50, p99, max } = spread;
            format!("p50 {p50:.0}, p99 {p99:.0}, worst {max:.0} ms")
        };
        let rows = [
            ("by each other ingress and tracker", &self.detection_ms),
            ("by all of those", &self.worst_of_kill_ms),
            ("by each host", &self.detection_by_host_ms),
        ];
        writeln!(f, "{} kills of trackers and ingress nodes", self.kills)?;
        for (who, times) in rows {
            writeln!(f, "  seen {who:<33}  {}", spread(times))?;
        }
        for unseen in &self.unseen {
            writeln!(
                f,
                "  PROBLEM  not seen within {} s: {unseen}",
                DEADLINE.as_secs()
            )?;
        }
        for watch in &self.watches {
            let count = watch.false_alarms.len();
            write!(
                f,
                "{count} false alarms in {} s under {}",
                watch.seconds, watch.under
            )?;
            match watch.lost {
                Some(lost) => writeln!(f, " ({lost} messages lost)")?,
                None => writeln!(f)?,
            }
            if watch.machine_pauses > 0 {
                let pauses = watch.machine_pauses;
                writeln!(
                    f,
                    "  the machine itself stood still {pauses} times meanwhile"
                )?;
            }
            for alarm in watch.false_alarms.iter().take(10) {
                writeln!(f, "  PROBLEM  {alarm}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
