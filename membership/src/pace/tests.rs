use super::*;
use crate::testbed::{config, millis};

#[test]
fn a_small_cluster_has_the_configured_paces() {
    let paces = Paces::new(&config(1), 20, 100);
    let fast = Pace {
        interval: millis(100),
        timeout: millis(400),
    };
    let host = Pace {
        interval: millis(200),
        timeout: millis(800),
    };
    assert_eq!(paces.with(Role::Ingress), fast);
    assert_eq!(paces.with(Role::FlowTracker), fast);
    assert_eq!(paces.with(Role::HostAgent), host);
    assert_eq!(paces.pause(), fast.timeout);
    assert_eq!(paces.acquaintance(), host.timeout);
    let paces = Paces::new(&config(201), 0, 20);
    assert_eq!(paces.with(Role::FlowTracker), host);
    assert_eq!(paces.pause(), host.timeout);
    assert_eq!(paces.pulse(), host.interval);
}

#[test]
fn a_silent_peer_is_asked_from_five_eighths_of_the_timeout_on() {
    let pace = Paces::new(&config(1), 1, 1).with(Role::Ingress);
    assert_eq!(pace.patience(), millis(250));
    assert_eq!(pace.probe_interval(), millis(20));
    assert_eq!(pace.deaf_timeout(), millis(800));
}

#[test]
fn however_many_peers_there_are_the_hellos_are_bounded() {
    for fast in [0, 1, 10, 100, 149, 150, 400, 3_000, 65_000] {
        for host in [0, 1, 10, 100, 500, 1_000, 65_000] {
            let paces = Paces::new(&config(1), fast, host);
            let (to_fast, to_host) = (paces.with(Role::Ingress), paces.with(Role::HostAgent));
            let hellos = rate(to_fast, fast) + rate(to_host, host);
            assert!(hellos <= HELLOS_PER_SECOND, "{fast} {host}: {hellos}");
            for pace in [to_fast, to_host] {
                assert_eq!(pace.timeout, pace.interval * 4);
            }
            assert!(to_fast.interval >= millis(100) && to_host.interval >= millis(200));
        }
    }
}

#[test]
fn a_large_cluster_without_many_hosts_keeps_its_detection() {
    let paces = Paces::new(&config(1), 149, 1_000);
    assert_eq!(paces.with(Role::Ingress).timeout, millis(400));
    assert_eq!(paces.with(Role::HostAgent).timeout, millis(1_800));
    let paces = Paces::new(&config(1), 4, 1_000);
    assert_eq!(paces.with(Role::HostAgent).timeout, millis(1_100));
}
