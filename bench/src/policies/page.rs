//! One page with plots, in itself: no other file, no script.

use std::fmt::Write as _;

use super::aims::{Aim, Name};
use super::document::{Document, Figures};
use super::lab::page as lab_page;
use super::measure::{Figure, Row, Table};
use super::plan::{GRID, REPORTS, TRACKERS};
use crate::plot::{Plot, Scale, Series, bars, escaped};

/// Which rows a line is of.
type Is = fn(&Row) -> bool;

/// The page.
pub(crate) fn page(all: &Figures) -> String {
    let mut page = String::new();
    let _ = write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>jlb bench policies</title>\
         <style>{}</style></head><body>",
        include_str!("../page.css")
    );
    page.push_str("<h1>Ways of choosing hosts, compared</h1>");
    if let Some(document) = &all.simulator {
        simulated(&mut page, document);
    }
    if let Some(lab) = &all.lab {
        lab_page::plots(&mut page, lab);
    }
    page.push_str("<h2>All figures</h2>");
    if let Some(document) = &all.simulator {
        for table in &document.tables {
            figures(&mut page, table, f64::from(document.settings.work_ms));
        }
    }
    if let Some(lab) = &all.lab {
        lab_page::tables(&mut page, lab);
    }
    page.push_str("</body></html>\n");
    page
}

fn simulated(page: &mut String, document: &Document) {
    head(page, document);
    let of = |name: &str| document.tables.iter().find(|table| table.name == name);
    if let Some(grid) = of(GRID) {
        over_load(page, document, grid);
        pairs(page, grid);
    }
    if let Some(reports) = of(REPORTS) {
        late(page, reports);
    }
    if let Some(trackers) = of(TRACKERS) {
        shared(page, trackers);
    }
    if let Some(failing) = of("failing") {
        drawn(page, failing);
    }
}

fn head(page: &mut String, document: &Document) {
    let settings = &document.settings;
    let _ = write!(
        page,
        "<p>{} hosts of {} cores ({}), {} trackers that each lead an equal part of the flows, Poisson \
         arrivals, work of {} ms on average, {} µs from node to node. Times are in units of the mean work. Simulated: \
         the trackers' pools and policies are the program's own.</p>\
         <p class=\"soft\">Seeds {:?}, {} jobs each, version {}. The same again: <code>{}</code></p>",
        settings.hosts,
        settings.cores,
        escaped(&settings.serving),
        settings.trackers,
        settings.work_ms,
        settings.delay_us,
        settings.seeds,
        settings.jobs,
        settings.version,
        escaped(&settings.command()),
    );
    for missed in &document.missed_facts {
        let _ = write!(
            page,
            "<p class=\"missed\">The model is wrong: {}</p>",
            escaped(missed)
        );
    }
    for (what, name) in [
        ("Best", &document.verdict.best),
        (
            "Best without must-accept",
            &document.verdict.best_of_own_will,
        ),
    ] {
        if let Some(name) = name {
            let _ = write!(page, "<p><b>{what}:</b> {}</p>", escaped(&words(name)));
        }
    }
    aims(page, &document.verdict.aims);
}

/// What should be so, and whether it is.
pub(crate) fn aims(page: &mut String, aims: &[Aim]) {
    page.push_str("<ul>");
    for aim in aims {
        let (class, word) = if aim.met {
            ("met", "met")
        } else {
            ("missed", "missed")
        };
        let _ = write!(
            page,
            "<li><b class=\"{class}\">{word}</b> {} <span class=\"soft\">({})</span></li>",
            escaped(&aim.what),
            escaped(&aim.found)
        );
    }
    page.push_str("</ul>");
}

fn words(name: &Name) -> String {
    format!(
        "{}, admission {}, reports {}",
        name.policy, name.admission, name.knowledge
    )
}

/// A line over the loads.
fn line(
    grid: &Table,
    name: impl Into<String>,
    class: &'static str,
    value: fn(&Row) -> f64,
    is: impl Fn(&Row) -> bool,
) -> Option<Series> {
    let rows = grid.rows.iter().filter(|row| is(row));
    let points: Vec<_> = rows.map(|row| (row.load, value(row))).collect();
    let series = Series {
        name: name.into(),
        class,
        points,
    };
    (!series.points.is_empty()).then_some(series)
}

