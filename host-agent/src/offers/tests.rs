use crate::life::State;
use crate::signals::{AcceptQueue, Signal};
use crate::testbed::*;
use crate::{SocketState, Verdict};
use jlb_protocol::message::{FlowKind, FlowState, Path, Reason, Tried};
use jlb_protocol::packet::TcpFlags;
use jlb_protocol::{DropReason, Message, OfferNumber};
use std::vec;

mod alone;

#[test]
fn r2_an_accept_goes_to_the_secondary_and_names_offer_path_and_birth() {
    let mut bed = Bed::started(config());
    let packet = client(1).syn(500);
    let (verdict, sent) = bed.offer(client(1), &packet);
    assert_eq!(verdict, Verdict::Deliver);
    let path = bed.path(client(1));
    let expected = Sent::Flow {
        to: path.secondary.unwrap(),
        kind: FlowKind::Accept,
        key: client(1).key(),
        offer: OfferNumber { isn: 500, step: 3 },
        path,
        birth: Some(birth(1)),
        tried: Tried::NONE,
        reason: Reason::None,
        load: 0,
        packet: vec![],
    };
    assert_eq!(sent, [expected]);
    assert_eq!(bed.flows(), [1, 0, 0, 0]);
    let stats = bed.stats();
    assert_eq!(stats.counters.accepted, 1);
    assert_eq!(stats.ledger.received, 1);
    assert_eq!(stats.ledger.delivered, 1);
    assert_eq!(stats.ledger.sent, 1);
}

#[test]
fn an_accept_goes_to_the_primary_where_there_is_no_secondary() {
    let mut bed = Bed::new(config());
    let packet = client(1).syn(500);
    let mut offer = bed.offer_message(client(1), &packet);
    offer.path.secondary = None;
    let primary = offer.path.primary.unwrap();
    assert_eq!(bed.handle(primary, &Message::Flow(offer)), Verdict::Deliver);
    assert!(matches!(bed.drain()[0], Sent::Flow { to, .. } if to == primary));
}

#[test]
fn an_offer_to_another_host_is_dropped() {
    let mut bed = Bed::new(config());
    let packet = client(1).syn(500);
    for host in [None, Some(node(21))] {
        let mut offer = bed.offer_message(client(1), &packet);
        offer.path.host = host;
        let verdict = bed.handle(node(10), &Message::Flow(offer));
        assert_eq!(verdict, Verdict::Dropped(DropReason::WrongNode));
    }
    assert_eq!(bed.stats().ledger.dropped(DropReason::WrongNode), 2);
    assert_eq!(bed.flows(), [0; 4]);
}

#[test]
fn r4_before_the_first_list_no_offer_is_answered() {
    let mut bed = Bed::unready(config());
    for packet in [client(1).syn(500), client(1).ack()] {
        let (verdict, sent) = bed.offer(client(1), &packet);
        assert_eq!(verdict, Verdict::Dropped(DropReason::NotReady));
        assert!(sent.is_empty());
    }
    let (verdict, _) = bed.offer(udp_client(1), &udp_client(1).udp(b"?"));
    assert_eq!(verdict, Verdict::Dropped(DropReason::NotReady));
}

#[test]
fn r5_a_repeated_offer_gets_the_same_birth() {
    let mut bed = Bed::new(config());
    let birth = bed.accept(client(1), 500);
    assert_eq!(bed.accept(client(1), 500), birth);
    bed.data(client(1), &client(1).ack());
    assert_eq!(bed.accept(client(1), 500), birth);
    let counters = bed.stats().counters;
    assert_eq!((counters.accepted, counters.accepted_again), (1, 2));
}

