use super::opens::{Attempt, Chances};
use super::quiet::{Quiet, Truth};
use super::searches::Searches;
use super::{books, consistency, leaks, quiet, resets};
use crate::kernel::{Kernel, Segment};
use crate::network::Network;
use crate::node::Sums;
use crate::plan::Plan;
use crate::rng::Rng;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use jlb_protocol::message::{
    Control, FlowKind, FlowMessage, Hunt, HuntHost, Intent, List, Path, Reason, Tried,
};
use jlb_protocol::packet::TcpFlags;
use jlb_protocol::view::Member;
use jlb_protocol::{
    FlowKey, Ledger, MemberState, Message, NodeNumber, OfferNumber, Role, ServiceNumber, Time, View,
};

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
    kernel.segment(Time::ZERO, key(), syn, &mut Vec::new());
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
        let now = Time::from_millis(1000 + millis);
        let change = (Time::ZERO, true);
        searches.offered(
            now,
            change,
            (key(), ISN),
            (2, false),
            (step, host(number)),
            |_| false,
        )
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

/// A search: whether an Offer at this time, since that change, of a step to a host is wrong.
fn search() -> impl FnMut(u64, u64, u8, u16) -> Option<String> {
    let mut searches = Searches::default();
    move |millis, changed, step, number| {
        let (now, changed) = (Time::from_millis(millis), Time::from_millis(changed));
        let offer = (step, host(number));
        searches.offered(
            now,
            (changed, true),
            (key(), ISN),
            (4, false),
            offer,
            |_| false,
        )
    }
}

#[test]
fn a_search_is_not_followed_while_another_may_lead_it() {
    let mut offered = search();
    assert!(offered(1000, 0, 1, 21).is_none());
    assert!(offered(1100, 1050, 1, 22).is_none());
    assert!(offered(1300, 1050, 1, 21).is_none());
    assert!(offered(1900, 1050, 1, 21).is_none());
    assert!(offered(1950, 1050, 1, 22).is_some());
    // One that came just after the change may have been made before, by a record that is no more.
    let mut offered = search();
    assert!(offered(1051, 1050, 1, 21).is_none());
    assert!(offered(3000, 1050, 1, 22).is_none());
    assert!(offered(3001, 1050, 1, 23).is_some());
}

#[test]
fn a_record_is_as_old_as_the_offer_that_is_repeated() {
    let mut offered = search();
    assert!(offered(1000, 0, 1, 21).is_none());
    // Others lead since then, or not: it repeats what they know, which is forgotten soon after.
    assert!(offered(5900, 2000, 1, 21).is_none());
    assert!(offered(6100, 2000, 1, 22).is_none());
    assert!(offered(6200, 2000, 1, 21).is_some());
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
    let mut offered = |now: u64, step, number, alive| {
        let now = Time::from_millis(1000 + now);
        searches.offered(
            now,
            (Time::ZERO, true),
            attempt,
            (4, false),
            (step, host(number)),
            move |owner| alive && owner == host(22),
        )
    };
    assert_eq!(offered(0, 3, 21, true), None);
    assert_eq!(offered(1, 2, 22, false), None);
    searches.accepted(attempt, host(22));
    let mut offered = |now: u64, step, number, alive| {
        let now = Time::from_millis(1000 + now);
        searches.offered(
            now,
            (Time::ZERO, true),
            attempt,
            (4, false),
            (step, host(number)),
            move |owner| alive && owner == host(22),
        )
    };
    assert_eq!(offered(2, 2, 22, true), None);
    assert!(offered(3, 1, 23, true).is_some());
    assert_eq!(offered(3, 1, 23, false), None);
}

#[test]
fn an_attempt_whose_life_has_ended_is_searched_for_anew() {
    for ended in [true, false] {
        let mut searches = Searches::default();
        let attempt = (key(), ISN);
        let offered = |searches: &mut Searches, now: u64, changed: u64, step, number| {
            searches.offered(
                Time::from_millis(1000 + now),
                (Time::from_millis(1000 + changed), true),
                attempt,
                (4, false),
                (step, host(number)),
                |owner| !ended && owner == host(22),
            )
        };
        assert_eq!(offered(&mut searches, 0, 0, 3, 21), None);
        searches.accepted(attempt, host(22));
        // Just after something has changed: whoever led the search may not any more.
        assert_eq!(offered(&mut searches, 20, 10, 2, 22), None);
        let other = offered(&mut searches, 1_000, 10, 2, 23);
        assert_eq!(other.is_none(), ended, "{other:?}");
    }
}

#[test]
fn a_search_of_a_flow_that_its_host_has_already_stays_with_it() {
    let mut searches = Searches::default();
    let mut offered = |now: u64, step, number, alive| {
        let now = Time::from_millis(1000 + now);
        searches.offered(
            now,
            (Time::ZERO, true),
            (key(), ISN),
            (4, false),
            (step, host(number)),
            move |owner| alive && owner == host(21),
        )
    };
    // Its Accept came before the search was looked at.
    assert_eq!(offered(0, 3, 21, true), None);
    assert!(offered(1, 2, 22, true).is_some());
    // Then that life is over.
    assert_eq!(offered(2, 2, 22, false), None);
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
        at_most_one_tracker_failed: true,
    };
    assert!(attempt.check_refusal(chances(500)).is_some());
    assert!(attempt.check_refusal(chances(1500)).is_none());
    let some_asked = Chances {
        all_asked: false,
        ..chances(500)
    };
    assert!(attempt.check_refusal(some_asked).is_none());
    let many_failed = Chances {
        at_most_one_tracker_failed: false,
        ..chances(500)
    };
    assert!(attempt.check_refusal(many_failed).is_none());
}

