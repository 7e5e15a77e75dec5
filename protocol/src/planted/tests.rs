extern crate std;

use super::{Bug, is};
use std::collections::BTreeSet;

#[test]
fn every_rule_has_a_bug_and_five_at_most() {
    for rule in 1..=14 {
        let bugs = Bug::ALL.iter().filter(|bug| bug.rule() == rule).count();
        assert!((1..=5).contains(&bugs), "R{rule} has {bugs}");
    }
    assert!(Bug::ALL.iter().all(|bug| (1..=14).contains(&bug.rule())));
    assert!(Bug::ALL.is_sorted_by_key(|bug| bug.rule()));
}

#[test]
fn names_and_sentences_tell_bugs_apart() {
    let names: BTreeSet<_> = Bug::ALL.iter().map(|bug| bug.name()).collect();
    let sentences: BTreeSet<_> = Bug::ALL.iter().map(|bug| bug.sentence()).collect();
    assert_eq!(
        (names.len(), sentences.len()),
        (Bug::ALL.len(), Bug::ALL.len())
    );
}

#[cfg(not(feature = "planted"))]
#[test]
fn without_the_feature_nothing_is_planted() {
    assert!(Bug::ALL.iter().all(|&bug| !is(bug)));
}

/// One test, since what is planted is the whole process's.
#[cfg(feature = "planted")]
#[test]
fn what_is_planted_is_that_bug_alone() {
    for &planted in Bug::ALL {
        super::plant(Some(planted));
        for &bug in Bug::ALL {
            assert_eq!(is(bug), bug == planted, "{bug:?}");
        }
    }
    super::plant(None);
    assert!(Bug::ALL.iter().all(|&bug| !is(bug)));
}
