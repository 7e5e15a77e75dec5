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
        (
            "admin = \"127.0.0.1:9000\"",
            "packet_io = \"af_xdp\"\nxdp_interfaces = [\"eth0\"]",
        ),
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
fn nodes_may_join_without_a_difference_where_membership_is_dynamic() {
    let text = CLUSTER.replace("hosts = [\"web-3\"]", "hosts = \"any\"");
    let fingerprint = cluster(&text).fingerprint();
    let more = "[[node]]\nnumber = 104\nname = \"web-4\"\nrole = \"host-agent\"\n\
                underlay = [\"10.0.0.104\"]\n\n[[node]]";
    let joined = text.replacen("[[node]]", more, 1);
    assert_eq!(cluster(&joined).services()[1].hosts.len(), 4);
    assert_eq!(cluster(&joined).fingerprint(), fingerprint);
    let limited = text.replacen("hosts = \"any\"", "hosts = \"any\"\nmax_connections = 5", 1);
    assert_ne!(cluster(&limited).fingerprint(), fingerprint);
    let fixed = |text: &str| {
        let text = text.replacen("\"shop\"", "\"shop\"\nmembership = \"static\"", 1);
        cluster(&text).fingerprint()
    };
    assert_ne!(fixed(&text), fingerprint);
    assert_ne!(fixed(&joined), fixed(&text));
}

#[test]
fn every_cluster_wide_setting_makes_a_difference() {
    let fixed = CLUSTER.replacen("\"shop\"", "\"shop\"\nmembership = \"static\"", 1);
    let mut seen = vec![
        cluster(CLUSTER).fingerprint(),
        cluster(&fixed).fingerprint(),
    ];
    assert_ne!(seen[0], seen[1]);
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
        ("search_ttl = 2", "search_ttl = 2\nhunt = \"direct\""),
        ("search_ttl = 2", "search_ttl = 2\noverload = \"queue\""),
        (
            "search_ttl = 2",
            "search_ttl = 2\noverload = \"queue\"\nqueue_timeout = \"2s\"",
        ),
        (
            "search_ttl = 2",
            "search_ttl = 2\nshadow_policy = \"random\"",
        ),
        (
            "search_ttl = 2",
            "search_ttl = 2\noverload = \"must-accept\"",
        ),
        (
            "search_ttl = 2",
            "search_ttl = 2\noverload = \"pool\"\noverflow = [\"web-3\"]",
        ),
        (
            "search_ttl = 2",
            "search_ttl = 2\nmax_unhealthy_percent = 49",
        ),
        ("search_ttl = 2", "search_ttl = 2\nmin_life_percent = 14"),
        ("search_ttl = 2", "search_ttl = 2\nslow_start = \"30s\""),
        ("search_ttl = 2", "search_ttl = 2\nslow_start = \"31s\""),
        (
            "search_ttl = 2",
            "search_ttl = 2\nhealth = { kind = \"tcp\" }",
        ),
        (
            "search_ttl = 2",
            "search_ttl = 2\nhealth = { kind = \"http\" }",
        ),
        (
            "search_ttl = 2",
            "search_ttl = 2\nhealth = { kind = \"http\", path = \"/x\" }",
        ),
        (
            "search_ttl = 2",
            "search_ttl = 2\nhealth = { kind = \"tcp\", address = \"127.0.0.1:81\" }",
        ),
        (
            "search_ttl = 2",
            "search_ttl = 2\nhealth = { kind = \"tcp\", rise = 4 }",
        ),
        (
            "search_ttl = 2",
            "search_ttl = 2\nhealth = { kind = \"tcp\", fall = 4 }",
        ),
        (
            "search_ttl = 2",
            "search_ttl = 2\nhealth = { kind = \"tcp\", interval = \"2s\" }",
        ),
        (
            "search_ttl = 2",
            "search_ttl = 2\nhealth = { kind = \"http\" }\nadmission = { accept_queue = 16 }",
        ),
        (
            "search_ttl = 2",
            "search_ttl = 2\nhealth = { kind = \"http\" }\nadmission = { load_percent = 80 }",
        ),
        (
            "search_ttl = 2",
            "search_ttl = 2\nhealth = { kind = \"http\" }\nadmission = { cpu_percent = 80 }",
        ),
        (
            "search_ttl = 2",
            "search_ttl = 2\nhealth = { kind = \"http\" }\nadmission = { memory_percent = 80 }",
        ),
        (
            "search_ttl = 2",
            "search_ttl = 2\nhealth = { kind = \"http\" }\nadmission = { latency = \"50ms\" }",
        ),
        (
            "search_ttl = 2",
            "search_ttl = 2\nhealth = { kind = \"http\" }\nadmission = { adaptive = true }",
        ),
        ("[\"web-3\"]", "\"any\""),
        (
            "[[node]]",
            "[timers]\ndead_host_reset = \"never\"\n[[node]]",
        ),
        ("[[node]]", "[timers]\nheartbeat = \"90ms\"\n[[node]]"),
    ] {
        assert!(fixed.contains(from), "{from}");
        let fingerprint = cluster(&fixed.replacen(from, to, 1)).fingerprint();
        assert!(!seen.contains(&fingerprint), "{to}");
        seen.push(fingerprint);
    }
    let other = ClusterConfig::parse_with_keys(CLUSTER, Path::new("cluster.toml"), keys(9));
    assert!(!seen.contains(&other.unwrap().config.fingerprint()));
}
