//! Exhaustive exploration finds bugs of the rules that its cases are about, each within so many
//! states.

use jlb_explore::{Case, Effort, search};
use jlb_protocol::planted::{Bug, plant};

const EFFORT: Effort = Effort {
    threads: 2,
    max_states: 3_000_000,
};

#[test]
fn try_all() {
    for &bug in Bug::ALL {
        for case in Case::ALL.iter().filter(|case| case.is_small) {
            plant(Some(bug));
            let outcome = search(*case, Effort { max_states: 600_000, ..EFFORT }, &mut |_, _| {}).unwrap();
            plant(None);
            if let Some(walk) = outcome.walk {
                println!("{} {} {} steps {} states: {}", bug.name(), case.name, walk.stations.len() - 1, outcome.reached.states, walk.wrong);
                break;
            }
        }
    }
}
