//! `jlb lab`: what happens in which order, what the person sees, and how it ends.

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, interval};

use crate::args::{LabArgs, LabCommand, LabOptions};
use crate::chaos;
use crate::document::Document;
use crate::error::{Doing, LabError, Result};
use crate::how_to_use::how_to_use;
use crate::lab::{FORGET_DEADLINE, Lab, Setting};
use crate::leftovers;
use crate::load::{Progress, Tally, runtime};
use crate::losses;
use crate::report::Report;
use crate::state::State;

/// Exit status after a signal, as shells have it for Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;
/// How often the progress bar moves and processes are looked after.
const TICK: Duration = Duration::from_millis(100);

/// Runs `jlb lab`.
pub fn lab(args: LabArgs) -> ExitCode {
    let done = match args.command {
        Some(LabCommand::Down { id, all }) => root().and_then(|()| down(id.as_deref(), all)),
        Some(LabCommand::List) => {
            list();
            Ok(ExitCode::SUCCESS)
        }
        Some(LabCommand::Chaos(options)) if options.list => chaos::list(),
        Some(LabCommand::Chaos(options)) => root().and_then(|()| to_the_end(chaos::run(&options))),
        Some(LabCommand::Detect(options)) => {
            root().and_then(|()| to_the_end(chaos::detect::run(&options)))
        }
        None => root().and_then(|()| to_the_end(run(&args.options))),
    };
    done.unwrap_or_else(|error| {
        eprintln!("jlb lab: {error}");
        if let Some(mend) = error.how_to_mend() {
            eprintln!("  mend: {mend}");
        }
        ExitCode::FAILURE
    })
}

pub(crate) fn root() -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(LabError::new("labs are made and taken down by root alone").mend("use sudo"))
}

/// The exit status of what builds a lab, at its end or after a signal.
fn to_the_end(work: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    Ok(unless_interrupted(work)?.unwrap_or(ExitCode::from(INTERRUPTED)))
}

/// Drives what builds a lab, until it is done or a signal comes (`None`); takes away first what others left.
pub(crate) fn unless_interrupted<T>(work: impl Future<Output = Result<T>>) -> Result<Option<T>> {
    for id in leftovers::sweep()? {
        eprintln!("took away lab {id}, whose process was gone");
    }
    allow_many_files();
    runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        tokio::select! {
            // Both branches end with the lab gone, or kept: it goes when `work` is dropped.
            result = work => result.map(Some),
            () = signals.any() => {
                eprintln!("\njlb lab: interrupted, taking the lab down");
                Ok(None)
            }
        }
    })
}

