//! Reads an answer as it comes: its status, its length, and no more of it than that.

use crate::load::ErrorKind;

/// The most that a head may be long.
const LONGEST_HEAD: usize = 8_192;

/// What is wrong with an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) kind: ErrorKind,
    pub(super) words: String,
}

/// An answer that is being read.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    /// A head that is not complete; empty for those that come in one piece.
    head: Vec<u8>,
    /// Bytes of the body that are still to come; `None` before the head is complete.
    left: Option<u64>,
}

impl Answer {
    /// Forgets everything; keeps the room.
    pub(super) fn clear(&mut self) {
        self.head.clear();
        self.left = None;
    }

    /// Whether nothing has come yet.
    pub(super) fn is_empty(&self) -> bool {
        self.left.is_none() && self.head.is_empty()
    }

    /// Takes what has come; true when the answer is complete. Its body has to have `expected` bytes.
    pub(super) fn take(&mut self, bytes: &[u8], expected: u64) -> Result<bool, Wrong> {
        let Some(left) = &mut self.left else {
            return self.take_head(bytes, expected);
        };
        let count = bytes.len() as u64;
        if count > *left {
            return Err(wrong(format!(
                "{} bytes after the end of the answer",
                count - *left
            )));
        }
        *left -= count;
        Ok(*left == 0)
    }

    fn take_head(&mut self, bytes: &[u8], expected: u64) -> Result<bool, Wrong> {
        if self.head.is_empty()
            && let Some(end) = end_of_head(bytes)
        {
            let (head, body) = bytes.split_at(end);
            check(head, expected)?;
            self.left = Some(expected);
            return self.take(body, expected);
        }
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(end) = end_of_head(&self.head) else {
            if self.head.len() > LONGEST_HEAD {
                return Err(wrong(format!("a head of over {LONGEST_HEAD} bytes")));
            }
            return Ok(false);
        };
        check(&self.head[..end], expected)?;
        self.left = Some(expected);
        // What was kept before was no complete head: the end is in what came now.
        self.take(&bytes[end - before..], expected)
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(end + 4)
}

fn check(head: &[u8], expected: u64) -> Result<(), Wrong> {
    let status = head.get(9..12);
    if !head.starts_with(b"HTTP/1.1 ") || status != Some(b"200") {
        let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
        return Err(Wrong {
            kind: ErrorKind::Status,
            words: String::from_utf8_lossy(line).into_owned(),
        });
    }
    let length = head.split(|&byte| byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(15)?;
        let is_length = name.eq_ignore_ascii_case(b"content-length:");
        is_length.then(|| value.trim_ascii())
    });
    let length: Option<u64> =
        length.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
    match length {
        Some(length) if expected == length => Ok(()),
        Some(length) => Err(wrong(format!(
            "a body of {length} bytes instead of {expected}"
        ))),
        None => Err(wrong("an answer without a length".to_owned())),
    }
}

fn wrong(words: String) -> Wrong {
    Wrong {
        kind: ErrorKind::WrongAnswer,
        words,
    }
}

#[cfg(test)]
mod tests;
