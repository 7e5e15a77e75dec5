//! Exhaustive exploration finds bugs of the rules that its small cases are about, each within a few
//! thousand states, and nothing in the same cases without a bug.

use jlb_explore::{Case, Effort, search};
use jlb_protocol::planted::{Bug, plant};

/// The case that finds each bug, and the number of the property that it violates.
const FOUND_BY: [(Bug, &str, &str); 9] = [
    (Bug::SecondaryDoesNotBind, "full", "S2"),
    (Bug::OfferPastTheSecondary, "views-host", "S1"),
    (Bug::MidFlowIsAChoice, "views-host", "S1"),
    (Bug::ResetBeforeAllSaidNo, "views-primary", "S4"),
    (Bug::NeverRepeats, "losses", "S3"),
    (Bug::AsksRejectedHostAgain, "order", "S2"),
    (Bug::WaitSpendsNoStep, "queue", "S2"),
    (Bug::ResetsWithoutAsking, "no-trackers", "S4"),
    (Bug::CountsTwice, "order", "R14"),
];

/// What is wrong first in a case, and how many states it took.
fn first_wrong(case: &str, max_states: u64) -> (Option<String>, u64) {
    let effort = Effort {
        threads: 2,
        max_states,
    };
    let case = Case::named(case).unwrap();
    let outcome = search(case, effort, &mut |_, _| {}).unwrap();
    let wrong = outcome.walk.map(|walk| walk.wrong);
    (wrong, outcome.reached.states)
}

#[test]
fn exploration_finds_bugs_and_nothing_else() {
    for (bug, case, property) in FOUND_BY {
        plant(Some(bug));
        let (wrong, states) = first_wrong(case, 100_000);
        plant(None);
        let wrong = wrong.unwrap_or_else(|| panic!("{case} does not find {}", bug.name()));
        println!(
            "R{:<3} {:<24} {case:<14} {states:>6} states  {wrong}",
            bug.rule(),
            bug.name()
        );
        assert!(wrong.starts_with(property), "{}: {wrong}", bug.name());

        let (wrong, _) = first_wrong(case, states);
        assert_eq!(wrong, None, "{case} without a bug");
    }
}
