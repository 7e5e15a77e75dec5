use crate::Verdict;
use crate::pool;
use crate::testbed::*;
use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::message::{FlowKind, FlowMessage, Intent, Path, Reason, Tried};
use jlb_protocol::packet::TcpFlags;
use jlb_protocol::view::Member;
use jlb_protocol::{DropReason, MemberState, NodeNumber, OfferNumber, Role, View};

mod simulation;

const HOSTS: [u16; 4] = [21, 22, 23, 24];

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn syn() -> Vec<u8> {
    tcp(100, SYN, b"")
}

fn ack() -> Vec<u8> {
    tcp(101, ACK, b"GET /")
}

fn alone() -> View {
    view_of(&[])
}

/// The hosts in the order in which the flow of `sent` is offered to them.
fn order(bed: &Bed, sent: &Sent) -> Vec<NodeNumber> {
    let service = bed.config.services.iter();
    let service = service.clone().find(|it| it.number == sent.key.service());
    let key = bed.config.hash_key;
    let mut tried = Tried::NONE;
    let next = |tried: &Tried| {
        pool::choose(
            service.unwrap(),
            &alone(),
            &key,
            key.flow_hash(&sent.key),
            tried,
        )
    };
    while let Some(host) = next(&tried) {
        tried.push(host);
    }
    tried.iter().collect()
}

/// An ingress without trackers that asks all hosts who has the flow of `packet`.
fn asking(packet: &[u8]) -> (Bed, Vec<Sent>) {
    let mut bed = Bed::with(config(), alone());
    assert_eq!(bed.verdict(packet), Verdict::Held);
    let asked = bed.drain().messages;
    (bed, asked)
}

/// An ingress that has offered the flow of `packet` to the first host, after all said that it is
/// not theirs.
fn offering(packet: &[u8]) -> (Bed, Sent, Vec<NodeNumber>) {
    let (mut bed, asked) = asking(packet);
    for who_has in &asked {
        bed.says(who_has, None);
    }
    let offer = bed.message();
    let order = order(&bed, &offer);
    (bed, offer, order)
}

/// An ingress that has offered a mid-flow packet to host 23, which says that it has the flow.
fn offering_mid_flow() -> (Bed, Sent) {
    let (mut bed, asked) = asking(&ack());
    bed.says(&asked[2], Some(birth(9, 1)));
    let offer = bed.message();
    (bed, offer)
}

fn accepts(bed: &mut Bed, offer: &Sent) {
    let host = offer.to.get();
    bed.receive(host, accept(offer, host, birth(9, 1)));
}

// --- A new flow ------------------------------------------------------------------------------

#[test]
fn r13_a_syn_is_offered_to_a_host_after_all_said_that_it_is_not_theirs() {
    let (mut bed, asked) = asking(&syn());
    let path = |host| Path {
        ingress: Some(me()),
        host: Some(host),
        ..Path::default()
    };
    let to: Vec<_> = asked.iter().map(|sent| sent.to).collect();
    assert_eq!(to, HOSTS.map(node));
    for sent in &asked {
        assert_eq!((sent.kind, sent.intent), (FlowKind::WhoHas, Intent::Syn));
        assert_eq!((sent.offer.isn, sent.path), (100, path(sent.to)));
    }
    for who_has in &asked {
        assert!(bed.drain().messages.is_empty());
        bed.says(who_has, None);
    }
    let offer = bed.message();
    let first = order(&bed, &offer)[0];
    let expected = Sent {
        to: first,
        kind: FlowKind::Offer,
        key: asked[0].key,
        offer: OfferNumber { isn: 100, step: 3 },
        intent: Intent::Syn,
        path: path(first),
        birth: None,
        tried: vec![],
        packet: syn(),
    };
    assert_eq!(offer, expected);
    assert_eq!(bed.verdict(&ack()), Verdict::Held, "what comes waits");
    accepts(&mut bed, &offer);
    let data = bed.message();
    assert_eq!((data.kind, data.to), (FlowKind::Data, first));
    assert_eq!(bed.forwarded(&ack()).to, first);
    let stats = bed.check();
    assert_eq!((stats.attempts_syn, stats.own_searches), (1, 1));
    assert_eq!((stats.who_has_asked, stats.who_has_found), (1, 0));
    assert_eq!((stats.own_offers, stats.accepts, stats.pending), (1, 1, 0));
}

