//! What time, full tables, views and configurations change.

use super::millis;
use crate::testbed::*;
use crate::{Stats, Verdict};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use jlb_protocol::message::{FlowKind, Intent, Reason};
use jlb_protocol::packet::TcpFlags;
use jlb_protocol::services::Ports;
use jlb_protocol::view::Member;
use jlb_protocol::{DropReason, MemberState, NodeNumber, Role, View};

// --- Time -----------------------------------------------------------------------------------

#[test]
fn r5_an_unanswered_open_is_repeated_with_growing_waits_until_it_is_given_up() {
    let mut bed = Bed::new();
    assert_eq!(bed.verdict(&tcp(100, SYN, b"")), Verdict::Held);
    assert_eq!(bed.verdict(&tcp(101, ACK, b"")), Verdict::Held);
    let open = bed.message();
    let begun = bed.now;
    let mut at = Vec::new();
    while bed.check().pending > 0 {
        bed.now = bed.ingress.poll_timeout().unwrap().max(bed.now);
        bed.ingress.handle_timeout(bed.now);
        for repeat in bed.drain().messages {
            assert_eq!(repeat, open, "a repeat is the same Open");
            at.push(bed.now.since(begun).as_millis());
        }
    }
    assert_eq!(at, [20, 60, 140, 300, 500, 700, 900]);
    assert_eq!(bed.now.since(begun), millis(1000));
    assert_eq!(bed.dropped(DropReason::OpenTimeout), 2);
    let stats = bed.check();
    assert_eq!(
        (stats.open_repeats, stats.open_timeouts, stats.ledger.held),
        (7, 1, 0)
    );
    assert_eq!(bed.ingress.poll_timeout(), None);
    // S3: the client's next SYN opens anew.
    assert_eq!(bed.verdict(&tcp(100, SYN, b"")), Verdict::Held);
}

#[test]
fn an_idle_entry_is_forgotten_and_a_used_one_stays() {
    let mut bed = Bed::new();
    bed.accepted(&tcp(100, SYN, b""), 21, birth(9, 1));
    for _ in 0..5 {
        assert_eq!(bed.forwarded(&tcp(101, ACK, b"")).kind, FlowKind::Data);
        bed.pass(millis(59_000));
    }
    assert_eq!(bed.check().flows, 1);
    bed.pass(millis(2_000));
    let stats = bed.check();
    assert_eq!(
        (stats.flows, stats.expired, bed.ingress.poll_timeout()),
        (0, 1, None)
    );
    assert_eq!(
        bed.verdict(&tcp(101, ACK, b"")),
        Verdict::Held,
        "and is asked for again"
    );
}

#[test]
fn entries_of_silent_and_of_ended_clients_go_soon() {
    let mut bed = Bed::new();
    bed.accepted(&tcp(100, SYN, b""), 21, birth(9, 1));
    bed.accepted(&udp(b"one"), 21, birth(9, 2));
    assert_eq!(bed.check().flows_unproven, 2);
    assert_eq!(bed.forwarded(&udp(b"two")).to, node(21));
    assert_eq!(bed.check().flows_unproven, 1);
    bed.pass(millis(5_000));
    assert_eq!((bed.check().flows, bed.check().flows_unproven), (1, 0));

    for flags in [TcpFlags::FIN | ACK, TcpFlags::RST] {
        bed.accepted(&tcp(100, SYN, b""), 21, birth(9, 3));
        assert_eq!(bed.forwarded(&tcp(101, ACK, b"")).to, node(21));
        bed.pass(millis(5_000));
        assert_eq!(bed.forwarded(&tcp(101, flags, b"")).to, node(21));
        bed.pass(millis(3_900));
        // The client may still read: its ACKs keep the entry.
        assert_eq!(bed.forwarded(&tcp(102, ACK, b"")).to, node(21));
        bed.pass(millis(3_900));
        assert_eq!(bed.check().flows, 2);
        bed.pass(millis(500));
        assert_eq!(bed.check().flows, 1, "S5");
    }
}

