use super::*;
use crate::testbed::*;
use crate::{SocketState, Verdict};
use jlb_protocol::message::{FlowKind, FlowState, Reason};
use jlb_protocol::packet::{Transport, parse};
use jlb_protocol::{DropReason, Message};
use std::vec::Vec;

/// What of a segment counts: both ends' ports, flags, numbers.
fn injected(bed: &mut Bed) -> Vec<(u16, u16, TcpFlags, u32, u32)> {
    let packets = core::mem::take(&mut bed.injected).into_iter();
    let read = packets.map(|packet| match parse(&packet).unwrap().transport {
        Transport::Tcp {
            src_port,
            dst_port,
            flags,
            seq,
            ack,
            ..
        } => (src_port, dst_port, flags, seq, ack),
        other => panic!("{other:?}"),
    });
    read.collect()
}

/// A reset of this client, which has sent all before `seq` and has all before `ack`, and what makes the
/// kernel reset the client.
fn both(client: Client, seq: u32, ack: u32) -> [(u16, u16, TcpFlags, u32, u32); 2] {
    let (from, to) = (client.port, client.vip_port);
    [
        (from, to, TcpFlags::RST, seq, 0),
        (from, to, TcpFlags::ACK, seq, ack),
    ]
}

fn after(bed: &Bed, millis: u64) -> Option<Until> {
    Some(Until::Deadline(bed.now + Duration::from_millis(millis)))
}

fn drain_of(services: &[u32], timeout: Option<Duration>) -> config::Drain {
    config::Drain {
        all: false,
        services: services.iter().copied().map(service).collect(),
        timeout,
    }
}

#[test]
fn a_host_that_drains_takes_nothing_new_and_keeps_what_it_has() {
    let mut bed = Bed::new(config());
    let birth = bed.establish(client(1), 500);
    bed.accept(client(2), 900);
    bed.agent.handle_drain(bed.now, Some(Until::Closed));
    let (verdict, sent) = bed.offer(client(3), &client(3).syn(7));
    assert_eq!(verdict, Verdict::Done);
    assert_eq!(rejected(&sent), Some((Reason::Draining, u16::MAX)));
    assert_eq!(bed.stats().counters.rejected_draining, 1);
    assert!(bed.stats().draining);
    assert!(bed.stats().services.iter().all(|service| service.draining));
    // What it has: data, a repeated SYN, and the question whose it is.
    assert_eq!(bed.data(client(1), &client(1).ack()).0, Verdict::Deliver);
    let (verdict, sent) = bed.offer(client(2), &client(2).syn(900));
    assert_eq!(verdict, Verdict::Deliver);
    assert!(accepted(&sent).is_some());
    let packet = client(1).ack();
    let question = message(FlowKind::WhoHas, 1, &packet);
    bed.handle(node(11), &Message::Flow(question));
    let answer = bed.drain();
    let [Sent::State { flows, .. }] = answer.as_slice() else {
        panic!("{answer:?}")
    };
    assert_eq!(
        (flows[0].state, flows[0].birth),
        (FlowState::Established, birth)
    );
    // For however long.
    bed.run_acked(3_600_000);
    assert_eq!(injected(&mut bed), []);
    // And it is taken back.
    bed.agent.handle_drain(bed.now, None);
    assert!(!bed.stats().draining);
    assert_eq!(bed.offer(client(4), &client(4).syn(7)).0, Verdict::Deliver);
}

#[test]
fn trackers_hear_at_once_that_there_is_no_room_and_that_there_is_some_again() {
    let mut bed = Bed::new(config());
    let rooms = |bed: &mut Bed| -> Vec<u32> {
        let loads = bed.run_loads(0);
        let [Sent::Load { services, .. }, ..] = loads.as_slice() else {
            panic!("{loads:?}")
        };
        services.iter().map(|service| service.room).collect()
    };
    bed.agent.handle_drain(bed.now, Some(Until::Closed));
    assert_eq!(rooms(&mut bed), [0, 0, 0]);
    bed.agent.handle_drain(bed.now, None);
    assert_eq!(rooms(&mut bed), [u32::MAX; 3]);
    let mut one = config();
    one.drain = drain_of(&[2], None);
    bed.agent.handle_config(bed.now, one);
    assert_eq!(rooms(&mut bed), [u32::MAX, 0, u32::MAX]);
}