#[test]
fn a_full_host_rejects_with_packet_reason_and_load() {
    let mut config = config();
    limit_connections(&mut config, 1);
    let mut bed = Bed::started(config);
    bed.accept(client(1), 500);
    let packet = client(2).syn(600);
    let mut offer = bed.offer_message(client(2), &packet);
    offer.tried.push(node(33));
    let path = bed.path(client(2));
    let from = path.secondary.unwrap();
    assert_eq!(bed.handle(from, &Message::Flow(offer)), Verdict::Done);
    let expected = Sent::Flow {
        to: path.secondary.unwrap(),
        kind: FlowKind::Reject,
        key: client(2).key(),
        offer: OfferNumber { isn: 600, step: 3 },
        path,
        birth: None,
        tried: offer.tried,
        reason: Reason::Load,
        load: u16::MAX,
        packet,
    };
    assert_eq!(bed.drain(), [expected]);
    let stats = bed.stats();
    assert_eq!(stats.counters.rejected_max_connections, 1);
    assert_eq!(stats.ledger.consumed, 1);
    assert_eq!(bed.flows(), [1, 0, 0, 0]);
}

#[test]
fn what_was_measured_rejects_and_is_counted_by_its_cause() {
    let mut config = config();
    config.services[0].admission.accept_queue = Some(4);
    let service = config.services[0].number;
    let mut bed = Bed::started(config);
    assert!(accepted(&bed.offer(client(1), &client(1).syn(500)).1).is_some());
    let queue = |waiting| {
        let backlog = 4;
        Signal::AcceptQueue(service, Some(AcceptQueue { waiting, backlog }))
    };
    bed.agent.handle_signal(queue(3));
    assert!(accepted(&bed.offer(client(2), &client(2).syn(500)).1).is_some());
    // What was taken since counts as waiting.
    let (_, sent) = bed.offer(client(3), &client(3).syn(500));
    assert_eq!(rejected(&sent), Some((Reason::Load, u16::MAX)));
    assert_eq!(bed.stats().counters.rejected_accept_queue, 1);
    assert_eq!(bed.stats().counters.rejected_by_policy(), 1);
    bed.agent.handle_signal(queue(0));
    assert!(accepted(&bed.offer(client(4), &client(4).syn(500)).1).is_some());
    let other = jlb_protocol::ServiceNumber::new(77).unwrap();
    bed.agent.handle_signal(Signal::AcceptQueue(other, None));
}

#[test]
fn r6_the_last_step_of_a_search_is_taken_where_it_must_be() {
    let mut config = config();
    limit_connections(&mut config, 1);
    config.services[0].must_accept = true;
    config.limits.max_flows = 2;
    let mut bed = Bed::started(config);
    bed.accept(client(1), 500);
    let (_, sent) = bed.offer_step(client(2), 600, 1);
    assert_eq!(rejected(&sent), Some((Reason::Load, u16::MAX)));
    let (verdict, sent) = bed.offer_step(client(2), 601, 0);
    assert_eq!(verdict, Verdict::Deliver);
    assert!(accepted(&sent).is_some());
    assert_eq!(bed.stats().counters.accepted_full, 1);
    // Not beyond the table.
    let (_, sent) = bed.offer_step(client(3), 700, 0);
    assert_eq!(rejected(&sent), Some((Reason::Load, u16::MAX)));
    assert_eq!(bed.stats().counters.rejected_full, 1);
}

#[test]
fn what_must_be_taken_waits_for_the_server_as_any_other() {
    let mut config = config();
    limit_connections(&mut config, 4);
    config.services[0].must_accept = true;
    config.services[0].admission.accept_queue = Some(3);
    let service = config.services[0].number;
    let mut bed = Bed::new(config);
    let queue = Some(AcceptQueue {
        waiting: 0,
        backlog: 3,
    });
    for number in 1..=4 {
        bed.agent.handle_signal(Signal::AcceptQueue(service, queue));
        bed.establish(client(number), 500);
    }
    bed.agent.handle_signal(Signal::AcceptQueue(service, queue));
    for number in 5..=7 {
        let (_, sent) = bed.offer_step(client(number), 600, 0);
        assert!(accepted(&sent).is_some());
    }
    assert_eq!(bed.stats().counters.accepted_full, 3);
    // There is a place again, but the server has three to accept.
    for number in 1..=4 {
        bed.destroyed(client(number), number.into());
    }
    assert_eq!(bed.flows(), [3, 0, 4, 0]);
    let (_, sent) = bed.offer_step(client(8), 700, 1);
    assert!(rejected(&sent).is_some());
    assert_eq!(bed.stats().counters.rejected_accept_queue, 1);
    bed.agent.handle_signal(Signal::AcceptQueue(service, queue));
    let (_, sent) = bed.offer_step(client(9), 700, 1);
    assert!(accepted(&sent).is_some());
}