#[test]
fn an_entry_made_for_a_clients_last_packets_or_an_error_goes_soon() {
    let quoted = tcp_between((VIP4, 80), (CLIENT4, 40_000), 9, ACK, b"");
    let cases = [
        (tcp(500, TcpFlags::RST, b""), 0),
        (tcp(500, TcpFlags::FIN | ACK, b""), 0),
        (too_big(ROUTER4, VIP4, &quoted), 1),
    ];
    for (packet, unproven) in cases {
        let mut bed = Bed::new();
        bed.accepted(&packet, 21, birth(9, 1));
        let stats = bed.check();
        assert_eq!((stats.flows, stats.flows_unproven), (1, unproven));
        bed.pass(millis(4_500));
        assert_eq!(bed.check().flows, 0, "S5");
    }
    // The client's end may wait behind another packet.
    let mut bed = Bed::new();
    assert_eq!(bed.verdict(&tcp(500, ACK, b"bye")), Verdict::Held);
    assert_eq!(
        bed.verdict(&tcp(503, TcpFlags::FIN | ACK, b"")),
        Verdict::Held
    );
    let open = bed.message();
    bed.receive(open.to.get(), accept(&open, 21, birth(9, 1)));
    bed.drain();
    bed.pass(millis(4_500));
    assert_eq!(bed.check().flows, 0, "S5");
}

// --- R3, R14: bounds -----------------------------------------------------------------------------

fn syn_from(port: u16) -> Vec<u8> {
    tcp_between((CLIENT4, port), (VIP4, 80), 1, SYN, b"")
}

#[test]
fn r14_new_flows_leave_a_quarter_of_the_pending_table_to_existing_ones() {
    let mut bed = Bed::new();
    let held = (1..=16)
        .filter(|&port| bed.verdict(&syn_from(port)) == Verdict::Held)
        .count();
    assert_eq!((held, bed.dropped(DropReason::PendingFull)), (12, 4));
    let held = (100..116)
        .map(|port| tcp_between((CLIENT4, port), (VIP4, 80), 1, ACK, b""))
        .filter(|packet| bed.verdict(packet) == Verdict::Held)
        .count();
    assert_eq!((held, bed.check().pending), (4, 16));
}

#[test]
fn r14_the_bytes_that_wait_are_bounded() {
    let mut bed = Bed::new();
    let mut verdicts = Vec::new();
    for port in 1..=12 {
        verdicts.push(bed.verdict(&udp_between((CLIENT4, port), (VIP4, 53), &[0; 1372])));
    }
    let full = Verdict::Dropped(DropReason::PendingBytesFull);
    assert_eq!(
        verdicts.iter().filter(|&&verdict| verdict == full).count(),
        4
    );
    assert_eq!(bed.check().pending_bytes, 8 * 1400);
}

#[test]
fn r3_a_flow_without_room_in_the_cache_works_uncached() {
    let mut config = config();
    config.limits.max_flows = 2;
    let mut bed = Bed::with(config, view());
    // Half of the entries are for flows whose client has not gone on.
    bed.accepted(&syn_from(1), 21, birth(9, 1));
    bed.accepted(&syn_from(2), 21, birth(9, 2));
    assert_eq!((bed.check().flows, bed.check().uncached), (1, 1));
    // The client's next packet asks mid-flow; who can do that is not forged.
    let ack = |port| tcp_between((CLIENT4, port), (VIP4, 80), 2, ACK, b"");
    bed.accepted(&ack(2), 21, birth(9, 2));
    assert_eq!(bed.forwarded(&ack(2)).to, node(21));
    // Full: no entry makes room, and what waited is delivered all the same.
    assert_eq!(bed.verdict(&ack(3)), Verdict::Held);
    assert_eq!(bed.verdict(&ack(3)), Verdict::Held);
    let open = bed.message();
    bed.receive(open.to.get(), accept(&open, 22, birth(1, 1)));
    assert_eq!((bed.message().to, bed.check().uncached), (node(22), 2));
    assert_eq!(bed.verdict(&ack(3)), Verdict::Held);
    assert_eq!(
        (bed.forwarded(&ack(1)).to, bed.forwarded(&ack(2)).to),
        (node(21), node(21))
    );
}

