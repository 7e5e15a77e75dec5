//! What a scenario showed.

pub(crate) mod text;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::clients::{Ended, Kind, Seen};
use super::gaps::Spread;
use super::script::Script;
use crate::error::Result;
use crate::load::{ErrorKind, Failure};

/// Failures whose words are kept.
const KEPT_WORDS: usize = 6;
/// Stalls of which more is told than their number.
const KEPT_STALLS: usize = 8;
/// A gap of this length or more is a stall that the fault made.
const STALL: Duration = Duration::from_millis(150);
/// An open that a host took by then may have been taken by one that just died.
const TAKEN_BY_THE_DEAD: Duration = Duration::from_secs(2);

/// What one scenario showed; times in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    /// What was not as it must be.
    pub(crate) problems: Vec<String>,
    /// Long-lived connections that worked before the fault.
    pub(crate) connections: usize,
    /// By kind.
    pub(crate) kinds: BTreeMap<Kind, usize>,
    /// Those of them that failed, got wrong bytes or stood still to the end.
    pub(crate) broken: usize,
    /// Connections that were not made or got no right answer, long-lived ones included.
    pub(crate) failed_opens: usize,
    /// Short connections that were opened, used and closed meanwhile.
    pub(crate) new_opens: usize,
    /// Connections that failed together with the host that they were at.
    pub(crate) lost_with_host: usize,
    /// Those of them that were long-lived, by how they learnt of it.
    pub(crate) lost_by: BTreeMap<&'static str, usize>,
    /// Those of the long-lived that spoke and got no reset; who only listens can't get one.
    pub(crate) lost_untold: usize,
    /// Nodes that the fault hit.
    pub(crate) hit: Vec<String>,
    /// The share of connections that passed through those, from 0 to 1.
    pub(crate) share_hit: f64,
    /// The share of connections whose packets came to another ingress after the fault.
    pub(crate) changed_ingress: Option<f64>,
    /// Connections that moved checked bytes before, during and after the fault.
    pub(crate) moved: Moved,
    /// The longest wait of each connection that ended before the fault.
    pub(crate) stall_before_ms: Spread,
    /// The longest wait of each connection that ended since.
    pub(crate) stall_ms: Spread,
    /// Connections that stood still for 150 ms or more since.
    pub(crate) stalled: usize,
    /// The same by kind.
    pub(crate) stalled_kinds: BTreeMap<Kind, usize>,
    /// The longest of those, the longest first.
    pub(crate) longest_stalls: Vec<Stall>,
    /// From the SYN of a new connection to its answer.
    pub(crate) open_ms: Spread,
    /// From the fault until others saw it; nothing where nobody went down.
    pub(crate) detection_ms: Option<Detection>,
    /// From the fault until the last connection moved again that stalled before all was well.
    pub(crate) recovery_ms: Option<f64>,
    /// From the fault until all that was to happen had happened, and all nodes were ready.
    pub(crate) restored_ms: f64,
    /// From the first connection to the last.
    pub(crate) seconds: f64,
    /// The first failures in words.
    pub(crate) first_failures: Vec<String>,
}

/// A connection stood still.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Stall {
    pub(crate) kind: Kind,
    /// For how long.
    pub(crate) ms: f64,
    /// How long after the fault it moved again.
    pub(crate) ended_ms: f64,
    /// The host that served it.
    pub(crate) host: String,
}

/// See [`Outcome::moved`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Moved {
    pub(crate) before: usize,
    pub(crate) during: usize,
    pub(crate) after: usize,
    pub(crate) bytes: u64,
}

/// When nodes saw that another was down.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Detection {
    /// The first ingress or tracker that saw the death of one.
    pub(crate) first: Option<f64>,
    /// The last one.
    pub(crate) last: Option<f64>,
    /// The last where the one who saw or the one who died is a host; these say Hello less often.
    pub(crate) last_with_host: Option<f64>,
    /// Pairs of a node that went down and one that saw it.
    pub(crate) seen: usize,
}

