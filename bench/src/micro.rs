//! `jlb bench micro`: what one packet of an established flow and one new flow cost the production roles, in memory: time,
//! instructions, and bytes of tables.

mod cases;
mod cluster;
mod instructions;
mod timing;
mod workers;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::error::{Doing, LabError, Result};
use crate::run::{say, write_file};
use cases::{BATCH, Case};
use instructions::Baseline;
use timing::Times;
use workers::Growth;

/// What is measured, and how long.
#[derive(Clone, Debug, Args)]
pub(crate) struct MicroOptions {
    /// Measure these cases alone, by their names or the part before the slash; `workers` is several
    /// forwarders at once
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Numbers of established flows
    #[arg(long, value_name = "FLOWS", value_delimiter = ',', default_values_t = [1, 1_000, 1_000_000],
          value_parser = clap::value_parser!(u32).range(1..=50_000_000))]
    flows: Vec<u32>,
    /// Milliseconds for which each case is timed
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    milliseconds: u64,
    /// Count instructions instead of time, with valgrind's callgrind: the same each time, and slow
    #[arg(long)]
    instructions: bool,
    /// Compare the instructions with those of this file: ends with 1 if a case takes over 5 % more
    #[arg(
        long,
        value_name = "FILE",
        requires = "instructions",
        conflicts_with = "bless"
    )]
    baseline: Option<PathBuf>,
    /// Write the instructions to this file, for later comparisons
    #[arg(long, value_name = "FILE", requires = "instructions")]
    bless: Option<PathBuf>,
    /// Write all figures as JSON to this file
    #[arg(long, value_name = "FILE", conflicts_with = "instructions")]
    json: Option<PathBuf>,
    /// Run one case a number of times, and measure nothing
    #[arg(long, hide = true, requires = "times")]
    once: Option<String>,
    /// How often
    #[arg(long, hide = true)]
    times: Option<u64>,
}

/// The figures of one case.
#[derive(Serialize)]
struct Line {
    name: String,
    what: &'static str,
    unit: &'static str,
    flows: Option<u32>,
    samples: usize,
    ns_least: f64,
    ns_median: f64,
    ns_most: f64,
    /// The least without the copying of packets into buffers.
    ns_net: Option<f64>,
    messages: Option<f64>,
}

/// Bytes of tables a flow.
#[derive(Serialize)]
struct Bytes {
    flows: u32,
    ingress: f64,
    tracker: f64,
    host: f64,
}

#[derive(Serialize)]
struct Figures {
    batch: usize,
    processor: String,
    cases: Vec<Line>,
    bytes_per_flow: Vec<Bytes>,
    workers: Vec<Growth>,
}

