use super::*;
use crate::testbed::{HASH_KEY, config, host, tracker, view, view_with, web};
use alloc::collections::BTreeMap;
use alloc::vec;
use jlb_protocol::{MemberState, Time};
use proptest::collection;
use proptest::prelude::{ProptestConfig, prop_assert, proptest};

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
    let chosen = pool.choose(Time::ZERO, is_active, FLOW, tried, false)?;
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
    pools.report(Time::ZERO, host(1), &report(10, 2));
    pools.report(Time::ZERO, host(2), &report(10, 0));
    // What was offered since the report counts against the room.
    assert_eq!(take(&mut pools, &nodes, &Tried::NONE), Some(host(1)));
    assert_eq!(take(&mut pools, &nodes, &Tried::NONE), Some(host(1)));
    pools.report(Time::ZERO, host(2), &report(10, 1));
    assert_eq!(take(&mut pools, &nodes, &Tried::NONE), Some(host(2)));
    // Only a host's own word refuses a client: it is asked where no other is left.
    assert_eq!(take(&mut pools, &nodes, &tried), Some(host(2)));
    pools.report(Time::ZERO, host(1), &report(12, u32::MAX));
    for _ in 0..5 {
        assert_eq!(take(&mut pools, &nodes, &Tried::NONE), Some(host(1)));
    }
}

#[test]
fn a_host_at_its_configured_limit_is_asked_after_all_others() {
    let mut pools = pools(2, |host| host.max_connections = Some(3));
    let nodes = nodes(2);
    pools.report(Time::ZERO, host(2), &report(3, u32::MAX));
    for _ in 0..3 {
        assert_eq!(take(&mut pools, &nodes, &Tried::NONE), Some(host(1)));
    }
    pools.report(Time::ZERO, host(2), &report(2, u32::MAX));
    assert_eq!(take(&mut pools, &nodes, &Tried::NONE), Some(host(2)));
}

#[test]
fn a_new_configuration_keeps_what_is_known_of_hosts_that_stay() {
    let mut pools = pools(2, |_| {});
    pools.report(Time::ZERO, host(1), &report(7, 9));
    pools.report(Time::ZERO, host(2), &report(8, 9));
    let mut services = config(tracker(1), 3).services;
    services[0].hosts.remove(1);
    services[0].hosts[0].weight = 5;
    pools.reconfigure(&services);
    let known: Vec<_> = pools
        .loads(Time::ZERO)
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
    assert!(pools.report(Time::ZERO, host(3), &report(0, u32::MAX)));
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
    assert!(!pools.report(Time::ZERO, host(3), &report(1, 1)));
    let unknown = ServiceLoad {
        service: ServiceNumber::new(99).unwrap(),
        ..report(1, 1)
    };
    assert!(!pools.report(Time::ZERO, host(1), &unknown));
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
    pools.report(Time::ZERO, host(1), &ill(0));
    // Even those without room come before it.
    pools.report(Time::ZERO, host(2), &report(10, 0));
    let mut tried = Tried::NONE;
    for expected in [3, 2, 1] {
        assert_eq!(take(&mut pools, &nodes, &tried), Some(host(expected)));
        tried.push(host(expected));
    }
    assert_eq!(take(&mut pools, &nodes, &tried), None);
    // It is well again.
    pools.report(Time::ZERO, host(1), &report(0, 9));
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
        pools.report(Time::ZERO, host(1), &ill(0));
        pools.report(Time::ZERO, host(2), &ill(0));
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
    assert!(pools.report(Time::ZERO, host(2), &report(1, 9)));
    assert!(pools.report(Time::ZERO, host(2), &report(2, 9)));
    assert_eq!(take(&mut pools, &all, &Tried::NONE), Some(host(2)));
    let known = |pools: &Pools| {
        pools
            .loads(Time::ZERO)
            .map(|it| it.host)
            .collect::<Vec<_>>()
    };
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
    assert!(pools.report(Time::ZERO, host(3), &report(1, 9)));
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
            pools.report(Time::ZERO, host(at), &report(u32::from(at) * 10, 100));
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
    let would: Vec<_> = pools
        .loads(Time::ZERO)
        .map(|load| load.shadow_chosen)
        .collect();
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
    assert!(pools.loads(Time::ZERO).all(|load| load.shadow_chosen == 0));
}

/// Hosts whose flows last for so many of the pool's.
struct Served {
    pool: Pool,
    lives: Vec<usize>,
    /// Of each host, when its flows end.
    ends: Vec<Vec<usize>>,
    given: Vec<usize>,
    offered: usize,
}

impl Served {
    fn new(service: &Service, lives: &[usize]) -> Self {
        Self {
            pool: Pool::new(service, 7),
            lives: lives.to_vec(),
            ends: lives.iter().map(|_| Vec::new()).collect(),
            given: lives.iter().map(|_| 0).collect(),
            offered: 0,
        }
    }

