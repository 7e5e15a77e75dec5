use super::*;
use crate::testbed::{address, config, known, millis, number, role};
use crate::{Command, Config};
use core::net::{IpAddr, Ipv4Addr};
use jlb_protocol::link::Event;
use jlb_protocol::message::List;
use jlb_protocol::view::FailureDomain;
use jlb_protocol::{PacketBuf, Role, wire};

const START: Time = Time::from_millis(10_000);

fn membership(max_nodes: u32, file: &[u16]) -> Membership {
    let config = Config {
        max_nodes,
        ..config(1)
    };
    let file = file.iter().copied().map(known).collect();
    let mut membership = Membership::new(config, file, START);
    commands(&mut membership);
    membership
}

fn commands(membership: &mut Membership) -> Vec<Command> {
    core::iter::from_fn(|| membership.poll_command()).collect()
}

fn stranger_at(node: u16, incarnation: u32, address: Ipv4Addr) -> Event {
    Event::Stranger {
        node: number(node),
        role: role(node),
        address: IpAddr::V4(address),
        local: IpAddr::V4(crate::testbed::address(1)),
        incarnation,
    }
}

fn stranger(node: u16) -> Event {
    stranger_at(node, 1, address(node))
}

fn answers(of: u16, incarnation: u32) -> Event {
    Event::PeerSaid {
        node: number(of),
        incarnation,
        role: role(of),
        state: MemberState::Active,
        view: 0,
        wire: 2,
        answer: true,
    }
}

fn added(membership: &mut Membership) -> Vec<u16> {
    commands(membership)
        .iter()
        .filter_map(|command| match command {
            Command::AddPeer(known) => Some(known.node.get()),
            _ => None,
        })
        .collect()
}

fn letters(membership: &mut Membership) -> Vec<(u16, Vec<u16>)> {
    commands(membership)
        .into_iter()
        .filter_map(|command| match command {
            Command::SendMembers { to, entries } => {
                let nodes = entries.iter().map(|entry| entry.member.node.get());
                Some((to.get(), nodes.collect()))
            }
            _ => None,
        })
        .collect()
}

fn run(membership: &mut Membership, from: Time, span: Duration) -> Time {
    let end = from + span;
    while let Some(at) = membership.poll_timeout().filter(|&at| at <= end) {
        membership.handle_timeout(at.max(from));
    }
    end
}

#[test]
fn a_stranger_is_asked_and_a_member_once_it_answers() {
    let mut membership = membership(8, &[1, 2]);
    membership.handle_event(START, &stranger(5));
    assert_eq!(
        commands(&mut membership),
        [
            Command::AddPeer(known(5)),
            Command::SetInterval {
                node: number(5),
                interval: millis(100)
            }
        ]
    );
    assert_eq!(membership.view().member(number(5)), None);
    membership.handle_event(START, &stranger(5));
    assert_eq!(commands(&mut membership), []);
    membership.handle_event(START, &answers(5, 3));
    let member = *membership.view().member(number(5)).unwrap();
    assert_eq!((member.state, member.incarnation), (MemberState::Active, 3));
    assert_eq!(commands(&mut membership), [Command::View]);
    assert_eq!(membership.stats().learnt, 1);
}

#[test]
fn a_stranger_that_answered_is_told_three_times_who_is_there() {
    let mut membership = membership(8, &[1, 2, 3, 201]);
    for peer in [2, 201] {
        membership.handle_event(START, &answers(peer, 1));
    }
    membership.handle_timeout(START);
    commands(&mut membership);
    membership.handle_event(START, &stranger(5));
    membership.handle_event(START, &answers(5, 1));
    let mut told = Vec::new();
    for span in [0, 100, 200, 300, 400] {
        let now = START + millis(span);
        membership.handle_timeout(now);
        for peer in [2, 201, 5] {
            membership.handle_event(now, &answers(peer, 1));
        }
        told.extend(letters(&mut membership));
    }
    assert_eq!(told.len(), 3, "{told:?}");
    for (to, mut nodes) in told {
        nodes.sort_unstable();
        // Neither itself, nor one that is down.
        assert_eq!((to, nodes), (5, [2, 201].into()));
    }
}

