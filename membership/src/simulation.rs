//! What must hold of a whole cluster: no false alarms under loss, detection in time, joining through
//! any node, leaving, pauses.

use crate::testbed::{Fault, World, millis, number};
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::{MemberState, Time};

/// The most time from a kill to everybody's knowing it, between nodes that are not hosts.
const DETECTION: Duration = Duration::from_millis(500);

/// False alarms in a cluster of so many trackers and ingress nodes in that time, with every
/// twentieth message lost.
fn false_alarms(seed: u64, nodes: u16, span: Duration, fault: Fault) -> usize {
    let numbers: Vec<_> = (1..=nodes)
        .map(|node| if node % 2 == 0 { node } else { 100 + node })
        .collect();
    let mut world = World::of(seed, &numbers);
    world.loss = 50;
    world.fault = fault;
    world.settle();
    for &a in &numbers {
        for &b in &numbers {
            let speak = crate::speak(crate::testbed::role(a), crate::testbed::role(b));
            let expected = (a == b || speak).then_some(MemberState::Active);
            let seen = world.state(a, b);
            assert!(
                seen == expected || fault != Fault::None,
                "seed {seed}: {b} is {seen:?} at {a}"
            );
        }
    }
    world.run(span);
    world
        .nodes
        .values()
        .map(|node| node.losses().len() + node.pauses as usize)
        .sum()
}

#[test]
fn at_5_percent_loss_nobody_is_believed_down_in_an_hour() {
    // Seven clusters of nine minutes each: an hour and 25 hours of pairs.
    for nodes in 2..=8 {
        let alarms = false_alarms(
            u64::from(nodes),
            nodes,
            Duration::from_secs(540),
            Fault::None,
        );
        assert_eq!(alarms, 0, "{nodes} nodes");
    }
}

#[test]
#[ignore = "minutes; run with --release"]
fn at_5_percent_loss_nobody_is_believed_down_in_days() {
    for nodes in 2..=8 {
        let span = Duration::from_secs(4 * 3_600);
        let alarms = false_alarms(u64::from(nodes) + 100, nodes, span, Fault::None);
        assert_eq!(alarms, 0, "{nodes} nodes");
    }
}

#[test]
fn false_alarms_are_seen_where_silent_peers_are_not_asked_or_the_heartbeat_is_slow() {
    assert!(false_alarms(1, 8, Duration::from_secs(300), Fault::NoProbes) > 0);
    assert!(false_alarms(1, 8, Duration::from_secs(20), Fault::SlowHeartbeat) > 0);
}

/// The longest that anybody believed in a killed node, over so many kills.
fn slowest_detection(seed: u64, loss: u64, kills: u32) -> Duration {
    let numbers = [1, 2, 3, 101, 102];
    let mut world = World::of(seed, &numbers);
    world.loss = loss;
    world.settle();
    let mut slowest = Duration::ZERO;
    for kill in 0..kills {
        let victim = numbers[world.random.below(5) as usize];
        let wait = millis(world.random.below(1_000));
        world.run(wait);
        let killed = world.now;
        world.kill(victim);
        world.run(millis(1_000));
        for &other in &numbers {
            let speaks = crate::speak(crate::testbed::role(other), crate::testbed::role(victim));
            if other == victim || !speaks {
                continue;
            }
            let losses = world.nodes[&other].losses();
            let &(at, whom) = losses.last().unwrap();
            assert!(whom == victim && at >= killed, "{other} lost {losses:?}");
            slowest = slowest.max(at.since(killed));
        }
        world.start(victim, &numbers, kill + 2);
        world.settle();
    }
    slowest
}

#[test]
fn a_killed_node_is_down_for_everybody_within_half_a_second() {
    let slowest = slowest_detection(1, 0, 60);
    assert!(
        slowest <= DETECTION && slowest >= millis(300),
        "{slowest:?}"
    );
    let slowest = slowest_detection(2, 50, 60);
    assert!(slowest <= DETECTION, "{slowest:?}");
}

#[test]
fn a_killed_host_is_down_within_its_own_timeout() {
    let mut world = World::of(7, &[1, 2, 101, 201, 202]);
    world.settle();
    world.kill(201);
    world.run(millis(820));
    for other in [1, 2, 101] {
        assert_eq!(world.state(other, 201), Some(MemberState::Down));
        assert_eq!(world.state(other, 202), Some(MemberState::Active));
    }
    assert_eq!(world.state(202, 201), None);
}

