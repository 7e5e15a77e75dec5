use super::*;

fn spread(min: f64, median: f64, max: f64) -> Spread {
    Spread { min, median, max }
}

/// The widths of all bars.
fn widths(svg: &str) -> Vec<f64> {
    let bars = svg.split("<rect class=\"bar ").skip(1);
    bars.filter(|bar| !bar.contains("height=\"10\""))
        .map(|bar| {
            let (_, rest) = bar.split_once("width=\"").unwrap();
            rest.split_once('"').unwrap().0.parse().unwrap()
        })
        .collect()
}

#[test]
fn bars_are_as_long_as_their_values() {
    let rows = [
        ("ecmp", spread(0.9, 1.0, 1.25)),
        ("jlb", spread(0.4, 0.5, 0.6)),
    ];
    let svg = ratios("a < b", &rows);
    assert!(svg.contains("a &lt; b"));
    let widths = widths(&svg);
    assert!((widths[0] - 2.0 * widths[1]).abs() < 0.2, "{widths:?}");
    assert!(svg.contains("0.500 (0.400 to 0.600)"));
    assert!(svg.ends_with("</svg>"));
}

#[test]
fn parts_of_a_bar_follow_each_other() {
    let rows = [
        (
            "direct",
            vec![("client", "green", 10.0), ("servers", "violet", 20.0)],
        ),
        (
            "jlb",
            vec![("client", "green", 15.0), ("servers", "violet", 45.0)],
        ),
    ];
    let svg = stacked("parts", &rows);
    let widths = widths(&svg);
    let sum = |at: usize| widths[at] + widths[at + 1];
    assert!((sum(2) - 2.0 * sum(0)).abs() < 0.5, "{widths:?}");
    // Each kind is explained once.
    assert_eq!(svg.matches(">servers</text>").count(), 1);
    assert!(svg.contains(">60.0</text>"));
}

#[test]
fn quantiles_are_dots_from_left_to_right() {
    let rows = [(
        "jlb",
        [
            spread(90.0, 100.0, 110.0),
            spread(900.0, 1_000.0, 1_100.0),
            spread(9_000.0, 10_000.0, 11_000.0),
        ],
    )];
    let svg = latencies("latency", &rows);
    let places: Vec<f64> = svg
        .split("cx=\"")
        .skip(1)
        .map(|rest| rest.split_once('"').unwrap().0.parse().unwrap())
        .collect();
    assert_eq!(places.len(), 3);
    // Ten times as much is as far each time.
    let steps = [places[1] - places[0], places[2] - places[1]];
    assert!(
        (steps[0] - steps[1]).abs() < 0.5 && steps[0] > 50.0,
        "{places:?}"
    );
    assert!(svg.contains("100 / 1000 / 10000"));
}

#[test]
fn nothing_gives_an_empty_chart_without_a_number_that_is_none() {
    for svg in [ratios("", &[]), latencies("", &[]), stacked("", &[])] {
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}

#[test]
fn colours_tell_who_is_who() {
    assert_eq!(class("direct"), "ink");
    assert_eq!(class("dnat"), class("ecmp"));
    assert_eq!(class("envoy"), class("haproxy"));
    assert_eq!(class("jlb"), class("jlb-xdp"));
    assert_ne!(class("jlb"), class("envoy"));
}