#[test]
fn what_must_be_taken_does_not_lower_a_limit_that_moves_by_itself() {
    const WINDOW: u16 = 50;
    // A limit of one takes one in fifty, so it rises after a whole window, and not before.
    for (offers, second) in [(WINDOW - 2, false), (WINDOW, true)] {
        let mut config = config();
        config.services[0].admission.adaptive = true;
        config.services[0].must_accept = true;
        let mut bed = Bed::started(config);
        for number in 1..=offers {
            let (_, sent) = bed.offer_step(client(number), 600, 0);
            assert!(accepted(&sent).is_some());
        }
        assert_eq!(bed.stats().counters.accepted_full, u64::from(offers) - 1);
        // They never finish their handshakes.
        bed.run_acked(80_000);
        assert_eq!(bed.flows(), [0; 4]);
        bed.accept(client(61), 700);
        let (_, sent) = bed.offer_step(client(62), 700, 1);
        assert_eq!(accepted(&sent).is_some(), second);
    }
}

#[test]
fn r5_a_rejected_offer_number_stays_rejected_when_there_is_room_again() {
    let mut config = config();
    limit_connections(&mut config, 1);
    let mut bed = Bed::new(config);
    bed.establish(client(1), 500);
    let (_, sent) = bed.offer_step(client(2), 600, 3);
    assert_eq!(rejected(&sent), Some((Reason::Load, u16::MAX)));
    bed.destroyed(client(1), 1);
    assert_eq!(bed.flows(), [0, 0, 1, 0]);

    let (verdict, sent) = bed.offer_step(client(2), 600, 3);
    assert_eq!(verdict, Verdict::Done);
    assert_eq!(rejected(&sent), Some((Reason::Load, 0)));
    assert_eq!(bed.stats().counters.rejected_again, 1);

    let (verdict, sent) = bed.offer_step(client(2), 600, 2);
    assert_eq!(verdict, Verdict::Deliver);
    assert!(accepted(&sent).is_some());
}

#[test]
fn a_late_repeat_of_a_rejected_offer_does_not_reject_what_was_accepted_since() {
    let mut config = config();
    limit_connections(&mut config, 1);
    let mut bed = Bed::new(config);
    bed.establish(client(1), 500);
    bed.offer_step(client(2), 600, 3);
    bed.destroyed(client(1), 1);
    let (_, sent) = bed.offer_step(client(2), 600, 2);
    let birth = accepted(&sent);
    let (_, sent) = bed.offer_step(client(2), 600, 3);
    assert_eq!(accepted(&sent), birth);
}

#[test]
fn a_full_table_rejects() {
    let mut config = config();
    config.limits.max_flows = 2;
    let mut bed = Bed::new(config);
    bed.accept(client(1), 1);
    bed.accept(client(2), 1);
    let (verdict, sent) = bed.offer(client(3), &client(3).syn(1));
    assert_eq!(verdict, Verdict::Done);
    assert_eq!(rejected(&sent), Some((Reason::Load, u16::MAX)));
    assert_eq!(bed.stats().counters.rejected_full, 1);
}

#[test]
fn r7_a_syn_of_another_isn_for_a_live_socket_is_the_stacks() {
    let mut bed = Bed::new(config());
    let birth = bed.establish(client(1), 500);
    bed.wait(2_000);
    bed.dump(&[client(1).socket(9, SocketState::Open)]);
    assert_eq!(bed.accept(client(1), 900), birth);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
}

#[test]
fn r7_a_syn_of_another_isn_for_a_closing_flow_is_a_new_life() {
    let mut bed = Bed::new(config());
    let old = bed.establish(client(1), 500);
    bed.destroyed(client(1), 9);
    let new = bed.accept(client(1), 900);
    assert!(new > old);
    assert_eq!(bed.flows(), [1, 0, 0, 0]);
    let sent = bed.run(10);
    assert_eq!(stated(&sent, &bed, client(1)), [(FlowState::Accepted, new)]);
    let counters = bed.stats().counters;
    assert_eq!((counters.accepted, counters.ended_renewed), (2, 1));
}

