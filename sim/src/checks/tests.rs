use super::opens::{Attempt, Chances};
use super::searches::Searches;
use super::{books, consistency, leaks, resets};
use crate::kernel::{Kernel, Segment};
use crate::network::Network;
use crate::node::Sums;
use crate::plan::Plan;
use crate::rng::Rng;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use jlb_protocol::packet::TcpFlags;
use jlb_protocol::{FlowKey, Ledger, NodeNumber, ServiceNumber, Time};

const ISN: u32 = 0x1000;

fn host(number: u16) -> NodeNumber {
    NodeNumber::new(number).unwrap()
}

fn key() -> FlowKey {
    let client = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
    FlowKey::new(client, 40_000, ServiceNumber::new(1).unwrap(), 80)
}

/// A kernel that got a SYN of [`ISN`].
fn with_socket() -> Kernel {
    let mut kernel = Kernel::default();
    let syn = Segment {
        seq: ISN,
        ack: 0,
        flags: TcpFlags::SYN,
        payload: 0,
        isn: ISN,
    };
    kernel.segment(Time::ZERO, key(), syn);
    kernel
}

#[test]
fn a_packet_at_another_host_than_the_connections_is_found() {
    let (with, without) = (with_socket(), Kernel::default());
    let kernels = || [(host(21), &with), (host(22), &without)].into_iter();
    let check =
        |isn, is_left, at| consistency::check_tcp(kernels(), &key(), isn, is_left, host(at));
    assert!(check(ISN, false, 22).is_some());
    assert!(check(ISN, false, 21).is_none());
    assert!(check(ISN, true, 22).is_none());
    assert!(check(ISN + 9, false, 22).is_none());
}

#[test]
fn a_datagram_at_another_host_is_found_until_the_flow_is_idle() {
    let before = Some((host(21), Time::from_millis(1000)));
    let check = |millis, at| consistency::check_udp(Time::from_millis(millis), before, host(at));
    assert!(check(2000, 22).is_some());
    assert!(check(2000, 21).is_none());
    assert!(check(9000, 22).is_none());
}

#[test]
fn a_reset_of_a_connection_that_a_host_has_is_found() {
    let kernel = with_socket();
    let owner = |any| resets::owner([(host(21), &kernel)].into_iter(), &key(), ISN, any);
    assert_eq!(owner(true), None, "it is half-open");
    let owner = owner(false);
    assert_eq!(owner, Some(host(21)));
    assert!(resets::check_reset(owner, ISN).is_some());
    assert!(resets::check_stall(owner, ISN).is_some());
    assert!(resets::check_reset(None, ISN).is_none());
}

/// Offers of one search, each as (milliseconds, step, host).
fn offers(offers: &[(u64, u8, u16)]) -> Option<String> {
    let mut searches = Searches::default();
    offers.iter().find_map(|&(millis, step, number)| {
        let now = Time::from_millis(millis);
        searches.offered(now, (key(), ISN), 2, (step, host(number)), |_| true)
    })
}

#[test]
fn a_search_that_asks_a_host_twice_is_found() {
    assert!(offers(&[(0, 1, 21), (5, 0, 21)]).is_some());
    assert!(offers(&[(0, 1, 21), (5, 1, 21), (9, 0, 22)]).is_none());
}

#[test]
fn a_repeat_that_starts_a_search_is_found() {
    assert!(offers(&[(0, 1, 21), (5, 1, 22)]).is_some());
    assert!(offers(&[(0, 1, 21), (9000, 1, 22)]).is_none());
}

#[test]
fn a_search_that_does_not_end_is_found() {
    assert!(offers(&[(0, 3, 21), (1, 2, 22)]).is_none());
    assert!(offers(&[(0, 3, 21), (1, 2, 22), (2, 1, 23)]).is_some());
}

#[test]
fn an_offer_to_another_host_than_the_one_that_accepted_is_found() {
    let mut searches = Searches::default();
    let attempt = (key(), ISN);
    let mut offered = |now, step, number, alive| {
        let now = Time::from_millis(now);
        searches.offered(now, attempt, 4, (step, host(number)), move |_| alive)
    };
    assert_eq!(offered(0, 3, 21, true), None);
    assert_eq!(offered(1, 2, 22, true), None);
    searches.accepted(attempt, host(22));
    let mut offered = |now, step, number, alive| {
        let now = Time::from_millis(now);
        searches.offered(now, attempt, 4, (step, host(number)), move |_| alive)
    };
    assert_eq!(offered(2, 2, 22, true), None);
    assert!(offered(3, 1, 23, true).is_some());
    assert_eq!(offered(3, 1, 23, false), None);
}

#[test]
fn a_refusal_while_a_host_had_room_is_found() {
    let attempt = Attempt {
        began: Time::from_millis(1000),
        ..Attempt::default()
    };
    let chances = |millis| Chances {
        all_asked: true,
        open_since: Some(Time::from_millis(millis)),
    };
    assert!(attempt.check_refusal(chances(500)).is_some());
    assert!(attempt.check_refusal(chances(1500)).is_none());
    let some_asked = Chances {
        all_asked: false,
        ..chances(500)
    };
    assert!(attempt.check_refusal(some_asked).is_none());
}

#[test]
fn silence_while_a_host_had_room_is_found() {
    let mut attempt = Attempt {
        began: Time::from_millis(1000),
        at_ingress: vec![Time::from_millis(1001), Time::from_millis(2001)],
        at_stack: false,
    };
    let chances = Chances {
        all_asked: true,
        open_since: Some(Time::ZERO),
    };
    let check = |attempt: &Attempt| attempt.check_silence(Time::from_millis(20_000), chances);
    assert!(check(&attempt).is_some());
    attempt.at_stack = true;
    assert!(check(&attempt).is_none());
    attempt.at_stack = false;
    attempt.at_ingress.clear();
    assert!(check(&attempt).is_none());
}

#[test]
fn what_is_left_in_a_table_is_found() {
    assert!(leaks::check(host(21), &[("flows", 0), ("pending", 1)]).is_some());
    assert!(leaks::check(host(21), &[("flows", 0), ("pending", 0)]).is_none());
}

#[test]
fn books_that_do_not_balance_are_found() {
    let mut ledger = Ledger::default();
    ledger.received = 1;
    assert!(books::check_node(&ledger).is_some());
    ledger.consumed = 1;
    assert!(books::check_node(&ledger).is_none());
}

#[test]
fn sums_that_do_not_agree_are_found() {
    let mut network = Network::new(&Plan::calm(), Rng::new(1));
    network.message();
    network.arrived(true);
    let all = |sent, received| Sums { received, sent };
    assert!(books::check_cluster(all(1, 3), &network, 2).is_none());
    assert!(books::check_cluster(all(1, 4), &network, 2).is_some());
    assert!(books::check_cluster(all(2, 3), &network, 2).is_some());
    network.lost += 1;
    assert!(books::check_cluster(all(1, 3), &network, 2).is_some());
}

#[test]
fn time_runs_out_for_a_half_open_socket() {
    let mut kernel = with_socket();
    let cookie = kernel.socket(&key()).unwrap().cookie;
    let mut now = Time::ZERO;
    for _ in 0..10 {
        now = now + Duration::from_secs(4);
        kernel.timer(now, key(), cookie);
    }
    assert!(kernel.socket(&key()).is_none());
}
