use crate::testbed::{Bed, Sent, birth, host, statement, tracker};
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::bucket::{bucket, flow_digest};
use jlb_protocol::message::{BucketDigest, Control, FlowState, List, Listed};
use jlb_protocol::{Birth, FlowKey, MemberState, Message};

const REFRESH: Duration = Duration::from_secs(15);

/// What a host that has these flows says of a bucket.
fn digest_of(of: u16, flows: &[(FlowKey, Birth)]) -> BucketDigest {
    let of_bucket = flows.iter().filter(|(key, _)| bucket_of(key) == of);
    let (mut count, mut hash) = (0, 0);
    for (key, birth) in of_bucket {
        count += 1;
        hash ^= flow_digest(key, *birth);
    }
    BucketDigest {
        bucket: of,
        count,
        hash,
        high_water: birth(99),
    }
}

fn bucket_of(key: &FlowKey) -> u16 {
    bucket(crate::testbed::HASH_KEY.flow_hash(key))
}

/// The buckets that the tracker asks a full list of.
fn send(bed: &mut Bed, sequence: u64, digests: &[BucketDigest]) -> Vec<u16> {
    let control = Control::Digest {
        sequence,
        buckets: List::Values(digests),
    };
    bed.hand(tracker(1), host(1), &Message::Control(control));
    let sent = core::mem::take(&mut bed.wire);
    let asked = sent.into_iter().map(|sent| match sent {
        Sent::SendFull { to, bucket } => {
            assert_eq!(to, host(1));
            bucket
        }
        other => panic!("{other:?}"),
    });
    asked.collect()
}

fn listed(bed: &mut Bed, sequence: u64, bucket: u16, high_water: Birth) {
    let control = Control::State {
        sequence,
        filled: Some(bed.fingerprint(1)),
        listed: Some(Listed { bucket, high_water }),
        flows: List::Values(&[]),
    };
    bed.hand(tracker(1), host(1), &Message::Control(control));
    bed.wire.clear();
}

/// Flows of one bucket that tracker 1 ranks for, stated by host 1.
fn flows(bed: &mut Bed, count: usize) -> Vec<(FlowKey, Birth)> {
    let first = bed.flow(0);
    let of_bucket = (0..)
        .map(|nth| bed.flow(nth))
        .filter(|key| bucket_of(key) == bucket_of(&first));
    let keys: Vec<_> = of_bucket.take(count).collect();
    let flows: Vec<_> = (1..)
        .zip(keys)
        .map(|(nth, key)| (key, birth(nth)))
        .collect();
    for &(key, birth) in &flows {
        let it = statement(&key, birth, 5, FlowState::Established);
        bed.state_from(tracker(1), host(1), 0, &[it]);
    }
    flows
}

#[test]
fn an_equal_digest_renews_all_records_of_its_bucket() {
    let mut bed = Bed::new(2, 2);
    let flows = flows(&mut bed, 3);
    let of = bucket_of(&flows[0].0);
    for sequence in 1..=20 {
        bed.pass(REFRESH);
        assert_eq!(send(&mut bed, sequence, &[digest_of(of, &flows)]), []);
    }
    assert_eq!(bed.stats(1).flows, 3);
    assert_eq!(bed.stats(1).digests_equal, 20);
    // Without them, they end with their leases, and their deadlines are not for ever.
    bed.pass(Duration::from_secs(59));
    assert_eq!(bed.stats(1).flows, 3);
    bed.pass(Duration::from_secs(2));
    assert_eq!(bed.stats(1).flows, 0);
    assert_eq!(bed.stats(1).records_expired, 3);
    assert_eq!(bed.trackers[&tracker(1)].poll_timeout(), None);
}

#[test]
fn a_different_digest_renews_nothing_and_asks_for_the_list() {
    let mut bed = Bed::new(2, 2);
    let flows = flows(&mut bed, 3);
    let of = bucket_of(&flows[0].0);
    let other = [(flows[0].0, birth(77)), flows[1], flows[2]];
    for (sequence, wrong) in (1..).zip([&flows[..2], &other, &[]]) {
        bed.pass(REFRESH);
        assert_eq!(send(&mut bed, sequence, &[digest_of(of, wrong)]), [of]);
        // Not again at once.
        assert_eq!(send(&mut bed, sequence, &[digest_of(of, wrong)]), []);
    }
    assert_eq!(bed.stats(1).lists_asked, 3);
    bed.pass(REFRESH + Duration::from_millis(20));
    assert_eq!(bed.stats(1).flows, 0);
}