fn over_load(page: &mut String, document: &Document, grid: &Table) {
    page.push_str("<h2>Response time over load</h2>");
    let interval = format!("{} ms", document.settings.interval_ms);
    let verdict = &document.verdict;
    for (y, value) in [
        ("mean", (|row| row.mean.mean) as fn(&Row) -> f64),
        ("p99", |row| row.p99.mean),
        ("spread", |row| row.spread),
    ] {
        let mut series = vec![
            line(
                grid,
                "join the shortest queue, all known",
                "ink dashed",
                value,
                |row| row.policy.starts_with("join"),
            ),
            line(
                grid,
                "two choices, all known",
                "soft-line dashed",
                value,
                |row| row.policy == "two choices, all known",
            ),
            line(grid, "SRc of the SRLB paper", "orange", value, |row| {
                row.policy.starts_with("SR")
            }),
            line(
                grid,
                "least connections of the tracker's own",
                "yellow",
                value,
                |row| row.policy.ends_with("of its own"),
            ),
            line(grid, "round-robin", "red", value, |row| {
                row.policy == "round-robin" && row.admission == "always"
            }),
            line(
                grid,
                format!("least-connections, reports each {interval}"),
                "violet",
                value,
                |row| {
                    row.policy == "least-connections"
                        && row.admission == "always"
                        && row.knowledge == interval
                },
            ),
        ];
        if let Some(best) = verdict
            .best_of_own_will
            .as_ref()
            .filter(|_| verdict.best != verdict.best_of_own_will)
        {
            series.push(line(
                grid,
                "best without must-accept",
                "green",
                value,
                |row| best.is_of(row),
            ));
        }
        if let Some(best) = &verdict.best {
            series.push(line(grid, "best", "blue thick", value, |row| {
                best.is_of(row)
            }));
        }
        let plot = Plot {
            title: match y {
                "spread" => {
                    "Spread over the hosts at a moment (coefficient of variation)".to_owned()
                }
                _ => format!("Response time, {y}, in units of the mean work"),
            },
            x: "load",
            y: "",
            x_scale: Scale::Linear,
            y_scale: if y == "spread" {
                Scale::Linear
            } else {
                Scale::Log
            },
            y_range: None,
            series: series.into_iter().flatten().collect(),
            size: (700.0, 380.0),
            legend: true,
        };
        page.push_str(&plot.svg());
    }
}

/// A small plot for each policy.
fn pairs(page: &mut String, grid: &Table) {
    page.push_str(
        "<h2>Every policy and admission: p99 over load</h2><p class=\"soft\">Solid: reports on change. Dotted: reports \
         each interval only. Violet: hosts take everything. Orange: fewer jobs than 2 a core, the second host must \
         accept. Green: SRdyn, likewise. Dashed: join the shortest queue.</p><div class=\"three\">",
    );
    let p99 = |row: &Row| row.p99.mean;
    let mut policies: Vec<&str> = Vec::new();
    for row in grid.rows.iter().filter(|row| row.ours) {
        if !policies.contains(&row.policy.as_str()) {
            policies.push(&row.policy);
        }
    }
    let least = grid.rows.iter().map(p99).fold(f64::INFINITY, f64::min);
    // What grows without bound leaves the plot.
    let most = grid.rows.iter().map(p99).fold(0.0, f64::max).min(100.0);
    for policy in policies {
        let mut series = vec![line(grid, "oracle", "ink dashed", p99, |row| {
            row.policy.starts_with("join")
        })];
        for (admission, solid, dotted) in [
            ("always", "violet", "violet dotted"),
            ("< 2 a core, TTL 2", "orange", "orange dotted"),
            ("SRdyn, TTL 2", "green", "green dotted"),
        ] {
            for (changes, class) in [(false, dotted), (true, solid)] {
                let reports = if changes {
                    "on change"
                } else {
                    "each interval"
                };
                series.push(line(
                    grid,
                    format!("{admission}, reports {reports}"),
                    class,
                    p99,
                    |row| {
                        row.policy == policy
                            && row.admission == admission
                            && row.knowledge.starts_with("on change") == changes
                            && !row.knowledge.contains('+')
                    },
                ));
            }
        }
        let plot = Plot {
            title: policy.to_owned(),
            x: "load",
            y: "",
            x_scale: Scale::Linear,
            y_scale: Scale::Log,
            y_range: Some((least, most)),
            series: series.into_iter().flatten().collect(),
            size: (330.0, 260.0),
            legend: false,
        };
        page.push_str(&plot.svg());
    }
    page.push_str("</div>");
}

/// The number before " ms".
fn milliseconds(row: &Row) -> Option<f64> {
    let (before, _) = row.knowledge.split_once(" ms")?;
    before.rsplit(' ').next()?.parse().ok()
}

