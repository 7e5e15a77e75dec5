//! What every node of a cluster file says of itself: `jlb status`.

use crate::drain::Progress;
use crate::error::Error;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use jlb_config::{ClusterConfig, Node, Style};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How long a node may take for its answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// The largest answer that is read, in bytes: a cluster of thousands of nodes.
const LARGEST_ANSWER: usize = 8 << 20;

/// Nodes that are asked at a time.
const AT_A_TIME: usize = 256;

/// What one node said.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Said {
    state: String,
    incarnation: Option<u64>,
    /// The fingerprint of the configuration that it runs.
    configuration: String,
    /// Why the file that it has is not taken over.
    refused: Option<String>,
    /// Why it is not ready.
    not_ready: Option<String>,
    /// How far draining is.
    draining: Option<Progress>,
}

/// One node of the file, and what it said or why it said nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Line {
    name: String,
    role: &'static str,
    admin: SocketAddr,
    said: Result<Said, String>,
}

impl Line {
    fn has(&self, fingerprint: &str) -> bool {
        let said = self.said.as_ref();
        said.is_ok_and(|said| said.configuration == fingerprint)
    }
}

/// What all nodes of a cluster file said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Survey {
    /// The file's fingerprint.
    fingerprint: String,
    /// By number.
    lines: Vec<Line>,
}

/// Asks every node of a cluster file how it is, each for at most a second.
///
/// # Errors
/// If the file is not valid. That nodes do not answer is no error: [`Survey::is_uniform`] tells.
pub fn survey(file: &Path) -> Result<Survey, Error> {
    let loaded = ClusterConfig::load(file)
        .map_err(|error| Error::Config(error.render(Style::of_terminal())))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::system("start asking"))?;
    Ok(runtime.block_on(ask_all(&loaded.config)))
}

async fn ask_all(config: &ClusterConfig) -> Survey {
    let mut lines = Vec::new();
    for nodes in config.nodes().chunks(AT_A_TIME) {
        let mut asked = JoinSet::new();
        for (at, node) in nodes.iter().cloned().enumerate() {
            asked.spawn(async move { (at, ask(&node).await) });
        }
        let mut answers = Vec::new();
        while let Some(answer) = asked.join_next().await {
            answers.extend(answer);
        }
        answers.sort_by_key(|(at, _)| *at);
        lines.extend(answers.into_iter().map(|(_, line)| line));
    }
    Survey {
        fingerprint: format!("{:016x}", config.fingerprint()),
        lines,
    }
}

async fn ask(node: &Node) -> Line {
    let said = tokio::time::timeout(PATIENCE, get(node.admin)).await;
    let said = said.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")));
    Line {
        name: node.name.clone(),
        role: node.role.as_str(),
        admin: node.admin,
        said: said.and_then(|body| read(&node.name, &body)),
    }
}

/// The body of a node's `/status`.
async fn get(admin: SocketAddr) -> Result<Bytes, String> {
    let stream = TcpStream::connect(admin).await;
    let stream = stream.map_err(|error| error.to_string())?;
    exchange(stream, Method::GET, "/status", &admin.to_string()).await
}

/// The body of the answer to one request, or why there is none.
pub(crate) async fn exchange<S>(
    stream: S,
    method: Method,
    path: &str,
    host: &str,
) -> Result<Bytes, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let words = |error: &dyn std::error::Error| error.to_string();
    let (mut requests, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| words(&e))?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, host)
        .header(USER_AGENT, concat!("jlb/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|e| words(&e))?;
    let asked = async move {
        let answer = requests.send_request(request).await;
        let answer = answer.map_err(|e| words(&e))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect();
        let body = body.await.map_err(|e| e.to_string())?.to_bytes();
        if status.is_success() {
            Ok(body)
        } else {
            let why = String::from_utf8_lossy(&body);
            Err(format!("status {status}: {}", first_line(&why)))
        }
    };
    // What ends the connection early shows in the answer.
    let (answer, _) = tokio::join!(asked, connection);
    answer
}

/// What a node of this name said in its `/status`.
fn read(name: &str, body: &[u8]) -> Result<Said, String> {
    let page: Value = serde_json::from_slice(body)
        .map_err(|_| "it answers, but not as a node of JLB".to_owned())?;
    let text = |key: &str| page[key].as_str().map(first_line);
    match text("name") {
        Some(other) if other == name => {}
        Some(other) => return Err(format!("node {other} answers there")),
        None => return Err("it answers, but not as a node of JLB".into()),
    }
    Ok(Said {
        state: text("state").unwrap_or_else(|| "?".into()),
        incarnation: page["incarnation"].as_u64(),
        configuration: text("configuration").unwrap_or_else(|| "?".into()),
        refused: text("configuration_refused"),
        not_ready: text("not_ready"),
        draining: Progress::read(&page),
    })
}

/// The first line of what another program said, without what does more to a terminal than stand
/// there.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let printable = line.chars().filter(|c| !c.is_control());
    printable.take(200).collect()
}

