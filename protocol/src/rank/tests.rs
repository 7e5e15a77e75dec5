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
            domain: None,
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
        domain: None,
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

/// Trackers with the letter of their failure domain; `-` for none.
fn apart(trackers: &[(u16, char)]) -> Ranking {
    let members = trackers.iter().map(|&(number, domain)| Member {
        node: node(number),
        role: Role::FlowTracker,
        state: MemberState::Active,
        incarnation: 0,
        domain: (domain != '-').then(|| FailureDomain::of(domain.encode_utf8(&mut [0; 4]))),
    });
    Ranking::new(HashKey::new([7; 16]), &View::new(members.collect()))
}

fn domain(trackers: &[(u16, char)], tracker: Option<NodeNumber>) -> char {
    let of = |&&(number, _): &&(u16, char)| Some(node(number)) == tracker;
    trackers.iter().find(of).unwrap().1
}

const RACKS: [(u16, char); 7] = [
    (1, 'a'),
    (2, 'a'),
    (3, 'a'),
    (4, 'b'),
    (5, 'b'),
    (6, 'c'),
    (7, '-'),
];

#[test]
fn the_two_trackers_of_a_flow_do_not_fail_together() {
    let (plain, ranking) = (ranking(&[1, 2, 3, 4, 5, 6, 7]), apart(&RACKS));
    let mut moved = 0;
    for flow in flows().take(2_000) {
        let (before, ranks) = (plain.ranks(flow), ranking.ranks(flow));
        // The primary is who it would be without domains, and so is the secondary where those two are apart.
        assert_eq!(ranks.primary, before.primary);
        let first = domain(&RACKS, ranks.primary);
        assert!(first == '-' || first != domain(&RACKS, ranks.secondary));
        if first != domain(&RACKS, before.secondary) {
            assert_eq!(ranks.secondary, before.secondary);
        } else {
            moved += 1;
        }
        // The order has each tracker once, and the two of the flow first.
        let order: Vec<_> = (0..8).map(|rank| ranking.at_rank(flow, rank)).collect();
        assert_eq!(order[..2], [ranks.primary, ranks.secondary]);
        let all: alloc::collections::BTreeSet<_> = order[..7].iter().flatten().collect();
        assert_eq!((all.len(), order[7]), (7, None));
        for (number, _) in RACKS {
            let is_in = order[..2].contains(&Some(node(number)));
            assert_eq!(ranking.is_in_top_two(node(number), flow), is_in);
        }
    }
    // Of 42 ordered pairs 8 are of one rack.
    assert!((310..450).contains(&moved), "{moved}");
}

#[test]
fn a_lost_tracker_takes_the_primary_of_no_other_flow_with_it() {
    let before = apart(&RACKS);
    for lost in 1..=7 {
        let rest: Vec<_> = RACKS.into_iter().filter(|it| it.0 != lost).collect();
        let after = apart(&rest);
        for flow in flows().take(500) {
            let (was, is) = (before.ranks(flow), after.ranks(flow));
            let top = [was.primary, was.secondary];
            if !top.contains(&Some(node(lost))) {
                assert_eq!(was, is);
            } else if was.secondary == Some(node(lost)) {
                assert_eq!(was.primary, is.primary);
            } else {
                // Who knows the flow is of the two that hold it now.
                assert!(after.is_in_top_two(was.secondary.unwrap(), flow));
            }
        }
    }
}

#[test]
fn a_lost_rack_leaves_each_flow_a_tracker_that_knows_it() {
    let before = apart(&RACKS);
    for lost in ['a', 'b', 'c'] {
        let rest: Vec<_> = RACKS.into_iter().filter(|it| it.1 != lost).collect();
        let after = apart(&rest);
        for flow in flows().take(1_000) {
            let was = before.ranks(flow);
            let left = [was.primary, was.secondary].map(|it| domain(&RACKS, it) != lost);
            assert!(left[0] || left[1]);
            let knows = if left[0] { was.primary } else { was.secondary };
            assert!(after.is_in_top_two(knows.unwrap(), flow));
        }
    }
}

#[test]
fn domains_that_tell_nothing_change_nothing() {
    let plain = ranking(&[1, 2, 3]);
    for racks in [
        [(1, 'a'), (2, 'a'), (3, 'a')],
        [(1, 'a'), (2, 'b'), (3, 'c')],
        [(1, '-'), (2, '-'), (3, '-')],
        [(1, '-'), (2, 'a'), (3, '-')],
    ] {
        let ranking = apart(&racks);
        assert!(ranking.domains.is_empty());
        for flow in flows().take(500) {
            assert_eq!(ranking.ranks(flow), plain.ranks(flow));
        }
    }
}

#[test]
fn without_one_that_does_not_act_the_other_leads_and_its_partner_is_apart() {
    let ranking = apart(&RACKS);
    for flow in flows().take(1_000) {
        let ranks = ranking.ranks(flow);
        assert_eq!(ranking.ranks_without(flow, None), ranks);
        assert_eq!(ranking.ranks_without(flow, Some(node(99))), ranks);
        for (without, lead) in [
            (ranks.primary, ranks.secondary),
            (ranks.secondary, ranks.primary),
        ] {
            let left = ranking.ranks_without(flow, without);
            assert_eq!(left.primary, lead);
            let partner = left.secondary.unwrap();
            assert!(Some(partner) != ranks.primary && Some(partner) != ranks.secondary);
            let first = domain(&RACKS, lead);
            assert!(first == '-' || first != domain(&RACKS, left.secondary));
        }
    }
    let two = apart(&RACKS[..2]);
    let one = apart(&RACKS[..1]);
    let flow = flows().next().unwrap();
    let ranks = two.ranks(flow);
    let left = two.ranks_without(flow, ranks.primary);
    assert_eq!((left.primary, left.secondary), (ranks.secondary, None));
    assert_eq!(one.ranks_without(flow, Some(node(1))).primary, None);
}
