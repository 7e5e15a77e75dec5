use super::*;
use crate::testbed::{HASH_KEY, config, host, tracker, view, view_with, web};
use jlb_protocol::{MemberState, Time};

const FLOW: FlowHash = FlowHash(1);

fn nodes(hosts: u16) -> Nodes {
    Nodes::new(tracker(1), HASH_KEY, view(1, hosts), None, Time::ZERO)
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
    let is_active = |host| nodes.is_active_host(host);
    let chosen = pool.choose(is_active, FLOW, tried, false)?;
    pool.assigned(chosen);
    Some(chosen)
}

#[test]
fn hosts_that_were_tried_or_are_not_active_are_not_chosen() {
    let mut pools = pools(4, |_| {});
    let view = view_with(&view(1, 4), host(1), MemberState::Draining);
    let view = view_with(&view, host(2), MemberState::Joining);
    let nodes = Nodes::new(tracker(1), HASH_KEY, view, None, Time::ZERO);
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
fn a_host_that_is_new_in_a_pool_is_asked_last_until_it_reports() {
    let mut pools = pools(2, |_| {});
    let nodes = nodes(3);
    pools.reconfigure(&config(tracker(1), 3).services);
    let chosen = |pools: &mut Pools| {
        let chosen = (0..12).filter_map(|_| take(pools, &nodes, &Tried::NONE));
        chosen.filter(|&chosen| chosen == host(3)).count()
    };
    assert_eq!(chosen(&mut pools), 0);
    // It is asked where no other is left.
    let mut tried = Tried::NONE;
    tried.push(host(1));
    tried.push(host(2));
    assert_eq!(take(&mut pools, &nodes, &tried), Some(host(3)));
    assert!(pools.report(host(3), &report(0, u32::MAX)));
    assert!(chosen(&mut pools) > 0);
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

fn ill(connections: u32) -> ServiceLoad {
    ServiceLoad {
        healthy: false,
        ..report(connections, u32::MAX)
    }
}

#[test]
fn an_unhealthy_host_is_asked_after_all_others() {
    let mut pools = pools(3, |_| {});
    let nodes = nodes(3);
    pools.report(host(1), &ill(0));
    // Even those without room come before it.
    pools.report(host(2), &report(10, 0));
    let mut tried = Tried::NONE;
    for expected in [3, 2, 1] {
        assert_eq!(take(&mut pools, &nodes, &tried), Some(host(expected)));
        tried.push(host(expected));
    }
    assert_eq!(take(&mut pools, &nodes, &tried), None);
    // It is well again.
    pools.report(host(1), &report(0, 9));
    let chosen: Vec<_> = (0..2)
        .map(|_| take(&mut pools, &nodes, &Tried::NONE))
        .collect();
    assert!(chosen.contains(&Some(host(1))));
}

#[test]
fn health_is_ignored_where_too_much_of_the_weight_is_unhealthy() {
    let nodes = nodes(3);
    // Hosts 1 and 2 are ill: two thirds of the weight, or four fifths, or none that is in service.
    let cases = [
        (67, 1, MemberState::Active, false),
        (66, 1, MemberState::Active, true),
        (79, 2, MemberState::Active, true),
        (80, 2, MemberState::Active, false),
        (0, 1, MemberState::Draining, false),
        (100, 1, MemberState::Active, false),
        (0, 1, MemberState::Active, true),
    ];
    for (percent, weight, state, is_ignored) in cases {
        let mut config = config(tracker(1), 3);
        for service in &mut config.services {
            service.max_unhealthy_percent = percent;
            service.hosts[0].weight = weight;
            service.hosts[1].weight = weight;
        }
        let mut pools = Pools::new(&config.services, 5);
        pools.report(host(1), &ill(0));
        pools.report(host(2), &ill(0));
        let mut view = view(1, 3);
        for number in [1, 2] {
            view = view_with(&view, host(number), state);
        }
        let here = Nodes::new(tracker(1), HASH_KEY, view, None, Time::ZERO);
        let chosen: Vec<_> = (0..9)
            .filter_map(|_| take(&mut pools, &here, &Tried::NONE))
            .collect();
        let to_the_ill = chosen.iter().any(|&chosen| chosen != host(3));
        assert_eq!(to_the_ill, is_ignored, "{percent} {weight} {state:?}");
        let mut tried = Tried::NONE;
        tried.push(host(3));
        let last = take(&mut pools, &nodes, &tried);
        assert!(
            last.is_some(),
            "the ill are asked where nobody else is left"
        );
    }
}

#[test]
fn hosts_join_a_pool_for_any_by_their_reports() {
    let mut config = config(tracker(1), 0);
    for service in &mut config.services {
        service.any_host = true;
    }
    let mut pools = Pools::new(&config.services, 5);
    let all = nodes(3);
    assert_eq!(take(&mut pools, &all, &Tried::NONE), None);
    // One that has not reported may have flows all the same.
    let pool = pools.get(web()).unwrap();
    assert_eq!(pool.live_hosts(&all).count(), 3);
    assert!(pools.report(host(2), &report(1, 9)));
    assert!(pools.report(host(2), &report(2, 9)));
    assert_eq!(take(&mut pools, &all, &Tried::NONE), Some(host(2)));
    let known = |pools: &Pools| pools.loads().map(|it| it.host).collect::<Vec<_>>();
    assert_eq!(known(&pools), [host(2)]);
    // It stays over a change of the configuration, and while it is down.
    pools.reconfigure(&config.services);
    let down = view_with(&view(1, 3), host(2), MemberState::Down);
    pools.retain(&Nodes::new(tracker(1), HASH_KEY, down, None, Time::ZERO));
    assert_eq!(known(&pools), [host(2)]);
    // Not longer than it is a member.
    pools.retain(&nodes(1));
    assert!(known(&pools).is_empty());
    // Nor where the list says who belongs to it.
    assert!(pools.report(host(3), &report(1, 9)));
    for service in &mut config.services {
        service.any_host = false;
    }
    pools.reconfigure(&config.services);
    assert!(known(&pools).is_empty());
}

#[test]
fn a_shadow_is_asked_for_new_flows_alone_and_changes_nothing() {
    let mut config = config(tracker(1), 3);
    let without = Pools::new(&config.services, 5);
    for service in &mut config.services {
        service.shadow = Some(PolicyKind::LeastConnections);
    }
    let with = Pools::new(&config.services, 5);
    let nodes = nodes(3);
    let run = |mut pools: Pools| {
        let mut chosen = Vec::new();
        for at in 1..=3 {
            pools.report(host(at), &report(u32::from(at) * 10, 100));
        }
        for _ in 0..30 {
            chosen.extend(take(&mut pools, &nodes, &Tried::NONE));
            let mut tried = Tried::NONE;
            tried.push(host(1));
            chosen.extend(take(&mut pools, &nodes, &tried));
        }
        (chosen, pools)
    };
    let (plain, _) = run(without);
    let (shadowed, mut pools) = run(with);
    assert_eq!(plain, shadowed);
    let shadow = pools.shadows().next().unwrap();
    assert_eq!((shadow.service, shadow.choices), (web(), 30));
    // Round robin sends to all; the shadow would have gone to the one with the fewest.
    let would: Vec<_> = pools.loads().map(|load| load.shadow_chosen).collect();
    assert_eq!(would[..3].iter().sum::<u64>(), 30);
    assert!(would[0] > would[2], "{would:?}");
    assert!(shadow.same < 30);
    // It goes on as long as it is the same, and another one begins anew.
    pools.reconfigure(&config.services);
    assert_eq!(pools.shadows().next(), Some(shadow));
    for service in &mut config.services {
        service.shadow = Some(PolicyKind::Random);
    }
    pools.reconfigure(&config.services);
    assert_eq!(pools.shadows().next().unwrap().choices, 0);
    assert!(pools.loads().all(|load| load.shadow_chosen == 0));
}

/// Three hosts, of which the first has this weight.
fn with_first(weight: u16, overload: Overload) -> Pools {
    let mut config = config(tracker(1), 3);
    for service in &mut config.services {
        service.hosts[0].weight = weight;
        service.overload = overload;
        service.overload_steps = 0;
    }
    Pools::new(&config.services, 5)
}

#[test]
fn a_host_of_weight_0_is_never_chosen_and_still_asked_whose_flow_it_is() {
    let nodes = nodes(3);
    let is_active = |host| nodes.is_active_host(host);
    let wait = core::time::Duration::from_secs(1);
    for overload in [
        Overload::Refuse,
        Overload::MustAccept,
        Overload::Pool,
        Overload::Queue(wait),
    ] {
        let mut pools = with_first(0, overload);
        for number in 1..=3 {
            let room = if number == 1 { 1_000 } else { 5 };
            pools.report(host(number), &report(1, room));
        }
        let pool = pools.get_mut(web()).unwrap();
        for flow in 0..50 {
            let flow = FlowHash(flow);
            for left in [3, 0] {
                let next = pool.next(is_active, flow, &Tried::NONE, left);
                let chosen = next.map(|it| it.0);
                assert!(chosen.is_some() && chosen != Some(host(1)), "{overload:?}");
            }
            assert_ne!(pool.for_waiting(is_active, flow), Some(host(1)));
            let at_once = pool.next_at_once(is_active, flow, &Tried::NONE);
            assert_ne!(at_once, Some(host(1)));
        }
        let mut tried = Tried::NONE;
        tried.push(host(2));
        tried.push(host(3));
        assert_eq!(pool.next(is_active, FLOW, &tried, 3), None, "{overload:?}");
        assert!(pool.live_hosts(&nodes).any(|it| it == host(1)));
    }
}

#[test]
fn a_host_that_gets_a_weight_again_is_chosen_again_with_what_was_known_of_it() {
    let nodes = nodes(3);
    let services = |weight| -> Vec<Service> {
        let pools = with_first(weight, Overload::Refuse);
        let services = pools.pools.iter().map(|pool| pool.service.clone());
        services.collect()
    };
    let mut pools = with_first(1, Overload::Refuse);
    let chosen = |pools: &mut Pools| -> usize {
        let first = (0..30).filter(|_| take(pools, &nodes, &Tried::NONE) == Some(host(1)));
        first.count()
    };
    assert_eq!(chosen(&mut pools), 10);
    pools.reconfigure(&services(0));
    assert_eq!(chosen(&mut pools), 0);
    assert!(pools.get(web()).unwrap().has_active_host(&nodes));
    pools.reconfigure(&services(1));
    assert!(chosen(&mut pools) >= 9);
    let loads: Vec<_> = pools.loads().filter(|it| it.host == host(1)).collect();
    assert!(loads[0].chosen >= 19);
}

#[test]
fn the_health_of_hosts_that_drain_does_not_count() {
    let nodes = nodes(3);
    let mut pools = with_first(0, Overload::Refuse);
    for (number, healthy) in [(1, false), (2, false), (3, true)] {
        let report = ServiceLoad {
            healthy,
            ..report(1, 9)
        };
        pools.report(host(number), &report);
    }
    // One of two is as much as the service allows; two of three would be too many.
    for _ in 0..5 {
        assert_eq!(take(&mut pools, &nodes, &Tried::NONE), Some(host(3)));
    }
}
