//! What an ingress is told: which flows of its cache are over.

use super::*;
use crate::testbed::{Client, client6, ingress, message};
use jlb_protocol::message::FlowKind;
use jlb_protocol::{Birth, Message};

/// A bed with the ingress nodes 1 and 2 and no tracker, so that only closes are stated.
fn two_ingresses(config: crate::Config) -> Bed {
    let mut bed = Bed::new(config);
    // Flows are offered by trackers that have left since.
    bed.agent.handle_view(bed.now, view(&[1, 2]));
    bed
}

fn closed(client: Client, birth: Birth) -> FlowStatement {
    let isn = if client.service == 2 { 0 } else { 500 };
    FlowStatement {
        key: client.key(),
        birth,
        isn,
        state: FlowState::Closed,
        fresh: false,
    }
}

fn data_through(bed: &mut Bed, ingress: u16, client: Client, packet: &[u8]) {
    let mut data = message(FlowKind::Data, client.service, packet);
    data.birth = Some(birth(1));
    bed.handle(node(ingress), &Message::Flow(data));
    bed.drain();
}

/// Lets the kernel show that nothing is left of any flow.
fn vanish(bed: &mut Bed) {
    bed.wait(2_000);
    bed.dump_twice(&[]);
}

fn state(to: u16, sequence: u64, flows: Vec<FlowStatement>) -> Sent {
    Sent::State {
        to: node(to),
        sequence,
        filled: None,
        listed: None,
        flows,
    }
}

#[test]
fn r8_the_ingress_of_a_flows_last_packet_is_told_of_its_end_alone() {
    let mut bed = two_ingresses(config());
    let birth = bed.establish(client(1), 500);
    bed.destroyed(client(1), 9);
    assert!(bed.run(500).is_empty(), "it is closing, not closed");
    vanish(&mut bed);
    assert!(bed.run(9).is_empty(), "closes are gathered");
    let sent = bed.run(1);
    assert_eq!(sent, [state(1, 1, vec![closed(client(1), birth)])]);
    let counters = bed.stats().counters;
    assert_eq!((counters.closes, counters.statements), (1, 0));
    bed.ack(ingress(), 1);
    assert!(bed.run(60_000).is_empty());
    assert_eq!(bed.stats().statements_pending, 0);
}

#[test]
fn the_last_packet_decides_which_ingress_that_is() {
    let mut bed = two_ingresses(config());
    let moved = bed.establish(client6(1), 500);
    let stayed = bed.establish(client(2), 500);
    data_through(&mut bed, 2, client6(1), &client6(1).ack());
    // Anybody can send an error, through any ingress.
    data_through(&mut bed, 2, client(2), &client(2).icmp_error());
    vanish(&mut bed);
    let mut sent = bed.run(10);
    sent.sort_by_key(|sent| match sent {
        Sent::State { to, .. }
        | Sent::Digest { to, .. }
        | Sent::Flow { to, .. }
        | Sent::Load { to, .. } => *to,
    });
    let expected = [
        state(1, 1, vec![closed(client(2), stayed)]),
        state(2, 1, vec![closed(client6(1), moved)]),
    ];
    assert_eq!(sent, expected);
}

#[test]
fn a_mid_flow_offer_and_a_repeated_syn_say_which_ingress_too() {
    for packet in [client(1).ack(), client(1).syn(500)] {
        let mut bed = Bed::new(config());
        bed.establish(client(1), 500);
        let mut offer = bed.offer_message(client(1), &packet);
        offer.path.ingress = Some(node(2));
        bed.handle(node(11), &Message::Flow(offer));
        bed.drain();
        bed.agent.handle_view(bed.now, view(&[1, 2]));
        vanish(&mut bed);
        let sent = bed.run(10);
        assert!(matches!(sent[..], [Sent::State { to, .. }] if to == node(2)));
    }
}

