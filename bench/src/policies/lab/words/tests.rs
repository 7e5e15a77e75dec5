use super::*;
use crate::policies::combination::Combination;
use jlb_flow_tracker::policy::PolicyKind;
use jlb_queueing::{Cluster, Fault, Host, Reports};

const NAMES: [&str; 2] = ["host-1", "host-2"];

fn line(combination: Combination) -> Line {
    let mut cluster = Cluster::srlb(0.7);
    cluster.hosts = vec![Host::new(2.0); 2];
    cluster.hosts[1].speed = 2.0;
    cluster.hosts[1].weight = 3;
    Line {
        combination,
        setting: String::new(),
        cluster,
        expected: None,
    }
}

fn reports(on_change: Option<f64>) -> Reports {
    Reports {
        interval: 1.0,
        on_change,
    }
}

#[test]
fn a_combination_is_said_in_words_of_the_cluster_file() {
    let base = Combination::tracker(PolicyKind::LeastConnections, reports(Some(0.1)));
    let threshold = base.admitting(Admits::Threshold(1.5), 3);
    let words = Words::of(&line(threshold), &NAMES, 50.0);
    assert_eq!(words.policy, "least-connections");
    assert_eq!(
        words.tcp_lines,
        ["search_ttl = 3", "overload = \"must-accept\""]
    );
    assert_eq!(
        words.hosts,
        "[{ name = \"host-1\", weight = 1, max_connections = 3 }, \
         { name = \"host-2\", weight = 3, max_connections = 6 }]"
    );
    assert_eq!(
        words.timer_lines,
        [
            "load_interval = \"50000us\"",
            "load_interval_min = \"5000us\""
        ]
    );
    let adaptive = base.admitting(Admits::Adaptive, 2);
    let words = Words::of(&line(adaptive), &NAMES, 50.0);
    assert!(
        words
            .tcp_lines
            .contains(&"admission = { adaptive = true }".to_owned())
    );
    assert!(!words.hosts.contains("max_connections"));
}

#[test]
fn every_line_of_the_lab_is_a_valid_cluster_file() {
    use crate::cluster_file;
    use crate::plan::{Counts, Plan};
    use crate::policies::lab::plan::sections;
    let options = crate::policies::for_tests::options(&["--in", "lab"]).in_lab();
    let counts = Counts {
        ingress: 2,
        trackers: 4,
        hosts: options.hosts,
    };
    let plan = Plan::new(format!("w{}", std::process::id()), counts, false);
    std::fs::create_dir_all(plan.directory()).unwrap();
    cluster_file::write(&plan, Services::of("random")).unwrap();
    let names: Vec<String> = (1..=options.hosts)
        .map(|nth| format!("host-{nth}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut different = Vec::new();
    for line in sections(&options).iter().flat_map(|section| &section.lines) {
        let words = Words::of(line, &names, 50.0);
        let replaced = cluster_file::replace(&plan, words.services());
        assert!(replaced.is_ok(), "{words:?}: {replaced:?}");
        different.extend(replaced);
    }
    let _ = std::fs::remove_dir_all(plan.directory());
    different.sort_unstable();
    different.dedup();
    assert!(different.len() > 20, "{}", different.len());
}

#[test]
fn only_a_fault_that_is_to_be_noticed_has_a_health_check() {
    let base = Combination::tracker(PolicyKind::Random, reports(None));
    let with = |noticed| {
        let mut line = line(base);
        line.cluster.hosts[0].fault = Some(Fault { from: 0.0, noticed });
        let words = Words::of(&line, &NAMES, 50.0);
        words
            .tcp_lines
            .iter()
            .any(|line| line.starts_with("health"))
    };
    assert!(with(Some(8.0)) && !with(None));
    let words = Words::of(&line(base), &NAMES, 50.0);
    assert_eq!(words.timer_lines[1], "load_interval_min = \"1h\"");
}
