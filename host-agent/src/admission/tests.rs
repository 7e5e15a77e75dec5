use super::*;

fn with(connections: u32) -> Signals {
    Signals { connections }
}

#[test]
fn always_takes_one_more() {
    let policy = Policy::new(AdmissionKind::Always);
    assert!(policy.admits(with(u32::MAX)));
    assert_eq!(policy.room(with(7)), u32::MAX);
    assert_eq!(policy.load(with(7)), 0);
}

#[test]
fn max_connections_stops_at_the_limit() {
    let policy = Policy::new(AdmissionKind::MaxConnections(4));
    assert!(policy.admits(with(3)));
    assert!(!policy.admits(with(4)));
    assert!(!policy.admits(with(5)));
    assert_eq!(policy.room(with(1)), 3);
    assert_eq!(policy.load(with(0)), 0);
    assert_eq!(policy.load(with(2)), FULL / 2);
    assert_eq!(policy.load(with(4)), FULL);
    assert_eq!(policy.load(with(9)), FULL);
}

#[test]
fn a_limit_of_zero_is_full_from_the_start() {
    let policy = Policy::new(AdmissionKind::MaxConnections(0));
    assert!(!policy.admits(with(0)));
    assert_eq!(policy.load(with(0)), FULL);
}