#[test]
fn r14_a_full_outbox_loses_messages_by_count_and_the_timer_repeats_them() {
    let mut config = config();
    config.limits.max_outbox = 1;
    let mut bed = Bed::with(config, view());
    assert_eq!(bed.verdict(&syn_from(1)), Verdict::Held);
    assert_eq!(bed.verdict(&syn_from(2)), Verdict::Held);
    assert_eq!(bed.dropped(DropReason::OutboxFull), 1);
    bed.drain();
    let repeats = bed.pass(millis(100)).messages;
    assert!(
        [1, 2]
            .iter()
            .all(|&port| repeats.iter().any(|m| m.key.client_port() == port))
    );
}

// --- Views and configurations --------------------------------------------------------------------

#[test]
fn without_a_tracker_packets_are_dropped() {
    let mut bed = Bed::with(config(), View::default());
    assert_eq!(
        bed.verdict(&tcp(1, SYN, b"")),
        Verdict::Dropped(DropReason::NoTracker)
    );
}

#[test]
fn another_view_turns_attempts_to_their_new_primary_at_once() {
    let mut bed = Bed::new();
    assert_eq!(bed.verdict(&tcp(100, SYN, b"")), Verdict::Held);
    let primary = bed.message().to;
    let rest: Vec<u16> = [11, 12, 13]
        .into_iter()
        .filter(|&tracker| tracker != primary.get())
        .collect();
    bed.pass(millis(150));
    bed.ingress.handle_view(bed.now, view_of(&rest));
    let open = bed.message();
    assert_eq!(
        open.to,
        ranks(&view(), &super::key())[1],
        "losing a tracker promotes the next rank"
    );
    assert_eq!(open.path.primary, Some(open.to));
    assert_eq!(
        bed.pass(millis(20)).messages.len(),
        1,
        "the wait starts small again"
    );
    // A view without anybody else asks nobody, and the next one asks again.
    bed.sees(View::default());
    assert!(bed.pass(millis(300)).messages.is_empty());
    bed.sees(view_of(&[13]));
    assert_eq!(bed.message().to, node(13));
}

/// An ingress with an Open under way for each of these ports, asked so long ago that its repeats
/// have become rare, and the tracker of each.
fn waiting(ports: core::ops::RangeInclusive<u16>) -> (Bed, BTreeMap<u16, NodeNumber>) {
    let mut config = config();
    config.limits.max_pending = 4_000;
    config.limits.max_outbox = 4_000;
    config.limits.max_pending_bytes = 1 << 20;
    let mut bed = Bed::with(config, view());
    for port in ports {
        assert_eq!(bed.verdict(&syn_from(port)), Verdict::Held);
    }
    let opens = bed.drain().messages;
    bed.pass(millis(350));
    let asked = opens.iter().map(|open| (open.key.client_port(), open.to));
    (bed, asked.collect())
}

