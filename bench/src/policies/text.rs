//! The tables as a person reads them in a terminal.

use std::fmt::{self, Write as _};

use super::aims::Verdict;
use super::measure::{Row, Table};
use super::plan::{GRID, REPORTS};

/// All tables and the verdict; `unit` is the mean work in milliseconds.
pub(crate) struct Text<'a> {
    pub(crate) tables: &'a [Table],
    pub(crate) verdict: &'a Verdict,
    pub(crate) unit: f64,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for table in self.tables {
            writeln!(f, "\n{}", table.title)?;
            if table.name == "facts" {
                facts(f, table)?;
            } else {
                self.table(f, table)?;
            }
        }
        self.verdict(f)
    }
}

fn facts(f: &mut fmt::Formatter<'_>, table: &Table) -> fmt::Result {
    writeln!(
        f,
        "  {:<34} {:<32} {:>8}  {:>15}",
        "", "setting", "expected", "measured"
    )?;
    for row in &table.rows {
        let expected = row
            .expected
            .map_or_else(String::new, |it| format!("{it:.3}"));
        let Row {
            policy, setting, ..
        } = row;
        writeln!(
            f,
            "  {policy:<34} {setting:<32} {expected:>8}  {:>15}",
            figure(&row.mean)
        )?;
    }
    Ok(())
}

fn figure(figure: &super::measure::Figure) -> String {
    let places = if figure.mean < 100.0 { 3 } else { 1 };
    format!("{:.places$} ±{:.places$}", figure.mean, figure.plus_minus)
}

impl Text<'_> {
    fn table(&self, f: &mut fmt::Formatter<'_>, table: &Table) -> fmt::Result {
        let failing = table.name == "failing";
        let width = |of: fn(&Row) -> &String| {
            let widths = table.rows.iter().map(|row| of(row).chars().count());
            widths.max().unwrap_or(0).max(9)
        };
        let widths = (width(|row| &row.admission), width(|row| &row.knowledge));
        let mut before: Option<&Row> = None;
        for row in &table.rows {
            let same = before.is_some_and(|it| it.load == row.load && it.setting == row.setting);
            if !same {
                let (admission, knowledge) = widths;
                let mut heading = String::new();
                if table.name == GRID {
                    write!(heading, "load {}", row.load)?;
                }
                heading.push_str(&row.setting);
                writeln!(
                    f,
                    "\n  {heading:<47} {:<admission$} {:<knowledge$} {:>14} {:>6} {:>7} {:>15} {:>6} {:>6} {:>6} {:>8} {:>8} {:>8}",
                    "admission",
                    "reports",
                    "mean",
                    "p50",
                    "p95",
                    "p99",
                    "spread",
                    "Jain",
                    "shares",
                    "rejects",
                    if failing { "failed" } else { "refused" },
                    "reports/s",
                )?;
            }
            before = Some(row);
            self.row(f, row, failing, widths)?;
        }
        if table.name == REPORTS {
            writeln!(
                f,
                "  reports/s: Loads that each host sends each tracker in a second"
            )?;
        }
        Ok(())
    }

    fn row(
        &self,
        f: &mut fmt::Formatter<'_>,
        row: &Row,
        failing: bool,
        (admission, knowledge): (usize, usize),
    ) -> fmt::Result {
        let reports = if row.ours {
            row.reports * 1_000.0 / self.unit
        } else {
            0.0
        };
        writeln!(
            f,
            "  {:<47} {:<admission$} {:<knowledge$} {:>14} {:>6.2} {:>7.2} {:>15} {:>6.3} {:>6.3} {:>6.3} {:>8.3} {:>7.2}% {:>8.1}",
            row.policy,
            row.admission,
            row.knowledge,
            figure(&row.mean),
            row.p50.mean,
            row.p95.mean,
            figure(&row.p99),
            row.spread,
            row.fairness,
            row.shares,
            row.rejects.mean,
            100.0 * if failing { row.failed } else { row.refused },
            reports,
        )
    }

    fn verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\ntimes are in units of the mean work ({} ms); ± is the 95 % confidence interval over the seeds\n\
             spread: coefficient of variation over the hosts of their connections for their capacity, at a moment;\n\
             Jain: fairness index of the same; shares: coefficient of variation of the jobs that each took\n\
             TTL: hosts that are asked at most, of which the last must accept; without one, 4 and it need not\n\
             +passed: secondaries count the Offers that they pass on; +rejects, +accepts: these tell the host's load",
            self.unit
        )?;
        for (what, name) in [
            ("best", &self.verdict.best),
            ("best without must-accept", &self.verdict.best_of_own_will),
        ] {
            if let Some(name) = name {
                let (policy, admission) = (&name.policy, &name.admission);
                writeln!(
                    f,
                    "\n{what}: {policy}, admission {admission}, reports {}",
                    name.knowledge
                )?;
            }
        }
        for aim in &self.verdict.aims {
            let met = if aim.met { "met   " } else { "MISSED" };
            writeln!(f, "  {met} {}\n         {}", aim.what, aim.found)?;
        }
        Ok(())
    }
}
