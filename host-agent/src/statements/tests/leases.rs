//! R9: digests, and the lists that trackers want when they find a difference.

use super::*;
use crate::testbed::{HASH_KEY, INCARNATION, message};
use jlb_protocol::bucket::{BUCKETS, bucket, flow_digest};
use jlb_protocol::message::{BucketDigest, Control, FlowKind, Listed};
use jlb_protocol::{Birth, DropReason, Message};
use std::collections::BTreeMap;

/// A bed with one tracker that knows digests and was told of these flows.
fn with_digests(flows: u16) -> Bed {
    let mut config = config();
    config.limits.max_flows = 1_000;
    config.limits.max_statements = 1_000;
    let mut bed = one_tracker(config);
    bed.agent.handle_peer_wire(bed.now, node(10), 2);
    accept_quietly(&mut bed, 1..=flows);
    bed.converse(100);
    bed.settle();
    bed
}

fn digests(sent: &[Sent]) -> Vec<BucketDigest> {
    let buckets = sent.iter().filter_map(|sent| match sent {
        Sent::Digest { buckets, .. } => Some(buckets.clone()),
        Sent::State { .. } | Sent::Flow { .. } | Sent::Load { .. } => None,
    });
    buckets.flatten().collect()
}

fn bucket_of(port: u16) -> u16 {
    bucket(HASH_KEY.flow_hash(&client(port).key()))
}

/// The digests of flows of these clients, which were born in this order.
fn expected(ports: impl Iterator<Item = (u16, Birth)>) -> BTreeMap<u16, (u32, u64)> {
    let mut sums = BTreeMap::new();
    for (port, birth) in ports {
        let sum = sums.entry(bucket_of(port)).or_insert((0, 0));
        sum.0 += 1;
        sum.1 ^= flow_digest(&client(port).key(), birth);
    }
    sums
}

fn check(digests: &[BucketDigest], expected: &BTreeMap<u16, (u32, u64)>, high_water: Birth) {
    for digest in digests {
        let sum = expected.get(&digest.bucket).copied().unwrap_or_default();
        assert_eq!((digest.count, digest.hash), sum, "{}", digest.bucket);
        assert_eq!(digest.high_water, high_water);
    }
}

fn births(ports: core::ops::RangeInclusive<u16>) -> impl Iterator<Item = (u16, Birth)> {
    ports.map(|port| (port, birth(port.into())))
}

fn list(bed: &mut Bed, bucket: u16) -> Verdict {
    bed.handle(node(10), &Message::Control(Control::SendFull { bucket }))
}

/// The statements of this bucket, and where the list's end came after how many of them.
fn listed(sent: &[Sent], bucket: u16) -> (Vec<u16>, Vec<(usize, Listed)>) {
    let (mut ports, mut ends) = (Vec::new(), Vec::new());
    for sent in sent {
        if let Sent::State { flows, listed, .. } = sent {
            let lines = flows.iter().map(|line| line.key.client_port());
            ports.extend(lines.filter(|&port| bucket_of(port) == bucket));
            if let Some(listed) = listed.filter(|listed| listed.bucket == bucket) {
                ends.push((ports.len(), listed));
            }
        }
    }
    (ports, ends)
}

#[test]
fn r9_each_bucket_is_told_once_a_refresh_in_even_parts_and_no_flow_is_restated() {
    let mut bed = with_digests(300);
    let mut counts = BTreeMap::new();
    for _ in 0..8 {
        let sent = bed.converse(2_500);
        let told = digests(&sent);
        assert_eq!((sent.len(), told.len()), (1, 32));
        check(&told, &expected(births(1..=300)), birth(300));
        for digest in told {
            *counts.entry(digest.bucket).or_insert(0) += 1;
        }
    }
    assert_eq!(counts.len(), usize::from(BUCKETS));
    assert!(counts.values().all(|&count| count == 1));
    assert_eq!(bed.stats().counters.digests, 256);
}

#[test]
fn digests_are_numbered_upwards_over_all_lives_of_the_host() {
    let mut bed = with_digests(1);
    let sent = bed.converse(20_000);
    let numbers = sent.iter().filter_map(|sent| match sent {
        Sent::Digest { sequence, .. } => Some(*sequence),
        Sent::State { .. } | Sent::Flow { .. } | Sent::Load { .. } => None,
    });
    let first = (u64::from(INCARNATION) << 32) + 1;
    assert!(numbers.eq(first..first + 8));
}

