//! Bars, dots and their spreads as SVG that takes its colours from the page.

use std::fmt::Write as _;

use super::figures::Spread;
use crate::plot::{Scale, escaped, number};

/// Room on the left for names, and on the right for figures.
const NAMES: f64 = 90.0;
const FIGURES: f64 = 190.0;
const WIDTH: f64 = 860.0;
const TOP: f64 = 34.0;
const STEP: f64 = 26.0;
const BAR: f64 = 16.0;
const LEGEND: f64 = 24.0;

/// The colour of a row.
pub(super) fn class(row: &str) -> &'static str {
    match row {
        "direct" => "ink",
        "ecmp" | "dsr" | "dnat" => "soft-line",
        "haproxy" | "nginx" | "envoy" => "orange",
        _ => "blue",
    }
}

fn begin(title: &str, rows: usize, more: f64) -> (String, f64) {
    let height = TOP + STEP * f64::from(u32::try_from(rows).unwrap_or(0)) + more;
    let title = escaped(title);
    let svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" style=\"max-width:{WIDTH}px\" role=\"img\" aria-label=\"{title}\">\
         <text class=\"title\" x=\"0\" y=\"18\">{title}</text>"
    );
    (svg, height)
}

/// The vertical place of a row.
fn top(at: usize) -> f64 {
    TOP + STEP * f64::from(u32::try_from(at).unwrap_or(0))
}

fn name(svg: &mut String, at: usize, name: &str) {
    let _ = write!(
        svg,
        "<text class=\"name\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
        NAMES - 8.0,
        top(at) + 12.0,
        escaped(name),
    );
}

fn figures(svg: &mut String, at: usize, words: &str) {
    let _ = write!(
        svg,
        "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        WIDTH - FIGURES + 10.0,
        top(at) + 12.0,
        escaped(words),
    );
}

/// A line from the least to the largest, with ends.
fn whisker(svg: &mut String, at: usize, from: f64, to: f64) {
    let y = top(at) + BAR / 2.0;
    let _ = write!(
        svg,
        "<path class=\"whisker\" d=\"M{from:.1} {y:.1}H{to:.1}M{from:.1} {:.1}v6M{to:.1} {:.1}v6\"/>",
        y - 3.0,
        y - 3.0,
    );
}

/// Bars of the middle values, with lines from the least to the largest; 1 is marked.
pub(super) fn ratios(title: &str, rows: &[(&str, Spread)]) -> String {
    let (mut svg, height) = begin(title, rows.len(), 4.0);
    let largest = rows.iter().map(|row| row.1.max).fold(1.0, f64::max);
    let across = WIDTH - NAMES - FIGURES;
    let place = |value: f64| NAMES + across * value / largest;
    for (at, (row, spread)) in rows.iter().enumerate() {
        name(&mut svg, at, row);
        let _ = write!(
            svg,
            "<rect class=\"bar {}\" x=\"{NAMES}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"/>",
            class(row),
            top(at),
            (place(spread.median) - NAMES).max(1.0),
        );
        whisker(&mut svg, at, place(spread.min), place(spread.max));
        let words = format!(
            "{:.3} ({:.3} to {:.3})",
            spread.median, spread.min, spread.max
        );
        figures(&mut svg, at, &words);
    }
    let _ = write!(
        svg,
        "<line class=\"axis dashed\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1}\" y2=\"{2}\"/></svg>",
        place(1.0),
        TOP - 6.0,
        height - 4.0,
    );
    svg
}

/// What the dots of [`latencies`] stand for.
pub(super) const QUANTILES: [(&str, &str); 3] =
    [("p50", "green"), ("p99", "violet"), ("p99.9", "red")];

/// For each row a dot for each quantile, with lines from the least to the largest, over microseconds.
pub(super) fn latencies(title: &str, rows: &[(&str, [Spread; 3])]) -> String {
    let (mut svg, height) = begin(title, rows.len(), 26.0 + LEGEND);
    let all = || rows.iter().flat_map(|row| row.1);
    let (mut least, mut most) = (f64::MAX, 1.0_f64);
    for spread in all() {
        least = least.min(spread.min.max(1.0));
        most = most.max(spread.max);
    }
    // Without a row there is no range; of one value there is a narrow one.
    let least = least.min(most);
    let most = most.max(least * 1.5);
    let range = (least * 0.9, most * 1.1);
    let across = WIDTH - NAMES - FIGURES;
    let place = |value: f64| NAMES + across * Scale::Log.place(value, range).clamp(0.0, 1.0);
    let floor = top(rows.len());
    for tick in Scale::Log.ticks(range) {
        let x = place(tick);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{floor:.1}\"/>\
             <text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            floor + 14.0,
            number(tick)
        );
    }
    for (at, (row, spreads)) in rows.iter().enumerate() {
        name(&mut svg, at, row);
        for (spread, (quantile, class)) in spreads.iter().zip(QUANTILES) {
            whisker(&mut svg, at, place(spread.min), place(spread.max));
            let _ = write!(
                svg,
                "<circle class=\"dot {class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\"><title>{}, {quantile}: {:.0} us</title></circle>",
                place(spread.median),
                top(at) + BAR / 2.0,
                escaped(row),
                spread.median,
            );
        }
        let words = spreads.map(|it| format!("{:.0}", it.median));
        figures(&mut svg, at, &words.join(" / "));
    }
    let kinds: Vec<(&str, &str)> = QUANTILES.to_vec();
    legend(&mut svg, height, &kinds);
    svg.push_str("</svg>");
    svg
}

/// A part of a bar: its name, its colour and its length.
pub(super) type Part<'a> = (&'a str, &'static str, f64);

/// Bars of parts that follow each other.
pub(super) fn stacked(title: &str, rows: &[(&str, Vec<Part<'_>>)]) -> String {
    let (mut svg, height) = begin(title, rows.len(), LEGEND + 4.0);
    let sum = |parts: &[Part<'_>]| parts.iter().map(|part| part.2).sum::<f64>();
    let largest = rows.iter().map(|row| sum(&row.1)).fold(1e-9, f64::max);
    let across = WIDTH - NAMES - FIGURES;
    let mut kinds: Vec<(&str, &str)> = Vec::new();
    for (at, (row, parts)) in rows.iter().enumerate() {
        name(&mut svg, at, row);
        let mut from = NAMES;
        for &(kind, class, amount) in parts {
            let long = across * amount.max(0.0) / largest;
            let _ = write!(
                svg,
                "<rect class=\"bar {class}\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{long:.1}\" height=\"{BAR}\">\
                 <title>{}, {kind}: {amount:.1} us</title></rect>",
                top(at),
                escaped(row),
            );
            from += long;
            if !kinds.iter().any(|known| known.0 == kind) {
                kinds.push((kind, class));
            }
        }
        figures(&mut svg, at, &format!("{:.1}", sum(parts)));
    }
    legend(&mut svg, height, &kinds);
    svg.push_str("</svg>");
    svg
}

/// The colours' names in the last line.
fn legend(svg: &mut String, height: f64, kinds: &[(&str, &str)]) {
    let mut x = NAMES;
    let y = height - 8.0;
    for (kind, class) in kinds {
        let _ = write!(
            svg,
            "<rect class=\"bar {class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"10\" height=\"10\"/>\
             <text class=\"name\" x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
            y - 9.0,
            x + 15.0,
            escaped(kind),
        );
        // The font's width is not known here; this is ample.
        x += 34.0 + 7.0 * kind.chars().count() as f64;
    }
}

#[cfg(test)]
mod tests;