#[test]
fn asking_for_a_list_has_a_rate() {
    let mut bed = Bed::new(2, 2);
    let flows = flows(&mut bed, 1);
    let of = bucket_of(&flows[0].0);
    let wrong = digest_of(of, &[]);
    assert_eq!(send(&mut bed, 1, &[wrong, wrong]), [of]);
    bed.pass(Duration::from_millis(999));
    assert_eq!(send(&mut bed, 2, &[wrong]), []);
    bed.pass(Duration::from_millis(1));
    assert_eq!(send(&mut bed, 3, &[wrong]), [of]);
    assert_eq!(bed.stats(1).digests_differing, 4);
}

#[test]
fn a_list_removes_what_it_does_not_have() {
    let mut bed = Bed::new(2, 2);
    let flows = flows(&mut bed, 4);
    let of = bucket_of(&flows[0].0);
    // Another host's records, and those of other buckets, are none of its business.
    let elsewhere = (0..)
        .map(|nth| bed.flow(nth))
        .find(|key| bucket_of(key) != of);
    let elsewhere = elsewhere.unwrap();
    let it = statement(&elsewhere, birth(1), 5, FlowState::Established);
    bed.state_from(tracker(1), host(1), 0, &[it]);
    let foreign = (0..)
        .map(|nth| bed.flow(nth))
        .filter(|key| bucket_of(key) == of && flows.iter().all(|(flow, _)| flow != key));
    let foreign = foreign.into_iter().next().unwrap();
    let it = statement(&foreign, birth(1), 5, FlowState::Established);
    bed.state_from(tracker(1), host(2), 0, &[it]);

    bed.pass(Duration::from_secs(1));
    assert_eq!(send(&mut bed, 1, &[digest_of(of, &flows[1..2])]), [of]);
    bed.pass(Duration::from_secs(1));
    let it = statement(&flows[1].0, flows[1].1, 5, FlowState::Established);
    bed.state_from(tracker(1), host(1), 0, &[it]);
    // The last of the four was born after the list was begun.
    listed(&mut bed, 2, of, birth(3));
    bed.pass(Duration::from_millis(100));
    let left: Vec<_> = flows
        .iter()
        .map(|(key, _)| bed.state(1, key).is_some())
        .collect();
    assert_eq!(left, [false, true, false, true]);
    assert!(bed.state(1, &elsewhere).is_some() && bed.state(1, &foreign).is_some());
    let stats = bed.stats(1);
    assert_eq!((stats.records_unlisted, stats.lists_ended), (2, 1));
    // The count follows.
    let left = [flows[1], flows[3]];
    assert_eq!(send(&mut bed, 2, &[digest_of(of, &left)]), []);
}

#[test]
fn a_list_that_nobody_asked_for_removes_nothing() {
    let mut bed = Bed::new(2, 2);
    let flows = flows(&mut bed, 2);
    let of = bucket_of(&flows[0].0);
    bed.pass(Duration::from_secs(1));
    listed(&mut bed, 1, of, birth(99));
    bed.pass(Duration::from_millis(100));
    assert_eq!(bed.stats(1).flows, 2);
    assert_eq!(bed.stats(1).lists_ended, 0);
}

#[test]
fn a_second_list_that_was_asked_for_earlier_removes_nothing_that_the_first_had() {
    let mut bed = Bed::new(2, 2);
    let flows = flows(&mut bed, 2);
    let of = bucket_of(&flows[0].0);
    let wrong = digest_of(of, &[]);
    bed.pass(Duration::from_secs(1));
    // Asked for twice, and so listed twice, one after the other.
    send(&mut bed, 1, &[wrong]);
    bed.pass(Duration::from_secs(2));
    send(&mut bed, 2, &[wrong]);
    let restate = |bed: &mut Bed| {
        for (key, birth) in &flows {
            let it = statement(key, *birth, 5, FlowState::Established);
            bed.state_from(tracker(1), host(1), 0, &[it]);
        }
        bed.wire.clear();
    };
    restate(&mut bed);
    bed.pass(Duration::from_secs(1));
    listed(&mut bed, 3, of, birth(99));
    restate(&mut bed);
    bed.pass(Duration::from_secs(2));
    // Asked for once more before the second list has ended.
    send(&mut bed, 3, &[wrong]);
    bed.pass(Duration::from_secs(1));
    listed(&mut bed, 6, of, birth(99));
    bed.pass(Duration::from_secs(1));
    assert_eq!(bed.stats(1).flows, 2);
}

