//! The lab's tables as a person reads them in a terminal.

use std::fmt;

use super::document::{LabFigures, LabRow, LabTable};
use super::plan::HOSTS;
use crate::policies::measure::Row;

/// All of it.
pub(crate) struct LabText<'a>(pub(crate) &'a LabFigures);

impl fmt::Display for LabText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = self.0;
        let settings = &figures.settings;
        writeln!(
            f,
            "\nin the lab, on real TCP: {} hosts of {} cores ({}), {} trackers, work of {} ms, {} s of each run timed, \
             seeds {:?}",
            settings.hosts,
            settings.cores,
            settings.serving,
            settings.trackers,
            settings.work_ms,
            settings.seconds,
            settings.seeds,
        )?;
        for table in &figures.tables {
            writeln!(f, "\n{}", table.title)?;
            self::table(f, table)?;
        }
        writeln!(
            f,
            "\nmean, p50, p95, p99: response from the moment a job was due, in units of the mean work ({} ms); simulated: the\n\
             same jobs in the simulator; over it: the mean measured over the simulated one, run by run\n\
             ± is the 95 % confidence interval over the seeds, each of which has other jobs\n\
             shares: coefficient of variation over the hosts of the jobs that each took for its capacity; spread: of\n\
             their connections at a moment; Jain: fairness index of the same\n\
             late: milliseconds by which the client sent 99 of a hundred jobs too late at most; it counts as response\n\
             again: runs that were made again, since that was more than it may be\n\
             Those without an admission are played by the clients: they ask no tracker and go straight to the hosts",
            settings.work_ms
        )?;
        for aim in &figures.aims {
            let met = if aim.met { "met   " } else { "MISSED" };
            writeln!(f, "  {met} {}\n         {}", aim.what, aim.found)?;
        }
        match figures.broken() {
            0 => writeln!(f, "no job failed that should not have"),
            broken => {
                writeln!(f, "{broken} jobs failed that should not have:")?;
                let mut words = figures.words.iter();
                words.try_for_each(|words| writeln!(f, "  {words}"))
            }
        }
    }
}

fn table(f: &mut fmt::Formatter<'_>, table: &LabTable) -> fmt::Result {
    let width = |of: fn(&Row) -> &String, least: usize| {
        let widths = table
            .rows
            .iter()
            .map(|row| of(&row.measured).chars().count());
        widths.max().unwrap_or(0).max(least)
    };
    let policy = width(|row| &row.policy, 34);
    let admission = width(|row| &row.admission, 9);
    let knowledge = width(|row| &row.knowledge, 7);
    let of_hosts = table.name == HOSTS;
    let mut before: Option<&Row> = None;
    for LabRow {
        measured,
        simulated,
        over,
        broken,
        late_ms,
        repeated,
        ..
    } in &table.rows
    {
        let same =
            before.is_some_and(|it| it.load == measured.load && it.setting == measured.setting);
        if !same {
            let separator = if measured.setting.is_empty() {
                ""
            } else {
                ", "
            };
            let heading = format!("load {:.2}{separator}{}", measured.load, measured.setting);
            write!(
                f,
                "\n  {heading:<policy$} {:<admission$} {:<knowledge$} {:>14} {:>9} {:>12} {:>6} {:>6} {:>14} {:>9} {:>6} {:>6} {:>6} \
                 {:>8} {:>8} {:>6} {:>5} {:>5}",
                "admission",
                "reports",
                "mean",
                "simulated",
                "over it",
                "p50",
                "p95",
                "p99",
                "simulated",
                "shares",
                "spread",
                "Jain",
                "rejects",
                "refused",
                "broken",
                "late",
                "again",
            )?;
            if of_hosts {
                write!(f, " {:>8} {:>9}", "failed", "simulated")?;
            }
            writeln!(f)?;
        }
        before = Some(measured);
        write!(
            f,
            "  {:<policy$} {:<admission$} {:<knowledge$} {:>14} {:>9.3} {:>12} {:>6.2} {:>6.2} {:>14} {:>9.2} {:>6.3} {:>6.3} {:>6.3} \
             {:>8.3} {:>7.2}% {broken:>6} {late_ms:>5.1} {repeated:>5}",
            measured.policy,
            measured.admission,
            measured.knowledge,
            format!("{:.3} ±{:.3}", measured.mean.mean, measured.mean.plus_minus),
            simulated.mean.mean,
            format!("{:.3} ±{:.3}", over.mean, over.plus_minus),
            measured.p50.mean,
            measured.p95.mean,
            format!("{:.2} ±{:.2}", measured.p99.mean, measured.p99.plus_minus),
            simulated.p99.mean,
            measured.shares,
            measured.spread,
            measured.fairness,
            measured.rejects.mean,
            measured.refused * 100.0,
        )?;
        if of_hosts {
            let (ours, theirs) = (measured.failed * 100.0, simulated.failed * 100.0);
            write!(f, " {ours:>7.1}% {theirs:>8.1}%")?;
        }
        writeln!(f)?;
    }
    Ok(())
}
