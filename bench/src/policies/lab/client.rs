//! The lab's clients: a connection for each job, at the moments that are drawn beforehand, whatever the answers.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::{Request, StatusCode};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, timeout};

use super::balancers::Balancers;
use super::seen::{End, Seen};
use crate::error::{Doing, LabError, Result};
use crate::load::{ErrorKind, Failure, connect, runtime};
use crate::timer::Timer;
use crate::web::HOST_HEADER;
use crate::web::body::Answer;

/// Failures whose words are kept.
const KEPT_WORDS: usize = 5;

/// A job.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Job {
    /// When it is to be sent, after the first moment of the run.
    pub(crate) due: Duration,
    /// What it takes alone on a core of speed 1.
    pub(crate) work: Duration,
}

/// Who chooses hosts.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// The cluster: jobs go to this address of its.
    Cluster(SocketAddr),
    /// The clients themselves.
    Themselves(Balancers),
}

/// What the clients do.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    pub(crate) jobs: Vec<Job>,
    pub(crate) way: Way,
    /// The hosts: names, and where their servers are.
    pub(crate) hosts: Vec<(String, SocketAddr)>,
    /// Addresses to connect from, in turn.
    pub(crate) sources: Vec<IpAddr>,
    /// The longest that a job may take.
    pub(crate) patience: Duration,
}

/// What they saw, and the first few failures in words.
pub(crate) type Sight = (Vec<Seen>, Vec<String>);

/// Runs them in the namespace of the calling thread; blocks until the last job has ended.
///
/// # Errors
/// When they cannot start. Failed jobs are no error here.
pub(crate) fn run_here(clients: Clients) -> Result<Sight> {
    LocalSet::new().block_on(&runtime()?, drive(clients))
}

/// What the tasks of all jobs share.
struct Shared {
    begin: Instant,
    way: RefCell<Way>,
    hosts: Vec<(String, SocketAddr)>,
    patience: Duration,
    seen: RefCell<Vec<Option<Seen>>>,
    words: RefCell<Vec<String>>,
}

async fn drive(clients: Clients) -> Result<Sight> {
    if clients.sources.is_empty() {
        return Err(LabError::new("clients need addresses to connect from"));
    }
    let timer = Timer::new()?;
    let shared = Rc::new(Shared {
        begin: Instant::now(),
        way: RefCell::new(clients.way),
        hosts: clients.hosts,
        patience: clients.patience,
        seen: RefCell::new(vec![None; clients.jobs.len()]),
        words: RefCell::default(),
    });
    let mut tasks = JoinSet::new();
    let sources = clients.sources.iter().cycle();
    for ((number, job), source) in clients.jobs.into_iter().enumerate().zip(sources) {
        timer
            .wait(job.due.saturating_sub(shared.begin.elapsed()))
            .await?;
        let (shared, source) = (Rc::clone(&shared), *source);
        tasks.spawn_local(async move { shared.job(number, job, source).await });
        while let Some(ended) = tasks.try_join_next() {
            ended.doing("run a client")?;
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.doing("run a client")?;
    }
    let seen = shared.seen.borrow().iter().copied().collect::<Option<_>>();
    let seen = seen.ok_or_else(|| LabError::new("a job had no end"))?;
    Ok((seen, shared.words.take()))
}

impl Shared {
    async fn job(&self, number: usize, job: Job, source: IpAddr) {
        let sent = self.begin.elapsed().as_secs_f64();
        let (target, place) = self.target();
        let asked = timeout(self.patience, ask(target, source, job.work, self.patience));
        let answer = asked.await.unwrap_or_else(|_| {
            let words = format!("no answer in {:?}", self.patience);
            Err(Failure::new(ErrorKind::Timeout, words))
        });
        let ended = self.begin.elapsed().as_secs_f64();
        if let (Way::Themselves(balancers), Some(place)) = (&mut *self.way.borrow_mut(), place) {
            balancers.ended(place);
        }
        let (end, host) = match answer {
            Ok((StatusCode::OK, host)) => (End::Done, host),
            Ok((StatusCode::INTERNAL_SERVER_ERROR, host)) => (End::Failed, host),
            Ok((status, host)) => {
                self.note(format!("status {status}"));
                (End::Broken, host)
            }
            Err(failure) if failure.kind == ErrorKind::Refused => (End::Refused, None),
            Err(failure) => {
                self.note(format!("{}: {}", failure.kind.name(), failure.words));
                (End::Broken, None)
            }
        };
        let known = self.hosts.iter();
        let seen = Seen {
            due: job.due.as_secs_f64(),
            sent,
            ended,
            host: host.and_then(|name| known.clone().position(|(host, _)| *host == name)),
            end,
        };
        if let Some(place) = self.seen.borrow_mut().get_mut(number) {
            *place = Some(seen);
        }
    }

    /// Where a job goes, and which balancer sent it to which host if one did.
    fn target(&self) -> (SocketAddr, Option<(usize, usize)>) {
        match &mut *self.way.borrow_mut() {
            Way::Cluster(vip) => (*vip, None),
            Way::Themselves(balancers) => {
                let place = balancers.send();
                let host = self.hosts.get(place.1).map(|host| host.1);
                let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
                (host.unwrap_or(nowhere), Some(place))
            }
        }
    }

    fn note(&self, words: String) {
        let mut kept = self.words.borrow_mut();
        if kept.len() < KEPT_WORDS {
            kept.push(words);
        }
    }
}

/// One job on a connection of its own: the status, and the host that the answer names.
async fn ask(
    target: SocketAddr,
    source: IpAddr,
    work: Duration,
    patience: Duration,
) -> std::result::Result<(StatusCode, Option<String>), Failure> {
    let connected = connect(target, Some(source), patience).await?;
    let mut sender = connected.handshake().await?;
    let authority = HeaderValue::from_str(&target.to_string());
    let request = Request::get(format!("/work/{}", work.as_micros()))
        .header(HOST, authority.unwrap_or(HeaderValue::from_static("vip")))
        .header(CONNECTION, "close")
        .body(Answer::empty())
        .map_err(|error| Failure::new(ErrorKind::WrongAnswer, error.to_string()))?;
    let failed = |error: hyper::Error| Failure::of_hyper(&error);
    let mut response = sender.send_request(request).await.map_err(failed)?;
    let host = response.headers().get(HOST_HEADER);
    let host = host.and_then(|name| name.to_str().ok()).map(str::to_owned);
    while let Some(frame) = response.body_mut().frame().await {
        frame.map_err(failed)?;
    }
    Ok((response.status(), host))
}

#[cfg(test)]
mod tests;
