use super::*;
use crate::testbed::{HASH_KEY, config, host, tracker, view, view_with, web};
use jlb_protocol::MemberState;

const FLOW: FlowHash = FlowHash(1);

fn nodes(hosts: u16) -> Nodes {
    Nodes::new(tracker(1), HASH_KEY, view(1, hosts))
}

fn pools(hosts: u16, change: impl Fn(&mut PoolHost)) -> Pools {
    let mut config = config(tracker(1), hosts);
    for service in &mut config.services {
        service.hosts.iter_mut().for_each(&change);
    }
    Pools::new(&config.services, 5)
}

fn report(connections: u32, room: u32) -> ServiceLoad {
    ServiceLoad {
        service: web(),
        connections,
        room,
        load: 1,
        healthy: true,
    }
}

fn take(pools: &mut Pools, nodes: &Nodes, tried: &Tried) -> Option<NodeNumber> {
    let pool = pools.get_mut(web()).unwrap();
    let chosen = pool.choose(nodes, FLOW, tried)?;
    pool.assigned(chosen);
    Some(chosen)
}

#[test]
fn hosts_that_were_tried_or_are_not_active_are_not_chosen() {
    let mut pools = pools(4, |_| {});
    let view = view_with(&view(1, 4), host(1), MemberState::Draining);
    let view = view_with(&view, host(2), MemberState::Joining);
    let nodes = Nodes::new(tracker(1), HASH_KEY, view);
    let mut tried = Tried::NONE;
    tried.push(host(3));
    for _ in 0..5 {
        assert_eq!(take(&mut pools, &nodes, &tried), Some(host(4)));
    }
    tried.push(host(4));
    assert_eq!(take(&mut pools, &nodes, &tried), None);
    assert!(pools.get(web()).unwrap().has_active_host(&nodes));
}

#[test]
fn a_host_believed_full_is_asked_after_all_others() {
    let mut pools = pools(2, |_| {});
    let nodes = nodes(2);
    let mut tried = Tried::NONE;
    tried.push(host(1));
    pools.report(host(1), &report(10, 2));
    pools.report(host(2), &report(10, 0));
    // What was offered since the report counts against the room.
    assert_eq!(take(&mut pools, &nodes, &Tried::NONE), Some(host(1)));
    assert_eq!(take(&mut pools, &nodes, &Tried::NONE), Some(host(1)));
    pools.report(host(2), &report(10, 1));
    assert_eq!(take(&mut pools, &nodes, &Tried::NONE), Some(host(2)));
    // Only a host's own word refuses a client: it is asked where no other is left.
    assert_eq!(take(&mut pools, &nodes, &tried), Some(host(2)));
    pools.report(host(1), &report(12, u32::MAX));
    for _ in 0..5 {
        assert_eq!(take(&mut pools, &nodes, &Tried::NONE), Some(host(1)));
    }
}

#[test]
fn a_host_at_its_configured_limit_is_asked_after_all_others() {
    let mut pools = pools(2, |host| host.max_connections = Some(3));
    let nodes = nodes(2);
    pools.report(host(2), &report(3, u32::MAX));
    for _ in 0..3 {
        assert_eq!(take(&mut pools, &nodes, &Tried::NONE), Some(host(1)));
    }
    pools.report(host(2), &report(2, u32::MAX));
    assert_eq!(take(&mut pools, &nodes, &Tried::NONE), Some(host(2)));
}

#[test]
fn a_new_configuration_keeps_what_is_known_of_hosts_that_stay() {
    let mut pools = pools(2, |_| {});
    pools.report(host(1), &report(7, 9));
    pools.report(host(2), &report(8, 9));
    let mut services = config(tracker(1), 3).services;
    services[0].hosts.remove(1);
    services[0].hosts[0].weight = 5;
    pools.reconfigure(&services);
    let known: Vec<_> = pools
        .loads()
        .filter(|load| load.service == web())
        .map(|load| (load.host, load.connections))
        .collect();
    assert_eq!(known, [(host(1), 7), (host(3), 0)]);
    let pool = pools.get(web()).unwrap();
    assert_eq!(pool.hosts[0].config.weight, 5);
    assert_eq!(pool.hosts[0].room, 9);
}

#[test]
fn a_new_policy_takes_the_place_of_the_old_one() {
    let mut pools = pools(2, |_| {});
    let mut services = config(tracker(1), 2).services;
    services[0].policy = crate::config::PolicyKind::LeastConnections;
    pools.reconfigure(&services);
    let pool = pools.get(web()).unwrap();
    assert_eq!(pool.chooser.kind(), services[0].policy);
}

#[test]
fn a_report_for_another_pool_is_not_taken() {
    let mut pools = pools(2, |_| {});
    assert!(!pools.report(host(3), &report(1, 1)));
    let unknown = ServiceLoad {
        service: ServiceNumber::new(99).unwrap(),
        ..report(1, 1)
    };
    assert!(!pools.report(host(1), &unknown));
}
