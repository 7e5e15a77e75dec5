//! `jlb bench lab`: JLB beside no balancer at all, the kernel's own ways and the proxies that people use, in one run on
//! one machine.
//!
//! The rows take turns of some seconds each, in an order that is drawn anew each time, and what each does is compared
//! with what no balancer at all did in the same round: what disturbs the machine for a while disturbs all of them. Only
//! the balancer whose turn it is runs.

mod args;
mod charts;
mod document;
mod figures;
mod flame;
mod kernel;
mod machine;
mod order;
mod page;
mod proxies;
mod row;
mod run;
mod sample;
mod servers;
mod stage;
mod text;
mod workload;

use std::path::Path;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::error::{LabError, Result};
use crate::run::{INTERRUPTED, root, say, unless_interrupted, write_file};
pub(crate) use args::SideBySideOptions;
use document::RowFacts;
pub(crate) use document::{Document, KIND};
pub(crate) use figures::Spread;
pub(crate) use kernel::nft_reads;
use machine::Machine;
pub(crate) use row::Program;
use row::{Programs, Row};
use run::Run;
use stage::Stage;

/// Runs `jlb bench lab`.
pub(crate) fn run(options: &SideBySideOptions) -> Result<ExitCode> {
    root()?;
    let json = options.json.as_deref();
    let html = options.html.as_deref();
    // Found out before the long work, not after it.
    for file in [json, html].into_iter().flatten() {
        if file != Path::new("-") {
            write_file(file, "")?;
        } else if html == Some(file) {
            let error = LabError::new("the page does not go to standard output");
            return Err(error.mend("name a file: --html lab.html"));
        }
    }
    let programs = Programs::find();
    let rows = options.rows();
    let missing: Vec<String> = rows
        .iter()
        .filter_map(|row| Some(format!("{}: {}", row.name, row.missing(&programs)?)))
        .collect();
    for words in &missing {
        eprintln!("jlb bench: left out: {words}");
    }
    if options.require_peers && !missing.is_empty() {
        let error = LabError::new(format!("peers are missing: {}", missing.join("; ")));
        return Err(error.mend("install them, or leave --require-peers out"));
    }
    let Some(document) = unless_interrupted(measure(options, &rows, &programs))? else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    if json == Some(Path::new("-")) {
        say(format_args!("{}\n", document.json()?))?;
    } else {
        say(format_args!("{}", text::Text(&document)))?;
        if let Some(file) = json {
            write_file(file, &document.json()?)?;
        }
    }
    if let Some(file) = html {
        write_file(file, &page::page(&document))?;
    }
    let failed = document.failed();
    if failed > 0 {
        eprintln!("jlb bench: {failed} requests failed");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes all runs.
async fn measure(
    options: &SideBySideOptions,
    rows: &[&'static Row],
    programs: &Programs,
) -> Result<Document> {
    let here: Vec<&'static Row> = rows
        .iter()
        .copied()
        .filter(|row| row.missing(programs).is_none())
        .collect();
    let workloads = options.workloads();
    let perf = options.flame.then(flame::find).transpose()?;
    let turns = workloads.len() * here.len() * options.alternations() as usize;
    let bar = progress_bar(turns);
    bar.set_message("building namespaces");
    let mut stage = Stage::build(options, programs)?;
    stage.ready().await?;
    let others = stage.others_busy().await?;
    let mut runs: Vec<Run> = Vec::with_capacity(turns);
    for alternation in 0..options.alternations() {
        for &workload in &workloads {
            for place in order::draw(options.seed, alternation, workload, here.len()) {
                let row = here[place];
                bar.set_message(format!("{}, {}", workload.name(), row.name));
                stage.start(row).await?;
                runs.push(stage.play(row, workload, alternation).await?);
                stage.stop(row).await?;
                bar.inc(1);
            }
        }
    }
    let others = [others, stage.others_busy().await?];
    let mut flames = Vec::new();
    if let Some(perf) = perf {
        bar.set_message("sampling stacks");
        for row in here.iter().filter(|row| row.is_jlb()) {
            for &workload in workloads.iter().filter(|it| it.is_sampled()) {
                stage.start(row).await?;
                flames.push(stage.sample(&perf, row, workload).await?);
                stage.stop(row).await?;
            }
        }
    }
    let machine = Machine::here(stage.congestion_control()?, others);
    stage.take_down()?;
    bar.finish_and_clear();
    let facts = rows.iter().map(|row| RowFacts::new(row, programs));
    Ok(Document::new(options, machine, facts.collect(), runs).with(flames))
}

fn progress_bar(turns: usize) -> ProgressBar {
    // Nothing is drawn when standard error is no terminal.
    let turns = u64::try_from(turns).unwrap_or(u64::MAX);
    let bar = ProgressBar::with_draw_target(Some(turns), ProgressDrawTarget::stderr());
    if let Ok(style) =
        ProgressStyle::with_template("{bar:32} {pos} of {len} runs, {eta} left: {msg}")
    {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod for_tests;
#[cfg(test)]
pub(crate) use for_tests::document as document_for_tests;
#[cfg(test)]
mod tests;
