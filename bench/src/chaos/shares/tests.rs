use super::*;

fn through(ingress: &str, primary: &str, secondary: &str, host: &str) -> Through {
    Through {
        ingress: (!ingress.is_empty()).then(|| ingress.to_owned()),
        primary: Some(primary.into()),
        secondary: Some(secondary.into()),
        host: host.into(),
    }
}

fn shares() -> Shares {
    Shares(vec![
        through("ingress-1", "tracker-1", "tracker-2", "host-1"),
        through("ingress-2", "tracker-2", "tracker-1", "host-2"),
        through("ingress-2", "tracker-2", "tracker-1", "host-2"),
        through("ingress-2", "tracker-3", "tracker-1", "host-2"),
        through("ingress-1", "tracker-3", "tracker-1", "host-3"),
        through("", "tracker-3", "tracker-2", "host-3"),
    ])
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn the_fault_hits_whom_most_connections_need() {
    let shares = shares();
    assert_eq!(shares.busiest_ingress().as_deref(), Some("ingress-2"));
    assert_eq!(shares.busiest_tracker().as_deref(), Some("tracker-3"));
    assert_eq!(shares.busiest_host().as_deref(), Some("host-2"));
    // Not the busiest tracker of all, but of that ingress.
    let both = shares.busiest_ingress_and_tracker().unwrap();
    assert_eq!(both, ["ingress-2", "tracker-2"]);
    // Primary and secondary in either order.
    assert_eq!(shares.busiest_pair().unwrap(), ["tracker-1", "tracker-2"]);
    assert_eq!(Shares::default().busiest_pair(), None);
}

#[test]
fn shares_are_of_all_connections() {
    let shares = shares();
    assert_eq!(shares.through(&names(&["ingress-2"])), 0.5);
    assert_eq!(
        shares.through(&names(&["ingress-2", "tracker-3"])),
        5.0 / 6.0
    );
    assert_eq!(
        shares.through_both(&names(&["tracker-1", "tracker-2"])),
        0.5
    );
    assert_eq!(shares.through_both(&names(&["tracker-1"])), 0.0);
    assert_eq!(Shares::default().through(&names(&["ingress-1"])), 0.0);
}

#[test]
fn only_what_was_seen_twice_can_have_changed() {
    let live: Vec<Live> = (1..=5)
        .map(|port| Live {
            local: ([198, 51, 100, 10], port).into(),
            target: ([203, 0, 113, 10], 80).into(),
            host: "host-1".into(),
        })
        .collect();
    let seen = |of: &[(usize, u16)]| -> Seen {
        of.iter()
            .map(|&(at, ingress)| (live[at].local, ingress))
            .collect()
    };
    let before = seen(&[(0, 11), (1, 11), (2, 12), (3, 13)]);
    let after = seen(&[(0, 11), (1, 12), (2, 12), (3, 11), (4, 11)]);
    assert_eq!(changed_ingress(&before, &after, &live), 0.5);
    assert_eq!(changed_ingress(&before, &Seen::new(), &live), 0.0);
}

#[test]
fn a_flow_has_the_trackers_that_the_nodes_would_ask() {
    let counts = crate::plan::Counts {
        ingress: 1,
        trackers: 3,
        hosts: 1,
    };
    let plan = Plan::new(format!("v{}", std::process::id()), counts, false);
    std::fs::create_dir_all(plan.directory()).unwrap();
    cluster_file::write(&plan, cluster_file::Services::of("round-robin")).unwrap();
    let ranker = Ranker::of(&plan);
    std::fs::remove_dir_all(plan.directory()).unwrap();
    let ranker = ranker.unwrap();
    let live: Vec<Live> = (1..=900)
        .map(|port| Live {
            local: ([198, 51, 100, 10], port).into(),
            target: ([203, 0, 113, 10], 80).into(),
            host: "host-1".into(),
        })
        .collect();
    let seen: Seen = live.iter().map(|live| (live.local, 11)).collect();
    let all = trackers(plan.all());
    let shares = Shares::of(&plan, &live, &seen, &ranker, &all).unwrap();
    for tracker in &all {
        let share = shares.through(std::slice::from_ref(&tracker.name));
        assert!((0.25..0.42).contains(&share), "{}: {share}", tracker.name);
    }
    assert_eq!(shares.through(&names(&["ingress-1"])), 1.0);
    // Without the primary, the secondary takes its place.
    let fewer = Shares::of(&plan, &live, &seen, &ranker, &all[1..]).unwrap();
    for (with, without) in shares.0.iter().zip(&fewer.0) {
        if with.primary.as_ref() == Some(&all[0].name) {
            assert_eq!(with.secondary, without.primary);
        } else {
            assert_eq!(with.primary, without.primary);
        }
    }
}
