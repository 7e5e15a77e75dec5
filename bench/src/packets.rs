//! `jlb bench packets`: packets a second through a whole ingress by each way in, beside a loop that only receives
//! and sends by the same way, and the kernel's own forwarding.
//!
//! Packets are made at growing rates, and the most that came out in a second counts: beyond what
//! a way can take, more packets only take processors away.

mod bare;
mod figures;
mod large;
mod programs;
mod rig;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::error::{Doing, LabError, Result};
use crate::run::{say, write_file};
use crate::side_by_side::Program;
use bare::{Loop, Running};
use figures::{Document, Huge};
use jlb_packet_io::process::{allowed_cpus, pin_to_cpu, set_thread_nice};
use large::Large;
use programs::{Counted, Generator, What};
use rig::{INPUT, NICE, Rig, VIP, pause};

/// Packets a second that are offered, one rate after the other.
const RATES: [u32; 7] = [
    150_000, 250_000, 400_000, 600_000, 900_000, 1_300_000, 1_900_000,
];

/// Large packets a second that are offered.
const LARGE_RATES: [u32; 7] = [12_000, 18_000, 24_000, 32_000, 45_000, 65_000, 90_000];

/// What is on its way has come after this time, ...
const SETTLE: Duration = Duration::from_millis(30);

/// ... unless more packets than this came meanwhile.
const FEW: f64 = 100.0;

/// Nothing comes any more if so many looks one after the other say so, ...
const QUIET_LOOKS: u32 = 7;

/// ... which they have to within so many.
const LOOKS: u32 = 300;

/// The way of large packets by TUN.
const TUN_LARGE: &str = "tun_large";

/// SYNs of flows that nobody repeats.
const SYN_FLOWS: u32 = 1 << 24;

/// Until attempts that get no answer are given up, and a little more.
const FORGOTTEN: Duration = Duration::from_millis(3_700);

/// How packets are offered, and how often.
#[derive(Clone, Debug, Args)]
pub(crate) struct PacketsOptions {
    /// Established flows
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=800_000))]
    flows: u32,
    /// How often each row is measured, in turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    alternations: u32,
    /// Milliseconds for which each rate is offered
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u64).range(50..=60_000))]
    milliseconds: u64,
    /// Measure these ways only, of kernel, af_xdp, tun, tun_large (packets of 64 KiB, to be cut into segments) and udp
    #[arg(long, value_name = "WAY", value_delimiter = ',', value_parser = ["kernel", "af_xdp", "tun", TUN_LARGE, "udp"])]
    only: Vec<String>,
    /// Write all figures as JSON to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What is measured in a rig.
enum Middle {
    Kernel,
    Bare(#[allow(dead_code, reason = "it runs as long as it lives")] Running),
    Ingress,
}

/// What packets are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Row {
    /// Of many flows, through what looks at none.
    Bare,
    /// Of many flows whose host is known.
    Established,
    /// Of one.
    OneFlow,
    /// Of flows that begin.
    Syns,
}

impl Row {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Established => "established",
            Self::OneFlow => "one flow",
            Self::Syns => "SYNs",
        }
    }
}

struct Station {
    way: &'static str,
    rig: Rig,
    middle: Middle,
    datagrams: Generator,
    syns: Generator,
    large: Option<Large>,
    flows: u32,
}