#[test]
fn digests_to_a_tracker_that_was_removed_from_the_view_go_on_counting() {
    let mut bed = with_digests(1);
    let highest = |sent: Vec<Sent>| {
        let numbers = sent.iter().filter_map(|sent| match sent {
            Sent::Digest { sequence, .. } => Some(*sequence),
            Sent::State { .. } | Sent::Flow { .. } | Sent::Load { .. } => None,
        });
        numbers.collect::<Vec<_>>()
    };
    let before = highest(bed.converse(20_000)).pop().unwrap();
    bed.see(view(&[]));
    bed.settle();
    bed.see(view(&[10]));
    bed.agent.handle_peer_wire(bed.now, node(10), 2);
    let after = highest(bed.converse(20_000));
    assert!(after.iter().min().unwrap() > &before);
}

#[test]
fn digests_follow_every_way_in_which_flows_come_and_go() {
    let mut bed = with_digests(40);
    // Closed, released, renewed in doubt, and begun anew by a SYN.
    for port in 1..=10 {
        bed.data(client(port), &client(port).ack());
        bed.destroyed(client(port), 0);
    }
    let packet = client(11).ack();
    let mut release = message(FlowKind::Release, 1, &packet);
    release.packet = &[];
    release.birth = Some(birth(11));
    assert_eq!(bed.handle(node(10), &Message::Flow(release)), Verdict::Done);
    bed.wait(2_000);
    let open: Vec<_> = (12..=40)
        .map(|port| client(port).socket(port.into(), SocketState::Open))
        .collect();
    bed.dump_twice(&open);
    bed.offer(client(12), &client(12).syn(900));
    bed.wait(10);
    bed.dump(
        &(12..=40)
            .map(|port| {
                client(port).socket(u64::from(port) + u64::from(port == 12), SocketState::Open)
            })
            .collect::<Vec<_>>(),
    );
    assert_eq!(bed.stats().counters.renewed, 1);
    bed.converse(100);
    bed.settle();
    let mut alive: BTreeMap<_, _> = births(13..=40).collect();
    alive.insert(12, birth(41));
    let told = digests(&bed.converse(20_000));
    assert!(told.len() >= 256);
    check(&told, &expected(alive.into_iter()), birth(41));
    assert_eq!(bed.flows(), [0, 29, 0, 0]);
}

#[test]
fn a_bucket_of_which_not_all_is_acknowledged_is_put_off_for_one_refresh_at_most() {
    let mut bed = with_digests(0);
    bed.accept(client(1), 500);
    let busy = bucket_of(1);
    let mut due = Vec::new();
    for part in 0..24 {
        // The tracker takes the digests, but does not acknowledge.
        let told = digests(&bed.run(2_500));
        if told.iter().any(|digest| digest.bucket == busy) {
            due.push(part);
        }
    }
    let turn = usize::from(busy / 32);
    assert!(due.iter().all(|part| part % 8 == turn), "{due:?}");
    assert_eq!(due.len(), 2, "not at its first turn, then at each: {due:?}");
    bed.settle();
    bed.converse(2_500);
    let later = digests(&bed.converse(20_000));
    assert_eq!(later.iter().filter(|one| one.bucket == busy).count(), 1);
}

#[test]
fn no_digest_is_told_while_the_tracker_is_being_filled() {
    let mut bed = with_digests(20);
    // What fills it finds no room.
    bed.agent.statements.max = 0;
    bed.agent.statements.trackers[0].start_anew(bed.now);
    assert!(digests(&bed.converse(20_000)).is_empty());
    bed.agent.statements.max = 10;
    let mut all = BTreeMap::new();
    for digest in digests(&bed.converse(20_000)) {
        all.insert(digest.bucket, digest);
    }
    assert_eq!(all.len(), 256);
    let all: Vec<_> = all.into_values().collect();
    check(&all, &expected(births(1..=20)), birth(20));
}

