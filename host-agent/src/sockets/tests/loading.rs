//! An agent that starts, and takes its flows from the kernel (R4).

use super::*;
use jlb_protocol::message::{FlowState, Reason};
use jlb_protocol::{DropReason, Message};

fn who_has(bed: &mut Bed, client: Client) -> Verdict {
    let packet = client.ack();
    let mut question = message(FlowKind::WhoHas, client.service, &packet);
    question.packet = &[];
    bed.handle(node(11), &Message::Flow(question))
}

#[test]
fn s4_a_flow_that_the_first_dump_stepped_over_is_not_denied() {
    let not_ready = Verdict::Dropped(DropReason::NotReady);
    let mut bed = Bed::unready(config());
    let all = [client(1).socket(1, OPEN), client(2).socket(2, TIME_WAIT)];
    bed.dump(&all[..1]);
    assert!(!bed.agent.is_ready());
    for packet in [client(2).ack(), client(2).syn(5)] {
        assert_eq!(bed.offer(client(2), &packet).0, not_ready);
    }
    assert_eq!(bed.data(client(2), &client(2).ack()).0, not_ready);
    assert_eq!(who_has(&mut bed, client(2)), not_ready);
    assert!(bed.drain().is_empty());

    assert!(bed.agent.wants_dump(bed.now), "at once");
    bed.dump(&all[1..]);
    assert!(bed.agent.is_ready());
    assert_eq!(bed.flows(), [0, 1, 1, 0]);
    assert_eq!(bed.stats().counters.loaded, 2);
    for client in [client(1), client(2)] {
        assert_eq!(bed.data(client, &client.ack()).0, Verdict::Deliver);
    }
    let (_, sent) = bed.offer(client(3), &client(3).ack());
    assert_eq!(rejected(&sent), Some((Reason::NotOwner, 0)));
}

#[test]
fn flows_that_the_first_dump_shows_are_served_at_once() {
    let mut bed = Bed::unready(config());
    bed.dump(&[client(1).socket(1, OPEN)]);
    assert_eq!(bed.data(client(1), &client(1).ack()).0, Verdict::Deliver);
    assert_eq!(bed.offer(client(1), &client(1).ack()).0, Verdict::Deliver);
    assert_eq!(who_has(&mut bed, client(1)), Verdict::Done);
    let sent = bed.drain();
    assert!(matches!(&sent[..], [Sent::State { flows, .. }]
        if flows[0].state == FlowState::Established));
}

/// A SYN that ended the life which the first dump shows in TIME_WAIT, and was then rejected, would
/// leave that TIME_WAIT to be loaded once more by the second dump: the flow of another host by then.
#[test]
fn s1_no_life_is_ended_by_a_syn_before_the_second_dump() {
    let mut bed = Bed::unready(config());
    bed.dump(&[client(1).socket(1, TIME_WAIT)]);
    let (verdict, sent) = bed.offer(client(1), &client(1).syn(5));
    assert_eq!(verdict, Verdict::Dropped(DropReason::NotReady));
    assert!(sent.is_empty());
    assert_eq!(bed.flows(), [0, 0, 1, 0]);
    bed.dump(&[client(1).socket(1, TIME_WAIT)]);
    assert_eq!(bed.offer(client(1), &client(1).syn(5)).0, Verdict::Deliver);
    assert_eq!(bed.flows(), [1, 0, 0, 0]);
}

#[test]
fn no_load_is_told_before_the_second_dump() {
    let mut bed = Bed::unready(config());
    bed.dump(&[]);
    assert!(bed.run_with_loads(5_000).is_empty());
    bed.dump(&[]);
    assert!(!bed.run_with_loads(0).is_empty());
}

#[test]
fn a_flow_that_a_dump_misses_is_looked_for_soon() {
    let mut bed = Bed::unready(config());
    bed.load(&[client(1).socket(1, OPEN)]);
    bed.wait(10_000);
    bed.dump(&[]);
    assert_eq!(bed.agent.poll_dump(), Some(bed.now + secs(1)));
    bed.wait(1_000);
    bed.dump(&[client(1).socket(1, OPEN)]);
    assert_eq!(bed.agent.poll_dump(), Some(bed.now + secs(10)));
}

#[test]
fn udp_flows_that_a_restart_lost_are_taken_anew_by_the_policy() {
    let client = udp_client(1);
    let mut bed = Bed::new(config());
    let (verdict, sent) = bed.data(client, &client.udp(b"?"));
    assert_eq!(verdict, Verdict::Done);
    assert_eq!(rejected(&sent), Some((Reason::NotOwner, 0)));
    // The ingress asks again, and its question comes here.
    let (verdict, sent) = bed.offer(client, &client.udp(b"?"));
    assert_eq!(verdict, Verdict::Deliver);
    assert_eq!(accepted(&sent), Some(birth(1)));

    let mut config = config();
    limit_connections(&mut config, 0);
    let mut bed = Bed::new(config);
    let (verdict, sent) = bed.offer(client, &client.udp(b"?"));
    assert_eq!(verdict, Verdict::Done);
    assert_eq!(rejected(&sent).unwrap().0, Reason::Load);
}