#[test]
fn at_the_deadline_both_ends_of_tcp_flows_are_reset_where_the_client_is() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 1_000);
    bed.establish(client6(2), 1_000);
    let until = after(&bed, 5_000);
    bed.agent.handle_drain(bed.now, until);
    bed.run_acked(4_999);
    assert_eq!(injected(&mut bed), []);
    assert_eq!(bed.stats().counters.drained, 0);
    bed.run_acked(1);
    let mut all = injected(&mut bed);
    all.sort_by_key(|it| it.0);
    let expected = [both(client(1), 1_001, 1), both(client6(2), 1_001, 1)].concat();
    assert_eq!(all, expected);
    assert_eq!(bed.stats().counters.drained, 2);
    // The books end when the kernel says so, as ever.
    assert_eq!(bed.flows(), [0, 2, 0, 0]);
    bed.wait(10);
    bed.dump(&[]);
    bed.run_acked(1_000);
    bed.dump_twice(&[]);
    bed.run_acked(100);
    assert_eq!(bed.flows(), [0, 0, 0, 0]);
    assert_eq!(bed.stats().counters.drained, 2, "each flow counts once");
    bed.injected.clear();
    bed.run_acked(60_000);
    assert_eq!(injected(&mut bed), [], "nothing is left to reset");
}

#[test]
fn a_flow_that_does_not_heed_its_reset_gets_it_again_with_its_next_packet() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 1_000);
    let until = after(&bed, 1);
    bed.agent.handle_drain(bed.now, until);
    bed.run_acked(1);
    assert_eq!(injected(&mut bed), both(client(1), 1_001, 1));
    // What the kernel has not seen yet comes late.
    let (verdict, sent) = bed.data(client(1), &client(1).tcp(801, TcpFlags::ACK));
    assert_eq!(verdict, Verdict::Dropped(DropReason::Drained));
    assert_eq!(sent, []);
    assert_eq!(injected(&mut bed), both(client(1), 801, 1));
    // As an Offer it is answered, lest the ingress repeat it.
    let (verdict, sent) = bed.offer(client(1), &client(1).tcp(801, TcpFlags::ACK));
    assert_eq!(verdict, Verdict::Dropped(DropReason::Drained));
    assert!(accepted(&sent).is_some());
    assert_eq!(injected(&mut bed), both(client(1), 801, 1));
    assert_eq!(bed.stats().counters.drained, 1);
    // Once a second without any packet.
    bed.run_acked(1_000);
    assert_eq!(injected(&mut bed), both(client(1), 1_001, 1));
}

#[test]
fn after_a_restart_the_client_may_be_one_further_than_its_keepalives_say() {
    let mut bed = Bed::unready(config());
    let sockets = [client(1), client(2)].map(|client| client.socket(5, SocketState::Open));
    bed.load(&sockets);
    bed.run_acked(100);
    // The second one's keepalives were seen before as well.
    let keepalive = |number: u16| client(number).tcp(1_000, TcpFlags::ACK);
    assert_eq!(bed.data(client(2), &keepalive(2)).0, Verdict::Deliver);
    let until = after(&bed, 0);
    bed.agent.handle_drain(bed.now, until);
    bed.run_acked(10);
    assert_eq!(injected(&mut bed), both(client(2), 1_000, 1));
    // The clients send 1,001 next, and repeat the octet before that.
    for number in [1, 2] {
        let (verdict, _) = bed.data(client(number), &keepalive(number));
        assert_eq!(verdict, Verdict::Dropped(DropReason::Drained));
        let [reset, unknown] = both(client(number), 1_000, 1);
        let further = both(client(number), 1_001, 1)[0];
        assert_eq!(injected(&mut bed), [reset, further, unknown]);
    }
    assert_eq!(bed.stats().counters.drained, 2);
    // A close is none.
    let closing = client(3);
    bed.load(&[closing.socket(6, SocketState::Open)]);
    let packet = closing.tcp(1_000, TcpFlags::FIN | TcpFlags::ACK);
    bed.data(closing, &packet);
    assert_eq!(injected(&mut bed), both(closing, 1_000, 1));
}

#[test]
fn the_vacant_places_of_a_table_that_once_was_full_are_passed_in_several_goes() {
    const FLOWS: u16 = 20_000;
    let mut large = config();
    large.limits.max_flows = FLOWS.into();
    large.limits.max_statements = 2 * u32::from(FLOWS);
    let mut bed = Bed::unready(large);
    let sockets: Vec<_> = (1..=FLOWS)
        .map(|port| client(port).socket(port.into(), SocketState::Open))
        .collect();
    bed.load(&sockets);
    bed.dump_twice(&sockets[FLOWS as usize - 1..]);
    bed.run_acked(100);
    assert_eq!(bed.stats().flows_established, 1);
    assert_eq!(
        bed.data(client(FLOWS), &client(FLOWS).ack()).0,
        Verdict::Deliver
    );
    let until = after(&bed, 0);
    bed.agent.handle_drain(bed.now, until);
    let mut goes = 0;
    while injected(&mut bed).is_empty() {
        bed.run_acked(1);
        goes += 1;
        assert!(goes < 100);
    }
    // One place in 1,024 of 32,768, eight of them a go.
    assert!((2..=6).contains(&goes), "{goes}");
}

