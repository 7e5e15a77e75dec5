//! The lab's figures, for a machine.

use serde::{Deserialize, Serialize};

use crate::policies::aims::Aim;
use crate::policies::args::{PoliciesOptions, Serving};
use crate::policies::measure::{Figure, Row};

/// What decides what is run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct LabSettings {
    pub(crate) version: String,
    pub(crate) seeds: Vec<u64>,
    /// Seconds that are timed of each run.
    pub(crate) seconds: u32,
    pub(crate) quick: bool,
    pub(crate) parts: Vec<String>,
    pub(crate) serving: String,
    pub(crate) hosts: u16,
    pub(crate) cores: u16,
    pub(crate) trackers: u16,
    pub(crate) work_ms: u32,
    pub(crate) delay_us: u32,
    pub(crate) interval_ms: u32,
    pub(crate) change_ms: u32,
    /// By how much clients may be late.
    pub(crate) late_ms: u32,
    /// The load of what has but one.
    pub(crate) at: f64,
    /// The loads that were asked for.
    pub(crate) loads: Vec<f64>,
}

impl LabSettings {
    /// `options` are [`PoliciesOptions::in_lab`]'s.
    pub(crate) fn new(options: &PoliciesOptions) -> Self {
        let parts = options.lab.lab_part.iter();
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seeds: options.all_seeds(),
            seconds: options.lab_seconds(),
            quick: options.quick,
            parts: parts.map(|part| part.name().to_owned()).collect(),
            serving: options.serving.name().to_owned(),
            hosts: options.hosts,
            cores: options.cores,
            trackers: options.trackers,
            work_ms: options.work_ms,
            delay_us: options.delay_us,
            interval_ms: options.interval_ms,
            change_ms: options.change_ms,
            late_ms: options.lab.lab_late_ms,
            at: options.at,
            loads: options.loads.clone(),
        }
    }

    /// The command that runs the same again. A machine is no simulator: other figures come out, near these.
    pub(crate) fn command(&self) -> String {
        let mut command = format!(
            "jlb bench policies --in lab --seed {} --lab-seeds {} --lab-seconds {} --lab-hosts {} --cores {} --lab-trackers {} \
             --lab-work-ms {} --delay-us {} --lab-interval-ms {} --lab-change-ms {} --lab-late-ms {} --at {}",
            self.seeds.first().copied().unwrap_or(0),
            self.seeds.len(),
            self.seconds,
            self.hosts,
            self.cores,
            self.trackers,
            self.work_ms,
            self.delay_us,
            self.interval_ms,
            self.change_ms,
            self.late_ms,
            self.at,
        );
        if !self.loads.is_empty() {
            let loads: Vec<String> = self.loads.iter().map(f64::to_string).collect();
            command.push_str(&format!(" --loads {}", loads.join(",")));
        }
        for part in &self.parts {
            command.push_str(&format!(" --lab-part {part}"));
        }
        if self.quick {
            command.push_str(" --quick");
        }
        if self.serving != Serving::Sharing.name() {
            command.push_str(&format!(" --serving {}", self.serving));
        }
        command
    }
}

/// A combination in a setting: what was measured, and what the simulator says of the same jobs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct LabRow {
    pub(crate) measured: Row,
    pub(crate) simulated: Row,
    /// The mean response measured over the simulated one, run by run: both have the same jobs.
    pub(crate) over: Figure,
    /// Jobs that were timed.
    pub(crate) jobs: u64,
    /// Jobs that were neither done, nor refused, nor taken by a host that fails.
    pub(crate) broken: u64,
    /// Runs that were made again, since the client was late.
    pub(crate) repeated: u64,
    /// Milliseconds by which all but one of a hundred jobs were sent too late at most, in the worst run.
    pub(crate) late_ms: f64,
}

/// A section's rows.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct LabTable {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) rows: Vec<LabRow>,
}

/// Everything that the lab showed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct LabFigures {
    pub(crate) settings: LabSettings,
    pub(crate) aims: Vec<Aim>,
    pub(crate) tables: Vec<LabTable>,
    /// The first few jobs that broke, in words.
    pub(crate) words: Vec<String>,
}

impl LabFigures {
    /// All jobs that broke.
    pub(crate) fn broken(&self) -> u64 {
        let rows = self.tables.iter().flat_map(|table| &table.rows);
        rows.map(|row| row.broken).sum()
    }
}
