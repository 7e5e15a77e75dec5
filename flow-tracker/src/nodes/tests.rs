use super::*;
use crate::testbed::{HASH_KEY, host, tracker, view, view_with};

fn nodes(trackers: u16, state: MemberState) -> Nodes {
    let view = view_with(&view(trackers, 2), tracker(1), state);
    Nodes::new(
        tracker(1),
        HASH_KEY,
        view,
        Some(Duration::from_secs(15)),
        Time::ZERO,
    )
}

fn flows() -> impl Iterator<Item = FlowHash> {
    (0..200).map(|it| FlowHash(it << 32 | it))
}

#[test]
fn a_tracker_that_is_skipped_moves_the_rest_up() {
    let nodes = nodes(4, MemberState::Active);
    for flow in flows() {
        let ranks = nodes.ranks(flow);
        for skipped in (1..=4).map(tracker) {
            let fewer = view_with(&view(4, 2), skipped, MemberState::Down);
            let expected = Ranking::new(HASH_KEY, &fewer).ranks(flow);
            assert_eq!(nodes.ranks_without(flow, Some(skipped)), expected);
        }
        assert_eq!(nodes.ranks_without(flow, None), ranks);
        assert_eq!(nodes.ranks_without(flow, Some(host(1))), ranks);
    }
}

#[test]
fn only_a_tracker_that_acts_binds() {
    let states = [
        (MemberState::Joining, false),
        (MemberState::Active, true),
        (MemberState::Draining, true),
        (MemberState::Down, false),
    ];
    for (state, acts) in states {
        let nodes = nodes(3, state);
        assert_eq!(nodes.acts(), acts, "{state:?}");
        let bound = flows().filter(|&flow| nodes.binds(flow)).count();
        assert_eq!(bound > 0, acts);
        assert!(bound < 200);
    }
}

#[test]
fn a_host_is_dead_when_it_was_down_for_its_time() {
    let mut nodes = nodes(1, MemberState::Active);
    let down = view_with(&view(1, 2), host(1), MemberState::Down);
    let at = Time::from_millis;
    nodes.set_view(down.clone(), at(1_000));
    // Another change of the view does not begin it anew.
    nodes.set_view(view_with(&down, host(2), MemberState::Draining), at(9_000));
    for (millis, dead) in [(1_000, false), (15_999, false), (16_000, true)] {
        assert_eq!(nodes.is_dead_host(at(millis), host(1)), dead);
        assert_eq!(nodes.may_come_back(at(millis), host(1)), !dead);
    }
    assert!(!nodes.is_dead_host(at(16_000), host(2)));
    assert!(!nodes.may_come_back(at(16_000), host(2)));
    nodes.reconfigure(None);
    assert!(!nodes.is_dead_host(at(99_000), host(1)));
    nodes.reconfigure(Some(Duration::ZERO));
    nodes.set_view(view(1, 2), at(20_000));
    assert!(!nodes.is_dead_host(at(99_000), host(1)));
    nodes.set_view(down, at(99_000));
    assert!(nodes.is_dead_host(at(99_000), host(1)));
}