#[test]
fn r7_a_syn_of_a_flow_that_a_host_has_is_offered_to_that_host() {
    for host in [0, 3] {
        let (mut bed, asked) = asking(&syn());
        bed.says(&asked[host], Some(birth(9, 1)));
        let offer = bed.message();
        assert_eq!((offer.kind, offer.to), (FlowKind::Offer, asked[host].to));
        assert_eq!(offer.offer.step, 3);
        // What the others say is over.
        bed.says(&asked[1], Some(birth(8, 8)));
        assert_eq!(bed.dropped(DropReason::StaleState), 1);
        accepts(&mut bed, &offer);
        assert_eq!(bed.forwarded(&ack()).to, asked[host].to);
        assert_eq!(bed.check().who_has_found, 1);
    }
}

#[test]
fn r7_an_owner_that_rejects_the_syn_has_disowned_its_old_life_and_others_are_asked() {
    let (mut bed, asked) = asking(&syn());
    bed.says(&asked[1], Some(birth(9, 1)));
    let offer = bed.message();
    bed.receive(22, reject(&offer, Reason::Load));
    let next = bed.message();
    let expected = order(&bed, &offer)
        .into_iter()
        .find(|&host| host != node(22));
    assert_eq!((Some(next.to), next.offer.step), (expected, 2));
    assert_eq!(next.tried, [node(22)]);
}

#[test]
fn r6_rejects_lead_from_host_to_host_until_none_is_left_or_the_steps_are_spent() {
    for (ttl, offers) in [(4, 4), (2, 2), (16, 4), (1, 1)] {
        let mut config = config();
        config.services[0].search_ttl = ttl;
        let mut bed = Bed::with(config, alone());
        assert_eq!(bed.verdict(&syn()), Verdict::Held);
        for who_has in bed.drain().messages {
            bed.says(&who_has, None);
        }
        let mut asked = Vec::new();
        loop {
            let drained = bed.drain();
            let Some(offer) = drained.messages.first() else {
                assert_eq!(drained.answers.len(), 1, "a reset, at once");
                break;
            };
            assert_eq!((offer.kind, &offer.tried), (FlowKind::Offer, &asked));
            assert_eq!(
                usize::from(offer.offer.step),
                usize::from(ttl) - 1 - asked.len()
            );
            asked.push(offer.to);
            bed.receive(offer.to.get(), reject(offer, Reason::Load));
        }
        let unique: BTreeSet<_> = asked.iter().collect();
        assert_eq!((asked.len(), unique.len()), (offers, offers), "{ttl}");
        let stats = bed.check();
        assert_eq!((stats.own_rejects, stats.refusals), (offers as u64, 1));
        assert_eq!((stats.pending, stats.resets, stats.ledger.held), (0, 1, 0));
    }
}

#[test]
fn a_repeat_through_another_ingress_finds_the_same_host() {
    for port in 1..20 {
        let syn = tcp_between((CLIENT4, port), (VIP4, 80), 1, SYN, b"");
        let (_, here, order) = offering(&syn);
        let mut config = config();
        config.node = node(2);
        let mut bed = Bed::with(config, alone());
        assert_eq!(bed.verdict(&syn), Verdict::Held);
        for who_has in bed.drain().messages {
            bed.says(&who_has, None);
        }
        let there = bed.message();
        assert_eq!((here.to, here.offer), (there.to, there.offer));
        assert_eq!(here.to, order[0]);
    }
}

#[test]
fn a_datagram_goes_the_same_way() {
    let (mut bed, asked) = asking(&udp(b"one"));
    assert!(asked.iter().all(|sent| sent.intent == Intent::Datagram));
    for who_has in &asked {
        bed.says(who_has, None);
    }
    let offer = bed.message();
    assert_eq!(
        (offer.intent, &offer.packet),
        (Intent::Datagram, &udp(b"one"))
    );
    bed.receive(offer.to.get(), reject(&offer, Reason::Load));
    let offer = bed.message();
    accepts(&mut bed, &offer);
    assert_eq!(bed.forwarded(&udp(b"two")).to, offer.to);
}

#[test]
fn hosts_that_take_nothing_new_are_asked_what_they_have_but_offered_nothing() {
    let states = [(21, MemberState::Draining), (22, MemberState::Joining)];
    let mut bed = Bed::with(config(), view_with(&[], &states));
    assert_eq!(bed.verdict(&syn()), Verdict::Held);
    let asked = bed.drain().messages;
    assert_eq!(asked.len(), 4);
    for who_has in &asked {
        bed.says(who_has, None);
    }
    let offer = bed.message();
    assert!([23, 24].map(node).contains(&offer.to));
    bed.receive(offer.to.get(), reject(&offer, Reason::Draining));
    let next = bed.message();
    assert!(next.to != offer.to && [23, 24].map(node).contains(&next.to));
    bed.receive(next.to.get(), reject(&next, Reason::Load));
    assert_eq!(bed.drain().answers.len(), 1);
}

