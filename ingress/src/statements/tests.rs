use crate::Verdict;
use crate::testbed::*;
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::message::{FlowKind, FlowState, FlowStatement, Reason};
use jlb_protocol::{Birth, DropReason, FlowKey, NodeNumber};

fn key() -> FlowKey {
    FlowKey::new(ip(CLIENT4), 40_000, service(WEB4), 80)
}

fn says(key: FlowKey, birth: Birth, state: FlowState) -> FlowStatement {
    FlowStatement {
        key,
        birth,
        isn: 100,
        state,
        fresh: false,
    }
}

fn closed(birth: Birth) -> FlowStatement {
    says(key(), birth, FlowState::Closed)
}

/// The acknowledgements to be sent; nothing else is.
fn acks(bed: &mut Bed) -> Vec<(NodeNumber, u64)> {
    let drained = bed.drain();
    assert!(drained.messages.is_empty() && drained.answers.is_empty());
    drained.acks
}

/// An ingress with the flow on host 21.
fn cached() -> Bed {
    let mut bed = Bed::new();
    bed.accepted(&tcp(100, SYN, b""), 21, birth(9, 5));
    assert_eq!(bed.forwarded(&tcp(101, ACK, b"")).to, node(21));
    bed
}

#[test]
fn r8_a_closed_flow_is_forgotten_and_the_state_acknowledged() {
    let mut bed = cached();
    let before = bed.check().ledger;
    bed.told(21, 7, &[closed(birth(9, 5))]);
    let stats = bed.check();
    assert_eq!((stats.flows, stats.closed, stats.disowned), (0, 1, 0));
    assert_eq!(stats.ledger.received, before.received + 1);
    assert_eq!(stats.ledger.consumed, before.consumed + 1);
    assert_eq!(stats.ledger.created, before.created + 1);
    assert_eq!(stats.ledger.sent, before.sent + 1);
    assert_eq!(acks(&mut bed), [(node(21), 7)]);
    assert_eq!(stats.hosts[0].flows, 0);
    bed.pass(Duration::from_secs(61));
    assert_eq!(bed.ingress.poll_timeout(), None, "S5: nothing is left");
    assert_eq!(bed.check().expired, 0);
}

#[test]
fn r9_only_the_entrys_host_ends_it_and_only_by_its_birth_or_a_later_one() {
    let other = FlowKey::new(ip(CLIENT4), 40_001, service(WEB4), 80);
    let stays = [
        ("of another host", 22, closed(birth(9, 5))),
        ("of the life before", 21, closed(birth(9, 4))),
        ("of an earlier incarnation", 21, closed(birth(8, 99))),
        (
            "of another flow",
            21,
            says(other, birth(9, 5), FlowState::Closed),
        ),
        (
            "accepted",
            21,
            says(key(), birth(9, 5), FlowState::Accepted),
        ),
        (
            "established",
            21,
            says(key(), birth(9, 5), FlowState::Established),
        ),
        ("closing", 21, says(key(), birth(9, 5), FlowState::Closing)),
        ("not mine", 21, says(key(), birth(9, 5), FlowState::NotMine)),
    ];
    for (what, from, statement) in stays {
        let mut bed = cached();
        bed.told(from, 1, &[statement]);
        assert_eq!((bed.check().flows, bed.check().closed), (1, 0), "{what}");
        assert_eq!(acks(&mut bed), [(node(from), 1)], "{what}");
        assert_eq!(bed.forwarded(&tcp(101, ACK, b"")).to, node(21), "{what}");
    }
    // A host whose agent has restarted gives its flows new births.
    for later in [birth(9, 6), birth(10, 1)] {
        let mut bed = cached();
        bed.told(21, 1, &[closed(later)]);
        assert_eq!((bed.check().flows, bed.check().closed), (0, 1), "{later:?}");
    }
}

#[test]
fn r5_states_may_come_twice_late_and_in_any_order() {
    let mut bed = cached();
    let last = closed(birth(9, 5));
    bed.told(21, 4, &[last]);
    bed.told(21, 4, &[last]);
    // The next life: what was said of the one before does not touch it, under whichever number.
    let first = acks(&mut bed);
    bed.accepted(&tcp(900, SYN, b""), 21, birth(9, 6));
    bed.told(21, 4, &[last]);
    bed.told(21, 3, &[last]);
    bed.told(21, u64::MAX, &[last]);
    assert_eq!((bed.check().flows, bed.check().closed), (1, 1));
    let numbers: Vec<_> = first.into_iter().chain(acks(&mut bed)).collect();
    let expected = [4, 4, 4, 3, u64::MAX].map(|number| (node(21), number));
    assert_eq!(numbers, expected, "each by its own number");
    // A host that counts from 1 again.
    bed.told(21, 1, &[closed(birth(9, 6))]);
    assert_eq!(acks(&mut bed), [(node(21), 1)]);
    assert_eq!((bed.check().flows, bed.check().closed), (0, 2));
}

