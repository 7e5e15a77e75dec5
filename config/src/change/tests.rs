use super::*;
use crate::testing::{CLUSTER, cluster, keys};
use jlb_host_agent::config::Admission;
use std::path::Path;

/// The cluster of this crate's tests with `to` in place of the first `from`.
fn changed(from: &str, to: &str) -> ClusterConfig {
    assert!(CLUSTER.contains(from), "{from}");
    cluster(&CLUSTER.replacen(from, to, 1))
}

/// The settings that the node of that name refuses.
fn refused(name: &str, new: &ClusterConfig) -> Vec<String> {
    let changes = cluster(CLUSTER).fixed_changes(new, name);
    changes.into_iter().map(|change| change.setting).collect()
}

#[test]
fn each_setting_that_a_running_node_can_not_change_is_named() {
    let limit = |name: &str| format!("[limits]\n{name} = 900_000\n[[node]]");
    let limits =
        FIXED_LIMITS.map(|name| ("[[node]]", limit(name), format!("`{name}` of [limits]")));
    let own = |from, to: &str, setting: &str| (from, to.to_owned(), setting.to_owned());
    let others = [
        own(
            "name = \"shop\"",
            "name = \"shop-2\"",
            "`name` of [cluster]",
        ),
        own(
            "name = \"shop\"",
            "name = \"shop\"\nunderlay_mtu = 1600",
            "`underlay_mtu` of [cluster]",
        ),
        own(
            "name = \"shop\"",
            "name = \"shop\"\nport = 6082",
            "`port` of [cluster]",
        ),
        own(
            "name = \"shop\"",
            "name = \"shop\"\nmembership = \"static\"",
            "`membership` of [cluster]",
        ),
        own("number = 1\n", "number = 3\n", "`number` of this node"),
        own(
            "underlay = [\"10.0.0.1\"]",
            "underlay = [\"10.0.0.9\"]",
            "`underlay` of this node",
        ),
        own(
            "admin = \"127.0.0.1:9000\"",
            "admin = \"127.0.0.1:9001\"",
            "`admin` of this node",
        ),
        own(
            "admin = \"127.0.0.1:9000\"",
            "admin = \"127.0.0.1:9000\"\ntun = \"vip0\"",
            "`tun` of this node",
        ),
        own(
            "admin = \"127.0.0.1:9000\"",
            "admin = \"127.0.0.1:9000\"\npacket_io = \"af_xdp\"\nxdp_interfaces = [\"eth0\"]",
            "`packet_io` of this node",
        ),
        own(
            "admin = \"127.0.0.1:9000\"",
            "admin = \"127.0.0.1:9000\"\nworkers = 2",
            "`workers` of this node",
        ),
        own("name = \"in-1\"", "name = \"in-9\"", "[[node]] `in-1`"),
        own(
            "vip = \"2001:db8::80\"",
            "vip = \"2001:db8::81\"",
            "`vip` of service number 5",
        ),
        own(
            "protocol = \"udp\"",
            "protocol = \"tcp\"",
            "`protocol` of service number 5",
        ),
    ];
    for (from, to, setting) in limits.into_iter().chain(others) {
        assert_eq!(refused("in-1", &changed(from, &to)), [setting]);
    }
}

#[test]
fn the_role_the_hash_secret_and_the_largest_packet_are_named() {
    let new = changed(
        "name = \"in-1\"\nrole = \"ingress\"",
        "name = \"in-1\"\nrole = \"flow-tracker\"",
    );
    assert_eq!(refused("in-1", &new), ["`role` of this node"]);
    let role = "name = \"web-1\"\nrole = \"host-agent\"";
    let new = changed(
        role,
        &format!("{role}\nxdp_strip = true\nxdp_interfaces = [\"eth0\"]"),
    );
    assert_eq!(refused("web-1", &new), ["`xdp_strip` of this node"]);
    assert_eq!(refused("in-1", &new), [""; 0]);
    let new = ClusterConfig::parse_with_keys(CLUSTER, Path::new("cluster.toml"), keys(2));
    let new = new.unwrap().config;
    let changes = cluster(CLUSTER).fixed_changes(&new, "in-1");
    assert_eq!(
        changes[0].to_string(),
        "`hash` of the key file cannot change from one secret to another in a node that runs"
    );
    // A tracker and an ingress that have only IPv6 in common.
    let both = CLUSTER
        .replace("[\"10.0.0.11\"]", "[\"10.0.0.11\", \"fd00::11\"]")
        .replace("[\"10.0.0.12\"]", "[\"10.0.0.12\", \"fd00::12\"]")
        .replace("[\"10.0.0.10", "[\"fd00::10")
        .replace("[\"fd00::101\"]", "[\"10.0.0.101\", \"fd00::101\"]")
        .replace("[\"fd00::102\"]", "[\"10.0.0.102\", \"fd00::102\"]")
        .replace("[\"10.0.0.1\"]", "[\"10.0.0.1\", \"fd00::1\"]");
    let settings = refused("in-2", &cluster(&both));
    assert_eq!(settings.len(), 1, "{settings:?}");
    assert!(settings[0].starts_with("the largest inner packet"));
}

