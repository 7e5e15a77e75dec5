use super::*;
use crate::testbed::{address, config, known, millis, number};
use alloc::vec;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use proptest::prelude::*;

const START: Time = Time::from_millis(10_000);

fn membership(own: u16, file: &[u16]) -> Membership {
    let mut membership = Membership::new(
        config(own),
        file.iter().copied().map(known).collect(),
        START,
    );
    while membership.poll_command().is_some() {}
    membership
}

fn said(of: u16, incarnation: u32, state: MemberState, answer: bool) -> Event {
    Event::PeerSaid {
        node: number(of),
        incarnation,
        role: crate::testbed::role(of),
        state,
        view: 0,
        wire: 2,
        answer,
    }
}

fn commands(membership: &mut Membership) -> Vec<Command> {
    core::iter::from_fn(|| membership.poll_command()).collect()
}

fn state_of(membership: &Membership, node: u16) -> Option<MemberState> {
    Some(membership.view().member(number(node))?.state)
}

#[test]
fn at_its_start_a_tracker_joins_and_everybody_else_is_down() {
    let file = [3, 101, 1, 201, 2, 2];
    let mut membership =
        Membership::new(config(1), file.iter().copied().map(known).collect(), START);
    let members: Vec<_> = membership
        .view()
        .members()
        .iter()
        .map(|member| (member.node.get(), member.state, member.incarnation))
        .collect();
    assert_eq!(
        members,
        [
            (1, MemberState::Joining, 1),
            (2, MemberState::Down, 0),
            (3, MemberState::Down, 0),
            (101, MemberState::Down, 0),
            (201, MemberState::Down, 0),
        ]
    );
    let intervals = [(2, 100), (3, 100), (101, 100), (201, 200)];
    let mut expected: Vec<_> = intervals
        .into_iter()
        .map(|(node, span)| Command::SetInterval {
            node: number(node),
            interval: millis(span),
        })
        .collect();
    expected.push(Command::View);
    assert_eq!(commands(&mut membership), expected);
    assert_eq!(membership.known(number(3)), Some(&known(3)));
    assert_eq!(membership.known(number(9)), None);
}

#[test]
fn hosts_and_ingress_nodes_begin_active_and_have_no_need_of_their_like() {
    for own in [101, 201] {
        let membership = membership(own, &[1, 101, 102, 201, 202]);
        assert_eq!(membership.state(), MemberState::Active);
        let like = if own == 101 { 102 } else { 202 };
        assert_eq!(state_of(&membership, like), None);
        assert_eq!(membership.view().members().len(), 4);
    }
}

#[test]
fn in_a_fixed_list_everybody_is_active_for_ever() {
    let config = Config {
        fixed: true,
        ..config(1)
    };
    let file = [1, 2, 101, 102, 201];
    let known = file.iter().copied().map(known).collect();
    let mut membership = Membership::new(config, known, START);
    assert_eq!(commands(&mut membership), [Command::View]);
    let before = membership.view().clone();
    let as_seen = |membership: &Membership, node| {
        let member = *membership.view().member(number(node)).unwrap();
        (member.state, member.incarnation)
    };
    for node in [2, 101, 102, 201] {
        assert_eq!(as_seen(&membership, node), (MemberState::Active, 0));
    }
    assert_eq!(before.members().len(), 5);
    assert!(membership.may_settle(START));
    assert_eq!(membership.poll_timeout(), None);
    let later = START + Duration::from_secs(100);
    membership.handle_event(later, &said(2, 7, MemberState::Draining, true));
    membership.handle_event(later, &said(2, 7, MemberState::Down, true));
    membership.handle_event(later, &stranger(9, 1));
    membership.handle_timeout(later + Duration::from_secs(100));
    assert_eq!(commands(&mut membership), []);
    membership.set_state(later, MemberState::Draining);
    assert_eq!(commands(&mut membership), [Command::Announce]);
    assert_eq!(membership.view(), &before);
    // But what a node remembers ends with its life.
    let started = Event::PeerStarted {
        node: number(101),
        incarnation: 7,
    };
    membership.handle_event(later, &started);
    assert_eq!(commands(&mut membership), [Command::View]);
    assert_eq!(as_seen(&membership, 101), (MemberState::Active, 7));
    membership.renew(later, 9);
    assert_eq!(as_seen(&membership, 1), (MemberState::Active, 9));
}

