use super::*;
use crate::case::Case;
use crate::cluster::Cluster;

fn reached(case: Case, threads: usize) -> Reached {
    let atlas = Atlas::new(Cluster::new(case).unwrap());
    let effort = Effort {
        threads,
        max_states: 200_000,
    };
    let (reached, found) = search(&atlas, effort, &mut |_, _| {});
    assert!(found.is_none(), "{:?}", found.map(|found| found.words));
    reached
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let case = Case::named("losses").unwrap();
    let (one, three) = (reached(case, 1), reached(case, 3));
    assert!(one.complete && one.states > 1000);
    assert_eq!(one, three);
}

#[test]
fn a_search_that_reaches_its_bound_is_not_complete() {
    let case = Case::named("order").unwrap();
    let atlas = Atlas::new(Cluster::new(case).unwrap());
    let effort = Effort {
        threads: 1,
        max_states: 100,
    };
    let mut depths = 0;
    let (reached, _) = search(&atlas, effort, &mut |_, _| depths += 1);
    assert!(!reached.complete);
    assert_eq!(reached.depth, depths);
}

#[test]
fn the_way_leads_from_the_first_state_to_the_one_asked_for() {
    let action = |place| Some(Action::Timer(place));
    let [a, b] = crate::cluster::INGRESSES;
    let log = [(0, None), (0, action(a)), (0, action(b)), (1, action(b))];
    assert_eq!(way(&log, 3), [Action::Timer(a), Action::Timer(b)]);
    assert_eq!(way(&log, 0), []);
}
