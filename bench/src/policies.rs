//! `jlb bench policies`: ways of choosing hosts, compared in a simulation of servers and of what trackers know, and in
//! a lab on real TCP.

mod aims;
mod args;
mod combination;
mod document;
#[cfg(test)]
mod for_tests;
mod lab;
mod measure;
mod page;
mod plan;
mod text;

use std::path::Path;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};

use crate::error::{LabError, Result};
use crate::run::{INTERRUPTED, root, say, unless_interrupted, write_file};
use aims::{judge, missed_facts};
pub(crate) use args::PoliciesOptions;
use args::Where;
use document::{Document, Figures, Settings};
use lab::text::LabText;
use measure::measure;
use plan::{GRID, sections};
use text::Text;

/// Runs `jlb bench policies`.
pub(crate) fn run(options: &PoliciesOptions) -> Result<ExitCode> {
    let json = options.json.as_deref();
    let html = options.html.as_deref();
    if options.place != Where::Simulator {
        root()?;
    } else if !options.lab.lab_part.is_empty() {
        let error =
            LabError::new("--lab-part says what to run in the lab, and nothing is run there");
        return Err(error.mend("add --in lab, or --in both"));
    }
    // Found out before the long work, not after it.
    for file in [json, html].into_iter().flatten() {
        if file != Path::new("-") {
            write_file(file, "")?;
        } else if html == Some(file) {
            let error = LabError::new("the page does not go to standard output");
            return Err(error.mend("name a file: --html policies.html"));
        }
    }
    let mut figures = Figures {
        simulator: match options.place {
            Where::Lab => None,
            Where::Simulator | Where::Both => Some(compare(options)?),
        },
        lab: None,
    };
    if options.place != Where::Simulator {
        let Some(lab) = unless_interrupted(lab::compare(options))? else {
            return Ok(ExitCode::from(INTERRUPTED));
        };
        figures.lab = Some(lab);
    }
    if json == Some(Path::new("-")) {
        say(format_args!("{}\n", figures.json()?))?;
    } else {
        tell(&figures)?;
        if let Some(file) = json {
            write_file(file, &figures.json()?)?;
        }
    }
    if let Some(file) = html {
        write_file(file, &page::page(&figures))?;
    }
    let mut good = true;
    for missed in figures.simulator.iter().flat_map(|it| &it.missed_facts) {
        eprintln!("jlb bench: the model is wrong: {missed}");
        good = false;
    }
    let broken = figures
        .lab
        .as_ref()
        .map_or(0, lab::document::LabFigures::broken);
    if broken > 0 {
        eprintln!("jlb bench: {broken} jobs failed in the lab that should not have");
        good = false;
    }
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// All tables in a terminal.
fn tell(figures: &Figures) -> Result<()> {
    if let Some(document) = &figures.simulator {
        let seeds = &document.settings.seeds;
        let text = Text {
            tables: &document.tables,
            verdict: &document.verdict,
            unit: f64::from(document.settings.work_ms),
        };
        say(format_args!("seeds {seeds:?}\n{text}"))?;
    }
    match &figures.lab {
        Some(lab) => say(format_args!("{}", LabText(lab))),
        None => Ok(()),
    }
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