/// Runs `jlb bench micro`.
///
/// # Errors
/// If a case does not do what it is to measure, valgrind is missing, or a file can't be read or written.
pub(crate) fn run(options: &MicroOptions) -> Result<ExitCode> {
    if let (Some(name), Some(times)) = (&options.once, options.times) {
        let case = named(options, name)?;
        case.prepare()?.run(times)?;
        return Ok(ExitCode::SUCCESS);
    }
    let cases = chosen(options)?;
    if options.instructions {
        return count(options, &cases);
    }
    let mut figures = Figures {
        batch: BATCH,
        processor: processor(),
        cases: Vec::new(),
        bytes_per_flow: Vec::new(),
        workers: Vec::new(),
    };
    say(format_args!(
        "in memory, on one core ({}); batches of {BATCH}; ns a packet, or a new flow\n\n\
         {:<26} {:>9} {:>9} {:>9} {:>9}  what\n",
        figures.processor, "case", "least", "median", "most", "net"
    ))?;
    let mut fill = None;
    for case in &cases {
        let (times, run) = timing::time(case, Duration::from_millis(options.milliseconds))?;
        let times = times.ok_or_else(|| LabError::new("a case had no samples"))?;
        if case.kind == cases::Kind::Fill {
            fill = Some(times.least);
        }
        let net = fill.filter(|_| case.fills()).map(|fill| times.least - fill);
        let line = line(case, &times, net, run.messages_per_flow());
        say(format_args!("{}", text(&line)))?;
        figures.cases.push(line);
        // Of few flows the tables are mostly empty.
        let is_told = case.kind == cases::Kind::Ingress && options.only.is_empty();
        if let Some(flows) = case.flows.filter(|&flows| is_told && flows >= 1_000)
            && let Some(tables) = run.table_bytes()
        {
            figures.bytes_per_flow.push(Bytes::of(tables, flows));
        }
    }
    for bytes in &figures.bytes_per_flow {
        say(format_args!(
            "\nbytes of tables a flow, of {}: {:.0} at the ingress, {:.0} at each tracker, {:.0} at its host\n",
            bytes.flows, bytes.ingress, bytes.tracker, bytes.host
        ))?;
    }
    if options.only.is_empty() || options.only.iter().any(|only| only == WORKERS) {
        figures.workers = tell_growth(Duration::from_millis(options.milliseconds))?;
    }
    if let Some(file) = &options.json {
        let json = serde_json::to_string_pretty(&figures).doing("write JSON")?;
        write_file(file, &json)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What of the measurements is not a case: it takes several processors.
const WORKERS: &str = "workers";

/// Measures several forwarders at once, and says what they did.
fn tell_growth(milliseconds: Duration) -> Result<Vec<Growth>> {
    let growth = workers::grow(milliseconds)?;
    say(format_args!(
        "\nforwarders at once, each with a thread, a processor and flows of its own\n\n{:<26} {:>14} {:>9} {:>9}\n",
        "", "packets/s", "growth", "ns each"
    ))?;
    for it in &growth {
        say(format_args!(
            "{:<26} {:>14.0} {:>9.2} {:>9.1}\n",
            format!("{WORKERS}/{}", it.workers),
            it.packets_per_second,
            it.growth,
            it.ns
        ))?;
    }
    Ok(growth)
}

fn line(case: &Case, times: &Times, net: Option<f64>, messages: Option<f64>) -> Line {
    Line {
        name: case.name(),
        what: case.words(),
        unit: case.unit().name(),
        flows: case.flows,
        samples: times.samples,
        ns_least: times.least,
        ns_median: times.median,
        ns_most: times.most,
        ns_net: net,
        messages,
    }
}

fn text(line: &Line) -> String {
    let net = line.ns_net.map_or(String::new(), |net| format!("{net:.1}"));
    let messages = line
        .messages
        .map_or(String::new(), |it| format!(" ({it:.1} messages)"));
    format!(
        "{:<26} {:>9.1} {:>9.1} {:>9.1} {net:>9}  {}{messages}\n",
        line.name, line.ns_least, line.ns_median, line.ns_most, line.what
    )
}

impl Bytes {
    /// Of tables with so many flows: the ingress's, a tracker's, those of all hosts.
    fn of([ingress, tracker, host]: [u64; 3], flows: u32) -> Self {
        let each = |bytes: u64| bytes as f64 / f64::from(flows);
        Self {
            flows,
            ingress: each(ingress),
            tracker: each(tracker),
            host: each(host),
        }
    }
}

fn count(options: &MicroOptions, cases: &[Case]) -> Result<ExitCode> {
    let baseline = options
        .baseline
        .as_deref()
        .map(Baseline::read)
        .transpose()?;
    say(format_args!(
        "instructions a packet, or a new flow, by callgrind\n\n{:<26} {:>12} {:>9}\n",
        "case", "instructions", "change"
    ))?;
    let mut counted = Vec::new();
    for case in cases {
        let (name, count) = (case.name(), instructions::count(case)?);
        let change = baseline.as_ref().and_then(|it| it.change(&name, count));
        let change = change.map_or(String::new(), |it| format!("{it:+.1} %"));
        say(format_args!("{name:<26} {count:>12.1} {change:>9}\n"))?;
        counted.push((name, count));
    }
    if let Some(file) = &options.bless {
        Baseline::write(file, &counted)?;
    }
    let wrong = baseline.map_or(Vec::new(), |baseline| baseline.judge(&counted));
    for words in &wrong {
        eprintln!("jlb bench: {words}");
    }
    if let (Some(file), false) = (&options.baseline, wrong.is_empty()) {
        let flows: Vec<_> = options.flows.iter().map(u32::to_string).collect();
        eprintln!(
            "  mend: make it cheaper, or say that it has to be so: \
             cargo run --release -- bench micro --instructions --flows {} --bless {}",
            flows.join(","),
            file.display()
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// The cases that the options name.
fn chosen(options: &MicroOptions) -> Result<Vec<Case>> {
    let all = Case::all(&options.flows);
    let wants = |case: &Case| {
        let name = case.name();
        let kind = name.split('/').next().unwrap_or_default();
        options.only.is_empty()
            || options
                .only
                .iter()
                .any(|only| *only == name || only == kind)
    };
    for only in options.only.iter().filter(|only| *only != WORKERS) {
        named_or_kind(&all, only)?;
    }
    Ok(all.into_iter().filter(wants).collect())
}

fn named_or_kind(all: &[Case], wanted: &str) -> Result<()> {
    let names = all.iter().map(Case::name);
    let mut known = names.flat_map(|name| {
        let kind = name.split('/').next().unwrap_or_default().to_owned();
        [name, kind]
    });
    if known.any(|known| known == wanted) {
        return Ok(());
    }
    let names: Vec<_> = all.iter().map(Case::name).collect();
    let error = LabError::new(format!("there is no case {wanted:?}"));
    Err(error.mend(format!("name one of: {}", names.join(", "))))
}

/// The case of exactly this name, whatever numbers of flows the options give.
fn named(options: &MicroOptions, name: &str) -> Result<Case> {
    let flows = name
        .split_once('/')
        .and_then(|(_, flows)| flows.parse().ok());
    let flows = flows.map_or(options.flows.clone(), |flows| vec![flows]);
    let all = Case::all(&flows);
    named_or_kind(&all, name)?;
    let found = all.into_iter().find(|case| case.name() == name);
    found.ok_or_else(|| LabError::new(format!("{name:?} is several cases")))
}

/// What the kernel calls the processor.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(": "));
    name.map_or_else(|| "unknown".to_owned(), |(_, name)| name.trim().to_owned())
}

#[cfg(test)]
mod tests;
