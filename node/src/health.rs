//! Whether this host's own servers answer: one task for each service that has a health check.

use crate::clock;
use crate::data_path::{Command, DataThread};
use crate::report::Report;
use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use jlb_config::{HealthCheck, HealthKind};
use jlb_host_agent::signals::{self, Signal};
use jlb_protocol::{ServiceNumber, Time};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tracing::{info, warn};

/// What is believed of a server, held down so that one odd check changes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Verdict {
    /// Nothing is known before the first check, which decides alone.
    healthy: Option<bool>,
    /// Checks in a row that say otherwise.
    against: u32,
}

impl Verdict {
    /// The verdict after one more check.
    fn after(self, good: bool, check: &HealthCheck) -> Self {
        let settled = Self {
            healthy: Some(good),
            against: 0,
        };
        let against = self.against + 1;
        let needed = if good { check.rise } else { check.fall };
        match self.healthy {
            Some(healthy) if healthy != good && against < needed => Self { against, ..self },
            _ => settled,
        }
    }
}

/// A service of this host, and its server's health.
struct Server {
    service: ServiceNumber,
    name: String,
    check: HealthCheck,
    verdict: Cell<Verdict>,
    good: Cell<u64>,
    failed: Cell<u64>,
    /// What it said last of its load.
    load: Cell<Option<u16>>,
    /// Whether it was told that the server's own load makes no sense.
    complained: Cell<bool>,
    /// It is not checked any more, and what a last check says does not count.
    retired: Cell<bool>,
}

/// A check that a service wants: its number, its name and what is asked.
pub(crate) type Wanted = (ServiceNumber, String, HealthCheck);

/// The servers of this host that are checked.
#[derive(Default)]
pub(crate) struct Health {
    servers: RefCell<Vec<Rc<Server>>>,
    replaced: Notify,
}

impl Health {
    /// Of these services. Nothing is checked before [`Self::watch`].
    pub(crate) fn new(checks: impl IntoIterator<Item = Wanted>) -> Self {
        let servers = checks
            .into_iter()
            .map(|wanted| Rc::new(Server::new(wanted)));
        Self {
            servers: RefCell::new(servers.collect()),
            replaced: Notify::new(),
        }
    }

    /// Checks these from now on. What is believed of a server that is still checked stays until its
    /// checks say otherwise; one that is not any more is taken for healthy. The data thread is told.
    pub(crate) async fn replace(
        &self,
        checks: impl IntoIterator<Item = Wanted>,
        data_thread: &DataThread,
    ) {
        let before = self.servers.borrow().clone();
        let of = |service| before.iter().find(|server| server.service == service);
        let servers: Vec<Rc<Server>> = checks
            .into_iter()
            .map(|wanted| match of(wanted.0) {
                Some(server) if server.is(&wanted) => Rc::clone(server),
                Some(server) => Rc::new(Server::new(wanted).with_past_of(server)),
                None => Rc::new(Server::new(wanted)),
            })
            .collect();
        let gone = before
            .iter()
            .filter(|server| !servers.iter().any(|it| it.service == server.service));
        let gone: Vec<_> = gone.map(|server| server.service).collect();
        for server in &before {
            let stays = servers.iter().any(|it| Rc::ptr_eq(it, server));
            server.retired.set(!stays);
        }
        self.servers.replace(servers);
        self.replaced.notify_one();
        for service in gone {
            data_thread.tell(|| Command::Health(service, true)).await;
            let nothing = || vec![Signal::Server(service, signals::Server::default())];
            data_thread.tell(|| Command::Signals(nothing())).await;
        }
    }

    /// Checks all servers for as long as the answer is polled, and tells the data thread of each
    /// change. Must run in a `LocalSet`.
    pub(crate) async fn watch(&self, data_thread: &DataThread) {
        let mut tasks = Vec::<(Rc<Server>, AbortOnDrop)>::new();
        loop {
            let wanted = self.servers.borrow().clone();
            tasks.retain(|(server, _)| wanted.iter().any(|it| Rc::ptr_eq(it, server)));
            for server in wanted {
                if tasks.iter().any(|(it, _)| Rc::ptr_eq(it, &server)) {
                    continue;
                }
                let (checked, data_thread) = (Rc::clone(&server), data_thread.clone());
                let task =
                    tokio::task::spawn_local(async move { checked.watch(&data_thread).await });
                tasks.push((server, AbortOnDrop(task)));
            }
            self.replaced.notified().await;
        }
    }

    /// Adds what is known of the servers.
    pub(crate) fn report(&self, report: &mut Report) {
        for server in self.servers.borrow().iter() {
            let service = server.service;
            if let Some(healthy) = server.verdict.get().healthy {
                report.gauge(
                    "jlb_host_server_healthy",
                    "Whether the service's server passes its health check.",
                    &[("service", &service)],
                    u64::from(healthy),
                );
            }
            for (result, count) in [("good", &server.good), ("failed", &server.failed)] {
                report.counter(
                    "jlb_host_health_checks_total",
                    "Health checks of the service's server, by result.",
                    &[("service", &service), ("result", &result)],
                    count.get(),
                );
            }
        }
    }
}

