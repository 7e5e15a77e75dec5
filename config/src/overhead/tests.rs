use super::*;
use crate::testing::{CLUSTER, cluster};

#[test]
fn ipv4_is_preferred_where_both_ends_have_it() {
    let config = cluster(CLUSTER);
    assert!(!config.ipv6_underlay());
    assert_eq!(usize::from(config.max_inner()), 1500 - data_overhead(false));
    assert_eq!(config.mss(false), config.max_inner() - 40);
    assert_eq!(config.mss(true), config.max_inner() - 60);
}

#[test]
fn one_pair_that_has_only_ipv6_in_common_decides_for_all() {
    // Both families on trackers and ingress nodes, so that a host with IPv6 alone is reached.
    let text = CLUSTER
        .replace("[\"10.0.0.103\"]", "[\"fd00::103\"]")
        .replace("[\"10.0.0.11\"]", "[\"10.0.0.11\", \"fd00::11\"]")
        .replace("[\"10.0.0.12\"]", "[\"10.0.0.12\", \"fd00::12\"]")
        .replace("[\"10.0.0.1\"]", "[\"10.0.0.1\", \"fd00::1\"]");
    let config = cluster(&text);
    assert!(config.ipv6_underlay());
    assert_eq!(usize::from(config.max_inner()), 1500 - data_overhead(true));
}

#[test]
fn nodes_of_one_kind_stand_for_all_of_it() {
    let config = cluster(CLUSTER);
    let pairs: Vec<(&str, &str)> = pairs(config.nodes())
        .map(|(a, b)| (a.name.as_str(), b.name.as_str()))
        .collect();
    assert_eq!(
        pairs,
        [
            ("in-1", "tr-1"),
            ("in-1", "web-1"),
            ("in-2", "tr-1"),
            ("in-2", "web-1"),
            ("tr-1", "web-1"),
            ("tr-1", "tr-2"),
        ]
    );
}

#[test]
fn jumbo_frames_leave_at_most_what_a_buffer_holds() {
    assert_eq!(
        usize::from(max_inner(9000, false)),
        9000 - data_overhead(false)
    );
    assert_eq!(usize::from(max_inner(u16::MAX, false)), MAX_PACKET);
    assert_eq!(max_inner(100, true), 0);
}
