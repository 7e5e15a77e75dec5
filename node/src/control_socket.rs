//! The control socket: what an operator on this machine has the node do.
//!
//! Others may read the admin address, so nothing can be changed there. This is a Unix socket in the
//! node's state directory, for the node's own user and root alone.

use crate::admin::{Admin, converse, text};
use crate::data_path::{Allowance, Command};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use std::convert::Infallible;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot};
use tracing::{info, warn};

/// Connections at a time; more wait to be accepted.
const MAX_CONNECTIONS: usize = 8;

/// The data thread acts within a turn of its loop, and stores a new life's number meanwhile.
const ACT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that may not speak is not looked at again at once.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Where the socket of a node is.
pub(crate) fn path(state_dir: &Path, node: &str) -> PathBuf {
    state_dir.join(format!("{node}.sock"))
}

/// The socket of a running node.
pub(crate) struct ControlSocket(std::os::unix::net::UnixListener);

impl ControlSocket {
    /// Opens it. One that a former run of the node left is replaced.
    ///
    /// # Errors
    /// If the directory can't be written, or its path is too long for a socket (some 100 bytes).
    pub(crate) fn open(state_dir: &Path, node: &str) -> std::io::Result<Self> {
        let path = path(state_dir, node);
        let new = state_dir.join(format!("{node}.sock.new"));
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = std::os::unix::net::UnixListener::bind(&new)?;
        // Nobody else finds it under its name before.
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&new, path)?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    /// Serves until it is dropped; only in a `LocalSet`.
    ///
    /// # Errors
    /// If it can't be listened on.
    pub(crate) async fn serve(self, admin: Rc<Admin>) -> std::io::Result<Infallible> {
        let listener = UnixListener::from_std(self.0)?;
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let slot = Arc::clone(&slots).acquire_owned().await;
            let stream = match listener.accept().await {
                Ok((stream, _)) if is_allowed(&stream) => stream,
                Ok(_) => continue,
                Err(error) => {
                    warn!(%error, "can't accept a control connection");
                    tokio::time::sleep(AFTER_FAILURE).await;
                    continue;
                }
            };
            let admin = Rc::clone(&admin);
            tokio::task::spawn_local(async move {
                let _slot = slot;
                converse(stream, |request| answer(&admin, request)).await;
            });
        }
    }
}

/// Whether the other end is root or the node's own user.
fn is_allowed(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    let peer = stream.peer_cred().map(|peer| peer.uid());
    peer.is_ok_and(|peer| peer == 0 || peer == own)
}

async fn answer(
    admin: &Admin,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (method, path) = (request.method(), request.uri().path());
    Ok(match path {
        "/status" if method == Method::GET => admin.status_page().await,
        "/drain" if method == Method::POST => match allowance(request.uri().query()) {
            Some(allowance) => order(admin, Some(allowance)).await,
            None => text(
                StatusCode::BAD_REQUEST,
                "try deadline=file, never, or milliseconds\n".into(),
            ),
        },
        "/undrain" if method == Method::POST => order(admin, None).await,
        "/status" | "/drain" | "/undrain" => text(
            StatusCode::METHOD_NOT_ALLOWED,
            "GET /status, POST /drain and /undrain\n".into(),
        ),
        _ => text(
            StatusCode::NOT_FOUND,
            "try /status, /drain or /undrain\n".into(),
        ),
    })
}

/// What a request's query says of how long connections may go on.
fn allowance(query: Option<&str>) -> Option<Allowance> {
    match query.unwrap_or("deadline=file").strip_prefix("deadline=")? {
        "file" => Some(Allowance::AsFile),
        "never" => Some(Allowance::Forever),
        millis => {
            let millis = millis.parse().ok()?;
            Some(Allowance::For(Duration::from_millis(millis)))
        }
    }
}

async fn order(admin: &Admin, wanted: Option<Allowance>) -> Response<Full<Bytes>> {
    let (reply, done) = oneshot::channel();
    let unavailable = |why: &str| text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"));
    if !admin.data_thread.try_tell(Command::Order(wanted, reply)) {
        return unavailable("the data thread does not take commands");
    }
    match tokio::time::timeout(ACT_TIMEOUT, done).await {
        Ok(Ok(Ok(()))) => {
            match wanted {
                Some(allowance) => info!(?allowance, "drains, by command"),
                None => info!("drains no more, by command"),
            }
            text(StatusCode::OK, "done\n".into())
        }
        Ok(Ok(Err(why))) => text(StatusCode::CONFLICT, format!("{why}\n")),
        Ok(Err(_)) | Err(_) => unavailable("the data thread does not answer"),
    }
}

#[cfg(test)]
mod tests;
