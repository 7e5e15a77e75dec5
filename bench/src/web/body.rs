//! The bodies that the lab's web server sends and its clients upload.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::sync::mpsc;
use tokio::time::Interval;

use crate::content::{self, Fnv};

/// What is sent as the body of an answer or of a request.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A short text, all of it at once; `None` when it was sent.
    Text(Option<Bytes>),
    /// What is left of a run of the bytes that both sides know.
    Pattern {
        /// Where the rest begins.
        offset: u64,
        /// How many bytes are left.
        left: u64,
    },
    /// The known bytes without an end, some at each tick.
    Drip {
        /// Where the rest begins.
        offset: u64,
        /// How many come with the next tick.
        left: u64,
        /// How many come with each.
        count: u64,
        /// The ticks.
        ticks: Interval,
    },
    /// A line for each piece of what the client sends: how much arrived so far, and its sum.
    Receipts {
        /// What the client sends.
        incoming: Incoming,
        /// Bytes so far.
        length: u64,
        /// Their sum.
        sum: Fnv,
    },
    /// Pieces as somebody hands them over, to the end of the queue.
    Pieces(mpsc::Receiver<Bytes>),
}

impl Answer {
    pub(crate) fn text(text: String) -> Self {
        Answer::Text(Some(text.into()))
    }

    pub(crate) fn empty() -> Self {
        Answer::Text(None)
    }

    pub(crate) fn pattern(length: u64) -> Self {
        Answer::Pattern {
            offset: 0,
            left: length,
        }
    }

    pub(crate) fn drip(count: u64, ticks: Interval) -> Self {
        Answer::Drip {
            offset: 0,
            left: 0,
            count,
            ticks,
        }
    }

    pub(crate) fn receipts(incoming: Incoming) -> Self {
        Answer::Receipts {
            incoming,
            length: 0,
            sum: Fnv::default(),
        }
    }
}

/// One line of [`Answer::Receipts`]: so many bytes arrived, and this is their sum.
pub(crate) fn receipt(length: u64, sum: Fnv) -> String {
    format!("{length} {:016x}\n", sum.value())
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match self.get_mut() {
            Answer::Text(text) => text.take(),
            Answer::Pattern { left: 0, .. } => None,
            Answer::Pattern { offset, left } => Some(take(offset, left)),
            Answer::Drip {
                offset,
                left,
                count,
                ticks,
            } => {
                if *left == 0 {
                    ready!(ticks.poll_tick(context));
                    *left = *count;
                }
                Some(take(offset, left))
            }
            Answer::Receipts {
                incoming,
                length,
                sum,
            } => loop {
                match ready!(Pin::new(&mut *incoming).poll_frame(context)) {
                    Some(Ok(frame)) => {
                        let Some(bytes) = frame.data_ref() else {
                            continue;
                        };
                        *length += bytes.len() as u64;
                        sum.update(bytes);
                        break Some(receipt(*length, *sum).into());
                    }
                    // The receipts that are missing tell the client.
                    Some(Err(_)) | None => break None,
                }
            },
            Answer::Pieces(pieces) => ready!(pieces.poll_recv(context)),
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Answer::Text(None) | Answer::Pattern { left: 0, .. })
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |t| t.len() as u64)),
            Answer::Pattern { left, .. } => SizeHint::with_exact(*left),
            Answer::Drip { .. } | Answer::Receipts { .. } | Answer::Pieces(_) => {
                SizeHint::default()
            }
        }
    }
}

/// The next bytes of a run of which there is some left.
fn take(offset: &mut u64, left: &mut u64) -> Bytes {
    let piece = content::piece(*offset, *left);
    *offset += piece.len() as u64;
    *left -= piece.len() as u64;
    piece
}
