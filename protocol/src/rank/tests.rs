use super::*;
use crate::flow::FlowKey;
use crate::number::ServiceNumber;
use crate::view::{Member, MemberState};
use alloc::vec;
use core::net::{IpAddr, Ipv4Addr};

const FLOWS: u32 = 20_000;

fn node(number: u16) -> NodeNumber {
    NodeNumber::new(number).unwrap()
}

fn ranking(trackers: &[u16]) -> Ranking {
    let members = trackers
        .iter()
        .map(|&number| Member {
            node: node(number),
            role: Role::FlowTracker,
            state: MemberState::Active,
            incarnation: 0,
        })
        .collect();
    Ranking::new(HashKey::new([7; 16]), &View::new(members))
}

fn flows() -> impl Iterator<Item = FlowHash> {
    let key = HashKey::new([7; 16]);
    let service = ServiceNumber::new(1).unwrap();
    (0..FLOWS).map(move |flow| {
        let client = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + flow));
        key.flow_hash(&FlowKey::new(client, 40_000, service, 80))
    })
}

#[test]
fn losing_a_tracker_promotes_the_rest_and_moves_no_other_flow() {
    let all = [1, 2, 3, 4, 500, 65_535];
    let before = ranking(&all);
    for lost in all {
        let rest: Vec<u16> = all.into_iter().filter(|&number| number != lost).collect();
        let after = ranking(&rest);
        for flow in flows().take(2_000) {
            let kept: Vec<_> = (0..all.len())
                .filter_map(|rank| before.at_rank(flow, rank))
                .filter(|&tracker| tracker != node(lost))
                .collect();
            let now: Vec<_> = (0..rest.len())
                .filter_map(|rank| after.at_rank(flow, rank))
                .collect();
            assert_eq!(kept, now);
        }
    }
}

#[test]
fn the_two_highest_are_the_same_however_they_are_asked_for() {
    for trackers in [&[][..], &[7], &[7, 9], &[7, 9, 11], &[1, 7, 9, 500, 65_535]] {
        let ranking = ranking(trackers);
        for flow in flows().take(1_000) {
            let ranks = ranking.ranks(flow);
            let top = [0, 1].map(|rank| ranking.at_rank(flow, rank));
            assert_eq!([ranks.primary, ranks.secondary], top);
            for number in [1, 7, 9, 11, 500, 501] {
                let node = node(number);
                let is_in = top.contains(&Some(node));
                assert_eq!(ranking.is_in_top_two(node, flow), is_in, "{trackers:?}");
            }
        }
    }
}

#[test]
fn every_tracker_is_primary_and_secondary_of_its_share() {
    let trackers = [1, 2, 3, 4, 5];
    let ranking = ranking(&trackers);
    for rank in 0..2 {
        for &tracker in &trackers {
            let share = flows()
                .filter(|&flow| ranking.at_rank(flow, rank) == Some(node(tracker)))
                .count();
            // The standard deviation of a share of 4,000 is 57.
            assert!((3_700..4_300).contains(&share), "{tracker} {rank} {share}");
        }
    }
}

#[test]
fn the_two_highest_are_those_of_the_whole_order() {
    for trackers in [&[][..], &[3], &[3, 9], &[3, 9, 4, 1]] {
        let ranking = ranking(trackers);
        for flow in flows().take(500) {
            let ranks = ranking.ranks(flow);
            assert_eq!(ranks.primary, ranking.at_rank(flow, 0));
            assert_eq!(ranks.secondary, ranking.at_rank(flow, 1));
            assert_eq!(ranking.at_rank(flow, trackers.len()), None);
        }
    }
}

#[test]
fn only_active_trackers_are_ranked() {
    let member = |number, role, state| Member {
        node: node(number),
        role,
        state,
        incarnation: 0,
    };
    let view = View::new(vec![
        member(1, Role::FlowTracker, MemberState::Joining),
        member(2, Role::FlowTracker, MemberState::Active),
        member(3, Role::FlowTracker, MemberState::Down),
        member(4, Role::HostAgent, MemberState::Active),
        member(5, Role::FlowTracker, MemberState::Draining),
    ]);
    let ranking = Ranking::new(HashKey::new([7; 16]), &view);
    assert_eq!(ranking.trackers(), [node(2)]);
}

/// Every build on every node must agree on these, see `docs/protocol.md`.
#[test]
fn ranks_are_specified_to_the_bit() {
    let key = HashKey::new(core::array::from_fn(|at| at as u8));
    let service = ServiceNumber::new(0x0001_0203).unwrap();
    let client = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let flow = key.flow_hash(&FlowKey::new(client, 0x1234, service, 443));
    let scores = [1, 2, 65_535].map(|number| key.score(flow, node(number)));
    assert_eq!((flow.0, scores), EXPECTED);
}

/// Computed by another implementation of SipHash-2-4.
const EXPECTED: (u64, [u64; 3]) = (
    0x3d56_ae02_bffc_8c5c,
    [
        0x763d_5d4d_b0a0_dd57,
        0x3eec_c6be_dc1a_1894,
        0x97bf_a2fe_e06c_6030,
    ],
);