impl Survey {
    /// Whether every node answers and runs the file.
    #[must_use]
    pub fn is_uniform(&self) -> bool {
        self.lines.iter().all(|line| line.has(&self.fingerprint))
    }

    /// As a table for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut rows = vec![
            [
                "node",
                "role",
                "address",
                "state",
                "fingerprint",
                "same",
                "incarnation",
                "ready",
            ]
            .map(str::to_owned),
        ];
        let mut remarks = String::new();
        for line in &self.lines {
            let mut row = [&line.name, line.role, "", "", "", "", "", ""].map(str::to_owned);
            row[2] = line.admin.to_string();
            let remark = match &line.said {
                Err(why) => {
                    for (cell, text) in row[3..].iter_mut().zip(["unreachable", "-", "-", "-", "-"])
                    {
                        text.clone_into(cell);
                    }
                    Some(why.clone())
                }
                Ok(said) => {
                    let word = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
                    row[3].clone_from(&said.state);
                    row[4].clone_from(&said.configuration);
                    row[5] = word(line.has(&self.fingerprint));
                    row[6] = said.incarnation.map_or("-".into(), |it| it.to_string());
                    row[7] = word(said.not_ready.is_none());
                    let refused = said.refused.as_ref();
                    let draining = said.draining.as_ref();
                    refused
                        .map(|why| format!("refuses its file: {why}"))
                        .or_else(|| draining.map(Progress::to_string))
                        .or_else(|| said.not_ready.clone())
                }
            };
            if let Some(remark) = remark {
                // Writing to a String cannot fail.
                let _ = writeln!(remarks, "{}: {remark}", line.name);
            }
            rows.push(row);
        }
        let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max();
        let widths: Vec<usize> = (0..8).map(|at| width(at).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(line, "{cell:width$}  ");
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
        if !remarks.is_empty() {
            let _ = write!(text, "\n{remarks}");
        }
        let same = self.lines.iter().filter(|line| line.has(&self.fingerprint));
        let (same, all) = (same.count(), self.lines.len());
        let _ = writeln!(
            text,
            "\n{same} of {all} nodes run the file, whose fingerprint is {}",
            self.fingerprint
        );
        text
    }

    /// As JSON.
    #[must_use]
    pub fn json(&self) -> String {
        let nodes = self.lines.iter().map(|line| {
            let mut node = json!({
                "name": line.name,
                "role": line.role,
                "admin": line.admin.to_string(),
                "reachable": line.said.is_ok(),
                "same_configuration": line.has(&self.fingerprint),
            });
            match &line.said {
                Ok(said) => {
                    node["state"] = json!(said.state);
                    node["incarnation"] = json!(said.incarnation);
                    node["configuration"] = json!(said.configuration);
                    node["configuration_refused"] = json!(said.refused);
                    node["ready"] = json!(said.not_ready.is_none());
                    node["not_ready"] = json!(said.not_ready);
                    node["draining"] = json!(said.draining.as_ref().map(Progress::json));
                }
                Err(why) => node["error"] = json!(why),
            }
            node
        });
        let page = json!({
            "configuration": self.fingerprint,
            "uniform": self.is_uniform(),
            "nodes": nodes.collect::<Vec<_>>(),
        });
        format!("{page:#}\n")
    }
}

#[cfg(test)]
mod tests;