#[test]
fn resets_of_the_client_and_icmp_errors_are_delivered_after_the_deadline_too() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 1_000);
    let until = after(&bed, 0);
    bed.agent.handle_drain(bed.now, until);
    let reset = client(1).tcp(1_001, TcpFlags::RST);
    assert_eq!(bed.data(client(1), &reset).0, Verdict::Deliver);
    let error = client(1).icmp_error();
    assert_eq!(bed.data(client(1), &error).0, Verdict::Deliver);
    assert_eq!(bed.stats().counters.drained, 0);
}

#[test]
fn a_closing_flow_is_left_to_the_kernel() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 1_000);
    bed.wait(10);
    bed.dump(&[client(1).socket(5, SocketState::Open)]);
    bed.destroyed(client(1), 5);
    assert_eq!(bed.flows(), [0, 0, 1, 0]);
    let until = after(&bed, 0);
    bed.agent.handle_drain(bed.now, until);
    assert_eq!(bed.data(client(1), &client(1).ack()).0, Verdict::Deliver);
    bed.run_acked(2_000);
    assert_eq!(injected(&mut bed), []);
}

#[test]
fn a_half_open_flow_is_reset_when_its_client_answers_and_a_repeated_syn_is_delivered() {
    let mut bed = Bed::new(config());
    bed.accept(client(1), 1_000);
    let until = after(&bed, 0);
    bed.agent.handle_drain(bed.now, until);
    bed.run_acked(1_000);
    assert_eq!(injected(&mut bed), [], "nobody knows where the client is");
    let (verdict, _) = bed.offer(client(1), &client(1).syn(1_000));
    assert_eq!(verdict, Verdict::Deliver);
    let (verdict, _) = bed.data(client(1), &client(1).ack());
    assert_eq!(verdict, Verdict::Dropped(DropReason::Drained));
    // For all that is known its ACK may be a keepalive.
    let [reset, unknown] = both(client(1), 1_001, 1);
    let further = both(client(1), 1_002, 1)[0];
    assert_eq!(injected(&mut bed), [reset, further, unknown]);
    assert_eq!(bed.stats().counters.drained, 1);
}

#[test]
fn udp_flows_are_forgotten_and_their_next_datagram_is_another_hosts() {
    let mut bed = Bed::new(config());
    for port in [1, 2] {
        let packet = udp_client(port).udp(b"a");
        assert_eq!(bed.offer(udp_client(port), &packet).0, Verdict::Deliver);
    }
    bed.run_acked(50);
    let until = after(&bed, 100);
    bed.agent.handle_drain(bed.now, until);
    let packet = udp_client(1).udp(b"b");
    assert_eq!(bed.data(udp_client(1), &packet).0, Verdict::Deliver);
    // The walk comes by one, a datagram of the other before it.
    bed.wait(100);
    let (verdict, sent) = bed.data(udp_client(1), &packet);
    assert_eq!(verdict, Verdict::Done);
    assert_eq!(rejected(&sent), Some((Reason::NotOwner, 0)));
    let told = bed.run_acked(100);
    let closed = told.iter().filter(|it| it.state == FlowState::Closed);
    assert!(closed.count() >= 2, "{told:?}");
    assert_eq!(bed.flows(), [0; 4]);
    let counters = bed.stats().counters;
    assert_eq!((counters.drained, counters.ended_drained), (2, 2));
    let (_, sent) = bed.offer(udp_client(2), &packet_of(udp_client(2)));
    assert_eq!(rejected(&sent), Some((Reason::Draining, u16::MAX)));
    assert_eq!(injected(&mut bed), []);
}

fn packet_of(client: Client) -> Vec<u8> {
    client.udp(b"c")
}

#[test]
fn a_datagram_offered_after_the_deadline_is_a_new_flows() {
    let mut bed = Bed::new(config());
    let packet = packet_of(udp_client(1));
    assert_eq!(bed.offer(udp_client(1), &packet).0, Verdict::Deliver);
    let until = after(&bed, 0);
    bed.agent.handle_drain(bed.now, until);
    let (verdict, sent) = bed.offer(udp_client(1), &packet);
    assert_eq!(verdict, Verdict::Done);
    assert_eq!(rejected(&sent), Some((Reason::Draining, u16::MAX)));
    assert_eq!(bed.flows(), [0; 4]);
}

