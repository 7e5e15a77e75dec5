use super::*;
use crate::testbed::{host, web};
use core::net::Ipv4Addr;
use jlb_protocol::message::HuntHost;

const LIFE: Duration = Duration::from_secs(5);

fn key(port: u16) -> FlowKey {
    FlowKey::new(Ipv4Addr::LOCALHOST.into(), port, web(), 80)
}

fn tried(hosts: &[u16]) -> Tried {
    let mut tried = Tried::NONE;
    for &number in hosts {
        tried.push(host(number));
    }
    tried
}

#[test]
fn a_search_is_remembered_for_its_attempt() {
    let mut searches = Searches::new(10, LIFE, 1);
    assert!(searches.remember(Time::ZERO, key(1), 5, tried(&[1])));
    assert!(searches.remember(Time::ZERO, key(1), 5, tried(&[1, 2])));
    assert_eq!(searches.tried(&key(1), 5), tried(&[1, 2]));
    assert_eq!(searches.tried(&key(1), 6), Tried::NONE);
    assert_eq!(searches.tried(&key(2), 5), Tried::NONE);
    assert!(searches.has_refused(&key(1), host(2)));
    assert!(!searches.has_refused(&key(1), host(3)));
    assert_eq!(searches.len(), 1);
}

#[test]
fn another_attempt_takes_its_place() {
    let mut searches = Searches::new(10, LIFE, 1);
    assert!(searches.remember(Time::ZERO, key(1), 5, tried(&[1, 2])));
    assert!(searches.remember(Time::ZERO, key(1), 6, tried(&[3])));
    assert_eq!(searches.tried(&key(1), 6), tried(&[3]));
    assert_eq!(searches.tried(&key(1), 5), Tried::NONE);
}

#[test]
fn there_are_no_more_than_there_may_be() {
    let mut searches = Searches::new(2, LIFE, 1);
    assert!(searches.remember(Time::ZERO, key(1), 5, tried(&[1])));
    assert!(searches.remember(Time::ZERO, key(2), 5, tried(&[1])));
    assert!(!searches.remember(Time::ZERO, key(3), 5, tried(&[1])));
    assert!(searches.remember(Time::ZERO, key(2), 5, tried(&[1, 2])));
    assert_eq!(searches.len(), 2);
}

fn list() -> Hunt {
    let mut list = Hunt::NONE;
    for number in [1, 2] {
        list.push(HuntHost {
            host: host(number),
            step: 3 - u8::try_from(number).unwrap(),
            incarnation: 1,
        });
    }
    list
}

#[test]
fn lists_that_no_host_has_been_asked_by_leave_room_for_rejects() {
    let mut searches = Searches::new(4, LIFE, 1);
    let now = Time::ZERO;
    let mut remembers = |port: u16, tried: Tried, passes: bool| {
        let list = list().passing(passes);
        let remembered = searches.remember_hunt(now, key(port), 5, tried, list);
        (remembered, searches.len())
    };
    assert_eq!(remembers(1, Tried::NONE, true), (true, 1));
    assert_eq!(remembers(2, Tried::NONE, true), (true, 2));
    assert_eq!(remembers(3, Tried::NONE, true), (false, 2));
    assert_eq!(remembers(2, Tried::NONE, true), (true, 2), "it is there");
    // Hosts may have it already, whoever of them has rejected.
    assert_eq!(remembers(3, Tried::NONE, false), (true, 3));
    assert_eq!(remembers(4, tried(&[1]), true), (true, 4));
}

#[test]
fn searches_that_have_ended_leave_room_for_lists() {
    let mut searches = Searches::new(8, LIFE, 1);
    for port in 1..=30 {
        let list = list().passing(true);
        assert!(searches.remember_hunt(Time::ZERO, key(port), 5, Tried::NONE, list));
        searches.end(Time::ZERO, &key(port));
    }
    assert_eq!(searches.len(), 2);
}

#[test]
fn an_ended_search_stays_while_there_is_room_to_spare() {
    let mut searches = Searches::new(8, LIFE, 1);
    for port in 1..=3 {
        assert!(searches.remember(Time::ZERO, key(port), 5, tried(&[1])));
    }
    searches.end(Time::from_millis(1_000), &key(1));
    assert_eq!(searches.len(), 2);
    searches.end(Time::from_millis(1_000), &key(2));
    assert_eq!(searches.len(), 2);
    // Key 3's time is counted from its last change, key 2's from its end.
    assert!(searches.expire(Time::from_millis(5_000)));
    assert!(!searches.expire(Time::from_millis(5_990)));
    assert_eq!(searches.tried(&key(2), 5), tried(&[1]));
    assert!(searches.expire(Time::from_millis(6_000)));
    assert_eq!(searches.len(), 0);
    assert_eq!(searches.next_deadline(), None);
}
