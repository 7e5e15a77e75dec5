use super::*;
use crate::testbed::{birth, client, config, service, udp_client};

fn flows() -> Flows {
    Flows::new(8, config().timers, 1)
}

fn new_flow(port: u16, state: State) -> NewFlow {
    NewFlow {
        key: client(port).key(),
        birth: birth(port.into()),
        isn: Some(1),
        protocol: Protocol::Tcp,
        state,
        since: Time::ZERO,
        ingress: None,
    }
}

#[test]
fn cookies_follow_their_flow() {
    let mut flows = flows();
    let one = flows
        .insert(Time::ZERO, new_flow(1, State::Established))
        .unwrap();
    let two = flows
        .insert(Time::ZERO, new_flow(2, State::Established))
        .unwrap();
    assert_eq!(flows.unproven(), 2);
    flows.learn_cookie(Time::ZERO, one, 7);
    assert_eq!(flows.by_cookie(7), Some(one));
    flows.learn_cookie(Time::ZERO, one, 8);
    assert_eq!((flows.by_cookie(7), flows.by_cookie(8)), (None, Some(one)));
    flows.learn_cookie(Time::ZERO, two, 8);
    assert_eq!(flows.by_cookie(8), Some(two));
    assert!(!flows.get(one).unwrap().has_cookie());
    assert_eq!(flows.unproven(), 1);
    flows.remove(two);
    assert_eq!(flows.by_cookie(8), None);
    flows.remove(one);
    assert_eq!(flows.unproven(), 0);
}

#[test]
fn a_stale_handle_finds_nothing() {
    let mut flows = flows();
    let handle = flows
        .insert(Time::ZERO, new_flow(1, State::Accepted))
        .unwrap();
    flows.remove(handle);
    assert!(flows.remove(handle).is_none());
    flows.learn_cookie(Time::ZERO, handle, 1);
    assert_eq!(flows.by_cookie(1), None);
    flows.touch(Time::ZERO, handle);
    flows.syn_delivered(Time::ZERO, handle, 1);
    assert!(!flows.listed(handle, 1, Time::ZERO));
    assert!(matches!(
        flows.apply(Time::ZERO, handle, Event::Expired),
        Outcome::Same
    ));
}

#[test]
fn connections_are_counted_by_service_and_state() {
    let mut flows = flows();
    let one = flows
        .insert(Time::ZERO, new_flow(1, State::Accepted))
        .unwrap();
    let udp = NewFlow {
        key: udp_client(1).key(),
        protocol: Protocol::Udp,
        ..new_flow(1, State::Accepted)
    };
    flows.insert(Time::ZERO, udp).unwrap();
    assert_eq!(flows.connections(service(1)), 1);
    assert_eq!(flows.connections(service(2)), 1);
    assert_eq!(flows.connections(service(3)), 0);
    flows.apply(Time::ZERO, one, Event::Handshake);
    assert_eq!(flows.connections(service(1)), 1);
    flows.apply(Time::ZERO, one, Event::Destroyed);
    assert_eq!(flows.connections(service(1)), 0);
    assert_eq!(flows.in_state(State::Closing), 1);
    assert_eq!(flows.room(), 6);
}

#[test]
fn first_refreshes_are_spread_over_the_second_half_of_the_interval() {
    let mut flows = Flows::new(200, config().timers, 1);
    for port in 1..=200 {
        flows
            .insert(Time::ZERO, new_flow(port, State::Established))
            .unwrap();
    }
    let mut due = [0; 20];
    for second in 0..20 {
        let now = Time::from_millis((second + 1) * 1_000 + 10);
        while let Some((_, why)) = flows.pop_due(now) {
            assert_eq!(why, Due::Refresh);
            due[usize::try_from(second).unwrap()] += 1;
        }
    }
    assert_eq!(due[..9], [0; 9]);
    assert_eq!(due.iter().sum::<u32>(), 200);
    assert!(due[10..].iter().all(|&count| count > 5), "{due:?}");
}
