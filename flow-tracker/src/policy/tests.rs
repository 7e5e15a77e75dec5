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
        })
        .collect()
}

/// The hosts that a policy chooses, one after the other, with `sent` counted as a pool does.
fn choices(policy: &mut Chooser, candidates: &mut [Candidate], count: usize) -> Vec<u16> {
    (0..count)
        .map(|_| {
            let host = policy.choose(FLOW, candidates).unwrap();
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

const KINDS: [PolicyKind; 2] = [PolicyKind::RoundRobin, PolicyKind::LeastConnections];

#[test]
fn every_policy_gives_hosts_their_share_by_weight() {
    for kind in KINDS {
        for seed in 0..50 {
            let mut policy = Chooser::new(kind, seed);
            let made = choices(&mut policy, &mut candidates(&[5, 1, 2]), 800);
            let counts = counts(&made);
            assert!(counts[&1].abs_diff(500) <= 5, "{kind:?} {seed} {counts:?}");
            assert!(counts[&2].abs_diff(100) <= 1, "{kind:?} {seed} {counts:?}");
            assert!(counts[&3].abs_diff(200) <= 2, "{kind:?} {seed} {counts:?}");
        }
    }
}

#[test]
fn every_policy_has_no_choice_without_candidates() {
    for kind in KINDS {
        assert_eq!(Chooser::new(kind, 1).choose(FLOW, &[]), None);
    }
}

#[test]
fn every_policy_begins_with_different_hosts_by_seed() {
    for kind in KINDS {
        let first: Vec<_> = (0..40)
            .flat_map(|seed| choices(&mut Chooser::new(kind, seed), &mut candidates(&[1; 4]), 1))
            .collect();
        assert_eq!(counts(&first).len(), 4, "{kind:?} {first:?}");
    }
}

#[test]
fn every_policy_chooses_the_same_again_from_the_same() {
    for kind in KINDS {
        let mut policy = Chooser::new(kind, 3);
        choices(&mut policy, &mut candidates(&[1, 2, 3]), 17);
        let mut copy = policy.clone();
        let next = choices(&mut policy, &mut candidates(&[1, 2, 3]), 50);
        assert_eq!(choices(&mut copy, &mut candidates(&[1, 2, 3]), 50), next);
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
    for kind in KINDS {
        let mut policy = Chooser::new(kind, u64::MAX);
        for _ in 0..10 {
            let host = policy.choose(FLOW, &candidates).unwrap();
            policy.assigned(host, &candidates);
        }
    }
}