#[test]
fn a_change_is_told_with_both_values() {
    let new = changed("name = \"shop\"", "name = \"shop\"\nport = 6082");
    let changes = cluster(CLUSTER).fixed_changes(&new, "tr-1");
    assert_eq!(
        changes[0].to_string(),
        "`port` of [cluster] cannot change from 6081 to 6082 in a node that runs"
    );
}

#[test]
fn all_else_is_live() {
    let limits = cluster(CLUSTER).limits.entries();
    let live: Vec<&str> = limits
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| !FIXED_LIMITS.contains(name))
        .collect();
    assert_eq!(
        live,
        [
            "max_nodes",
            "max_pending_packets_per_flow",
            "max_pending_bytes",
            "max_untrusted",
            "max_outbox",
        ]
    );
    let live = "max_nodes = 100\nmax_pending_packets_per_flow = 32\nmax_pending_bytes = \"1MiB\"\n\
                max_untrusted = 2_048\nmax_outbox = 2_048\n";
    let timers = "[timers]\nlease = \"2m\"\nheartbeat = \"50ms\"\nleave = \"1s\"\n";
    for (from, to) in [
        ("[[node]]", format!("[limits]\n{live}[[node]]")),
        ("[[node]]", format!("{timers}[[node]]")),
        ("\"least-connections\"", "\"random\"".into()),
        ("search_ttl = 2", "search_ttl = 3".into()),
        ("max_connections = 1000", "max_connections = 9".into()),
        ("weight = 3", "weight = 4".into()),
        ("\"web-2\", {", "\"web-3\", {".into()),
        ("[\"web-3\"]", "\"any\"".into()),
        ("ports = 443", "ports = \"440-450\"".into()),
        ("number = 6", "number = 7".into()),
        ("10.0.0.11", "10.0.0.19".into()),
        (
            "name = \"web-1\"\nrole",
            "log = \"debug\"\nname = \"web-1\"\nrole".into(),
        ),
        ("cluster.key", "other.key".into()),
    ] {
        let new = changed(from, &to);
        assert_eq!(refused("in-1", &new), [""; 0], "{to}");
        assert_ne!(new, cluster(CLUSTER), "{to}");
    }
    let without = CLUSTER.rsplit_once("[[service]]").unwrap().0;
    assert_eq!(refused("in-1", &cluster(without)), [""; 0]);
}

#[test]
fn comments_and_the_order_of_tables_change_nothing() {
    let same = cluster(&format!("# a comment\n{CLUSTER}"));
    assert_eq!(same, cluster(CLUSTER));
}

#[test]
fn a_host_that_is_taken_out_of_a_pool_keeps_what_it_has() {
    let old = cluster(CLUSTER);
    let new = changed("[\"web-2\", {", "[{");
    let host = old.node("web-2").unwrap().number;
    let number = |number| ServiceNumber::new(number).unwrap();
    let none = BTreeSet::new();
    let left = old.services_left(&new, host, &none);
    assert_eq!(left, BTreeSet::from([number(4)]));
    // Also after the next change of something else.
    assert_eq!(new.services_left(&new, host, &left), left);
    let config = new.host_agent_after("web-2", 1, &left).unwrap();
    assert_eq!(config.services.len(), 1);
    assert_eq!(config.services[0].admission, Admission::max_connections(0));
    assert_eq!(
        new.vips_with(host, &none),
        [""; 0].map(|_: &str| old.vips()[0])
    );
    assert_eq!(new.vips_with(host, &left), old.vips_of(host));
    // It comes back.
    assert_eq!(new.services_left(&old, host, &left), none);
    // A service that nobody has any more is no more.
    let without = CLUSTER.replace("number = 4", "number = 14");
    assert_eq!(old.services_left(&cluster(&without), host, &left), none);
}
