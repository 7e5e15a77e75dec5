//! All tables in a terminal.

use std::fmt;

use super::document::{Document, Table};
use super::figures::{Line, Spread};

/// A document for people.
pub(super) struct Text<'a>(pub(super) &'a Document);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let document = self.0;
        let machine = &document.machine;
        writeln!(
            f,
            "{} processors ({}), Linux {}, {}; jlb {}, {}",
            machine.processors,
            machine.processor,
            machine.kernel,
            machine.congestion_control,
            document.version,
            document.commit.as_deref().unwrap_or("commit unknown"),
        )?;
        for row in &document.rows {
            if let Some(words) = &row.missing {
                writeln!(f, "NOT MEASURED: {}: {words}", row.name)?;
            }
        }
        if let Some(words) = machine.disturbed() {
            writeln!(f, "DISTURBED: {words}")?;
        }
        for table in &document.tables {
            write!(f, "{}", Rows(table))?;
        }
        Ok(())
    }
}

struct Rows<'a>(&'a Table);

impl fmt::Display for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(table) = self;
        let each = if table.unit == "MiB/s" { "MiB" } else { "one" };
        writeln!(
            f,
            "\n{}: {}\n{:<10} {:>13} {:>22} {:>9} {:>9} {:>9} {:>9} {:>8} {:>5} {:>8} {:>7}  own us/{each}",
            table.workload,
            table.title,
            "row",
            table.unit,
            "of direct (min..max)",
            "p50 us",
            "p99 us",
            "p99.9 us",
            format!("cpu us/{each}"),
            "more us",
            "busy",
            format!("pkt/{each}"),
            "errors",
        )?;
        for line in &table.lines {
            let [
                row,
                rate,
                ratio,
                p50,
                p99,
                p999,
                cpu,
                more,
                busy,
                packets,
                errors,
                own,
            ] = cells(line);
            writeln!(
                f,
                "{row:<10} {rate:>13} {ratio:>22} {p50:>9} {p99:>9} {p999:>9} {cpu:>9} {more:>8} {busy:>5} {packets:>8} {errors:>7}  {own}",
            )?;
            for words in &line.first_errors {
                writeln!(f, "{:<10}   {words}", "")?;
            }
        }
        Ok(())
    }
}

/// A row's figures, in the order of the columns.
pub(super) fn cells(line: &Line) -> [String; 12] {
    [
        line.row.clone(),
        thousands(line.rate.median),
        line.ratio.map_or(String::new(), ratio),
        format!("{:.0}", line.p50_us.median),
        format!("{:.0}", line.p99_us.median),
        format!("{:.0}", line.p999_us.median),
        format!("{:.1}", line.cpu_us.median),
        line.added_us
            .map_or(String::new(), |it| format!("{:+.1}", it.median)),
        format!("{:.2}", line.busy.median),
        line.packets
            .map_or(String::new(), |it| format!("{:.2}", it.median)),
        line.failed().to_string(),
        own(line),
    ]
}

/// `0.843 (0.821..0.850)`
fn ratio(it: Spread) -> String {
    format!("{:.3} ({:.3}..{:.3})", it.median, it.min, it.max)
}

/// What the balancer's processes took, by kind.
fn own(line: &Line) -> String {
    let parts = line
        .balancer_us()
        .map(|(group, us)| format!("{group} {:.1}", us.median));
    parts.collect::<Vec<_>>().join(", ")
}

/// A number with commas: `12,345`.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
