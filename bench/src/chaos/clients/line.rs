//! One long-lived connection: what it does, by kind.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::phase::{Course, Phase};
use super::share_of;
use crate::chaos::gaps::Gaps;
use crate::content::{self, Fnv};
use crate::load::{ErrorKind, Failure, What, ask};
use crate::web::HOST_HEADER;
use crate::web::body::{Answer, receipt};

/// Between two pieces of a slow download or upload.
const PIECE_INTERVAL: Duration = Duration::from_millis(400);
/// Bytes of such a piece.
const PIECE: u64 = 1_200;
/// Between two requests of a connection that is kept alive.
const REQUEST_INTERVAL: Duration = Duration::from_millis(500);
/// Bytes of the answer to each.
const ASKED: u64 = 2_000;
/// Idle connections speak again spread over so long, so that they do not make a burst.
const SPREAD: Duration = Duration::from_millis(700);
/// How long after the fault the first of those speak that do not wait for its end.
const SOON: Duration = Duration::from_millis(300);

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// One download without an end, some bytes at a time.
    Download,
    /// One upload without an end, some bytes at a time; the server tells what it received.
    Upload,
    /// A request now and then.
    KeepAlive,
    /// Silent until the fault is over, or at least under way.
    Idle,
}

impl Kind {
    /// Every fourth connection is of a kind.
    pub(crate) fn of(number: u32) -> Self {
        [Kind::Download, Kind::KeepAlive, Kind::Upload, Kind::Idle][number as usize % 4]
    }
}

/// One connection.
pub(super) struct Line<'a> {
    pub(super) number: u32,
    pub(super) sender: SendRequest<Answer>,
    pub(super) authority: HeaderValue,
    pub(super) course: Course,
    pub(super) gaps: &'a mut Gaps,
    /// Called once, with the host that answered.
    pub(super) served_by: &'a mut dyn FnMut(Option<String>),
}

impl Line<'_> {
    /// Does what the kind does until the end of the scenario.
    pub(super) async fn run(&mut self, kind: Kind) -> Result<(), Failure> {
        match kind {
            Kind::Download => self.download().await,
            Kind::Upload => self.upload().await,
            Kind::KeepAlive => self.keep_asking().await,
            Kind::Idle => self.idle().await,
        }
    }

    async fn keep_asking(&mut self) -> Result<(), Failure> {
        let mut due = Instant::now();
        loop {
            let last = self.course.phase() == Phase::End;
            self.ask().await?;
            if last {
                return Ok(());
            }
            // The end is no reason to hurry: all would speak in one instant.
            due = (due + REQUEST_INTERVAL).max(Instant::now());
            sleep_until(due).await;
        }
    }

    async fn idle(&mut self) -> Result<(), Failure> {
        self.ask().await?;
        // Half of them speak when the fault is fresh, half when it is over.
        let (phase, soon) = if (self.number / 4).is_multiple_of(2) {
            (Phase::During, SOON)
        } else {
            (Phase::After, Duration::ZERO)
        };
        let begun = self.course.reaches(phase).await;
        let share = share_of(self.number);
        self.course
            .pause_until(begun + soon + SPREAD.mul_f64(share))
            .await;
        self.ask().await?;
        let end = self.course.reaches(Phase::End).await;
        sleep_until(end).await;
        self.ask().await
    }

    /// One request for known bytes; the wait is the time to their last one.
    async fn ask(&mut self) -> Result<(), Failure> {
        let begin = Instant::now();
        let asking = ask(
            &mut self.sender,
            What::Download(ASKED),
            &self.authority,
            false,
        );
        let answered = self.course.within(asking).await;
        self.count(begin.elapsed(), answered.as_ref().map_or(0, |a| a.bytes));
        let answered = answered?;
        (self.served_by)(answered.host);
        // hyper takes the next request only once the connection says that it is ready.
        let ready = self.sender.ready();
        ready.await.map_err(|error| Failure::of_hyper(&error))
    }

    async fn download(&mut self) -> Result<(), Failure> {
        let path = format!("/drip/{PIECE}/{}", PIECE_INTERVAL.as_millis());
        let mut last_at = Instant::now();
        let response = self.request(Method::GET, path, Answer::empty()).await?;
        let mut body = response.into_body();
        let mut done = 0;
        loop {
            let last = self.course.phase() == Phase::End;
            let piece = self.course.within(next(&mut body)).await;
            let waited = last_at.elapsed().saturating_sub(PIECE_INTERVAL);
            self.count(waited, piece.as_ref().map_or(0, |p| p.len() as u64));
            let piece = piece?;
            if !content::matches(done, &piece) {
                let words = format!("wrong bytes after byte {done} of a download");
                return Err(Failure::new(ErrorKind::WrongAnswer, words));
            }
            done += piece.len() as u64;
            if last {
                return Ok(());
            }
            last_at = Instant::now();
        }
    }

    async fn upload(&mut self) -> Result<(), Failure> {
        let (pieces, queue) = mpsc::channel(1);
        let mut sent = Sent::default();
        // The answer begins when the first piece has arrived.
        let piece = sent.next();
        let mut begin = Instant::now();
        let _ = pieces.send(piece).await;
        let body = Answer::Pieces(queue);
        let response = self.request(Method::POST, "/receipts".into(), body).await?;
        let mut receipts = Receipts::new(response.into_body());
        let mut due = begin;
        loop {
            let last = self.course.phase() == Phase::End;
            let acknowledged = self.course.within(receipts.of(&sent)).await;
            self.count(begin.elapsed(), acknowledged.as_ref().map_or(0, |()| PIECE));
            acknowledged?;
            if last {
                return Ok(());
            }
            due = (due + PIECE_INTERVAL).max(Instant::now());
            sleep_until(due).await;
            begin = Instant::now();
            let piece = sent.next();
            let sending = async {
                let gone = |_| Failure::new(ErrorKind::Closed, "the server ended an upload");
                pieces.send(piece).await.map_err(gone)
            };
            self.course.within(sending).await?;
        }
    }

    async fn request(
        &mut self,
        method: Method,
        path: String,
        body: Answer,
    ) -> Result<Response<Incoming>, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.authority)
            .body(body)
            .map_err(|e| Failure::new(ErrorKind::WrongAnswer, e.to_string()))?;
        let sender = &mut self.sender;
        let sending = async {
            let sent = sender.send_request(request).await;
            sent.map_err(|error| Failure::of_hyper(&error))
        };
        let response = self.course.within(sending).await?;
        if response.status() != StatusCode::OK {
            let words = format!("status {}", response.status());
            return Err(Failure::new(ErrorKind::Status, words));
        }
        let host = response.headers().get(HOST_HEADER);
        let host = host.and_then(|value| value.to_str().ok());
        (self.served_by)(host.map(str::to_owned));
        Ok(response)
    }

    fn count(&mut self, waited: Duration, bytes: u64) {
        let (phase, now) = (self.course.phase(), Instant::now());
        if bytes > 0 {
            self.gaps.moved(phase, now, waited, bytes);
        } else {
            self.gaps.waited(phase, now, waited);
        }
    }
}

