//! What came out, as a table and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

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

/// All of them.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Document {
    flows: u32,
    rows: Vec<Line>,
}

impl Document {
    /// Of the rates by way and row, in the order of the turns.
    pub(super) fn new(
        flows: u32,
        rates: &BTreeMap<(&'static str, &'static str), Vec<f64>>,
    ) -> Self {
        let kernel = rates.get(&("kernel", "bare"));
        let rows = rates.iter().filter_map(|(&(way, what), turns)| {
            let bare = rates.get(&(way, "bare")).filter(|_| what != "bare");
            let kernel = kernel.filter(|_| way != "kernel");
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
            "{:<8}{:<13}{:>22}  {:>20}  {:>20}",
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
                "{:<8}{:<13}{rates:>22}  {bare:>20}  {kernel:>20}",
                line.way, line.what
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
