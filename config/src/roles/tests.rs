use super::*;
use crate::testing::{CLUSTER, cluster};
use jlb_flow_tracker::config::{Overload, PolicyKind};
use std::time::Duration;

#[test]
fn an_ingress_knows_every_service() {
    let config = cluster(CLUSTER);
    let ingress = config.ingress("in-1").unwrap();
    assert_eq!(ingress.node.get(), 1);
    let numbers: Vec<u32> = ingress.services.iter().map(|it| it.number.get()).collect();
    assert_eq!(numbers, [4, 5, 6]);
    assert_eq!(ingress.services[0].search_ttl, 2);
    assert_eq!(ingress.services[1].search_ttl, 4);
    assert_eq!(ingress.max_inner, config.max_inner());
    assert_eq!(ingress.limits.max_pending_bytes, 32 << 20);
    assert_eq!(ingress.timers.open_retry, Duration::from_millis(20));
    assert_eq!(ingress.timers.who_has, Duration::from_millis(200));
    assert_eq!(ingress.dead_host, Some(Duration::from_secs(15)));
    let hosts: Vec<(u16, u16)> = ingress.services[0]
        .hosts
        .iter()
        .map(|host| (host.node.get(), host.weight))
        .collect();
    assert_eq!(hosts, [(102, 1), (101, 3)]);
    assert!(!ingress.services[0].any_host);
}

#[test]
fn a_tracker_knows_weights_and_limits_of_hosts() {
    let tracker = cluster(CLUSTER).flow_tracker("tr-2").unwrap();
    assert_eq!(tracker.node.get(), 12);
    let http = &tracker.services[0];
    assert_eq!(http.policy, PolicyKind::LeastConnections);
    let hosts: Vec<(u16, u16, Option<u32>)> = http
        .hosts
        .iter()
        .map(|host| (host.node.get(), host.weight, host.max_connections))
        .collect();
    assert_eq!(hosts, [(102, 1, Some(1000)), (101, 3, Some(7))]);
    assert_eq!(tracker.services[1].hosts[0].max_connections, None);
    assert_eq!(tracker.timers.lease, Duration::from_secs(60));
    assert_eq!(tracker.dead_host, Some(Duration::from_secs(15)));
    assert_eq!((http.any_host, http.max_unhealthy_percent), (false, 50));
    assert!(!http.direct_hunt);
    let text = CLUSTER.replacen("search_ttl = 2", "search_ttl = 2\nhunt = \"direct\"", 1);
    let tracker = cluster(&text).flow_tracker("tr-1").unwrap();
    let hunts: Vec<bool> = tracker.services.iter().map(|it| it.direct_hunt).collect();
    assert_eq!(hunts.iter().filter(|&&hunts| hunts).count(), 1);
    assert!(hunts[0]);
}

#[test]
fn what_is_said_of_hosts_that_fail_reaches_the_roles() {
    let text = CLUSTER.replacen(
        "[[node]]",
        "[timers]\ndead_host_reset = \"never\"\n[[node]]",
        1,
    );
    let text = text.replacen(
        "search_ttl = 2",
        "search_ttl = 2\nmax_unhealthy_percent = 20\nmin_life_percent = 30\nslow_start = \"2m\"",
        1,
    );
    let config = cluster(&text.replacen("hosts = [\"web-3\"]", "hosts = \"any\"", 1));
    let tracker = config.flow_tracker("tr-1").unwrap();
    assert_eq!(tracker.dead_host, None);
    let [first, second] = tracker.services.first_chunk().unwrap();
    assert_eq!(
        (first.max_unhealthy_percent, first.min_life_percent),
        (20, 30)
    );
    assert_eq!(first.slow_start, Some(Duration::from_secs(120)));
    assert_eq!((second.min_life_percent, second.slow_start), (15, None));
    assert!(tracker.services[1].any_host);
    let ingress = config.ingress("in-1").unwrap();
    assert!(ingress.services[1].any_host && ingress.dead_host.is_none());
    // A host that no service lists is in the one that takes any.
    let host = config.host_agent("web-2", 1).unwrap();
    let services: Vec<u32> = host.services.iter().map(|it| it.number.get()).collect();
    assert_eq!(services, [4, 5]);
}

