//! The lab's part of the page.

use std::fmt::Write as _;

use super::document::{LabFigures, LabRow, LabTable};
use super::plan::{HOSTS, ORDER, PAIRS};
use crate::plot::{Plot, Scale, Series, bars, escaped};
use crate::policies::measure::Row;
use crate::policies::page::{aims, figure};

/// A policy of the plots: its name there, its colour, the dashed line of the simulator, and which rows it has.
type Shown = (&'static str, &'static str, &'static str, fn(&Row) -> bool);

const SHOWN: [Shown; 7] = [
    (
        "join the shortest queue, all known",
        "ink",
        "ink dashed",
        |row| row.policy.starts_with("join"),
    ),
    ("least-connections", "blue thick", "blue dashed", |row| {
        row.policy == "least-connections" && row.admission == "always"
    }),
    (
        "least-connections, < 1 a core, TTL 3",
        "green",
        "green dashed",
        |row| row.policy == "least-connections" && row.admission.starts_with("< 1 "),
    ),
    (
        "least connections of its own",
        "yellow",
        "yellow dashed",
        |row| row.policy.ends_with("of its own"),
    ),
    ("two-choices", "violet", "violet dashed", |row| {
        row.policy == "two-choices"
    }),
    ("round-robin", "red", "red dashed", |row| {
        row.policy == "round-robin"
    }),
    ("random", "pink", "pink dashed", |row| {
        row.policy == "random"
    }),
];

/// What comes after the simulator's plots.
pub(crate) fn plots(page: &mut String, figures: &LabFigures) {
    let settings = &figures.settings;
    let _ = write!(
        page,
        "<h2>In the lab, on real TCP</h2><p>A cluster of real nodes in network namespaces of one machine: {} hosts of {} cores \
         ({}), {} trackers. Servers take the time that their cores would need without using a processor. Clients open a \
         connection for each job at the moments that the simulator draws, too, with the same work of {} ms on average; \
         responses count from these moments. Dashed lines: the simulator with the same jobs.</p>\
         <p class=\"soft\">Seeds {:?}, {} s timed of each run, version {}. Again: <code>{}</code></p>",
        settings.hosts,
        settings.cores,
        escaped(&settings.serving),
        settings.trackers,
        settings.work_ms,
        settings.seeds,
        settings.seconds,
        settings.version,
        escaped(&settings.command()),
    );
    if figures.broken() > 0 {
        let words = figures.words.join("; ");
        let _ = write!(
            page,
            "<p class=\"missed\">{} jobs failed that should not have: {}</p>",
            figures.broken(),
            escaped(&words)
        );
    }
    aims(page, &figures.aims);
    let of = |name: &str| figures.tables.iter().find(|table| table.name == name);
    if let Some(order) = of(ORDER).filter(|order| loads(order) > 1) {
        over_load(page, order);
    }
    for name in [ORDER, PAIRS] {
        if let Some(table) = of(name) {
            shares(page, table, settings.at);
        }
    }
    if let Some(hosts) = of(HOSTS) {
        drawn(page, hosts);
    }
}

fn loads(table: &LabTable) -> usize {
    let mut loads: Vec<f64> = table.rows.iter().map(|row| row.measured.load).collect();
    loads.dedup();
    loads.len()
}

/// The tables behind the plots.
pub(crate) fn tables(page: &mut String, figures: &LabFigures) {
    for table in &figures.tables {
        rows(page, table);
    }
}

fn over_load(page: &mut String, table: &LabTable) {
    for (y, value) in [
        ("mean", (|row| row.mean.mean) as fn(&Row) -> f64),
        ("p99", |row| row.p99.mean),
        ("spread", |row| row.spread),
    ] {
        let mut series = Vec::new();
        for (name, class, dashed, is) in SHOWN {
            let of = |side: fn(&LabRow) -> &Row| -> Vec<(f64, f64)> {
                let rows = table.rows.iter().map(side).filter(|row| is(row));
                rows.map(|row| (row.load, value(row))).collect()
            };
            let measured = of(|row| &row.measured);
            if measured.is_empty() {
                continue;
            }
            series.push(Series {
                name: name.to_owned(),
                class,
                points: measured,
            });
            series.push(Series {
                name: format!("simulated: {name}"),
                class: dashed,
                points: of(|row| &row.simulated),
            });
        }
        let of_spread = y == "spread";
        let title = if of_spread {
            "Spread over the hosts at a moment (coefficient of variation), lab".to_owned()
        } else {
            format!("Response time in the lab, {y}, in units of the mean work")
        };
        let plot = Plot {
            title,
            x: "load",
            y: "",
            x_scale: Scale::Linear,
            y_scale: if of_spread { Scale::Linear } else { Scale::Log },
            y_range: None,
            series,
            size: (700.0, 400.0),
            legend: true,
        };
        page.push_str(&plot.svg());
    }
}

fn name(row: &Row) -> String {
    format!("{} {}", row.policy, row.admission)
        .trim_end()
        .to_owned()
}

/// How unevenly hosts were used.
fn shares(page: &mut String, table: &LabTable, at: f64) {
    let rows = table.rows.iter().map(|row| &row.measured);
    let rows = rows.filter(|row| (row.load - at).abs() < 1e-9);
    let all: Vec<_> = rows
        .map(|row| (name(row), colour(row), row.shares))
        .collect();
    if !all.is_empty() {
        page.push_str(&bars(
            &format!(
                "Coefficient of variation over the hosts of the jobs that each took, load {at}"
            ),
            &all,
        ));
    }
}

fn colour(row: &Row) -> &'static str {
    if row.ours { "violet" } else { "yellow" }
}

