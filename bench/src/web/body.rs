//! The bodies that the lab's web server sends and its clients upload.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

use crate::content;

/// A short text, or a run of the bytes that both sides know.
#[derive(Debug)]
pub(crate) enum Answer {
    /// All of it at once; `None` when it was sent.
    Text(Option<Bytes>),
    /// What is left of a run.
    Pattern {
        /// Where the rest begins.
        offset: u64,
        /// How many bytes are left.
        left: u64,
    },
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
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match self.get_mut() {
            Answer::Text(text) => text.take(),
            Answer::Pattern { left: 0, .. } => None,
            Answer::Pattern { offset, left } => {
                let piece = content::piece(*offset, *left);
                *offset += piece.len() as u64;
                *left -= piece.len() as u64;
                Some(piece)
            }
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Answer::Text(None) | Answer::Pattern { left: 0, .. })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Answer::Text(text) => text.as_ref().map_or(0, |text| text.len() as u64),
            Answer::Pattern { left, .. } => *left,
        })
    }
}
