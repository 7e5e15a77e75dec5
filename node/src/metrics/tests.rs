use super::*;
use jlb_protocol::NodeNumber;
use jlb_protocol::link::Event;

fn text(status: &Status, mut report: Report) -> String {
    report.configuration = 0xabc;
    let identity = Identity {
        node: "alpha".into(),
        role: "ingress",
        started: 1_700_000_000,
    };
    let metrics = Metrics::new().unwrap();
    metrics.encode(&identity, status, report).unwrap()
}

fn beta() -> NodeNumber {
    NodeNumber::new(2).unwrap()
}

fn status() -> Status {
    Status::new(BTreeMap::from([(beta(), "beta".into())]), [beta()])
}

fn has_line(text: &str, line: &str) -> bool {
    text.lines().any(|found| found == line)
}

#[test]
fn the_books_of_each_layer_are_there_and_their_imbalance() {
    let mut report = Report::default();
    report.link.received = 5;
    report.link.delivered = 3;
    report.link.drop_for(DropReason::BadTag);
    report.role.created = 4;
    report.role.held = 4;
    let text = text(&status(), report);
    for line in [
        r#"jlb_received_total{layer="link"} 5"#,
        r#"jlb_delivered_total{layer="link"} 3"#,
        r#"jlb_dropped_total{layer="link",reason="bad_tag"} 1"#,
        r#"jlb_dropped_total{layer="link",reason="replayed"} 0"#,
        r#"jlb_dropped_total{layer="stack",reason="bad_tag"} 0"#,
        r#"jlb_books_imbalance{layer="link"} 1"#,
        r#"jlb_books_imbalance{layer="role"} 0"#,
        r#"jlb_held{layer="role"} 4"#,
        "# TYPE jlb_received_total counter",
        "# TYPE jlb_held gauge",
    ] {
        assert!(has_line(&text, line), "no {line} in\n{text}");
    }
    for &reason in DropReason::ALL {
        let label = format!("reason=\"{}\"", reason.as_str());
        assert_eq!(text.matches(&label).count(), 3, "{label}");
    }
}

#[test]
fn every_name_has_one_help_and_one_type_line() {
    let mut report = Report::default();
    for host in ["a", "b"] {
        report.gauge("jlb_test", "A test.", &[("host", &host)], 1.5);
    }
    let text = text(&status(), report);
    let mut types: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    let all = types.len();
    types.sort_unstable();
    types.dedup();
    assert_eq!(types.len(), all);
    assert!(has_line(&text, "jlb_test{host=\"b\"} 1.5"), "{text}");
}

#[test]
fn a_label_can_not_break_the_text() {
    let mut report = Report::default();
    report.gauge("jlb_test", "A test.", &[("host", &"a\"\n} 7\\")], 1);
    let text = text(&status(), report);
    assert!(
        has_line(&text, r#"jlb_test{host="a\"\n} 7\\"} 1"#),
        "{text}"
    );
}

#[test]
fn a_node_says_who_it_is_and_whether_it_is_ready() {
    let ready = text(&status(), Report::default());
    assert!(has_line(&ready, "jlb_ready 1"));
    assert!(has_line(
        &ready,
        r#"jlb_config_info{fingerprint="0000000000000abc"} 1"#
    ));
    assert!(ready.contains(r#"node="alpha""#) && ready.contains(r#"role="ingress""#));
    let report = Report {
        not_ready: Some("waiting".into()),
        ..Report::default()
    };
    assert!(has_line(&text(&status(), report), "jlb_ready 0"));
}

#[test]
fn a_peers_configuration_is_not_judged_before_it_is_known() {
    let status = status();
    let before = text(&status, Report::default());
    assert!(has_line(&before, r#"jlb_peer_starts_total{peer="beta"} 0"#));
    assert!(!before.contains("jlb_peer_config_matches"));
    for (same, value) in [(false, 0), (true, 1)] {
        let node = beta();
        status.handle(Event::PeerConfig {
            node,
            fingerprint: 1,
            same,
        });
        let after = text(&status, Report::default());
        let line = format!("jlb_peer_config_matches{{peer=\"beta\"}} {value}");
        assert!(has_line(&after, &line), "no {line}");
    }
}

/// The guide's table is read by people who have nothing else.
#[test]
fn the_operations_guide_has_every_metric_and_drop_reason() {
    let guide = include_str!("../../../docs/operations.md");
    let status = status();
    status.handle(Event::PeerConfig {
        node: beta(),
        fingerprint: 1,
        same: true,
    });
    let text = text(&status, Report::default());
    for (name, help) in text
        .lines()
        .filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '))
    {
        let found = guide
            .lines()
            .any(|line| line.starts_with(&format!("| `{name}` |")) && line.contains(help));
        assert!(found, "docs/operations.md lacks {name}: {help}");
    }
    for source in [
        include_str!("../machine/ingress.rs"),
        include_str!("../machine/flow_tracker.rs"),
        include_str!("../machine/host_agent.rs"),
        include_str!("../data_path/report.rs"),
        include_str!("../data_path/members.rs"),
        include_str!("../health.rs"),
        include_str!("../reload/tally.rs"),
    ] {
        for quoted in source.split('"').filter(|part| part.starts_with("jlb_")) {
            let row = format!("| `{quoted}` |");
            assert!(guide.contains(&row), "docs/operations.md lacks {row}");
        }
    }
    for reason in DropReason::ALL {
        let row = format!("| `{}` |", reason.as_str());
        assert!(guide.contains(&row), "docs/operations.md lacks {row}");
    }
}