#[test]
fn the_loss_of_any_tracker_or_host_or_a_new_tracker_repeats_every_question_at_once() {
    use MemberState::{Active, Down, Draining, Joining};
    let (bed, asked) = waiting(1..=9);
    let trackers =
        |states: [MemberState; 3]| [11, 12, 13].into_iter().zip(states).collect::<Vec<_>>();
    let all = trackers([Active; 3]);
    let mut restarted = view().members().to_vec();
    restarted[5].incarnation += 1;
    let changes = [
        (
            "a tracker down",
            view_with(&trackers([Down, Active, Active]), &[]),
            true,
        ),
        ("a tracker gone", view_of(&[11, 12]), true),
        ("a host down", view_with(&all, &[(24, Down)]), true),
        ("a host restarted", View::new(restarted), true),
        ("another tracker", view_of(&[11, 12, 13, 14]), true),
        ("a host draining", view_with(&all, &[(24, Draining)]), false),
        (
            "a tracker joining",
            view_with(&[&all[..], &[(14, Joining)]].concat(), &[]),
            false,
        ),
    ];
    for (what, view, repeats) in changes {
        let mut bed = bed.clone();
        bed.sees(view.clone());
        let opens = bed.drain().messages;
        assert_eq!(opens.len(), if repeats { 9 } else { 0 }, "{what}");
        for open in &opens {
            assert_eq!(open.to, ranks(&view, &open.key)[0], "{what}");
        }
        let moved = opens
            .iter()
            .any(|open| asked[&open.key.client_port()] != open.to);
        assert_eq!(moved, what.contains("tracker") && repeats, "{what}");
        if repeats {
            assert_eq!(bed.check().view_repeats, 9);
            assert_eq!(
                bed.pass(millis(21)).messages.len(),
                9,
                "{what}: the waits start small"
            );
        }
    }
    // The same views of hosts that come back, and of a tracker that leaves, ask nobody twice.
    let mut bed = bed.clone();
    bed.sees(view_with(&all, &[(24, Down)]));
    bed.drain();
    bed.sees(view());
    assert!(bed.drain().messages.is_empty());
    bed.sees(view_with(&trackers([Draining, Active, Active]), &[]));
    let of_11 = asked
        .values()
        .filter(|&&tracker| tracker == node(11))
        .count();
    assert!(of_11 > 0);
    assert_eq!(bed.drain().messages.len(), of_11);
}

#[test]
fn a_view_that_changes_many_times_in_a_row_does_not_repeat_a_question_each_time() {
    let (mut bed, _) = waiting(1..=9);
    let all = [11, 12, 13].map(|tracker| (tracker, MemberState::Active));
    let views = [21, 22, 23, 24].map(|host| view_with(&all, &[(host, MemberState::Down)]));
    let mut opens = 0;
    for at in 0..100 {
        bed.sees(views[at % 4].clone());
        opens += bed.drain().messages.len();
        opens += bed.pass(millis(1)).messages.len();
    }
    // 100 changes in 100 ms: each attempt asks at most once in 20 ms.
    assert!((9 * 4..=9 * 6).contains(&opens), "{opens}");
}

#[test]
fn r14_a_changed_view_repeats_no_more_at_a_call_than_may_be_and_loses_none() {
    let (mut bed, asked) = waiting(1..=700);
    bed.sees(view_with(&[(11, MemberState::Active)], &[]));
    let mut seen: BTreeMap<u16, u32> = BTreeMap::new();
    let mut calls = Vec::new();
    for _ in 0..3 {
        let opens = bed.drain().messages;
        calls.push(opens.len());
        for open in opens {
            assert_eq!(open.to, node(11));
            *seen.entry(open.key.client_port()).or_default() += 1;
        }
        let left = seen.len() < asked.len();
        let due = bed.ingress.poll_timeout().unwrap();
        assert_eq!(
            due <= bed.now + millis(1),
            left,
            "what is left is due at once"
        );
        bed.now = bed.now + millis(1);
        bed.ingress.handle_timeout(bed.now);
    }
    assert_eq!(calls, [256, 256, 188]);
    assert_eq!(seen.len(), asked.len());
    assert!(seen.values().all(|&times| times == 1));
}

// --- Dead hosts ------------------------------------------------------------------------------------