#[test]
fn a_stranger_that_does_not_answer_is_asked_for_five_seconds() {
    let mut membership = membership(8, &[1, 2]);
    membership.handle_event(START, &stranger(5));
    commands(&mut membership);
    let now = run(&mut membership, START, millis(4_950));
    assert_eq!(membership.stats().asked, 1);
    run(&mut membership, now, millis(150));
    assert_eq!(membership.stats().asked, 0);
    assert!(commands(&mut membership).contains(&Command::RemovePeer(number(5))));
    assert!(membership.known(number(5)).is_none());
}

#[test]
fn replayed_hellos_of_strangers_take_a_bounded_place_and_keep_nobody_out() {
    let mut membership = membership(1_000, &[1, 2]);
    let mut now = START;
    let mut joined = false;
    for round in 0..500_u16 {
        now = now + millis(7);
        membership.handle_timeout(now);
        let replayed = 1_000 + round % 40;
        membership.handle_event(now, &stranger(replayed));
        // One that is there repeats its Hello, and answers within a few milliseconds.
        if round > 100 && round % 14 == 0 && !joined {
            membership.handle_event(now, &stranger(5));
            if added(&mut membership).contains(&5) {
                membership.handle_event(now + millis(3), &answers(5, 1));
                joined = true;
            }
        }
        commands(&mut membership);
        assert!(membership.stats().asked <= MAX_STRANGERS as u32);
    }
    assert!(joined);
    for replayed in 2_000..2_100 {
        membership.handle_event(now, &stranger(replayed));
    }
    assert!(membership.stats().refused >= 100 - MAX_STRANGERS as u64);
    assert!(membership.stats().asked <= MAX_STRANGERS as u32);
    run(&mut membership, now, ASKED_FOR + millis(200));
    assert_eq!(membership.peers.len(), 2);
}

#[test]
fn there_are_never_more_nodes_than_there_is_room_for() {
    let mut membership = membership(4, &[1, 2]);
    for node in [5, 6, 7, 8] {
        membership.handle_event(START, &stranger(node));
        membership.handle_event(START, &answers(node, 1));
    }
    assert_eq!(membership.view().members().len(), 4);
    assert_eq!(membership.stats().refused, 2);
}

#[test]
fn whom_this_node_does_not_speak_with_or_cannot_reach_stays_out() {
    let config = Config {
        max_nodes: 9,
        ..config(101)
    };
    let mut ingress = Membership::new(config, [known(1)].into(), START);
    ingress.handle_event(START, &stranger(102));
    ingress.handle_event(START, &stranger(101));
    let odd = [
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::BROADCAST,
        Ipv4Addr::new(224, 0, 0, 1),
    ];
    for address in odd {
        ingress.handle_event(START, &stranger_at(5, 1, address));
    }
    assert_eq!(ingress.stats().refused, 5);
    assert_eq!(ingress.peers.len(), 1);
}

#[test]
fn hearsay_counts_only_from_a_peer_that_is_up_and_of_nodes_that_are() {
    let mut membership = membership(8, &[1, 2]);
    let entry = |node, state| known(node).entry(state, 1);
    let entries = [
        entry(1, MemberState::Active),
        entry(2, MemberState::Active),
        entry(5, MemberState::Joining),
        entry(6, MemberState::Down),
        entry(7, MemberState::Draining),
    ];
    let list = List::Values(&entries);
    membership.handle_members(START, number(2), &list);
    membership.handle_members(START, number(9), &list);
    assert_eq!(added(&mut membership), []);
    membership.handle_event(START, &answers(2, 1));
    membership.handle_members(START, number(2), &list);
    assert_eq!(added(&mut membership), [5, 7]);
    membership.handle_event(START, &answers(5, 1));
    assert_eq!(membership.stats().learnt, 1);
    // Whoever told us of it told it of others as well.
    membership.handle_timeout(START);
    assert!(letters(&mut membership).iter().all(|(to, _)| *to != 5));
}

