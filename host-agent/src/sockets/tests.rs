use crate::testbed::*;
use crate::{DumpScope, SocketState, Verdict};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use jlb_protocol::Time;
use jlb_protocol::message::{FlowKind, FlowState};
use std::vec::Vec;

mod lives;
mod loading;

const OPEN: SocketState = SocketState::Open;
const HALF_OPEN: SocketState = SocketState::HalfOpen;
const TIME_WAIT: SocketState = SocketState::TimeWait;

#[test]
fn client_closes_first_the_socket_is_gone_at_once() {
    let mut bed = Bed::new(config());
    let birth = bed.establish(client(1), 500);
    bed.wait(1_500);
    bed.dump(&[client(1).socket(9, OPEN)]);
    bed.run_acked(10);

    bed.destroyed(client(1), 9);
    assert_eq!(bed.flows(), [0, 0, 1, 0]);
    let told = bed.run_acked(10);
    assert!(told.iter().all(|line| line.state == FlowState::Closing));
    assert_eq!(told.len(), 2);

    bed.wait(1);
    bed.dump(&[]);
    assert_eq!(bed.flows(), [0, 0, 1, 0], "one dump proves nothing");
    bed.wait(1);
    bed.dump(&[]);
    assert_eq!(bed.flows(), [0; 4]);
    let sent = bed.run(10);
    assert_eq!(stated(&sent, &bed, client(1)), [(FlowState::Closed, birth)]);
    assert_eq!(bed.stats().counters.ended_closed, 1);
}

#[test]
fn r8_server_closes_first_and_the_client_reads_on_until_time_wait_is_over() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    bed.wait(1_500);
    bed.dump(&[client(1).socket(9, OPEN)]);
    bed.destroyed(client(1), 9);
    for _ in 0..50 {
        bed.run_acked(1_000);
        // A TIME_WAIT entry may have a cookie of its own.
        bed.dump(&[client(1).socket(77, TIME_WAIT)]);
        let (verdict, sent) = bed.data(client(1), &client(1).ack());
        assert_eq!(verdict, Verdict::Deliver);
        assert!(sent.is_empty());
        assert_eq!(bed.flows(), [0, 0, 1, 0]);
    }
    bed.dump_twice(&[]);
    assert_eq!(bed.flows(), [0; 4]);
    assert_eq!(bed.stats().counters.ended_closed, 1);
}

#[test]
fn a_time_wait_entrys_cookie_is_not_the_flows() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    bed.wait(1_500);
    bed.dump(&[client(1).socket(9, OPEN)]);
    bed.destroyed(client(1), 9);
    bed.wait(1);
    bed.dump(&[client(1).socket(77, TIME_WAIT)]);
    bed.aborted(client(1), 77);
    assert_eq!(bed.stats().counters.destroyed_unknown, 1);
    bed.aborted(client(1), 9);
    assert_eq!(bed.stats().counters.destroyed, 2);
}

#[test]
fn r8_linger_bounds_a_flow_whose_time_wait_entry_stays() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    bed.destroyed(client(1), 9);
    for _ in 0..59 {
        bed.run_acked(1_000);
        bed.dump(&[client(1).socket(77, TIME_WAIT)]);
    }
    assert_eq!(bed.flows(), [0, 0, 1, 0]);
    bed.run_acked(20_000);
    assert_eq!(bed.flows(), [0, 0, 1, 0], "no dump since, no proof");
    bed.dump(&[client(1).socket(77, TIME_WAIT)]);
    assert_eq!(bed.flows(), [0; 4]);
    assert_eq!(bed.stats().counters.ended_lingered, 1);
    bed.wait(1_000);
    bed.dump(&[client(1).socket(77, TIME_WAIT)]);
    assert_eq!(bed.flows(), [0; 4], "and it is not taken up again");
}

#[test]
fn a_server_that_shut_down_only_its_write_side_keeps_its_socket() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    for _ in 0..300 {
        bed.run_acked(1_000);
        bed.dump(&[client(1).socket(9, OPEN)]);
        let (verdict, _) = bed.data(client(1), &client(1).ack());
        assert_eq!(verdict, Verdict::Deliver);
    }
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
}

