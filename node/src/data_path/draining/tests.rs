use super::*;

const fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

const MINUTE: Duration = Duration::from_secs(60);

fn file(drains: bool, timeout: Option<Duration>) -> FileDrain {
    FileDrain { drains, timeout }
}

#[test]
fn a_node_drains_while_anybody_wants_it() {
    let mut draining = Draining::new(at(5), file(false, None));
    assert_eq!((draining.since(), draining.until()), (None, None));
    draining.set_file(at(10), file(true, None));
    draining.order(at(20), Allowance::AsFile);
    assert_eq!(draining.since(), Some(at(10)));
    assert_eq!(draining.words(), ["file", "command"]);
    assert_eq!(draining.until(), Some(Until::Closed));
    draining.set_file(at(30), file(false, None));
    assert_eq!(
        (draining.since(), draining.words()),
        (Some(at(20)), vec!["command"])
    );
    draining.by_order = None;
    assert_eq!((draining.since(), draining.until()), (None, None));
}

#[test]
fn the_files_time_span_counts_from_the_beginning_and_is_followed() {
    let mut draining = Draining::new(at(10), file(true, Some(MINUTE)));
    assert_eq!(draining.deadline(), Some(at(60_010)));
    draining.set_file(at(500), file(true, Some(MINUTE * 2)));
    assert_eq!(draining.until(), Some(Until::Deadline(at(120_010))));
    draining.set_file(at(600), file(true, None));
    assert_eq!(draining.until(), Some(Until::Closed));
}

#[test]
fn an_order_has_the_files_time_span_or_its_own_and_the_earliest_counts() {
    let mut draining = Draining::new(at(0), file(false, Some(MINUTE)));
    draining.order(at(10), Allowance::AsFile);
    assert_eq!(draining.deadline(), Some(at(60_010)));
    // Said again, it is no longer wait.
    draining.order(at(30_000), Allowance::AsFile);
    assert_eq!(draining.deadline(), Some(at(60_010)));
    draining.order(at(40_000), Allowance::For(Duration::from_secs(5)));
    assert_eq!(draining.deadline(), Some(at(45_000)));
    assert_eq!(draining.since(), Some(at(10)));
    draining.order(at(41_000), Allowance::Forever);
    assert_eq!(draining.deadline(), None);
    draining.set_file(at(50_000), file(true, Some(MINUTE)));
    assert_eq!(draining.deadline(), Some(at(110_000)));
}

#[test]
fn a_node_that_stops_gives_its_role_no_deadline() {
    let mut draining = Draining::new(at(0), file(false, Some(MINUTE)));
    draining.by_stop = Some(at(7));
    assert_eq!((draining.since(), draining.until()), (Some(at(7)), None));
    assert_eq!(
        (draining.deadline(), draining.words()),
        (None, vec!["stop"])
    );
}