/// A task that ends with this value.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Server {
    fn new((service, name, check): Wanted) -> Self {
        Self {
            service,
            name,
            check,
            verdict: Cell::default(),
            good: Cell::default(),
            failed: Cell::default(),
            load: Cell::default(),
            complained: Cell::default(),
            retired: Cell::default(),
        }
    }

    /// Whether this is what is wanted.
    fn is(&self, (service, name, check): &Wanted) -> bool {
        (self.service, &self.name, &self.check) == (*service, name, check)
    }

    /// With what is believed of another server, and how often it was checked.
    fn with_past_of(self, other: &Self) -> Self {
        self.verdict.set(other.verdict.get());
        self.good.set(other.good.get());
        self.failed.set(other.failed.get());
        self
    }

    async fn watch(&self, data_thread: &DataThread) {
        loop {
            let began = clock::now();
            let result = ask(&self.check).await;
            if self.retired.get() {
                return;
            }
            let good = result.is_ok();
            let server = self.server(began, result.as_ref().ok());
            data_thread.try_tell(Command::Signals(vec![Signal::Server(self.service, server)]));
            let counter = if good { &self.good } else { &self.failed };
            counter.set(counter.get() + 1);
            let before = self.verdict.get();
            let after = before.after(good, &self.check);
            self.verdict.set(after);
            if after.healthy != before.healthy {
                let (service, address) = (self.name.as_str(), self.check.address);
                match &result {
                    Ok(_) => info!(service, %address, "server is healthy"),
                    Err(why) => warn!(
                        service, %address, why,
                        "server is not healthy: it gets no new connections if others take them"
                    ),
                }
                let service = self.service;
                data_thread.tell(|| Command::Health(service, good)).await;
            }
            tokio::time::sleep(self.check.interval).await;
        }
    }
}

impl Server {
    /// What an answer says of the server. One that does not answer in time is as loaded as it said last, and as
    /// slow as that; of one that is not there nothing is known.
    fn server(&self, began: Time, answer: Option<&Answer>) -> signals::Server {
        let took = clock::now().since(began);
        let (Some(answer), HealthKind::Http { .. }) = (answer, &self.check.kind) else {
            let http = matches!(self.check.kind, HealthKind::Http { .. });
            let slow = http && took >= self.check.timeout;
            let latency = slow.then_some(took);
            let load = self.load.get().filter(|_| slow);
            return signals::Server { load, latency };
        };
        let load = match &answer.load {
            None => None,
            Some(word) => match share(word) {
                Some(share) => Some(share),
                None => {
                    if !self.complained.replace(true) {
                        let (service, address) = (self.name.as_str(), self.check.address);
                        warn!(service, %address, "{LOAD} is {word:?}, not 0 to 100: it counts for nothing");
                    }
                    None
                }
            },
        };
        self.load.set(load);
        signals::Server {
            load,
            latency: Some(took),
        }
    }
}

/// The header of an answer in which a server tells its own load, 0 (idle) to 100 (full).
const LOAD: &str = "jlb-load";

/// What a good check told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Answer {
    /// The header for the load, as it came.
    load: Option<String>,
}

/// A load of 0 to 100, as a share.
fn share(word: &str) -> Option<u16> {
    let percent: f64 = word.trim().parse().ok()?;
    // Nobody's load is infinite, or not a number.
    (0.0..=100.0)
        .contains(&percent)
        .then(|| (percent / 100.0 * f64::from(u16::MAX)) as u16)
}

/// One check; why it failed, for a person.
async fn ask(check: &HealthCheck) -> Result<Answer, String> {
    let asked = async {
        let stream = TcpStream::connect(check.address)
            .await
            .map_err(|error| error.to_string())?;
        match &check.kind {
            HealthKind::Tcp => Ok(Answer::default()),
            HealthKind::Http { path } => get(stream, check, path).await,
        }
    };
    match tokio::time::timeout(check.timeout, asked).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {:?}", check.timeout)),
    }
}

async fn get(stream: TcpStream, check: &HealthCheck, path: &str) -> Result<Answer, String> {
    let (mut requests, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    // Ends with this function: the body is of no interest.
    let mut driver = JoinSet::new();
    driver.spawn_local(connection);
    let request = Request::get(path)
        .header(HOST, check.address.to_string())
        .header(USER_AGENT, concat!("jlb/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answer = requests.send_request(request).await;
    let answer = answer.map_err(|error| error.to_string())?;
    let status = answer.status();
    if status.is_success() || status.is_redirection() {
        let load = answer.headers().get(LOAD);
        let load = load.map(|word| String::from_utf8_lossy(word.as_bytes()).into_owned());
        Ok(Answer { load })
    } else {
        Err(format!("status {status}"))
    }
}

#[cfg(test)]
mod tests;
