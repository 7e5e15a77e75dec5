//! One thing wrong with the file: what, where, and what would be right.

use crate::source;
use std::ops::Range;

/// A place in the file that a problem points at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Label {
    /// Bytes of the file.
    pub(crate) span: Range<usize>,
    /// What to say under it.
    pub(crate) text: String,
}

/// One thing wrong, or one warning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Problem {
    /// What is wrong, without a full stop.
    pub(crate) message: String,
    /// Where, the place at fault first; empty if it is not about a place in the file.
    pub(crate) labels: Vec<Label>,
    /// What would be right.
    pub(crate) help: String,
}

impl Problem {
    /// A problem at `span`, with `here` said under it.
    pub(crate) fn at(
        span: Range<usize>,
        message: impl Into<String>,
        here: impl Into<String>,
    ) -> Self {
        Self {
            message: message.into(),
            labels: vec![Label {
                span,
                text: here.into(),
            }],
            help: String::new(),
        }
    }

    /// A problem that is not about a place in the file.
    pub(crate) fn nowhere(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            labels: Vec::new(),
            help: String::new(),
        }
    }

    /// Adds a second place.
    pub(crate) fn and(mut self, span: Range<usize>, here: impl Into<String>) -> Self {
        self.labels.push(Label {
            span,
            text: here.into(),
        });
        self
    }

    /// Says what would be right.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }
}

/// What the checks find.
#[derive(Default, Debug)]
pub(crate) struct Findings {
    /// What makes the file unusable.
    pub(crate) errors: Vec<Problem>,
    /// What is allowed, but probably not meant.
    pub(crate) warnings: Vec<Problem>,
}

impl Findings {
    /// Records an error.
    pub(crate) fn error(&mut self, problem: Problem) {
        self.errors.push(problem);
    }

    /// Records a warning.
    pub(crate) fn warn(&mut self, problem: Problem) {
        self.warnings.push(problem);
    }
}

/// Text of the file in backticks, made short and free of control characters.
pub(crate) fn quoted(text: &str) -> String {
    const MOST: usize = 40;
    let mut quoted = String::from("`");
    for (count, c) in text.chars().enumerate() {
        if count == MOST {
            quoted.push('…');
            break;
        }
        quoted.push(source::printable(c));
    }
    quoted.push('`');
    quoted
}

/// The name among `known` that `name` was probably meant to be.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const MOST_EDITS: usize = 3;
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|&(edits, candidate)| edits <= MOST_EDITS && edits * 2 <= candidate.len())
        .min()
        .map(|(_, candidate)| candidate)
}

/// "did you mean `x`?" or a list of what there is, cut at a line's length.
pub(crate) fn did_you_mean(name: &str, known: &[&str], what: &str) -> String {
    if let Some(meant) = nearest(name, known.iter().copied()) {
        return format!("did you mean `{meant}`?");
    }
    const MOST: usize = 12;
    let mut list = known
        .iter()
        .take(MOST)
        .map(|name| quoted(name))
        .collect::<Vec<_>>()
        .join(", ");
    if known.len() > MOST {
        list.push_str(", …");
    }
    if list.is_empty() {
        format!("there are no {what}")
    } else {
        format!("{what}: {list}")
    }
}