#[test]
fn a_tracker_of_the_former_wire_version_is_told_of_each_flow_again() {
    let mut bed = with_digests(30);
    bed.agent.handle_peer_wire(bed.now, node(10), 1);
    let sent = bed.converse(40_000);
    assert!(digests(&sent).is_empty());
    let lines = sent.iter().map(|sent| match sent {
        Sent::State { flows, .. } => flows.len(),
        Sent::Digest { .. } | Sent::Flow { .. } | Sent::Load { .. } => 0,
    });
    assert!((59..=61).contains(&lines.sum::<usize>()));
}

#[test]
fn r9_a_list_is_the_whole_bucket_and_then_says_so() {
    let mut bed = with_digests(900);
    let (one, other) = (bucket_of(1), (bucket_of(1) + 1) % BUCKETS);
    assert_eq!(list(&mut bed, one), Verdict::Done);
    assert_eq!(list(&mut bed, other), Verdict::Done);
    // Born after the list was begun, it is above the high water.
    bed.run(0);
    bed.accept(client(901), 500);
    let sent = bed.converse(1_000);
    for bucket in [one, other] {
        let (mut ports, ends) = listed(&sent, bucket);
        let end = Listed {
            bucket,
            high_water: birth(900),
        };
        ports.retain(|&port| port <= 900);
        ports.sort_unstable();
        let all: Vec<_> = (1..=900)
            .filter(|&port| bucket_of(port) == bucket)
            .collect();
        assert_eq!(ports, all);
        assert!(matches!(ends[..], [(after, listed)] if after >= all.len() && listed == end));
    }
    assert_eq!(bed.stats().counters.lists, 2);
    assert!(bed.converse(1_000).is_empty());
}

#[test]
fn an_empty_bucket_is_listed_by_its_end_alone() {
    let mut bed = with_digests(0);
    list(&mut bed, 7);
    let sent = bed.converse(10);
    let (ports, ends) = listed(&sent, 7);
    let end = Listed {
        bucket: 7,
        // Above every birth of this host's former lives.
        high_water: birth(0),
    };
    assert_eq!((ports.len(), ends), (0, vec![(0, end)]));
}

#[test]
fn all_buckets_may_be_wanted_at_once_and_again_while_they_are_listed() {
    let mut bed = with_digests(500);
    for bucket in 0..BUCKETS {
        list(&mut bed, bucket);
    }
    bed.run(0);
    for bucket in 0..10 {
        list(&mut bed, bucket);
    }
    let sent = bed.converse(5_000);
    for bucket in 0..BUCKETS {
        let (_, ends) = listed(&sent, bucket);
        assert_eq!(ends.len(), if bucket < 10 { 2 } else { 1 }, "{bucket}");
    }
    assert_eq!(bed.stats().statements_pending, 0);
}

#[test]
fn r14_a_tracker_that_asks_without_end_makes_no_more_ends_than_there_are_buckets() {
    let mut bed = with_digests(50);
    for _ in 0..20 {
        for bucket in 0..BUCKETS {
            list(&mut bed, bucket);
        }
        // It takes no answer.
        bed.run(5);
        let channel = &bed.agent.statements.trackers[0].channel;
        assert!(channel.listed.len() <= usize::from(BUCKETS));
    }
}

#[test]
fn a_list_is_not_ended_before_its_last_statement_is_sent() {
    let mut bed = with_digests(600);
    for bucket in 0..BUCKETS {
        list(&mut bed, bucket);
    }
    let mut ports = 0;
    let mut sent = bed.run(10);
    let mut messages = 0;
    while let Some(Sent::State {
        to,
        sequence,
        flows,
        listed,
        ..
    }) = sent.pop()
    {
        ports += flows.len();
        messages += 1;
        assert!(listed.is_none() || ports == 600, "{ports}");
        bed.ack(to, sequence);
        sent = bed.run(0);
        sent.extend(bed.drain());
        if sent.is_empty() {
            sent = bed.run(10);
        }
    }
    assert!(messages >= 256, "{messages}");
}

#[test]
fn who_may_not_ask_or_asks_for_nothing_gets_no_list() {
    let mut bed = with_digests(1);
    let bad = list(&mut bed, BUCKETS);
    assert_eq!(bad, Verdict::Dropped(DropReason::BadField));
    let question = Message::Control(Control::SendFull { bucket: 1 });
    let verdict = bed.handle(node(1), &question);
    assert_eq!(verdict, Verdict::Dropped(DropReason::WrongRole));
    assert!(bed.converse(10).is_empty());
}
