//! The report as a person reads it.

use std::collections::BTreeMap;
use std::fmt;

use super::{Latency, Report};

/// Cells of the longest bar.
const BAR: u64 = 32;
/// A bar grows by eighths of a cell.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.requests(f)?;
        self.latencies(f)?;
        bars(f, "connections by ingress node", &self.spread.ingress)?;
        bars(
            f,
            "connections by primary flow tracker",
            &self.spread.trackers,
        )?;
        bars(f, "connections by host", &self.spread.hosts)?;
        bars(
            f,
            "answers by host, as the clients saw them",
            &self.spread.answers,
        )?;
        self.books(f)?;
        self.conclusion(f)
    }
}

impl Report {
    fn requests(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = &self.requests;
        writeln!(
            f,
            "\nrequests     {} answered, {} failed, in {:.1} s: {} a second",
            grouped(r.answered),
            grouped(r.failed),
            r.seconds,
            grouped(r.per_second as u64),
        )?;
        writeln!(
            f,
            "connections  {} opened, {:.1} MB received, every byte checked",
            grouped(r.connections),
            r.bytes as f64 / 1e6,
        )?;
        for (kind, count) in &r.errors {
            writeln!(f, "errors       {kind}: {}", grouped(*count))?;
        }
        for words in &r.first_errors {
            writeln!(f, "             {words}")?;
        }
        Ok(())
    }

    fn latencies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nlatency in ms          {:>8} {:>8} {:>8} {:>8} {:>8}",
            "p50", "p90", "p99", "p99.9", "max"
        )?;
        latency(f, "open connection", &self.latency.open_connection)?;
        latency(f, "new connection", &self.latency.new_connection)
    }

    fn books(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |of: fn(&crate::scrape::Books) -> u64| self.books.iter().map(of).sum::<u64>();
        let right = self.books.iter().filter(|books| books.missing == 0).count();
        writeln!(
            f,
            "\nbooks        in + created = sent + delivered + consumed + dropped + held"
        )?;
        writeln!(
            f,
            "             {} + {} = {} + {} + {} + {} + {}",
            grouped(sum(|b| b.received)),
            grouped(sum(|b| b.created)),
            grouped(sum(|b| b.sent)),
            grouped(sum(|b| b.delivered)),
            grouped(sum(|b| b.consumed)),
            grouped(sum(|b| b.dropped)),
            grouped(sum(|b| b.held)),
        )?;
        writeln!(
            f,
            "             {right} of {} layers of nodes balance",
            self.books.len()
        )?;
        let mut reasons = BTreeMap::<&str, u64>::new();
        for drops in &self.drops {
            *reasons.entry(&drops.reason).or_default() += drops.count;
        }
        for (reason, count) in reasons {
            writeln!(f, "dropped      {}: {reason}", grouped(count))?;
        }
        let mut places = BTreeMap::<&str, u64>::new();
        for loss in &self.losses {
            *places.entry(&loss.place).or_default() += loss.count;
        }
        for (place, count) in places {
            writeln!(
                f,
                "lost         {}: {place} (in the kernel, before our books)",
                grouped(count)
            )?;
        }
        let after = self.tables.after_seconds;
        match self.tables.left.iter().map(|left| left.count).sum() {
            0 => writeln!(f, "tables       empty {after:.1} s after the load"),
            left => writeln!(
                f,
                "tables       {} entries left after {after:.1} s",
                grouped(left)
            ),
        }
    }

    fn conclusion(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.problems.is_empty() {
            return writeln!(f, "\nall as it should be");
        }
        writeln!(f)?;
        for problem in &self.problems {
            writeln!(f, "PROBLEM      {problem}")?;
        }
        Ok(())
    }
}

fn latency(f: &mut fmt::Formatter<'_>, name: &str, latency: &Latency) -> fmt::Result {
    if latency.count == 0 {
        return Ok(());
    }
    write!(f, "{name:<22}")?;
    let columns = [
        latency.p50_us,
        latency.p90_us,
        latency.p99_us,
        latency.p999_us,
        latency.max_us,
    ];
    for micros in columns {
        write!(f, " {:>8.2}", micros as f64 / 1e3)?;
    }
    writeln!(f)
}

fn bars(f: &mut fmt::Formatter<'_>, title: &str, counts: &BTreeMap<String, u64>) -> fmt::Result {
    let total: u64 = counts.values().sum();
    let most = counts.values().copied().max().unwrap_or(0);
    if total == 0 {
        return writeln!(f, "\n{title}: none");
    }
    writeln!(f, "\n{title}")?;
    for (name, &count) in counts {
        let share = count as f64 * 100.0 / total as f64;
        writeln!(
            f,
            "{name:<12} {:<32} {:>9} {share:>5.1} %",
            bar(count, most),
            grouped(count)
        )?;
    }
    Ok(())
}

fn bar(count: u64, most: u64) -> String {
    let eighths = count.saturating_mul(BAR * 8) / most.max(1);
    let whole = "█".repeat(usize::try_from(eighths / 8).unwrap_or(0));
    let rest = usize::try_from(eighths % 8)
        .ok()
        .and_then(|rest| EIGHTHS.get(rest));
    format!("{whole}{}", rest.unwrap_or(&""))
}

/// A number with its digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests;
