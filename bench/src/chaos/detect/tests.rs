use super::*;

fn plan() -> Plan {
    let counts = Counts {
        ingress: 2,
        trackers: 2,
        hosts: 1,
    };
    Plan::new("abcd".into(), counts, false)
}

#[test]
fn everybody_who_speaks_with_a_node_must_see_its_death() {
    let plan = plan();
    let of = |name: &str| observers(&plan, plan.node(name).unwrap());
    assert_eq!(
        of("tracker-1"),
        BTreeSet::from(["ingress-1", "ingress-2", "tracker-2", "host-1"])
    );
    assert_eq!(
        of("ingress-1"),
        BTreeSet::from(["tracker-1", "tracker-2", "host-1"])
    );
    let turns: Vec<&str> = turns(&plan).iter().map(|node| node.name.as_str()).collect();
    assert_eq!(turns, ["tracker-1", "ingress-1", "tracker-2", "ingress-2"]);
}

#[test]
fn the_first_finding_of_each_observer_counts() {
    let finding = |by: &str, peer: &str, at| Finding {
        at,
        by: by.into(),
        peer: peer.into(),
    };
    let all = vec![
        finding("host-1", "tracker-1", 5),
        finding("host-1", "tracker-1", 9),
        finding("host-1", "tracker-2", 6),
        finding("tracker-1", "tracker-1", 7),
        finding("ingress-1", "tracker-1", 8),
    ];
    let observers = BTreeSet::from(["host-1", "ingress-1"]);
    let times: Vec<i64> = firsts(all, "tracker-1", &observers)
        .iter()
        .map(|f| f.at)
        .collect();
    assert_eq!(times, [5, 8]);
}

#[test]
fn a_late_or_missing_detection_or_an_alarm_is_not_good() {
    let good = || Report {
        kills: 2,
        detection_ms: Spread {
            p50: 350.0,
            p99: 410.0,
            max: 499.9,
        },
        watches: vec![Watch {
            under: "5 % loss".into(),
            seconds: 60,
            lost: Some(1_000),
            machine_pauses: 0,
            false_alarms: Vec::new(),
        }],
        ..Report::default()
    };
    let judged = |mut report: Report| {
        report.judge();
        report.ok
    };
    assert!(judged(good()));
    let mut late = good();
    late.detection_ms.max = 500.0;
    assert!(!judged(late));
    let mut unseen = good();
    unseen.unseen.push("tracker-1, by host-1".into());
    assert!(!judged(unseen));
    let mut alarmed = good();
    alarmed.watches[0]
        .false_alarms
        .push("host-1 by ingress-1".into());
    assert!(alarmed.to_string().contains("PROBLEM  host-1 by ingress-1"));
    assert!(!judged(alarmed));
}

#[test]
fn what_was_lost_is_read_from_the_list_of_rules() {
    let listed = "table inet jlb_loss {\n\tchain in {\n\t\ttype filter hook input priority \
                  filter; policy accept;\n\t\tudp dport 6081 numgen random mod 100 < 5 counter \
                  packets 812 bytes 99000 drop\n\t}\n}\n";
    assert_eq!(counted(listed), 812);
    assert_eq!(counted("table inet jlb_loss {\n}\n"), 0);
}
