//! A flame graph: callers above those that they call, as wide as their share of all samples.

use std::fmt::Write as _;

use super::Call;
use crate::plot::escaped;

const WIDTH: f64 = 1_030.0;
const TOP: f64 = 28.0;
const STEP: f64 = 17.0;
/// Of a letter, about.
const LETTER: f64 = 6.2;

/// The graph.
pub(super) fn svg(title: &str, root: &Call) -> String {
    let depth = u32::try_from(root.depth()).unwrap_or(u32::MAX);
    let height = TOP + STEP * f64::from(depth);
    let title = escaped(title);
    let mut svg = format!(
        "<svg class=\"flame\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">\
         <text class=\"title\" x=\"0\" y=\"16\">{title} ({} samples)</text>",
        root.samples
    );
    if root.samples > 0 {
        draw(&mut svg, root, root.samples, 0.0, TOP);
    }
    svg.push_str("</svg>");
    svg
}

fn draw(svg: &mut String, call: &Call, all: u64, left: f64, top: f64) {
    let share = |samples: u64| samples as f64 / all as f64;
    let wide = WIDTH * share(call.samples);
    let class = if call.is_kernel { "kernel" } else { "own" };
    let _ = write!(
        svg,
        "<g><title>{}: {:.1} %</title><rect class=\"bar {class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{}\"/>",
        escaped(&call.name),
        share(call.samples) * 100.0,
        (wide - 0.6).max(0.3),
        STEP - 1.0,
    );
    // Half a letter of room on both sides.
    let letters = (wide / LETTER - 1.0).max(0.0) as usize;
    if letters >= 3 {
        let name = short(&call.name);
        let cut: String = name.chars().take(letters).collect();
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            left + 2.0,
            top + 12.0,
            escaped(&cut)
        );
    }
    svg.push_str("</g>");
    let mut left = left;
    for inner in &call.calls {
        draw(svg, inner, all, left, top + STEP);
        left += WIDTH * share(inner.samples);
    }
}

/// The last two words of a path: `jlb_packet_io::tun::Tun::read` is `Tun::read`.
fn short(name: &str) -> &str {
    let mut ends = name.rmatch_indices("::").map(|(at, _)| at + 2);
    ends.next();
    // A path of generics is shown as it is.
    match ends.next() {
        Some(at) if !name.contains('<') => &name[at..],
        _ => name,
    }
}