#[test]
fn r8_an_abort_is_known_by_its_cookie_alone() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    bed.wait(1_500);
    bed.dump(&[client(1).socket(9, OPEN)]);
    bed.aborted(client(1), 10);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    bed.aborted(client(1), 9);
    assert_eq!(bed.flows(), [0, 0, 1, 0]);
    let counters = bed.stats().counters;
    assert_eq!((counters.destroyed, counters.destroyed_unknown), (1, 1));
}

#[test]
fn an_abort_before_any_dump_knew_the_cookie_is_found_by_the_next_two() {
    let mut bed = Bed::new(config());
    let birth = bed.establish(client(1), 500);
    bed.aborted(client(1), 9);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    assert_eq!(bed.stats().counters.destroyed_unknown, 1);
    bed.dump_twice(&[]);
    assert_eq!(bed.flows(), [0; 4]);
    assert_eq!(bed.stats().counters.ended_vanished, 1);
    let sent = bed.run(10);
    assert_eq!(stated(&sent, &bed, client(1)), [(FlowState::Closed, birth)]);
}

#[test]
fn lost_events_are_made_good_by_dumps() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    bed.establish(client(2), 500);
    bed.wait(1_500);
    bed.dump(&[client(1).socket(8, OPEN), client(2).socket(9, OPEN)]);
    assert_eq!(bed.agent.poll_dump(), Some(bed.now + secs(10)));
    bed.agent.handle_events_lost(bed.now);
    assert_eq!(bed.stats().counters.destroyed_lost, 1);
    assert_eq!(bed.agent.poll_dump(), Some(bed.now + secs(1)));
    bed.wait(1_000);
    bed.dump(&[client(2).socket(10, TIME_WAIT)]);
    assert_eq!(bed.flows(), [0, 1, 1, 0], "1 unproved, 2 in TIME_WAIT");
    bed.wait(1_000);
    bed.dump(&[]);
    bed.wait(1_000);
    bed.dump(&[]);
    assert_eq!(bed.flows(), [0; 4]);
    let counters = bed.stats().counters;
    assert_eq!((counters.ended_vanished, counters.ended_closed), (1, 1));
}

fn secs(seconds: u64) -> core::time::Duration {
    core::time::Duration::from_secs(seconds)
}

#[test]
fn a_dump_that_began_before_the_socket_was_made_proves_nothing() {
    let mut bed = Bed::new(config());
    let before = bed.now;
    bed.wait(100);
    bed.establish(client(1), 500);
    bed.wait(500);
    bed.dump_begun(before, &[]);
    bed.dump_begun(before, &[]);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    // Begun after it, but the ACK may not have reached the stack yet.
    for _ in 0..5 {
        bed.wait(1);
        bed.dump(&[]);
    }
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
}

#[test]
fn a_dump_that_began_before_the_close_neither_ends_nor_revives_the_flow() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    bed.wait(1_500);
    let before = bed.now;
    bed.wait(1);
    bed.destroyed(client(1), 9);
    bed.dump_begun(before, &[]);
    bed.dump_begun(before, &[]);
    assert_eq!(bed.flows(), [0, 0, 1, 0]);
    bed.dump_begun(before, &[client(1).socket(9, OPEN)]);
    assert_eq!(bed.flows(), [0, 0, 1, 0]);
}

#[test]
fn one_dump_that_steps_over_a_live_socket_ends_nothing() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    let socket = client(1).socket(9, OPEN);
    for round in 0..20 {
        bed.wait(1_001);
        let listed = round % 2 == 0;
        bed.dump(if listed {
            core::slice::from_ref(&socket)
        } else {
            &[]
        });
    }
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
}

#[test]
fn s4_a_dump_from_before_a_new_lifes_syn_does_not_count_against_its_socket() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    bed.wait(1_500);
    // The close was missed: the event is lost, and a first dump shows nothing.
    bed.dump(&[]);
    bed.wait(500);
    let begun = bed.now;
    bed.wait(1);
    assert_eq!(
        bed.offer(client(1), &client(1).syn(900)).0,
        Verdict::Deliver
    );
    // The second dump began before the SYN made a socket.
    bed.dump_begun(begun, &[]);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    bed.wait(1_001);
    // The next one steps over it.
    bed.dump(&[]);
    bed.wait(1_001);
    bed.dump(&[client(1).socket(9, OPEN)]);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
}

