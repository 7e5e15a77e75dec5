//! The quickest of the small cases; `jlb explore --case small` searches all of them.

use jlb_explore::{Case, Effort, search};

const EFFORT: Effort = Effort {
    threads: 2,
    max_states: 1_000_000,
};

#[test]
fn nothing_is_violated_in_the_quickest_cases() {
    for name in ["refused", "losses", "losses-full", "views-host"] {
        let case = Case::named(name).unwrap();
        let outcome = search(case, EFFORT, &mut |_, _| {}).unwrap();
        let walk = outcome.walk.map(|walk| walk.text());
        assert!(walk.is_none(), "{name}: {}", walk.unwrap_or_default());
        assert!(outcome.reached.complete, "{name} is not complete");
        assert!(outcome.reached.states > 10_000, "{name} is too small");
    }
}

#[test]
fn cases_have_names_of_their_own_and_say_their_bounds() {
    for case in Case::ALL {
        assert_eq!(Case::named(case.name).unwrap().words, case.words);
        assert!(case.bounds().contains("3 trackers"), "{}", case.name);
    }
    assert!(Case::named("small").is_none(), "it stands for several");
}