#[test]
fn a_service_without_a_live_host_is_refused_and_an_ingress_cut_off_says_nothing() {
    let mut config = config();
    config.services[0]
        .hosts
        .retain(|host| host.node == node(21));
    let down = |hosts: &[u16]| {
        let states: Vec<_> = hosts
            .iter()
            .map(|&host| (host, MemberState::Down))
            .collect();
        view_with(&[(11, MemberState::Down)], &states)
    };
    let mut bed = Bed::with(config.clone(), down(&[21]));
    assert_eq!(bed.verdict(&syn()), Verdict::Held);
    assert_eq!(bed.pass(millis(1)).answers.len(), 1, "R6: never silence");
    // R4: the host may live, so what may be its flow is not reset before it is dead.
    assert_eq!(bed.verdict(&ack()), Verdict::Held);
    let drained = bed.pass(millis(1_100));
    assert!(drained.answers.is_empty());
    assert!(drained.messages.iter().all(|sent| sent.to == node(21)));
    assert_eq!(bed.dropped(DropReason::OpenTimeout), 1);

    let mut bed = Bed::with(config, down(&HOSTS));
    for packet in [syn(), ack()] {
        assert_eq!(
            bed.verdict(&packet),
            Verdict::Dropped(DropReason::NoTracker)
        );
    }
    assert!(bed.drain().answers.is_empty());
}

// --- A packet of a flow that should exist --------------------------------------------------------

#[test]
fn r4_a_mid_flow_packet_is_offered_to_the_owner_alone() {
    let (mut bed, offer) = offering_mid_flow();
    assert_eq!((offer.kind, offer.to), (FlowKind::Offer, node(23)));
    assert_eq!((offer.intent, &offer.packet), (Intent::MidFlow, &ack()));
    accepts(&mut bed, &offer);
    assert_eq!(bed.forwarded(&ack()).to, node(23));
    assert_eq!(bed.check().flows_unproven, 0);
}

#[test]
fn r4_a_mid_flow_packet_is_reset_only_after_every_host_said_no() {
    let (mut bed, asked) = asking(&ack());
    for who_has in &asked[1..] {
        bed.says(who_has, None);
        bed.says(who_has, None);
    }
    assert!(bed.drain().answers.is_empty());
    assert_eq!(bed.dropped(DropReason::StaleState), 3, "each counts once");
    let mut other = asked[0].clone();
    other.offer.isn = 77;
    bed.says(&other, None);
    assert!(bed.drain().answers.is_empty(), "of an earlier question");
    bed.says(&asked[0], None);
    assert_eq!(bed.drain().answers.len(), 1);
    assert_eq!((bed.check().pending, bed.check().refusals), (0, 1));
}

#[test]
fn r4_no_answer_is_not_a_no() {
    let (mut bed, asked) = asking(&ack());
    for who_has in &asked[1..] {
        bed.says(who_has, None);
    }
    let drained = bed.pass(millis(1_100));
    assert!(drained.answers.is_empty());
    assert!(drained.messages.iter().all(|sent| sent.to == asked[0].to));
    assert!(drained.messages.len() > 4, "R5: it is asked again");
    assert_eq!(bed.dropped(DropReason::OpenTimeout), 1);
}

#[test]
fn r4_a_host_that_is_down_holds_back_a_reset_until_it_is_dead_but_no_new_flow() {
    let down = view_with(&[], &[(24, MemberState::Down)]);
    let mut bed = Bed::with(config(), down);
    let ask = |bed: &mut Bed, packet: &[u8]| {
        assert_eq!(bed.verdict(packet), Verdict::Held);
        let asked = bed.drain().messages;
        for who_has in asked.iter().filter(|sent| sent.to != node(24)) {
            bed.says(who_has, None);
        }
        asked.len()
    };
    assert_eq!(ask(&mut bed, &ack()), 4);
    assert!(bed.pass(millis(1_100)).answers.is_empty());
    assert_eq!(
        ask(
            &mut bed,
            &tcp_between((CLIENT4, 2), (VIP4, 80), 1, SYN, b"")
        ),
        3
    );
    let offer = bed.message();
    assert!(offer.kind == FlowKind::Offer && offer.to != node(24));
    bed.pass(millis(14_000));
    assert_eq!((ask(&mut bed, &ack()), bed.drain().answers.len()), (3, 1));
}

#[test]
fn an_owner_that_has_just_lost_the_flow_makes_the_ingress_ask_all_again() {
    let (mut bed, mut offer) = offering_mid_flow();
    for step in [3, 2, 1] {
        assert_eq!(offer.offer.step, step);
        bed.receive(23, reject(&offer, Reason::NotOwner));
        let asked = bed.drain().messages;
        assert_eq!(asked.len(), 4);
        bed.says(&asked[2], Some(birth(9, 1)));
        offer = bed.message();
    }
    // S2: no step is left; but a host has it, so there is no reset.
    assert_eq!(offer.offer.step, 0);
    bed.receive(23, reject(&offer, Reason::NotOwner));
    let drained = bed.drain();
    assert!(drained.messages.is_empty() && drained.answers.is_empty());
    assert_eq!(bed.dropped(DropReason::UnknownFlow), 1);
}

