use super::*;

fn transmit(byte: u8) -> Transmit {
    Transmit {
        to: Destination::Stack,
        flow: FlowHash::NONE,
        buf: PacketBuf::from_packet(&[byte]),
    }
}

#[test]
fn what_is_beyond_the_bound_comes_back_and_the_rest_stays_in_order() {
    let mut outbox = Outbox::new(2);
    assert!(outbox.push(transmit(1)).is_ok());
    assert!(outbox.push(transmit(2)).is_ok());
    assert_eq!(outbox.push(transmit(3)).unwrap_err().as_slice(), [3]);
    assert_eq!(outbox.len(), 2);
    assert_eq!(outbox.poll().unwrap().buf.as_slice(), [1]);
    assert!(outbox.push(transmit(4)).is_ok());
    assert_eq!(outbox.poll().unwrap().buf.as_slice(), [2]);
    assert_eq!(outbox.poll().unwrap().buf.as_slice(), [4]);
    assert!(outbox.poll().is_none());
    assert!(outbox.is_empty());
}

#[test]
fn no_more_buffers_are_kept_than_may_wait_and_they_come_back_empty() {
    let mut outbox = Outbox::new(2);
    for byte in 0..5 {
        let mut buf = PacketBuf::from_packet(&[byte; 100]);
        buf.prepend(50).unwrap().fill(9);
        outbox.recycle(buf);
    }
    assert_eq!(outbox.spare.len(), 2);
    for _ in 0..3 {
        let buf = outbox.buffer();
        assert!(buf.is_empty());
    }
    assert_eq!(outbox.spare.len(), 0);
}