#[test]
fn r7_a_repeat_of_the_syn_that_a_closing_flow_began_with_is_the_stacks() {
    let mut bed = Bed::new(config());
    let birth = bed.establish(client(1), 500);
    bed.destroyed(client(1), 9);
    assert_eq!(bed.accept(client(1), 500), birth);
    assert_eq!(bed.flows(), [0, 0, 1, 0]);
}

#[test]
fn r7_who_rejects_a_syn_disowns_the_old_life_in_the_same_step() {
    let mut config = config();
    limit_connections(&mut config, 1);
    let mut bed = Bed::new(config);
    let old = bed.establish(client(1), 500);
    bed.destroyed(client(1), 9);
    bed.accept(client(2), 1);
    let (verdict, sent) = bed.offer(client(1), &client(1).syn(900));
    assert_eq!(verdict, Verdict::Done);
    assert_eq!(rejected(&sent), Some((Reason::Load, u16::MAX)));
    assert_eq!(bed.flows(), [1, 0, 0, 0]);
    let sent = bed.run(10);
    assert_eq!(stated(&sent, &bed, client(1)), [(FlowState::Closed, old)]);
}

#[test]
fn r7_nothing_brings_the_old_life_back_after_the_rejected_syn() {
    let mut config = config();
    limit_connections(&mut config, 1);
    let mut bed = Bed::new(config);
    bed.establish(client(1), 500);
    bed.wait(1_500);
    bed.dump(&[client(1).socket(9, SocketState::Open)]);
    bed.destroyed(client(1), 9);
    bed.accept(client(2), 1);
    bed.offer(client(1), &client(1).syn(900));
    let left = [client(1).socket(77, SocketState::TimeWait)];
    for late in 0..3 {
        match late {
            0 => {}
            1 => bed.destroyed(client(1), 9),
            _ => bed.dump_twice(&left),
        }
        let (verdict, sent) = bed.data(client(1), &client(1).ack());
        assert_eq!(verdict, Verdict::Done);
        assert_eq!(rejected(&sent), Some((Reason::NotOwner, 0)));
        assert_eq!(bed.flows(), [1, 0, 0, 0]);
    }
    // The same offer is rejected for as long as it may be repeated, whatever room there is then.
    bed.run_acked(76_000);
    assert_eq!(bed.flows(), [0; 4]);
}

#[test]
fn r7_a_half_open_flow_without_a_socket_gives_way_after_a_second() {
    let mut bed = Bed::new(config());
    let old = bed.accept(client(1), 500);
    bed.wait(1_000);
    bed.dump(&[]);
    // Not proved yet for a second: the stack decides.
    bed.wait(999);
    let mut early = bed.clone();
    assert_eq!(early.accept(client(1), 900), old);
    bed.wait(1);
    let new = bed.accept(client(1), 900);
    assert!(new > old);
    assert_eq!(bed.stats().counters.ended_renewed, 1);
}

#[test]
fn a_repeated_syn_gives_the_kernel_another_second_to_make_a_socket() {
    let mut bed = Bed::new(config());
    let birth = bed.accept(client(1), 500);
    bed.wait(1_500);
    bed.dump(&[]);
    let before = bed.now;
    bed.wait(900);
    bed.accept(client(1), 500);
    bed.wait(900);
    bed.dump_begun(before, &[]);
    assert_eq!(bed.accept(client(1), 900), birth);
    assert_eq!(bed.stats().counters.ended_renewed, 0);
}

#[test]
fn a_repeated_syn_gives_the_handshake_its_time_anew() {
    let mut bed = Bed::new(config());
    bed.accept(client(1), 500);
    bed.run(70_000);
    bed.accept(client(1), 500);
    bed.run(70_000);
    assert_eq!(bed.flows(), [1, 0, 0, 0]);
    bed.run(6_000);
    assert_eq!(bed.flows(), [0; 4]);
    assert_eq!(bed.stats().counters.ended_no_handshake, 1);
}