fn stranger(node: u16, incarnation: u32) -> Event {
    Event::Stranger {
        node: number(node),
        role: crate::testbed::role(node),
        address: IpAddr::V4(address(node)),
        local: IpAddr::V4(address(1)),
        incarnation,
    }
}

#[test]
fn a_view_is_handed_on_only_when_it_changed() {
    let mut membership = membership(1, &[1, 2]);
    membership.handle_event(START, &said(2, 7, MemberState::Joining, true));
    assert_eq!(commands(&mut membership), [Command::View]);
    membership.handle_event(START, &said(2, 7, MemberState::Joining, true));
    assert_eq!(commands(&mut membership), []);
    membership.handle_event(START, &said(2, 7, MemberState::Active, false));
    assert_eq!(commands(&mut membership), [Command::View]);
    assert_eq!(state_of(&membership, 2), Some(MemberState::Active));
    assert_eq!(membership.stats().up, 1);
}

#[test]
fn an_own_state_is_announced_and_stands_in_the_own_view() {
    let mut membership = membership(1, &[1, 2]);
    membership.set_state(START, MemberState::Active);
    assert_eq!(
        commands(&mut membership),
        [Command::View, Command::Announce]
    );
    assert_eq!(state_of(&membership, 1), Some(MemberState::Active));
    membership.set_state(START, MemberState::Active);
    assert_eq!(commands(&mut membership), []);
}

#[test]
fn a_joining_tracker_settles_after_the_longest_timeout_and_whom_it_heard_of_late() {
    let mut membership = membership(1, &[1, 2]);
    let after = |span| START + millis(span);
    let look = |membership: &mut Membership, span: u64| {
        membership.handle_timeout(after(span));
        membership.may_settle(after(span))
    };
    for span in (0..800).step_by(100) {
        assert!(!look(&mut membership, span), "{span}");
    }
    assert!(look(&mut membership, 800));
    membership.handle_event(after(810), &stranger(5, 1));
    assert!(!look(&mut membership, 820));
    for span in (900..1_600).step_by(100) {
        assert!(!look(&mut membership, span), "{span}");
    }
    assert!(look(&mut membership, 1_610));
    // Old Hellos of ever more strangers do not keep it for ever.
    for round in 0..40 {
        let span = 1_620 + round * 100;
        membership.handle_event(after(span), &stranger(6 + round as u16, 1));
        look(&mut membership, span);
    }
    assert!(look(&mut membership, 5_700));
}

#[test]
fn after_a_pause_nothing_counts_until_the_new_life_and_then_only_answers() {
    let mut membership = membership(1, &[1, 2, 101]);
    membership.set_state(START, MemberState::Active);
    for peer in [2, 101] {
        membership.handle_event(START, &said(peer, 7, MemberState::Active, true));
    }
    let later = START + Duration::from_secs(120);
    // What waited in the sockets is opened before the timer is looked at.
    membership.handle_heard(later, number(2));
    membership.handle_event(later, &said(2, 7, MemberState::Active, true));
    assert_eq!(
        commands(&mut membership),
        [Command::Paused, Command::View, Command::Announce]
    );
    assert_eq!(membership.stats().pauses, 1);
    for peer in [2, 101] {
        assert_eq!(state_of(&membership, peer), Some(MemberState::Down));
    }
    assert!(!membership.may_settle(later));
    membership.renew(later, 9);
    assert_eq!(membership.incarnation(), 9);
    assert_eq!(membership.state(), MemberState::Joining);
    assert!(!membership.may_settle(later));
    assert_eq!(
        commands(&mut membership),
        [Command::View, Command::Announce]
    );
    membership.handle_event(later, &said(2, 7, MemberState::Active, false));
    assert_eq!(state_of(&membership, 2), Some(MemberState::Down));
    membership.handle_event(later, &said(2, 7, MemberState::Active, true));
    assert_eq!(state_of(&membership, 2), Some(MemberState::Active));
}

