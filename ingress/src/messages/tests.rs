use crate::Verdict;
use crate::testbed::*;
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::message::{FlowKind, FlowMessage, Intent, Path, Reason};
use jlb_protocol::packet::{self, TcpFlags, Transport};
use jlb_protocol::{Birth, DropReason, MemberState, OfferNumber};

/// An ingress that asks for the flow of `packet`, and its Open.
fn asking(packet: &[u8]) -> (Bed, Sent) {
    let mut bed = Bed::new();
    assert_eq!(bed.verdict(packet), Verdict::Held);
    let open = bed.message();
    (bed, open)
}

fn syn() -> Vec<u8> {
    tcp(100, SYN, b"")
}

fn ack() -> Vec<u8> {
    tcp(101, ACK, b"")
}

// --- Accept --------------------------------------------------------------------------------------

#[test]
fn r5_an_accept_counts_only_for_the_attempt_under_way() {
    let (bed, open) = asking(&syn());
    let good = accept(&open, 21, birth(9, 1));
    let offer = |isn, step| FlowMessage {
        offer: OfferNumber { isn, step },
        ..good
    };
    let path = |path| FlowMessage { path, ..good };
    let elsewhere = Path {
        ingress: Some(node(2)),
        ..good.path
    };
    let nowhere = Path {
        ingress: None,
        ..good.path
    };
    let nobody = Path {
        host: None,
        ..good.path
    };
    let tracker = Path {
        host: Some(node(12)),
        ..good.path
    };
    let stranger = Path {
        host: Some(node(99)),
        ..good.path
    };
    let cases = [
        ("another attempt", offer(101, 4), DropReason::StaleAnswer),
        (
            "another question",
            FlowMessage {
                intent: Intent::MidFlow,
                ..good
            },
            DropReason::StaleAnswer,
        ),
        (
            "for another ingress",
            path(elsewhere),
            DropReason::WrongNode,
        ),
        ("for no ingress", path(nowhere), DropReason::WrongNode),
        ("of no host", path(nobody), DropReason::BadField),
        ("of a tracker", path(tracker), DropReason::WrongRole),
        ("of a stranger", path(stranger), DropReason::UnknownSender),
        (
            "without birth",
            FlowMessage {
                birth: None,
                ..good
            },
            DropReason::BadField,
        ),
    ];
    for (what, message, reason) in cases {
        let mut bed = bed.clone();
        assert!(bed.drops(reason, open.to.get(), message), "{what}");
        assert_eq!((bed.check().pending, bed.check().flows), (1, 0), "{what}");
    }
    // Whatever is left of the search's steps, which it may have begun with more than this ingress would
    // give it today, and whichever tracker passes it on.
    for (step, from) in [(0, 11), (1, 12), (4, 13), (9, 11)] {
        let mut bed = bed.clone();
        bed.receive(from, offer(100, step));
        assert_eq!(bed.forwarded(&ack()).to, node(21));
    }
}

#[test]
fn s1_an_accept_of_an_attempt_that_is_over_makes_no_entry() {
    let (mut bed, open) = asking(&syn());
    bed.pass(Duration::from_secs(2));
    let late = accept(&open, 21, birth(9, 1));
    assert!(bed.drops(DropReason::StaleAnswer, open.to.get(), late));
    assert_eq!(bed.check().flows, 0);
}

#[test]
fn r5_a_doubled_accept_changes_nothing() {
    let (mut bed, open) = asking(&syn());
    let message = accept(&open, 21, birth(9, 1));
    bed.receive(open.to.get(), message);
    assert!(bed.drops(DropReason::StaleAnswer, open.to.get(), message));
    assert_eq!((bed.check().flows, bed.check().accepts), (1, 1));
}

#[test]
fn r9_births_order_what_one_host_says_of_a_flow() {
    let mut bed = Bed::new();
    bed.accepted(&syn(), 21, birth(9, 5));
    assert_eq!(bed.verdict(&tcp(900, SYN, b"")), Verdict::Held);
    let open = bed.message();
    let older = accept(&open, 21, birth(9, 4));
    assert!(bed.drops(DropReason::StaleAccept, open.to.get(), older));
    assert_eq!(bed.check().pending, 1, "the question stays open");

    // Of an attempt that is over: the entry's host may say that it took a newer life.
    bed.pass(Duration::from_secs(2));
    let other = accept(&open, 22, birth(99, 1));
    assert!(bed.drops(DropReason::StaleAccept, open.to.get(), other));
    bed.receive(open.to.get(), accept(&open, 21, birth(9, 6)));
    assert_eq!(bed.forwarded(&ack()).birth, Some(birth(9, 6)));
}

