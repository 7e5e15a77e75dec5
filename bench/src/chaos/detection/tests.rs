use super::*;

#[test]
fn a_time_stamp_is_read_to_the_microsecond() {
    assert_eq!(micros("1970-01-01T00:00:00.000001Z"), Some(1));
    // `date -d 2024-02-29T12:34:56Z +%s`
    assert_eq!(
        micros("2024-02-29T12:34:56.5Z"),
        Some(1_709_210_096_500_000)
    );
    assert_eq!(micros("2026-11-20T10:29:27Z"), Some(1_795_170_567_000_000));
    assert_eq!(micros("yesterday"), None);
    assert_eq!(micros("2026-11-20 10:29:27"), None);
}

#[test]
fn only_what_a_log_says_since_then_counts() {
    let log = std::env::temp_dir().join(format!("jlb-downs-{}.log", std::process::id()));
    let text = "\
2026-11-20T10:00:00.000000Z  WARN jlb_node::status: peer is down peer=\"tracker-1\"
2026-11-20T10:00:01.250000Z  WARN jlb_node::status: peer is down peer=\"tracker-2\" silent=0.4
2026-11-20T10:00:01.300000Z  INFO jlb_node::status: peer is active peer=\"tracker-2\"
2026-11-20T10:00:01.350000Z  WARN jlb_node::status: peer is down peer=host-1 silent=1
not a line of a log: peer is down
";
    fs::write(&log, text).unwrap();
    let since = micros("2026-11-20T10:00:01Z").unwrap();
    let found = findings_of("ingress-1", &log, DOWN, since);
    fs::remove_file(&log).unwrap();
    let peers: Vec<&str> = found.iter().map(|down| down.peer.as_str()).collect();
    assert_eq!(peers, ["tracker-2", "host-1"]);
    assert_eq!(found[0].at - since, 250_000);
}

#[test]
fn detection_is_from_the_first_to_the_last_who_saw_it() {
    let down = |by: &str, peer: &str, at| Finding {
        at,
        by: by.into(),
        peer: peer.into(),
    };
    let downs = [
        down("host-1", "tracker-1", 350_000),
        down("ingress-1", "tracker-1", 420_040),
        // Its own view after its restart, somebody else, and a second finding.
        down("tracker-1", "tracker-2", 900_000),
        down("host-1", "host-2", 950_000),
        down("host-1", "tracker-1", 990_000),
        down("ingress-1", "tracker-2", 380_000),
    ];
    let counts = crate::plan::Counts {
        ingress: 1,
        trackers: 3,
        hosts: 2,
    };
    let plan = Plan::new("abcd".into(), counts, false);
    let lost = ["tracker-1".to_owned(), "tracker-2".to_owned()];
    let detection = detection(&plan, &downs, &lost, 10_000).unwrap();
    assert_eq!(
        (detection.first, detection.last),
        (Some(370.0), Some(410.0))
    );
    assert_eq!(detection.last_with_host, Some(340.0));
    assert_eq!(detection.seen, 3);
    let alone = super::detection(&plan, &downs, &["host-2".to_owned()], 0).unwrap();
    assert_eq!((alone.last, alone.last_with_host), (None, Some(950.0)));
    assert!(super::detection(&plan, &downs, &["tracker-9".to_owned()], 0).is_none());
}

#[test]
fn the_machine_stood_still_only_if_every_node_noticed() {
    let noticed = [
        vec![1_000_000, 9_000_000],
        vec![1_150_000, 5_000_000],
        vec![900_000, 9_100_000],
    ];
    assert_eq!(common(&noticed), [1_000_000]);
    assert_eq!(common(&[]), Vec::<i64>::new());
    assert_eq!(common(&[vec![7], Vec::new()]), Vec::<i64>::new());
}
