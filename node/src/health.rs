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
use std::cell::Cell;
use std::rc::Rc;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
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
    /// Whether it was told that the server's own load makes no sense.
    complained: Cell<bool>,
}

/// The servers of this host that are checked.
#[derive(Default)]
pub(crate) struct Health {
    servers: Vec<Rc<Server>>,
}

impl Health {
    /// Of these services, by number and name. Nothing is checked before [`Self::watch`].
    pub(crate) fn new(
        checks: impl IntoIterator<Item = (ServiceNumber, String, HealthCheck)>,
    ) -> Self {
        let servers = checks.into_iter().map(|(service, name, check)| {
            Rc::new(Server {
                service,
                name,
                check,
                verdict: Cell::default(),
                good: Cell::default(),
                failed: Cell::default(),
                complained: Cell::default(),
            })
        });
        Self {
            servers: servers.collect(),
        }
    }

    /// Checks all servers for as long as the answer is polled, and tells the data thread of each
    /// change. Must run in a `LocalSet`.
    pub(crate) async fn watch(&self, data_thread: &DataThread) {
        let mut tasks = JoinSet::new();
        for server in &self.servers {
            let (server, data_thread) = (Rc::clone(server), data_thread.clone());
            tasks.spawn_local(async move { server.watch(&data_thread).await });
        }
        // They end only with this one, or by a panic, which has told why.
        while tasks.join_next().await.is_some() {}
        std::future::pending().await
    }

    /// Adds what is known of the servers.
    pub(crate) fn report(&self, report: &mut Report) {
        for server in &self.servers {
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

impl Server {
    async fn watch(&self, data_thread: &DataThread) {
        loop {
            let began = clock::now();
            let result = ask(&self.check).await;
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
    /// What an answer says of the server; what is not known of one that did not answer.
    fn server(&self, began: Time, answer: Option<&Answer>) -> signals::Server {
        let (Some(answer), HealthKind::Http { .. }) = (answer, &self.check.kind) else {
            return signals::Server::default();
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
        signals::Server {
            load,
            latency: Some(clock::now().since(began)),
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
