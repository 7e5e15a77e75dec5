//! Reads what the nodes say of themselves.

mod text;

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::{Doing, LabError, Result};
use crate::plan::{Node, Plan, Role};
use crate::web::body::Answer;
pub use text::Samples;

/// The largest answer that is read.
const LARGEST_ANSWER: usize = 8 << 20;
/// The longest that a node may take for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// The layers of a node that keep books.
const LAYERS: [&str; 3] = ["stack", "link", "role"];

/// What one node said.
#[derive(Clone, Debug)]
pub struct NodeSamples {
    /// The node.
    pub node: String,
    /// What it is.
    pub role: Role,
    /// What it said.
    pub samples: Samples,
}

/// The books of one layer of one node (R14): what came in or was made is somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Books {
    /// The node.
    pub node: String,
    /// The layer.
    pub layer: String,
    /// What came in.
    pub received: u64,
    /// What was made there.
    pub created: u64,
    /// What went to other nodes.
    pub sent: u64,
    /// What went on inside the machine.
    pub delivered: u64,
    /// What did its work.
    pub consumed: u64,
    /// What went no further, for all reasons together.
    pub dropped: u64,
    /// What waits.
    pub held: u64,
    /// What is missing (negative: too much); zero when the books are right.
    pub missing: i64,
}

/// Asks `path` of an admin address; returns the status and the body.
///
/// # Errors
/// When there is no answer.
pub async fn get(address: SocketAddr, path: &str) -> Result<(StatusCode, String)> {
    let asking = format!("ask {address} for {path}");
    timeout(PATIENCE, exchange(address, path))
        .await
        .map_err(|_| LabError::new(format!("cannot {asking}: no answer in {PATIENCE:?}")))?
        .map_err(|error| LabError::new(format!("cannot {asking}: {error}")))
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(
    address: SocketAddr,
    path: &str,
) -> std::result::Result<(StatusCode, String), AnyError> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header(HOST, address.to_string())
        .body(Answer::empty())?;
    // The sender goes with this block, and its end ends the connection.
    let asked = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST_ANSWER)
            .collect()
            .await?
            .to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    // What ends the connection early shows in the answer.
    let (answer, _) = tokio::join!(asked, connection);
    answer
}

/// The metrics of every node of the lab, one after the other.
///
/// # Errors
/// When a node does not answer.
pub async fn all(plan: &Plan) -> Result<Vec<NodeSamples>> {
    let mut all = Vec::new();
    for node in &plan.nodes {
        all.push(of(node).await?);
    }
    Ok(all)
}

async fn of(node: &Node) -> Result<NodeSamples> {
    let (status, text) = get(Plan::admin(node), "/metrics").await?;
    if status != StatusCode::OK {
        let words = format!(
            "{} does not tell its metrics: {status} {}",
            node.name,
            text.trim()
        );
        return Err(LabError::new(words));
    }
    let samples = Samples::parse(&text).doing(format_args!("read the metrics of {}", node.name))?;
    Ok(NodeSamples {
        node: node.name.clone(),
        role: node.role,
        samples,
    })
}

/// Whether a node is ready, or why not.
///
/// # Errors
/// When it does not answer.
pub async fn ready(node: &Node) -> Result<std::result::Result<(), String>> {
    let (status, text) = get(Plan::admin(node), "/healthz").await?;
    Ok(if status == StatusCode::OK {
        Ok(())
    } else {
        Err(text.trim().to_owned())
    })
}

impl NodeSamples {
    /// Adds up each layer. A node that does not have the counters has no right books.
    pub fn books(&self) -> Vec<Books> {
        LAYERS.iter().map(|layer| self.books_of(layer)).collect()
    }

    fn books_of(&self, layer: &str) -> Books {
        let count = |name: &str| self.samples.sum(name, &[("layer", layer)]);
        let known = |name: &str| count(name).unwrap_or(0);
        let mut books = Books {
            node: self.node.clone(),
            layer: layer.to_owned(),
            received: known("jlb_received_total"),
            created: known("jlb_created_total"),
            sent: known("jlb_sent_total"),
            delivered: known("jlb_delivered_total"),
            consumed: known("jlb_consumed_total"),
            dropped: known("jlb_dropped_total"),
            held: known("jlb_held"),
            missing: 0,
        };
        let ins = i128::from(books.received) + i128::from(books.created);
        let outs = [
            books.sent,
            books.delivered,
            books.consumed,
            books.dropped,
            books.held,
        ];
        let outs: i128 = outs.into_iter().map(i128::from).sum();
        // The node's own sum must agree with ours.
        let own = self.samples.of("jlb_books_imbalance").find_map(|sample| {
            // It may be negative, which a count can't be.
            (sample.label("layer") == Some(layer)).then_some(sample.value as i64)
        });
        let own = own.unwrap_or(i64::MAX);
        let ours = i64::try_from(ins - outs).unwrap_or(i64::MAX);
        books.missing = if ours != 0 { ours } else { own };
        books
    }

    /// What was dropped, by layer and reason, where there was any.
    pub fn drops(&self) -> Vec<(String, String, u64)> {
        self.samples
            .of("jlb_dropped_total")
            .filter(|sample| sample.value > 0.0)
            .map(|sample| {
                let label = |name| sample.label(name).unwrap_or("?").to_owned();
                (label("layer"), label("reason"), sample.value as u64)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
