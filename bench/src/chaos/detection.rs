//! When nodes saw that another one was down, as their logs tell.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rustix::time::{ClockId, clock_gettime};

use super::outcome::Detection;
use crate::lab::LOGS;
use crate::plan::{Plan, Role};

/// What a node logs when its view takes a peer for dead.
pub(crate) const DOWN: &str = "peer is down";
/// What it logs when its view has a peer in service.
pub(crate) const ACTIVE: &str = "peer is active";

/// What it logs when it finds that it stood still itself (R11).
const PAUSED: &str = "this node was paused";
/// Nodes that notice a pause within this of each other, in microseconds, noticed the same one.
const SAME_PAUSE: i64 = 200_000;

/// Microseconds since 1970.
pub(crate) fn wall_clock() -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

/// What a node found another one to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Microseconds since 1970.
    pub(crate) at: i64,
    /// Who says so.
    pub(crate) by: String,
    /// Of whom.
    pub(crate) peer: String,
}

/// All findings of a kind in the logs of a lab's nodes since `since`.
pub(crate) fn findings(plan: &Plan, what: &str, since: i64) -> Vec<Finding> {
    let logs = plan.directory().join(LOGS);
    plan.all()
        .flat_map(|node| {
            let log = logs.join(format!("{}.log", node.name));
            findings_of(&node.name, &log, what, since)
        })
        .collect()
}

fn findings_of(by: &str, log: &Path, what: &str, since: i64) -> Vec<Finding> {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let finding = |line: &str| {
        let (time, _) = line.split_once(' ')?;
        let (_, fields) = line.split_once(what)?;
        let (_, peer) = fields.split_once("peer=")?;
        let peer = peer.trim_start_matches('"').split(['"', ' ']).next()?;
        Some(Finding {
            at: micros(time).filter(|&at| at >= since)?,
            by: by.to_owned(),
            peer: peer.to_owned(),
        })
    };
    text.lines().filter_map(finding).collect()
}

/// When the whole machine stood still since `since`: every node noticed it at once.
pub(crate) fn machine_pauses(plan: &Plan, since: i64) -> Vec<i64> {
    let logs = plan.directory().join(LOGS);
    let of_each = plan.nodes.iter().map(|node| {
        let text = fs::read(logs.join(format!("{}.log", node.name))).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let pauses = text.lines().filter(|line| line.contains(PAUSED));
        let times = pauses.filter_map(|line| micros(line.split_once(' ')?.0));
        times.filter(|&at| at >= since).collect()
    });
    common(&of_each.collect::<Vec<_>>())
}

/// The moments of the first list that all others have too.
fn common(of_each: &[Vec<i64>]) -> Vec<i64> {
    let Some((first, others)) = of_each.split_first() else {
        return Vec::new();
    };
    let everywhere = |at: &&i64| {
        let near = |times: &Vec<i64>| times.iter().any(|time| (time - **at).abs() <= SAME_PAUSE);
        others.iter().all(near)
    };
    first.iter().filter(everywhere).copied().collect()
}

/// When others saw that these were down; `None` if nobody did.
pub(crate) fn detection(
    plan: &Plan,
    downs: &[Finding],
    lost: &[String],
    since: i64,
) -> Option<Detection> {
    // Each observer counts once for each node: with its first finding.
    let mut firsts = BTreeMap::new();
    for down in downs {
        if lost.contains(&down.peer) && !lost.contains(&down.by) {
            let first = firsts.entry((&down.by, &down.peer)).or_insert(down.at);
            *first = down.at.min(*first);
        }
    }
    let is_host = |name: &str| plan.node(name).is_some_and(|node| node.role == Role::Host);
    let times = |with_host: bool| {
        let of_kind = firsts
            .iter()
            .filter(move |((by, peer), _)| (is_host(by) || is_host(peer)) == with_host);
        of_kind.map(|(_, &at)| ((at - since) as f64 / 100.0).round() / 10.0)
    };
    (!firsts.is_empty()).then(|| Detection {
        first: times(false).reduce(f64::min),
        last: times(false).reduce(f64::max),
        last_with_host: times(true).reduce(f64::max),
        seen: firsts.len(),
    })
}

/// Reads `2026-11-20T10:29:27.123456Z`.
fn micros(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut whole = whole.splitn(3, ':').map(str::parse::<i64>);
    let (hour, minute, second) = (
        whole.next()?.ok()?,
        whole.next()?.ok()?,
        whole.next()?.ok()?,
    );
    let fraction: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(seconds * 1_000_000 + fraction.parse::<i64>().ok()?)
}

/// Days from 1970 to a date of the Gregorian calendar (Hinnant, `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March here: the day that some years have more is then their last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests;
