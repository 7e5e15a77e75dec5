use crate::testbed::*;
use crate::{SocketState, Verdict};
use jlb_protocol::message::{FlowKind, FlowState, FlowStatement, Intent, Path, Reason, Tried};
use jlb_protocol::packet::TcpFlags;
use jlb_protocol::{Birth, DropReason, Message, OfferNumber};
use std::vec;

#[test]
fn r3_the_clients_ack_establishes_and_is_stated_to_both_trackers() {
    let mut bed = Bed::new(config());
    let birth = bed.accept(client(1), 500);
    bed.run_acked(10);
    assert_eq!(bed.data(client(1), &client(1).ack()).0, Verdict::Deliver);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    let ranks = client(1).ranks(&bed.view);
    let expected = FlowStatement {
        key: client(1).key(),
        birth,
        isn: 500,
        state: FlowState::Established,
        fresh: true,
    };
    let mut sent = bed.run(10);
    sent.sort_by_key(|sent| matches!(sent, Sent::State { to, .. } if Some(*to) == ranks.secondary));
    let state_to = |tracker: Option<_>| Sent::State {
        to: tracker.unwrap(),
        sequence: 2,
        filled: tracker.map(|tracker| bed.fingerprint(tracker.get())),
        listed: None,
        flows: vec![expected],
    };
    assert_eq!(sent, [state_to(ranks.primary), state_to(ranks.secondary)]);
}

#[test]
fn r3_resets_and_synacks_do_not_establish() {
    let mut bed = Bed::new(config());
    bed.accept(client(1), 500);
    for flags in [TcpFlags::RST, TcpFlags::RST | TcpFlags::ACK, TcpFlags::FIN] {
        let (verdict, _) = bed.data(client(1), &client(1).tcp(501, flags));
        assert_eq!(verdict, Verdict::Deliver);
    }
    let (verdict, _) = bed.data(
        client(1),
        &client(1).tcp(501, TcpFlags::SYN | TcpFlags::ACK),
    );
    assert_eq!(verdict, Verdict::Deliver);
    assert_eq!(bed.flows(), [1, 0, 0, 0]);
}

#[test]
fn r7_a_syn_is_never_data() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    let (verdict, sent) = bed.data(client(1), &client(1).syn(500));
    assert_eq!(verdict, Verdict::Dropped(DropReason::SynAsData));
    assert!(sent.is_empty());
}

#[test]
fn r4_data_of_a_foreign_flow_goes_back_to_the_ingress_with_its_birth() {
    let mut bed = Bed::started(config());
    let packet = client(1).ack();
    let (verdict, sent) = bed.data(client(1), &packet);
    assert_eq!(verdict, Verdict::Done);
    let expected = Sent::Flow {
        to: ingress(),
        kind: FlowKind::Reject,
        key: client(1).key(),
        offer: OfferNumber { isn: 0, step: 0 },
        path: Path {
            ingress: Some(ingress()),
            primary: None,
            secondary: None,
            host: Some(me()),
        },
        birth: Some(birth(77)),
        tried: Tried::NONE,
        reason: Reason::NotOwner,
        load: 0,
        packet,
    };
    assert_eq!(sent, [expected]);
    let stats = bed.stats();
    assert_eq!(stats.counters.not_owner, 1);
    assert_eq!(stats.ledger.consumed, 1);
}

#[test]
fn a_rejected_datagram_says_so_in_its_intent() {
    let mut bed = Bed::new(config());
    let packet = udp_client(1).udp(b"?");
    let mut data = message(FlowKind::Data, 2, &packet);
    data.intent = Intent::MidFlow;
    assert_eq!(bed.handle(ingress(), &Message::Flow(data)), Verdict::Done);
    let transmit = bed.agent.poll_transmit().unwrap();
    let decoded = jlb_protocol::wire::decode(transmit.buf.as_slice()).unwrap();
    assert!(matches!(decoded, Message::Flow(flow) if flow.intent == Intent::Datagram));
}

