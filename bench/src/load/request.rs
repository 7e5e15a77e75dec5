//! One request on an open connection, and the check of its answer.

use http_body_util::BodyExt;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};

use super::tally::ErrorKind;
use crate::content;
use crate::web::HOST_HEADER;
use crate::web::body::{Answer, receipt};

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The short text at `/`.
    Small,
    /// So many of the known bytes.
    Download(u64),
    /// Takes so many of the known bytes; the server answers with their sum.
    Upload(u64),
}

/// A request that failed: the kind that is counted, and words for a person.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) words: String,
}

impl Failure {
    pub(crate) fn new(kind: ErrorKind, words: impl Into<String>) -> Self {
        Self {
            kind,
            words: words.into(),
        }
    }

    /// A failure of hyper's, with what is behind it.
    pub(crate) fn of_hyper(error: &hyper::Error) -> Self {
        Self::new(ErrorKind::of_hyper(error), words(error))
    }
}

/// A right answer.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The host that it names, if it does.
    pub(crate) host: Option<String>,
    /// Bytes of the body.
    pub(crate) bytes: u64,
    /// The server keeps the connection open.
    pub(crate) reusable: bool,
}

/// Sends one request and reads its answer to the end.
pub(crate) async fn ask(
    sender: &mut SendRequest<Answer>,
    what: What,
    authority: &HeaderValue,
    last: bool,
) -> Result<Answered, Failure> {
    let failed = |error: hyper::Error| Failure::of_hyper(&error);
    let (method, path, body) = match what {
        What::Small => (Method::GET, "/".to_owned(), Answer::empty()),
        What::Download(count) => (Method::GET, format!("/bytes/{count}"), Answer::empty()),
        What::Upload(count) => (Method::POST, "/upload".to_owned(), Answer::pattern(count)),
    };
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, authority);
    if last {
        request = request.header(CONNECTION, "close");
    }
    let request = request
        .body(body)
        .map_err(|e| Failure::new(ErrorKind::WrongAnswer, e.to_string()))?;
    let response = sender.send_request(request).await.map_err(failed)?;
    if response.status() != StatusCode::OK {
        return Err(Failure::new(
            ErrorKind::Status,
            format!("status {}", response.status()),
        ));
    }
    let header = |name| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let host = header(HOST_HEADER).map(str::to_owned);
    let reusable = !last && header("connection") != Some("close");
    let mut body = response.into_body();
    let mut bytes = 0_u64;
    let mut short = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(failed)?;
        let Some(piece) = frame.data_ref() else {
            continue;
        };
        if matches!(what, What::Download(_)) && !content::matches(bytes, piece) {
            let words = format!("wrong bytes after byte {bytes} of a download");
            return Err(Failure::new(ErrorKind::WrongAnswer, words));
        }
        if matches!(what, What::Upload(_)) && short.len() < 64 {
            short.extend_from_slice(piece);
        }
        bytes += piece.len() as u64;
    }
    check(what, bytes, &short)?;
    Ok(Answered {
        host,
        bytes,
        reusable,
    })
}

fn check(what: What, bytes: u64, short: &[u8]) -> Result<(), Failure> {
    let wrong = |words| Err(Failure::new(ErrorKind::WrongAnswer, words));
    match what {
        What::Small if bytes == 0 => wrong("an empty answer".to_owned()),
        What::Download(count) if bytes != count => {
            wrong(format!("{bytes} bytes instead of {count}"))
        }
        What::Upload(count) => {
            let expected = receipt(count, content::sum_of_first(count));
            if short == expected.as_bytes() {
                return Ok(());
            }
            wrong(format!(
                "the server received {:?}",
                String::from_utf8_lossy(short).trim_end()
            ))
        }
        What::Small | What::Download(_) => Ok(()),
    }
}

/// An error and what is behind it.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words.push_str(": ");
        words.push_str(&error.to_string());
        source = error.source();
    }
    words
}
