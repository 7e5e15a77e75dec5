use super::*;
use crate::testbed::{HASH_KEY, client, node, view};
use jlb_protocol::view::{Member, MemberState};
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