#[test]
fn a_close_leaves_the_attempt_under_way_alone() {
    let mut bed = cached();
    assert_eq!(bed.verdict(&tcp(900, SYN, b"")), Verdict::Held);
    let open = bed.message();
    bed.told(21, 1, &[closed(birth(9, 5))]);
    let stats = bed.check();
    assert_eq!((stats.flows, stats.pending, stats.ledger.held), (0, 1, 1));
    assert_eq!(acks(&mut bed), [(node(21), 1)]);
    // What comes now waits for the answer, which counts, also from the host that said closed.
    assert_eq!(bed.verdict(&tcp(901, ACK, b"")), Verdict::Held);
    bed.receive(open.to.get(), accept(&open, 21, birth(9, 6)));
    let data = bed.message();
    assert_eq!((data.to, data.birth), (node(21), Some(birth(9, 6))));
    assert_eq!(bed.check().flows, 1);
}

#[test]
fn a_packet_given_back_after_the_close_is_asked_for() {
    let mut bed = Bed::new();
    bed.accepted(&udp(b"one"), 21, birth(9, 5));
    let data = bed.forwarded(&udp(b"two"));
    let key = data.key;
    bed.told(21, 1, &[says(key, birth(9, 5), FlowState::Closed)]);
    assert_eq!(acks(&mut bed).len(), 1);
    bed.receive(21, not_owner(&data));
    let open = bed.message();
    assert_eq!((open.kind, &open.packet), (FlowKind::Open, &udp(b"two")));
    assert_eq!(bed.check().ledger.held, 1);
    bed.receive(open.to.get(), accept(&open, 22, birth(1, 1)));
    assert_eq!(bed.forwarded(&udp(b"three")).to, node(22));
}

#[test]
fn many_statements_are_applied_one_by_one() {
    let mut bed = Bed::new();
    let keys: Vec<_> = (1..=30_u16)
        .map(|port| FlowKey::new(ip(CLIENT4), port, service(WEB4), 80))
        .collect();
    for (port, counter) in (1..=30).zip(1..) {
        let syn = tcp_between((CLIENT4, port), (VIP4, 80), 1, SYN, b"");
        bed.accepted(&syn, 21, birth(9, counter));
    }
    let flows: Vec<_> = keys
        .iter()
        .zip(1..)
        .filter(|(_, counter)| counter % 2 == 0)
        .map(|(&key, counter)| says(key, birth(9, counter), FlowState::Closed))
        .collect();
    bed.told(21, 1, &flows);
    let stats = bed.check();
    assert_eq!(
        (stats.flows, stats.closed, stats.flows_unproven),
        (15, 15, 15)
    );
}

#[test]
fn only_hosts_of_the_view_state_anything_and_unasked_only_numbered() {
    let cases = [
        (11, 1, DropReason::WrongRole),
        (1, 1, DropReason::WrongRole),
        (99, 1, DropReason::UnknownSender),
        (21, 0, DropReason::StaleState),
    ];
    for (from, sequence, reason) in cases {
        let mut bed = cached();
        bed.told(from, sequence, &[closed(birth(9, 5))]);
        assert_eq!((bed.check().flows, bed.dropped(reason)), (1, 1), "{from}");
        assert!(acks(&mut bed).is_empty(), "{from}");
    }
}

#[test]
fn r14_an_acknowledgement_without_room_is_counted_and_the_host_repeats() {
    let mut config = config();
    config.limits.max_outbox = 1;
    let mut bed = Bed::with(config, view());
    bed.told(21, 1, &[]);
    bed.told(22, 1, &[]);
    assert_eq!(bed.dropped(DropReason::OutboxFull), 1);
    assert_eq!(acks(&mut bed), [(node(21), 1)]);
    bed.told(22, 1, &[]);
    assert_eq!(acks(&mut bed), [(node(22), 1)]);
}

#[test]
fn a_refused_flow_after_its_close_is_reset() {
    let mut bed = cached();
    bed.told(21, 1, &[closed(birth(9, 5))]);
    acks(&mut bed);
    assert_eq!(bed.verdict(&tcp(101, ACK, b"late")), Verdict::Held);
    let open = bed.message();
    let refusal = answer(&open, FlowKind::Refuse, Reason::Unknown);
    bed.receive(open.to.get(), refusal);
    assert_eq!(bed.drain().answers.len(), 1);
}
