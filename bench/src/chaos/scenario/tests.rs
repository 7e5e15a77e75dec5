use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::chaos::shares::Through;
use crate::plan::{Counts, Plan};

fn cast() -> Cast {
    let counts = Counts {
        ingress: 3,
        trackers: 3,
        hosts: 4,
    };
    let spares = Counts {
        ingress: 1,
        trackers: 1,
        hosts: 2,
    };
    Cast::of(&Plan::new("abcd".into(), counts, false).with_spares(spares))
}

fn how() -> How {
    How {
        detect: Duration::from_millis(100),
        away: Duration::from_secs(2),
        agent_away: Duration::from_millis(100),
        pause: Duration::from_secs(3),
        newcomers: true,
        older: Some(PathBuf::from("/old/jlb")),
    }
}

/// Connections, spread evenly, with one more at the second node of each kind.
fn shares() -> Shares {
    let through = |i: usize| Through {
        ingress: Some(format!("ingress-{}", i % 3 + 1)),
        primary: Some(format!("tracker-{}", i / 3 % 3 + 1)),
        secondary: Some(format!("tracker-{}", (i / 3 + 1) % 3 + 1)),
        host: format!("host-{}", i % 4 + 1),
    };
    // The last is at ingress-2 and host-2, and has tracker-2 and tracker-3.
    Shares((0..288).chain([301]).map(through).collect())
}

fn script(scenario: Scenario) -> Script {
    scenario.script(&shares(), &cast(), &how()).unwrap()
}

#[test]
fn names_are_unique_and_every_scenario_has_its_words() {
    let names: BTreeSet<&str> = Scenario::ALL.iter().map(|s| s.name()).collect();
    assert_eq!(names.len(), Scenario::ALL.len());
    assert!(Scenario::ALL.iter().all(|s| !s.what().is_empty()));
    let without = How {
        older: None,
        ..how()
    };
    let possible = Scenario::ALL.iter().filter(|s| s.is_possible(&without));
    assert_eq!(possible.count(), Scenario::ALL.len() - 1);
    let static_list = How {
        newcomers: false,
        ..how()
    };
    let possible = Scenario::ALL.iter().filter(|s| s.is_possible(&static_list));
    assert_eq!(possible.count(), Scenario::ALL.len() - 4);
}

#[test]
fn whatever_is_killed_or_stopped_is_started_again_and_routed() {
    for scenario in Scenario::ALL {
        let script = script(scenario);
        let steps: Vec<Step> = scenario
            .prelude(&cast(), &how())
            .into_iter()
            .chain(script.fault)
            .chain(script.after)
            .collect();
        let (mut up, mut routed) = (BTreeSet::new(), BTreeSet::new());
        let cast = cast();
        up.extend(cast.everybody());
        routed.extend(["ingress-1", "ingress-2", "ingress-3"].map(str::to_owned));
        let before = (up.clone(), routed.clone());
        let mut ending = BTreeSet::new();
        for step in steps {
            match step {
                Step::Kill(names) | Step::Terminate(names) => {
                    up.retain(|name| !names.contains(name));
                    ending.extend(names);
                }
                Step::Ended(names) => ending.retain(|name| !names.contains(name)),
                Step::Start(names) => {
                    for name in names {
                        assert!(!ending.contains(&name), "{scenario:?}: {name} twice");
                        assert!(up.insert(name), "{scenario:?}");
                    }
                }
                Step::StartFor(name, _) => assert!(up.insert(name), "{scenario:?}"),
                Step::Withdraw(names) => routed.retain(|name| !names.contains(name)),
                Step::Admit(names) => {
                    assert!(names.iter().all(|name| up.contains(name)), "{scenario:?}");
                    routed.extend(names);
                }
                Step::Pause(_)
                | Step::Resume(_)
                | Step::Ready(_)
                | Step::StartServer(_)
                | Step::Unplug(_)
                | Step::Plug(_)
                | Step::Program(_)
                | Step::Look
                | Step::Wait(_) => {}
            }
        }
        assert_eq!((up, routed), before, "{scenario:?}");
        assert!(ending.is_empty(), "{scenario:?}: {ending:?}");
    }
}

#[test]
fn the_router_drops_a_dead_ingress_after_the_time_of_detection() {
    let fault = script(Scenario::KillIngress).fault;
    let victim = vec!["ingress-2".to_owned()];
    assert_eq!(
        fault[..3],
        [
            Step::Kill(victim.clone()),
            Step::Wait(Duration::from_millis(100)),
            Step::Withdraw(victim.clone()),
        ]
    );
    assert_eq!(fault.last(), Some(&Step::Admit(victim)));
}

#[test]
fn faults_hit_a_third_of_the_connections_or_more() {
    for scenario in Scenario::ALL {
        let script = script(scenario);
        assert!(
            script.share >= script.least_share,
            "{scenario:?}: {} of {:?}",
            script.share,
            script.hit
        );
    }
    let both = script(Scenario::KillIngressAndTracker);
    assert_eq!(both.lost(), ["ingress-2", "tracker-2"]);
    assert!(both.share > 0.5);
    let pair = script(Scenario::KillPair);
    assert_eq!(pair.lost(), ["tracker-2", "tracker-3"]);
    assert!((0.33..0.35).contains(&pair.share), "{}", pair.share);
    let agents = script(Scenario::KillAllAgents);
    assert_eq!(agents.share, 1.0);
    assert!(agents.fault.contains(&Step::Wait(how().agent_away)));
    assert_eq!(script(Scenario::KillHost).dead_hosts, ["host-2"]);
}

#[test]
fn nobody_to_hit_is_no_script() {
    let none = Shares::default();
    assert_eq!(Scenario::KillIngress.script(&none, &cast(), &how()), None);
    let counts = Counts {
        ingress: 1,
        trackers: 1,
        hosts: 1,
    };
    let alone = Cast::of(&Plan::new("abcd".into(), counts, false));
    for scenario in [
        Scenario::AddIngress,
        Scenario::AddTracker,
        Scenario::ReshufflePlain,
    ] {
        assert_eq!(scenario.script(&shares(), &alone, &how()), None);
    }
}