#[test]
fn the_round_goes_over_all_peers_and_all_nodes_in_messages_that_fit() {
    let mut membership = membership(300, &[1]);
    let nodes: Vec<_> = (2..92).collect();
    for &node in &nodes {
        let entries = [known(node).entry(MemberState::Active, 1)];
        membership.handle_event(START, &stranger(node));
        membership.handle_event(START, &answers(node, 1));
        membership.handle_members(START, number(node), &List::Values(&entries));
    }
    let mut now = START;
    let (mut to, mut of) = (Vec::new(), Vec::new());
    for _ in 0..920 {
        now = now + millis(100);
        for &node in &nodes {
            membership.handle_event(now, &answers(node, 1));
        }
        membership.handle_timeout(now);
        for command in commands(&mut membership) {
            let Command::SendMembers {
                to: receiver,
                entries,
            } = command
            else {
                continue;
            };
            let members = List::Values(&entries);
            let message = jlb_protocol::message::Control::Members { members };
            assert!(wire::encode_control(&message, &mut PacketBuf::default()).is_ok());
            if now > START + millis(1_000) {
                to.push(receiver.get());
                of.extend(entries.iter().map(|entry| entry.member.node.get()));
            }
        }
    }
    for list in [&mut to, &mut of] {
        list.sort_unstable();
        list.dedup();
        assert_eq!(*list, nodes);
    }
}

#[test]
fn a_learnt_node_moves_only_when_down_and_in_a_later_life() {
    let mut membership = membership(8, &[1, 2]);
    let elsewhere = Ipv4Addr::new(10, 9, 9, 9);
    membership.handle_event(START, &stranger(5));
    membership.handle_event(START, &answers(5, 3));
    commands(&mut membership);
    membership.handle_event(START, &stranger(5));
    assert_eq!(membership.stats().refused, 0);
    membership.handle_event(START, &stranger_at(5, 4, elsewhere));
    assert_eq!(added(&mut membership), []);
    assert_eq!(membership.stats().refused, 1, "two nodes with one number");
    let now = run(&mut membership, START, millis(500));
    assert_eq!(membership.stats().down, 2);
    commands(&mut membership);
    for incarnation in [1, 3] {
        membership.handle_event(now, &stranger_at(5, incarnation, elsewhere));
        assert_eq!(added(&mut membership), []);
    }
    membership.handle_event(now, &stranger_at(5, 4, elsewhere));
    let moved = Known::at(number(5), Role::FlowTracker, IpAddr::V4(elsewhere));
    assert!(
        commands(&mut membership)
            .starts_with(&[Command::RemovePeer(number(5)), Command::AddPeer(moved)])
    );
    // A Hello of the former place and life, replayed, changes nothing.
    let now = run(&mut membership, now, millis(300));
    membership.handle_event(now, &stranger(5));
    assert_eq!(membership.known(number(5)), Some(&moved));
    membership.handle_event(now, &answers(5, 2));
    assert_eq!(membership.view().member(number(5)), None);
    membership.handle_event(now, &answers(5, 4));
    assert!(membership.view().member(number(5)).is_some());
}

#[test]
fn a_node_of_the_file_stays_where_the_file_says() {
    let mut membership = membership(8, &[1, 2]);
    membership.handle_event(START, &stranger_at(2, 9, Ipv4Addr::new(10, 9, 9, 9)));
    assert_eq!(commands(&mut membership), []);
    assert_eq!(membership.stats().refused, 1);
    assert_eq!(membership.known(number(2)), Some(&known(2)));
}

#[test]
fn a_node_that_the_file_names_from_now_on_is_a_peer_at_once() {
    let mut membership = membership(8, &[1, 2]);
    membership.handle_file(START, &[1, 2, 5, 201].map(known));
    let told = commands(&mut membership);
    for node in [5, 201] {
        assert!(told.contains(&Command::AddPeer(known(node))), "{told:?}");
        let member = membership.view().member(number(node)).unwrap();
        assert_eq!(member.state, MemberState::Down, "until it answers");
    }
    assert!(told.contains(&Command::View));
    membership.handle_event(START, &answers(5, 1));
    let member = membership.view().member(number(5)).unwrap();
    assert_eq!(member.state, MemberState::Active);
    // The same file again changes nothing.
    commands(&mut membership);
    membership.handle_file(START, &[1, 2, 5, 201].map(known));
    assert_eq!(commands(&mut membership), []);
}