#[test]
fn a_peer_that_lost_its_count_is_heard_from_our_next_life_on() {
    let mut membership = membership(1, &[1, 2]);
    membership.handle_event(START, &said(2, 9, MemberState::Active, true));
    // Its state was lost while its clock is behind. In this life of ours the link hears nothing of it.
    let earlier = Event::PeerStarted {
        node: number(2),
        incarnation: 4,
    };
    membership.handle_event(START, &earlier);
    assert_eq!(state_of(&membership, 2), Some(MemberState::Active));
    membership.renew(START, 2);
    membership.handle_event(START, &said(2, 4, MemberState::Active, true));
    assert_eq!(state_of(&membership, 2), Some(MemberState::Down));
    membership.handle_event(START, &earlier);
    membership.handle_event(START, &said(2, 4, MemberState::Active, true));
    assert_eq!(state_of(&membership, 2), Some(MemberState::Active));
    let member = membership.view().member(number(2)).unwrap();
    assert_eq!(member.incarnation, 4);
}

#[test]
fn a_new_life_without_a_pause_begins_with_nobody_as_well() {
    let mut membership = membership(1, &[1, 2]);
    membership.handle_event(START, &said(2, 7, MemberState::Active, true));
    membership.renew(START + millis(10), 9);
    assert_eq!(state_of(&membership, 2), Some(MemberState::Down));
    let own = membership.view().member(number(1)).unwrap();
    assert_eq!((own.state, own.incarnation), (MemberState::Joining, 9));
}

#[test]
fn a_node_that_is_leaving_or_draining_stays_so_in_its_next_life() {
    let later = START + Duration::from_secs(9);
    for role in [1, 201] {
        let mut leaving = membership(role, &[1, 2, 201]);
        leaving.leave(START);
        leaving.renew(later, 9);
        leaving.set_drains(later, true);
        leaving.set_filled(later);
        assert_eq!(leaving.state(), MemberState::Down);
    }
    let mut host = membership(201, &[1, 201]);
    host.set_drains(START, true);
    host.renew(later, 9);
    assert_eq!(host.state(), MemberState::Draining);
    host.set_drains(later, false);
    host.renew(later, 10);
    assert_eq!(host.state(), MemberState::Active);
}

#[test]
fn a_tracker_that_drains_is_filled_first_in_each_of_its_lives() {
    let mut tracker = membership(1, &[1, 2]);
    tracker.set_drains(START, true);
    assert_eq!(tracker.state(), MemberState::Joining);
    tracker.set_filled(START);
    assert_eq!(tracker.state(), MemberState::Draining);
    tracker.renew(START + Duration::from_secs(9), 9);
    assert_eq!(tracker.state(), MemberState::Joining);
    // Wanted again before it is filled, it becomes active as any other.
    tracker.set_drains(START + Duration::from_secs(9), false);
    assert_eq!(tracker.state(), MemberState::Joining);
    tracker.set_filled(START + Duration::from_secs(9));
    assert_eq!(tracker.state(), MemberState::Active);
}