#[test]
fn r4_packets_of_a_host_that_is_down_are_asked_for_and_it_is_given_up_when_it_is_dead() {
    let mut bed = Bed::new();
    bed.accepted(&tcp(100, SYN, b""), 21, birth(9, 1));
    bed.accepted(&udp(b"one"), 22, birth(9, 2));
    let trackers = [11, 12, 13].map(|tracker| (tracker, MemberState::Active));
    let down = view_with(&trackers, &[(21, MemberState::Down)]);
    let ack = tcp(101, ACK, b"");
    bed.sees(down.clone());
    assert_eq!(bed.verdict(&ack), Verdict::Held);
    let open = bed.message();
    assert_eq!((open.kind, open.intent), (FlowKind::Open, Intent::MidFlow));
    assert_eq!(bed.check().down_host_misses, 1);
    assert_eq!(
        bed.forwarded(&udp(b"two")).to,
        node(22),
        "others go on as they did"
    );
    // The flow has moved on since the entry was made.
    bed.receive(open.to.get(), accept(&open, 22, birth(4, 4)));
    assert_eq!(bed.forwarded(&ack).to, node(22));
    // Another view in which the host is still down begins no new time.
    bed.accepted(&tcp(100, SYN, b""), 21, birth(9, 3));
    bed.pass(millis(14_800));
    bed.sees(down);
    assert_eq!(bed.check().dead_hosts, 0);
    bed.pass(millis(300));
    assert_eq!(bed.check().dead_hosts, 1);
    bed.accepted(&tcp(100, SYN, b""), 21, birth(9, 4));
    assert_eq!(bed.verdict(&ack), Verdict::Held);
    let open = bed.message();
    bed.receive(
        open.to.get(),
        answer(&open, FlowKind::Refuse, Reason::Unknown),
    );
    assert_eq!(bed.drain().answers.len(), 1, "a reset instead of a hang");
    // It comes back.
    bed.sees(view());
    assert_eq!(
        (bed.check().dead_hosts, bed.forwarded(&ack).to),
        (0, node(21))
    );
}

#[test]
fn packets_of_a_host_that_is_down_go_there_while_there_is_no_room_to_ask() {
    let mut config = config();
    config.limits.max_pending = 0;
    let mut bed = Bed::new();
    bed.accepted(&tcp(100, SYN, b""), 21, birth(9, 1));
    bed.ingress.handle_config(bed.now, config.clone());
    let trackers = [11, 12, 13].map(|tracker| (tracker, MemberState::Active));
    bed.sees(view_with(&trackers, &[(21, MemberState::Down)]));
    assert_eq!(bed.forwarded(&tcp(101, ACK, b"")).to, node(21));
    // One that is given up gets nothing.
    config.dead_host = Some(millis(1));
    bed.ingress.handle_config(bed.now, config);
    bed.pass(millis(10));
    assert!(bed.check().dead_hosts == 1 && bed.verdict(&tcp(101, ACK, b"")) != Verdict::Held);
    assert_eq!(bed.dropped(DropReason::PendingFull), 1);
}

#[test]
fn a_view_that_changes_nothing_for_an_attempt_sends_nothing() {
    let mut bed = Bed::new();
    assert_eq!(bed.verdict(&tcp(100, SYN, b"")), Verdict::Held);
    bed.message();
    bed.ingress.handle_view(bed.now, view());
    assert!(bed.drain().messages.is_empty());
}

#[test]
fn flows_of_a_host_that_is_taken_out_are_asked_for_again_and_others_stay() {
    let mut bed = Bed::new();
    bed.accepted(&tcp(100, SYN, b""), 21, birth(9, 1));
    bed.accepted(&udp(b"one"), 22, birth(9, 2));
    let with = |hosts: &[(u16, MemberState)]| {
        let trackers = view();
        let others = trackers.members().iter().copied();
        let others = others.filter(|member| member.role != Role::HostAgent);
        let hosts = hosts.iter().map(|&(number, state)| Member {
            node: node(number),
            role: Role::HostAgent,
            state,
            incarnation: 0,
            domain: None,
        });
        View::new(others.chain(hosts).collect())
    };
    // R4: who is believed down may be alive.
    let down = with(&[(21, MemberState::Down), (22, MemberState::Active)]);
    bed.ingress.handle_view(bed.now, down);
    assert_eq!(bed.check().flows, 2);
    let out = with(&[(22, MemberState::Active)]);
    bed.ingress.handle_view(bed.now, out);
    let stats = bed.check();
    assert_eq!((stats.flows, stats.hosts.len()), (1, 1));
    assert_eq!(bed.forwarded(&udp(b"two")).to, node(22));
    assert_eq!(bed.verdict(&tcp(101, ACK, b"")), Verdict::Held);
}