#[test]
fn r7_the_owner_takes_a_repeated_syn_with_the_same_birth() {
    let mut bed = Bed::new();
    bed.accepted(&syn(), 21, birth(9, 5));
    assert_eq!(bed.forwarded(&ack()).to, node(21));
    bed.accepted(&syn(), 21, birth(9, 5));
    let stats = bed.check();
    assert_eq!((stats.flows, stats.flows_unproven), (1, 0));
}

// --- Refuse --------------------------------------------------------------------------------------

#[test]
fn r6_a_refused_syn_is_reset_and_what_waited_is_dropped() {
    let (mut bed, open) = asking(&syn());
    assert_eq!(bed.verdict(&ack()), Verdict::Held);
    bed.receive(
        open.to.get(),
        answer(&open, FlowKind::Refuse, Reason::Exhausted),
    );
    let [reset] = &bed.drain().answers[..] else {
        panic!("one answer")
    };
    let reset = packet::parse(reset).unwrap();
    assert_eq!((reset.src, reset.dst), (ip(VIP4), ip(CLIENT4)));
    let Transport::Tcp {
        src_port,
        dst_port,
        seq,
        ack,
        flags,
        ..
    } = reset.transport
    else {
        panic!("{reset:?}")
    };
    // RFC 9293 section 3.10.7.1: <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>
    assert_eq!((src_port, dst_port, seq, ack), (80, 40_000, 0, 101));
    assert!(flags.contains(TcpFlags::RST | TcpFlags::ACK));
    let stats = bed.check();
    assert_eq!((stats.refusals, stats.resets, stats.pending), (1, 1, 0));
    assert_eq!((stats.ledger.delivered, stats.ledger.held), (1, 0));
    assert_eq!(bed.dropped(DropReason::Refused), 2);
}

#[test]
fn r6_a_refused_datagram_is_unreachable() {
    let (mut bed, open) = asking(&udp(b"one"));
    bed.receive(
        open.to.get(),
        answer(&open, FlowKind::Refuse, Reason::NoHost),
    );
    let [error] = &bed.drain().answers[..] else {
        panic!("one answer")
    };
    assert_eq!(error[20..22], [3, 3], "port unreachable");
    assert_eq!(bed.check().unreachables, 1);
}

#[test]
fn r6_more_icmp_errors_than_may_be_are_counted_and_not_sent() {
    let mut bed = Bed::new();
    let mut answered = 0;
    let most = crate::answers::ICMP_ERRORS_PER_SECOND;
    for _ in 0..=most {
        assert_eq!(bed.verdict(&udp(b"one")), Verdict::Held);
        let open = bed.message();
        bed.receive(
            open.to.get(),
            answer(&open, FlowKind::Refuse, Reason::NoHost),
        );
        answered += bed.drain().answers.len();
    }
    let stats = bed.check();
    assert_eq!(answered, most as usize);
    assert_eq!(stats.unreachables, u64::from(most));
    assert_eq!(stats.unreachables_limited, 1);
}

#[test]
fn r4_an_unknown_flow_is_reset_only_when_a_tracker_says_so() {
    let (mut bed, open) = asking(&ack());
    bed.pass(Duration::from_secs(2));
    assert!(bed.drain().answers.is_empty(), "no answer is not a no");
    assert_eq!(bed.verdict(&ack()), Verdict::Held);
    bed.drain();
    bed.receive(
        open.to.get(),
        answer(&open, FlowKind::Refuse, Reason::Unknown),
    );
    assert_eq!(bed.drain().answers.len(), 1);
}

