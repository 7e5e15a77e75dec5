use super::handing::PACKETS;
use super::*;
use crate::workers::{Downward, rings};
use jlb_protocol::ServiceNumber;
use std::time::Duration;

fn handing() -> (Handing, Downward) {
    let (up, down) = rings();
    let handing = Handing {
        rings: up,
        first: Waker::new().unwrap(),
        under_way: 0,
        wakes: false,
        spare: (0..HANDED + BATCH).map(|_| PacketBuf::new(64)).collect(),
    };
    (handing, down)
}

fn key() -> FlowKey {
    let client = IpAddr::from([198, 51, 100, 7]);
    FlowKey::new(client, 40_000, ServiceNumber::new(1).unwrap(), 80)
}

#[test]
fn what_is_handed_on_arrives_in_order_and_leaves_a_free_buffer() {
    let (mut handing, mut down) = handing();
    for number in 1..=3 {
        let mut buf = PacketBuf::from_packet(&[number as u8]);
        assert!(handing.hand_packet(number, Some(key()), false, &mut buf));
        assert!(buf.is_empty());
    }
    assert!(handing.hand(Handed::Renew {
        number: 4,
        key: key()
    }));
    for wanted in 1..=3 {
        let Ok(Handed::Packet { number, buf, .. }) = down.handed.pop() else {
            panic!("a packet was handed on")
        };
        assert_eq!((number, buf.as_slice()), (wanted, &[wanted as u8][..]));
    }
    assert!(matches!(
        down.handed.pop(),
        Ok(Handed::Renew { number: 4, .. })
    ));
}

#[test]
fn no_more_is_under_way_than_there_is_room_for_answers() {
    let (mut handing, mut down) = handing();
    let mut buf = PacketBuf::from_packet(b"packet");
    for number in 0..PACKETS as u64 {
        buf.fill(b"packet");
        assert!(handing.hand_packet(number, None, false, &mut buf));
    }
    buf.fill(b"packet");
    assert!(!handing.hand_packet(9_999, None, false, &mut buf));
    assert_eq!(buf.as_slice(), b"packet", "it is the caller's to drop");
    for number in PACKETS..HANDED {
        assert!(handing.hand(Handed::Renew {
            number: number as u64,
            key: key()
        }));
    }
    assert!(!handing.hand(Handed::Renew {
        number: 9_999,
        key: key()
    }));
    // The first worker takes it all out, but has not answered: its answers have room, nothing else has.
    let mut taken = Vec::new();
    while let Ok(handed) = down.handed.pop() {
        taken.push(handed);
    }
    assert_eq!(taken.len(), HANDED);
    assert!(!handing.hand_packet(9_999, None, false, &mut buf));
    for handed in taken {
        let (number, buf) = match handed {
            Handed::Packet { number, buf, .. } => (number, Some(buf)),
            Handed::Renew { number, .. } => (number, None),
        };
        let answer = Answer {
            number,
            generation: 1,
            buf,
            shortcut: None,
        };
        assert!(down.answers.push(answer).is_ok());
    }
    for number in 0..=(HANDED - PACKETS) as u64 {
        let answer = handing.next_answer();
        assert_eq!(answer.map(|answer| answer.number), Some(number));
    }
    assert!(handing.hand_packet(10_000, None, false, &mut buf));
    assert!(!handing.hand_packet(10_001, None, false, &mut buf));
}

#[test]
fn what_opens_flows_leaves_room_for_those_that_are() {
    let (mut handing, _down) = handing();
    let mut buf = PacketBuf::from_packet(b"packet");
    let mut fill = |opens| {
        let mut count = 0;
        while handing.hand_packet(count, None, opens, &mut buf) {
            buf.fill(b"packet");
            count += 1;
        }
        count
    };
    assert_eq!(fill(true), HANDED as u64 / 2);
    assert_eq!(fill(false), HANDED as u64 / 2 - HANDED as u64 / 8);
    assert_eq!(fill(true), 0);
    assert!(handing.hand(Handed::Renew {
        number: 1,
        key: key()
    }));
}

#[test]
fn the_first_worker_is_woken_once_a_batch_and_only_for_something() {
    let (mut handing, _down) = handing();
    let mut poller = Poller::new().unwrap();
    poller.add(&handing.first, 1, Interest::Readable).unwrap();
    let mut woken = |handing: &mut Handing| {
        handing.wake();
        let woken = poller.wait(Some(Duration::ZERO)).unwrap().count();
        handing.first.clear();
        woken
    };
    assert_eq!(woken(&mut handing), 0);
    let mut buf = PacketBuf::from_packet(b"packet");
    handing.hand_packet(1, None, false, &mut buf);
    handing.hand_packet(2, None, false, &mut buf);
    assert_eq!(woken(&mut handing), 1);
    assert_eq!(woken(&mut handing), 0);
}

#[test]
fn a_message_that_is_not_sent_counts_as_failed() {
    let mut seals = Sealed {
        sealer: Sealer::new(1),
        sent: 5,
        failed: 0,
    };
    seals.send_failed();
    assert_eq!((seals.sent, seals.failed), (4, 1));
    let mut buf = PacketBuf::from_packet(b"packet");
    let nobody = NodeNumber::new(9).unwrap();
    assert_eq!(seals.seal(nobody, 1, &mut buf), Err(DropReason::NoSession));
    assert_eq!((seals.sent, seals.failed), (4, 2));
}
