//! A connection to a service.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::request::Failure;
use super::tally::ErrorKind;
use crate::web::body::Answer;

/// A connection that the other side has accepted, and on which nothing was said yet.
pub(crate) struct Connected {
    stream: TcpStream,
    /// Its own end.
    pub(crate) local: SocketAddr,
}

/// Connects from an address, or from whichever the kernel likes.
pub(crate) async fn connect(
    target: SocketAddr,
    source: Option<IpAddr>,
    patience: Duration,
) -> Result<Connected, Failure> {
    let failed = |error: std::io::Error| {
        let words = format!("connecting to {target}: {error}");
        Failure::new(ErrorKind::of_io(&error), words)
    };
    let socket = match target {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
    .map_err(failed)?;
    if let Some(source) = source {
        socket.bind((source, 0).into()).map_err(failed)?;
    }
    let stream = timeout(patience, socket.connect(target))
        .await
        .map_err(|_| {
            let words = format!("no connection to {target} in {patience:?}");
            Failure::new(ErrorKind::ConnectTimeout, words)
        })?
        .map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let local = stream.local_addr().map_err(failed)?;
    Ok(Connected { stream, local })
}

impl Connected {
    /// Begins to speak HTTP; a task of the local set that this runs on does the reading and writing.
    pub(crate) async fn handshake(self) -> Result<SendRequest<Answer>, Failure> {
        let (sender, connection) = http1::handshake(TokioIo::new(self.stream))
            .await
            .map_err(|error| Failure::of_hyper(&error))?;
        // What ends it shows in the request that was on it.
        tokio::task::spawn_local(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }
}