#[test]
fn r4_a_mid_flow_packet_is_not_reset_when_every_host_leaves_before_it_answers() {
    let (mut bed, _) = asking(&ack());
    // A host of another pool: the ingress is not cut off.
    let other = Member {
        node: node(25),
        role: Role::HostAgent,
        state: MemberState::Active,
        incarnation: 0,
        domain: None,
    };
    let own = alone().member(node(1)).copied().unwrap();
    bed.sees(View::new(vec![own, other]));
    let drained = bed.pass(millis(300));
    assert!(drained.messages.is_empty() && drained.answers.is_empty());
    assert_eq!(bed.dropped(DropReason::UnknownFlow), 1);
}

#[test]
fn r4_a_mid_flow_packet_whose_steps_are_spent_is_not_reset_though_another_host_has_it() {
    let (mut bed, mut offer) = offering_mid_flow();
    for _ in [3, 2, 1] {
        bed.receive(23, reject(&offer, Reason::NotOwner));
        let asked = bed.drain().messages;
        bed.says(&asked[2], Some(birth(9, 1)));
        offer = bed.message();
    }
    assert_eq!(offer.offer.step, 0);
    let members = alone().members().to_vec();
    let left = members.into_iter().filter(|member| member.node != node(23));
    bed.sees(View::new(left.collect()));
    let asked = bed.drain().messages;
    assert_eq!(asked.len(), 3);
    bed.says(&asked[0], Some(birth(9, 1)));
    let drained = bed.drain();
    assert!(drained.messages.is_empty() && drained.answers.is_empty());
    assert_eq!(bed.dropped(DropReason::UnknownFlow), 1);
}

#[test]
fn r4_the_life_that_a_host_disowned_is_not_believed_from_it() {
    let mut bed = Bed::new();
    bed.accepted(&syn(), 21, birth(9, 5));
    let data = bed.forwarded(&ack());
    bed.sees(alone());
    bed.receive(21, not_owner(&data));
    let asked = bed.drain().messages;
    assert_eq!(asked.len(), 4);
    // On its way since before.
    bed.says(&asked[0], Some(birth(9, 5)));
    assert!(bed.drain().messages.is_empty());
    bed.says(&asked[0], Some(birth(9, 6)));
    let offer = bed.message();
    assert_eq!((offer.to, offer.intent), (node(21), Intent::MidFlow));
    let old = accept(&offer, 21, birth(9, 5));
    assert!(bed.drops(DropReason::StaleAccept, 21, old));
    bed.receive(21, accept(&offer, 21, birth(9, 6)));
    assert_eq!(bed.forwarded(&ack()).birth, Some(birth(9, 6)));
}

#[test]
fn icmp_errors_resets_and_fins_ask_mid_flow_too() {
    let quoted = tcp_between((VIP4, 80), (CLIENT4, 40_000), 9, ACK, b"");
    for packet in [
        tcp(101, TcpFlags::RST, b""),
        tcp(101, TcpFlags::FIN | ACK, b""),
        too_big(ROUTER4, VIP4, &quoted),
    ] {
        let (_, asked) = asking(&packet);
        assert_eq!(asked.len(), 4);
        assert!(asked.iter().all(|sent| sent.intent == Intent::MidFlow));
    }
}

// --- R5: losses, and late answers ----------------------------------------------------------------

#[test]
fn r5_only_those_are_asked_again_that_have_not_answered_and_an_offer_goes_to_its_host() {
    let (mut bed, asked) = asking(&syn());
    bed.says(&asked[1], None);
    bed.says(&asked[3], None);
    let again = bed.pass(millis(21)).messages;
    assert_eq!(again, [asked[0].clone(), asked[2].clone()]);
    bed.says(&asked[0], None);
    bed.says(&asked[2], None);
    let offer = bed.message();
    let repeats = bed.pass(millis(150)).messages;
    assert_eq!(repeats, [offer.clone(), offer.clone(), offer]);
    assert!(bed.pass(millis(1_000)).answers.is_empty());
    assert_eq!(bed.dropped(DropReason::OpenTimeout), 1);
}

