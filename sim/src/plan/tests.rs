use super::{Plan, Span};

#[test]
fn the_plans_that_come_with_the_program_can_be_read() {
    for name in Plan::names() {
        let plan = Plan::named(name).unwrap();
        assert!(plan.is_ok(), "{name}: {plan:?}");
    }
    assert_eq!(Plan::named("default").unwrap(), Ok(Plan::default()));
    assert_eq!(Plan::named("calm").unwrap(), Ok(Plan::calm()));
    assert_eq!(Plan::named("no-such-plan"), None);
}

#[test]
fn what_a_file_leaves_out_is_as_in_the_default_plan() {
    let plan = Plan::parse("trackers = 3\nloss = [1, 2]").unwrap();
    assert_eq!(plan.trackers, Span::just(3));
    assert_eq!(plan.loss, Span::new(1, 2));
    assert_eq!(plan.hosts, Plan::default().hosts);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let wrong = [
        ("\ntrackers = 0", "line 2: trackers"),
        ("narrow = 0\nloss = [5, 2000]", "line 2: loss"),
        ("loss = [5, 2]", "line 1"),
        ("\n\nloss = -1", "line 3"),
        ("loss = [1, 2, 3]", "two numbers"),
        ("los = 1", "unknown field `los`"),
        ("loss = 'x'", "line 1"),
        ("=", "line 1"),
    ];
    for (text, words) in wrong {
        let error = Plan::parse(text).unwrap_err().to_string();
        assert!(error.contains(words), "{text:?}: {error}");
    }
}
