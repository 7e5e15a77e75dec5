use super::*;
use crate::side_by_side::for_tests::turn;

#[test]
fn a_spread_has_the_least_the_middle_and_the_largest() {
    let spread = |values: &[f64]| Spread::of(values.iter().copied());
    assert_eq!(spread(&[]), None);
    let three = spread(&[3.0, 1.0, 2.0]).unwrap();
    assert_eq!([three.min, three.median, three.max], [1.0, 2.0, 3.0]);
    let four = spread(&[4.0, 1.0, 2.0, 10.0]).unwrap();
    assert_eq!([four.min, four.median, four.max], [1.0, 3.0, 10.0]);
}

/// The machine halves its speed in the second round: rates say little, and what is paired all.
#[test]
fn ratios_are_of_turns_of_the_same_round() {
    let runs = [
        turn("keepalive", "direct", 0, 100.0),
        turn("keepalive", "jlb", 0, 80.0),
        turn("keepalive", "jlb", 1, 40.0),
        turn("keepalive", "direct", 1, 50.0),
    ];
    let runs: Vec<&Run> = runs.iter().collect();
    let line = Line::of("jlb", &runs).unwrap();
    let ratio = line.ratio.unwrap();
    assert_eq!([ratio.min, ratio.median, ratio.max], [0.8; 3]);
    assert_eq!([line.rate.min, line.rate.max], [40.0, 80.0]);
    // 2e6 / rate, less that of direct: 5,000 and 10,000.
    let added = line.added_us.unwrap();
    assert_eq!([added.min, added.max], [5_000.0, 10_000.0]);
    let direct = Line::of("direct", &runs).unwrap();
    assert_eq!(direct.ratio.unwrap().min, 1.0);
    assert!(direct.is_direct() && !line.is_direct());
}

#[test]
fn a_round_without_direct_gives_no_ratio() {
    let runs = [turn("keepalive", "jlb", 0, 80.0)];
    let runs: Vec<&Run> = runs.iter().collect();
    let line = Line::of("jlb", &runs).unwrap();
    assert_eq!(line.ratio, None);
    assert_eq!(line.added_us, None);
    assert_eq!(Line::of("dnat", &runs), None);
}

#[test]
fn errors_of_all_turns_are_added_and_the_balancers_time_is_its_own() {
    let mut runs = [
        turn("keepalive", "jlb", 0, 80.0),
        turn("keepalive", "jlb", 1, 80.0),
    ];
    for (run, count) in runs.iter_mut().zip([2, 3]) {
        run.errors.insert("reset".to_owned(), count);
        run.first_errors.push(format!("{count} resets"));
    }
    let runs: Vec<&Run> = runs.iter().collect();
    let line = Line::of("jlb", &runs).unwrap();
    assert_eq!(line.failed(), 5);
    assert_eq!(line.first_errors.len(), 2);
    let own: Vec<&str> = line.balancer_us().map(|it| it.0).collect();
    assert_eq!(own, ["agents", "ingress"]);
    assert_eq!(line.packets.unwrap().median, 2.0);
}