#[test]
fn only_the_host_that_was_offered_the_flow_accepts_it_straight() {
    let (bed, offer, order) = offering(&syn());
    let host = offer.to.get();
    let other = order[1].get();
    let good = accept(&offer, host, birth(9, 1));
    let isn = FlowMessage {
        offer: OfferNumber { isn: 7, step: 3 },
        ..good
    };
    let cases = [
        (
            "another host",
            other,
            accept(&offer, other, birth(9, 1)),
            DropReason::WrongRole,
        ),
        ("in another's name", other, good, DropReason::WrongNode),
        ("another attempt", host, isn, DropReason::StaleAnswer),
    ];
    for (what, from, message, reason) in cases {
        let mut bed = bed.clone();
        assert!(bed.drops(reason, from, message), "{what}");
        assert_eq!((bed.check().pending, bed.check().flows), (1, 0), "{what}");
    }
    // Before anything was offered, and after another took over.
    let (mut early, _) = asking(&syn());
    assert!(early.drops(DropReason::WrongRole, host, good));
    let mut late = bed.clone();
    late.receive(host, reject(&offer, Reason::Load));
    assert!(late.drops(DropReason::WrongRole, host, good));
    let mut bed = bed;
    bed.receive(host, good);
    assert!(bed.drops(DropReason::StaleAnswer, host, good), "doubled");
    assert_eq!(bed.check().flows, 1);
}

#[test]
fn a_reject_counts_only_from_the_host_and_for_the_number_that_it_was_offered() {
    let (bed, offer, order) = offering(&syn());
    let good = reject(&offer, Reason::Load);
    let number = |isn, step| FlowMessage {
        offer: OfferNumber { isn, step },
        ..good
    };
    let other = order[1].get();
    let named = FlowMessage {
        path: Path {
            host: Some(order[1]),
            ..good.path
        },
        ..good
    };
    let cases = [
        ("another host", other, named, DropReason::StaleReject),
        ("in another's name", other, good, DropReason::WrongNode),
        (
            "another attempt",
            offer.to.get(),
            number(7, 3),
            DropReason::StaleReject,
        ),
        (
            "another step",
            offer.to.get(),
            number(100, 2),
            DropReason::StaleReject,
        ),
        (
            "of a life",
            offer.to.get(),
            FlowMessage {
                birth: Some(birth(9, 1)),
                ..good
            },
            DropReason::StaleReject,
        ),
    ];
    for (what, from, message, reason) in cases {
        let mut bed = bed.clone();
        assert!(bed.drops(reason, from, message), "{what}");
        assert!(bed.drain().messages.is_empty(), "{what}");
    }
    let mut bed = bed;
    bed.receive(offer.to.get(), good);
    assert_eq!(bed.message().to, order[1]);
    assert!(
        bed.drops(DropReason::StaleReject, offer.to.get(), good),
        "doubled"
    );
}

#[test]
fn a_trackers_refusal_counts_only_where_a_host_may_have_passed_the_offer_on() {
    let refusal = |sent: &Sent| answer(sent, FlowKind::Refuse, Reason::Unknown);
    let wait = |sent: &Sent| answer(sent, FlowKind::Wait, Reason::Queued);
    let (mut bed, asked) = asking(&syn());
    bed.sees(view_with(&[(11, MemberState::Down)], &[]));
    bed.drain();
    // All hosts are being asked: that is of a search that ended before this one.
    assert!(bed.drops(DropReason::StaleAnswer, 11, refusal(&asked[0])));
    assert!(bed.drops(DropReason::StaleAnswer, 11, wait(&asked[0])));
    for who_has in &asked {
        bed.says(who_has, None);
    }
    let offer = bed.message();
    let mut queued = bed.clone();
    queued.receive(11, wait(&offer));
    // It is repeated, but slowly.
    let again = queued.pass(millis(500)).messages;
    assert!(again.len() == 2 && again.iter().all(|sent| *sent == offer));
    bed.receive(11, refusal(&offer));
    assert_eq!(bed.drain().answers.len(), 1);

    // A mid-flow Offer is never passed on, and its owner is known.
    let (mut bed, offer) = offering_mid_flow();
    bed.sees(view_with(&[(11, MemberState::Down)], &[]));
    assert!(bed.drops(DropReason::StaleAnswer, 11, refusal(&offer)));
    assert!(bed.drain().answers.is_empty());
}

#[test]
fn a_host_that_sees_a_tracker_passes_on_and_another_may_have_taken_the_flow() {
    let (mut bed, offer, order) = offering(&syn());
    bed.sees(view_with(&[(11, MemberState::Joining)], &[]));
    let other = order[2].get();
    let through = accept(&offer, other, birth(3, 1));
    let path = Path {
        primary: Some(node(11)),
        ..through.path
    };
    bed.receive(11, FlowMessage { path, ..through });
    bed.drain();
    assert_eq!(bed.forwarded(&ack()).to, order[2]);
}

// --- Views -----------------------------------------------------------------------------------------

