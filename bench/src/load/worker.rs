//! One worker: one connection at a time, one request at a time.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::client::conn::http1::SendRequest;
use hyper::header::HeaderValue;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::connect::connect;
use super::request::{Answered, Failure, What, ask};
use super::tally::{ErrorKind, Tally};
use super::{Load, Progress};
use crate::web::body::Answer;

/// Requests on one kept connection before the worker opens another, so that a long load
/// exercises closes and opens there too.
const REQUESTS_PER_CONNECTION: u64 = 200;
/// After an error the worker waits, so that a refusing service is not stormed.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Worker {
    number: u32,
    target: SocketAddr,
    authority: HeaderValue,
    source: Option<IpAddr>,
    keep_alive: bool,
    mix: Vec<What>,
    /// Requests so far; also what is asked next.
    turn: u64,
    begin: Instant,
    end: Instant,
    patience: Duration,
    /// Time between two requests of this worker, when there is a rate.
    interval: Option<Duration>,
    tally: Rc<RefCell<Tally>>,
    progress: Arc<Progress>,
}

/// An open connection and the requests that were sent on it.
struct Connection {
    sender: SendRequest<Answer>,
    requests: u64,
}

impl Worker {
    pub(super) fn new(
        load: &Load,
        number: u32,
        begin: Instant,
        tally: Rc<RefCell<Tally>>,
        progress: Arc<Progress>,
    ) -> Self {
        // Mixed radix: every combination of target, habit and source has its workers.
        let index = number as usize;
        let targets = load.targets.len().max(1);
        let target = load.targets.get(index % targets).copied();
        let target = target.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
        let rest = index / targets;
        let keep_alive = rest.is_multiple_of(2);
        let family: Vec<IpAddr> = load
            .sources
            .iter()
            .copied()
            .filter(|s| s.is_ipv4() == target.is_ipv4())
            .collect();
        let source = family.get((rest / 2) % family.len().max(1)).copied();
        let interval = load
            .rate
            .map(|rate| Duration::from_secs_f64(f64::from(load.workers) / rate));
        Self {
            number,
            target,
            authority: HeaderValue::from_str(&target.to_string())
                .unwrap_or_else(|_| HeaderValue::from_static("vip")),
            source,
            keep_alive,
            mix: load.mix.clone(),
            turn: u64::from(number),
            begin,
            end: begin + load.duration,
            patience: load.patience,
            interval: interval.map(|i| i.max(Duration::from_micros(1))),
            tally,
            progress,
        }
    }

    pub(super) async fn run(mut self) {
        let mut connection = None;
        // With a rate, workers begin spread over the first interval.
        let mut due = self.begin
            + self.interval.map_or(Duration::ZERO, |interval| {
                interval.mul_f64(f64::from(self.number % 1024) / 1024.0)
            });
        loop {
            if self.interval.is_some() {
                sleep_until(due.min(self.end)).await;
            }
            let now = Instant::now();
            if now >= self.end {
                return;
            }
            let counted_from = if self.interval.is_some() { due } else { now };
            let failed = self.one(&mut connection, counted_from).await.is_err();
            due += self.interval.unwrap_or_default();
            if failed {
                sleep(PAUSE).await;
            }
        }
    }

    /// One request, on the open connection or a new one; counts what came of it.
    async fn one(&mut self, open: &mut Option<Connection>, since: Instant) -> Result<(), ()> {
        let kept = open.take();
        let fresh = kept.is_none();
        match self.attempt(kept).await {
            Ok((answered, rest)) => {
                *open = rest;
                self.tally
                    .borrow_mut()
                    .success(&answered, since.elapsed(), fresh);
                self.progress.answered.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(failure) => {
                self.tally.borrow_mut().failure(failure);
                self.progress.failed.fetch_add(1, Ordering::Relaxed);
                Err(())
            }
        }
    }

    async fn attempt(
        &mut self,
        kept: Option<Connection>,
    ) -> Result<(Answered, Option<Connection>), Failure> {
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let what = self
            .mix
            .get(usize::try_from(self.turn % self.mix.len().max(1) as u64).unwrap_or(0))
            .copied()
            .unwrap_or(What::Small);
        self.turn += 1;
        connection.requests += 1;
        let last = !self.keep_alive || connection.requests >= REQUESTS_PER_CONNECTION;
        let asked = ask(&mut connection.sender, what, &self.authority, last);
        let answered = timeout(self.patience, asked).await.map_err(|_| {
            let words = format!(
                "no answer from {} to {what:?} in {:?}",
                self.target, self.patience
            );
            Failure::new(ErrorKind::Timeout, words)
        })??;
        // hyper takes the next request only once the connection says that it is ready.
        let reusable = answered.reusable && connection.sender.ready().await.is_ok();
        Ok((answered, reusable.then_some(connection)))
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let connected = connect(self.target, self.source, self.patience).await?;
        self.tally.borrow_mut().connections += 1;
        Ok(Connection {
            sender: connected.handshake().await?,
            requests: 0,
        })
    }
}