async fn run(options: &LabOptions) -> Result<ExitCode> {
    let bar = progress_bar(options);
    bar.set_message("building namespaces");
    let mut lab = Lab::build(options, Setting::USUAL)?;
    bar.set_message("waiting for the nodes");
    lab.ready().await?;
    let report = match options.seconds {
        0 => None,
        _ => Some(load_and_look(&mut lab, options, &bar).await?),
    };
    bar.finish_and_clear();
    let failed = report
        .as_ref()
        .is_some_and(|report| !report.problems.is_empty());
    if options.json {
        let document = Document::new(options, lab.plan(), lab.state(), report.as_ref());
        say(format_args!(
            "{}\n",
            document.text().doing("write the report")?
        ))?;
    } else if let Some(report) = &report {
        say(format_args!("{report}"))?;
    }
    if options.keep {
        let words = how_to_use(lab.plan(), options.web);
        // With --json there is nothing else on standard output.
        if options.json {
            eprint!("{words}");
        } else {
            say(format_args!("{words}"))?;
        }
        lab.keep()?;
    } else {
        lab.take_down()?;
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Writes to standard output. Nobody may be reading any more, or the disk is full: that is an error,
/// and no reason to panic before the lab is gone.
pub(crate) fn say(words: fmt::Arguments<'_>) -> Result<()> {
    let mut output = std::io::stdout().lock();
    output
        .write_fmt(words)
        .and_then(|()| output.flush())
        .doing("write to standard output")
}

/// Writes a file of figures, whatever was in it.
pub(crate) fn write_file(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).doing(format_args!("write {}", file.display()))
}

async fn load_and_look(lab: &mut Lab, options: &LabOptions, bar: &ProgressBar) -> Result<Report> {
    bar.set_message("");
    bar.set_style(style("{bar:32} {pos}/{len} s  {msg}"));
    let lost_before = lab.losses()?;
    let tally = load(lab, options, bar).await?;
    bar.set_message("waiting for tables to empty");
    let (forgotten, metrics) = lab.forget(FORGET_DEADLINE).await?;
    let lost = losses::since(&lost_before, lab.losses()?);
    Ok(Report::new(&tally, &metrics, forgotten, lost))
}

/// The load, with the bar moving and the processes looked after.
async fn load(lab: &mut Lab, options: &LabOptions, bar: &ProgressBar) -> Result<Tally> {
    let progress = Arc::new(Progress::default());
    let begin = Instant::now();
    let mut ticks = interval(TICK);
    let running = lab.load(options, &progress);
    tokio::pin!(running);
    loop {
        tokio::select! {
            tally = &mut running => return tally,
            _ = ticks.tick() => {
                bar.set_position(begin.elapsed().as_secs().min(options.seconds));
                let (answered, failed) = (progress.answered(), progress.failed());
                bar.set_message(format!("{answered} answered, {failed} failed"));
                lab.check()?;
            }
        }
    }
}

fn progress_bar(options: &LabOptions) -> ProgressBar {
    // Nothing is drawn when standard error is no terminal.
    let bar = ProgressBar::with_draw_target(Some(options.seconds), ProgressDrawTarget::stderr());
    bar.set_style(style("{spinner} {msg}"));
    bar.enable_steady_tick(TICK);
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Connections cost files, here and in the servers that inherit the limit.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    // A refusal shows when files run out, with a better error than could be given here.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    );
}

/// What ends a lab early.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> Result<Self> {
        let on = |kind| signal(kind).doing("wait for signals");
        Ok(Self([
            on(SignalKind::interrupt())?,
            on(SignalKind::terminate())?,
            on(SignalKind::hangup())?,
        ]))
    }

    async fn any(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

fn down(id: Option<&str>, all: bool) -> Result<ExitCode> {
    for id in leftovers::sweep()? {
        println!("took away lab {id}, whose process was gone");
    }
    for state in chosen(&State::all(), id, all)? {
        leftovers::remove(state)?;
        println!("took lab {} down", state.id);
    }
    Ok(ExitCode::SUCCESS)
}

/// The labs that `down` means.
fn chosen<'a>(labs: &'a [State], id: Option<&str>, all: bool) -> Result<Vec<&'a State>> {
    let is_kept = |state: &&State| state.kept;
    if let Some(id) = id {
        let state = labs.iter().find(|state| state.id == id).ok_or_else(|| {
            LabError::new(format!("there is no lab {id}")).mend("`jlb lab list` lists labs")
        })?;
        if !state.kept {
            return Err(LabError::new(format!("lab {id} is running"))
                .mend(format!("end its process: kill {}", state.owner.pid)));
        }
        return Ok(vec![state]);
    }
    let kept: Vec<&State> = labs.iter().filter(is_kept).collect();
    if kept.len() > 1 && !all {
        let ids: Vec<&str> = kept.iter().map(|state| state.id.as_str()).collect();
        return Err(
            LabError::new(format!("several labs are kept: {}", ids.join(", ")))
                .mend("name one, or say --all"),
        );
    }
    if kept.is_empty() {
        println!("no lab is kept");
    }
    Ok(kept)
}

fn list() {
    let labs = State::all();
    if labs.is_empty() {
        eprintln!("there is no lab");
    }
    for state in labs {
        let alive = state
            .processes
            .iter()
            .filter(|process| process.id.is_alive())
            .count();
        let how = match (state.kept, state.owner.is_alive()) {
            (true, _) => "kept",
            (false, true) => "running",
            (false, false) => "left over",
        };
        println!(
            "{}  {how}, {alive} processes, {}",
            state.id,
            state.directory.display()
        );
    }
}

#[cfg(test)]
mod tests;
