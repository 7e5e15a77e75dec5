//! The file as text: reading it within bounds, lines and columns, and the excerpt of it that an
//! error shows.

use crate::problem::Label;
use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

/// The largest cluster file that is read, in bytes.
pub(crate) const MAX_FILE: u64 = 16 << 20;

/// The longest line that is shown whole, in characters.
const MAX_LINE: usize = 84;

/// Where the label of a line that is cut is shown, at the most.
const INDENT: usize = 24;

/// Reads a file of at most [`MAX_FILE`] bytes.
///
/// # Errors
/// If it cannot be read, or is larger.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    Ok(bytes)
}

/// An error of the operating system without its number.
pub(crate) fn io_words(error: &io::Error) -> String {
    let words = error.to_string();
    match words.find(" (os error") {
        Some(at) => words[..at].to_lowercase(),
        None => words,
    }
}

/// Line and column of a byte offset, both from 1; columns count characters.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

/// A character that does no more to a terminal than stand there: no control characters, and none
/// that turn the direction of what follows.
pub(crate) fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '·',
        c if c.is_control() => '·',
        c => c,
    }
}

/// What of a file is shown around some labels: long lines are cut around their label, lines far
/// from all labels are left empty, control characters are replaced.
#[derive(Clone, Debug)]
pub(crate) struct Excerpt {
    name: String,
    text: String,
    /// Offset in `text` and column in the file, for each label.
    columns: Vec<(usize, usize)>,
}

impl Excerpt {
    /// The excerpt of `text` around `labels`, and where in it the labels are.
    pub(crate) fn new(name: &str, text: &str, labels: &[Label]) -> (Self, Vec<(usize, usize)>) {
        let mut excerpt = Self {
            name: shortened(name),
            text: String::new(),
            columns: vec![(0, 1); labels.len()],
        };
        let mut spans = vec![(0, 0); labels.len()];
        let inside = |offset| text.floor_char_boundary(offset);
        let places: Vec<Range<usize>> = labels
            .iter()
            .map(|it| inside(it.span.start)..inside(it.span.end.max(it.span.start)))
            .collect();
        let lines: Vec<usize> = places.iter().map(|it| position(text, it.start).0).collect();
        let mut start = 0;
        for (at, line) in text.split('\n').enumerate() {
            let number = at + 1;
            if at > 0 {
                excerpt.text.push('\n');
            }
            if lines.iter().any(|&it| it.abs_diff(number) <= 1) {
                let here = lines.iter().position(|&it| it == number);
                let from = here.map_or(0, |it| {
                    let (place, label) = (&places[it], &labels[it]);
                    let before = line.get(..place.start - start).unwrap_or(line);
                    first_shown(line, before.chars().count(), label.text.chars().count())
                });
                let shown_at = excerpt.text.len();
                let map = excerpt.push_line(line.trim_end_matches('\r'), from);
                for (which, place) in places.iter().enumerate() {
                    if lines[which] == number {
                        let first = map(place.start - start);
                        // Of a value over several lines the first one is underlined.
                        let last = map((place.end - start).min(line.len())).max(first);
                        spans[which] = (shown_at + first, last - first);
                        excerpt.columns[which] = (shown_at + first, position(text, place.start).1);
                    }
                }
            }
            start += line.len() + 1;
        }
        (excerpt, spans)
    }

    /// Appends a line from character `from` on, and returns how its bytes are found there.
    fn push_line(&mut self, line: &str, from: usize) -> impl Fn(usize) -> usize + use<> {
        let shown_at = self.text.len();
        // Byte in the line -> byte in what is shown of it, at each character.
        let mut map: Vec<(usize, usize)> = Vec::new();
        if from > 0 {
            self.text.push('…');
        }
        for (count, (byte, c)) in line.char_indices().enumerate() {
            map.push((byte, self.text.len() - shown_at));
            if count < from {
                continue;
            }
            if count == from + MAX_LINE {
                self.text.push('…');
            }
            if count >= from + MAX_LINE {
                continue;
            }
            self.text.push(printable(c));
        }
        let end = self.text.len() - shown_at;
        move |byte| {
            let at = map.partition_point(|&(from, _)| from < byte);
            map.get(at).map_or(end, |&(_, to)| to)
        }
    }
}

/// The first character shown of a line whose label begins at character `at` and says `said`
/// characters below it.
fn first_shown(line: &str, at: usize, said: usize) -> usize {
    let whole = line.chars().count() <= MAX_LINE && at + said <= MAX_LINE - 8;
    if whole { 0 } else { at.saturating_sub(INDENT) }
}

/// The end of a long path.
fn shortened(name: &str) -> String {
    const MOST: usize = 60;
    let count = name.chars().count();
    let tail = name.chars().skip(count.saturating_sub(MOST));
    let tail = tail.map(printable);
    if count > MOST {
        std::iter::once('…').chain(tail).collect()
    } else {
        tail.collect()
    }
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let inner = self
            .text
            .as_str()
            .read_span(span, lines_before, lines_after)?;
        // Asked for without context, the column is the one to print: the file's, not the excerpt's.
        let known = self.columns.iter().find(|&&(at, _)| at == span.offset());
        let column = match known {
            Some(&(_, column)) if lines_before == 0 && lines_after == 0 => column - 1,
            _ => inner.column(),
        };
        // Labels further apart than their context are drawn apart: miette joins them by this count.
        let lines = inner.data().iter().filter(|&&byte| byte == b'\n').count();
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            inner.data(),
            *inner.span(),
            inner.line(),
            column,
            lines,
        )))
    }
}