#[test]
fn a_host_agent_knows_its_own_services_only() {
    let config = cluster(CLUSTER);
    let host = config.host_agent("web-1", 77).unwrap();
    assert_eq!((host.node.get(), host.incarnation), (101, 77));
    let services: Vec<(u32, Admission)> = host
        .services
        .iter()
        .map(|it| (it.number.get(), it.admission))
        .collect();
    assert_eq!(
        services,
        [
            (4, Admission::max_connections(7)),
            (6, Admission::default())
        ]
    );
    let other = config.host_agent("web-3", 77).unwrap();
    let services: Vec<u32> = other.services.iter().map(|it| it.number.get()).collect();
    assert_eq!(services, [5]);
}

#[test]
fn overload_policies_have_offers_of_their_own() {
    let with = |lines: &str| {
        let text = CLUSTER.replacen("search_ttl = 2", &format!("search_ttl = 2\n{lines}"), 1);
        let config = cluster(&text);
        let tracker = config.flow_tracker("tr-1").unwrap().services[0].clone();
        let ingress = config.ingress("in-1").unwrap().services[0].clone();
        assert_eq!(tracker.search_ttl, ingress.search_ttl);
        (tracker, ingress, config)
    };
    let (tracker, _, config) = with("overload = \"must-accept\"");
    assert_eq!((tracker.search_ttl, tracker.overload_steps), (2, 0));
    assert!(config.host_agent("web-1", 1).unwrap().services[0].must_accept);
    let (tracker, _, config) = with("overload = \"queue\"\nqueue_timeout = \"40ms\"");
    assert_eq!((tracker.search_ttl, tracker.overload_steps), (10, 8));
    assert_eq!(tracker.overload, Overload::Queue(Duration::from_millis(40)));
    assert!(!config.host_agent("web-1", 1).unwrap().services[0].must_accept);
    let (tracker, ingress, config) = with("overload = \"pool\"\noverflow = [\"web-3\"]");
    assert_eq!((tracker.search_ttl, tracker.overload_steps), (4, 2));
    let overflow = tracker.hosts.iter().map(|host| host.overflow);
    assert_eq!(overflow.collect::<Vec<_>>(), [false, false, true]);
    let overflow = ingress.hosts.iter().map(|host| host.overflow);
    assert_eq!(overflow.collect::<Vec<_>>(), [false, false, true]);
    // It serves the VIP as the others do.
    let services = config.host_agent("web-3", 1).unwrap().services;
    assert!(services.iter().any(|service| service.number.get() == 4));
}

#[test]
fn a_host_agent_is_told_what_to_look_at_as_shares() {
    let text = CLUSTER.replacen(
        "search_ttl = 2",
        "search_ttl = 2\nhealth = { kind = \"http\" }\nadmission = { accept_queue = 9, cpu_percent = 100, \
         memory_percent = 50, load_percent = 1, latency = \"30ms\", adaptive = true }",
        1,
    );
    let host = cluster(&text).host_agent("web-1", 77).unwrap();
    let expected = Admission {
        max_connections: Some(7),
        adaptive: true,
        accept_queue: Some(9),
        cpu: Some(65_535),
        memory: Some(32_767),
        load: Some(655),
        latency: Some(Duration::from_millis(30)),
    };
    assert_eq!(host.services[0].admission, expected);
}

#[test]
fn a_wrong_name_or_role_says_what_would_be_right() {
    let config = cluster(CLUSTER);
    let error = config.ingress("in-3").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the cluster file has no node `in-3`; did you mean `in-1`?"
    );
    let error = config.flow_tracker("nothing-like-it").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the cluster file has no node `nothing-like-it`; nodes with the role flow-tracker: \
         `tr-1`, `tr-2`"
    );
    let error = config.host_agent("tr-1", 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "node `tr-1` has the role flow-tracker, not host-agent; start it with `jlb flow-tracker`"
    );
}
