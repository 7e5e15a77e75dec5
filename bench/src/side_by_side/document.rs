//! All figures, for a machine.

use serde::{Deserialize, Serialize};

use super::args::SideBySideOptions;
use super::figures::Line;
use super::flame::Flame;
use super::machine::{Machine, commit};
use super::row::{Programs, Row};
use super::run::Run;
use crate::error::{Doing, Result};

/// What the documents of this command say they are.
pub(crate) const KIND: &str = "jlb bench lab";

/// Everything that was measured.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Document {
    pub(crate) kind: String,
    pub(crate) version: String,
    /// Nothing outside of a tree of the source.
    pub(crate) commit: Option<String>,
    /// What measures the same again.
    pub(crate) command: String,
    pub(crate) machine: Machine,
    pub(crate) rows: Vec<RowFacts>,
    pub(crate) tables: Vec<Table>,
    /// Each turn.
    pub(crate) runs: Vec<Run>,
    /// Where time went, if that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) flames: Vec<Flame>,
}

/// What a row is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct RowFacts {
    pub(crate) name: String,
    pub(crate) what: String,
    pub(crate) version: Option<String>,
    /// Why it was not measured.
    pub(crate) missing: Option<String>,
}

impl RowFacts {
    pub(super) fn new(row: &Row, programs: &Programs) -> Self {
        Self {
            name: row.name.to_owned(),
            what: row.what.to_owned(),
            version: row.version(programs),
            missing: row.missing(programs),
        }
    }
}

/// What came of one workload.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) workload: String,
    pub(crate) title: String,
    pub(crate) unit: String,
    /// Whether requests came at a fixed rate.
    pub(crate) is_open: bool,
    pub(crate) lines: Vec<Line>,
}

impl Document {
    pub(super) fn new(
        options: &SideBySideOptions,
        machine: Machine,
        rows: Vec<RowFacts>,
        runs: Vec<Run>,
    ) -> Self {
        let workloads = options.workloads();
        let tables = workloads.iter().map(|workload| {
            let of_it = runs.iter().filter(|run| run.workload == workload.name());
            let of_it: Vec<&Run> = of_it.collect();
            Table {
                workload: workload.name().to_owned(),
                title: workload.title(options),
                unit: workload.unit().to_owned(),
                is_open: workload.is_open(),
                lines: rows
                    .iter()
                    .filter_map(|row| Line::of(&row.name, &of_it))
                    .collect(),
            }
        });
        // One that nobody had a turn of is none.
        let tables = tables.filter(|table: &Table| !table.lines.is_empty());
        Self {
            kind: KIND.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: commit(),
            command: options.command(),
            machine,
            tables: tables.collect(),
            rows,
            runs,
            flames: Vec::new(),
        }
    }

    /// Adds flame graphs.
    pub(super) fn with(self, flames: Vec<Flame>) -> Self {
        Self { flames, ..self }
    }

    /// How many requests went wrong.
    pub(crate) fn failed(&self) -> u64 {
        let lines = self.tables.iter().flat_map(|table| &table.lines);
        lines.map(Line::failed).sum()
    }

    /// As JSON.
    pub(crate) fn json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).doing("write the figures as JSON")
    }
}