#[test]
fn r4_before_the_first_list_data_and_questions_get_no_answer() {
    let mut bed = Bed::unready(config());
    let (verdict, sent) = bed.data(client(1), &client(1).ack());
    assert_eq!(verdict, Verdict::Dropped(DropReason::NotReady));
    assert!(sent.is_empty());
    let packet = client(1).ack();
    let mut question = message(FlowKind::WhoHas, 1, &packet);
    question.packet = &[];
    let verdict = bed.handle(node(10), &Message::Flow(question));
    assert_eq!(verdict, Verdict::Dropped(DropReason::NotReady));
    assert_eq!(bed.stats().ledger.dropped(DropReason::NotReady), 2);
    assert!(bed.run_with_loads(5_000).is_empty(), "nor is load sent");
}

#[test]
fn r8_a_closing_flow_is_delivered() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    bed.destroyed(client(1), 9);
    let (verdict, sent) = bed.data(client(1), &client(1).ack());
    assert_eq!(verdict, Verdict::Deliver);
    assert!(sent.is_empty());
    assert_eq!(bed.flows(), [0, 0, 1, 0]);
}

#[test]
fn an_icmp_error_goes_to_the_flow_that_it_quotes() {
    let mut bed = Bed::new(config());
    bed.accept(client(1), 500);
    let error = client(1).icmp_error();
    assert_eq!(bed.data(client(1), &error).0, Verdict::Deliver);
    let (verdict, sent) = bed.offer(client(1), &error);
    assert_eq!(verdict, Verdict::Deliver);
    assert!(accepted(&sent).is_some());
    assert_eq!(bed.flows(), [1, 0, 0, 0], "it establishes nothing");
    let (verdict, sent) = bed.data(client(2), &client(2).icmp_error());
    assert_eq!(verdict, Verdict::Done);
    assert_eq!(rejected(&sent), Some((Reason::NotOwner, 0)));
}

#[test]
fn an_icmp_error_does_not_keep_a_udp_flow_alive() {
    let mut bed = Bed::new(config());
    bed.offer(udp_client(1), &udp_client(1).udp(b"?"));
    bed.run(29_000);
    bed.data(udp_client(1), &udp_client(1).icmp_error());
    bed.run(1_010);
    assert_eq!(bed.flows(), [0; 4]);
}

#[test]
fn a_udp_flow_ends_when_idle_and_only_then() {
    let mut bed = Bed::new(config());
    let packet = udp_client(1).udp(b"?");
    let (_, sent) = bed.offer(udp_client(1), &packet);
    let birth = accepted(&sent).unwrap();
    for _ in 0..5 {
        bed.run_acked(29_000);
        assert_eq!(bed.data(udp_client(1), &packet).0, Verdict::Deliver);
    }
    bed.run_acked(29_990);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    bed.run_acked(10);
    assert_eq!(bed.flows(), [0; 4]);
    let sent = bed.run(20);
    assert_eq!(
        stated(&sent, &bed, udp_client(1)),
        [(FlowState::Closed, birth)]
    );
    assert_eq!(bed.stats().counters.ended_idle, 1);
}

#[test]
fn packets_of_other_services_and_protocols_are_a_mismatch() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    let packet = client(1).ack();
    let mut data = message(FlowKind::Data, 2, &packet);
    assert_eq!(
        bed.handle(ingress(), &Message::Flow(data)),
        Verdict::Dropped(DropReason::FlowMismatch)
    );
    data.key = client(1).key();
    data.packet = &packet[..10];
    assert_eq!(
        bed.handle(ingress(), &Message::Flow(data)),
        Verdict::Dropped(DropReason::Truncated)
    );
}

#[test]
fn who_has_is_answered_to_the_asker_alone_and_unnumbered() {
    let mut bed = Bed::new(config());
    let birth = bed.establish(client(1), 500);
    bed.run_acked(10);
    let nobody = Birth {
        incarnation: 0,
        counter: 0,
    };
    let asked = [
        (client(1), birth, 500, FlowState::Established),
        (client(2), nobody, 41, FlowState::NotMine),
    ];
    for (client, birth, isn, state) in asked {
        let packet = client.ack();
        let mut question = message(FlowKind::WhoHas, 1, &packet);
        question.packet = &[];
        question.offer.isn = 41;
        let verdict = bed.handle(node(12), &Message::Flow(question));
        assert_eq!(verdict, Verdict::Done);
        let expected = Sent::State {
            to: node(12),
            sequence: 0,
            filled: None,
            listed: None,
            flows: vec![FlowStatement {
                key: client.key(),
                birth,
                isn,
                state,
                fresh: state == FlowState::Established,
            }],
        };
        assert_eq!(bed.drain(), [expected]);
    }
    assert_eq!(bed.stats().counters.who_has, 2);
}

