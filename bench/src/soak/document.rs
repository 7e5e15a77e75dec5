//! What came of a soak.

use std::fmt;

use serde::Serialize;

use super::SoakOptions;
use super::dropped::Dropped;
use super::memory::{Growth, Memory};
use super::search::Step;
use crate::generator::Outcome;
use crate::lab::Forgotten;
use crate::losses::Loss;
use crate::scrape::{Books, NodeSamples};

/// At which rate connections came, and why.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Found {
    /// Connections a second.
    pub(super) rate: f64,
    /// Where loss appeared first, if that was looked for.
    pub(super) first_loss: Option<f64>,
    pub(super) steps: Vec<Step>,
}

impl Found {
    /// Somebody knows.
    pub(super) const fn given(rate: f64) -> Self {
        Self {
            rate,
            first_loss: None,
            steps: Vec::new(),
        }
    }
}

/// All figures.
#[derive(Debug, Serialize)]
pub(super) struct Document {
    kind: &'static str,
    version: &'static str,
    minutes: f64,
    found: Found,
    answered: u64,
    /// Failed requests, by kind.
    failed: Vec<(String, u64)>,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    memory: Vec<Growth>,
    /// Flows that tables still had when there should have been none.
    flows_left: u64,
    empty_after_seconds: f64,
    /// Layers of nodes whose books do not add up (S6).
    books: Vec<Books>,
    /// What nodes dropped meanwhile.
    dropped: Vec<Dropped>,
    /// What queues of the kernel lost.
    lost: Vec<Loss>,
    /// What should not have been; none: the soak is passed.
    pub(super) problems: Vec<String>,
}

impl Document {
    pub(super) fn new(
        options: &SoakOptions,
        found: Found,
        outcome: &Outcome,
        memory: &Memory,
        forgotten: &Forgotten,
        metrics: &[NodeSamples],
        (dropped, lost): (Vec<Dropped>, Vec<Loss>),
    ) -> Self {
        let ms = |quantile| outcome.latency.value_at_quantile(quantile) as f64 / 1e6;
        let errors = outcome.errors.iter();
        let mut document = Self {
            kind: "jlb bench soak",
            version: env!("CARGO_PKG_VERSION"),
            minutes: options.minutes,
            found,
            answered: outcome.answered,
            failed: errors
                .map(|(kind, &count)| (kind.name().to_owned(), count))
                .collect(),
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
            max_ms: ms(1.0),
            memory: memory.growth(),
            flows_left: forgotten.left.iter().map(|left| left.count).sum(),
            empty_after_seconds: forgotten.after.as_secs_f64(),
            books: metrics
                .iter()
                .flat_map(NodeSamples::books)
                .filter(|books| books.missing != 0)
                .collect(),
            dropped,
            lost,
            problems: Vec::new(),
        };
        document.problems = document.find_problems(options.most_growth);
        document
    }

    fn find_problems(&self, most_growth: u64) -> Vec<String> {
        let mut problems = Vec::new();
        if self.answered == 0 {
            problems.push("no request was answered".to_owned());
        }
        for (kind, count) in &self.failed {
            problems.push(format!("{count} requests failed: {kind}"));
        }
        for growth in &self.memory {
            if growth.growth_kib > most_growth as f64 {
                problems.push(format!(
                    "{} grew by {:.0} KiB in the last two thirds, more than {most_growth}",
                    growth.node, growth.growth_kib
                ));
            }
        }
        if self.flows_left > 0 {
            problems.push(format!(
                "tables still have {} flows after {:.0} s",
                self.flows_left, self.empty_after_seconds
            ));
        }
        for books in &self.books {
            problems.push(format!(
                "the books of layer {} of {} do not add up: {} missing",
                books.layer, books.node, books.missing
            ));
        }
        problems
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(first) = self.found.first_loss {
            writeln!(f, "loss first appears at {first:.0} connections a second")?;
        }
        writeln!(
            f,
            "{:.0} connections a second for {:.1} minutes: {} answered, p50 {:.2} ms, p99 {:.2} ms, longest {:.1} ms",
            self.found.rate, self.minutes, self.answered, self.p50_ms, self.p99_ms, self.max_ms
        )?;
        writeln!(f)?;
        writeln!(
            f,
            "{:<12} {:>10} {:>12} {:>12} {:>10} {:>12}",
            "memory, KiB", "at first", "after 1/3", "at the end", "most", "growth"
        )?;
        for growth in &self.memory {
            writeln!(
                f,
                "{:<12} {:>10} {:>12.0} {:>12.0} {:>10} {:>+12.0}",
                growth.node,
                growth.first_kib,
                growth.from_kib,
                growth.to_kib,
                growth.most_kib,
                growth.growth_kib
            )?;
        }
        writeln!(f)?;
        for it in &self.dropped {
            writeln!(f, "dropped: {it}")?;
        }
        for it in &self.lost {
            writeln!(f, "lost: {it}")?;
        }
        if self.problems.is_empty() {
            writeln!(
                f,
                "no error; all tables empty after {:.1} s; all books add up",
                self.empty_after_seconds
            )?;
        }
        for problem in &self.problems {
            writeln!(f, "problem: {problem}")?;
        }
        Ok(())
    }
}
