use crate::testbed::*;
use core::time::Duration;
use jlb_protocol::message::{Reason, ServiceLoad};
use jlb_protocol::view::Member;
use jlb_protocol::{MemberState, View};
use std::vec::Vec;

#[test]
fn load_goes_to_every_tracker_every_interval() {
    let mut bed = Bed::started(config());
    let sent = bed.run_loads(3_500);
    assert_eq!(sent.len(), 4 * 3, "at 0, 1, 2 and 3 s");
    for tracker in [10, 11, 12] {
        let told = sent
            .iter()
            .filter(|sent| matches!(sent, Sent::Load { to, .. } if *to == node(tracker)));
        assert_eq!(told.count(), 4);
    }
}

/// The connections of service 1 that the Loads to one tracker say, with the time of each, over so many ms.
fn told(bed: &mut Bed, millis: u64) -> Vec<(u64, u32)> {
    let began = bed.now;
    let mut told = Vec::new();
    for at in 0..millis {
        for sent in bed.run_loads(1) {
            let Sent::Load { to, services } = sent else {
                panic!("{sent:?}")
            };
            if to == node(10) {
                told.push((at, services[0].connections));
            }
        }
    }
    assert_eq!(bed.now, began + Duration::from_millis(millis));
    told
}

#[test]
fn a_change_of_connections_is_told_soon_but_not_too_often() {
    let mut config = config();
    config.timers.load_interval_min = Duration::from_millis(50);
    let mut bed = Bed::started(config);
    bed.run_loads(200);
    // The last was more than 50 ms ago: at once.
    bed.accept(client(1), 500);
    assert_eq!(told(&mut bed, 30), [(0, 1)]);
    // Two more within 50 ms are told together, when these are over.
    bed.accept(client(2), 500);
    bed.accept(client(3), 500);
    assert_eq!(told(&mut bed, 100), [(19, 3)]);
    // That one of them finishes its handshake changes nothing.
    bed.establish(client(2), 500);
    assert_eq!(told(&mut bed, 100), []);
    bed.destroyed(client(2), 9);
    assert_eq!(told(&mut bed, 1_100), [(0, 2), (999, 2)]);
}

#[test]
fn a_shortest_interval_of_the_usual_one_hurries_nothing() {
    let mut bed = Bed::started(config());
    bed.run_loads(200);
    bed.accept(client(1), 500);
    assert_eq!(told(&mut bed, 900), [(799, 1)]);
}

#[test]
fn load_counts_accepted_and_established_flows_but_not_closing_ones() {
    let mut config = config();
    limit_connections(&mut config, 4);
    let mut bed = Bed::started(config);
    bed.accept(client(1), 500);
    bed.establish(client(2), 500);
    bed.establish(client(3), 500);
    bed.destroyed(client(3), 9);
    let expected = |number, connections| ServiceLoad {
        service: service(number),
        connections,
        room: 4 - connections,
        load: if connections == 2 { u16::MAX / 2 } else { 0 },
        healthy: true,
    };
    let sent = bed.run_loads(0);
    assert_eq!(sent.len(), 3);
    for sent in sent {
        let Sent::Load { services, .. } = sent else {
            panic!("{sent:?}")
        };
        assert_eq!(services, [expected(1, 2), expected(2, 0), expected(3, 0)]);
    }
}

#[test]
fn a_full_table_leaves_no_room_in_any_service() {
    let mut config = config();
    config.limits.max_flows = 2;
    let mut bed = Bed::new(config);
    let before: Vec<_> = bed.agent.loads().map(|load| load.room).collect();
    assert_eq!(before, [u32::MAX; 3]);
    bed.accept(client(1), 500);
    bed.accept(client(2), 500);
    for load in bed.stats().services {
        assert_eq!((load.room, load.load), (0, u16::MAX));
    }
}