#[test]
fn a_udp_flow_that_was_idle_is_told() {
    let mut bed = two_ingresses(config());
    let packet = udp_client(1).udp(b"?");
    bed.offer(udp_client(1), &packet);
    data_through(&mut bed, 2, udp_client(1), &packet);
    let told = bed.run(30_020);
    assert_eq!(told, [state(2, 1, vec![closed(udp_client(1), birth(1))])]);
}

#[test]
fn r5_a_close_is_repeated_unchanged_until_its_own_number_is_acknowledged() {
    let mut bed = two_ingresses(config());
    bed.establish(client(1), 500);
    vanish(&mut bed);
    let first = bed.run(10);
    assert_eq!(sequences(&first), [(1, 1)]);
    bed.establish(client(2), 500);
    vanish(&mut bed);
    // An ingress does not count: another number is about another message.
    for stale in [0, 2, 57, u64::MAX] {
        bed.ack(ingress(), stale);
        assert!(bed.drain().is_empty(), "{stale}");
    }
    bed.ack(node(2), 1);
    assert_eq!(bed.run(0), first, "the repeat is due");
    assert_eq!(bed.run(200), first);
    bed.ack(ingress(), 1);
    assert_eq!(sequences(&bed.drain()), [(2, 1)]);
    bed.ack(ingress(), 1);
    assert!(bed.drain().is_empty());
    bed.ack(ingress(), 2);
    assert_eq!(bed.stats().statements_pending, 0);
    assert_eq!(bed.stats().counters.renumbered, 0);
}

#[test]
fn an_ingress_that_does_not_answer_is_given_up_and_tried_anew() {
    let mut bed = two_ingresses(config());
    for port in 1..=40 {
        bed.establish(client(port), 500);
    }
    vanish(&mut bed);
    let sent = bed.run(60_000);
    assert_eq!(sent.len(), 1 + MAX_REPEATS as usize);
    let stats = bed.stats();
    let counters = stats.counters;
    assert_eq!((counters.closes, counters.closes_lost), (40, 40));
    assert_eq!(stats.statements_pending, 0, "nothing is kept for it");
    assert_eq!(bed.run(60_000), []);

    bed.establish(client(50), 500);
    vanish(&mut bed);
    assert_eq!(sequences(&bed.run(10)), [(2, 1)]);
    bed.ack(ingress(), 2);
    assert_eq!(bed.stats().statements_pending, 0);
}

#[test]
fn trackers_are_never_given_up() {
    let mut bed = one_tracker(config());
    bed.accept(client(1), 500);
    assert!(bed.run(70_000).len() > 4 * MAX_REPEATS as usize);
    assert_eq!(bed.stats().counters.closes_lost, 0);
}

#[test]
fn r14_the_queue_of_closes_is_bounded() {
    let mut config = config();
    config.limits.max_statements = 4;
    let mut bed = two_ingresses(config);
    for port in 1..=6 {
        bed.establish(client(port), 500);
    }
    vanish(&mut bed);
    let counters = bed.stats().counters;
    assert_eq!((counters.closes, counters.closes_lost), (4, 2));
}

#[test]
fn nobody_is_told_of_a_flow_without_packets_or_through_a_stranger() {
    let mut bed = two_ingresses(config());
    bed.wait(1_000);
    bed.dump(&[client(1).socket(1, SocketState::Open)]);
    bed.establish(client(2), 500);
    data_through(&mut bed, 3, client(2), &client(2).ack());
    vanish(&mut bed);
    assert_eq!(bed.flows(), [0; 4]);
    assert!(bed.run(1_000).is_empty());
    assert_eq!(bed.stats().counters.closes, 0);
}

#[test]
fn an_ingress_that_leaves_the_view_is_told_nothing_more() {
    let mut bed = two_ingresses(config());
    bed.establish(client(1), 500);
    vanish(&mut bed);
    assert_eq!(bed.run(10).len(), 1);
    bed.agent.handle_view(bed.now, view(&[2]));
    assert!(bed.run(1_000).is_empty());
    bed.agent.handle_view(bed.now, view(&[1, 2]));
    assert!(bed.run(1_000).is_empty());
}
