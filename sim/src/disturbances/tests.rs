use super::*;

fn node(number: u16) -> NodeNumber {
    NodeNumber::new(number).unwrap()
}

#[test]
fn a_disturbance_counts_until_the_node_has_settled() {
    let mut all = Disturbances::default();
    let at = Time::from_millis;
    let first = all.begin(at(1000), node(101), Part::Struck);
    all.begin(at(1000), node(102), Part::Touched);
    all.begin(at(5000), node(201), Part::Struck);
    assert_eq!(all.trackers_since(at(2000)), 1);
    all.end(at(2000), first);
    assert_eq!(all.trackers_since(at(3999)), 1);
    assert_eq!(all.trackers_since(at(4001)), 0);
    all.begin(at(3500), node(103), Part::Leaves);
    assert_eq!(all.trackers_since(at(3999)), 1);
    assert_eq!(all.trackers_lost_since(at(3999)), 2);
    assert!(all.concerned_since(node(102), at(9000)));
    assert!(!all.struck_since(node(102), at(9000)));
    assert_eq!(all.last(at(9000), node(201)), Some(at(9000)));
    let early = all.between(at(0), at(4000));
    assert!(early.concerned_since(node(101), at(0)));
    assert!(!early.concerned_since(node(201), at(0)));
    all.end_of(at(7000), node(201));
    assert_eq!(all.last(at(9500), node(201)), Some(at(9000)));
}

#[test]
fn a_start_ends_what_was_wrong_with_the_node_not_what_is_wrong_around_it() {
    let mut all = Disturbances::default();
    let at = Time::from_millis;
    all.begin(at(1000), node(201), Part::Struck);
    let cut = all.begin_outside(at(1500), node(201), Part::Struck);
    all.started(at(2000), node(201));
    assert_eq!(all.last(at(9000), node(201)), Some(at(9000)));
    all.end(at(3000), cut);
    assert_eq!(all.last(at(9000), node(201)), Some(at(3000) + SETTLES));
}