#[test]
fn r4_a_mid_flow_offer_is_accepted_by_the_owner_only() {
    let mut bed = Bed::new(config());
    let packet = client(1).ack();
    let (verdict, sent) = bed.offer(client(1), &packet);
    assert_eq!(verdict, Verdict::Done);
    assert_eq!(rejected(&sent), Some((Reason::NotOwner, 0)));
    assert!(matches!(&sent[..], [Sent::Flow { to, packet: back, .. }]
        if Some(*to) == bed.path(client(1)).secondary && *back == packet));
    assert_eq!(bed.stats().counters.not_owner, 1);
    assert_eq!(bed.flows(), [0; 4]);

    let birth = bed.accept(client(1), 500);
    let (verdict, sent) = bed.offer(client(1), &packet);
    assert_eq!(verdict, Verdict::Deliver);
    assert_eq!(accepted(&sent), Some(birth));
    assert_eq!(bed.flows(), [0, 1, 0, 0], "its ACK ends the handshake");
}

#[test]
fn r4_a_refused_mid_flow_offer_is_not_remembered() {
    let mut bed = Bed::new(config());
    bed.offer(client(1), &client(1).ack());
    bed.accept(client(1), 500);
    let (verdict, _) = bed.offer(client(1), &client(1).ack());
    assert_eq!(verdict, Verdict::Deliver);
}

#[test]
fn r8_a_closing_flow_is_owned() {
    let mut bed = Bed::new(config());
    let birth = bed.establish(client(1), 500);
    bed.destroyed(client(1), 9);
    let (verdict, sent) = bed.offer(client(1), &client(1).ack());
    assert_eq!(verdict, Verdict::Deliver);
    assert_eq!(accepted(&sent), Some(birth));
}

#[test]
fn r8_packets_of_a_closing_flow_that_a_dump_has_not_shown_wait_for_the_next_one() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    bed.destroyed(client(1), 9);
    bed.wait(1_001);
    bed.dump(&[]);
    let dropped = Verdict::Dropped(DropReason::Vanishing);
    let (verdict, sent) = bed.offer(client(1), &client(1).ack());
    assert_eq!((verdict, sent.len()), (dropped, 0));
    let (verdict, sent) = bed.data(client(1), &client(1).ack());
    assert_eq!((verdict, sent.len()), (dropped, 0));
    bed.wait(1_001);
    bed.dump(&[client(1).socket(9, SocketState::Open)]);
    assert_eq!(
        bed.offer(client(1), &client(1).ack()).0,
        Verdict::Deliver,
        "the dump had stepped over it"
    );
}

#[test]
fn a_datagram_opens_a_flow_and_a_repeat_finds_it() {
    let mut bed = Bed::new(config());
    let packet = udp_client(1).udp(b"?");
    let (verdict, sent) = bed.offer(udp_client(1), &packet);
    assert_eq!(verdict, Verdict::Deliver);
    let birth = accepted(&sent);
    let (verdict, sent) = bed.offer(udp_client(1), &packet);
    assert_eq!(verdict, Verdict::Deliver);
    assert_eq!(accepted(&sent), birth);
    assert_eq!(bed.flows(), [1, 0, 0, 0], "a repeated Open proves nothing");
    bed.data(udp_client(1), &packet);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
}

#[test]
fn a_datagram_is_rejected_by_a_full_host() {
    let mut config = config();
    limit_connections(&mut config, 0);
    let mut bed = Bed::new(config);
    let (verdict, sent) = bed.offer(udp_client(1), &udp_client(1).udp(b"?"));
    assert_eq!(verdict, Verdict::Done);
    assert_eq!(rejected(&sent), Some((Reason::Load, u16::MAX)));
}

#[test]
fn ipv6_flows_are_accepted_too() {
    let mut bed = Bed::new(config());
    let birth = bed.establish(client6(1), 500);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    bed.wait(2_000);
    bed.dump(&[client6(1).socket(4, SocketState::Open)]);
    bed.destroyed(client6(1), 4);
    let (_, sent) = bed.offer(client6(1), &client6(1).ack());
    assert_eq!(accepted(&sent), Some(birth));
}