#[test]
fn r4_an_unknown_flow_is_not_reset_while_a_host_may_come_back() {
    // The tracker may have started after that host went down, and not know it.
    let trackers = [11, 12, 13].map(|tracker| (tracker, MemberState::Active));
    let hosts = |state| [(21, state), (22, MemberState::Active)];
    let (mut bed, open) = asking(&ack());
    bed.sees(view_with(&trackers, &hosts(MemberState::Down)));
    bed.drain();
    bed.receive(
        open.to.get(),
        answer(&open, FlowKind::Refuse, Reason::Unknown),
    );
    assert!(bed.drain().answers.is_empty());
    assert_eq!(bed.dropped(DropReason::UnknownFlow), 1);
    // Nor while one is up that the tracker has not asked.
    bed.sees(view_with(&trackers, &hosts(MemberState::Active)));
    bed.drain();
    assert_eq!(bed.verdict(&ack()), Verdict::Held);
    let open = bed.message();
    let mut of_three = answer(&open, FlowKind::Refuse, Reason::Unknown);
    of_three.load = 3;
    bed.receive(open.to.get(), of_three);
    assert!(bed.drain().answers.is_empty());
    assert_eq!(bed.dropped(DropReason::UnknownFlow), 2);
    // Dead hosts are not waited for.
    bed.sees(view_with(&trackers, &hosts(MemberState::Down)));
    bed.drain();
    bed.pass(Duration::from_secs(16));
    assert_eq!(bed.verdict(&ack()), Verdict::Held);
    let open = bed.message();
    bed.receive(
        open.to.get(),
        answer(&open, FlowKind::Refuse, Reason::Unknown),
    );
    assert_eq!(bed.drain().answers.len(), 1);
}

#[test]
fn resets_and_icmp_errors_are_never_answered() {
    let quoted = tcp_between((VIP4, 80), (CLIENT4, 40_000), 9, ACK, b"");
    for packet in [
        tcp(500, TcpFlags::RST, b""),
        too_big(ROUTER4, VIP4, &quoted),
    ] {
        let (mut bed, open) = asking(&packet);
        bed.receive(
            open.to.get(),
            answer(&open, FlowKind::Refuse, Reason::Unknown),
        );
        assert!(bed.drain().answers.is_empty());
        assert_eq!(bed.dropped(DropReason::Refused), 1);
    }
}

#[test]
fn r6_what_waited_behind_a_packet_without_answer_is_answered() {
    let quoted = tcp_between((VIP4, 80), (CLIENT4, 40_000), 9, ACK, b"");
    for first in [
        tcp(500, TcpFlags::RST, b""),
        too_big(ROUTER4, VIP4, &quoted),
    ] {
        let (mut bed, open) = asking(&first);
        assert_eq!(bed.verdict(&ack()), Verdict::Held);
        assert_eq!(bed.verdict(&tcp(102, ACK, b"x")), Verdict::Held);
        let refusal = answer(&open, FlowKind::Refuse, Reason::Unknown);
        bed.receive(open.to.get(), refusal);
        let [reset] = &bed.drain().answers[..] else {
            panic!("one answer a flow")
        };
        let Transport::Tcp { seq, flags, .. } = packet::parse(reset).unwrap().transport else {
            panic!("{reset:?}")
        };
        // RFC 9293 section 3.10.7.1: <SEQ=SEG.ACK><CTL=RST>
        assert_eq!((seq, flags), (5_000, TcpFlags::RST));
        assert_eq!(bed.dropped(DropReason::Refused), 3);
    }
}

#[test]
fn a_refusal_of_another_attempt_is_ignored() {
    let (mut bed, open) = asking(&syn());
    let mut refusal = answer(&open, FlowKind::Refuse, Reason::Exhausted);
    refusal.offer.isn = 99;
    assert!(bed.drops(DropReason::StaleAnswer, open.to.get(), refusal));
    assert!(bed.drain().answers.is_empty());
    assert_eq!(bed.check().pending, 1);
}

#[test]
fn a_refused_syn_leaves_the_entry_of_the_connection_alone() {
    let mut bed = Bed::new();
    bed.accepted(&syn(), 21, birth(9, 1));
    assert_eq!(bed.verdict(&tcp(900, SYN, b"")), Verdict::Held);
    let open = bed.message();
    bed.receive(
        open.to.get(),
        answer(&open, FlowKind::Refuse, Reason::Quota),
    );
    assert_eq!(bed.forwarded(&ack()).to, node(21));
}

// --- Wait and NotActing ----------------------------------------------------------------------------

#[test]
fn a_queued_flow_is_repeated_slowly() {
    let (mut bed, open) = asking(&syn());
    bed.receive(open.to.get(), answer(&open, FlowKind::Wait, Reason::Queued));
    let slowly = config().timers.open_retry_max;
    assert!(
        bed.pass(slowly - Duration::from_millis(2))
            .messages
            .is_empty()
    );
    let again = bed.pass(Duration::from_millis(4)).messages;
    assert!(again.iter().eq([&open]));
    assert!(
        bed.pass(slowly - Duration::from_millis(4))
            .messages
            .is_empty()
    );
    assert_eq!(bed.verdict(&syn()), Verdict::Dropped(DropReason::Repeat));
    bed.receive(open.to.get(), accept(&open, 21, birth(1, 1)));
    assert_eq!(bed.forwarded(&ack()).to, node(21));
}

