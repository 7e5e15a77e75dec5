use super::*;
use crate::testbed::{Bed, HASH_KEY, Sent, birth, client, config, node, udp_client, view};
use crate::{SocketState, Verdict};
use jlb_protocol::Message;
use jlb_protocol::message::{Control, FlowState};
use jlb_protocol::rank::Ranking;
use std::vec;

mod closes;
mod filling;
mod leases;
mod model;

/// A bed with one tracker, so that every statement goes one way.
fn one_tracker(mut config: crate::Config) -> Bed {
    config.limits.max_outbox = 1_000;
    let mut bed = Bed::new(config);
    bed.see(view(&[10]));
    bed.settle();
    bed
}

fn accept_quietly(bed: &mut Bed, ports: core::ops::RangeInclusive<u16>) {
    for port in ports {
        bed.accept(client(port), 500);
    }
}

fn sequences(sent: &[Sent]) -> Vec<(u64, usize)> {
    sent.iter()
        .map(|sent| match sent {
            Sent::State {
                sequence, flows, ..
            } => (*sequence, flows.len()),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn statements_are_gathered_for_the_delay_and_the_latest_wins() {
    let mut bed = one_tracker(config());
    let birth = bed.establish(client(1), 500);
    bed.wait(9);
    bed.destroyed(client(1), 9);
    assert!(bed.run(0).is_empty());
    let sent = bed.run(1);
    let expected = FlowStatement {
        key: client(1).key(),
        birth,
        isn: 500,
        state: FlowState::Closing,
        fresh: true,
    };
    assert_eq!(
        sent,
        [Sent::State {
            to: node(10),
            sequence: 1,
            filled: Some(bed.fingerprint(10)),
            listed: None,
            flows: vec![expected],
        }]
    );
    assert_eq!(bed.stats().counters.statements, 3);
}

#[test]
fn r5_a_state_is_repeated_unchanged_until_it_is_acknowledged() {
    let mut bed = one_tracker(config());
    bed.accept(client(1), 500);
    let first = bed.run(10);
    assert_eq!(sequences(&first), [(1, 1)]);
    bed.data(client(1), &client(1).ack());
    assert!(bed.run(199).is_empty(), "one on its way, the rest waits");
    assert_eq!(bed.run(1), first);
    assert_eq!(bed.run(200), first);
    assert_eq!(bed.stats().counters.states_repeated, 2);
    assert_eq!(bed.ack(node(10), 1), Verdict::Done);
    let second = bed.drain();
    assert_eq!(sequences(&second), [(2, 1)], "it waited for long enough");
    bed.ack(node(10), 2);
    assert!(bed.run(1_000).is_empty());
    assert_eq!(bed.stats().statements_pending, 0);
}

#[test]
fn messages_hold_thirty_statements_in_order() {
    let mut bed = one_tracker(config());
    accept_quietly(&mut bed, 1..=64);
    let mut seen = Vec::new();
    let mut sent = bed.run(10);
    for sequence in 1..=3 {
        let [Sent::State { flows, .. }] = &sent[..] else {
            panic!("{sent:?}")
        };
        seen.extend(flows.iter().map(|line| line.key));
        bed.ack(node(10), sequence);
        sent = bed.drain();
        if sent.is_empty() {
            sent = bed.run(10);
        }
    }
    let all: Vec<_> = (1..=64).map(|port| client(port).key()).collect();
    assert_eq!(seen, all);
    assert!(sent.is_empty());
}

#[test]
fn a_full_message_goes_at_once_and_a_rest_is_gathered_for() {
    let mut bed = one_tracker(config());
    accept_quietly(&mut bed, 1..=64);
    assert_eq!(sequences(&bed.run(10)), [(1, 30)]);
    bed.ack(node(10), 1);
    assert_eq!(sequences(&bed.drain()), [(2, 30)]);
    bed.ack(node(10), 2);
    assert!(bed.drain().is_empty());
    assert!(bed.run(9).is_empty());
    assert_eq!(sequences(&bed.run(1)), [(3, 4)]);
}

#[test]
fn a_full_queue_loses_the_statement_and_the_refresh_makes_it_good() {
    let mut config = config();
    config.limits.max_statements = 4;
    let mut bed = one_tracker(config);
    accept_quietly(&mut bed, 1..=6);
    assert_eq!(bed.stats().counters.statements_lost, 2);
    let told = bed.run_acked(20_100);
    for port in 1..=6 {
        let key = client(port).key();
        assert!(told.iter().any(|line| line.key == key), "{port}");
    }
}

#[test]
fn a_flow_that_waits_already_needs_no_more_room() {
    let mut config = config();
    config.limits.max_statements = 1;
    let mut bed = one_tracker(config);
    bed.establish(client(1), 500);
    assert_eq!(bed.stats().counters.statements_lost, 0);
}

#[test]
fn late_acknowledgements_change_nothing() {
    let mut bed = one_tracker(config());
    for sequence in 1..=3 {
        bed.accept(client(sequence), 500);
        assert_eq!(bed.run(10).len(), 1);
        bed.ack(node(10), sequence.into());
    }
    bed.accept(client(9), 500);
    let sent = bed.run(10);
    assert_eq!(sequences(&sent), [(4, 1)]);
    for stale in [1, 2, 3] {
        bed.ack(node(10), stale);
        assert!(bed.drain().is_empty());
    }
    assert_eq!(bed.run(190), []);
    assert_eq!(bed.run(10), sent);
    assert_eq!(bed.stats().counters.acks_stale, 3);
}

#[test]
fn acknowledgements_of_strangers_and_of_nothing_are_stale() {
    let mut bed = one_tracker(config());
    bed.ack(node(10), 1);
    bed.ack(node(99), 0);
    assert_eq!(bed.stats().counters.acks_stale, 2);
    assert!(bed.drain().is_empty());
}

#[test]
fn a_tracker_that_remembers_a_former_life_of_the_host_goes_on_counting() {
    let mut bed = one_tracker(config());
    bed.accept(client(1), 500);
    assert_eq!(sequences(&bed.run(10)), [(1, 1)]);
    bed.ack(node(10), 57);
    assert_eq!(sequences(&bed.drain()), [(58, 1)]);
    bed.ack(node(10), 58);
    assert_eq!(bed.stats().statements_pending, 0);
    bed.accept(client(2), 500);
    bed.run(10);
    for sequence in [u64::MAX, u64::MAX - 1, LAST_NUMBER] {
        let ack = Control::Ack { sequence };
        bed.handle(node(10), &Message::Control(ack));
        assert!(bed.drain().is_empty(), "no number comes after the last");
    }
}

#[test]
fn the_first_state_is_not_counted_anew_by_an_acknowledgement_of_nothing() {
    let mut bed = one_tracker(config());
    bed.accept(client(1), 500);
    bed.run(10);
    bed.ack(node(10), 0);
    assert!(bed.drain().is_empty());
}

#[test]
fn in_order_and_complete_over_a_lossy_link() {
    let mut bed = one_tracker(config());
    let (mut applied, mut last) = (Vec::new(), 0);
    let mut dice = 12_345_u32;
    let mut lost = move || {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        dice >> 16 & 3 == 0
    };
    accept_quietly(&mut bed, 1..=64);
    while bed.stats().statements_pending > 0 {
        for sent in bed.run(50) {
            let Sent::State {
                sequence, flows, ..
            } = sent
            else {
                panic!("{sent:?}")
            };
            if lost() {
                continue;
            }
            if sequence == last + 1 {
                last = sequence;
                applied.extend(flows.iter().map(|line| line.key));
            }
            if !lost() {
                bed.ack(node(10), last);
            }
        }
    }
    let all: Vec<_> = (1..=64).map(|port| client(port).key()).collect();
    assert_eq!(applied, all);
}

#[test]
fn r9_every_flow_is_stated_once_a_refresh_and_not_all_at_once() {
    let mut config = config();
    config.limits.max_flows = 500;
    config.limits.max_statements = 1_000;
    let mut bed = one_tracker(config);
    let sockets: Vec<_> = (1..=400)
        .map(|port| client(port).socket(port.into(), SocketState::Open))
        .collect();
    bed.wait(1_000);
    bed.dump(&sockets);
    assert_eq!(bed.run_acked(1_000).len(), 400);
    for _ in 0..3 {
        let mut told = 0;
        for _ in 0..20 {
            let lines = bed.run_acked(1_000);
            assert!(lines.len() < 100, "{}", lines.len());
            assert!(
                lines
                    .iter()
                    .all(|line| line.state == FlowState::Established)
            );
            told += lines.len();
        }
        assert!((399..=401).contains(&told), "{told}");
    }
}

#[test]
fn udp_flows_are_refreshed_too() {
    let mut bed = one_tracker(config());
    let packet = udp_client(1).udp(b"?");
    bed.offer(udp_client(1), &packet);
    bed.run_acked(1_000);
    let mut told = 0;
    for _ in 0..6 {
        bed.data(udp_client(1), &packet);
        told += bed.run_acked(10_000).len();
    }
    assert!((3..=5).contains(&told), "{told}");
}

#[test]
fn a_tracker_that_leaves_is_told_nothing_more_and_the_next_rank_takes_over() {
    let mut bed = Bed::new(config());
    bed.accept(client(1), 500);
    let ranks = client(1).ranks(&bed.view);
    let (first, second) = (ranks.primary.unwrap(), ranks.secondary.unwrap());
    let left: Vec<_> = [10, 11, 12]
        .into_iter()
        .filter(|&tracker| node(tracker) != first)
        .collect();
    bed.see(view(&left));
    let third = client(1).ranks(&bed.view).secondary.unwrap();
    let told = bed.run(10);
    for tracker in [second, third] {
        let of_it = |sent: &&Sent| {
            matches!(sent, Sent::State { to, flows, .. }
            if *to == tracker && flows.len() == 1)
        };
        assert_eq!(told.iter().filter(of_it).count(), 1);
    }
    assert_eq!(told.len(), 2);
    assert!(bed.run(180).is_empty());
    let of_first = |sent: &Sent| matches!(sent, Sent::State { to, .. } if *to == first);
    assert!(!bed.run(60_000).iter().any(of_first));
}

#[test]
fn without_trackers_nothing_is_queued() {
    let mut bed = Bed::new(config());
    bed.agent.handle_view(bed.now, view(&[]));
    bed.establish(client(1), 500);
    assert_eq!(bed.stats().statements_pending, 0);
    assert!(bed.run(60_000).is_empty());
}

#[test]
fn both_ranks_of_a_flow_are_told() {
    let ranking = Ranking::new(HASH_KEY, &view(&[10, 11, 12]));
    let mut bed = Bed::new(config());
    for port in 1..=20 {
        bed.accept(client(port), 500);
    }
    let sent = bed.run(10);
    for port in 1..=20 {
        let key = client(port).key();
        let ranks = ranking.ranks(HASH_KEY.flow_hash(&key));
        let mut told: Vec<_> = sent
            .iter()
            .filter_map(|sent| match sent {
                Sent::State { to, flows, .. } => {
                    flows.iter().any(|line| line.key == key).then_some(*to)
                }
                Sent::Flow { .. } | Sent::Digest { .. } | Sent::Load { .. } => None,
            })
            .collect();
        told.sort_unstable();
        let mut expected: Vec<_> = [ranks.primary, ranks.secondary]
            .into_iter()
            .flatten()
            .collect();
        expected.sort_unstable();
        assert_eq!(told, expected);
    }
}