#[test]
fn one_service_drains_and_the_others_go_on() {
    let mut start = config();
    start.drain = drain_of(&[1], Some(Duration::from_secs(5)));
    let mut bed = Bed::new(config());
    bed.establish(client(1), 1_000);
    bed.establish(client6(2), 1_000);
    bed.agent.handle_config(bed.now, start.clone());
    let (_, sent) = bed.offer(client(3), &client(3).syn(7));
    assert_eq!(rejected(&sent), Some((Reason::Draining, u16::MAX)));
    assert_eq!(
        bed.offer(client6(4), &client6(4).syn(7)).0,
        Verdict::Deliver
    );
    let stats = bed.stats();
    assert!(!stats.draining);
    let draining: Vec<bool> = stats.services.iter().map(|it| it.draining).collect();
    assert_eq!(draining, [true, false, false]);
    // The same file again does not begin anew.
    bed.run_acked(3_000);
    bed.agent.handle_config(bed.now, start.clone());
    bed.run_acked(1_999);
    assert_eq!(injected(&mut bed), []);
    bed.run_acked(1);
    assert_eq!(injected(&mut bed), both(client(1), 1_001, 1));
    assert_eq!(bed.data(client6(2), &client6(2).ack()).0, Verdict::Deliver);
    // Without the time span what is left goes on.
    start.drain.timeout = None;
    bed.agent.handle_config(bed.now, start);
    assert_eq!(bed.data(client(1), &client(1).ack()).0, Verdict::Deliver);
    bed.agent.handle_config(bed.now, config());
    assert_eq!(bed.offer(client(5), &client(5).syn(7)).0, Verdict::Deliver);
}

#[test]
fn the_earlier_of_two_deadlines_counts() {
    let mut start = config();
    start.drain = drain_of(&[1], Some(Duration::from_secs(5)));
    let mut bed = Bed::new(config());
    bed.establish(client(1), 1_000);
    bed.agent.handle_config(bed.now, start);
    bed.agent.handle_drain(bed.now, Some(Until::Closed));
    let until = after(&bed, 2_000);
    bed.agent.handle_drain(bed.now, until);
    bed.run_acked(2_000);
    assert_eq!(injected(&mut bed).len(), 2);
}

#[test]
fn a_host_that_stops_closes_nothing() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 1_000);
    let mut members = bed.view.members().to_vec();
    for member in &mut members {
        if member.node == me() {
            member.state = jlb_protocol::MemberState::Draining;
        }
    }
    bed.see(jlb_protocol::View::new(members));
    let (_, sent) = bed.offer(client(3), &client(3).syn(7));
    assert_eq!(rejected(&sent), Some((Reason::Draining, u16::MAX)));
    bed.run_acked(600_000);
    assert_eq!(injected(&mut bed), []);
}

#[test]
fn many_flows_are_closed_in_portions() {
    let mut wide = config();
    wide.limits.max_flows = 2_000;
    let mut bed = Bed::new(wide);
    for port in 1..=1_000 {
        bed.accept(client(port), 1_000);
        bed.offer(client(port), &client(port).ack());
        bed.run_acked(10);
    }
    let until = after(&bed, 0);
    bed.agent.handle_drain(bed.now, until);
    let mut steps = 0;
    while bed.stats().counters.drained < 1_000 {
        bed.agent.handle_timeout(bed.now);
        bed.drain();
        let portion = injected(&mut bed).len();
        assert!(portion <= 2 * STEP_FLOWS as usize, "{portion}");
        bed.wait(1);
        steps += 1;
        assert!(steps < 20);
    }
    assert!(steps >= 8);
}

#[test]
fn a_reset_without_room_in_the_outbox_is_made_up_for() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 1_000);
    let mut tight = config();
    tight.limits.max_outbox = 0;
    bed.agent.handle_config(bed.now, tight);
    let until = after(&bed, 0);
    bed.agent.handle_drain(bed.now, until);
    bed.agent.handle_timeout(bed.now);
    bed.drain();
    assert_eq!(bed.stats().counters.drained, 0);
    bed.agent.handle_config(bed.now, config());
    bed.run_acked(1_000);
    assert!(injected(&mut bed).len() >= 2);
    assert_eq!(bed.stats().counters.drained, 1);
}
