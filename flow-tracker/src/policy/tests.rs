use super::*;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

const FLOW: FlowHash = FlowHash(1);

fn host(number: u16) -> NodeNumber {
    NodeNumber::new(number).unwrap()
}

fn candidates(weights: &[u16]) -> Vec<Candidate> {
    (1..)
        .zip(weights)
        .map(|(number, &weight)| Candidate {
            host: host(number),
            weight,
            connections: 0,
            sent: 0,
            limit: None,
            load: 0,
            warmth: Candidate::WARM,
        })
        .collect()
}

/// A policy that knows its pool.
fn policy(kind: PolicyKind, seed: u64, pool: &[Candidate]) -> Chooser {
    let mut policy = Chooser::new(kind, seed);
    let hosts: Vec<_> = pool.iter().map(|it| (it.host, it.weight)).collect();
    policy.pool_is(&hosts);
    policy
}

/// Flows as their keyed hashes are: spread over all numbers.
fn flows() -> impl Iterator<Item = FlowHash> {
    (1_u64..).map(|nth| FlowHash(nth.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// The hosts that a policy chooses, one after the other, with `sent` counted as a pool does.
fn choices(policy: &mut Chooser, candidates: &mut [Candidate], count: usize) -> Vec<u16> {
    flows()
        .take(count)
        .map(|flow| {
            let host = policy.choose(flow, candidates).unwrap();
            policy.assigned(host, candidates);
            for candidate in candidates.iter_mut().filter(|it| it.host == host) {
                candidate.sent += 1;
            }
            host.get()
        })
        .collect()
}

fn counts(choices: &[u16]) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for &choice in choices {
        *counts.entry(choice).or_default() += 1;
    }
    counts
}

fn kinds() -> impl Iterator<Item = PolicyKind> {
    PolicyKind::ALL.iter().map(|&(_, kind)| kind)
}

#[test]
fn names_are_unique_and_in_the_help() {
    for (nth, &(name, kind)) in PolicyKind::ALL.iter().enumerate() {
        assert_eq!(kind.name(), name);
        assert!(PolicyKind::HELP.contains(name), "{}", PolicyKind::HELP);
        let others = PolicyKind::ALL.iter().skip(nth + 1);
        assert!(others.into_iter().all(|(other, _)| *other != name));
    }
}

#[test]
fn every_policy_gives_hosts_their_share_by_weight() {
    for kind in kinds() {
        for seed in 0..10 {
            let mut all = candidates(&[5, 1, 2]);
            let made = choices(&mut policy(kind, seed, &all), &mut all, 8_000);
            let counts = counts(&made);
            // Standard deviations of chance are 43, 30 and 39.
            let off = match kind {
                PolicyKind::Random | PolicyKind::ConsistentHash => 150,
                PolicyKind::RoundRobin
                | PolicyKind::MaxConnections
                | PolicyKind::LeastConnections
                | PolicyKind::TwoChoices
                | PolicyKind::LeastLoad => 40,
            };
            for (host, share) in [(1, 5_000_usize), (2, 1_000), (3, 2_000)] {
                let made = counts[&host];
                assert!(made.abs_diff(share) <= off, "{kind:?} {seed} {counts:?}");
            }
        }
    }
}

/// How far a policy's choices are from the shares by weight, in percent of the share that is missed most.
fn percent_off(kind: PolicyKind, seed: u64, weights: &[u16], choices_made: usize) -> f64 {
    let mut all = candidates(weights);
    let made = counts(&choices(
        &mut policy(kind, seed, &all),
        &mut all,
        choices_made,
    ));
    let sum: u32 = weights.iter().map(|&weight| u32::from(weight)).sum();
    let off = all.iter().map(|candidate| {
        let share = choices_made as f64 * f64::from(candidate.weight) / f64::from(sum);
        let made = made.get(&candidate.host.get()).map_or(0, |&made| made);
        (made as f64 - share).abs() / share * 100.0
    });
    off.fold(0.0, f64::max)
}

#[test]
fn round_robin_and_random_keep_to_weights_within_two_percent_over_a_hundred_thousand() {
    let weights = [4, 3, 2, 1, 1, 1];
    for seed in 0..20 {
        let off = percent_off(PolicyKind::RoundRobin, seed, &weights, 100_000);
        assert!(off <= 0.02, "round-robin, seed {seed}: {off} %");
        // Two percent are more than six standard deviations of chance.
        let off = percent_off(PolicyKind::Random, seed, &[1, 1], 100_000);
        assert!(off <= 2.0, "random, seed {seed}: {off} %");
    }
    // The smaller shares have less than two: one seed in six or so is further off by chance.
    let off = percent_off(PolicyKind::Random, 11, &weights, 100_000);
    assert!(off <= 2.0, "random: {off} %");
    // What is chance gets less with more choices; a wrong share would not.
    let off = percent_off(PolicyKind::Random, 12, &weights, 2_000_000);
    assert!(off <= 2.0, "random, in the long run: {off} %");
}

#[test]
fn a_share_by_a_wrong_weight_is_found() {
    // Shares of 42 to 10, taken for those of 40 to 10.
    let mut all = candidates(&[42, 10]);
    let made = counts(&choices(
        &mut policy(PolicyKind::RoundRobin, 1, &all),
        &mut all,
        100_000,
    ));
    let off = (made[&2] as f64 - 20_000.0).abs() / 20_000.0 * 100.0;
    assert!(off > 2.0, "{off} %");
}

#[test]
fn a_host_that_starts_slowly_has_a_part_of_its_share() {
    for kind in kinds().filter(|kind| *kind != PolicyKind::ConsistentHash) {
        for limit in [None, Some(100_000)] {
            let mut all = candidates(&[1; 3]);
            all[1].warmth = Candidate::WARM / 4;
            for candidate in &mut all {
                candidate.limit = limit;
            }
            let made = choices(&mut policy(kind, 5, &all), &mut all, 9_000);
            let counts = counts(&made);
            for (host, share) in [(1, 4_000_usize), (2, 1_000), (3, 4_000)] {
                let off = if kind == PolicyKind::Random { 150 } else { 50 };
                assert!(counts[&host].abs_diff(share) <= off, "{kind:?} {counts:?}");
            }
        }
    }
}

#[test]
fn every_policy_has_no_choice_without_candidates() {
    for kind in kinds() {
        assert_eq!(policy(kind, 1, &[]).choose(FLOW, &[]), None);
        let known = candidates(&[1, 2]);
        assert_eq!(policy(kind, 1, &known).choose(FLOW, &[]), None);
    }
}

#[test]
fn every_policy_chooses_among_the_candidates_alone() {
    for kind in kinds() {
        let pool = candidates(&[1, 5, 2]);
        let mut policy = policy(kind, 1, &pool);
        let made = choices(&mut policy, &mut [pool[0], pool[2]], 300);
        let counts = counts(&made);
        assert_eq!(
            counts.keys().copied().collect::<Vec<_>>(),
            [1, 3],
            "{kind:?}"
        );
    }
}

#[test]
fn every_policy_begins_with_different_hosts_by_seed() {
    for kind in kinds().filter(|kind| *kind != PolicyKind::ConsistentHash) {
        let first: Vec<_> = (0..40)
            .flat_map(|seed| {
                let mut all = candidates(&[1; 4]);
                choices(&mut policy(kind, seed, &all), &mut all, 1)
            })
            .collect();
        assert_eq!(counts(&first).len(), 4, "{kind:?} {first:?}");
    }
}

#[test]
fn every_policy_chooses_the_same_again_from_the_same() {
    for kind in kinds() {
        let mut all = candidates(&[1, 2, 3]);
        let mut policy = policy(kind, 3, &all);
        choices(&mut policy, &mut all, 17);
        let mut copy = policy.clone();
        let next = choices(&mut policy, &mut candidates(&[1, 2, 3]), 50);
        assert_eq!(
            choices(&mut copy, &mut candidates(&[1, 2, 3]), 50),
            next,
            "{kind:?}"
        );
        assert_eq!(copy.kind(), kind);
    }
}

#[test]
fn round_robin_takes_equal_hosts_in_turn() {
    let mut policy = Chooser::new(PolicyKind::RoundRobin, 9);
    let made = choices(&mut policy, &mut candidates(&[1; 4]), 40);
    for round in made.chunks(4) {
        assert_eq!(counts(round).len(), 4, "{made:?}");
        assert_eq!(round, &made[..4]);
    }
}

#[test]
fn round_robin_spreads_a_heavy_hosts_turns() {
    for seed in 0..20 {
        let mut policy = Chooser::new(PolicyKind::RoundRobin, seed);
        let made = choices(&mut policy, &mut candidates(&[3, 1, 1]), 50);
        let longest = made
            .chunk_by(|a, b| a == b)
            .filter(|run| run[0] == 1)
            .map(<[u16]>::len)
            .max();
        assert!(longest <= Some(3), "{made:?}");
    }
}

#[test]
fn round_robin_goes_on_where_a_host_is_missing() {
    let mut policy = Chooser::new(PolicyKind::RoundRobin, 9);
    let mut all = candidates(&[1; 3]);
    choices(&mut policy, &mut all, 7);
    let mut fewer = all[1..].to_vec();
    let made = choices(&mut policy, &mut fewer, 10);
    assert_eq!(counts(&made), BTreeMap::from([(2, 5), (3, 5)]));
}

#[test]
fn least_connections_takes_the_host_with_the_fewest_for_its_weight() {
    let policy = Chooser::new(PolicyKind::LeastConnections, 0);
    let mut candidates = candidates(&[1, 2, 1]);
    candidates[0].connections = 6;
    candidates[1].connections = 11;
    candidates[2].connections = 3;
    candidates[2].sent = 3;
    assert_eq!(policy.choose(FLOW, &candidates), Some(host(2)));
    candidates[1].sent = 2;
    candidates[0].connections = 5;
    assert_eq!(policy.choose(FLOW, &candidates), Some(host(1)));
}

#[test]
fn least_connections_takes_equal_hosts_in_turn() {
    let mut policy = Chooser::new(PolicyKind::LeastConnections, 2);
    let fixed = candidates(&[1; 3]);
    let made: Vec<_> = (0..6)
        .map(|_| {
            let host = policy.choose(FLOW, &fixed).unwrap();
            policy.assigned(host, &fixed);
            host.get()
        })
        .collect();
    assert_eq!(made, [3, 1, 2, 3, 1, 2]);
}

#[test]
fn numbers_of_any_size_do_no_harm() {
    let mut candidates = candidates(&[u16::MAX; 3]);
    for candidate in &mut candidates {
        candidate.connections = u32::MAX;
        candidate.sent = u32::MAX;
    }
    for candidate in &mut candidates {
        candidate.limit = Some(u32::MAX);
        candidate.load = u16::MAX;
    }
    candidates[1].limit = Some(0);
    for kind in kinds() {
        let mut policy = policy(kind, u64::MAX, &candidates);
        for _ in 0..10 {
            let host = policy.choose(FLOW, &candidates).unwrap();
            policy.assigned(host, &candidates);
        }
    }
}

#[test]
fn max_connections_fills_hosts_evenly_to_their_limits() {
    let mut all = candidates(&[1; 3]);
    for (candidate, limit) in all.iter_mut().zip([10, 40, 50]) {
        candidate.limit = Some(limit);
    }
    let mut policy = policy(PolicyKind::MaxConnections, 4, &all);
    let made = choices(&mut policy, &mut all, 50);
    assert_eq!(counts(&made), BTreeMap::from([(1, 5), (2, 20), (3, 25)]));
    choices(&mut policy, &mut all, 50);
    assert!(all.iter().all(|it| Some(it.sent) == it.limit), "{all:?}");
    // A host without room for anything comes last, one without limit has room like the roomiest.
    all[0].limit = Some(0);
    all[1].limit = None;
    for _ in 0..5 {
        assert_eq!(choices(&mut policy, &mut all, 1), [2]);
    }
}

#[test]
fn two_choices_takes_the_better_of_two_and_never_the_worst_of_all() {
    let mut all = candidates(&[1; 4]);
    for (candidate, connections) in all.iter_mut().zip([30, 10, 40, 20]) {
        candidate.connections = connections;
    }
    let policy = &mut policy(PolicyKind::TwoChoices, 9, &all);
    let made: Vec<_> = (0..6_000)
        .map(|_| {
            let host = policy.choose(FLOW, &all).unwrap();
            policy.assigned(host, &all);
            host.get()
        })
        .collect();
    let counts = counts(&made);
    // Of the six pairs the least loaded wins three, the next two, the next one.
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [1, 2, 4]);
    for (host, share) in [(2, 3_000_usize), (4, 2_000), (1, 1_000)] {
        assert!(counts[&host].abs_diff(share) < 200, "{counts:?}");
    }
}

#[test]
fn least_load_takes_the_lowest_report_and_counts_what_was_sent_since() {
    let mut all = candidates(&[1; 3]);
    for (candidate, load) in all.iter_mut().zip([30_000, 20_000, 29_000]) {
        candidate.load = load;
        candidate.connections = 20;
    }
    let mut policy = policy(PolicyKind::LeastLoad, 0, &all);
    // Each of its connections is 1,000 of its load, so nine more are as much as the next host has.
    let made = choices(&mut policy, &mut all, 10);
    assert_eq!(counts(&made)[&2], 10);
    assert_eq!(choices(&mut policy, &mut all, 1), [3]);
    // A limit tells it where there are no connections to tell by.
    let mut idle = candidates(&[1; 2]);
    idle[0].limit = Some(30);
    idle[1].limit = Some(10);
    let made = choices(&mut policy, &mut idle, 40);
    assert_eq!(counts(&made), BTreeMap::from([(1, 30), (2, 10)]));
}

#[test]
fn consistent_hash_is_the_same_on_every_tracker_and_for_every_order_of_hosts() {
    let all = candidates(&[1, 1, 3, 1]);
    let here = policy(PolicyKind::ConsistentHash, 1, &all);
    let reversed: Vec<_> = all.iter().rev().copied().collect();
    let there = policy(PolicyKind::ConsistentHash, 2, &reversed);
    for flow in flows().take(1_000) {
        assert_eq!(here.choose(flow, &all), there.choose(flow, &reversed));
    }
}

#[test]
fn consistent_hash_moves_few_flows_when_a_host_goes() {
    let all = candidates(&[1; 10]);
    let full = policy(PolicyKind::ConsistentHash, 1, &all);
    // Out of service, or out of the pool.
    let fewer: Vec<_> = all
        .iter()
        .filter(|it| it.host != host(4))
        .copied()
        .collect();
    let gone = policy(PolicyKind::ConsistentHash, 1, &fewer);
    let mut moved = 0_usize;
    let mut taken_over = Vec::new();
    for flow in flows().take(20_000) {
        let before = full.choose(flow, &all);
        let out_of_service = full.choose(flow, &fewer);
        if before == Some(host(4)) {
            taken_over.push(out_of_service.unwrap().get());
        } else {
            assert_eq!(out_of_service, before);
            moved += usize::from(gone.choose(flow, &fewer) != before);
        }
    }
    // Maglev's table is not of least disruption: the paper measures about as much beside what has to move.
    assert!(moved < 600, "{moved}");
    for (host, flows) in counts(&taken_over) {
        let even = taken_over.len() / 9;
        assert!(flows.abs_diff(even) < even / 2, "{host} {flows} of {even}");
    }
}

#[test]
fn consistent_hash_has_even_shares_of_many_hosts() {
    let mut all = candidates(&[1; 500]);
    all[7].weight = 2;
    let policy = policy(PolicyKind::ConsistentHash, 1, &all);
    // Every slot of the table once.
    let made: Vec<_> = (0..65_537)
        .map(|slot| policy.choose(FlowHash(slot), &all).unwrap().get())
        .collect();
    for (host, slots) in counts(&made) {
        let share = if host == 8 { 262_usize } else { 131 };
        assert!(slots.abs_diff(share) <= 1, "{host} {slots}");
    }
}