async fn next(body: &mut Incoming) -> Result<Bytes, Failure> {
    loop {
        let frame = body.frame().await;
        let frame =
            frame.ok_or_else(|| Failure::new(ErrorKind::Closed, "an answer ended early"))?;
        let frame = frame.map_err(|error| Failure::of_hyper(&error))?;
        if let Ok(bytes) = frame.into_data() {
            return Ok(bytes);
        }
    }
}

/// What of an upload was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    pub(super) length: u64,
    sum: Fnv,
}

impl Sent {
    /// The next piece, taken for sent.
    pub(super) fn next(&mut self) -> Bytes {
        let piece = content::piece(self.length, PIECE);
        self.length += piece.len() as u64;
        self.sum.update(&piece);
        piece
    }
}

/// What the server says of an upload.
struct Receipts {
    body: Incoming,
    text: Vec<u8>,
}

impl Receipts {
    fn new(body: Incoming) -> Self {
        Self {
            body,
            text: Vec::new(),
        }
    }

    /// Waits until the server has all that was sent, and its sum is right.
    async fn of(&mut self, sent: &Sent) -> Result<(), Failure> {
        loop {
            if acknowledged(&mut self.text, sent)? {
                return Ok(());
            }
            let more = next(&mut self.body).await?;
            self.text.extend_from_slice(&more);
        }
    }
}

/// Takes whole lines off `text`; whether one of them says that all of `sent` arrived as it was.
pub(super) fn acknowledged(text: &mut Vec<u8>, sent: &Sent) -> Result<bool, Failure> {
    while let Some(end) = text.iter().position(|&byte| byte == b'\n') {
        let line: Vec<u8> = text.drain(..=end).collect();
        let line = String::from_utf8_lossy(&line);
        let length = line.split(' ').next().and_then(|word| word.parse().ok());
        let wrong = || {
            let words = format!("the server received {:?}", line.trim_end());
            Failure::new(ErrorKind::WrongAnswer, words)
        };
        let length: u64 = length.ok_or_else(wrong)?;
        if length > sent.length {
            return Err(wrong());
        }
        if length == sent.length {
            let right = *line == receipt(sent.length, sent.sum);
            return right.then_some(true).ok_or_else(wrong);
        }
    }
    Ok(false)
}
