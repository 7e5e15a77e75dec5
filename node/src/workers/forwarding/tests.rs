use super::*;
use crate::workers::{Downward, rings};
use jlb_protocol::ServiceNumber;

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
        assert!(handing.hand_packet(number, Some(key()), &mut buf));
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
    for number in 0..HANDED as u64 {
        buf.fill(b"packet");
        assert!(handing.hand_packet(number, None, &mut buf));
    }
    buf.fill(b"packet");
    assert!(!handing.hand_packet(9_999, None, &mut buf));
    assert_eq!(buf.as_slice(), b"packet", "it is the caller's to drop");
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
    assert!(!handing.hand_packet(9_999, None, &mut buf));
    for handed in taken {
        let Handed::Packet { number, buf, .. } = handed else {
            panic!("only packets were")
        };
        let answer = Answer {
            number,
            generation: 1,
            buf: Some(buf),
            shortcut: None,
        };
        assert!(down.answers.push(answer).is_ok());
    }
    assert_eq!(handing.next_answer().map(|answer| answer.number), Some(0));
    assert!(handing.hand_packet(10_000, None, &mut buf));
    assert!(!handing.hand_packet(10_001, None, &mut buf));
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
    handing.hand_packet(1, None, &mut buf);
    handing.hand_packet(2, None, &mut buf);
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
