use crate::testing::{CLUSTER, cluster, loaded};
use jlb_protocol::{NodeNumber, ServiceNumber};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// The cluster of this crate's tests with more lines of web-1, and another weight of it in `http`.
fn with(lines: &str, weight: u16) -> String {
    let web = "name = \"web-1\"\nrole";
    assert!(CLUSTER.contains(web));
    CLUSTER
        .replace(web, &format!("name = \"web-1\"\n{lines}\nrole"))
        .replace("weight = 3", &format!("weight = {weight}"))
}

fn numbers(services: &[ServiceNumber]) -> Vec<u32> {
    services.iter().map(|service| service.get()).collect()
}

#[test]
fn a_host_is_drained_of_a_service_by_a_weight_of_0() {
    let config = cluster(&with("drain_timeout = \"10m\"", 0));
    let agent = config.host_agent("web-1", 1).unwrap();
    assert!(!agent.drain.all);
    assert_eq!(numbers(&agent.drain.services), [4]);
    assert_eq!(agent.drain.timeout, Some(Duration::from_secs(600)));
    // It has the service all the same, and so have those that ask it.
    assert_eq!(agent.services.len(), 2);
    let weights = |hosts: Vec<(u16, u16)>| hosts;
    let tracker = config.flow_tracker("tr-1").unwrap();
    let hosts = tracker.services[0].hosts.iter();
    let hosts = hosts.map(|host| (host.node.get(), host.weight));
    assert_eq!(weights(hosts.collect()), [(102, 1), (101, 0)]);
    let ingress = config.ingress("in-1").unwrap();
    let hosts = ingress.services[0].hosts.iter();
    let hosts = hosts.map(|host| (host.node.get(), host.weight));
    assert_eq!(weights(hosts.collect()), [(102, 1), (101, 0)]);
}

#[test]
fn a_node_that_drains_has_no_weight_anywhere() {
    let (text, plain) = (with("drain = true", 3), with("drain = false", 3));
    let config = loaded(&text);
    let warning = config.warnings.render(crate::Style::Plain);
    assert!(
        warning.contains("service `https` takes no new connections: all its hosts drain"),
        "{warning}"
    );
    let config = config.config;
    assert!(config.node("web-1").unwrap().drain);
    let agent = config.host_agent("web-1", 1).unwrap();
    assert!(agent.drain.all && agent.drain.services.is_empty());
    assert_eq!(agent.drain.timeout, None);
    let tracker = config.flow_tracker("tr-1").unwrap();
    let weight_of = |service: usize| {
        let mut hosts = tracker.services[service].hosts.iter();
        hosts.find(|it| it.node.get() == 101).map(|it| it.weight)
    };
    assert_eq!((weight_of(0), weight_of(2)), (Some(0), Some(0)));
    // Without it the file is as one that does not speak of it.
    assert_eq!(cluster(&plain), cluster(CLUSTER));
    assert_ne!(config.fingerprint(), cluster(CLUSTER).fingerprint());
    // Of the same effect, and so of the same fingerprint.
    let by_weight = with("", 0).replace(
        "hosts = [\"web-1\"]",
        "hosts = [{ name = \"web-1\", weight = 0 }]",
    );
    assert_eq!(config.fingerprint(), cluster(&by_weight).fingerprint());
    // How long connections may go on is the node's own.
    let timeout = with("drain_timeout = \"5s\"", 3);
    assert_eq!(
        cluster(&timeout).fingerprint(),
        cluster(CLUSTER).fingerprint()
    );
    assert_ne!(cluster(&timeout), cluster(CLUSTER));
}

#[test]
fn a_host_drains_of_services_that_it_has_left() {
    let config = cluster(CLUSTER);
    let left = BTreeSet::from([ServiceNumber::new(6).unwrap()]);
    let agent = config.host_agent_after("web-2", 1, &left).unwrap();
    assert_eq!(numbers(&agent.drain.services), [6]);
}

#[test]
fn all_of_it_is_live() {
    let changed = [with("drain = true\ndrain_timeout = \"1s\"", 3), with("", 0)];
    for text in changed {
        for name in ["web-1", "tr-1", "in-1"] {
            let (old, new) = (cluster(CLUSTER), cluster(&text));
            assert_eq!(old.fixed_changes(&new, name), []);
            assert_eq!(new.fixed_changes(&old, name), []);
        }
    }
    // A host with a weight of 0 has not left the service.
    let host = NodeNumber::new(101).unwrap();
    let (old, new) = (cluster(CLUSTER), cluster(&with("", 0)));
    assert!(old.services_left(&new, host, &BTreeSet::new()).is_empty());
}

#[test]
fn with_a_static_membership_a_tracker_can_not_drain_and_others_can() {
    let text = CLUSTER.replace(
        "name = \"shop\"",
        "name = \"shop\"\nmembership = \"static\"",
    );
    let drained = |node: &str| {
        let line = format!("name = \"{node}\"\n");
        let text = text.replacen(&line, &format!("{line}drain = true\n"), 1);
        let keys = crate::testing::keys(1);
        crate::ClusterConfig::parse_with_keys(&text, Path::new("cluster.toml"), keys)
    };
    let error = drained("tr-1").unwrap_err().to_string();
    assert!(
        error.contains("with a static membership a flow-tracker cannot drain"),
        "{error}"
    );
    let host = drained("web-2").unwrap().config;
    // Everybody's file tells of it, so everybody's fingerprint does.
    assert_ne!(host.fingerprint(), cluster(&text).fingerprint());
    assert!(drained("in-1").unwrap().config.node("in-1").unwrap().drain);
}
