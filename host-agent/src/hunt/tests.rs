use crate::testbed::*;
use crate::{HostAgent, Verdict};
use jlb_protocol::message::{FlowKind, FlowMessage, Hunt, HuntHost, Reason};
use jlb_protocol::{Destination, DropReason, Message, NodeNumber, OfferNumber, wire};
use std::vec::Vec;

const BEFORE: u16 = 21;
const NEXT: u16 = 22;

fn listed(host: NodeNumber, step: u8, incarnation: u32) -> HuntHost {
    HuntHost {
        host,
        step,
        incarnation,
    }
}

/// The host before this one, this one in that life, and the next.
fn hunt(life: u32) -> Hunt {
    let mut hunt = Hunt::NONE;
    assert!(hunt.push(listed(node(BEFORE), 4, 1)));
    assert!(hunt.push(listed(me(), 3, life)));
    assert!(hunt.push(listed(node(NEXT), 2, 1)));
    hunt.passing(true)
}

/// A host that is full, and has heard of the next one.
fn full() -> Bed {
    let mut config = config();
    limit_connections(&mut config, 0);
    let mut bed = Bed::started(config);
    bed.agent
        .handle_peer_wire(bed.now, node(NEXT), wire::WIRE_VERSION);
    bed
}

fn offer(bed: &mut Bed, from: u16, change: impl Fn(&mut FlowMessage<'_>)) -> (Verdict, Vec<Sent>) {
    let syn = client(1).syn(500);
    let mut offer = bed.offer_message(client(1), &syn);
    offer.hunt = hunt(INCARNATION);
    change(&mut offer);
    let verdict = bed.handle(node(from), &Message::Flow(offer));
    (verdict, bed.drain())
}

fn up(bed: &Bed) -> u16 {
    bed.path(client(1)).secondary.unwrap().get()
}

fn to(sent: &[Sent]) -> Option<(NodeNumber, FlowKind)> {
    match sent {
        [Sent::Flow { to, kind, .. }] => Some((*to, *kind)),
        _ => None,
    }
}

#[test]
fn what_is_rejected_goes_to_the_next_host_under_its_number() {
    let mut bed = full();
    let secondary = up(&bed);
    let syn = client(1).syn(500);
    let mut message = bed.offer_message(client(1), &syn);
    message.hunt = hunt(INCARNATION);
    bed.agent
        .handle_message(bed.now, node(secondary), &Message::Flow(message));
    let sent = bed.agent.poll_transmit().unwrap();
    assert_eq!(sent.to, Destination::Node(node(NEXT)));
    let Message::Flow(passed) = wire::decode(sent.buf.as_slice()).unwrap() else {
        panic!("no message of a flow");
    };
    assert_eq!(passed.kind, FlowKind::Offer);
    assert_eq!(passed.offer, OfferNumber { isn: 500, step: 2 });
    assert_eq!(passed.path.host, Some(node(NEXT)));
    assert_eq!(passed.path.secondary, message.path.secondary);
    assert_eq!(passed.tried.iter().collect::<Vec<_>>(), [me()]);
    assert_eq!((passed.hunt, passed.packet), (message.hunt, &syn[..]));
    assert_eq!(bed.stats().counters.hunted_on, 1);
    // Once and for ever.
    let (_, again) = offer(&mut bed, secondary, |_| {});
    assert_eq!(to(&again), Some((node(NEXT), FlowKind::Offer)));
    assert_eq!(bed.stats().counters.rejected_again, 1);
}

#[test]
fn the_last_one_a_plain_offer_and_a_host_that_was_never_heard_are_answered_up_the_path() {
    let mut bed = full();
    let secondary = up(&bed);
    let answer = Some((node(secondary), FlowKind::Reject));
    let (_, sent) = offer(&mut bed, secondary, |offer| {
        offer.hunt = offer.hunt.passing(false)
    });
    assert_eq!(to(&sent), answer);
    let (_, sent) = offer(&mut bed, secondary, |offer| {
        let mut last = Hunt::NONE;
        assert!(last.push(listed(me(), 3, INCARNATION)));
        offer.hunt = last.passing(true);
    });
    assert_eq!(to(&sent), answer);
    let (_, sent) = offer(&mut bed, secondary, |offer| offer.offer.step = 1);
    assert_eq!(to(&sent), answer);
    bed.agent.hunts.heard.clear();
    let (_, sent) = offer(&mut bed, secondary, |_| {});
    assert_eq!(to(&sent), answer);
    assert_eq!(bed.stats().counters.hunted_on, 0);
}

#[test]
fn what_is_accepted_goes_nowhere_else() {
    let mut bed = Bed::started(config());
    bed.agent
        .handle_peer_wire(bed.now, node(NEXT), wire::WIRE_VERSION);
    let secondary = up(&bed);
    for _ in 0..2 {
        let (verdict, sent) = offer(&mut bed, secondary, |_| {});
        assert_eq!(verdict, Verdict::Deliver);
        assert_eq!(to(&sent), Some((node(secondary), FlowKind::Accept)));
    }
}

#[test]
fn only_the_host_before_this_one_may_pass_an_offer_on() {
    let mut bed = Bed::started(config());
    for (from, passes) in [(NEXT, true), (30, true), (BEFORE, false)] {
        let (verdict, _) = offer(&mut bed, from, |offer| {
            offer.hunt = offer.hunt.passing(passes)
        });
        assert_eq!(verdict, Verdict::Dropped(DropReason::WrongNode));
    }
    let (verdict, sent) = offer(&mut bed, BEFORE, |_| {});
    assert_eq!(verdict, Verdict::Deliver);
    assert_eq!(to(&sent), Some((node(up(&bed)), FlowKind::Accept)));
}

#[test]
fn an_offer_for_a_former_life_is_rejected_unless_the_flow_is_there() {
    let mut bed = Bed::started(config());
    let secondary = up(&bed);
    let (_, sent) = offer(&mut bed, secondary, |offer| {
        offer.hunt = hunt(INCARNATION - 1).passing(false);
    });
    assert_eq!(
        rejected(&sent).map(|(reason, _)| reason),
        Some(Reason::Load)
    );
    assert_eq!(bed.stats().counters.rejected_restarted, 1);

    let mut bed = Bed::started(config());
    bed.accept(client(1), 500);
    let (verdict, _) = offer(&mut bed, secondary, |offer| {
        offer.hunt = hunt(INCARNATION - 1).passing(false);
    });
    assert_eq!(verdict, Verdict::Deliver);
}

#[test]
fn after_a_pause_the_life_is_that_of_the_own_view() {
    let mut bed = Bed::started(config());
    let members = bed.view.members().iter().map(|&member| {
        let is_me = member.node == me();
        jlb_protocol::view::Member {
            incarnation: if is_me {
                INCARNATION + 1
            } else {
                member.incarnation
            },
            ..member
        }
    });
    let view = jlb_protocol::View::new(members.collect());
    bed.see(view);
    let secondary = up(&bed);
    let (verdict, _) = offer(&mut bed, secondary, |offer| {
        offer.hunt = hunt(INCARNATION + 1)
    });
    assert_eq!(verdict, Verdict::Deliver);
}

#[test]
fn what_is_heard_is_bounded() {
    let mut bed = Bed::started(config());
    for number in 1..u16::MAX {
        HostAgent::handle_peer_wire(&mut bed.agent, bed.now, node(number), 2);
    }
    assert_eq!(bed.agent.hunts.heard.len(), super::MAX_HEARD);
}