/// What a failing host drew.
fn drawn(page: &mut String, table: &LabTable) {
    let rows = table.rows.iter().map(|row| &row.measured);
    let failing: Vec<&Row> = rows.filter(|row| row.setting.contains("fails")).collect();
    let mut settings: Vec<&str> = failing.iter().map(|row| row.setting.as_str()).collect();
    settings.dedup();
    for setting in settings {
        let of_setting = failing.iter().filter(|row| row.setting == setting);
        let drawn: Vec<_> = of_setting
            .map(|row| (name(row), colour(row), row.failed))
            .collect();
        page.push_str(&bars(
            &format!("Part of all connections that it drew in the lab: {setting}"),
            &drawn,
        ));
    }
}

fn rows(page: &mut String, table: &LabTable) {
    let _ = write!(
        page,
        "<details open><summary>In the lab: {}</summary><div class=\"wide\"><table><tr><th>setting<th>policy<th>admission<th>reports\
         <th>load<th>mean<th>simulated<th>over it<th>p50<th>p95<th>p99<th>simulated<th>shares<th>spread<th>simulated<th>Jain\
         <th>rejects<th>simulated<th>refused<th>failed<th>simulated<th>broken<th>late, ms<th>again<th>jobs</tr>",
        escaped(&table.title)
    );
    for LabRow {
        measured: row,
        simulated,
        over,
        jobs,
        broken,
        late_ms,
        repeated,
    } in &table.rows
    {
        let _ = write!(
            page,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{:.3}<td>{}<td>{:.3}<td>{}<td>{:.2}<td>{:.2}<td>{}<td>{:.2}<td>{:.3}<td>{:.3}<td>{:.3}\
             <td>{:.3}<td>{:.3}<td>{:.3}<td>{:.2} %<td>{:.1} %<td>{:.1} %<td>{broken}<td>{late_ms:.1}<td>{repeated}<td>{jobs}</tr>",
            escaped(&row.setting),
            escaped(&row.policy),
            escaped(&row.admission),
            escaped(&row.knowledge),
            row.load,
            figure(&row.mean),
            simulated.mean.mean,
            figure(over),
            row.p50.mean,
            row.p95.mean,
            figure(&row.p99),
            simulated.p99.mean,
            row.shares,
            row.spread,
            simulated.spread,
            row.fairness,
            row.rejects.mean,
            simulated.rejects.mean,
            row.refused * 100.0,
            row.failed * 100.0,
            simulated.failed * 100.0,
        );
    }
    page.push_str("</table></div></details>");
}