#[test]
fn many_services_need_several_messages() {
    let mut config = config();
    let first = config.services[0].clone();
    config.services = (1..=150)
        .map(|number| {
            let mut one = first.clone();
            one.number = service(number);
            one
        })
        .collect();
    let mut bed = Bed::started(config);
    let sent = bed.run_loads(0);
    let lengths: Vec<_> = sent
        .iter()
        .map(|sent| match sent {
            Sent::Load { services, .. } => services.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lengths, [64, 64, 22].repeat(3));
}

/// The services that the Loads among these call unhealthy, one entry a tracker.
fn unhealthy(sent: &[Sent]) -> Vec<Vec<u32>> {
    let loads = sent.iter().filter_map(|sent| match sent {
        Sent::Load { services, .. } => Some(services),
        Sent::State { .. } | Sent::Flow { .. } | Sent::Digest { .. } => None,
    });
    loads
        .map(|services| {
            let sick = services.iter().filter(|load| !load.healthy);
            sick.map(|load| load.service.get()).collect()
        })
        .collect()
}

#[test]
fn a_change_of_health_is_told_at_once_and_with_every_load() {
    let mut bed = Bed::new(config());
    bed.wait(300);
    bed.agent.set_health(bed.now, service(1), false);
    assert_eq!(unhealthy(&bed.drain()), [[1], [1], [1]]);
    bed.agent.set_health(bed.now, service(1), false);
    assert!(bed.drain().is_empty(), "nothing new");
    assert_eq!(unhealthy(&bed.run_loads(1_000)), [[1], [1], [1]]);
    // Another configuration keeps what is known.
    bed.agent.handle_config(bed.now, config());
    assert!(!bed.stats().services[0].healthy);
    bed.agent.set_health(bed.now, service(1), true);
    assert_eq!(unhealthy(&bed.drain()), [[], [], []] as [[u32; 0]; 3]);
    bed.agent.set_health(bed.now, service(99), false);
    assert!(bed.drain().is_empty(), "no such service");
}

#[test]
fn an_unhealthy_service_is_for_trackers_to_avoid_not_for_the_host_to_reject() {
    let mut bed = Bed::new(config());
    bed.agent.set_health(bed.now, service(1), false);
    bed.drain();
    bed.accept(client(1), 500);
    assert_eq!(bed.flows(), [1, 0, 0, 0]);
}

/// The view with this host in another state.
fn me_in(view: &View, state: MemberState) -> View {
    let members = view.members().iter().map(|&member| Member {
        state: if member.node == me() {
            state
        } else {
            member.state
        },
        ..member
    });
    View::new(members.collect())
}

#[test]
fn a_draining_host_rejects_new_flows_and_keeps_its_own() {
    let mut bed = Bed::new(config());
    let birth = bed.establish(client(1), 500);
    bed.wait(10);
    bed.see(me_in(&bed.view, MemberState::Draining));
    let sent = bed.run_loads(0);
    assert_eq!(sent.len(), 3, "told at once");
    for sent in sent {
        let Sent::Load { services, .. } = sent else {
            panic!("{sent:?}")
        };
        assert!(
            services
                .iter()
                .all(|load| load.room == 0 && load.load == u16::MAX)
        );
    }
    let (_, sent) = bed.offer(client(2), &client(2).syn(1));
    assert_eq!(rejected(&sent), Some((Reason::Draining, u16::MAX)));
    let (_, sent) = bed.offer(client(1), &client(1).syn(500));
    assert_eq!(accepted(&sent), Some(birth));
    assert!(bed.stats().draining);
    assert_eq!(bed.stats().counters.rejected_draining, 1);
    // It stays after all: an offer that was rejected stays rejected (R5), another is taken.
    bed.see(me_in(&bed.view, MemberState::Active));
    let (_, sent) = bed.offer(client(2), &client(2).syn(1));
    assert!(rejected(&sent).is_some());
    bed.accept(client(2), 2);
}

#[test]
fn a_tracker_that_comes_is_told_the_load_at_once_also_while_it_joins() {
    let mut bed = Bed::new(config());
    bed.wait(10);
    bed.see(trackers(&[
        (10, MemberState::Active, 0),
        (13, MemberState::Joining, 4),
    ]));
    let told = bed.run_loads(0);
    assert!(
        told.iter()
            .any(|sent| matches!(sent, Sent::Load { to, .. } if *to == node(13)))
    );
    bed.see(trackers(&[
        (10, MemberState::Active, 0),
        (13, MemberState::Down, 4),
    ]));
    let told = bed.run_loads(1_000);
    assert!(
        !told
            .iter()
            .any(|sent| matches!(sent, Sent::Load { to, .. } if *to == node(13)))
    );
}
