//! What came out, as a table and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::TUN_LARGE;
use super::large::{CONNECTIONS, SEGMENTS, WHOLE_SEGMENT};

/// The least, the middle and the largest of some values.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(super) struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    /// Of values; `None` without any.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Some(Self {
            min: *values.first()?,
            median: *values.get(values.len() / 2)?,
            max: *values.last()?,
        })
    }

    /// Of the ratios of the values of one turn.
    pub(super) fn of_ratios(values: &[f64], others: &[f64]) -> Option<Self> {
        Self::of(
            values
                .iter()
                .zip(others)
                .map(|(value, other)| value / other),
        )
    }
}

/// One row.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Line {
    way: &'static str,
    what: &'static str,
    /// Packets a second.
    rate: Spread,
    /// Of the loop that only receives and sends.
    of_bare: Option<Spread>,
    /// Of the kernel's forwarding.
    of_kernel: Option<Spread>,
    turns: Vec<f64>,
}

/// What an ingress read in packets that are to be cut into segments.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(super) struct Huge {
    /// Such packets.
    pub(super) large: f64,
    /// Those of more than 32 KiB.
    pub(super) huge: f64,
    /// Segments that all of them were cut into.
    pub(super) segments: f64,
}

/// All of them.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Document {
    flows: u32,
    rows: Vec<Line>,
    large: Option<Huge>,
}

impl Document {
    /// Of the rates by way and row, in the order of the turns.
    pub(super) fn new(
        flows: u32,
        rates: &BTreeMap<(&'static str, &'static str), Vec<f64>>,
        large: Option<Huge>,
    ) -> Self {
        let kernel = rates.get(&("kernel", "bare"));
        let rows = rates.iter().filter_map(|(&(way, what), turns)| {
            let bare = rates.get(&(way, "bare")).filter(|_| what != "bare");
            // The kernel forwards small packets.
            let kernel = kernel.filter(|_| way != "kernel" && way != TUN_LARGE);
            Some(Line {
                way,
                what,
                rate: Spread::of(turns.iter().copied())?,
                of_bare: bare.and_then(|bare| Spread::of_ratios(turns, bare)),
                of_kernel: kernel.and_then(|kernel| Spread::of_ratios(turns, kernel)),
                turns: turns.clone(),
            })
        });
        Self {
            flows,
            rows: rows.collect(),
            large,
        }
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "thousands of packets a second (60 bytes), {} flows: least, middle, most",
            self.flows
        )?;
        writeln!(
            f,
            "{:<10}{:<13}{:>22}  {:>20}  {:>20}",
            "way", "what", "", "of its bare loop", "of the kernel"
        )?;
        let ratio = |spread: Option<Spread>| {
            spread.map_or(String::new(), |it| {
                format!("{:.2} {:.2} {:.2}", it.min, it.median, it.max)
            })
        };
        for line in &self.rows {
            let rate = line.rate;
            let thousands = |rate: f64| rate / 1_000.0;
            let rates = format!(
                "{:.0} {:.0} {:.0}",
                thousands(rate.min),
                thousands(rate.median),
                thousands(rate.max)
            );
            let (bare, kernel) = (ratio(line.of_bare), ratio(line.of_kernel));
            writeln!(
                f,
                "{:<10}{:<13}{rates:>22}  {bare:>20}  {kernel:>20}",
                line.way, line.what
            )?;
        }
        if let Some(Huge {
            large,
            huge,
            segments,
        }) = self.large
        {
            let large = large.max(1.0);
            writeln!(
                f,
                "{TUN_LARGE}: {CONNECTIONS} connections, segments of {WHOLE_SEGMENT} bytes, {SEGMENTS} to a packet; of the packets that the ingress read to \
                 cut them {:.1} % had more than 32 KiB, and a packet {:.1} segments",
                100.0 * huge / large,
                segments / large
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
