//! Thousands of connections that each keep moving checked bytes, and new ones all the while.

mod line;
mod opens;
mod phase;

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::header::HeaderValue;
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until};

use super::gaps::Gaps;
use crate::error::{Doing, LabError, Result};
use crate::load::{Failure, connect, runtime};
use line::Line;

pub(crate) use line::Kind;
#[cfg(test)]
pub(crate) use opens::FailedOpen;
pub(crate) use opens::Opens;
pub(crate) use phase::{Course, Phase, Stage};

/// What clients there are to be.
#[derive(Clone, Debug)]
pub(crate) struct Crowd {
    /// The services, each an address and port; connections take turns.
    pub(crate) targets: Vec<SocketAddr>,
    /// Addresses to connect from.
    pub(crate) sources: Vec<IpAddr>,
    /// Long-lived connections.
    pub(crate) connections: u32,
    /// How many of them are opened a second.
    pub(crate) opening_rate: f64,
    /// New connections a second beside them.
    pub(crate) new_rate: f64,
    /// How long a connection may take to be made, and to show that it works at the end.
    pub(crate) patience: Duration,
}

/// Connections end spread over so long.
const ENDING: Duration = Duration::from_millis(2_500);

/// Where a client has its place in what happens to all one after the other, from 0 to 1: neighbours, which
/// differ in kind or service, are far apart.
fn share_of(number: u32) -> f64 {
    f64::from(number.wrapping_mul(0x9e37_79b9)) / f64::from(u32::MAX)
}

/// A connection that works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    /// The client's end.
    pub(crate) local: SocketAddr,
    /// The service.
    pub(crate) target: SocketAddr,
    /// The host that serves it, as that says.
    pub(crate) host: String,
}

/// What can be seen of the clients while they run.
#[derive(Debug, Default)]
pub(crate) struct Board {
    live: Mutex<Vec<Live>>,
    settled: AtomicU32,
    broken: AtomicU32,
}

impl Board {
    /// All connections that have worked so far.
    pub(crate) fn live(&self) -> Vec<Live> {
        self.live
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Connections that have worked, or have failed before they did.
    pub(crate) fn settled(&self) -> u32 {
        self.settled.load(Ordering::Relaxed)
    }

    /// Connections that have failed.
    pub(crate) fn broken(&self) -> u32 {
        self.broken.load(Ordering::Relaxed)
    }

    fn add(&self, live: Live) {
        self.live
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(live);
        self.settled.fetch_add(1, Ordering::Relaxed);
    }
}

/// How one connection went.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) kind: Kind,
    /// Its own end; `None` if it was never made.
    pub(crate) local: Option<SocketAddr>,
    /// The host that served it, if it got so far.
    pub(crate) host: Option<String>,
    pub(crate) gaps: Gaps,
    /// Why it did not last to the end, and when.
    pub(crate) failure: Option<(Instant, Failure)>,
}

/// How all went.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) connections: Vec<Ended>,
    pub(crate) opens: Opens,
}

/// Runs the clients in the namespace of the calling thread, until the end of the scenario.
///
/// # Errors
/// When they cannot start. Failed connections are no error here.
pub(crate) fn run_here(
    crowd: &Crowd,
    stage: watch::Receiver<Stage>,
    board: &Arc<Board>,
) -> Result<Seen> {
    LocalSet::new().block_on(&runtime()?, drive(crowd, stage, board))
}

async fn drive(crowd: &Crowd, stage: watch::Receiver<Stage>, board: &Arc<Board>) -> Result<Seen> {
    if crowd.targets.is_empty() {
        return Err(LabError::new("clients need a target"));
    }
    let course = Course::new(stage, crowd.patience);
    let begin = Instant::now();
    let ended = Rc::new(RefCell::new(Vec::new()));
    let mut clients = JoinSet::new();
    for number in 0..crowd.connections {
        let after = Duration::from_secs_f64(f64::from(number) / crowd.opening_rate);
        let client = Client {
            number,
            end: Endpoints::of(crowd, number),
            patience: crowd.patience,
            course: course.clone().ending_late(ENDING.mul_f64(share_of(number))),
            board: Arc::clone(board),
        };
        let ended = Rc::clone(&ended);
        clients.spawn_local(async move {
            sleep_until(begin + after).await;
            let result = client.run().await;
            ended.borrow_mut().push(result);
        });
    }
    let opens = opens::run(crowd, course).await?;
    while let Some(done) = clients.join_next().await {
        // One that panicked counted nothing.
        done.doing("run a client")?;
    }
    drop(clients);
    let connections = Rc::into_inner(ended)
        .ok_or_else(|| LabError::new("a client outlived the scenario"))?
        .into_inner();
    Ok(Seen { connections, opens })
}

/// Where a connection goes, and from where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoints {
    target: SocketAddr,
    source: Option<IpAddr>,
}

impl Endpoints {
    /// Those of the connection of that number: each kind has every combination of the others.
    fn of(crowd: &Crowd, number: u32) -> Self {
        let turn = number as usize / 4;
        let target = crowd
            .targets
            .get(turn % crowd.targets.len().max(1))
            .copied();
        let target = target.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
        let family: Vec<IpAddr> = crowd
            .sources
            .iter()
            .copied()
            .filter(|source| source.is_ipv4() == target.is_ipv4())
            .collect();
        let turn = turn / crowd.targets.len().max(1);
        Self {
            target,
            source: family.get(turn % family.len().max(1)).copied(),
        }
    }

    fn authority(self) -> HeaderValue {
        HeaderValue::from_str(&self.target.to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("vip"))
    }
}

struct Client {
    number: u32,
    end: Endpoints,
    patience: Duration,
    course: Course,
    board: Arc<Board>,
}

impl Client {
    async fn run(self) -> Ended {
        let mut ended = Ended {
            kind: Kind::of(self.number),
            local: None,
            host: None,
            gaps: Gaps::default(),
            failure: None,
        };
        if let Err(failure) = self.attempt(&mut ended).await {
            ended.failure = Some((Instant::now(), failure));
            self.board.broken.fetch_add(1, Ordering::Relaxed);
            if ended.host.is_none() {
                self.board.settled.fetch_add(1, Ordering::Relaxed);
            }
        }
        ended
    }

    async fn attempt(&self, ended: &mut Ended) -> std::result::Result<(), Failure> {
        let connected = connect(self.end.target, self.end.source, self.patience).await?;
        let local = connected.local;
        ended.local = Some(local);
        let sender = connected.handshake().await?;
        let host = &mut ended.host;
        let mut served_by = |name: Option<String>| {
            if host.is_none() {
                let name = name.unwrap_or_default();
                *host = Some(name.clone());
                self.board.add(Live {
                    local,
                    target: self.end.target,
                    host: name,
                });
            }
        };
        let mut line = Line {
            number: self.number,
            sender,
            authority: self.end.authority(),
            course: self.course.clone(),
            gaps: &mut ended.gaps,
            served_by: &mut served_by,
        };
        line.run(ended.kind).await
    }
}

#[cfg(test)]
mod tests;