#[test]
fn a_tracker_that_does_not_act_makes_the_ingress_ask_the_next_rank_at_once() {
    let (mut bed, mut open) = asking(&syn());
    let ranks = ranks(&view(), &open.key);
    assert_eq!(open.path.secondary, None);
    for (at, &next) in ranks.iter().enumerate().skip(1) {
        bed.receive(
            open.to.get(),
            answer(&open, FlowKind::NotActing, Reason::NotFilled),
        );
        let doubled = answer(&open, FlowKind::NotActing, Reason::NotFilled);
        assert!(bed.drops(DropReason::StaleAnswer, open.to.get(), doubled));
        open = bed.message();
        assert_eq!(open.to, next);
        assert_eq!(open.path.primary, Some(next));
        assert_eq!(
            open.path.secondary,
            Some(ranks[at - 1]),
            "it leads without the one that does not act"
        );
    }
    // Nobody is left: the first is asked again, by the timer.
    bed.receive(
        open.to.get(),
        answer(&open, FlowKind::NotActing, Reason::NotFilled),
    );
    assert!(bed.drain().messages.is_empty());
    let again = bed.pass(Duration::from_millis(20)).messages;
    assert_eq!((again[0].to, again[0].path.secondary), (ranks[0], None));
    assert_eq!(bed.check().not_acting, 3);
}

#[test]
fn trackers_that_all_do_not_act_are_asked_in_rounds_that_grow_rare_until_the_attempt_ends() {
    let (mut bed, open) = asking(&syn());
    let begun = bed.now;
    let mut opens = Vec::from([open]);
    let mut rounds = Vec::new();
    while bed.check().pending > 0 {
        if opens.is_empty() {
            bed.now = bed.ingress.poll_timeout().unwrap().max(bed.now);
            bed.ingress.handle_timeout(bed.now);
            opens.extend(bed.drain().messages);
            if !opens.is_empty() {
                rounds.push(bed.now.since(begun).as_millis());
            }
        }
        for open in core::mem::take(&mut opens) {
            let not_acting = answer(&open, FlowKind::NotActing, Reason::NotFilled);
            bed.receive(open.to.get(), not_acting);
        }
        opens.extend(bed.drain().messages);
    }
    assert_eq!(rounds, [20, 60, 140, 300, 500, 700, 900]);
    assert_eq!(bed.check().not_acting, 3 * 8);
    assert_eq!(bed.dropped(DropReason::OpenTimeout), 1);
}

#[test]
fn an_attempt_at_a_lower_rank_stays_there_when_the_view_changes() {
    let (mut bed, open) = asking(&syn());
    bed.receive(
        open.to.get(),
        answer(&open, FlowKind::NotActing, Reason::NotFilled),
    );
    let second = bed.message();
    bed.ingress.handle_view(bed.now, view());
    assert!(bed.drain().messages.is_empty());
    let rest: Vec<u16> = [11, 12, 13]
        .into_iter()
        .filter(|&tracker| tracker != second.to.get())
        .collect();
    bed.ingress.handle_view(bed.now, view_of(&rest));
    let first = bed.message();
    assert_eq!(first.to, open.to);
    // From there the ranks are gone through anew.
    bed.receive(
        first.to.get(),
        answer(&first, FlowKind::NotActing, Reason::NotFilled),
    );
    assert_eq!(bed.message().to, ranks(&view_of(&rest), &open.key)[1]);
}

// --- Reject: not the owner ---------------------------------------------------------------------------

/// An ingress with the flow on host 21, a packet of it that was sent there, and the flow's birth.
fn sent_to_21() -> (Bed, Sent, Birth) {
    let mut bed = Bed::new();
    bed.accepted(&syn(), 21, birth(9, 1));
    let data = bed.forwarded(&ack());
    (bed, data, birth(9, 1))
}

