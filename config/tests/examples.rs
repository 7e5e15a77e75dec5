//! The example files parse, say everything, and mean what they say.

#![allow(clippy::unwrap_used, clippy::panic)]

use jlb_config::{
    ClusterConfig, HealthCheck, HealthKind, Keys, Limits, Loaded, MessageKey, Timers,
};
use std::path::Path;
use std::time::Duration;

fn keys() -> Keys {
    let key = MessageKey {
        id: 1,
        secret: [2; 16],
    };
    Keys::new([1; 16], vec![key]).unwrap()
}

fn load(file: &str) -> (String, Loaded) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let loaded = ClusterConfig::parse_with_keys(&text, &path, keys())
        .unwrap_or_else(|error| panic!("{error}"));
    (text, loaded)
}

#[test]
fn every_example_is_valid_and_without_warnings() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut files: Vec<String> = std::fs::read_dir(examples)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    files.sort();
    assert_eq!(files, ["full.toml", "ipv6.toml", "minimal.toml"]);
    for file in files {
        let (_, loaded) = load(&file);
        let warnings = loaded.warnings.render(jlb_config::Style::Plain);
        assert!(warnings.is_empty(), "{file}: {warnings}");
    }
}

#[test]
fn full_names_every_timer_and_limit_with_its_default() {
    let (text, loaded) = load("full.toml");
    assert_eq!(loaded.config.timers, Timers::default());
    assert_eq!(loaded.config.limits, Limits::default());
    let timers = Timers::default()
        .entries()
        .into_iter()
        .map(|(name, _)| name);
    let limits = Limits::default()
        .entries()
        .into_iter()
        .map(|(name, _)| name);
    for name in timers.chain(limits) {
        let line = format!("\n{name} = ");
        let at = text
            .find(&line)
            .unwrap_or_else(|| panic!("full.toml lacks {name}"));
        let comment: String = text[..at]
            .lines()
            .rev()
            .take_while(|line| line.starts_with('#'))
            .collect();
        assert!(
            comment.contains("oo small") || comment.contains("small:"),
            "{name}"
        );
        assert!(
            comment.contains("oo large") || comment.contains("large:"),
            "{name}"
        );
    }
}

#[test]
fn full_shows_every_key_of_each_table() {
    let (text, _) = load("full.toml");
    for key in [
        "name",
        "key_file",
        "underlay_mtu",
        "port",
        "membership",
        "number",
        "role",
        "underlay",
        "admin",
        "tun",
        "log",
        "drain",
        "drain_timeout",
        "vip",
        "protocol",
        "ports",
        "hosts",
        "policy",
        "search_ttl",
        "hunt",
        "overload",
        "shadow_policy",
        "overflow",
        "queue_timeout",
        "max_connections",
        "admission",
        "health",
        "max_unhealthy_percent",
        "min_life_percent",
        "slow_start",
    ] {
        assert!(
            text.contains(&format!("\n{key} = ")),
            "full.toml lacks {key}"
        );
    }
}

#[test]
fn full_shows_every_key_of_a_health_check_with_its_default() {
    let (_, loaded) = load("full.toml");
    let shown = loaded.config.services()[0].health.clone();
    let defaults = HealthCheck {
        kind: HealthKind::Http { path: "/".into() },
        address: "127.0.0.1:80".parse().unwrap(),
        interval: Duration::from_secs(1),
        timeout: Duration::from_millis(500),
        rise: 2,
        fall: 3,
    };
    assert_eq!(shown, Some(defaults));
    let text = include_str!("../examples/minimal.toml");
    let text = text.replace("ports = 80", "ports = 80\nhealth = { kind = \"http\" }");
    let minimal = ClusterConfig::parse_with_keys(&text, Path::new("cluster.toml"), keys());
    assert_eq!(minimal.unwrap().config.services()[0].health, shown);
}

#[test]
fn defaults_are_those_of_the_full_file() {
    let (_, full) = load("full.toml");
    let (_, minimal) = load("minimal.toml");
    assert_eq!(minimal.config.underlay_mtu, full.config.underlay_mtu);
    assert_eq!(minimal.config.port, full.config.port);
    assert_eq!(minimal.config.timers, full.config.timers);
    assert_eq!(minimal.config.limits, full.config.limits);
    let (ours, theirs) = (&minimal.config.services()[0], &full.config.services()[0]);
    assert_eq!(ours.policy, theirs.policy);
    assert_eq!(ours.search_ttl, theirs.search_ttl);
    assert_eq!(ours.overload, theirs.overload);
    assert_eq!(ours.max_unhealthy_percent, theirs.max_unhealthy_percent);
    assert_eq!(ours.min_life_percent, theirs.min_life_percent);
    assert_eq!(minimal.config.membership, full.config.membership);
    assert_eq!(ours.hosts[0].weight, 1);
    assert_eq!(ours.hosts[0].max_connections, None);
    let (ours, theirs) = (&minimal.config.nodes()[0], &full.config.nodes()[0]);
    assert_eq!(
        (ours.admin, &ours.tun, ours.log),
        (theirs.admin, &theirs.tun, theirs.log)
    );
    assert_eq!(minimal.config.timers.open_retry, Duration::from_millis(20));
}

#[test]
fn an_ipv6_underlay_leaves_less_than_an_ipv4_one() {
    let (_, v4) = load("minimal.toml");
    let (_, v6) = load("ipv6.toml");
    assert!(!v4.config.ipv6_underlay());
    assert!(v6.config.ipv6_underlay());
    assert_eq!(v4.config.max_inner() - v6.config.max_inner(), 20);
    assert!(v6.config.max_inner() >= 1280);
}
