use crate::ClusterConfig;
use crate::testing::{CLUSTER, cluster, keys};
use std::path::Path;

#[test]
fn order_comments_and_what_concerns_one_node_make_no_difference() {
    let fingerprint = cluster(CLUSTER).fingerprint();
    let (head, tables) = CLUSTER.split_once("\n\n").unwrap();
    let mut tables: Vec<&str> = tables.split("\n\n").collect();
    tables.reverse();
    let reversed = format!("# reversed\n{head}\n\n{}", tables.join("\n\n"));
    assert_eq!(cluster(&reversed).fingerprint(), fingerprint);
    for (from, to) in [
        ("admin = \"127.0.0.1:9000\"", "admin = \"127.0.0.1:9001\""),
        ("admin = \"127.0.0.1:9000\"", "tun = \"vip0\""),
        ("admin = \"127.0.0.1:9000\"", "log = \"debug\""),
        ("cluster.key", "/etc/jlb/other.key"),
        (
            "name = \"shop\"",
            "name = \"shop\"\nport = 6081\nunderlay_mtu = 1500",
        ),
        (
            "[[node]]",
            "[timers]\nlease = \"1m\"\n[limits]\nmax_flows = 1_000_000\n[[node]]",
        ),
        (
            "[\"web-2\", { name = \"web-1\", weight = 3, max_connections = 7 }]",
            "[{ max_connections = 7, weight = 3, name = \"web-1\" }, { name = \"web-2\", weight = 1 }]",
        ),
    ] {
        assert!(CLUSTER.contains(from));
        let changed = CLUSTER.replacen(from, to, 1);
        assert_eq!(cluster(&changed).fingerprint(), fingerprint, "{to}");
    }
}

#[test]
fn every_cluster_wide_setting_makes_a_difference() {
    let mut seen = vec![cluster(CLUSTER).fingerprint()];
    for (from, to) in [
        ("\"shop\"", "\"shop2\""),
        ("name = \"shop\"", "name = \"shop\"\nport = 6082"),
        ("name = \"shop\"", "name = \"shop\"\nunderlay_mtu = 1600"),
        ("[[node]]", "[timers]\nlease = \"61s\"\n[[node]]"),
        ("[[node]]", "[timers]\nhello = \"501ms\"\n[[node]]"),
        ("[[node]]", "[limits]\nmax_flows = 1_000_001\n[[node]]"),
        ("number = 11\n", "number = 13\n"),
        ("\"tr-2\"", "\"tr-3\""),
        ("10.0.0.12", "10.0.0.13"),
        (", \"fd00::2\"", ""),
        ("fd00::2", "fd00::3"),
        ("number = 5\n", "number = 50\n"),
        ("\"https\"", "\"tls\""),
        ("2001:db8::80", "2001:db8::81"),
        ("\"udp\"", "\"tcp\""),
        ("\"any\"\nhosts", "\"1-65535\"\nhosts"),
        ("ports = 443", "ports = \"443-444\""),
        ("[\"web-3\"]", "[\"web-3\", \"web-2\"]"),
        ("weight = 3", "weight = 4"),
        ("max_connections = 7", "max_connections = 8"),
        ("max_connections = 1000", "max_connections = 1001"),
        ("least-connections", "round-robin"),
        ("search_ttl = 2", "search_ttl = 3"),
    ] {
        assert!(CLUSTER.contains(from), "{from}");
        let fingerprint = cluster(&CLUSTER.replacen(from, to, 1)).fingerprint();
        assert!(!seen.contains(&fingerprint), "{to}");
        seen.push(fingerprint);
    }
    let other = ClusterConfig::parse_with_keys(CLUSTER, Path::new("cluster.toml"), keys(9));
    assert!(!seen.contains(&other.unwrap().config.fingerprint()));
}