#[test]
fn r4_a_disowned_flow_is_asked_for_again_and_the_open_says_who_disowned_it() {
    let (mut bed, data, life) = sent_to_21();
    let second = bed.forwarded(&tcp(111, ACK, b"x"));
    bed.receive(21, not_owner(&data));
    let open = bed.message();
    assert_eq!(
        (open.kind, open.intent, open.offer.isn),
        (FlowKind::Open, Intent::MidFlow, 101)
    );
    assert_eq!((open.path.host, open.birth), (Some(node(21)), Some(life)));
    assert_eq!(open.packet, data.packet);
    // What was sent meanwhile comes back too, and waits.
    bed.receive(21, not_owner(&second));
    assert_eq!(bed.verdict(&tcp(112, ACK, b"")), Verdict::Held);
    let stats = bed.check();
    assert_eq!((stats.disowned, stats.flows, stats.ledger.held), (1, 0, 3));
    assert!(bed.drain().messages.is_empty());

    let stale = accept(&open, 21, life);
    assert!(
        bed.drops(DropReason::StaleAccept, open.to.get(), stale),
        "it disowned that life"
    );
    bed.receive(open.to.get(), accept(&open, 22, birth(3, 1)));
    let packets: Vec<_> = bed
        .drain()
        .messages
        .into_iter()
        .map(|data| data.packet)
        .collect();
    assert_eq!(packets, [tcp(111, ACK, b"x"), tcp(112, ACK, b"")]);
}

#[test]
fn r4_only_a_reject_of_the_entrys_host_about_its_flow_is_obeyed() {
    let (bed, data, _) = sent_to_21();
    let good = not_owner(&data);
    let host = |host| FlowMessage {
        path: Path { host, ..good.path },
        ..good
    };
    let other_flow = tcp_between((CLIENT4, 40_001), (VIP4, 80), 1, ACK, b"");
    let other_service = tcp_between((CLIENT4, 40_000), (ROUTER4, 80), 1, ACK, b"");
    let syn = syn();
    let packet = |packet| FlowMessage { packet, ..good };
    let cases = [
        (
            "no birth",
            FlowMessage {
                birth: None,
                ..good
            },
            DropReason::StaleReject,
        ),
        (
            "other reason",
            FlowMessage {
                reason: Reason::Load,
                ..good
            },
            DropReason::StaleReject,
        ),
        (
            "in another's name",
            host(Some(node(22))),
            DropReason::WrongNode,
        ),
        ("in nobody's name", host(None), DropReason::WrongNode),
        (
            "another flow's packet",
            packet(&other_flow),
            DropReason::FlowMismatch,
        ),
        (
            "no service's packet",
            packet(&other_service),
            DropReason::NotVip,
        ),
        ("a SYN", packet(&syn), DropReason::SynAsData),
        ("no packet", packet(&[]), DropReason::Truncated),
    ];
    for (what, message, reason) in cases {
        let mut bed = bed.clone();
        assert!(bed.drops(reason, 21, message), "{what}");
        assert!(bed.drain().messages.is_empty(), "{what}");
        assert_eq!(bed.forwarded(&ack()).to, node(21), "{what}");
    }
}

#[test]
fn a_packet_from_an_older_entrys_host_is_sent_on_to_the_newer_one() {
    let (mut bed, data, _) = sent_to_21();
    bed.accepted(&tcp(900, SYN, b""), 22, birth(3, 1));
    bed.receive(21, not_owner(&data));
    let again = bed.message();
    assert_eq!(
        (again.kind, again.to, again.birth),
        (FlowKind::Data, node(22), Some(birth(3, 1)))
    );
    assert_eq!(again.packet, data.packet);
    assert_eq!(bed.check().rerouted, 1);
    // If that host does not own it either, the flow is asked for: nothing goes in circles.
    bed.receive(22, not_owner(&again));
    let open = bed.message();
    assert_eq!(
        (open.kind, open.path.host),
        (FlowKind::Open, Some(node(22)))
    );
}

#[test]
fn r9_a_reject_of_a_later_life_than_the_entrys_disowns_that_too() {
    let (bed, data, life) = sent_to_21();
    for later in [life.next(), birth(10, 1)] {
        let mut bed = bed.clone();
        let mut message = not_owner(&data);
        message.birth = Some(later);
        bed.receive(21, message);
        assert_eq!(bed.check().disowned, 1);
        let open = bed.message();
        assert_eq!((open.path.host, open.birth), (Some(node(21)), Some(later)));
    }
}