#[test]
fn an_attempt_whose_last_tracker_is_lost_asks_all_hosts_at_once() {
    let mut bed = Bed::with(config(), view_of(&[11]));
    assert_eq!(bed.verdict(&syn()), Verdict::Held);
    let open = bed.message();
    bed.pass(millis(150));
    bed.sees(view_with(&[(11, MemberState::Down)], &[]));
    let asked = bed.drain().messages;
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(|sent| sent.kind == FlowKind::WhoHas));
    // The tracker's last Accept was on its way.
    bed.receive(11, accept(&open, 22, birth(9, 1)));
    assert_eq!(bed.forwarded(&ack()).to, node(22));
    // A search through trackers that did not end: its host says so.
    let (mut bed, asked) = asking(&syn());
    bed.says(&asked[3], Some(birth(9, 9)));
    assert_eq!(bed.message().to, node(24));
}

#[test]
fn a_host_that_is_lost_while_asked_is_waited_for_no_longer() {
    let (mut bed, asked) = asking(&syn());
    for who_has in &asked[..3] {
        bed.says(who_has, None);
    }
    bed.sees(view_with(&[], &[(24, MemberState::Down)]));
    let offer = bed.message();
    assert_eq!(offer.kind, FlowKind::Offer, "the others had said no");
    // That one is lost too: the search goes on with what it knows.
    let both = [(24, MemberState::Down), (offer.to.get(), MemberState::Down)];
    bed.sees(view_with(&[], &both));
    let asked = bed.drain().messages;
    assert_eq!(
        asked.len(),
        4 - both.iter().map(|it| it.0).collect::<BTreeSet<_>>().len()
    );
    for who_has in &asked {
        bed.says(who_has, None);
    }
    let next = bed.message();
    assert_eq!((next.offer.step, &next.tried), (2, &vec![offer.to]));
    // It was only believed down: its Accept does not count any more.
    let late = accept(&offer, offer.to.get(), birth(9, 1));
    assert!(bed.drops(DropReason::WrongRole, offer.to.get(), late));
}

#[test]
fn a_host_that_comes_up_while_all_are_asked_is_asked_too() {
    let mut bed = Bed::with(config(), view_with(&[], &[(24, MemberState::Down)]));
    assert_eq!(bed.verdict(&syn()), Verdict::Held);
    let asked = bed.drain().messages;
    assert_eq!(asked.len(), 3);
    bed.says(&asked[0], None);
    bed.sees(alone());
    let late = bed.message();
    assert_eq!((late.kind, late.to), (FlowKind::WhoHas, node(24)));
    bed.says(&asked[1], None);
    bed.says(&asked[2], None);
    assert!(bed.drain().messages.is_empty(), "its word is missing");
    bed.says(&late, Some(birth(9, 1)));
    assert_eq!(bed.message().to, node(24));
}

#[test]
fn in_whatever_order_a_pool_is_written_each_of_its_hosts_is_asked_once() {
    let mut config = config();
    for service in &mut config.services {
        service.any_host = true;
        service.hosts.retain(|host| host.node != node(22));
        service.hosts.reverse();
    }
    let down = [(23, MemberState::Down)];
    let mut bed = Bed::with(config, view_with(&[], &down));
    assert_eq!(bed.verdict(&syn()), Verdict::Held);
    let asked = bed.drain().messages;
    let hosts: Vec<_> = asked.iter().map(|sent| sent.to.get()).collect();
    assert_eq!(hosts, [21, 22, 24]);
    for who_has in &asked[1..] {
        bed.says(who_has, None);
    }
    // One goes, one comes: those who have answered are not asked again.
    bed.sees(view_with(&[], &[(21, MemberState::Down)]));
    let late = bed.message();
    assert_eq!((late.kind, late.to), (FlowKind::WhoHas, node(23)));
    bed.says(&late, None);
    assert_eq!(bed.message().kind, FlowKind::Offer);
}

#[test]
fn an_owner_that_is_lost_is_offered_its_mid_flow_packet_until_it_is_dead() {
    let (mut bed, offer) = offering_mid_flow();
    let down = view_with(&[], &[(23, MemberState::Down)]);
    bed.sees(down);
    let again = bed.pass(millis(21)).messages;
    assert!(again.iter().eq([&offer]));
    assert!(
        bed.pass(millis(900))
            .messages
            .iter()
            .all(|sent| *sent == offer)
    );
}

