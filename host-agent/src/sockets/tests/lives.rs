//! A client that uses its port again, while the close of the life before has not been heard of.

use super::*;
use jlb_protocol::message::{Intent, Reason};
use jlb_protocol::{Birth, Message};

/// An established flow whose socket has cookie 9, and then another attempt of the same client,
/// taken for a SYN that the open socket answers.
fn in_doubt() -> (Bed, Birth) {
    let mut bed = Bed::new(config());
    let first = bed.establish(client(1), 500);
    bed.wait(1_500);
    bed.dump(&[client(1).socket(9, OPEN)]);
    bed.run_acked(10);
    assert_eq!(bed.accept(client(1), 900), first);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    (bed, first)
}

/// What trackers were told last, after all was acknowledged.
fn last_told(bed: &mut Bed) -> Option<(FlowState, Birth, u32)> {
    let told = bed.run_acked(10);
    told.last().map(|line| (line.state, line.birth, line.isn))
}

#[test]
fn the_old_sockets_event_makes_it_the_next_life() {
    let (mut bed, _) = in_doubt();
    bed.destroyed(client(1), 9);
    assert_eq!(bed.flows(), [1, 0, 0, 0]);
    let second = birth(2);
    assert_eq!(
        last_told(&mut bed),
        Some((FlowState::Accepted, second, 900))
    );
    assert_eq!(bed.accept(client(1), 900), second, "a repeat is its own");
    bed.data(client(1), &client(1).ack());
    // Neither the old event again, nor an old dump, nor that there is none ends it.
    bed.destroyed(client(1), 9);
    bed.run_acked(300_000);
    assert_eq!(bed.data(client(1), &client(1).ack()).0, Verdict::Deliver);
    bed.dump(&[client(1).socket(10, OPEN)]);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    assert_eq!(
        last_told(&mut bed),
        Some((FlowState::Established, second, 900))
    );
}

#[test]
fn s1_data_by_an_entry_of_the_life_before_is_asked_for_until_the_kernel_has_heard_of_the_next() {
    let (mut bed, first) = in_doubt();
    bed.destroyed(client(1), 9);
    let packet = client(1).ack();
    let data = |bed: &mut Bed, birth| {
        let mut data = message(FlowKind::Data, 1, &packet);
        data.intent = Intent::MidFlow;
        data.birth = Some(birth);
        let verdict = bed.handle(ingress(), &Message::Flow(data));
        (verdict, bed.drain())
    };
    let (verdict, sent) = data(&mut bed, first);
    assert_eq!(verdict, Verdict::Done);
    assert_eq!(rejected(&sent), Some((Reason::NotOwner, 0)));
    assert_eq!(bed.flows(), [1, 0, 0, 0]);
    // The trackers say that the attempt is this host's.
    let (verdict, sent) = bed.offer(client(1), &packet);
    assert_eq!(verdict, Verdict::Deliver);
    assert_eq!(accepted(&sent), Some(birth(2)));
    assert_eq!(data(&mut bed, first).0, Verdict::Deliver);
}

#[test]
fn an_aborted_old_socket_is_known_by_its_cookie() {
    let (mut bed, _) = in_doubt();
    bed.data(client(1), &client(1).ack());
    bed.aborted(client(1), 9);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    assert_eq!(
        last_told(&mut bed),
        Some((FlowState::Established, birth(2), 900))
    );
}

#[test]
fn another_cookie_makes_it_the_next_life() {
    for (socket, flows) in [(OPEN, [0, 1, 0, 0]), (HALF_OPEN, [1, 0, 0, 0])] {
        let (mut bed, _) = in_doubt();
        bed.wait(1);
        bed.dump(&[client(1).socket(10, socket)]);
        assert_eq!(bed.flows(), flows);
        let told = last_told(&mut bed).unwrap();
        assert_eq!((told.1, told.2), (birth(2), 900));
        bed.destroyed(client(1), 9);
        assert_eq!(bed.flows(), flows, "the first life's");
        assert_eq!(bed.stats().counters.renewed, 1);
    }
}

#[test]
fn the_same_cookie_shows_that_nothing_has_changed() {
    let (mut bed, first) = in_doubt();
    bed.wait(1);
    assert_eq!(bed.agent.poll_dump(), Some(bed.now + millis(989)));
    bed.dump(&[client(1).socket(9, OPEN)]);
    assert_eq!(bed.stats().counters.renewed, 0);
    bed.destroyed(client(1), 9);
    assert_eq!(bed.flows(), [0, 0, 1, 0]);
    assert_eq!(last_told(&mut bed), Some((FlowState::Closing, first, 500)));
    // The client's next SYN is of another life then.
    assert_eq!(bed.accept(client(1), 900), birth(2));
}

