//! Line plots and bars as SVG that takes its colours from the page.

use std::fmt::Write as _;

/// How an axis is divided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scale {
    Linear,
    Log,
}

/// A line.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Its classes in the page's style: colour and dashes.
    pub(crate) class: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

/// A plot of lines.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) x: &'static str,
    pub(crate) y: &'static str,
    pub(crate) x_scale: Scale,
    pub(crate) y_scale: Scale,
    /// The smallest and largest value of the y axis; by default those of the lines.
    pub(crate) y_range: Option<(f64, f64)>,
    pub(crate) series: Vec<Series>,
    /// Width and height of the plot without its legend.
    pub(crate) size: (f64, f64),
    pub(crate) legend: bool,
}

const LEFT: f64 = 52.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 44.0;
const RIGHT: f64 = 14.0;
const LEGEND: f64 = 330.0;

impl Scale {
    /// Where a value is within a range: 0 at its begin, 1 at its end.
    pub(crate) fn place(self, value: f64, (from, to): (f64, f64)) -> f64 {
        let place = match self {
            Self::Linear => (value - from) / (to - from),
            Self::Log => (value / from).ln() / (to / from).ln(),
        };
        if place.is_finite() { place } else { 0.0 }
    }

    /// Round values within a range.
    pub(crate) fn ticks(self, (from, to): (f64, f64)) -> Vec<f64> {
        let mut ticks = Vec::new();
        match self {
            Self::Linear => {
                let raw = (to - from) / 5.0;
                let power = 10_f64.powf(raw.log10().floor());
                let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
                let step = steps.into_iter().find(|&step| step >= raw).unwrap_or(raw);
                let mut tick = (from / step).ceil() * step;
                while tick <= to + step * 1e-9 {
                    ticks.push(tick);
                    tick += step;
                }
            }
            Self::Log => {
                let mut power = 10_f64.powf(from.log10().floor());
                while power <= to {
                    // A narrow range needs more of them.
                    let steps: &[f64] = if to / from < 30.0 {
                        &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0]
                    } else {
                        &[1.0, 2.0, 5.0]
                    };
                    let of_power = steps.iter().map(|step| step * power);
                    ticks.extend(
                        of_power.filter(|&tick| tick >= from * 0.999 && tick <= to * 1.001),
                    );
                    power *= 10.0;
                }
            }
        }
        ticks
    }
}

/// As short as it can be: 0.5, 2, 1000.
pub(crate) fn number(value: f64) -> String {
    let rounded = (value * 1e4).round() / 1e4;
    rounded.to_string()
}

/// Text inside of markup.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