/// What the outcome is drawn from, beside what the clients saw.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) script: &'a Script,
    /// When the first connection was made.
    pub(crate) begun: Instant,
    /// When the fault began.
    pub(crate) fault: Instant,
    /// How long it took until all was well.
    pub(crate) restored: Duration,
    pub(crate) changed_ingress: Option<f64>,
    /// All but 1 % of the connections have to move again within this.
    pub(crate) most_stall: Duration,
    pub(crate) detection: Option<Detection>,
}

impl Outcome {
    /// Draws the conclusions.
    pub(crate) fn of(name: &'static str, facts: &Facts<'_>, seen: &Seen) -> Result<Self> {
        let script = facts.script;
        let died_with_host = |ended: &Ended| {
            let host = ended.host.as_ref();
            host.is_some_and(|host| script.dead_hosts.contains(host))
        };
        let (worked, never): (Vec<&Ended>, Vec<&Ended>) = seen
            .connections
            .iter()
            .partition(|ended| ended.host.is_some());
        let (failed, fine): (Vec<&Ended>, Vec<&Ended>) =
            worked.iter().partition(|ended| ended.failure.is_some());
        let (lost, broken): (Vec<&Ended>, Vec<&Ended>) =
            failed.iter().partition(|ended| died_with_host(ended));
        let (taken, not_opened): (Vec<_>, Vec<_>) = seen.opens.failed.iter().partition(|open| {
            let by_the_dead = open.begun < facts.fault + TAKEN_BY_THE_DEAD;
            open.connected && by_the_dead && !script.dead_hosts.is_empty()
        });
        let mut kinds = BTreeMap::new();
        for ended in &worked {
            *kinds.entry(ended.kind).or_default() += 1;
        }
        let mut lost_by = BTreeMap::new();
        for (_, failure) in lost.iter().filter_map(|ended| ended.failure.as_ref()) {
            *lost_by.entry(failure.kind.name()).or_default() += 1;
        }
        let untold = lost.iter().filter(|ended| {
            let failure = ended.failure.as_ref();
            let by_reset = failure.is_some_and(|(_, it)| it.kind == ErrorKind::Reset);
            ended.kind != Kind::Download && !by_reset
        });
        let lost_untold = untold.count();
        let moved_in = |part: usize| {
            let moved = worked.iter().filter(|ended| ended.gaps.moved_in()[part]);
            moved.count()
        };
        let stalls: Vec<StoodStill<'_>> = fine
            .iter()
            .filter_map(|&ended| Some((ended, ended.gaps.stall(STALL)?)))
            .collect();
        let mut stalled_kinds = BTreeMap::new();
        for (ended, _) in &stalls {
            *stalled_kinds.entry(ended.kind).or_default() += 1;
        }
        let well = facts.fault + facts.restored;
        let of_the_fault = stalls.iter().filter(|(_, (begin, _))| *begin < well);
        let since = |at: Instant| {
            let before = facts.fault.saturating_duration_since(at);
            millis(at.saturating_duration_since(facts.fault)) - millis(before)
        };
        let opens = &seen.opens.good;
        let mut outcome = Self {
            name,
            problems: Vec::new(),
            connections: worked.len(),
            kinds,
            broken: broken.len(),
            failed_opens: never.len() + not_opened.len(),
            new_opens: opens.len(),
            lost_with_host: lost.len() + taken.len(),
            lost_by,
            lost_untold,
            hit: script.hit.clone(),
            share_hit: script.share,
            changed_ingress: facts.changed_ingress,
            moved: Moved {
                before: moved_in(0),
                during: moved_in(1),
                after: moved_in(2),
                bytes: worked.iter().map(|ended| ended.gaps.bytes()).sum(),
            },
            stall_before_ms: Spread::of(fine.iter().map(|ended| ended.gaps.before()))?,
            stall_ms: Spread::of(fine.iter().map(|ended| ended.gaps.longest()))?,
            stalled: stalls.len(),
            stalled_kinds,
            longest_stalls: longest_stalls(&stalls, since),
            open_ms: Spread::of(opens.iter().map(|&(_, took)| took))?,
            detection_ms: facts.detection,
            recovery_ms: of_the_fault.map(|&(_, (_, end))| end).max().map(since),
            restored_ms: millis(facts.restored),
            seconds: facts.begun.elapsed().as_secs_f64(),
            first_failures: Vec::new(),
        };
        let broken = broken.iter().chain(&never).filter_map(|ended| {
            let (at, failure) = ended.failure.as_ref()?;
            Some(told(&format!("{:?}", ended.kind), since(*at), failure))
        });
        let not_opened = not_opened
            .iter()
            .map(|open| told("new connection, begun", since(open.begun), &open.failure));
        outcome.first_failures = broken.chain(not_opened).take(KEPT_WORDS).collect();
        outcome.problems = outcome.find_problems(facts);
        Ok(outcome)
    }