#[test]
fn s3_syn_cookies_leave_no_socket_to_be_seen() {
    for event in [false, true] {
        let (mut bed, _) = in_doubt();
        if event {
            bed.destroyed(client(1), 9);
        }
        for _ in 0..10 {
            bed.run_acked(1_001);
            bed.dump(&[]);
        }
        assert_eq!(bed.flows(), [1, 0, 0, 0]);
        assert_eq!(bed.data(client(1), &client(1).ack()).0, Verdict::Deliver);
        assert_eq!(bed.flows(), [0, 1, 0, 0]);
    }
    let (mut bed, _) = in_doubt();
    bed.wait(1);
    bed.dump(&[client(1).socket(9, TIME_WAIT)]);
    assert_eq!(bed.flows(), [1, 0, 0, 0], "the first life's entry");
    bed.run_acked(76_000);
    assert_eq!(bed.flows(), [0; 4]);
}

#[test]
fn s5_a_next_life_that_ends_before_it_was_seen_ends_soon() {
    let (mut bed, first) = in_doubt();
    bed.data(client(1), &client(1).ack());
    bed.wait(1);
    bed.dump(&[client(1).socket(77, TIME_WAIT)]);
    assert_eq!(bed.flows(), [0, 0, 1, 0]);
    assert_eq!(last_told(&mut bed).unwrap().1, first);

    let (mut bed, _) = in_doubt();
    bed.data(client(1), &client(1).ack());
    bed.dump_twice(&[]);
    assert_eq!(bed.flows(), [0; 4]);
    assert_eq!(bed.stats().counters.ended_vanished, 1);
}

#[test]
fn an_event_without_a_known_cookie_leaves_it_to_the_dump() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    bed.accept(client(1), 900);
    bed.data(client(1), &client(1).ack());
    bed.destroyed(client(1), 9);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    bed.wait(1);
    bed.dump(&[client(1).socket(10, OPEN)]);
    assert_eq!(last_told(&mut bed).unwrap().1, birth(2));
    bed.destroyed(client(1), 10);
    assert_eq!(bed.flows(), [0, 0, 1, 0]);
}

#[test]
fn a_closing_flows_other_socket_is_its_next_life() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    bed.wait(1_500);
    bed.dump(&[client(1).socket(9, OPEN)]);
    bed.destroyed(client(1), 9);
    bed.wait(1);
    bed.dump(&[client(1).socket(10, OPEN)]);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    let told = last_told(&mut bed);
    assert_eq!(told, Some((FlowState::Established, birth(2), 500)));
}

#[test]
fn s4_no_flow_ends_without_a_dump_after_its_close() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    // Of a former life: the program closed it late.
    bed.destroyed(client(1), 8);
    assert_eq!(bed.flows(), [0, 0, 1, 0]);
    let told = bed.run_acked(600_000);
    assert!(told.iter().all(|line| line.state == FlowState::Closing));
    assert_eq!(bed.data(client(1), &client(1).ack()).0, Verdict::Deliver);
    bed.dump(&[client(1).socket(9, OPEN)]);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
}

#[test]
fn r8_a_client_that_is_heard_of_is_not_cut_off_while_there_is_an_entry() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    bed.destroyed(client(1), 9);
    // Longer than the linger: FIN_WAIT2 and TIME_WAIT may follow each other.
    for _ in 0..110 {
        bed.run_acked(1_000);
        bed.dump(&[client(1).socket(77, TIME_WAIT)]);
        assert_eq!(bed.data(client(1), &client(1).ack()).0, Verdict::Deliver);
    }
    for _ in 0..60 {
        bed.run_acked(1_000);
        bed.dump(&[client(1).socket(77, TIME_WAIT)]);
    }
    assert_eq!(bed.flows(), [0; 4]);
    assert_eq!(bed.stats().counters.ended_lingered, 1);
}

#[test]
fn r8_an_orphan_that_still_sends_is_open_for_as_long_as_it_takes() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    // The program has closed it, the kernel has not given it up: FIN_WAIT1 is open, no event.
    for _ in 0..300 {
        bed.run_acked(1_000);
        bed.dump(&[client(1).socket(9, OPEN)]);
        assert_eq!(bed.flows(), [0, 1, 0, 0]);
    }
    bed.destroyed(client(1), 9);
    bed.dump_twice(&[]);
    assert_eq!(bed.flows(), [0; 4]);
}

fn millis(millis: u64) -> core::time::Duration {
    core::time::Duration::from_millis(millis)
}