#[test]
fn an_event_of_the_former_life_is_known_by_its_cookie() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    bed.wait(1_500);
    bed.dump(&[client(1).socket(9, OPEN)]);
    bed.destroyed(client(1), 9);
    bed.establish(client(1), 900);
    bed.wait(1_500);
    bed.dump(&[client(1).socket(10, OPEN)]);
    bed.destroyed(client(1), 9);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    assert_eq!(bed.stats().counters.destroyed_unknown, 1);
}

#[test]
fn an_event_taken_for_the_next_lifes_is_put_right_by_the_next_dump() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    bed.destroyed(client(1), 9);
    let birth = bed.accept(client(1), 900);
    bed.destroyed(client(1), 9);
    assert_eq!(bed.flows(), [1, 0, 0, 0], "a half-open one gives no event");
    bed.data(client(1), &client(1).ack());
    bed.destroyed(client(1), 9);
    assert_eq!(bed.flows(), [0, 0, 1, 0]);
    assert_eq!(bed.data(client(1), &client(1).ack()).0, Verdict::Deliver);
    bed.wait(1);
    bed.dump(&[client(1).socket(10, OPEN)]);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    let sent = bed.run(10);
    assert_eq!(
        stated(&sent, &bed, client(1)),
        [(FlowState::Established, birth)]
    );
}

#[test]
fn a_half_open_socket_revives_a_closing_flow_as_accepted() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    bed.destroyed(client(1), 9);
    bed.wait(1);
    bed.dump(&[client(1).socket(10, HALF_OPEN)]);
    assert_eq!(bed.flows(), [1, 0, 0, 0]);
    bed.run_acked(76_000);
    assert_eq!(bed.flows(), [0; 4]);
}

#[test]
fn r8_a_half_open_flow_ends_by_the_agents_own_timer() {
    let mut bed = Bed::new(config());
    let birth = bed.accept(client(1), 500);
    for _ in 0..74 {
        bed.run_acked(1_000);
        bed.dump(&[]);
    }
    assert_eq!(bed.flows(), [1, 0, 0, 0]);
    let told = bed.run_acked(1_020);
    assert_eq!(bed.flows(), [0; 4]);
    let last = told.last().unwrap();
    assert_eq!((last.state, last.birth), (FlowState::Closed, birth));
    assert_eq!(bed.stats().counters.ended_no_handshake, 1);
}

#[test]
fn an_open_socket_in_a_dump_establishes() {
    let mut bed = Bed::new(config());
    bed.accept(client(1), 500);
    bed.wait(1);
    bed.dump(&[client(1).socket(9, HALF_OPEN)]);
    assert_eq!(bed.flows(), [1, 0, 0, 0]);
    bed.wait(1);
    bed.dump(&[client(1).socket(9, OPEN)]);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    bed.aborted(client(1), 9);
    assert_eq!(bed.flows(), [0, 0, 1, 0]);
}

#[test]
fn the_former_lifes_time_wait_entry_does_not_close_an_accepted_flow() {
    let mut bed = Bed::new(config());
    bed.accept(client(1), 500);
    bed.wait(1_500);
    bed.dump(&[client(1).socket(9, TIME_WAIT)]);
    assert_eq!(bed.flows(), [1, 0, 0, 0]);
}

#[test]
fn r4_the_first_dump_is_the_list_of_flows_after_a_restart() {
    let mut bed = Bed::unready(config());
    let all = [
        client(1).socket(1, OPEN),
        client(2).socket(2, HALF_OPEN),
        client(3).socket(3, TIME_WAIT),
        client6(4).socket(4, OPEN),
    ];
    bed.dump(&all);
    assert_eq!(bed.flows(), [1, 2, 1, 0]);
    assert_eq!(bed.stats().counters.loaded, 4);
    assert!(bed.run(1_000).is_empty(), "it may not be all of them");
    bed.dump(&all);
    let told = bed.run_acked(10);
    assert_eq!(told.len(), 8, "each to two trackers");
    assert!(told.iter().all(|line| line.isn == 0));
    for (client, state) in [
        (client(1), FlowState::Established),
        (client(2), FlowState::Accepted),
        (client(3), FlowState::Closing),
        (client6(4), FlowState::Established),
    ] {
        let lines: Vec<_> = told
            .iter()
            .filter(|line| line.key == client.key())
            .collect();
        assert!(lines.iter().all(|line| line.state == state));
        assert_eq!(lines.len(), 2);
        assert_eq!(bed.data(client, &client.ack()).0, Verdict::Deliver);
    }
    assert_eq!(bed.flows(), [0, 3, 1, 0]);
}

