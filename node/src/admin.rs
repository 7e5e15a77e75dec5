//! The admin address: `/metrics`, `/healthz` and `/status`.

use crate::data_path::{Command, DataThread, word};
use crate::error::Error;
use crate::health::Health;
use crate::metrics::{Identity, Metrics};
use crate::reload::Reloads;
use crate::report::{DrainLine, Report};
use crate::status::Status;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use jlb_protocol::view::Member;
use serde_json::json;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tracing::{debug, warn};

/// Connections at a time; more wait to be accepted.
const MAX_CONNECTIONS: usize = 64;

/// The data thread answers within a turn of its loop; this long means that it is stuck.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// A client that has not sent its request by then is turned away.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection is closed after the request that is under way by then, so that none is kept for
/// ever by a client that reads too slowly or not at all.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// How long that last request may take.
const LAST_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What admin requests need.
pub(crate) struct Admin {
    pub(crate) identity: Identity,
    pub(crate) status: Rc<Status>,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    pub(crate) data_thread: DataThread,
    pub(crate) reloads: Reloads,
    pub(crate) stopping: AtomicBool,
}

impl Admin {
    /// Opens the admin address.
    pub(crate) fn listen(address: SocketAddr) -> Result<std::net::TcpListener, Error> {
        let listener = std::net::TcpListener::bind(address).map_err(|source| Error::Bind {
            purpose: "the admin interface",
            address,
            source,
        })?;
        listener
            .set_nonblocking(true)
            .map_err(Error::system("listen without blocking"))?;
        Ok(listener)
    }

    /// A task for a `LocalSet` that serves until it is dropped.
    pub(crate) fn serve(
        self: Rc<Self>,
        listener: std::net::TcpListener,
    ) -> Result<impl Future<Output = ()>, Error> {
        let listener =
            TcpListener::from_std(listener).map_err(Error::system("listen for admin requests"))?;
        Ok(self.accept(listener))
    }

    async fn accept(self: Rc<Self>, listener: TcpListener) {
        let slots = std::sync::Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(slot) = std::sync::Arc::clone(&slots).acquire_owned().await else {
                return;
            };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "can't accept an admin connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let admin = Rc::clone(&self);
            tokio::task::spawn_local(async move {
                let _slot = slot;
                converse(stream, |request| admin.answer(request)).await;
            });
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return Ok(text(
                StatusCode::METHOD_NOT_ALLOWED,
                "only GET and HEAD\n".into(),
            ));
        }
        Ok(match request.uri().path() {
            "/healthz" => self.healthz().await,
            "/metrics" => self.metrics().await,
            "/status" => self.status_page().await,
            _ => text(
                StatusCode::NOT_FOUND,
                "try /healthz, /metrics or /status\n".into(),
            ),
        })
    }

    /// A consistent moment of the data thread.
    pub(crate) async fn report(&self) -> Result<Report, &'static str> {
        let (reply, answer) = oneshot::channel();
        if !self.data_thread.try_tell(Command::Report(reply)) {
            return Err("the data thread does not take commands");
        }
        match tokio::time::timeout(REPORT_TIMEOUT, answer).await {
            Ok(Ok(report)) => Ok(report),
            _ => Err("the data thread does not answer"),
        }
    }

    async fn healthz(&self) -> Response<Full<Bytes>> {
        if self.stopping.load(Ordering::Relaxed) {
            return text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n".into());
        }
        let why_not = match self.report().await {
            Ok(report) if report.draining.is_some() => Some("draining".to_owned()),
            Ok(report) => report.not_ready,
            Err(error) => Some(error.to_owned()),
        };
        match why_not {
            None => text(StatusCode::OK, "ready\n".into()),
            Some(why_not) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why_not}\n")),
        }
    }

    async fn metrics(&self) -> Response<Full<Bytes>> {
        let mut report = match self.report().await {
            Ok(report) => report,
            Err(error) => return text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
        };
        self.health.report(&mut report);
        self.reloads.report(&mut report);
        match self.metrics.encode(&self.identity, &self.status, report) {
            Ok(body) => text(StatusCode::OK, body),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }

    /// What the node knows of itself and of all others.
    pub(crate) async fn status_page(&self) -> Response<Full<Bytes>> {
        let report = match self.report().await {
            Ok(report) => report,
            Err(error) => return text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
        };
        let peers = self.status.peers();
        let members = report.members.iter().map(|line| {
            let Member {
                node,
                role,
                state,
                incarnation,
                domain: _,
            } = line.member;
            let peer = peers.get(&node).copied().unwrap_or_default();
            json!({
                "name": line.name,
                "number": node.get(),
                "role": role.as_str(),
                "state": word(state),
                "incarnation": incarnation,
                "starts": peer.starts,
                "same_configuration": peer.same_config,
                "silent_seconds": line.silence.map(|silence| silence.as_secs_f64()),
            })
        });
        let members: Vec<_> = members.collect();
        let mut own = report.members.iter();
        let own = own.find(|line| line.name == self.identity.node);
        let page = json!({
            "name": self.identity.node,
            "role": self.identity.role,
            "state": own.map(|line| word(line.member.state)),
            "incarnation": own.map(|line| line.member.incarnation),
            "not_ready": report.not_ready,
            "draining": report.draining.as_ref().map(draining),
            "configuration": format!("{:016x}", report.configuration),
            "configuration_since": self.reloads.since(),
            "configuration_refused": self.reloads.refusal(),
            "view": format!("{:016x}", report.view),
            "members": members,
        });
        let mut response = text(StatusCode::OK, format!("{page:#}\n"));
        let kind = hyper::header::HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }
}

/// Answers the requests of one connection.
pub(crate) async fn converse<S, A, F>(stream: S, answer: A)
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Result<Response<Full<Bytes>>, Infallible>>,
{
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = tokio::time::sleep(CONNECTION_TIMEOUT) => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(LAST_ANSWER_TIMEOUT, connection)
                .await
                .unwrap_or(Ok(()))
        }
    };
    if let Err(error) = served {
        debug!(%error, "an admin connection ended early");
    }
}

/// How far draining is, as JSON.
fn draining(line: &DrainLine) -> serde_json::Value {
    json!({
        "by": line.by,
        "since_seconds": line.since.as_secs_f64(),
        "deadline_seconds": line.deadline.map(|deadline| deadline.as_secs_f64()),
        "connections_left": line.left,
    })
}

pub(crate) fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let plain = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
pub(crate) mod tests;
