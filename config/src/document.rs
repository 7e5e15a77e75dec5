//! From the file's text to its tables: syntax, unknown keys, missing keys and wrong types. Each
//! table is read on its own, so that one bad table does not hide what is wrong with the next.

use crate::problem::{Problem, did_you_mean, quoted};
use crate::reference;
use crate::schema::{ClusterTable, Document, NodeTable, ServiceTable, Table};
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

const SECTIONS: &[&str] = &["cluster", "limits", "node", "service", "timers"];

/// Reads the tables of a file.
///
/// # Errors
/// Everything that is wrong with the shape of the file: the first error of its syntax, or the
/// first error of each table.
pub(crate) fn read(text: &str) -> Result<Document, Vec<Problem>> {
    let root = DeTable::parse(text).map_err(|error| vec![syntax_error(text, &error)])?;
    let mut reader = Reader {
        text,
        problems: Vec::new(),
    };
    let mut cluster = None;
    let mut limits = None;
    let mut timers = None;
    let mut nodes = Vec::new();
    let mut services = Vec::new();
    let root = root.into_inner();
    let has_cluster = root.contains_key("cluster");
    for (key, value) in root {
        match key.get_ref().as_ref() {
            "cluster" => cluster = reader.table::<ClusterTable>("cluster", value),
            "limits" => limits = reader.table("limits", value),
            "timers" => timers = reader.table("timers", value),
            "node" => nodes = reader.tables::<NodeTable>("node", value),
            "service" => services = reader.tables::<ServiceTable>("service", value),
            unknown => reader.problems.push(
                Problem::at(
                    key.span(),
                    format!("unknown section {}", quoted(unknown)),
                    "not a section of a cluster file",
                )
                .help(did_you_mean(unknown, SECTIONS, "sections")),
            ),
        }
    }
    if !has_cluster {
        reader.problems.push(
            Problem::at(0..0, "the file has no [cluster] section", "")
                .help(reference::right("cluster").unwrap_or_default()),
        );
    }
    match cluster {
        Some(cluster) if reader.problems.is_empty() => Ok(Document {
            cluster,
            limits: limits.map(|table| table.table).unwrap_or_default(),
            timers: timers.map(|table| table.table).unwrap_or_default(),
            nodes,
            services,
        }),
        _ => Err(reader.problems),
    }
}

struct Reader<'a> {
    text: &'a str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn table<T: DeserializeOwned>(
        &mut self,
        section: &str,
        value: Spanned<DeValue<'_>>,
    ) -> Option<Table<T>> {
        let header = value.span();
        if !value.get_ref().is_table() {
            let problem = Problem::at(
                header,
                format!(
                    "`{section}` is {}, not a table",
                    a(value.get_ref().type_str())
                ),
                format!("expected [{section}]"),
            );
            self.problems
                .push(problem.help(reference::right(section).unwrap_or_default()));
            return None;
        }
        match serde_path_to_error::deserialize(ValueDeserializer::from(value)) {
            Ok(table) => Some(Table { header, table }),
            Err(error) => {
                self.problems
                    .push(shape_error(self.text, section, &header, &error));
                None
            }
        }
    }

    fn tables<T: DeserializeOwned>(
        &mut self,
        section: &str,
        value: Spanned<DeValue<'_>>,
    ) -> Vec<Table<T>> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Array(array) => array
                .into_iter()
                .filter_map(|value| self.table(section, value))
                .collect(),
            other => {
                let problem = Problem::at(
                    span,
                    format!(
                        "`{section}` is {}, not a list of tables",
                        a(other.type_str())
                    ),
                    format!("expected [[{section}]]"),
                );
                self.problems
                    .push(problem.help(reference::right(section).unwrap_or_default()));
                Vec::new()
            }
        }
    }
}

fn a(type_name: &str) -> String {
    match type_name.chars().next() {
        Some('a' | 'e' | 'i' | 'o' | 'u') => format!("an {type_name}"),
        _ => format!("a {type_name}"),
    }
}