#[test]
fn after_a_restart_a_syn_is_decided_by_what_the_kernel_has() {
    let mut bed = Bed::unready(config());
    bed.load(&[client(1).socket(1, OPEN), client(3).socket(3, TIME_WAIT)]);
    assert_eq!(bed.accept(client(1), 500), birth(1));
    assert_eq!(bed.accept(client(3), 500), birth(3));
    assert_eq!(bed.stats().counters.ended_renewed, 1);
}

#[test]
fn sockets_that_are_no_services_or_the_machines_own_are_not_flows() {
    let mut bed = Bed::unready(config());
    let ssh = Client {
        vip_port: 22,
        ..client(1)
    };
    let own = Client {
        address: VIP4,
        ..client(2)
    };
    let no_port = client(0);
    bed.dump(&[
        ssh.socket(1, OPEN),
        own.socket(2, OPEN),
        no_port.socket(3, OPEN),
        udp_client(4).socket(4, OPEN),
    ]);
    assert_eq!(bed.flows(), [0; 4]);
}

#[test]
fn ipv4_sockets_of_a_dual_stack_listener_are_ipv4_flows() {
    let mut bed = Bed::unready(config());
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    let mut socket = client(1).socket(1, OPEN);
    socket.local = mapped(socket.local);
    socket.remote = mapped(socket.remote);
    bed.dump(&[socket]);
    assert_eq!(bed.data(client(1), &client(1).ack()).0, Verdict::Deliver);
    bed.agent
        .handle_socket_closed(bed.now, socket.local, socket.remote, 1);
    assert_eq!(bed.flows(), [0, 0, 1, 0]);
}

#[test]
fn a_listed_socket_twice_is_one_flow() {
    let mut bed = Bed::unready(config());
    let socket = client(1).socket(1, OPEN);
    bed.dump(&[socket, socket]);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    assert_eq!(bed.stats().counters.loaded, 1);
}

#[test]
fn a_later_dump_adopts_open_sockets_only() {
    let mut bed = Bed::new(config());
    bed.wait(1_000);
    bed.dump(&[
        client(1).socket(1, OPEN),
        client(2).socket(2, HALF_OPEN),
        client(3).socket(3, TIME_WAIT),
    ]);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    assert_eq!(bed.stats().counters.adopted, 1);
    let sent = bed.run(10);
    assert_eq!(
        stated(&sent, &bed, client(1)),
        [(FlowState::Established, birth(1))]
    );
}

#[test]
fn sockets_beyond_the_table_are_counted_and_adopted_when_there_is_room() {
    let mut config = config();
    config.limits.max_flows = 2;
    let mut bed = Bed::unready(config);
    let all = [1, 2, 3].map(|port| client(port).socket(port.into(), OPEN));
    bed.dump(&all);
    assert_eq!(bed.flows(), [0, 2, 0, 0]);
    assert_eq!(bed.stats().counters.sockets_without_room, 1);
    bed.destroyed(client(1), 1);
    bed.dump_twice(&all[1..]);
    bed.wait(1_001);
    bed.dump(&all[1..]);
    assert_eq!(bed.flows(), [0, 2, 0, 0]);
    assert_eq!(bed.stats().counters.adopted, 1);
}

#[test]
fn a_long_first_list_leaves_room_in_the_queues_and_is_told_within_a_refresh() {
    let mut config = config();
    config.limits.max_flows = 1_000;
    config.limits.max_statements = 64;
    let mut bed = Bed::unready(config);
    let all: Vec<_> = (1..=500)
        .map(|port| client(port).socket(port.into(), OPEN))
        .collect();
    bed.dump(&all);
    assert_eq!(bed.stats().counters.statements_lost, 0);
    let mut told: Vec<_> = bed
        .run_acked(20_100)
        .into_iter()
        .map(|line| line.key)
        .collect();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), 500);
    assert_eq!(bed.stats().counters.statements_lost, 0);
}

