//! What a load counts.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::request::{Answered, Failure};
use crate::error::{Doing, Result};

/// The longest latency that is told apart, in microseconds.
const LONGEST: u64 = 120_000_000;
/// Significant figures of a latency.
const FIGURES: u8 = 3;
/// Errors whose words are kept.
const KEPT_WORDS: usize = 5;
/// Hosts told apart; a wrong server could name a new one in every answer.
const MOST_HOSTS: usize = 1024;

/// Why a request has no right answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorKind {
    /// The connection was refused.
    Refused,
    /// There was no way to the service, or no address or port to connect from.
    Unreachable,
    /// The connection was not there within the patience.
    ConnectTimeout,
    /// The connection was reset.
    Reset,
    /// The connection ended before the answer did.
    Closed,
    /// The answer was not there within the patience.
    Timeout,
    /// The answer has another status than 200.
    Status,
    /// The answer's content is wrong.
    WrongAnswer,
}

impl ErrorKind {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Refused => "refused",
            ErrorKind::Unreachable => "unreachable",
            ErrorKind::ConnectTimeout => "connect_timeout",
            ErrorKind::Reset => "reset",
            ErrorKind::Closed => "closed",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Status => "status",
            ErrorKind::WrongAnswer => "wrong_answer",
        }
    }

    /// What an error of a socket is.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => ErrorKind::Refused,
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => ErrorKind::Reset,
            io::ErrorKind::TimedOut => ErrorKind::ConnectTimeout,
            io::ErrorKind::UnexpectedEof => ErrorKind::Closed,
            _ => ErrorKind::Unreachable,
        }
    }

    pub(super) fn of_hyper(error: &hyper::Error) -> Self {
        let mut source = std::error::Error::source(error);
        while let Some(behind) = source {
            if let Some(error) = behind.downcast_ref::<io::Error>() {
                return Self::of_io(error);
            }
            source = behind.source();
        }
        if error.is_parse() {
            ErrorKind::WrongAnswer
        } else {
            ErrorKind::Closed
        }
    }
}

/// The counts of one load.
#[derive(Debug)]
pub struct Tally {
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Requests with the right answer.
    pub answered: u64,
    /// Connections opened.
    pub connections: u64,
    /// Bytes of all bodies received.
    pub bytes: u64,
    /// Requests without it, by kind.
    pub errors: BTreeMap<ErrorKind, u64>,
    /// The first few errors in words.
    pub words: Vec<String>,
    /// Answers by the host that they name.
    pub hosts: BTreeMap<String, u64>,
    /// Answers that name no host.
    pub unnamed: u64,
    /// Latencies of requests on a connection that was open already, in microseconds.
    pub reused: Histogram<u64>,
    /// Latencies of requests that first had to connect, in microseconds.
    pub fresh: Histogram<u64>,
}

impl Tally {
    pub(super) fn new() -> Result<Self> {
        let histogram =
            || Histogram::new_with_bounds(1, LONGEST, FIGURES).doing("make a histogram");
        Ok(Self {
            elapsed: Duration::ZERO,
            answered: 0,
            connections: 0,
            bytes: 0,
            errors: BTreeMap::new(),
            words: Vec::new(),
            hosts: BTreeMap::new(),
            unnamed: 0,
            reused: histogram()?,
            fresh: histogram()?,
        })
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self::new().unwrap()
    }

    /// Requests without a right answer.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    pub(super) fn success(&mut self, answered: &Answered, latency: Duration, fresh: bool) {
        self.answered += 1;
        self.bytes += answered.bytes;
        match &answered.host {
            Some(host) if self.hosts.contains_key(host) || self.hosts.len() < MOST_HOSTS => {
                *self.hosts.entry(host.clone()).or_default() += 1;
            }
            _ => self.unnamed += 1,
        }
        let histogram = if fresh {
            &mut self.fresh
        } else {
            &mut self.reused
        };
        histogram.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(LONGEST));
    }

    pub(super) fn failure(&mut self, failure: Failure) {
        *self.errors.entry(failure.kind).or_default() += 1;
        if self.words.len() < KEPT_WORDS {
            self.words
                .push(format!("{}: {}", failure.kind.name(), failure.words));
        }
    }
}