#[test]
fn a_node_that_is_there_already_stays_when_the_file_names_it_and_when_it_does_not_any_more() {
    let mut membership = membership(8, &[1, 2]);
    membership.handle_event(START, &stranger(5));
    membership.handle_event(START, &answers(5, 1));
    commands(&mut membership);
    // The file knows one address more than it was met at.
    let both = Known {
        v6: Some(core::net::Ipv6Addr::LOCALHOST),
        ..known(5)
    };
    membership.handle_file(START, &[known(1), known(2), both]);
    assert_eq!(commands(&mut membership), [], "its session goes on");
    membership.handle_file(START, &[1, 2].map(known));
    assert_eq!(commands(&mut membership), []);
    let member = membership.view().member(number(5)).unwrap();
    assert_eq!(member.state, MemberState::Active);
}

#[test]
fn a_node_that_is_in_no_file_any_more_and_does_not_answer_is_forgotten() {
    let mut membership = membership(8, &[1, 2]);
    let now = run(&mut membership, START, millis(700_000));
    assert!(membership.view().member(number(2)).is_some());
    membership.handle_file(now, &[known(1)]);
    let now = run(&mut membership, now, millis(590_000));
    assert!(membership.view().member(number(2)).is_some());
    run(&mut membership, now, millis(20_000));
    assert_eq!(membership.view().member(number(2)), None);
}

#[test]
fn a_node_of_the_file_that_has_moved_is_met_anew() {
    let mut membership = membership(8, &[1, 2]);
    membership.handle_event(START, &answers(2, 1));
    commands(&mut membership);
    let moved = Known::at(number(2), role(2), IpAddr::V4(address(77)));
    membership.handle_file(START, &[known(1), moved]);
    let told = commands(&mut membership);
    assert_eq!(told[0], Command::RemovePeer(number(2)));
    assert_eq!(told[1], Command::AddPeer(moved));
    let member = membership.view().member(number(2)).unwrap();
    assert_eq!(member.state, MemberState::Down);
}

#[test]
fn a_fixed_list_is_what_the_file_says() {
    let config = Config {
        fixed: true,
        ..config(1)
    };
    let mut membership = Membership::new(config, [1, 2, 3].map(known).to_vec(), START);
    commands(&mut membership);
    membership.handle_file(START, &[1, 3, 4].map(known));
    let told = commands(&mut membership);
    assert!(told.contains(&Command::RemovePeer(number(2))), "{told:?}");
    assert!(told.contains(&Command::AddPeer(known(4))), "{told:?}");
    let members = membership.view().members().iter();
    let nodes: Vec<u16> = members.map(|member| member.node.get()).collect();
    assert_eq!(nodes, [1, 3, 4]);
}

/// What a file says of what fails together is in the view at once, of others and of the node itself, and while it says so.
#[test]
fn failure_domains_are_those_of_the_file() {
    let mut membership = membership(8, &[1, 2, 101]);
    let domain =
        |membership: &Membership, of: u16| membership.view().member(number(of)).unwrap().domain;
    let rack = |of: u16, label: &str| Known {
        domain: Some(FailureDomain::of(label)),
        ..known(of)
    };
    commands(&mut membership);
    let racks = [rack(1, "a"), rack(2, "b"), known(101)];
    membership.handle_file(START, &racks);
    assert_eq!(commands(&mut membership), [Command::View]);
    assert_eq!(domain(&membership, 1), racks[0].domain);
    assert_eq!(domain(&membership, 2), racks[1].domain);
    assert_eq!(domain(&membership, 101), None);
    assert_ne!(racks[0].domain, racks[1].domain);
    // Nobody else tells it, and where the file names the node no more, nobody does.
    membership.handle_event(START, &answers(2, 1));
    commands(&mut membership);
    membership.handle_file(START, &[101].map(known));
    assert!(commands(&mut membership).contains(&Command::View));
    assert_eq!(domain(&membership, 1), None);
    assert_eq!(domain(&membership, 2), None);
    membership.handle_event(START, &stranger(3));
    membership.handle_event(START, &answers(3, 1));
    assert_eq!(domain(&membership, 3), None);
    // A node has its own from its start on.
    let started = Membership::new(config(1), racks.to_vec(), START);
    assert_eq!(domain(&started, 1), racks[0].domain);
    assert_eq!(domain(&started, 2), racks[1].domain);
}