#[test]
fn flows_of_a_removed_service_are_forgotten_and_others_stay() {
    let mut bed = Bed::new();
    bed.accepted(&tcp(100, SYN, b""), 21, birth(9, 1));
    bed.accepted(&udp(b"one"), 22, birth(9, 2));
    assert_eq!(bed.verdict(&syn_from(1)), Verdict::Held);
    let mut config = config();
    config
        .services
        .retain(|service| service.number.get() != WEB4);
    bed.ingress.handle_config(bed.now, config.clone());
    let stats = bed.check();
    assert_eq!((stats.flows, stats.pending, stats.hosts.len()), (1, 0, 1));
    assert_eq!(bed.dropped(DropReason::NoService), 1);
    assert_eq!(bed.forwarded(&udp(b"two")).to, node(22));
    assert_eq!(
        bed.verdict(&tcp(101, ACK, b"")),
        Verdict::Dropped(DropReason::NoService)
    );
    // A service that returns with another address is another one.
    config.services[1].matching.vip = ip("192.0.2.99");
    config.services[1].matching.ports = Ports::Any;
    bed.ingress.handle_config(bed.now, config);
    let verdict = bed.verdict(&udp_between((CLIENT4, 5353), ("192.0.2.99", 53), b"two"));
    assert_eq!(verdict, Verdict::Held);
}

#[test]
fn a_copy_behaves_as_the_original() {
    let mut bed = Bed::new();
    bed.accepted(&tcp(100, SYN, b""), 21, birth(9, 1));
    assert_eq!(bed.verdict(&syn_from(1)), Verdict::Held);
    let mut copy = bed.clone();
    let (mine, theirs) = (bed.pass(millis(70_000)), copy.pass(millis(70_000)));
    assert_eq!(mine.messages, theirs.messages);
    let (mine, theirs) = (bed.check(), copy.check());
    // A copy has no spare room.
    assert_eq!(
        Stats {
            flows_bytes: theirs.flows_bytes,
            ..mine
        },
        theirs
    );
}

// --- A port used again -----------------------------------------------------------------------

/// With direct return the client hears from the new life's host before this ingress does.
#[test]
fn what_follows_a_syn_that_is_asked_for_waits_instead_of_going_to_the_old_host() {
    let mut bed = Bed::new();
    bed.accepted(&tcp(100, SYN, b""), 21, birth(9, 1));
    assert_eq!(bed.verdict(&tcp(5_000, SYN, b"")), Verdict::Held);
    let open = bed.message();
    let ack = tcp(5_001, ACK, b"");
    assert_eq!(bed.verdict(&ack), Verdict::Held);
    // The old life may be alive: the SYN may be forged.
    assert_eq!(bed.forwarded(&tcp(101, ACK, b"x")).to, node(21));
    assert_eq!(bed.forwarded(&tcp(5_000 + 70_000, ACK, b"x")).to, node(21));
    bed.receive(open.to.get(), accept(&open, 22, birth(4, 4)));
    let sent = bed.message();
    assert_eq!((sent.to, sent.packet), (node(22), ack));
    assert_eq!(bed.forwarded(&tcp(5_001, ACK, b"y")).to, node(22));
    bed.check();
}

#[test]
fn a_syn_that_nobody_answers_leaves_the_old_life_as_it_was() {
    let mut bed = Bed::new();
    bed.accepted(&tcp(100, SYN, b""), 21, birth(9, 1));
    assert_eq!(bed.verdict(&tcp(5_000, SYN, b"")), Verdict::Held);
    bed.pass(millis(10_000));
    bed.accepted(&tcp(100, SYN, b""), 21, birth(9, 1));
    assert_eq!(bed.forwarded(&tcp(5_001, ACK, b"x")).to, node(21));
    bed.check();
}
