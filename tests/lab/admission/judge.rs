//! Holds what clients saw against the trace of free slots.

use std::time::{Duration, Instant};

use super::clients::Attempt;
use super::trace::{INTERVAL, Reading};

/// A handshake that takes longer had its first SYN lost: Linux repeats it after a second.
const STUCK: Duration = Duration::from_millis(900);

/// What is wrong with what clients saw.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Attempts that ended without an answer.
    pub(crate) errors: usize,
    /// Those of them at a time when a host had a free slot: its queue was known to the host, and shown
    /// by the trace, as shorter than the limit, and stayed so.
    pub(crate) unjust: Vec<String>,
    /// Attempts that were let wait for the handshake at such a time.
    pub(crate) stuck: Vec<String>,
    /// Attempts that were answered after more than a second.
    pub(crate) late: usize,
}

/// The verdict on attempts, where a host with fewer than `limit` connections waiting has a free slot.
pub(crate) fn judge(traces: &[Vec<Reading>], limit: u32, attempts: &[Attempt]) -> Verdict {
    let mut verdict = Verdict::default();
    for attempt in attempts {
        let from = attempt.opened - INTERVAL;
        if attempt.connected.unwrap_or(attempt.ended) - attempt.opened > STUCK {
            let until = attempt.opened + 2 * INTERVAL;
            if let Some(host) = free_host(traces, limit, from, until) {
                verdict
                    .stuck
                    .push(format!("host-{host} was free: {attempt:?}"));
            }
        }
        match &attempt.outcome {
            Ok(_) if attempt.ended - attempt.opened > Duration::from_secs(1) => verdict.late += 1,
            Ok(_) => {}
            Err(_) => {
                verdict.errors += 1;
                let until = attempt.ended + INTERVAL;
                if let Some(host) = free_host(traces, limit, from, until) {
                    verdict
                        .unjust
                        .push(format!("host-{host} was free: {attempt:?}"));
                }
            }
        }
    }
    verdict
}

/// Whether the trace tells what was free at the time of an attempt: it has no hole there or shortly
/// before. Where this machine's processors were needed elsewhere for that long, hosts read nothing either.
pub(crate) fn is_known(traces: &[Vec<Reading>], attempt: &Attempt) -> bool {
    let from = attempt.opened - 5 * INTERVAL;
    let until = attempt.ended.min(attempt.opened + 10 * INTERVAL) + INTERVAL;
    traces.iter().all(|trace| {
        let first = trace.partition_point(|reading| reading.at <= from);
        let after = trace.partition_point(|reading| reading.at < until);
        let around = &trace[first.saturating_sub(1)..trace.len().min(after + 1)];
        let mut pairs = around.windows(2);
        pairs.all(|pair| pair[1].at - pair[0].at <= 2 * INTERVAL)
    })
}

/// The first host that had a free slot all the time: in each reading of that time, the last one before
/// it and the first one after it.
fn free_host(traces: &[Vec<Reading>], limit: u32, from: Instant, until: Instant) -> Option<usize> {
    let free = |trace: &Vec<Reading>| {
        let first = trace.partition_point(|reading| reading.at <= from);
        let after = trace.partition_point(|reading| reading.at < until);
        let around = &trace[first.saturating_sub(1)..trace.len().min(after + 1)];
        !around.is_empty() && around.iter().all(|reading| reading.waiting < limit)
    };
    traces.iter().position(free).map(|at| at + 1)
}

/// The limit in the tests of the judge.
const LIMIT: u32 = 4;

/// Readings every 10 ms.
fn trace(begin: Instant, waiting: &[u32]) -> Vec<Reading> {
    (0..)
        .zip(waiting)
        .map(|(nth, &waiting)| Reading {
            at: begin + nth * INTERVAL,
            waiting,
        })
        .collect()
}

/// An attempt that is refused after 1 ms.
fn refused(opened: Instant) -> Attempt {
    Attempt {
        opened,
        connected: None,
        ended: opened + Duration::from_millis(1),
        outcome: Err("refused".into()),
    }
}

#[test]
fn a_refusal_is_just_while_every_host_is_full() {
    let begin = Instant::now();
    let traces = [trace(begin, &[4; 20]), trace(begin, &[9; 20])];
    let attempt = refused(begin + Duration::from_millis(95));
    let verdict = judge(&traces, LIMIT, &[attempt]);
    assert_eq!((verdict.errors, verdict.unjust.len()), (1, 0));
}

#[test]
fn a_refusal_is_unjust_while_one_host_is_free_for_longer_than_an_interval() {
    let begin = Instant::now();
    let mut waiting = [4; 20];
    waiting[6..13].fill(3);
    let traces = [trace(begin, &[4; 20]), trace(begin, &waiting)];
    let of = |millis| refused(begin + Duration::from_millis(millis));
    let verdict = judge(&traces, LIMIT, &[of(95)]);
    assert_eq!(verdict.unjust.len(), 1);
    assert!(verdict.unjust[0].starts_with("host-2"), "{verdict:?}");
    // The host may not have seen that yet, or is full at once.
    let verdict = judge(&traces, LIMIT, &[of(65), of(125), of(150)]);
    assert_eq!((verdict.errors, verdict.unjust.len()), (3, 0));
    // After the last reading nothing is known but that.
    let verdict = judge(&traces, LIMIT, &[of(500)]);
    assert!(verdict.unjust.is_empty(), "{verdict:?}");
}

#[test]
fn a_hole_in_a_trace_hides_what_was_free() {
    let begin = Instant::now();
    let whole = trace(begin, &[0; 40]);
    let mut holed = whole.clone();
    holed.drain(20..22);
    let traces = [whole, holed];
    let known = |millis| is_known(&traces, &refused(begin + Duration::from_millis(millis)));
    let all = [100, 170, 195, 205, 250, 300].map(known);
    assert_eq!(all, [true, true, false, false, false, true]);
}

#[test]
fn a_handshake_that_takes_a_second_is_stuck_if_a_host_was_free() {
    let begin = Instant::now();
    let opened = begin + Duration::from_millis(50);
    let attempt = Attempt {
        opened,
        connected: Some(opened + Duration::from_millis(1_020)),
        ended: opened + Duration::from_millis(1_030),
        outcome: Ok("host-1".into()),
    };
    let full = [trace(begin, &[8; 20])];
    let attempts = [attempt];
    assert!(judge(&full, LIMIT, &attempts).stuck.is_empty());
    let free = [trace(begin, &[8; 20]), trace(begin, &[0; 20])];
    let verdict = judge(&free, LIMIT, &attempts);
    assert_eq!(
        (verdict.stuck.len(), verdict.late, verdict.errors),
        (1, 1, 0)
    );
}