impl Station {
    fn build(
        way: &'static str,
        middle: &str,
        options: &PacketsOptions,
        cpus: [usize; 2],
        nft: Option<&Path>,
    ) -> Result<Self> {
        let whole = middle == "ingress";
        let is_large = way == TUN_LARGE;
        // A program there would have the kernel cut large packets.
        let is_bare = way == "af_xdp" || is_large;
        let mut rig = Rig::build(&format!("{way}-{middle}"), is_bare)?;
        let (out, hardware) = rig.out()?;
        let generator = |what| {
            let ends = [hardware, INPUT];
            rig.source.run(|| Generator::new(out, ends, VIP, what))
        };
        let (datagrams, syns) = (generator(What::Datagram)?, generator(What::Syn)?);
        let rules = nft.unwrap_or(Path::new("nft"));
        let mut large = None;
        let middle = match (way, whole) {
            (TUN_LARGE, true) => {
                let started = rig.start_nodes(way, cpus);
                let opened = started.and_then(|()| Large::of_connections(&rig, rules));
                large =
                    Some(opened.map_err(|error| LabError::new(format!("{error}{}", rig.logs())))?);
                Middle::Ingress
            }
            (_, true) => {
                rig.start_nodes(way, cpus)
                    .map_err(|error| LabError::new(format!("{error}{}", rig.logs())))?;
                let feed = |flows| {
                    offer(&rig, &datagrams, 20_000, Duration::from_millis(250), flows).map(drop)
                };
                rig.establish(options.flows, feed)
                    .map_err(|error| LabError::new(format!("{error}{}", rig.logs())))?;
                Middle::Ingress
            }
            ("kernel", _) => {
                rig.forward()?;
                Middle::Kernel
            }
            (way, _) => {
                let kind = match way {
                    "af_xdp" => Loop::AfXdp,
                    "tun" | TUN_LARGE => Loop::Tun,
                    _ => Loop::Udp,
                };
                if is_large {
                    large = Some(Large::of_nobody(&rig, rules)?);
                }
                Middle::Bare(Running::start(kind, &rig, cpus[1])?)
            }
        };
        if !is_large {
            rig.count(if whole {
                Counted::Messages
            } else {
                Counted::All
            })?;
        }
        Ok(Self {
            way,
            rig,
            middle,
            datagrams,
            syns,
            large,
            flows: options.flows,
        })
    }

    /// Packets that the ingress has taken, or that have come through.
    fn count(&self, taken: bool) -> Result<f64> {
        if taken {
            self.rig.metric("jlb_ingress_packets_total")
        } else if self.large.is_some() {
            Ok(self.rig.arrived()? as f64)
        } else {
            Ok(self.rig.counted()? as f64)
        }
    }

    /// Waits until nothing has come for a while: a queue of large packets takes long.
    fn drain(&self) -> Result<()> {
        let mut last = self.count(false)?;
        let mut quiet = 0;
        for _ in 0..LOOKS {
            pause(SETTLE);
            let now = self.count(false)?;
            // Heartbeats come all the time.
            quiet = if now - last < FEW { quiet + 1 } else { 0 };
            if quiet == QUIET_LOOKS {
                return Ok(());
            }
            last = now;
        }
        Err(LabError::new(
            "packets came without end, though none were sent any more",
        ))
    }

    /// What the ingress read in large packets.
    fn huge(&self) -> Result<Option<Huge>> {
        if self.large.is_none() || !matches!(self.middle, Middle::Ingress) {
            return Ok(None);
        }
        Ok(Some(Huge {
            large: self.rig.metric("jlb_stack_large_received_total")?,
            huge: self.rig.metric("jlb_stack_huge_received_total")?,
            segments: self.rig.metric("jlb_stack_large_received_segments_total")?,
        }))
    }

    /// The most packets a second that came through, over all rates.
    fn measure(&self, row: Row, span: Duration) -> Result<f64> {
        let taken = row == Row::Syns;
        let (generator, flows) = match row {
            Row::Bare | Row::Established => (&self.datagrams, 0..self.flows),
            Row::OneFlow => (&self.datagrams, 0..1),
            Row::Syns => (&self.syns, 0..SYN_FLOWS),
        };
        let mut best: f64 = 0.0;
        let rates = if self.large.is_some() {
            LARGE_RATES
        } else {
            RATES
        };
        for rate in rates {
            let before = self.count(taken)?;
            if let Some(large) = &self.large {
                // Its queue takes longer to empty than packets are offered: what came meanwhile counts.
                let begin = rig::now();
                from_source(&self.rig, || large.send(rate, span))?;
                let through = self.count(taken)? - before;
                best = best.max(through / begin.elapsed().as_secs_f64());
                self.drain()?;
                continue;
            }
            let seconds = offer(&self.rig, generator, rate, span, flows.clone())?;
            // What is on its way arrives.
            pause(SETTLE);
            let through = self.count(taken)? - before;
            best = best.max(through / seconds);
        }
        if row == Row::Syns {
            pause(FORGOTTEN);
        }
        Ok(best)
    }