#[test]
fn digests_count_only_under_the_hosts_mark() {
    let mut bed = Bed::new(3, 2);
    let flows = flows(&mut bed, 2);
    let of = bucket_of(&flows[0].0);
    bed.set_state(1, tracker(3), MemberState::Down);
    assert_eq!(send(&mut bed, 1, &[digest_of(of, &[])]), []);
    assert_eq!(bed.stats(1).digests_passed_over, 1);
    bed.mark_from(1, host(1), 1, Some(bed.fingerprint(1)));
    bed.wire.clear();
    // The records are counted anew first.
    assert_eq!(send(&mut bed, 2, &[digest_of(of, &[])]), []);
    bed.pass(Duration::from_millis(10));
    bed.wire.clear();
    assert_eq!(send(&mut bed, 3, &[digest_of(of, &flows)]), []);
    assert_eq!(bed.stats(1).digests_equal, 1);
    // One that is late says nothing.
    assert_eq!(send(&mut bed, 3, &[digest_of(of, &[])]), []);
    assert_eq!(send(&mut bed, 2, &[digest_of(of, &[])]), []);
    assert_eq!(bed.stats(1).digests_passed_over, 4);
}

#[test]
fn the_records_of_a_host_that_goes_by_another_ranking_for_long_live_on() {
    let mut bed = Bed::new(3, 2);
    let flows = flows(&mut bed, 2);
    let of = bucket_of(&flows[0].0);
    let equal = digest_of(of, &flows);
    assert_eq!(send(&mut bed, 1, &[equal]), []);
    // The host does not see that tracker 3 is gone.
    bed.set_state(1, tracker(3), MemberState::Down);
    let mut asked = 0;
    for sequence in 2..22 {
        bed.pass(REFRESH);
        bed.wire.clear();
        // Nothing is to be asked for where there is no record.
        let empty = digest_of((of + 1) % 256, &[]);
        let wanted = send(&mut bed, sequence, &[equal, empty]);
        asked += wanted.len();
        if !wanted.is_empty() {
            assert_eq!(wanted, [of]);
            for &(key, birth) in &flows {
                let it = statement(&key, birth, 5, FlowState::Established);
                bed.state_from(tracker(1), host(1), 0, &[it]);
            }
        }
    }
    assert_eq!(asked, 10);
    assert_eq!(bed.stats(1).flows, 2);
}

#[test]
fn what_changes_while_records_are_counted_is_counted_once() {
    let mut bed = Bed::new(3, 2);
    let mut flows = flows(&mut bed, 6);
    let of = bucket_of(&flows[0].0);
    bed.set_state(1, tracker(3), MemberState::Down);
    bed.mark_from(1, host(1), 1, Some(bed.fingerprint(1)));
    // Before the walk has come by: one ends, one has another birth, one comes into the free place.
    let (gone, _) = flows.remove(2);
    let it = statement(&gone, birth(3), 5, FlowState::Closed);
    bed.state_from(tracker(1), host(1), 0, &[it]);
    flows[1].1 = birth(50);
    let it = statement(&flows[1].0, birth(50), 9, FlowState::Accepted);
    bed.state_from(tracker(1), host(1), 0, &[it]);
    let it = statement(&gone, birth(60), 9, FlowState::Accepted);
    bed.state_from(tracker(1), host(1), 0, &[it]);
    flows.push((gone, birth(60)));
    bed.pass(Duration::from_millis(10));
    bed.wire.clear();
    assert_eq!(send(&mut bed, 1, &[digest_of(of, &flows)]), []);
    assert_eq!(bed.stats(1).digests_equal, 1);
}

#[test]
fn what_this_tracker_does_not_rank_for_is_not_counted() {
    let mut bed = Bed::new(3, 2);
    let ranking = jlb_protocol::rank::Ranking::new(crate::testbed::HASH_KEY, &bed.view);
    let outside = (1..u16::MAX)
        .map(|port| FlowKey::new(bed.flow(0).client(), port, crate::testbed::web(), 80))
        .find(|key| {
            let flow = crate::testbed::HASH_KEY.flow_hash(key);
            !ranking.is_in_top_two(tracker(1), flow)
        })
        .unwrap();
    let it = statement(&outside, birth(1), 5, FlowState::Established);
    bed.state_from(tracker(1), host(1), 0, &[it]);
    let of = bucket_of(&outside);
    assert_eq!(send(&mut bed, 1, &[digest_of(of, &[])]), []);
    assert_eq!(bed.stats(1).digests_equal, 1);
    // So it is not renewed either, nor removed by a list.
    bed.pass(Duration::from_secs(50));
    send(&mut bed, 2, &[digest_of(of, &[])]);
    bed.pass(Duration::from_secs(11));
    assert_eq!(bed.stats(1).flows, 0);
}

#[test]
fn a_bucket_that_nobody_has_is_ignored() {
    let mut bed = Bed::new(2, 2);
    let digest = BucketDigest {
        bucket: 256,
        count: 1,
        hash: 1,
        high_water: birth(1),
    };
    assert_eq!(send(&mut bed, 1, &[digest]), []);
    listed(&mut bed, 1, 256, birth(1));
    assert_eq!(bed.stats(1).lists_ended, 0);
}
