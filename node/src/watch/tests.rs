use super::*;

fn report(silence: f64, bad_tags: u64) -> Report {
    let mut report = Report::default();
    report.gauge(
        "jlb_peer_silence_seconds",
        "",
        &[("peer", &"beta")],
        silence,
    );
    for _ in 0..bad_tags {
        report.link.drop_for(DropReason::BadTag);
    }
    report
}

#[test]
fn a_silence_is_told_once_and_so_is_its_end() {
    let mut silences = Silences::new(Duration::from_millis(500), Membership::Static);
    let silent = [Finding::Silent("beta".into())];
    assert_eq!(silences.look(&report(4.9, 0)), []);
    assert_eq!(silences.look(&report(5.1, 0)), silent);
    assert_eq!(silences.look(&report(10.1, 0)), []);
    assert_eq!(
        silences.look(&report(0.1, 0)),
        [Finding::Back("beta".into())]
    );
    assert_eq!(silences.look(&report(0.1, 0)), []);
    assert_eq!(silences.look(&report(6.0, 0)), silent);
}

#[test]
fn rare_heartbeats_are_no_silence() {
    let mut silences = Silences::new(Duration::from_secs(60), Membership::Static);
    assert_eq!(silences.look(&report(239.0, 0)), []);
    assert_eq!(silences.look(&report(241.0, 0)).len(), 1);
}

#[test]
fn messages_that_do_not_verify_are_told_when_there_are_more() {
    let mut silences = Silences::new(Duration::from_millis(500), Membership::Static);
    assert_eq!(silences.look(&report(0.0, 3)), [Finding::Unverified(3)]);
    assert_eq!(silences.look(&report(0.0, 3)), []);
    assert_eq!(silences.look(&report(0.0, 5)), [Finding::Unverified(2)]);
}

#[test]
fn where_the_membership_tells_who_is_down_only_who_was_never_heard_of_is_silent() {
    use crate::report::MemberLine;
    use jlb_protocol::view::Member;
    use jlb_protocol::{MemberState, NodeNumber, Role};
    let mut silences = Silences::new(Duration::from_millis(500), Membership::Dynamic);
    let mut heard = report(9.0, 0);
    heard.members.push(MemberLine {
        member: Member {
            node: NodeNumber::new(2).unwrap(),
            role: Role::Ingress,
            state: MemberState::Down,
            incarnation: 1,
            domain: None,
        },
        name: "beta".into(),
        silence: Some(Duration::from_secs(9)),
    });
    let mut unheard = heard.clone();
    unheard.members[0].silence = None;
    let found = silences.clone().look(&unheard);
    assert_eq!(found, [Finding::Silent("beta".into())]);
    assert_eq!(silences.look(&heard), []);
    // In a new life of this node nobody was heard of yet.
    assert_eq!(silences.look(&unheard), []);
}
