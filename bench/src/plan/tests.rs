use std::collections::BTreeSet;

use super::*;

#[test]
fn the_largest_lab_has_no_number_and_no_address_twice() {
    let most = MAX_NODES_OF_A_KIND;
    let counts = Counts {
        ingress: most,
        trackers: most,
        hosts: most,
    };
    let plan = Plan::new("abcd".into(), counts, false);
    assert_eq!(plan.nodes.len(), 3 * usize::from(most));
    let numbers: BTreeSet<u16> = plan.nodes.iter().map(|node| node.number).collect();
    let addresses: BTreeSet<_> = plan.nodes.iter().map(|node| node.addresses.v4).collect();
    assert_eq!(numbers.len(), plan.nodes.len());
    assert_eq!(addresses.len(), plan.nodes.len());
    assert!(!addresses.contains(&Plan::router_inside().v4));
}

#[test]
fn names_fit_an_interface() {
    let counts = Counts {
        ingress: 32,
        trackers: 32,
        hosts: 32,
    };
    let plan = Plan::new("abcd".into(), counts, false);
    assert!(plan.nodes.iter().all(|node| node.name.len() < 16));
}

#[test]
fn kinds_come_in_order() {
    let plan = Plan::new(
        "x".into(),
        Counts {
            ingress: 1,
            trackers: 2,
            hosts: 1,
        },
        true,
    );
    let names: Vec<_> = plan.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["ingress-1", "tracker-1", "tracker-2", "host-1"]);
    assert_eq!(plan.namespace("host-1"), "jlb-x-host-1");
    assert_eq!(plan.node("tracker-2").map(|node| node.number), Some(62));
}
