//! The experiment in a lab: real nodes, real TCP, and servers of a limited capacity. Every combination gets the same
//! jobs, drawn beforehand, and the simulator says what should come of them.

mod balancers;
mod client;
pub(crate) mod document;
mod order;
pub(crate) mod page;
mod plan;
mod seen;
mod stage;
pub(crate) mod text;
mod words;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jlb_queueing::Cluster;

use super::args::PoliciesOptions;
use super::measure::{Figure, Shown, row};
use super::plan::Line;
use crate::error::Result;
use document::{LabFigures, LabRow, LabSettings, LabTable};
use plan::{ORDER, sections};
use stage::Stage;

/// Failures whose words are kept.
const KEPT_WORDS: usize = 10;

/// What the runs of one line showed.
#[derive(Default)]
struct Runs {
    measured: Vec<Shown>,
    simulated: Vec<Shown>,
    jobs: u64,
    broken: u64,
    late: f64,
    repeated: u64,
}

/// Makes all runs.
pub(crate) async fn compare(options: &PoliciesOptions) -> Result<LabFigures> {
    let options = options.in_lab();
    let sections = sections(&options);
    let lines: Vec<&Line> = sections.iter().flat_map(|it| &it.lines).collect();
    let seeds = options.all_seeds();
    let unit = f64::from(options.work_ms);
    let most_late = f64::from(options.lab.lab_late_ms);
    let bar = progress_bar(lines.len() * seeds.len());
    let mut runs: Vec<Runs> = lines.iter().map(|_| Runs::default()).collect();
    let mut words: Vec<String> = Vec::new();
    let mut stage = Stage::build(&options).await?;
    // The combinations take turns: what disturbs the machine for a while disturbs several.
    for &seed in &seeds {
        for (line, runs) in lines.iter().zip(&mut runs) {
            let (mut take, mut said) = stage.play(line, seed).await?;
            runs.broken += take.broken();
            if most_late > 0.0 && take.late() * 1_000.0 > most_late {
                runs.repeated += 1;
                let (again, words) = stage.play(line, seed).await?;
                runs.broken += again.broken();
                said.extend(words);
                if again.late() < take.late() {
                    take = again;
                }
            }
            let room = KEPT_WORDS.saturating_sub(words.len());
            words.extend(said.into_iter().take(room));
            runs.jobs += u64::from(line.cluster.jobs);
            runs.late = runs.late.max(take.late() * 1_000.0);
            let measured = take.measured(&line.cluster, unit / 1_000.0);
            runs.measured.push(Shown::new(&measured));
            bar.inc(1);
        }
    }
    stage.take_down()?;
    for (line, runs) in lines.iter().zip(&mut runs) {
        for &seed in &seeds {
            let cluster = Cluster {
                seed,
                ..line.cluster.clone()
            };
            let simulated = line.combination.run(&cluster);
            runs.simulated.push(Shown::new(&simulated));
        }
    }
    bar.finish_and_clear();
    let mut runs = runs.into_iter();
    let tables = sections.iter().map(|section| {
        let rows = section.lines.iter().zip(runs.by_ref());
        LabTable {
            name: section.name.to_owned(),
            title: section.title.clone(),
            rows: rows
                .map(|(line, runs)| lab_row(line, &runs, unit))
                .collect(),
        }
    });
    let tables: Vec<LabTable> = tables.collect();
    let order = tables.iter().find(|table| table.name == ORDER);
    Ok(LabFigures {
        settings: LabSettings::new(&options),
        aims: order.map(order::judge).unwrap_or_default(),
        tables,
        words,
    })
}

fn lab_row(line: &Line, runs: &Runs, unit: f64) -> LabRow {
    let pairs = runs.measured.iter().zip(&runs.simulated);
    let over: Vec<f64> = pairs
        .map(|(ours, theirs)| ours.mean / theirs.mean)
        .collect();
    LabRow {
        over: Figure::of(&over),
        measured: row(line, &runs.measured, unit),
        simulated: row(line, &runs.simulated, unit),
        jobs: runs.jobs,
        broken: runs.broken,
        repeated: runs.repeated,
        late_ms: (runs.late * 1_000.0).round() / 1_000.0,
    }
}

fn progress_bar(runs: usize) -> ProgressBar {
    // Nothing is drawn when standard error is no terminal.
    let runs = u64::try_from(runs).unwrap_or(u64::MAX);
    let bar = ProgressBar::with_draw_target(Some(runs), ProgressDrawTarget::stderr());
    if let Ok(style) =
        ProgressStyle::with_template("{bar:32} {pos} of {len} runs in the lab, {eta} left")
    {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests;