#[test]
fn a_restart_is_a_leave_and_a_join_however_fast() {
    let numbers = [1, 2, 101];
    let mut world = World::of(3, &numbers);
    world.settle();
    world.kill(2);
    world.run(millis(5));
    world.start(2, &numbers, 9);
    world.run(millis(60));
    for other in [1, 101] {
        let view = world.nodes[&other].membership.view();
        let member = view.member(number(2)).unwrap();
        assert_eq!(
            (member.state, member.incarnation),
            (MemberState::Joining, 9)
        );
        assert_eq!(world.nodes[&other].membership.stats().restarted, 1);
        assert_eq!(world.nodes[&other].membership.stats().silent, 0);
    }
    world.settle();
    assert_eq!(world.state(101, 2), Some(MemberState::Active));
}

#[test]
fn a_change_of_state_is_heard_of_at_once_and_a_loss_heals() {
    let mut world = World::of(4, &[1, 2, 101, 201]);
    world.settle();
    world.set_state(2, MemberState::Draining);
    world.run(millis(5));
    for other in [1, 101, 201] {
        assert_eq!(world.state(other, 2), Some(MemberState::Draining));
    }
    world.cut = [(201, 1), (201, 101)].into();
    world.set_state(201, MemberState::Draining);
    world.run(millis(20));
    assert_eq!(world.state(1, 201), Some(MemberState::Active));
    world.cut.clear();
    world.run(millis(250));
    assert_eq!(world.state(1, 201), Some(MemberState::Draining));
}

#[test]
fn whoever_says_that_it_leaves_is_down_at_once() {
    let mut world = World::of(5, &[1, 2, 101, 201]);
    world.settle();
    world.set_state(2, MemberState::Down);
    world.run(millis(5));
    for other in [1, 101, 201] {
        assert_eq!(world.state(other, 2), Some(MemberState::Down));
        assert_eq!(world.nodes[&other].membership.stats().left, 1);
    }
    world.run(millis(400));
    assert_eq!(world.state(101, 2), Some(MemberState::Down));
}

#[test]
fn a_way_that_is_broken_in_one_direction_takes_the_peer_down_on_both_sides() {
    let mut world = World::of(6, &[1, 2, 101]);
    world.settle();
    world.cut = [(101, 2)].into();
    world.run(millis(1_000));
    assert_eq!(world.state(2, 101), Some(MemberState::Down));
    assert_eq!(world.state(101, 2), Some(MemberState::Down));
    assert_eq!(world.nodes[&101].membership.stats().deaf, 1);
    assert_eq!(world.state(101, 1), Some(MemberState::Active));
    let losses = world.nodes[&101].losses().len();
    world.run(Duration::from_secs(20));
    assert_eq!(world.nodes[&101].losses().len(), losses, "it flaps");
    world.cut.clear();
    world.run(millis(300));
    assert_eq!(world.state(2, 101), Some(MemberState::Active));
    assert_eq!(world.state(101, 2), Some(MemberState::Active));
}

#[test]
fn a_node_that_was_paused_begins_a_new_life_and_nobody_else_is_hurt() {
    for (victim, pause) in [(2, 120_000), (101, 120_000), (201, 120_000), (1, 600)] {
        let mut world = World::of(8, &[1, 2, 3, 101, 201]);
        world.settle();
        world.stop(victim, millis(pause));
        world.run(millis(pause - 1));
        let stopped = world.nodes[&victim].losses().len();
        assert_eq!(stopped, 0);
        world.run(millis(200));
        let paused = &world.nodes[&victim];
        let expected = u32::from(victim != 201 || pause > 800);
        assert_eq!(paused.pauses, expected);
        let lives = paused.membership.incarnation();
        assert_eq!(lives, 1 + expected);
        world.settle();
        for (&own, node) in &world.nodes {
            for member in node.membership.view().members() {
                assert_eq!(member.state, MemberState::Active, "{member:?} at {own}");
            }
            let others = node.losses().iter().filter(|loss| loss.1 != victim).count();
            assert!(own == victim || others == 0);
        }
    }
}

#[test]
fn whoever_wakes_from_a_pause_believes_nobody_until_they_answer() {
    let mut world = World::of(9, &[1, 2, 101]);
    world.settle();
    world.stop(1, millis(5_000));
    world.run(millis(4_999));
    world.cut = [(1, 2), (1, 101)].into();
    world.run(millis(1_000));
    let node = &world.nodes[&1];
    for member in node.membership.view().members() {
        let expected = if member.node == number(1) {
            MemberState::Joining
        } else {
            MemberState::Down
        };
        assert_eq!(member.state, expected);
    }
    // With nobody there to answer within the timeout it may act alone.
    assert!(node.membership.may_settle(world.now));
}

