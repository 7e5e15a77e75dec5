use super::*;
use crate::policies::combination::{Combination, Who};
use jlb_flow_tracker::policy::PolicyKind;
use jlb_queueing::Cluster;

fn sections() -> Vec<Section> {
    let setting = Cluster {
        jobs: 2_000,
        warm_up: 200,
        ..Cluster::srlb(0.7)
    };
    let line = |combination: Combination| Line {
        combination,
        setting: String::new(),
        cluster: setting.clone(),
        expected: None,
    };
    let reports = setting.reports;
    let name = |name, lines| Section {
        name,
        title: name.to_owned(),
        lines,
    };
    vec![
        name("one", vec![line(Combination::known(Who::JoinShortest))]),
        name(
            "two",
            vec![
                line(Combination::tracker(PolicyKind::TwoChoices, reports)),
                line(Combination::tracker(PolicyKind::LeastConnections, reports)),
            ],
        ),
    ]
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let run = |threads| measure(&sections(), &[3, 4, 5], 100.0, threads, &|_| {});
    let one = run(1);
    assert_eq!(one, run(7));
    let rows: Vec<_> = one.iter().map(|table| table.rows.len()).collect();
    assert_eq!(rows, [1, 2]);
    assert_eq!(one[1].rows[0].policy, "two-choices");
    assert!(one[1].rows[0].mean.plus_minus > 0.0);
    let others = measure(&sections(), &[6, 7, 8], 100.0, 2, &|_| {});
    assert_ne!(one, others);
}
