use super::*;

#[test]
fn each_case_does_what_it_measures() {
    for case in Case::all(&[1, 100]) {
        let mut run = case.prepare().unwrap();
        let done = run.run(100).unwrap();
        match case.unit() {
            Unit::Packet => assert_eq!(done, 128, "{}", case.name()),
            Unit::Flow => assert_eq!(done, 100),
        }
    }
}

#[test]
fn names_are_told_apart() {
    let mut names: Vec<_> = Case::all(&[1, 100]).iter().map(Case::name).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn packets_are_of_all_flows_and_in_no_order() {
    let mut source = Source::new(1_000);
    let mut taken: Vec<_> = (0..1_000).map(|_| source.take().to_vec()).collect();
    assert_eq!(source.take(), taken[0]);
    let mut flows: Vec<_> = (0..1_000).map(ack).collect();
    assert_ne!(taken, flows);
    taken.sort();
    flows.sort();
    assert_eq!(taken, flows);
}

#[test]
fn packets_that_are_lost_are_an_error() {
    assert!(expect(31, 32, "found").is_err());
    assert!(expect(32, 32, "found").is_ok());
}
