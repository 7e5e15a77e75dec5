use super::*;
use alloc::vec;

fn member(number: u16, role: Role, state: MemberState) -> Member {
    Member {
        node: NodeNumber::new(number).unwrap(),
        role,
        state,
        incarnation: 0,
        domain: None,
    }
}

fn three() -> [Member; 3] {
    [
        member(1, Role::Ingress, MemberState::Active),
        member(2, Role::FlowTracker, MemberState::Active),
        member(300, Role::HostAgent, MemberState::Draining),
    ]
}

#[test]
fn the_fingerprint_is_of_the_members_not_of_their_order() {
    let mut members = three();
    let fingerprint = View::new(members.to_vec()).fingerprint();
    members.reverse();
    assert_eq!(View::new(members.to_vec()).fingerprint(), fingerprint);
    assert_eq!(View::new(members.to_vec()), View::new(three().to_vec()));
}

#[test]
fn each_change_of_a_member_changes_the_fingerprint() {
    let members = three();
    let fingerprint = View::new(members.to_vec()).fingerprint();
    for at in 0..members.len() {
        let mut fewer = members.to_vec();
        fewer.remove(at);
        assert_ne!(View::new(fewer).fingerprint(), fingerprint);
        for change in [
            Member {
                node: NodeNumber::new(77).unwrap(),
                ..members[at]
            },
            Member {
                role: match members[at].role {
                    Role::Ingress => Role::HostAgent,
                    Role::FlowTracker | Role::HostAgent => Role::Ingress,
                },
                ..members[at]
            },
            Member {
                state: MemberState::Down,
                ..members[at]
            },
        ] {
            let mut changed = members;
            changed[at] = change;
            assert_ne!(View::new(changed.to_vec()).fingerprint(), fingerprint);
        }
    }
}

/// Nodes of all builds compare these. Computed by another implementation of SipHash-2-4.
#[test]
fn the_fingerprint_is_specified_to_the_bit() {
    assert_eq!(
        View::new(three().to_vec()).fingerprint(),
        0x5a44_5e37_d7f0_1b67
    );
}

/// R10: what a host says that it has told a tracker is about these.
#[test]
fn the_ranked_fingerprint_is_of_active_trackers_and_one_more() {
    let mut members = three().to_vec();
    let joining = Member {
        incarnation: 7,
        ..member(4, Role::FlowTracker, MemberState::Joining)
    };
    members.push(joining);
    let view = View::new(members.clone());
    assert_eq!(view.ranked_fingerprint(None), 0x4381_ad6c_3fb8_25b0);
    let with = view.ranked_fingerprint(Some(joining.node));
    assert_eq!(with, 0xf9ee_3396_0399_2bf8);
    members[3].state = MemberState::Active;
    assert_eq!(View::new(members.clone()).ranked_fingerprint(None), with);
    members[3].incarnation = 8;
    assert_ne!(View::new(members).ranked_fingerprint(None), with);
}

#[test]
fn of_two_members_with_one_number_the_first_stays() {
    let view = View::new(vec![
        member(2, Role::FlowTracker, MemberState::Active),
        member(1, Role::Ingress, MemberState::Active),
        member(2, Role::HostAgent, MemberState::Down),
    ]);
    let node = NodeNumber::new(2).unwrap();
    assert_eq!(view.members().len(), 2);
    assert_eq!(view.member(node).unwrap().role, Role::FlowTracker);
    assert_eq!(view.active(Role::FlowTracker).collect::<Vec<_>>(), [node]);
    assert_eq!(view.member(NodeNumber::new(3).unwrap()), None);
}

/// What nodes must agree on, and no more: domains that make no difference are not in it.
#[test]
fn the_ranked_fingerprint_has_the_failure_domains_that_are_shared() {
    let view = |labels: [Option<&str>; 3]| {
        let members = labels.iter().zip(10..).map(|(label, number)| Member {
            domain: label.map(FailureDomain::of),
            ..member(number, Role::FlowTracker, MemberState::Active)
        });
        View::new(members.collect()).ranked_fingerprint(None)
    };
    let none = view([None; 3]);
    assert_eq!(view([Some("a"), None, Some("b")]), none);
    let first = view([Some("a"), Some("a"), Some("b")]);
    let last = view([Some("b"), Some("a"), Some("a")]);
    assert_ne!(first, none);
    assert_ne!(first, last);
    assert_eq!(view([Some("a"); 3]), none);
    assert_eq!(first, view([Some("a"), Some("a"), Some("c")]));
    assert_eq!(first, view([Some("a"), Some("a"), None]));
}