#[test]
fn two_flows_never_share_a_cookie() {
    let mut bed = Bed::unready(config());
    bed.dump(&[client(1).socket(1, OPEN), client(2).socket(1, OPEN)]);
    bed.aborted(client(1), 1);
    assert_eq!(bed.flows(), [0, 1, 1, 0]);
    let (_, sent) = bed.offer(client(1), &client(1).syn(5));
    assert_eq!(accepted(&sent), Some(birth(1)), "1 is the open one");
}

#[test]
fn dumps_come_soon_while_something_is_to_be_proved() {
    let mut bed = Bed::unready(config());
    assert!(bed.agent.wants_dump(bed.now));
    bed.dump(&[]);
    assert!(bed.agent.wants_dump(bed.now), "the second one at once");
    bed.dump(&[]);
    assert_eq!(bed.agent.poll_dump(), Some(bed.now + secs(10)));
    assert!(!bed.agent.wants_dump(bed.now));
    let base = bed.now;
    bed.accept(client(1), 500);
    assert_eq!(bed.agent.poll_dump(), Some(base + secs(1)), "half-open");
    bed.data(client(1), &client(1).ack());
    assert_eq!(bed.agent.poll_dump(), Some(base + secs(1)), "unproved");
    bed.wait(1_000);
    bed.dump(&[client(1).socket(9, OPEN)]);
    assert_eq!(bed.agent.poll_dump(), Some(bed.now + secs(10)), "proved");
    bed.destroyed(client(1), 9);
    assert_eq!(bed.agent.poll_dump(), Some(bed.now + secs(1)), "closing");
}

#[test]
fn dumps_rest_by_what_they_cost_and_long_ones_take_a_tenth_of_the_time_at_most() {
    for (took, rest_of_sockets, rest_of_all) in [
        (2, 998, 998),
        (4, 1_996, 1_996),
        (10, 2_000, 2_000),
        (30, 2_000, 2_970),
        (50, 2_000, 4_950),
        (500, 4_500, 5_000),
        (2_000, 18_000, 18_000),
    ] {
        let mut bed = Bed::new(config());
        bed.accept(client(1), 500);
        let millis = core::time::Duration::from_millis;
        let started = bed.now;
        bed.wait(took);
        bed.dump_begun(started, &[]);
        let all = bed.now + millis(rest_of_all);
        assert_eq!(bed.agent.dump_scope(all), DumpScope::All);
        let before = Time::from_nanos(all.as_nanos() - 1);
        assert_eq!(bed.agent.dump_scope(before), DumpScope::Sockets);
        // The accepted flow is looked for meanwhile.
        let rested = bed.now + millis(rest_of_sockets);
        let due = rested.min(all).max(started + secs(1));
        assert_eq!(bed.agent.poll_dump(), Some(due), "after {took} ms");
        let started = bed.now;
        bed.wait(took);
        bed.dump_of(DumpScope::Sockets, started, &[]);
        let due = (bed.now + millis(rest_of_sockets)).min(all);
        let due = due.max(started + secs(1));
        assert_eq!(bed.agent.poll_dump(), Some(due), "after {took} ms");
    }
}

#[test]
fn r8_a_list_of_sockets_alone_ends_no_flow_and_asks_for_one_of_everything() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    bed.establish(client(2), 500);
    bed.wait(1_500);
    let both = [client(1).socket(8, OPEN), client(2).socket(9, OPEN)];
    bed.dump_of(DumpScope::Sockets, bed.now, &both);
    assert_eq!(bed.agent.poll_dump(), Some(bed.now + secs(10)), "proved");
    bed.destroyed(client(1), 8);
    for _ in 0..3 {
        bed.run_acked(1_000);
        bed.dump_of(DumpScope::Sockets, bed.now, &[]);
        assert_eq!(bed.flows(), [0, 1, 1, 0]);
        assert_eq!(bed.agent.poll_dump(), Some(bed.now + secs(1)));
    }
    // The client's last packets are answered by what the kernel has left of the connection.
    assert_eq!(bed.data(client(1), &client(1).ack()).0, Verdict::Deliver);
    let left = [
        client(1).socket(8, TIME_WAIT),
        client(2).socket(9, TIME_WAIT),
    ];
    bed.run_acked(1_000);
    bed.dump(&left);
    assert_eq!(
        bed.flows(),
        [0, 0, 2, 0],
        "the event of the second was lost"
    );
    bed.run_acked(1_000);
    bed.dump_twice(&[]);
    assert_eq!(bed.flows(), [0; 4]);
}