fn late(page: &mut String, table: &Table) {
    let _ = write!(page, "<h2>{}</h2>", escaped(&table.title));
    let kinds: [(&str, &'static str, Is); 4] = [
        ("two-choices, each interval", "green dotted", |row| {
            row.policy == "two-choices"
        }),
        ("least-connections, each interval", "violet dotted", |row| {
            row.policy == "least-connections" && !row.knowledge.contains("change")
        }),
        ("least-connections, on change", "violet", |row| {
            row.knowledge.starts_with("on change") && !row.knowledge.contains('+')
        }),
        (
            "the same, +passed: secondaries count",
            "blue thick",
            |row| row.knowledge.contains('+'),
        ),
    ];
    for (y, value) in [
        ("mean", (|row| row.mean.mean) as fn(&Row) -> f64),
        ("p99", |row| row.p99.mean),
    ] {
        let mut series: Vec<Series> = Vec::new();
        for (name, class, is) in kinds {
            let rows = table.rows.iter().filter(|row| row.ours && is(row));
            let points = rows.filter_map(|row| Some((milliseconds(row)?, value(row))));
            series.push(Series {
                name: name.to_owned(),
                class,
                points: points.filter(|point| point.0 > 0.0).collect(),
            });
        }
        let oracle = table.rows.iter().find(|row| !row.ours).map(value);
        let all = series
            .iter()
            .flat_map(|it| it.points.iter().map(|point| point.0));
        let (from, to) = all.fold((f64::INFINITY, 0.0_f64), |(from, to), x| {
            (from.min(x), to.max(x))
        });
        if let Some(oracle) = oracle.filter(|_| from < to) {
            series.push(Series {
                name: "join the shortest queue, all known".to_owned(),
                class: "ink dashed",
                points: vec![(from, oracle), (to, oracle)],
            });
        }
        let plot = Plot {
            title: format!("Response time, {y}, over the time between two reports"),
            x: "milliseconds",
            y: "",
            x_scale: Scale::Log,
            y_scale: Scale::Log,
            y_range: None,
            series,
            size: (700.0, 320.0),
            legend: true,
        };
        page.push_str(&plot.svg());
    }
}

fn shared(page: &mut String, table: &Table) {
    let _ = write!(page, "<h2>{}</h2>", escaped(&table.title));
    let trackers = |row: &Row| row.setting.split(' ').next()?.parse::<f64>().ok();
    let mut series: Vec<Series> = Vec::new();
    let classes = [
        "ink dashed",
        "yellow",
        "violet dotted",
        "violet",
        "blue thick",
    ];
    for row in &table.rows {
        let name = match row.ours {
            true => format!("{}, {}", row.policy, row.knowledge),
            false => row.policy.clone(),
        };
        let Some(x) = trackers(row) else { continue };
        let point = (x, row.mean.mean);
        match series.iter_mut().find(|series| series.name == name) {
            Some(series) => series.points.push(point),
            None => series.push(Series {
                name,
                class: classes[series.len() % classes.len()],
                points: vec![point],
            }),
        }
    }
    let plot = Plot {
        title: "Response time, mean".to_owned(),
        x: "trackers",
        y: "",
        x_scale: Scale::Log,
        y_scale: Scale::Log,
        y_range: None,
        series,
        size: (700.0, 300.0),
        legend: true,
    };
    page.push_str(&plot.svg());
}

fn drawn(page: &mut String, table: &Table) {
    let _ = write!(page, "<h2>{}</h2>", escaped(&table.title));
    let mut settings: Vec<&str> = table.rows.iter().map(|row| row.setting.as_str()).collect();
    settings.dedup();
    for setting in settings {
        let of_setting = table.rows.iter().filter(|row| row.setting == setting);
        let drawn: Vec<_> = of_setting
            .map(|row| {
                let name = format!("{} {}", row.policy, row.knowledge);
                (name, if row.ours { "violet" } else { "yellow" }, row.failed)
            })
            .collect();
        page.push_str(&bars(
            &format!("Part of all flows that it drew: {setting}"),
            &drawn,
        ));
    }
}

/// A figure and how far it may be off.
pub(crate) fn figure(figure: &Figure) -> String {
    format!("{:.3} ±{:.3}", figure.mean, figure.plus_minus)
}

fn figures(page: &mut String, table: &Table, unit: f64) {
    let _ = write!(
        page,
        "<details><summary>{}</summary><div class=\"wide\"><table><tr><th>setting<th>policy<th>admission<th>reports\
         <th>load<th>expected<th>mean<th>p50<th>p95<th>p99<th>Jain<th>spread<th>shares<th>rejects<th>refused<th>failed\
         <th>reports/s</tr>",
        escaped(&table.title)
    );
    for row in &table.rows {
        let _ = write!(
            page,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{:.2}<td>{:.2}<td>{}<td>{:.3}<td>{:.3}<td>{:.3}<td>{:.3}\
             <td>{:.2} %<td>{:.2} %<td>{:.1}</tr>",
            escaped(&row.setting),
            escaped(&row.policy),
            escaped(&row.admission),
            escaped(&row.knowledge),
            row.load,
            row.expected
                .map_or_else(String::new, |it| format!("{it:.3}")),
            figure(&row.mean),
            row.p50.mean,
            row.p95.mean,
            figure(&row.p99),
            row.fairness,
            row.spread,
            row.shares,
            row.rejects.mean,
            row.refused * 100.0,
            row.failed * 100.0,
            if row.ours {
                row.reports * 1_000.0 / unit
            } else {
                0.0
            },
        );
    }
    page.push_str("</table></div></details>");
}