#[test]
fn silence_while_a_host_had_room_is_found() {
    let mut attempt = Attempt {
        began: Time::from_millis(1000),
        connected: None,
        at_ingress: vec![
            (Time::from_millis(1001), host(1)),
            (Time::from_millis(2001), host(2)),
        ],
        at_stack: false,
        refused: false,
    };
    let chances = Chances {
        all_asked: true,
        open_since: Some(Time::ZERO),
        at_most_one_tracker_failed: true,
    };
    let check = |attempt: &Attempt| {
        attempt.check_silence(Time::from_millis(20_000), chances, |_, ingress| {
            ingress != host(3)
        })
    };
    assert!(check(&attempt).is_some());
    attempt.at_stack = true;
    assert!(check(&attempt).is_none());
    attempt.at_stack = false;
    attempt.at_ingress[1].1 = host(3);
    assert!(check(&attempt).is_none());
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
    network.message(host(1), host(2));
    network.arrived(true);
    let good = Sums {
        link_received: 1,
        link_sent: 1,
        link_delivered: 1,
        sealed: 1,
        role_received: 3,
        role_sent: 1,
        own_got: 0,
        own_sent: 0,
    };
    let check = |sums, network: &Network| books::check_cluster(sums, network, 2);
    assert_eq!(check(good, &network), None);
    let bad: [fn(&mut Sums); 5] = [
        |sums| sums.link_received += 1,
        |sums| sums.link_sent += 1,
        |sums| sums.link_delivered += 1,
        |sums| sums.role_received += 1,
        |sums| sums.role_sent += 1,
    ];
    for change in bad {
        let mut sums = good;
        change(&mut sums);
        assert!(check(sums, &network).is_some(), "{sums:?}");
    }
    network.lost += 1;
    assert!(check(good, &network).is_some());
}

#[test]
fn repeats_while_all_should_be_quiet_are_found() {
    let state = |sequence| {
        Message::Control(Control::State {
            sequence,
            filled: None,
            listed: None,
            flows: List::Values(&[]),
        })
    };
    let mut quiet = Quiet::default();
    quiet.sent(host(21), host(11), &state(1));
    quiet.begin();
    quiet.sent(host(21), host(11), &state(1));
    quiet.sent(host(21), host(11), &state(2));
    quiet.sent(host(21), host(12), &state(2));
    assert_eq!(quiet.clone().end(), None);
    quiet.sent(host(21), host(11), &state(2));
    assert!(quiet.end().is_some());
}

#[test]
fn a_node_that_believes_what_is_not_so_is_found() {
    let mut truth = Truth::default();
    truth.add(host(11), Some((MemberState::Active, 2)));
    truth.add(host(12), None);
    let check = |state, incarnation, other| {
        let member = |number, state, incarnation| Member {
            node: host(number),
            role: Role::FlowTracker,
            state,
            incarnation,
            domain: None,
        };
        let members = vec![member(11, state, incarnation), member(12, other, 1)];
        truth.check_view(host(1), &View::new(members))
    };
    let (active, down) = (MemberState::Active, MemberState::Down);
    assert_eq!(check(active, 2, down), None);
    assert!(check(active, 1, down).is_some());
    assert!(check(down, 2, down).is_some());
    assert!(check(active, 2, active).is_some());
}

#[test]
fn a_record_that_names_another_host_is_found() {
    let check = |known| quiet::check_record(host(11), host(21), known);
    assert_eq!(check(Some(host(21))), None);
    assert!(check(Some(host(22))).is_some());
    assert!(check(None).is_some());
}

#[test]
fn time_runs_out_for_a_half_open_socket() {
    let mut kernel = with_socket();
    let cookie = kernel.socket(&key()).unwrap().cookie;
    let mut now = Time::ZERO;
    for _ in 0..10 {
        now = now + Duration::from_secs(4);
        kernel.timer(now, key(), cookie, &mut Vec::new());
    }
    assert!(kernel.socket(&key()).is_none());
}

/// An Offer of a hunt that begins at host 201 and goes on to 202, to the host with this step.
fn hunted(to: u16, step: u8) -> FlowMessage<'static> {
    let mut hunt = Hunt::NONE;
    for (number, step) in [(201, 1), (202, 0)] {
        assert!(hunt.push(HuntHost {
            host: host(number),
            step,
            incarnation: 1,
        }));
    }
    FlowMessage {
        kind: FlowKind::Offer,
        key: key(),
        offer: OfferNumber { isn: ISN, step },
        intent: Intent::Syn,
        path: Path {
            ingress: Some(host(1)),
            primary: Some(host(101)),
            secondary: Some(host(102)),
            host: Some(host(to)),
        },
        birth: None,
        tried: Tried::NONE,
        hunt: hunt.passing(true),
        reason: Reason::None,
        load: 0,
        packet: &[],
    }
}

#[test]
fn an_offer_that_passes_by_the_secondary_is_found() {
    let mut searches = Searches::default();
    let first = hunted(201, 1);
    assert!(searches.check_chain(host(101), host(201), &first).is_some());
    let mut searches = Searches::default();
    assert!(searches.check_chain(host(102), host(201), &first).is_none());
}

#[test]
fn an_offer_that_a_host_passes_on_without_leave_is_found() {
    let mut searches = Searches::default();
    let passed = hunted(202, 0);
    assert!(
        searches
            .check_chain(host(201), host(202), &passed)
            .is_some()
    );
    searches.check_chain(host(102), host(201), &hunted(201, 1));
    assert!(
        searches
            .check_chain(host(201), host(202), &passed)
            .is_none()
    );
    assert!(
        searches
            .check_chain(host(203), host(202), &passed)
            .is_some()
    );
    let plain = FlowMessage {
        hunt: passed.hunt.passing(false),
        ..passed
    };
    assert!(searches.check_chain(host(201), host(202), &plain).is_some());
}