fn syntax_error(text: &str, error: &toml::de::Error) -> Problem {
    let span = error.span().unwrap_or(text.len()..text.len());
    let message = error.message();
    let help = if message == "duplicate key" {
        "each key and each [section] may stand once; nodes and services are [[node]], [[service]]"
    } else if message.starts_with("invalid basic string") {
        "a string ends in the same line, with the quote that it began with"
    } else if message.starts_with("string values must be quoted") {
        "after `=` stands a number, a string in quotes, a list in [ ] or a table in { }"
    } else {
        "see https://toml.io for what a TOML file may look like"
    };
    Problem::at(span, format!("not valid TOML: {message}"), "here").help(help)
}

/// What serde says, in the file's own words.
fn shape_error(
    text: &str,
    section: &str,
    header: &Range<usize>,
    error: &serde_path_to_error::Error<toml::de::Error>,
) -> Problem {
    let keys = keys_of(section, error.path());
    let error = error.inner();
    let span = error.span().unwrap_or_else(|| header.clone());
    let message = error.message();
    if let Some((unknown, known)) = unknown_key(message) {
        // The path ends with the unknown key itself.
        let table = keys.strip_suffix(&format!(".{unknown}")).unwrap_or(&keys);
        return Problem::at(
            span,
            format!("unknown key {} in {}", quoted(unknown), bracketed(table)),
            "not a key of this table",
        )
        .help(if SECTIONS.contains(&unknown) {
            "write it as a section of its own, with its name in brackets".to_owned()
        } else {
            did_you_mean(unknown, &known, "its keys")
        });
    }
    if let Some(missing) = message
        .strip_prefix("missing field `")
        .and_then(|rest| rest.strip_suffix('`'))
    {
        return Problem::at(
            span,
            format!("{} has no `{missing}`", bracketed(&keys)),
            format!("`{missing}` is missing here"),
        )
        .help(reference::right(&format!("{keys}.{missing}")).unwrap_or_default());
    }
    let key = keys.rsplit('.').next().unwrap_or(section);
    let message = match message.strip_prefix("invalid type: ") {
        Some(wrong) => match wrong.rsplit_once(", expected ") {
            Some((found, expected)) => {
                let expected = if expected == "a sequence" {
                    "a list"
                } else {
                    expected
                };
                format!(
                    "expected {expected}, found {}",
                    found_words(found, text.get(span.clone()))
                )
            }
            None => wrong.to_owned(),
        },
        None => message.to_owned(),
    };
    Problem::at(
        span,
        format!("`{key}` in {}: {message}", bracketed(section)),
        "here",
    )
    .help(reference::right(&keys).unwrap_or_default())
}

/// The keys of a path without indices: `service.hosts.weight`.
fn keys_of(section: &str, path: &Path) -> String {
    let mut keys = section.to_owned();
    for segment in path {
        if let Segment::Map { key } = segment
            // What toml::Spanned puts between a key and its value.
            && !key.starts_with("$__")
        {
            keys.push('.');
            keys.push_str(key);
        }
    }
    keys
}

/// How a table is written in the file.
fn bracketed(keys: &str) -> String {
    match keys {
        "node" | "service" => format!("[[{keys}]]"),
        "service.hosts" => "a host of [[service]]".to_owned(),
        "service.health" => "`health` of [[service]]".to_owned(),
        "service.admission" => "`admission` of [[service]]".to_owned(),
        _ => format!("[{keys}]"),
    }
}

/// Takes apart serde's "unknown field `x`, expected one of `a`, `b`".
fn unknown_key(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (unknown, expected) = rest.rsplit_once("`, expected ")?;
    // Names of keys are every other piece between backticks.
    let known = expected.split('`').skip(1).step_by(2).collect();
    Some((unknown, known))
}

/// serde's name of a value's type, shortened: the value itself is underlined anyway.
fn found_words(found: &str, written: Option<&str>) -> String {
    let word = found.split(' ').next().unwrap_or(found);
    match word {
        // To serde a date is a table.
        "map" if written.is_some_and(|it| it.starts_with(|c: char| c.is_ascii_digit())) => {
            "a date or time".to_owned()
        }
        "integer" => "a whole number".to_owned(),
        "string" => "a string".to_owned(),
        "boolean" => "true or false".to_owned(),
        "floating" => "a number with a fraction".to_owned(),
        "sequence" => "a list".to_owned(),
        "map" => "a table".to_owned(),
        _ => quoted(found),
    }
}
