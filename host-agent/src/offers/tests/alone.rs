//! R13: offers that an ingress makes by itself.

use super::*;
use jlb_protocol::NodeNumber;
use jlb_protocol::message::Intent;

/// An Offer of ingress 1 without any tracker.
fn offer_alone(bed: &mut Bed, client: Client, packet: &[u8]) -> (Verdict, std::vec::Vec<Sent>) {
    offer_alone_from(bed, ingress(), client, packet)
}

fn offer_alone_from(
    bed: &mut Bed,
    from: NodeNumber,
    client: Client,
    packet: &[u8],
) -> (Verdict, std::vec::Vec<Sent>) {
    let mut offer = bed.offer_message(client, packet);
    offer.path.primary = None;
    offer.path.secondary = None;
    offer.tried.push(node(33));
    let verdict = bed.handle(from, &Message::Flow(offer));
    (verdict, bed.drain())
}

fn without_trackers() -> Bed {
    let mut bed = Bed::new(config());
    bed.see(view(&[1]));
    bed
}

#[test]
fn r13_a_host_that_sees_no_tracker_decides_and_answers_the_ingress() {
    let mut bed = without_trackers();
    for (client, packet) in [
        (client(1), client(1).syn(500)),
        (udp_client(2), udp_client(2).udp(b"?")),
    ] {
        let (verdict, sent) = offer_alone(&mut bed, client, &packet);
        assert_eq!(verdict, Verdict::Deliver);
        assert!(accepted(&sent).is_some());
        assert!(
            matches!(sent[..], [Sent::Flow { to, path, .. }] if to == ingress()
            && path.primary.is_none() && path.ingress == Some(ingress()))
        );
        // A repeat is accepted again.
        assert_eq!(
            accepted(&offer_alone(&mut bed, client, &packet).1),
            accepted(&sent)
        );
    }
    assert_eq!(bed.stats().counters.accepted_alone, 2);
    assert_eq!(bed.flows(), [2, 0, 0, 0]);
}

#[test]
fn r13_trackers_that_return_are_told_of_what_was_accepted_without_them() {
    let mut bed = without_trackers();
    let birth = offer_alone(&mut bed, client(1), &client(1).syn(500));
    let birth = accepted(&birth.1).unwrap();
    bed.see(view(&[1, 10, 11, 12]));
    let told = bed.run_acked(100);
    assert_eq!(told.len(), 2);
    assert!(
        told.iter()
            .all(|line| line.birth == birth && line.key == client(1).key())
    );
}

#[test]
fn r13_a_full_host_rejects_to_the_ingress() {
    let mut config = config();
    limit_connections(&mut config, 0);
    let mut bed = Bed::new(config);
    bed.see(view(&[1]));
    let (verdict, sent) = offer_alone(&mut bed, client(1), &client(1).syn(500));
    assert_eq!(verdict, Verdict::Done);
    assert_eq!(rejected(&sent), Some((Reason::Load, u16::MAX)));
    assert!(matches!(sent[..], [Sent::Flow { to, .. }] if to == ingress()));
}

#[test]
fn r13_a_host_that_sees_a_tracker_passes_a_new_flow_on_to_its_primary() {
    let mut bed = Bed::new(config());
    for (client, packet) in [
        (client(1), client(1).syn(500)),
        (udp_client(2), udp_client(2).udp(b"?")),
    ] {
        let (verdict, sent) = offer_alone(&mut bed, client, &packet);
        assert_eq!(verdict, Verdict::Done);
        let primary = client.ranks(&bed.view).primary;
        let mut hosts_tried = Tried::NONE;
        hosts_tried.push(node(33));
        let isn = if client.service == 2 { 0 } else { 500 };
        let expected = Sent::Flow {
            to: primary.unwrap(),
            kind: FlowKind::Open,
            key: client.key(),
            offer: OfferNumber { isn, step: 4 },
            path: Path {
                ingress: Some(ingress()),
                primary,
                secondary: None,
                host: Some(me()),
            },
            birth: None,
            tried: hosts_tried,
            reason: Reason::None,
            load: 0,
            packet,
        };
        assert_eq!(sent, [expected]);
    }
    assert_eq!(bed.flows(), [0; 4]);
    assert_eq!(bed.stats().counters.passed_on, 2);
}

#[test]
fn r13_a_host_that_sees_a_tracker_accepts_what_is_its_own() {
    let mut bed = Bed::new(config());
    let birth = bed.establish(client(1), 500);
    for packet in [client(1).syn(500), client(1).ack()] {
        let (verdict, sent) = offer_alone(&mut bed, client(1), &packet);
        assert_eq!(verdict, Verdict::Deliver);
        assert_eq!(accepted(&sent), Some(birth));
    }
    // The client begins its next life there: that is for a tracker to decide, and until then the
    // old one lingers.
    bed.destroyed(client(1), 9);
    let (verdict, sent) = offer_alone(&mut bed, client(1), &client(1).syn(900));
    assert_eq!(verdict, Verdict::Done);
    assert!(matches!(
        sent[..],
        [Sent::Flow {
            kind: FlowKind::Open,
            ..
        }]
    ));
    assert_eq!(bed.flows(), [0, 0, 1, 0]);
}

#[test]
fn r4_a_mid_flow_offer_without_trackers_is_no_choice_either() {
    for trackers in [&[1][..], &[1, 10, 11]] {
        let mut bed = Bed::new(config());
        bed.see(view(trackers));
        let (verdict, sent) = offer_alone(&mut bed, client(1), &client(1).ack());
        assert_eq!(verdict, Verdict::Done);
        assert_eq!(rejected(&sent), Some((Reason::NotOwner, 0)));
    }
}

#[test]
fn an_offer_without_trackers_from_another_node_than_its_ingress_is_dropped() {
    let mut bed = without_trackers();
    let (verdict, sent) = offer_alone_from(&mut bed, node(2), client(1), &client(1).syn(1));
    assert_eq!(verdict, Verdict::Dropped(DropReason::WrongNode));
    assert!(sent.is_empty());
    assert_eq!(bed.flows(), [0; 4]);
}

#[test]
fn r4_a_host_that_is_not_ready_answers_no_ingress() {
    let mut bed = Bed::unready(config());
    bed.see(view(&[1]));
    let (verdict, sent) = offer_alone(&mut bed, client(1), &client(1).syn(1));
    assert_eq!(verdict, Verdict::Dropped(DropReason::NotReady));
    assert!(sent.is_empty());
}

#[test]
fn r13_an_ingress_that_asks_who_has_a_flow_is_answered() {
    let mut bed = without_trackers();
    let (_, sent) = offer_alone(&mut bed, client(1), &client(1).syn(500));
    let birth = accepted(&sent).unwrap();
    for (client, state) in [
        (client(1), FlowState::Accepted),
        (client(2), FlowState::NotMine),
    ] {
        let packet = client.ack();
        let mut question = message(FlowKind::WhoHas, 1, &packet);
        question.intent = Intent::MidFlow;
        question.packet = &[];
        question.path = Path {
            ingress: Some(ingress()),
            ..Path::default()
        };
        assert_eq!(
            bed.handle(ingress(), &Message::Flow(question)),
            Verdict::Done
        );
        let sent = bed.drain();
        assert!(
            matches!(&sent[..], [Sent::State { to, sequence: 0, filled: None, listed: None, flows }]
            if *to == ingress() && flows.len() == 1 && flows[0].state == state
            && (state == FlowState::NotMine || flows[0].birth == birth))
        );
    }
}
