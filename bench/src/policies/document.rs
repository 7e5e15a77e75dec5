//! All figures, for a machine.

use serde::{Deserialize, Serialize};

use super::aims::Verdict;
use super::args::{PoliciesOptions, Serving};
use super::lab::document::LabFigures;
use super::measure::Table;
use crate::error::{Doing, Result};

/// What decides every figure.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) version: String,
    /// How hosts serve.
    pub(crate) serving: String,
    pub(crate) seeds: Vec<u64>,
    pub(crate) jobs: u32,
    pub(crate) hosts: u16,
    pub(crate) cores: u16,
    pub(crate) trackers: u16,
    pub(crate) work_ms: u32,
    pub(crate) delay_us: u32,
    pub(crate) interval_ms: u32,
    pub(crate) change_ms: u32,
    /// The load of all but the large table.
    pub(crate) at: f64,
    /// The loads of the large table.
    pub(crate) loads: Vec<f64>,
    /// The experiments that were made; none stands for all.
    pub(crate) only: Vec<String>,
}

impl Settings {
    pub(crate) fn new(options: &PoliciesOptions, seeds: Vec<u64>) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            serving: options.serving.name().to_owned(),
            seeds,
            jobs: options.timed_jobs(),
            hosts: options.hosts,
            cores: options.cores,
            trackers: options.trackers,
            work_ms: options.work_ms,
            delay_us: options.delay_us,
            interval_ms: options.interval_ms,
            change_ms: options.change_ms,
            at: options.at,
            loads: options.grid_loads(),
            only: options.only.clone(),
        }
    }

    /// The command that gives the same figures again.
    pub(crate) fn command(&self) -> String {
        let loads: Vec<String> = self.loads.iter().map(f64::to_string).collect();
        let only = match self.only.as_slice() {
            [] => String::new(),
            names => format!(" --only {}", names.join(",")),
        };
        let serving = if self.serving == Serving::Sharing.name() {
            String::new()
        } else {
            format!(" --serving {}", self.serving)
        };
        format!(
            "jlb bench policies --seed {} --seeds {} --jobs {} --hosts {} --cores {} --trackers {} --work-ms {} \
             --delay-us {} --interval-ms {} --change-ms {} --at {} --loads {}{serving}{only}",
            self.seeds.first().copied().unwrap_or(0),
            self.seeds.len(),
            self.jobs,
            self.hosts,
            self.cores,
            self.trackers,
            self.work_ms,
            self.delay_us,
            self.interval_ms,
            self.change_ms,
            self.at,
            loads.join(","),
        )
    }
}

/// Everything that was simulated.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Document {
    pub(crate) settings: Settings,
    /// Facts that the model does not find: then nothing else counts.
    pub(crate) missed_facts: Vec<String>,
    pub(crate) verdict: Verdict,
    pub(crate) tables: Vec<Table>,
}

/// All figures that there are: those of the simulator as they are without a lab, those of the lab beside them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Figures {
    #[serde(flatten)]
    pub(crate) simulator: Option<Document>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lab: Option<LabFigures>,
}

impl Figures {
    /// As JSON.
    pub(crate) fn json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).doing("write the figures as JSON")
    }
}