#[test]
fn the_file_is_right_about_roles_and_a_learnt_node_may_change_its_own() {
    let mut membership = membership(1, &[1, 2]);
    let mut event = said(2, 7, MemberState::Active, true);
    if let Event::PeerSaid { role, .. } = &mut event {
        *role = Role::HostAgent;
    }
    membership.handle_event(START, &event);
    assert_eq!(membership.known(number(2)).unwrap().role, Role::FlowTracker);
    membership.handle_event(START, &stranger(5, 1));
    let mut event = said(5, 7, MemberState::Active, true);
    if let Event::PeerSaid { role, .. } = &mut event {
        *role = Role::HostAgent;
    }
    membership.handle_event(START, &event);
    assert_eq!(membership.known(number(5)).unwrap().role, Role::HostAgent);
    assert!(commands(&mut membership).contains(&Command::SetInterval {
        node: number(5),
        interval: millis(200)
    }));
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Timeout,
    Started(u16, u32),
    Said(u16, u32, u8, bool, u16),
    Stranger(u16, u32, u8),
    Heard(u16),
    Members(u16, Vec<(u16, u32, u8, u8)>),
    State(u8),
    Renew(u32),
    Drain(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let node = 1..12_u16;
    prop_oneof![
        4 => (0..250_u64).prop_map(Step::Wait),
        1 => (250..900_000_u64).prop_map(Step::Wait),
        6 => Just(Step::Timeout),
        2 => (node.clone(), 0..6_u32).prop_map(|(n, i)| Step::Started(n, i)),
        6 => (node.clone(), 0..6_u32, 0..4_u8, any::<bool>(), 1..12_u16)
            .prop_map(|(n, i, s, a, r)| Step::Said(n, i, s, a, r)),
        3 => (node.clone(), 0..6_u32, 0..4_u8).prop_map(|(n, i, a)| Step::Stranger(n, i, a)),
        2 => node.clone().prop_map(Step::Heard),
        2 => (node.clone(), prop::collection::vec((node, 0..6_u32, 0..4_u8, 0..4_u8), 0..8))
            .prop_map(|(n, list)| Step::Members(n, list)),
        1 => (0..4_u8).prop_map(Step::State),
        1 => (0..20_u32).prop_map(Step::Renew),
        4 => (0..10_u8).prop_map(Step::Drain),
    ]
}

/// Numbers spread over the roles.
fn spread_out(node: u16) -> u16 {
    match node % 3 {
        0 => node,
        1 => 100 + node,
        _ => 200 + node,
    }
}

fn somewhere(node: u16, variant: u8) -> Ipv4Addr {
    match variant {
        0 => Ipv4Addr::UNSPECIFIED,
        1 => Ipv4Addr::new(10, 9, 9, node as u8),
        _ => address(node),
    }
}

fn take(membership: &mut Membership, now: &mut Time, step: &Step) {
    match step {
        Step::Wait(span) => *now = *now + millis(*span),
        Step::Timeout => membership.handle_timeout(*now),
        &Step::Started(node, incarnation) => membership.handle_event(
            *now,
            &Event::PeerStarted {
                node: number(spread_out(node)),
                incarnation,
            },
        ),
        &Step::Said(node, incarnation, state, answer, role) => membership.handle_event(
            *now,
            &Event::PeerSaid {
                node: number(spread_out(node)),
                incarnation,
                role: crate::testbed::role(spread_out(role)),
                state: MemberState::from_wire(state).unwrap(),
                view: 0,
                wire: 2,
                answer,
            },
        ),
        &Step::Stranger(node, incarnation, at) => {
            let node = spread_out(node);
            membership.handle_event(
                *now,
                &Event::Stranger {
                    node: number(node),
                    role: crate::testbed::role(node),
                    address: IpAddr::V4(somewhere(node, at)),
                    local: IpAddr::V4(address(1)),
                    incarnation,
                },
            );
        }
        &Step::Heard(node) => membership.handle_heard(*now, number(spread_out(node))),
        Step::Members(from, list) => {
            let entries: Vec<_> = list
                .iter()
                .map(|&(node, incarnation, state, at)| {
                    let node = spread_out(node);
                    let known = Known::at(
                        number(node),
                        crate::testbed::role(node),
                        IpAddr::V4(somewhere(node, at)),
                    );
                    known.entry(MemberState::from_wire(state).unwrap(), incarnation)
                })
                .collect();
            let list = List::Values(&entries);
            membership.handle_members(*now, number(spread_out(*from)), &list);
        }
        &Step::State(state) => {
            membership.set_state(*now, MemberState::from_wire(state).unwrap());
        }
        &Step::Renew(incarnation) => membership.renew(*now, incarnation),
        Step::Drain(_) => {}
    }
}

proptest! {
    #[test]
    fn whatever_happens_nothing_grows_and_the_view_is_sorted_and_announced(
        steps in prop::collection::vec(step(), 1..300),
        own in 1..12_u16,
    ) {
        const MOST: u32 = 7;
        let own = spread_out(own);
        let file: Vec<_> = [3, 6, 101, 202].into_iter().map(known).collect();
        let config = Config { max_nodes: MOST, ..config(own) };
        let mut membership = Membership::new(config, file, START);
        let mut now = START;
        let mut handed = View::default();
        for step in &steps {
            if let &Step::Drain(most) = step {
                let taken: Vec<_> = core::iter::from_fn(|| membership.poll_command())
                    .take(usize::from(most))
                    .collect();
                if taken.contains(&Command::View) {
                    handed = membership.view().clone();
                }
            }
            take(&mut membership, &mut now, step);
            let members = membership.view().members();
            prop_assert!(members.is_sorted_by(|a, b| a.node < b.node));
            prop_assert!(members.len() <= MOST as usize);
            prop_assert!(membership.peers.len() < MOST as usize);
            let known = |node: u16| membership.find(number(node)).is_ok() || node == own;
            for node in [3, 6, 101, 202] {
                let needed = speak(crate::testbed::role(own), crate::testbed::role(node));
                prop_assert!(known(node) || !needed, "{node} of the file is gone");
            }
            prop_assert_eq!(membership.view().member(number(own)).unwrap().state, membership.state());
            prop_assert!(membership.poll_timeout().is_some());
            let waiting = commands(&mut membership.clone());
            prop_assert!(membership.view() == &handed || waiting.contains(&Command::View));
            let stats = membership.stats();
            prop_assert_eq!((stats.up + stats.down + stats.asked) as usize, membership.peers.len());
            // One thing a kind and node at most, and letters.
            prop_assert!(waiting.len() <= 3 + 12 * 4 + 32, "{waiting:?}");
        }
    }

    #[test]
    fn whoever_is_not_heard_of_any_more_is_down_in_time(
        steps in prop::collection::vec(step(), 1..100),
    ) {
        let file: Vec<_> = [3, 6, 101, 202].into_iter().map(known).collect();
        let mut membership = Membership::new(config(9), file, START);
        let mut now = START;
        for step in &steps {
            take(&mut membership, &mut now, step);
        }
        let silence = now;
        while now < silence + millis(2_000) {
            now = membership.poll_timeout().unwrap().max(now);
            membership.handle_timeout(now);
            if now.since(silence) >= millis(400) {
                for peer in &membership.peers {
                    let fast = peer.known.role != Role::HostAgent;
                    prop_assert!(!peer.is_up() || !fast, "{:?}", peer.known);
                }
            }
            now = now + Duration::from_nanos(1);
        }
        prop_assert_eq!(membership.stats().up, 0);
    }
}

#[test]
fn unknown_nodes_events_are_of_no_account() {
    let mut membership = membership(1, &[1, 2]);
    let before = membership.view().clone();
    membership.handle_event(START, &said(9, 7, MemberState::Active, true));
    membership.handle_event(
        START,
        &Event::PeerStarted {
            node: number(9),
            incarnation: 3,
        },
    );
    membership.handle_event(
        START,
        &Event::PeerConfig {
            node: number(2),
            fingerprint: 3,
            same: false,
        },
    );
    membership.handle_heard(START, number(9));
    assert_eq!(membership.view(), &before);
    assert_eq!(commands(&mut membership), vec![]);
}

#[test]
fn another_configuration_is_acted_on_from_then_on() {
    let mut membership = membership(1, &[1, 2, 201]);
    membership.handle_event(START, &said(2, 1, MemberState::Active, true));
    commands(&mut membership);
    let faster = Config {
        heartbeat: millis(10),
        failure_timeout: millis(40),
        max_nodes: 3,
        // What stays as it was.
        incarnation: 9,
        ..config(1)
    };
    membership.handle_config(START, &faster);
    let interval = |node, interval| Command::SetInterval {
        node: number(node),
        interval: millis(interval),
    };
    assert_eq!(commands(&mut membership), [interval(2, 10)]);
    assert_eq!(membership.incarnation(), 1);
    assert!(membership.poll_timeout() <= Some(START + millis(10)));
    for at in (0..=60).step_by(5) {
        membership.handle_timeout(START + millis(at));
    }
    assert_eq!(state_of(&membership, 2), Some(MemberState::Down));
    membership.handle_config(START + millis(60), &config(1));
    assert!(commands(&mut membership).contains(&interval(2, 100)));
}

#[test]
fn a_fixed_list_greets_as_often_as_the_configuration_says() {
    let fixed = |heartbeat| Config {
        heartbeat: millis(heartbeat),
        host_heartbeat: millis(heartbeat),
        fixed: true,
        ..config(1)
    };
    let file = [1, 2, 201].map(known).to_vec();
    let mut membership = Membership::new(fixed(500), file, START);
    commands(&mut membership);
    membership.handle_config(START, &fixed(50));
    let greeted = commands(&mut membership);
    assert_eq!(greeted.len(), 2, "{greeted:?}");
    assert!(
        greeted
            .iter()
            .all(|command| matches!(command, Command::SetInterval { interval, .. } if *interval == millis(50)))
    );
}