#[test]
fn a_tracker_that_returns_goes_on_with_the_search_by_what_was_tried() {
    let (mut bed, offer, order) = offering(&syn());
    bed.receive(offer.to.get(), reject(&offer, Reason::Load));
    let second = bed.message();
    bed.sees(view_with(&[(11, MemberState::Joining)], &[]));
    assert!(
        bed.drain().messages.is_empty(),
        "one that joins is not asked"
    );
    bed.sees(view_of(&[11]));
    let open = bed.message();
    assert_eq!((open.kind, open.to), (FlowKind::Open, node(11)));
    assert_eq!(open.tried, [order[0]]);
    // Whoever was offered it last may have taken it: the tracker offers it to that one first, under
    // the number that it knows.
    assert_eq!((open.path.host, open.birth), (Some(order[1]), None));
    assert_eq!(open.offer.step, second.offer.step + 1);
    let mut accepted = bed.clone();
    accepts(&mut accepted, &second);
    assert_eq!(accepted.forwarded(&ack()).to, order[1]);
    // Its Reject is one more that was tried.
    bed.receive(order[1].get(), reject(&second, Reason::Load));
    let again = bed.pass(millis(21)).messages;
    assert_eq!(again[0].tried, [order[0], order[1]]);
    assert_eq!(
        (again[0].path.host, again[0].offer.step),
        (None, second.offer.step)
    );
    bed.receive(11, accept(&again[0], 24, birth(1, 1)));
    assert_eq!(bed.forwarded(&ack()).to, node(24));
}

#[test]
fn a_search_that_trackers_took_over_comes_back_when_they_are_lost_again() {
    let (mut bed, offer, _) = offering(&syn());
    bed.sees(view_of(&[11]));
    assert_eq!(bed.message().kind, FlowKind::Open);
    bed.sees(alone());
    // The same Offer, since its host may have taken the flow.
    assert_eq!(bed.message(), offer);
    assert_eq!(bed.check().own_searches, 1);
}

#[test]
fn an_ingress_that_loses_sight_of_everybody_refuses_nothing_that_is_under_way() {
    let down: Vec<_> = HOSTS
        .iter()
        .map(|&host| (host, MemberState::Down))
        .collect();
    let (asking, asked) = asking(&syn());
    let (offering, offer, _) = offering(&syn());
    // They are asked what they were asked before.
    for (mut bed, again) in [(asking, asked), (offering, vec![offer])] {
        bed.sees(view_with(&[], &down));
        let drained = bed.pass(millis(300));
        assert!(drained.messages.is_empty() && drained.answers.is_empty());
        bed.sees(alone());
        assert_eq!(bed.drain().messages, again);
    }
}

#[test]
fn before_the_view_has_settled_nobody_concludes_that_there_is_no_tracker() {
    let mut bed = Bed::with(config(), View::default());
    bed.ingress.handle_settled(bed.now, false);
    assert_eq!(bed.verdict(&syn()), Verdict::Held);
    bed.sees(alone());
    assert_eq!(bed.verdict(&udp(b"one")), Verdict::Held);
    assert!(bed.pass(millis(300)).messages.is_empty());
    // A tracker is heard of.
    let mut heard = bed.clone();
    heard.sees(view_of(&[12]));
    let opens = heard.drain().messages;
    assert_eq!(opens.len(), 2);
    assert!(
        opens
            .iter()
            .all(|sent| (sent.kind, sent.to) == (FlowKind::Open, node(12)))
    );
    // None is, and this is all that there is.
    bed.ingress.handle_settled(bed.now, true);
    let asked = bed.drain().messages;
    assert_eq!(asked.len(), 8);
    assert!(asked.iter().all(|sent| sent.kind == FlowKind::WhoHas));
    for who_has in &asked {
        bed.says(who_has, None);
    }
    let offers = bed.drain().messages;
    // A pause: nobody is believed until heard of again, and then all goes on.
    let down: Vec<_> = HOSTS
        .iter()
        .map(|&host| (host, MemberState::Down))
        .collect();
    bed.ingress.handle_settled(bed.now, false);
    bed.sees(view_with(&[], &down));
    assert!(bed.pass(millis(50)).messages.is_empty());
    bed.sees(alone());
    bed.ingress.handle_settled(bed.now, true);
    assert_eq!(bed.drain().messages, offers);
}

#[test]
fn a_mid_flow_question_goes_back_to_a_tracker_as_it_was() {
    let (mut bed, _) = offering_mid_flow();
    bed.sees(view_of(&[11]));
    let open = bed.message();
    assert_eq!((open.kind, open.intent), (FlowKind::Open, Intent::MidFlow));
    assert_eq!((open.offer.step, open.path.host), (4, None));
}

// --- R14: bounds -------------------------------------------------------------------------------------

