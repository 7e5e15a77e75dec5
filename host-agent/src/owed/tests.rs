use super::*;
use crate::testbed::{HASH_KEY, client, node, view};
use jlb_protocol::view::{FailureDomain, Member, MemberState};
use std::vec::Vec;

fn hashes() -> impl Iterator<Item = FlowHash> {
    (1..=300).map(|port| HASH_KEY.flow_hash(&client(port).key()))
}

fn owed_to(owed: &Owed, tracker: u16) -> Vec<FlowHash> {
    let tracker = node(tracker);
    hashes()
        .filter(|&hash| owed.is_owed(hash, tracker))
        .collect()
}

/// The view of these trackers with one of them in another state.
fn with(others: &[u16], tracker: u16, state: MemberState) -> View {
    let all = view(others);
    let members = all.members().iter().map(|&member| Member {
        state: if member.node == node(tracker) {
            state
        } else {
            member.state
        },
        ..member
    });
    View::new(members.collect())
}

#[test]
fn r10_a_tracker_that_joins_is_owed_what_it_would_rank_for() {
    let active = Owed::new(HASH_KEY, &view(&[10, 11, 12, 13]));
    for state in [MemberState::Joining, MemberState::Draining] {
        let joining = Owed::new(HASH_KEY, &with(&[10, 11, 12, 13], 13, state));
        let owed = owed_to(&joining, 13);
        assert_eq!(owed, owed_to(&active, 13));
        assert!((100..200).contains(&owed.len()), "{}", owed.len());
        assert!(joining.active().iter().all(|&tracker| tracker != node(13)));
    }
}

#[test]
fn active_trackers_are_owed_what_they_rank_for_whoever_joins() {
    let before = Owed::new(HASH_KEY, &view(&[10, 11, 12]));
    let joining = with(&[10, 11, 12, 13], 13, MemberState::Joining);
    let joining = Owed::new(HASH_KEY, &joining);
    for tracker in [10, 11, 12] {
        assert_eq!(owed_to(&joining, tracker), owed_to(&before, tracker));
    }
    for hash in hashes() {
        let ranks = before.ranks(hash);
        let owed = [10, 11, 12].map(node).into_iter();
        let owed = owed.filter(|&tracker| before.is_owed(hash, tracker));
        let mut owed: Vec<_> = owed.map(Some).collect();
        let mut top = [ranks.primary, ranks.secondary];
        top.sort_unstable();
        owed.sort_unstable();
        assert_eq!(owed, top);
    }
}

#[test]
fn with_fewer_than_two_active_trackers_another_is_owed_everything() {
    for active in [&[13][..], &[10, 13]] {
        let owed = Owed::new(HASH_KEY, &with(active, 13, MemberState::Joining));
        assert_eq!(owed_to(&owed, 13).len(), 300);
    }
}

#[test]
fn what_is_owed_among_more_is_owed_among_fewer() {
    let owed = Owed::new(HASH_KEY, &view(&[10, 11, 12, 13]));
    let all = [10, 11, 12, 13].map(node);
    let mut told = 0;
    for hash in hashes() {
        let among_all = owed.is_owed_among(hash, node(13), &all);
        assert_eq!(among_all, owed.is_owed(hash, node(13)));
        if among_all {
            told += 1;
            assert!(owed.is_owed_among(hash, node(13), &all[..2]));
            assert!(owed.is_owed_among(hash, node(13), &all[1..]));
        }
    }
    assert!(told > 100);
}

/// Trackers 10 and up in these racks, `-` for none, of which these are not active.
fn racks(racks: &str, joining: &[u16]) -> View {
    let members = racks.chars().zip(10..).map(|(rack, number)| Member {
        node: node(number),
        role: Role::FlowTracker,
        state: if joining.contains(&number) {
            MemberState::Joining
        } else {
            MemberState::Active
        },
        incarnation: 0,
        domain: (rack != '-').then(|| FailureDomain::of(rack.encode_utf8(&mut [0; 4]))),
    });
    View::new(members.collect())
}

/// All ways to stand in racks: a tracker that joins is owed what it holds as soon as it is active, and so is each of
/// several that join, however many of these become active.
#[test]
fn r10_failure_domains_change_nothing_of_what_a_joining_tracker_is_owed() {
    let mut letters = std::vec![std::string::String::new()];
    for _ in 0..5 {
        let longer = letters
            .iter()
            .flat_map(|it| "ab-".chars().map(move |c| std::format!("{it}{c}")));
        letters = longer.collect();
    }
    for letters in letters {
        let all = Owed::new(HASH_KEY, &racks(&letters, &[]));
        let joining = Owed::new(HASH_KEY, &racks(&letters, &[12]));
        let numbers: Vec<_> = (10..15).map(node).collect();
        let fewer = Owed::new(HASH_KEY, &racks(&letters, &[11, 12, 13]));
        for hash in hashes().take(40) {
            let holds = all.is_owed(hash, node(12));
            assert_eq!(joining.is_owed(hash, node(12)), holds, "{letters}");
            assert_eq!(
                all.is_owed_among(hash, node(12), &numbers),
                holds,
                "{letters}"
            );
            assert!(!holds || fewer.is_owed(hash, node(12)), "{letters}");
            // Nobody else begins to hold a flow when one joins.
            let before = joining.ranks(hash);
            let after = all.ranks(hash);
            for tracker in [after.primary, after.secondary] {
                let known = [before.primary, before.secondary, Some(node(12))];
                assert!(known.contains(&tracker), "{letters}");
            }
        }
    }
}