#[test]
fn own_lateness_makes_nobody_else_dead() {
    let mut world = World::of(10, &[1, 2, 101, 102]);
    world.settle();
    for _ in 0..200 {
        world.stop(1, millis(250));
        world.run(millis(600));
    }
    for node in world.nodes.values() {
        assert_eq!(node.losses(), [], "{:?}", node.membership.stats());
        assert_eq!(node.pauses, 0);
    }
    assert!(world.nodes[&1].membership.stats().excused > 50);
}

#[test]
fn a_node_joins_through_any_node_that_it_speaks_with() {
    for seed in 0..20 {
        let cluster = [1, 2, 101, 201, 202];
        for (joiner, through) in [(5, 1), (5, 101), (5, 202), (105, 2), (205, 101), (205, 1)] {
            let mut world = World::of(seed, &cluster);
            world.loss = 50;
            world.settle();
            world.start(joiner, &[joiner, through], 1);
            world.settle();
            for other in cluster {
                let speak = crate::speak(crate::testbed::role(joiner), crate::testbed::role(other));
                let expected = speak.then_some(MemberState::Active);
                assert_eq!(world.state(other, joiner), expected, "{joiner} at {other}");
                assert_eq!(world.state(joiner, other), expected, "{other} at {joiner}");
            }
        }
    }
}

#[test]
fn without_being_told_a_joiner_finds_only_the_node_of_its_file() {
    let mut world = World::of(1, &[1, 2, 101]);
    world.fault = Fault::NoMembers;
    world.settle();
    world.start(5, &[5, 1], 1);
    world.settle();
    assert_eq!(world.state(5, 1), Some(MemberState::Active));
    assert_eq!(world.state(5, 2), None);
}

#[test]
fn two_halves_that_know_each_other_by_one_node_become_one() {
    let mut world = World::new(11);
    for own in [1, 2, 101] {
        world.start(own, &[1, 2, 101], 1);
    }
    for own in [11, 12, 111] {
        world.start(own, &[11, 12, 111], 1);
    }
    world.settle();
    assert_eq!(world.state(1, 11), None);
    world.start(50, &[2, 12, 50], 1);
    for _ in 0..4 {
        world.settle();
    }
    for own in [1, 2, 11, 12, 50] {
        for other in [1, 2, 101, 11, 12, 111, 50] {
            assert_eq!(
                world.state(own, other),
                Some(MemberState::Active),
                "{other} at {own}"
            );
        }
    }
}

#[test]
fn a_learnt_node_that_is_gone_for_long_is_forgotten_everywhere_for_good() {
    let mut world = World::of(12, &[1, 2, 101]);
    world.settle();
    world.start(5, &[5, 1], 1);
    world.settle();
    assert_eq!(world.state(101, 5), Some(MemberState::Active));
    world.kill(5);
    world.run(Duration::from_secs(590));
    assert_eq!(world.state(101, 5), Some(MemberState::Down));
    world.run(Duration::from_secs(60));
    for own in [1, 2, 101] {
        assert_eq!(world.state(own, 5), None);
        assert_eq!(world.nodes[&own].link.sessions().count(), 2);
        assert_eq!(world.nodes[&own].membership.stats().forgotten, 1);
    }
    // And a node of the file is not.
    world.kill(2);
    world.run(Duration::from_secs(700));
    assert_eq!(world.state(1, 2), Some(MemberState::Down));
    // Its return under its number is as good as ever.
    world.start(5, &[5, 1], 2);
    world.settle();
    assert_eq!(world.state(101, 5), Some(MemberState::Active));
}

#[test]
fn a_learnt_node_may_come_back_at_another_address() {
    let mut world = World::of(13, &[1, 2, 101]);
    world.settle();
    let before = world.now;
    world.start(5, &[5, 1], 1);
    world.settle();
    world.kill(5);
    world.run(millis(1_000));
    assert_eq!(world.state(2, 5), Some(MemberState::Down));
    world.moved.insert(5, 77);
    world.start(5, &[5, 1], 2);
    world.settle();
    assert!(world.now > before);
    for own in [1, 2, 101] {
        assert_eq!(world.state(own, 5), Some(MemberState::Active), "at {own}");
    }
    assert_eq!(world.state(5, 101), Some(MemberState::Active));
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let history = |seed| {
        let mut world = World::of(seed, &[1, 2, 101, 201]);
        world.loss = 200;
        world.settle();
        world.kill(2);
        world.run(millis(2_000));
        let seen: Vec<_> = world.nodes.values().map(|node| node.seen.clone()).collect();
        (seen, world.messages, world.now)
    };
    assert_eq!(history(1), history(1));
    assert_ne!(history(1).0, history(2).0);
    assert!(history(1).2 > Time::ZERO);
}