#[test]
fn r14_all_hosts_are_asked_no_more_often_than_may_be_and_new_flows_leave_half() {
    let mut config = config();
    config.limits.max_who_has = 6;
    config.limits.max_pending = 100;
    let mut bed = Bed::with(config, alone());
    let packet = |port, flags| tcp_between((CLIENT4, port), (VIP4, 80), 1, flags, b"");
    let full = Verdict::Dropped(DropReason::WhoHasFull);
    let mut held = |flags| {
        let verdicts: Vec<_> = (1..=10)
            .map(|port| bed.verdict(&packet(port + if flags == SYN { 0 } else { 100 }, flags)))
            .collect();
        assert!(verdicts.iter().all(|&it| it == Verdict::Held || it == full));
        verdicts.iter().filter(|&&it| it == Verdict::Held).count()
    };
    assert_eq!((held(SYN), held(ACK)), (3, 3));
    let stats = bed.check();
    assert_eq!(
        (stats.pending, stats.ledger.held, stats.who_has_limited),
        (6, 6, 14)
    );
    assert_eq!((stats.attempts_syn, stats.attempts_mid_flow), (3, 3));
    // Repeats count too: six in 200 ms, of each kind three.
    bed.drain();
    let again = bed.pass(millis(199)).messages;
    assert!(again.len() <= 6 * 4, "{}", again.len());
    assert!(again.len() >= 4 * 4);
}

#[test]
fn r14_a_question_to_many_hosts_counts_for_as_many_messages_as_it_takes() {
    let mut config = config();
    config.limits.max_who_has = 8;
    config.limits.max_outbox = 1_000;
    for service in &mut config.services {
        service.any_host = true;
    }
    let host = Member {
        role: Role::HostAgent,
        ..alone().members()[1]
    };
    let many = (100..296).map(|number| Member {
        node: node(number),
        ..host
    });
    let members = alone().members().iter().copied().chain(many).collect();
    let mut bed = Bed::with(config, View::new(members));
    assert_eq!(bed.verdict(&syn()), Verdict::Held);
    // Four permissions for new flows, and 200 hosts are more than three times 64.
    assert_eq!(bed.drain().messages.len(), 200);
    let other = tcp_between((CLIENT4, 7), (VIP4, 80), 1, SYN, b"");
    assert_eq!(
        bed.verdict(&other),
        Verdict::Dropped(DropReason::WhoHasFull)
    );
    assert_eq!(bed.check().who_has_limited, 1);
}

#[test]
fn r14_attempts_that_lose_their_last_tracker_together_ask_one_after_the_other() {
    let mut config = config();
    config.limits.max_who_has = 6;
    config.limits.max_pending = 100;
    config.limits.max_outbox = 100;
    let mut bed = Bed::with(config, view_of(&[11]));
    for port in 1..=10 {
        let syn = tcp_between((CLIENT4, port), (VIP4, 80), 1, SYN, b"");
        assert_eq!(bed.verdict(&syn), Verdict::Held);
    }
    assert_eq!(bed.drain().messages.len(), 10);
    bed.sees(alone());
    let mut asked = bed.drain().messages;
    assert_eq!(asked.len(), 3 * 4);
    let mut offered = BTreeSet::new();
    for _ in 0..100 {
        for sent in asked {
            if sent.kind == FlowKind::WhoHas {
                bed.says(&sent, None);
            } else {
                offered.insert(sent.key.client_port());
            }
        }
        asked = bed.pass(millis(10)).messages;
    }
    assert_eq!(
        offered.len(),
        10,
        "each in its turn, within the time that it has"
    );
}

#[test]
fn r14_questions_without_room_in_the_outbox_are_counted_and_repeated() {
    let mut config = config();
    config.limits.max_outbox = 2;
    let mut bed = Bed::with(config, alone());
    assert_eq!(bed.verdict(&syn()), Verdict::Held);
    assert_eq!(bed.dropped(DropReason::OutboxFull), 2);
    for _ in 0..2 {
        let asked = bed.drain().messages;
        assert_eq!(asked.len(), 2);
        for who_has in &asked {
            bed.says(who_has, None);
        }
        bed.now = bed.now + millis(60);
        bed.ingress.handle_timeout(bed.now);
    }
    assert_eq!(bed.drain().messages[0].kind, FlowKind::Offer);
}

#[test]
fn an_answer_nobody_asked_for_is_stale() {
    let (mut bed, asked) = asking(&syn());
    let mut other = asked[0].clone();
    other.key = jlb_protocol::FlowKey::new(ip(CLIENT4), 1, service(WEB4), 80);
    bed.says(&other, Some(birth(1, 1)));
    let (mut with_tracker, open) = (Bed::new(), syn());
    assert_eq!(with_tracker.verdict(&open), Verdict::Held);
    with_tracker.says(&asked[0], Some(birth(1, 1)));
    for bed in [&bed, &with_tracker] {
        assert_eq!(bed.dropped(DropReason::StaleState), 1);
        assert_eq!(bed.check().own_offers, 0);
    }
}
