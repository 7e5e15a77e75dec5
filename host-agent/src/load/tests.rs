use crate::testbed::*;
use jlb_protocol::message::ServiceLoad;
use std::vec::Vec;

#[test]
fn load_goes_to_every_tracker_every_interval() {
    let mut bed = Bed::new(config());
    let sent = bed.run_with_loads(3_500);
    assert_eq!(sent.len(), 4 * 3, "at 0, 1, 2 and 3 s");
    for tracker in [10, 11, 12] {
        let told = sent
            .iter()
            .filter(|sent| matches!(sent, Sent::Load { to, .. } if *to == node(tracker)));
        assert_eq!(told.count(), 4);
    }
}

#[test]
fn load_counts_accepted_and_established_flows_but_not_closing_ones() {
    let mut config = config();
    limit_connections(&mut config, 4);
    let mut bed = Bed::new(config);
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
    let sent = bed.run_with_loads(0);
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
    let mut bed = Bed::new(config);
    let sent = bed.run_with_loads(0);
    let lengths: Vec<_> = sent
        .iter()
        .map(|sent| match sent {
            Sent::Load { services, .. } => services.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lengths, [64, 64, 22].repeat(3));
}