#[test]
fn what_the_message_says_must_be_what_the_packet_is() {
    let mut bed = Bed::new(config());
    let syn = client(1).syn(500);
    let ack = client(1).ack();
    let mismatch = Verdict::Dropped(DropReason::FlowMismatch);

    let mut offer = bed.offer_message(client(1), &syn);
    offer.offer.isn = 501;
    assert_eq!(bed.handle(node(10), &Message::Flow(offer)), mismatch);

    let mut offer = bed.offer_message(client(1), &syn);
    offer.packet = &ack;
    assert_eq!(bed.handle(node(10), &Message::Flow(offer)), mismatch);

    let mut offer = bed.offer_message(client(1), &syn);
    offer.key = client(2).key();
    assert_eq!(bed.handle(node(10), &Message::Flow(offer)), mismatch);

    let foreign = Client {
        service: 3,
        ..client(1)
    };
    let offer = bed.offer_message(foreign, &syn);
    assert_eq!(bed.handle(node(10), &Message::Flow(offer)), mismatch);

    let unknown = Client {
        service: 4,
        ..client(1)
    };
    let offer = bed.offer_message(unknown, &syn);
    let verdict = bed.handle(node(10), &Message::Flow(offer));
    assert_eq!(verdict, Verdict::Dropped(DropReason::UnknownService));

    let mut offer = bed.offer_message(client(1), &syn);
    offer.packet = &syn[..30];
    let verdict = bed.handle(node(10), &Message::Flow(offer));
    assert_eq!(verdict, Verdict::Dropped(DropReason::Truncated));

    assert_eq!(bed.flows(), [0; 4]);
    assert!(bed.drain().is_empty());
    assert_eq!(bed.stats().ledger.dropped_total(), 6);
}

#[test]
fn a_syn_with_fin_or_ack_is_mid_flow() {
    let mut bed = Bed::new(config());
    for flags in [TcpFlags::FIN, TcpFlags::ACK, TcpFlags::RST] {
        let packet = client(1).tcp(500, TcpFlags::SYN | flags);
        let (verdict, sent) = bed.offer(client(1), &packet);
        assert_eq!(verdict, Verdict::Done);
        assert_eq!(rejected(&sent), Some((Reason::NotOwner, 0)));
    }
}

#[test]
fn a_released_flow_gives_its_place_to_a_new_life_in_a_full_table() {
    let mut config = config();
    config.limits.max_flows = 1;
    let mut bed = Bed::new(config);
    let old = bed.accept(client(1), 500);
    let syn = client(1).syn(500);
    let mut release = message(FlowKind::Release, 1, &syn);
    release.birth = Some(old);
    release.packet = &[];
    bed.handle(node(10), &Message::Flow(release));
    assert_eq!(bed.flows(), [0, 0, 0, 1]);
    assert!(bed.accept(client(1), 900) > old);
    assert_eq!(bed.flows(), [1, 0, 0, 0]);
    assert_eq!(bed.agent.flows.in_state(State::Released), 0);
}

#[test]
fn a_full_outbox_loses_the_answer_but_not_the_flow() {
    let mut config = config();
    config.limits.max_outbox = 1;
    let mut bed = Bed::started(config);
    for port in 1..=2 {
        let packet = client(port).syn(500);
        let offer = bed.offer_message(client(port), &packet);
        let verdict = bed.handle(node(10), &Message::Flow(offer));
        assert_eq!(verdict, Verdict::Deliver);
    }
    assert_eq!(bed.drain().len(), 1);
    assert_eq!(bed.stats().ledger.dropped(DropReason::OutboxFull), 1);
    let (_, sent) = bed.offer(client(2), &client(2).syn(500));
    assert_eq!(accepted(&sent), Some(birth(2)));
}

#[test]
fn the_path_goes_back_as_it_came() {
    let mut bed = Bed::new(config());
    let packet = client(1).syn(500);
    let mut offer = bed.offer_message(client(1), &packet);
    offer.path = Path {
        ingress: Some(node(2)),
        primary: Some(node(12)),
        secondary: Some(node(10)),
        host: Some(me()),
    };
    bed.handle(node(10), &Message::Flow(offer));
    assert!(matches!(bed.drain()[0], Sent::Flow { to, path, .. }
        if to == node(10) && path == offer.path));
}
