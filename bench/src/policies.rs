//! `jlb bench policies`: ways of choosing hosts, compared in a simulation of servers and of what trackers know.

mod aims;
mod args;
mod combination;
mod document;
mod measure;
mod page;
mod plan;
mod plot;
mod text;

use std::path::Path;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};

use crate::error::{Doing, LabError, Result};
use crate::run::say;
use aims::{judge, missed_facts};
pub use args::BenchArgs;
use args::{BenchCommand, PoliciesOptions};
use document::{Document, Settings};
use measure::measure;
use plan::{GRID, sections};
use text::Text;

/// Runs `jlb bench`.
pub fn bench(args: &BenchArgs) -> ExitCode {
    let BenchCommand::Policies(options) = &args.command;
    run(options).unwrap_or_else(|error| {
        eprintln!("jlb bench: {error}");
        if let Some(mend) = error.how_to_mend() {
            eprintln!("  mend: {mend}");
        }
        ExitCode::FAILURE
    })
}

fn run(options: &PoliciesOptions) -> Result<ExitCode> {
    let json = options.json.as_deref();
    let html = options.html.as_deref();
    // Found out before the long work, not after it.
    for file in [json, html].into_iter().flatten() {
        if file != Path::new("-") {
            create(file, "")?;
        } else if html == Some(file) {
            let error = LabError::new("the page does not go to standard output");
            return Err(error.mend("name a file: --html policies.html"));
        }
    }
    let document = compare(options)?;
    let text = Text {
        tables: &document.tables,
        verdict: &document.verdict,
        unit: f64::from(document.settings.work_ms),
    };
    if json == Some(Path::new("-")) {
        say(format_args!("{}\n", document.json()?))?;
    } else {
        let seeds = &document.settings.seeds;
        say(format_args!("seeds {seeds:?}\n{text}"))?;
        if let Some(file) = json {
            create(file, &document.json()?)?;
        }
    }
    if let Some(file) = html {
        create(file, &page::page(&document))?;
    }
    for missed in &document.missed_facts {
        eprintln!("jlb bench: the model is wrong: {missed}");
    }
    Ok(if document.missed_facts.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn create(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).doing(format_args!("write {}", file.display()))
}

/// Makes all experiments.
fn compare(options: &PoliciesOptions) -> Result<Document> {
    let mut sections = sections(options);
    let only = &options.only;
    sections.retain(|it| only.is_empty() || only.iter().any(|name| name == it.name));
    let seeds = options.all_seeds();
    let lines: usize = sections.iter().map(|section| section.lines.len()).sum();
    let bar = ProgressBar::new(u64::try_from(lines * seeds.len()).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos} of {len} runs, {eta} left") {
        bar.set_style(style);
    }
    let threads = match options.threads {
        Some(threads) => usize::from(threads),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let unit = f64::from(options.work_ms);
    let tables = measure(&sections, &seeds, unit, threads, &|runs| {
        bar.inc(u64::try_from(runs).unwrap_or(0));
    });
    bar.finish_and_clear();
    let of = |name: &str| tables.iter().find(|table| table.name == name);
    Ok(Document {
        settings: Settings::new(options, seeds),
        missed_facts: of("facts").map(missed_facts).unwrap_or_default(),
        verdict: of(GRID)
            .map(|grid| judge(grid, options.at))
            .unwrap_or_default(),
        tables,
    })
}

#[cfg(test)]
mod tests;
