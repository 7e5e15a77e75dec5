//! `jlb bench compare`: two reports of the same kind, line by line.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::error::{Doing, LabError, Result};
use crate::run::say;
use crate::side_by_side::{Document, KIND, Spread};

/// Which reports.
#[derive(Clone, Debug, Args)]
pub(crate) struct CompareOptions {
    /// A file that `jlb bench lab --json` or `jlb bench micro --json` wrote
    before: PathBuf,
    /// A later one of the same command
    after: PathBuf,
}

/// A figure that a report has.
#[derive(Clone, PartialEq, Debug)]
struct Figure {
    /// What it is of, in up to three words: a workload, a row, a measure.
    name: [String; 3],
    value: f64,
    /// From where to where it went within the report.
    from: f64,
    to: f64,
}

/// What two reports say of the same thing.
#[derive(Clone, PartialEq, Debug)]
struct Pair {
    before: Figure,
    after: Figure,
}

/// A report: on what it was made, and what it found.
#[derive(Clone, PartialEq, Debug)]
struct Report {
    kind: &'static str,
    made: String,
    figures: Vec<Figure>,
}

/// Runs `jlb bench compare`.
///
/// # Errors
/// If a file can't be read, or both are not of the same kind.
pub(crate) fn run(options: &CompareOptions) -> Result<ExitCode> {
    let before = Report::read(&options.before)?;
    let after = Report::read(&options.after)?;
    if before.kind != after.kind {
        let error = LabError::new(format!(
            "{} is of {} and {} of {}",
            options.before.display(),
            before.kind,
            options.after.display(),
            after.kind
        ));
        return Err(error.mend("name two files of the same command"));
    }
    say(format_args!("{}", text(&before, &after)))?;
    Ok(ExitCode::SUCCESS)
}

impl Report {
    fn read(file: &Path) -> Result<Self> {
        let reading = format!("read {}", file.display());
        let text = std::fs::read_to_string(file).doing(&reading)?;
        let value: Value = serde_json::from_str(&text).doing(&reading)?;
        if value["kind"] == KIND {
            let document = serde_json::from_value(value).doing(&reading)?;
            return Ok(Self::of_lab(&document));
        }
        let cases = value["cases"].as_array();
        let Some(cases) = cases else {
            let error = LabError::new(format!("{} is no report", file.display()));
            return Err(
                error.mend("name a file of `jlb bench lab --json` or `jlb bench micro --json`")
            );
        };
        let figures: Option<Vec<Figure>> = cases.iter().map(of_case).collect();
        let figures = figures.ok_or_else(|| {
            LabError::new(format!("{} has a case without its times", file.display()))
        })?;
        Ok(Self {
            kind: "jlb bench micro",
            made: value["processor"].as_str().unwrap_or("unknown").to_owned(),
            figures,
        })
    }

    fn of_lab(document: &Document) -> Self {
        let mut figures = Vec::new();
        for table in &document.tables {
            for line in &table.lines {
                let mut add = |measure: &str, spread: Spread| {
                    figures.push(Figure {
                        name: [table.workload.as_str(), &line.row, measure].map(str::to_owned),
                        value: spread.median,
                        from: spread.min,
                        to: spread.max,
                    });
                };
                if table.is_open {
                    add("p50 us", line.p50_us);
                    add("p99 us", line.p99_us);
                } else {
                    // Nothing can be said of `direct` but its rate.
                    match line.ratio.filter(|_| !line.is_direct()) {
                        Some(ratio) => add("of direct", ratio),
                        None => add(&table.unit, line.rate),
                    }
                    add("cpu us", line.cpu_us);
                }
            }
        }
        let machine = &document.machine;
        Self {
            kind: "jlb bench lab",
            made: format!(
                "{} processors ({}), Linux {}, {}: {}",
                machine.processors,
                machine.processor,
                machine.kernel,
                document.commit.as_deref().unwrap_or("commit unknown"),
                document.command,
            ),
            figures,
        }
    }
}

/// What others do on the machine can only add to a time: the least is the figure, and half of all samples lie between
/// it and the middle one.
fn of_case(case: &Value) -> Option<Figure> {
    let name = case["name"].as_str()?;
    let least = case["ns_least"].as_f64()?;
    Some(Figure {
        name: [name, "", "ns"].map(str::to_owned),
        value: least,
        from: least,
        to: case["ns_median"].as_f64()?,
    })
}

impl Pair {
    fn change(&self) -> f64 {
        self.after.value / self.before.value - 1.0
    }

    /// Whether the runs of the one report and those of the other have nothing in common.
    fn is_outside(&self) -> bool {
        self.after.to < self.before.from || self.before.to < self.after.from
    }
}

/// The lines that both have, in the order of the earlier one.
fn pairs(before: &Report, after: &Report) -> Vec<Pair> {
    let of = |figure: &Figure| after.figures.iter().find(|it| it.name == figure.name);
    let both = before.figures.iter().filter_map(|figure| {
        Some(Pair {
            before: figure.clone(),
            after: of(figure)?.clone(),
        })
    });
    both.collect()
}

/// The lines that one has and the other lacks.
fn alone<'a>(one: &'a Report, other: &Report) -> Vec<&'a [String; 3]> {
    let lacks = |figure: &&Figure| !other.figures.iter().any(|it| it.name == figure.name);
    one.figures
        .iter()
        .filter(lacks)
        .map(|figure| &figure.name)
        .collect()
}

fn text(before: &Report, after: &Report) -> String {
    let mut text = format!("before: {}\nafter:  {}\n\n", before.made, after.made);
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{:<44} {:>30} {:>30} {:>9}",
        "", "before (least..largest)", "after (least..largest)", "change"
    );
    for pair in pairs(before, after) {
        let outside = if pair.is_outside() {
            "  outside the spread"
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "{:<44} {:>30} {:>30} {:>+7.1} %{outside}",
            words(&pair.before.name),
            shown(&pair.before),
            shown(&pair.after),
            pair.change() * 100.0,
        );
    }
    for (name, when) in alone(before, after)
        .into_iter()
        .map(|name| (name, "before"))
        .chain(alone(after, before).into_iter().map(|name| (name, "after")))
    {
        let _ = writeln!(text, "{:<44} only {when}", words(name));
    }
    text
}

fn words(name: &[String; 3]) -> String {
    let words: Vec<&str> = name.iter().map(String::as_str).collect();
    words.join(" ").replace("  ", " ")
}

fn shown(figure: &Figure) -> String {
    let places = if figure.value.abs() < 10.0 { 3 } else { 1 };
    format!(
        "{:.places$} ({:.places$}..{:.places$})",
        figure.value, figure.from, figure.to
    )
}

#[cfg(test)]
mod tests;