#[test]
fn questions_and_releases_for_another_host_are_dropped() {
    let mut bed = Bed::new(config());
    let birth = bed.establish(client(1), 500);
    let packet = client(1).ack();
    for kind in [FlowKind::WhoHas, FlowKind::Release] {
        let mut other = message(kind, 1, &packet);
        other.packet = &[];
        other.birth = Some(birth);
        other.path.host = Some(node(21));
        let verdict = bed.handle(node(12), &Message::Flow(other));
        assert_eq!(verdict, Verdict::Dropped(DropReason::WrongNode));
    }
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
}

fn release(bed: &mut Bed, client: Client, birth: Option<Birth>, isn: u32) -> Verdict {
    let packet = match client.service {
        2 => client.udp(b"?"),
        _ => client.ack(),
    };
    let mut release = message(FlowKind::Release, client.service, &packet);
    release.packet = &[];
    release.birth = birth;
    release.offer.isn = isn;
    bed.handle(node(10), &Message::Flow(release))
}

#[test]
fn a_release_disowns_silently_by_birth_or_by_attempt() {
    for by_birth in [true, false] {
        let mut bed = Bed::new(config());
        let birth = bed.establish(client(1), 500);
        assert_eq!(
            release(&mut bed, client(1), by_birth.then_some(birth), 500),
            Verdict::Done
        );
        assert_eq!(bed.flows(), [0, 0, 0, 1]);
        let told = bed.run_acked(60_000);
        let closed = |line: &FlowStatement| line.state == FlowState::Closed && line.birth == birth;
        assert!(told.len() == 2 && told.iter().all(closed), "{told:?}");
        let (_, sent) = bed.data(client(1), &client(1).ack());
        assert_eq!(rejected(&sent), Some((Reason::NotOwner, 0)));
        assert_eq!(bed.stats().counters.released, 1);
    }
}

#[test]
fn a_release_of_another_life_changes_nothing() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    let stale = Verdict::Dropped(DropReason::StaleAnswer);
    assert_eq!(release(&mut bed, client(1), Some(birth(0)), 500), stale);
    assert_eq!(release(&mut bed, client(1), None, 501), stale);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    assert_eq!(release(&mut bed, client(2), None, 500), Verdict::Done);
}

#[test]
fn a_released_flows_socket_is_not_adopted_and_its_record_goes_with_it() {
    let mut bed = Bed::new(config());
    let birth = bed.establish(client(1), 500);
    release(&mut bed, client(1), Some(birth), 0);
    let socket = client(1).socket(9, SocketState::Open);
    for _ in 0..3 {
        bed.wait(1_001);
        bed.dump(&[socket]);
        assert_eq!(bed.flows(), [0, 0, 0, 1]);
    }
    bed.dump_twice(&[]);
    assert_eq!(bed.flows(), [0; 4]);
    let stats = bed.stats();
    assert_eq!(stats.counters.ended_disowned, 1);
    assert_eq!(stats.counters.adopted, 0);
    let told = bed.run_acked(60_000);
    assert!(told.iter().all(|line| line.state == FlowState::Closed));
    assert_eq!(told.len(), 2);
}

#[test]
fn a_released_udp_flow_is_gone_at_once() {
    let mut bed = Bed::new(config());
    bed.offer(udp_client(1), &udp_client(1).udp(b"?"));
    assert_eq!(release(&mut bed, udp_client(1), None, 0), Verdict::Done);
    assert_eq!(bed.flows(), [0; 4]);
    let told = bed.run_acked(60_000);
    assert!(told.iter().all(|line| line.state == FlowState::Closed));
    assert_eq!(told.len(), 2);
}
