//! One page with plots, in itself: no other file, no script.

use std::fmt::Write as _;

use super::charts::{self, Part};
use super::document::{Document, Table};
use super::figures::{Line, Spread};
use super::text::cells;
use crate::plot::escaped;

/// The page.
pub(super) fn page(document: &Document) -> String {
    let mut page = String::new();
    let _ = write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>jlb bench lab</title>\
         <style>{}</style></head><body><h1>JLB beside others</h1>",
        include_str!("../page.css")
    );
    head(&mut page, document);
    for table in &document.tables {
        section(&mut page, table);
    }
    if !document.flames.is_empty() {
        page.push_str("<h2 id=\"time\">Where JLB's time goes</h2>");
    }
    for flame in &document.flames {
        page.push_str(&flame.svg());
    }
    rows(&mut page, document);
    page.push_str("</body></html>\n");
    page
}

fn head(page: &mut String, document: &Document) {
    let machine = &document.machine;
    let _ = write!(
        page,
        "<p>Every row had its turns on the same machine, client, servers and bridge, in a new order each round, and each \
         turn is compared with that of <i>direct</i> in the same round. Bars and dots are the middle of all rounds, lines \
         go from the least to the largest.</p>\
         <p class=\"soft\">{} processors ({}), {} MiB of memory, Linux {}, congestion control {}, load average {} at the \
         end; version {}, {}. The same again: <code>{}</code></p>",
        machine.processors,
        escaped(&machine.processor),
        machine.memory_mib,
        escaped(&machine.kernel),
        escaped(&machine.congestion_control),
        escaped(&machine.load_average),
        escaped(&document.version),
        match &document.commit {
            Some(commit) => format!("commit {}", escaped(commit)),
            None => "commit unknown".to_owned(),
        },
        escaped(&document.command),
    );
    for row in &document.rows {
        if let Some(words) = &row.missing {
            let _ = write!(
                page,
                "<p class=\"missed\">Not measured: {}: {}</p>",
                escaped(&row.name),
                escaped(words)
            );
        }
    }
    if let Some(words) = document.machine.disturbed() {
        let _ = write!(
            page,
            "<p class=\"missed\">Disturbed: {}</p>",
            escaped(&words)
        );
    }
    let failed = document.failed();
    if failed > 0 {
        let _ = write!(page, "<p class=\"missed\">{failed} requests failed.</p>");
    }
}

/// One workload.
fn section(page: &mut String, table: &Table) {
    let _ = write!(
        page,
        "<h2 id=\"{0}\">{0}: {1}</h2>",
        escaped(&table.workload),
        escaped(&table.title)
    );
    if table.is_open {
        let rows = table.lines.iter();
        let rows: Vec<(&str, [Spread; 3])> = rows
            .map(|line| {
                let spreads = [line.p50_us, line.p99_us, line.p999_us];
                (line.row.as_str(), spreads)
            })
            .collect();
        page.push_str(&charts::latencies(
            "Latency in microseconds, from when a request was due",
            &rows,
        ));
    } else {
        let rows = table.lines.iter().filter(|line| !line.is_direct());
        let rows: Vec<(&str, Spread)> = rows
            .filter_map(|line| Some((line.row.as_str(), line.ratio?)))
            .collect();
        let title = format!(
            "{}, divided by those of direct in the same round",
            table.unit
        );
        page.push_str(&charts::ratios(&title, &rows));
    }
    let rows = table.lines.iter();
    let rows: Vec<(&str, Vec<Part<'_>>)> =
        rows.map(|line| (line.row.as_str(), parts(line))).collect();
    let title = format!(
        "Microseconds of all processors {}, by whose time it was",
        each(table)
    );
    page.push_str(&charts::stacked(&title, &rows));
    figures(page, table);
}

fn each(table: &Table) -> &'static str {
    match table.unit.as_str() {
        "MiB/s" => "a MiB",
        "connections/s" => "a connection",
        _ => "a request",
    }
}

/// Whose time a request takes: that of processes, and what no process of the row has.
fn parts(line: &Line) -> Vec<Part<'_>> {
    let class = |kind: &str| match kind {
        "client" => "green",
        "servers" => "violet",
        "ingress" => "blue",
        "trackers" => "yellow",
        "agents" => "pink",
        _ => "orange",
    };
    let mut parts: Vec<Part<'_>> = Vec::new();
    for kind in [
        "client", "servers", "proxy", "ingress", "trackers", "agents",
    ] {
        if let Some((kind, us)) = line.own_us.get_key_value(kind) {
            parts.push((kind, class(kind), us.median));
        }
    }
    let known: f64 = parts.iter().map(|part| part.2).sum();
    let rest = line.cpu_us.median - known;
    if rest > 0.0 {
        parts.push(("no process of these", "soft-line", rest));
    }
    parts
}

/// All figures of a workload.
fn figures(page: &mut String, table: &Table) {
    let each = each(table);
    let _ = write!(
        page,
        "<div class=\"wide\"><table class=\"figures\"><tr><th>row<th>{}<th>of direct\
         <th>p50 us<th>p99 us<th>p99.9 us<th>CPU us {each}<th>more than direct<th>busy\
         <th>packets {each}<th>errors<th>the balancer's own us {each}</tr>",
        escaped(&table.unit)
    );
    for line in &table.lines {
        let cells = cells(line).map(|cell| escaped(&cell));
        let _ = write!(page, "<tr><td>{}</tr>", cells.join("<td>"));
    }
    page.push_str("</table></div>");
    let lines = table.lines.iter();
    for (line, words) in lines.flat_map(|line| line.first_errors.iter().map(move |it| (line, it))) {
        let _ = write!(
            page,
            "<p class=\"missed\">{}: {}</p>",
            escaped(&line.row),
            escaped(words)
        );
    }
}

/// What the rows are.
fn rows(page: &mut String, document: &Document) {
    page.push_str("<h2>The rows</h2><ul>");
    for row in &document.rows {
        let version = row.version.as_deref().unwrap_or_default();
        let _ = write!(
            page,
            "<li><b>{}</b>: {} <span class=\"soft\">{}</span></li>",
            escaped(&row.name),
            escaped(&row.what),
            escaped(version),
        );
    }
    page.push_str("</ul>");
}

#[cfg(test)]
mod tests;