#[test]
fn r9_a_packet_of_an_earlier_life_goes_to_the_same_hosts_later_one() {
    let mut bed = Bed::new();
    bed.accepted(&udp(b"one"), 21, birth(9, 1));
    let data = [bed.forwarded(&udp(b"two")), bed.forwarded(&udp(b"three"))];
    // The host had just ended the flow; the first packet that it gives back begins another life.
    bed.receive(21, not_owner(&data[0]));
    let open = bed.message();
    bed.receive(open.to.get(), accept(&open, 21, birth(9, 2)));
    // The second one comes back late: it is not lost.
    bed.receive(21, not_owner(&data[1]));
    let again = bed.message();
    assert_eq!((again.to, again.birth), (node(21), Some(birth(9, 2))));
    assert_eq!(
        (again.kind, &again.packet),
        (FlowKind::Data, &udp(b"three"))
    );
    assert_eq!((bed.check().rerouted, bed.check().disowned), (1, 1));
    // It does not go in circles.
    bed.receive(21, not_owner(&again));
    assert_eq!(bed.message().kind, FlowKind::Open);
    assert_eq!((bed.check().rerouted, bed.check().disowned), (1, 2));
}

#[test]
fn no_entry_stays_whose_host_disowns_all_that_comes() {
    // Whatever births the entry went through, the Reject of what it sends out is obeyed.
    let lives = [
        (21, birth(9, 5)),
        (21, birth(9, 6)),
        (22, birth(3, 1)),
        (21, birth(9, 1)),
        (21, birth(10, 1)),
    ];
    let mut bed = Bed::new();
    for (at, (host, life)) in (0..).zip(lives) {
        bed.accepted(&tcp(100 + 1000 * at, SYN, b""), host, life);
        let mut bed = bed.clone();
        let data = bed.forwarded(&ack());
        assert_eq!((data.to, data.birth), (node(host), Some(life)));
        bed.receive(host, not_owner(&data));
        assert_eq!((bed.check().flows, bed.check().disowned), (0, 1));
        assert_eq!(bed.message().kind, FlowKind::Open);
    }
}

#[test]
fn a_packet_given_back_without_an_entry_is_asked_for() {
    let (mut bed, data, life) = sent_to_21();
    bed.pass(Duration::from_secs(70));
    bed.receive(21, not_owner(&data));
    let open = bed.message();
    assert_eq!((open.intent, open.offer.isn), (Intent::MidFlow, 101));
    assert_eq!((open.path.host, open.birth), (Some(node(21)), Some(life)));
    assert_eq!((bed.check().disowned, bed.check().ledger.held), (0, 1));
    // Packets of the old life do not go to the host of the new one.
    assert_eq!(bed.verdict(&tcp(900, SYN, b"")), Verdict::Held);
    assert!(bed.drops(DropReason::StaleReject, 21, not_owner(&data)));
}

#[test]
fn a_reject_while_a_syn_is_asked_for_only_removes_the_entry() {
    let (mut bed, data, _) = sent_to_21();
    assert_eq!(bed.verdict(&tcp(900, SYN, b"")), Verdict::Held);
    bed.drain();
    bed.receive(21, not_owner(&data));
    let stats = bed.check();
    assert_eq!((stats.flows, stats.pending, stats.ledger.held), (0, 1, 1));
}

// --- What is not for an ingress ------------------------------------------------------------------------

#[test]
fn other_messages_are_dropped() {
    let (bed, open) = asking(&syn());
    for kind in [
        FlowKind::Open,
        FlowKind::Offer,
        FlowKind::Data,
        FlowKind::WhoHas,
        FlowKind::Release,
    ] {
        let message = answer(&open, kind, Reason::None);
        assert!(
            bed.clone().drops(DropReason::WrongRole, 11, message),
            "{kind:?}"
        );
    }
    let mut message = accept(&open, 21, birth(1, 1));
    message.key = jlb_protocol::FlowKey::new(ip(CLIENT4), 1, service(77), 80);
    assert!(bed.clone().drops(DropReason::UnknownService, 11, message));
}

#[test]
fn only_trackers_answer_and_only_hosts_give_back() {
    let (bed, open) = asking(&syn());
    let accepted = accept(&open, 21, birth(1, 1));
    for (sender, what) in [(21, "a host"), (2, "an ingress"), (99, "a stranger")] {
        assert!(
            bed.clone().drops(DropReason::WrongRole, sender, accepted),
            "an Accept of {what}"
        );
        let refused = answer(&open, FlowKind::Refuse, Reason::Exhausted);
        assert!(
            bed.clone().drops(DropReason::WrongRole, sender, refused),
            "a Refuse of {what}"
        );
    }
    let rejected = answer(&open, FlowKind::Reject, Reason::NotOwner);
    assert!(bed.clone().drops(DropReason::WrongRole, 11, rejected));
}