#[test]
fn a_list_may_come_in_parts_between_which_flows_come_and_go() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    bed.establish(client(2), 500);
    bed.wait(1_500);
    let dumps = bed.stats().counters.dumps;
    // One that never ends counts for nothing.
    bed.agent.begin_sockets(bed.now, bed.now, DumpScope::All);
    bed.agent.handle_part(bed.now, &[client(1).socket(8, OPEN)]);
    for _ in 0..2 {
        let started = bed.now;
        bed.agent.begin_sockets(bed.now, started, DumpScope::All);
        bed.agent.handle_part(bed.now, &[client(1).socket(8, OPEN)]);
        bed.accept(client(3), 500);
        bed.agent.handle_part(bed.now, &[client(2).socket(9, OPEN)]);
        bed.agent.end_sockets(bed.now, core::time::Duration::ZERO);
        bed.wait(1_500);
    }
    assert_eq!(bed.stats().counters.dumps, dumps + 2);
    assert_eq!(bed.flows(), [1, 2, 0, 0]);
    bed.agent.begin_sockets(bed.now, bed.now, DumpScope::All);
    bed.agent.handle_part(bed.now, &[client(1).socket(8, OPEN)]);
    bed.destroyed(client(1), 8);
    bed.agent.end_sockets(bed.now, core::time::Duration::ZERO);
    assert_eq!(bed.flows(), [1, 1, 1, 0], "one list proves nothing of 2");
    bed.wait(1_500);
    bed.dump(&[]);
    assert_eq!(bed.flows(), [1, 0, 1, 0], "but two do");
    // Ends that were not begun.
    bed.agent.end_sockets(bed.now, core::time::Duration::ZERO);
    bed.agent.handle_part(bed.now, &[client(4).socket(8, OPEN)]);
    assert_eq!(bed.flows(), [1, 0, 1, 0]);
    bed.wait(1_500);
    bed.dump(&[]);
    assert_eq!(bed.flows(), [1, 0, 0, 0]);
}

#[test]
fn a_dump_from_the_future_counts_as_begun_now() {
    let mut bed = Bed::new(config());
    bed.accept(client(1), 500);
    bed.dump_begun(Time::from_nanos(u64::MAX), &[]);
    bed.dump_begun(Time::from_nanos(u64::MAX), &[]);
    assert_eq!(bed.flows(), [1, 0, 0, 0]);
}

#[test]
fn events_before_the_first_dump_are_counted_only() {
    let mut bed = Bed::unready(config());
    bed.destroyed(client(1), 1);
    bed.aborted(client(1), 1);
    assert_eq!(bed.stats().counters.destroyed_unknown, 2);
    // The dump had read the socket before it was destroyed; later ones find out.
    bed.dump(&[client(1).socket(1, OPEN)]);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    bed.dump_twice(&[]);
    assert_eq!(bed.flows(), [0; 4]);
}

#[test]
fn s5_a_socket_of_a_released_flow_that_is_destroyed_takes_the_record_along() {
    let mut bed = Bed::new(config());
    let birth = bed.establish(client(1), 500);
    bed.wait(1_500);
    bed.dump(&[client(1).socket(9, OPEN)]);
    let packet = client(1).ack();
    let mut release = message(FlowKind::Release, 1, &packet);
    release.birth = Some(birth);
    bed.handle(node(10), &jlb_protocol::Message::Flow(release));
    assert_eq!(bed.flows(), [0, 0, 0, 1]);
    bed.destroyed(client(1), 9);
    assert_eq!(bed.flows(), [0; 4]);
}

#[test]
fn a_client_on_another_address_of_the_same_port_is_another_flow() {
    let mut bed = Bed::new(config());
    let other = Client {
        address: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 8)),
        ..client(1)
    };
    bed.establish(client(1), 500);
    bed.establish(other, 500);
    bed.destroyed(other, 3);
    assert_eq!(bed.flows(), [0, 1, 1, 0]);
    assert_eq!(bed.data(client(1), &client(1).ack()).0, Verdict::Deliver);
}