    /// So many flows come, each with all reports of the moment; gives the hosts' parts of them in percent.
    fn serve(&mut self, flows: usize) -> Vec<usize> {
        self.given.fill(0);
        for _ in 0..flows {
            let now = self.offered;
            self.offered += 1;
            for (at, ends) in self.ends.iter_mut().enumerate() {
                ends.retain(|&end| end > now);
                let connections = u32::try_from(ends.len()).unwrap();
                let number = u16::try_from(at + 1).unwrap();
                let load = ServiceLoad {
                    load: u16::try_from(connections * 100).unwrap(),
                    ..report(connections, u32::MAX)
                };
                self.pool.report(Time::ZERO, host(number), &load);
            }
            let flow = FlowHash((now as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let next = self.pool.next(Time::ZERO, |_| true, flow, &Tried::NONE, 3);
            let (chosen, _) = next.unwrap();
            self.pool.assigned(chosen);
            let at = usize::from(chosen.get() - host(1).get());
            self.given[at] += 1;
            if self.lives[at] > 0 {
                self.ends[at].push(now + self.lives[at]);
            }
        }
        self.given.iter().map(|given| given * 100 / flows).collect()
    }
}

fn service(hosts: u16, policy: PolicyKind) -> Service {
    let service = config(tracker(1), hosts).services.swap_remove(0);
    Service { policy, ..service }
}

const MIND_LOAD: [PolicyKind; 4] = [
    PolicyKind::LeastConnections,
    PolicyKind::MaxConnections,
    PolicyKind::TwoChoices,
    PolicyKind::LeastLoad,
];

#[test]
fn a_host_whose_flows_end_at_once_draws_no_more_than_its_share() {
    for policy in MIND_LOAD {
        let service = service(4, policy);
        let lives = [0, 40, 40, 40];
        let mut served = Served::new(&service, &lives);
        served.serve(1_000);
        let parts = served.serve(4_000);
        assert!((2..=27).contains(&parts[0]), "{policy:?} {parts:?}");
        let held_back = |served: &Served| served.pool.loads(Time::ZERO).next().unwrap().held_back;
        assert!(held_back(&served) > 1_000);
        let life = served.pool.loads(Time::ZERO).next().unwrap().life;
        assert!(life < Some(20), "{life:?}");
        // Without the comparison it gets most of what it is seen for.
        let without = Service {
            min_life_percent: 0,
            ..service
        };
        let mut drawn = Served::new(&without, &lives);
        drawn.serve(1_000);
        let parts = drawn.serve(4_000);
        assert!(parts[0] > 45, "{policy:?} {parts:?}");
        assert_eq!(held_back(&drawn), 0);
        // It is well again, and soon has its share.
        served.lives[0] = 40;
        served.serve(1_000);
        let before = held_back(&served);
        let parts = served.serve(4_000);
        assert!((20..=30).contains(&parts[0]), "{policy:?} {parts:?}");
        assert!(held_back(&served) - before < 200, "{policy:?}");
    }
}

#[test]
fn short_flows_of_all_hosts_are_no_failure_and_a_faster_host_may_take_more() {
    for policy in MIND_LOAD {
        for lives in [[1, 1, 1, 1], [3, 3, 3, 3], [15, 40, 40, 40]] {
            let service = service(4, policy);
            let without = Service {
                min_life_percent: 0,
                ..service.clone()
            };
            let (mut with, mut without) =
                (Served::new(&service, &lives), Served::new(&without, &lives));
            assert_eq!(
                with.serve(3_000),
                without.serve(3_000),
                "{policy:?} {lives:?}"
            );
        }
    }
}

#[test]
fn a_quick_host_has_its_share_where_the_last_one_must_accept() {
    let of_overload = |percent| {
        let service = Service {
            overload: Overload::MustAccept,
            min_life_percent: percent,
            ..service(4, PolicyKind::RoundRobin)
        };
        let mut served = Served::new(&service, &[0, 40, 40, 40]);
        served.serve(500);
        // The step 0: the least loaded one is asked.
        let mut to_it = 0;
        for _ in 0..100 {
            served.serve(10);
            let next = served
                .pool
                .next(Time::ZERO, |_| true, FLOW, &Tried::NONE, 0);
            to_it += usize::from(next == Some((host(1), 0)));
        }
        to_it
    };
    let (with, without) = (of_overload(15), of_overload(0));
    assert!(without == 100 && with < 60, "{with} {without}");
}

/// Shares in percent of hosts of a pool that chooses 9,000 times at once.
fn shares(pool: &mut Pool, now: Time) -> Vec<usize> {
    let mut counts = BTreeMap::<_, usize>::new();
    for nth in 0..9_000_u64 {
        let flow = FlowHash(nth.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (chosen, _) = pool.next(now, |_| true, flow, &Tried::NONE, 3).unwrap();
        pool.assigned(chosen);
        *counts.entry(chosen).or_default() += 1;
    }
    counts.into_values().map(|count| count / 90).collect()
}

#[test]
fn a_host_that_is_well_again_or_back_starts_slowly_and_has_its_weight_in_the_end() {
    let at = Time::from_millis;
    let slow = Service {
        slow_start: Some(Duration::from_secs(10)),
        ..service(3, PolicyKind::RoundRobin)
    };
    for is_back in [true, false] {
        let mut pool = Pool::new(&slow, 1);
        assert_eq!(shares(&mut pool, at(0)), [33, 33, 33]);
        if is_back {
            pool.returned(at(5_000), host(2));
        } else {
            pool.report(at(4_000), host(2), &ill(0));
            pool.report(at(5_000), host(2), &report(0, u32::MAX));
        }
        // Reports that tell nothing new begin nothing anew.
        pool.report(at(7_000), host(2), &report(1, u32::MAX));
        assert_eq!(shares(&mut pool, at(5_000)), [47, 4, 47]);
        assert_eq!(shares(&mut pool, at(10_000)), [39, 21, 39]);
        assert_eq!(shares(&mut pool, at(15_000)), [33, 33, 33]);
    }
    let at_once = service(3, PolicyKind::RoundRobin);
    let mut pool = Pool::new(&at_once, 1);
    pool.returned(at(5_000), host(2));
    assert_eq!(shares(&mut pool, at(5_000)), [33, 33, 33]);
}

#[test]
fn a_host_that_is_new_in_a_pool_starts_slowly_from_its_first_report() {
    let at = Time::from_millis;
    let slow = |hosts| Service {
        slow_start: Some(Duration::from_secs(10)),
        ..service(hosts, PolicyKind::RoundRobin)
    };
    let mut pools = Pools::new(&[slow(2)], 1);
    pools.reconfigure(&[slow(3)]);
    // Its machine may be there long before.
    pools.returned(at(1_000), &[host(3)]);
    assert!(pools.report(at(5_000), host(3), &report(0, u32::MAX)));
    let pool = pools.get_mut(web()).unwrap();
    assert_eq!(shares(pool, at(5_000)), [47, 47, 4]);
    let warmth = |pool: &Pool| {
        pool.loads(at(10_000))
            .map(|it| it.warmth)
            .collect::<Vec<_>>()
    };
    assert_eq!(warmth(pool), [256, 256, 140]);
    assert_eq!(shares(pool, at(20_000)), [33, 33, 33]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever weights hosts have and however they fare, round robin and random keep to the weights.
    #[test]
    fn weights_are_respected_within_two_percent_by_round_robin_and_random(
        weights in collection::vec(5_u16..20, 2..5),
        lives in collection::vec(0_usize..30, 5),
        seed: u64,
    ) {
        for policy in [PolicyKind::RoundRobin, PolicyKind::Random] {
            let hosts = u16::try_from(weights.len()).unwrap();
            let mut service = service(hosts, policy);
            for (host, &weight) in service.hosts.iter_mut().zip(&weights) {
                host.weight = weight;
            }
            let mut pool = Pool::new(&service, seed);
            let choices = 300_000_u64;
            let mut given = vec![0_u64; weights.len()];
            for nth in 0..choices {
                if nth.is_multiple_of(97) {
                    for (at, life) in (1..=hosts).zip(&lives) {
                        let connections = u32::try_from(nth as usize % (life + 1)).unwrap();
                        pool.report(Time::ZERO, host(at), &report(connections, u32::MAX));
                    }
                }
                let (chosen, _) = pool.next(Time::ZERO, |_| true, FLOW, &Tried::NONE, 3).unwrap();
                pool.assigned(chosen);
                given[usize::from(chosen.get() - host(1).get())] += 1;
            }
            let all: u64 = weights.iter().map(|&it| u64::from(it)).sum();
            for (given, weight) in given.iter().zip(&weights) {
                // Two percent are more than five standard deviations of chance for the smallest share.
                let share = choices * u64::from(*weight) / all;
                prop_assert!(given.abs_diff(share) * 50 <= share, "{policy:?} {given} {share}");
            }
        }
    }
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
            pools.report(Time::ZERO, host(number), &report(1, room));
        }
        let pool = pools.get_mut(web()).unwrap();
        for flow in 0..50 {
            let flow = FlowHash(flow);
            for left in [3, 0] {
                let next = pool.next(Time::ZERO, is_active, flow, &Tried::NONE, left);
                let chosen = next.map(|it| it.0);
                assert!(chosen.is_some() && chosen != Some(host(1)), "{overload:?}");
            }
            assert_ne!(pool.for_waiting(Time::ZERO, is_active, flow), Some(host(1)));
            let at_once = pool.next_at_once(Time::ZERO, is_active, flow, &Tried::NONE);
            assert_ne!(at_once, Some(host(1)));
        }
        let mut tried = Tried::NONE;
        tried.push(host(2));
        tried.push(host(3));
        assert_eq!(
            pool.next(Time::ZERO, is_active, FLOW, &tried, 3),
            None,
            "{overload:?}"
        );
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
    let loads: Vec<_> = pools
        .loads(Time::ZERO)
        .filter(|it| it.host == host(1))
        .collect();
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
        pools.report(Time::ZERO, host(number), &report);
    }
    // One of two is as much as the service allows; two of three would be too many.
    for _ in 0..5 {
        assert_eq!(take(&mut pools, &nodes, &Tried::NONE), Some(host(3)));
    }
}