    /// One that could not be finished.
    pub(crate) fn failed(name: &'static str, why: String) -> Self {
        Self {
            name,
            problems: vec![why],
            connections: 0,
            kinds: BTreeMap::new(),
            broken: 0,
            failed_opens: 0,
            new_opens: 0,
            lost_with_host: 0,
            lost_by: BTreeMap::new(),
            lost_untold: 0,
            hit: Vec::new(),
            share_hit: 0.0,
            changed_ingress: None,
            moved: Moved::default(),
            stall_before_ms: Spread::default(),
            stall_ms: Spread::default(),
            stalled: 0,
            stalled_kinds: BTreeMap::new(),
            longest_stalls: Vec::new(),
            open_ms: Spread::default(),
            detection_ms: None,
            recovery_ms: None,
            restored_ms: 0.0,
            seconds: 0.0,
            first_failures: Vec::new(),
        }
    }

    fn find_problems(&self, facts: &Facts<'_>) -> Vec<String> {
        let script = facts.script;
        let mut problems = Vec::new();
        if self.broken > 0 {
            problems.push(format!("{} connections broke", self.broken));
        }
        if self.failed_opens > 0 {
            problems.push(format!("{} opens failed", self.failed_opens));
        }
        if self.connections == 0 {
            problems.push("no connection was made".to_owned());
        }
        if self.share_hit < script.least_share {
            let share = self.share_hit * 100.0;
            problems.push(format!("only {share:.0} % of connections were concerned"));
        }
        if self
            .changed_ingress
            .is_some_and(|share| share < script.least_changed)
        {
            let share = self.changed_ingress.unwrap_or_default() * 100.0;
            problems.push(format!("only {share:.0} % of connections changed ingress"));
        }
        let not = |count: usize| self.connections.saturating_sub(count + self.broken);
        let lost: usize = self.lost_by.values().sum();
        let silent = not(self.moved.before) + not(self.moved.after + lost);
        if silent > 0 {
            problems.push(format!(
                "{silent} connections moved nothing before or after the fault"
            ));
        }
        if self.stall_ms.p99 >= millis(facts.most_stall) {
            let (p99, most) = (self.stall_ms.p99, millis(facts.most_stall));
            problems.push(format!(
                "1 % of connections stood still for {p99:.0} ms or more; {most:.0} ms is too long"
            ));
        }
        if self.lost_untold > 0 {
            let untold = self.lost_untold;
            problems.push(format!("{untold} clients of a dead host got no reset"));
        }
        problems
    }
}

/// A connection, and when its longest stall began and ended.
type StoodStill<'a> = (&'a Ended, (Instant, Instant));

fn longest_stalls(stalls: &[StoodStill<'_>], since: impl Fn(Instant) -> f64) -> Vec<Stall> {
    let mut longest = stalls.to_vec();
    longest.sort_by_key(|(_, (begin, end))| Reverse(end.saturating_duration_since(*begin)));
    longest.truncate(KEPT_STALLS);
    let told = longest.into_iter().map(|(ended, (begin, end))| Stall {
        kind: ended.kind,
        ms: millis(end.saturating_duration_since(begin)),
        ended_ms: since(end),
        host: ended.host.clone().unwrap_or_default(),
    });
    told.collect()
}

fn told(what: &str, millis: f64, failure: &Failure) -> String {
    let (kind, words) = (failure.kind.name(), &failure.words);
    format!("{what}, {millis:.0} ms: {kind}: {words}")
}

/// Milliseconds to a tenth.
pub(crate) fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
mod tests;