    fn rows(&self) -> &'static [Row] {
        match self.middle {
            Middle::Ingress if self.large.is_some() => &[Row::Established],
            Middle::Ingress => &[Row::Established, Row::OneFlow, Row::Syns],
            Middle::Kernel | Middle::Bare(_) => &[Row::Bare],
        }
    }
}

/// Offers packets at a rate for a while, and gives the seconds that it took.
fn offer(
    rig: &Rig,
    generator: &Generator,
    rate: u32,
    span: Duration,
    flows: Range<u32>,
) -> Result<f64> {
    from_source(rig, || generator.send(rate, span, flows))
}

/// Works where packets are made, on the first processor.
fn from_source<T: Send>(rig: &Rig, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    rig.source.run(|| {
        let cpus = allowed_cpus().doing("ask for processors")?;
        let first = cpus.first().copied().unwrap_or(0);
        pin_to_cpu(first).doing("keep a thread on a processor")?;
        // Without the privilege all threads are alike.
        let _ = set_thread_nice(NICE);
        work()
    })
}

/// Runs it.
pub(crate) fn run(options: &PacketsOptions) -> Result<ExitCode> {
    if !rustix::process::geteuid().is_root() {
        return Err(LabError::new("network namespaces and XDP need root").mend("run as root"));
    }
    rig::tidy()?;
    let cpus = allowed_cpus().doing("ask for processors")?;
    let ends = [
        cpus.first().copied().unwrap_or(0),
        cpus.last().copied().unwrap_or(0),
    ];
    let plan = [
        ("kernel", "forwards"),
        ("af_xdp", "loop"),
        ("af_xdp", "ingress"),
        ("tun", "loop"),
        ("tun", "ingress"),
        (TUN_LARGE, "loop"),
        (TUN_LARGE, "ingress"),
        ("udp", "loop"),
    ];
    let is_wanted =
        |way: &str| options.only.is_empty() || options.only.iter().any(|one| one == way);
    let nft = match is_wanted(TUN_LARGE).then(Program::nft) {
        Some(Program::Here { path, .. }) => Some(path),
        Some(Program::Missing(words)) if !options.only.is_empty() => {
            return Err(LabError::new(format!("{TUN_LARGE} needs nft: {words}")));
        }
        Some(Program::Missing(words)) => {
            eprintln!("left out: {TUN_LARGE}, {words}");
            None
        }
        None => None,
    };
    let is_there = |way: &str| way != TUN_LARGE || nft.is_some();
    let plan = plan
        .into_iter()
        .filter(|(way, _)| is_wanted(way) && is_there(way));
    let mut stations = Vec::new();
    for (way, middle) in plan {
        eprintln!("building: {way}, {middle}");
        stations.push(Station::build(way, middle, options, ends, nft.as_deref())?);
    }
    let mut rates: BTreeMap<(&'static str, &'static str), Vec<f64>> = BTreeMap::new();
    let span = Duration::from_millis(options.milliseconds);
    for turn in 1..=options.alternations {
        eprintln!("turn {turn} of {}", options.alternations);
        for station in &stations {
            for &row in station.rows() {
                let rate = station.measure(row, span)?;
                rates
                    .entry((station.way, row.as_str()))
                    .or_default()
                    .push(rate);
            }
        }
    }
    let mut huge = None;
    for station in &stations {
        huge = huge.or(station.huge()?);
    }
    drop(stations);
    let document = Document::new(options.flows, &rates, huge);
    say(format_args!("{document}"))?;
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(&document).doing("write JSON")?;
        write_file(path, &json)?;
    }
    Ok(ExitCode::SUCCESS)
}