impl Plot {
    fn range(&self, of: fn(&(f64, f64)) -> f64) -> (f64, f64) {
        let values = self.series.iter().flat_map(|it| it.points.iter().map(of));
        let (from, to) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(from, to), value| {
            (from.min(value), to.max(value))
        });
        if from < to {
            (from, to)
        } else if from == to {
            (from * 0.5, to * 1.5)
        } else {
            (0.5, 1.5)
        }
    }

    /// The plot as SVG.
    pub(crate) fn svg(&self) -> String {
        let (width, height) = self.size;
        let x_range = self.range(|point| point.0);
        let y_range = self.y_range.unwrap_or_else(|| self.range(|point| point.1));
        let (across, down) = (width - LEFT - RIGHT, height - TOP - BOTTOM);
        let left = |x: f64| LEFT + across * self.x_scale.place(x, x_range);
        let top = |y: f64| TOP + down * (1.0 - self.y_scale.place(y, y_range).clamp(0.0, 1.0));
        let whole = width + if self.legend { LEGEND } else { 0.0 };
        let mut svg = String::new();
        let title = escaped(&self.title);
        let _ = write!(
            svg,
            "<svg viewBox=\"0 0 {whole} {height}\" style=\"max-width:{whole}px\" role=\"img\" aria-label=\"{title}\">\
             <text class=\"title\" x=\"{LEFT}\" y=\"18\">{title}</text>"
        );
        for tick in self.y_scale.ticks(y_range) {
            let y = top(tick);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT + across,
                LEFT - 7.0,
                y + 4.0,
                number(tick)
            );
        }
        let floor = TOP + down;
        for tick in self.x_scale.ticks(x_range) {
            let _ = write!(
                svg,
                "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                left(tick),
                floor + 17.0,
                number(tick)
            );
        }
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{floor:.1}\" y2=\"{floor:.1}\"/>\
             <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text class=\"tick\" x=\"{LEFT}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT + across,
            LEFT + across / 2.0,
            floor + 35.0,
            escaped(self.x),
            TOP - 10.0,
            escaped(self.y),
        );
        for series in &self.series {
            self.line(&mut svg, series, left, top);
        }
        if self.legend {
            self.legend(&mut svg, width);
        }
        svg.push_str("</svg>");
        svg
    }

    fn line(
        &self,
        svg: &mut String,
        series: &Series,
        left: impl Fn(f64) -> f64,
        top: impl Fn(f64) -> f64,
    ) {
        let mut path = String::new();
        for (at, &(x, y)) in series.points.iter().enumerate() {
            let letter = if at == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{:.1} {:.1}", left(x), top(y));
        }
        let _ = write!(svg, "<path class=\"line {}\" d=\"{path}\"/>", series.class);
        for &(x, y) in &series.points {
            let _ = write!(
                svg,
                "<circle class=\"dot {}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"><title>{}: {} at {}</title></circle>",
                series.class,
                left(x),
                top(y),
                escaped(&series.name),
                number(y),
                number(x),
            );
        }
    }

    /// The lines' names beside the plot, in the order of their last points.
    fn legend(&self, svg: &mut String, width: f64) {
        let mut order: Vec<&Series> = self.series.iter().collect();
        let last = |series: &Series| series.points.last().map_or(0.0, |point| point.1);
        order.sort_by(|a, b| last(b).total_cmp(&last(a)));
        for (at, series) in (0_u32..).zip(order) {
            let y = TOP + 12.0 + 22.0 * f64::from(at);
            let _ = write!(
                svg,
                "<line class=\"line {}\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y}\" y2=\"{y}\"/>\
                 <text class=\"name\" x=\"{:.1}\" y=\"{}\">{}</text>",
                series.class,
                width + 10.0,
                width + 38.0,
                width + 46.0,
                y + 4.0,
                escaped(&series.name),
            );
        }
    }
}

/// Bars with their names on the left and values, in percent, at their ends.
pub(crate) fn bars(title: &str, bars: &[(String, &'static str, f64)]) -> String {
    const NAMES: f64 = 330.0;
    const WIDTH: f64 = 760.0;
    let largest = bars.iter().map(|bar| bar.2).fold(0.0, f64::max).max(1e-9);
    let height = 34.0 + 24.0 * f64::from(u32::try_from(bars.len()).unwrap_or(0));
    let title = escaped(title);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" style=\"max-width:{WIDTH}px\" role=\"img\" aria-label=\"{title}\">\
         <text class=\"title\" x=\"0\" y=\"18\">{title}</text>"
    );
    for (at, (name, class, value)) in (0_u32..).zip(bars) {
        let y = 32.0 + 24.0 * f64::from(at);
        let long = (WIDTH - NAMES - 70.0) * value / largest;
        let _ = write!(
            svg,
            "<text class=\"name\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect class=\"bar {class}\" x=\"{NAMES}\" y=\"{y}\" width=\"{:.1}\" height=\"16\" rx=\"2\"/>\
             <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\">{:.1} %</text>",
            NAMES - 8.0,
            y + 12.0,
            escaped(name),
            long.max(1.0),
            NAMES + long + 7.0,
            y + 12.0,
            value * 100.0,
        );
    }
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests;
