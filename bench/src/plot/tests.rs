use super::*;

fn plot(points: Vec<(f64, f64)>) -> Plot {
    Plot {
        title: "a < b".to_owned(),
        x: "load",
        y: "",
        x_scale: Scale::Linear,
        y_scale: Scale::Log,
        y_range: None,
        series: vec![Series {
            name: "one & all".to_owned(),
            class: "blue",
            points,
        }],
        size: (400.0, 300.0),
        legend: true,
    }
}

#[test]
fn a_line_runs_from_corner_to_corner_of_its_range() {
    let svg = plot(vec![(0.0, 1.0), (0.5, 10.0), (1.0, 100.0)]).svg();
    // 400 wide less 52 and 14, 300 high less 34 and 44: the middle of a log axis is 10.
    assert!(
        svg.contains("d=\"M52.0 256.0L219.0 145.0L386.0 34.0\""),
        "{svg}"
    );
    assert!(svg.contains("a &lt; b") && svg.contains("one &amp; all"));
}

#[test]
fn ticks_are_round() {
    assert_eq!(
        Scale::Log.ticks((0.9, 60.0)),
        [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]
    );
    let linear = Scale::Linear.ticks((0.3, 0.98));
    let linear: Vec<String> = linear.into_iter().map(number).collect();
    assert_eq!(linear, ["0.4", "0.6", "0.8"]);
}

#[test]
fn nothing_and_a_single_point_are_drawn_too() {
    assert!(!plot(Vec::new()).svg().contains("NaN"));
    assert!(!plot(vec![(0.5, 2.0)]).svg().contains("NaN"));
}
